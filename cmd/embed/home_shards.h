// HomeShards: the shards of one engine, or of one of its cores (core_shards.h), on what a
// BlobSource gives; what the services ask of one engine. The targets of a pool are given for all
// engines; each takes its own. What concerns a pool is done on its targets in ascending order, one
// after the other. Home: the reactor given.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "cmd/embed/blob_source.h"
#include "engine/engine.h"
#include "runtime/turns.h"
#include "service/shard_host.h"

namespace cairn::embed {

struct HomeShardsOptions {
  uint32_t rank = 0;          // of the engine
  uint32_t target_count = 1;  // of the engine
  uint32_t core = 0, cores = 1;  // as engine::EngineOptions
  uint32_t engine_count = 1;  // on this machine
  bool read_only = false;     // nothing is cleared away
  uint64_t incarnation = 0;   // of the engine
  uint32_t process = 0;       // that it is in, for people
  /// As service::ServiceOptions::at_step: called before each target but the first.
  std::function<void(const char*)> at_step = {};
};

class HomeShards final : public service::ShardHost {
 public:
  HomeShards(Reactor& reactor, engine::Engine& engine, BlobSource& storage,
             HomeShardsOptions options)
      : reactor_(reactor),
        engine_(engine),
        storage_(storage),
        options_(std::move(options)),
        seat_{.rank = options_.rank,
              .core = options_.core,
              .map = {.targets = options_.target_count, .cores = options_.cores}},
        turns_(reactor),
        set_(reactor) {}

  Task<Result<void>> ready(Uuid, service::Targets) override { co_return Result<void>{}; }
  Task<Result<void>> create_pool(Uuid pool, service::Targets targets,
                                 service::ShardSizes sizes) override;
  Task<Result<void>> extend_pool(Uuid pool, service::Targets targets,
                                 service::ShardSizes sizes) override;
  Task<Result<void>> open_pool(Uuid pool, service::Targets targets, uint64_t memory_bytes) override;
  Task<Result<void>> serve_extension(Uuid pool, service::Targets targets,
                                     uint64_t memory_bytes) override {
    return open_pool(pool, std::move(targets), memory_bytes);
  }
  Task<Result<void>> settle_pool(Uuid pool) override;
  Task<Result<void>> set_scrub(Uuid pool, model::ScrubPolicy policy) override;
  Task<Result<void>> close_pool(Uuid pool) override;
  Task<Result<void>> remove_pool(Uuid pool) override;
  Task<Result<void>> destroy_container(Uuid pool, uint32_t container) override;
  Task<Result<model::Epoch>> freeze_container(Uuid pool, uint32_t container) override;
  Task<void> unfreeze_container(Uuid pool, uint32_t container, uint64_t holds_over) override;
  Task<Result<void>> add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<void>> remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<service::HeldSnapshots>> snapshots(Uuid pool, uint32_t container,
                                                 uint64_t holds_over) override;
  Task<Result<model::Epoch>> hold_container(Uuid pool, uint32_t container, model::Epoch epoch,
                                            uint64_t number) override;
  Task<Result<void>> rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                              model::Epoch at) override;
  Task<Result<void>> aggregate_container(Uuid pool, uint32_t container,
                                         model::Epoch until) override;
  Task<Result<void>> set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                              uint64_t order) override;
  Task<Result<service::ContProgress>> flatten_progress(Uuid pool, uint32_t container) override;
  Task<Result<service::ShardSpace>> space(Uuid pool) override;
  std::vector<wire::EngineInfo> engines() const override;
  Task<std::vector<wire::DeviceReply>> devices() override;
  Result<wire::HandleRef> grant(const service::Grant& grant) override;
  Task<Result<void>> share(service::Handles handles) override;
  Task<Result<void>> restore(service::Grant grant, wire::HandleRef handle) override;
  Task<Result<void>> retain(service::Handles handles, uint64_t as_of_ns) override;
  Task<void> revoke(wire::HandleRef handle) override;
  Task<void> end_session(uint64_t session) override;

  /// Where clients of other machines connect, told to those who ask for the engines.
  void set_addresses(std::vector<std::string> addresses) { addresses_ = std::move(addresses); }
  /// Ends service and closes every shard, with a checkpoint each; what is being made is waited for,
  /// and nothing more is opened. @returns the first error
  Task<Result<void>> close();
  /// After close(): pools may be opened again.
  void reopen() { closed_ = false; }
  /// Null if the pool is not open, or has no shard on that target.
  vos::Shard* shard(const Uuid& pool, uint32_t target) const { return engine_.shard(pool, target); }

 private:
  struct OneShard {
    Blobs blobs;
    std::unique_ptr<vos::Shard> shard;
  };
  struct OpenPool {
    std::map<uint32_t, OneShard> shards;  // by target
    std::map<uint32_t, OneShard> coming;  // of an extension that is not decided yet: not served
    bool spread = false;                  // others have some, too
    std::map<uint32_t, uint64_t> worm_orders;  // by container: the newest that was taken
  };
  struct AtTarget {
    uint32_t target = 0;
    vos::Shard* shard = nullptr;
  };

  /// Of this core, ascending. @error nonexistent  one that the engine does not have
  Result<std::vector<uint32_t>> mine(const service::Targets& targets) const;
  engine::HandleSpec spec_of(const service::Grant& grant) const;
  Task<Result<OneShard>> create_shard(Uuid pool, uint32_t target, service::ShardSizes sizes);
  Task<Result<OneShard>> open_shard(Uuid pool, uint32_t target, uint64_t memory_bytes);
  bool any_of_engine(const service::Targets& targets) const;
  void set_ranks(const Uuid& pool, const service::Targets& targets);
  Task<Result<void>> drop_coming(Uuid pool);
  Task<Result<void>> open_missing(Uuid pool, std::vector<uint32_t> indexes, uint64_t memory_bytes);
  Task<Result<void>> close_shards(Uuid pool);
  void serve(const Uuid& pool, const service::Targets& targets);
  /// @error nonexistent  the pool is not open
  Result<std::vector<AtTarget>> shards_of(const Uuid& pool) const;
  /// For what must not miss a shard. @error busy  all that it has come by an extension and are not
  /// served yet   Others: shards_of()
  Result<std::vector<AtTarget>> all_shards_of(const Uuid& pool) const;
  Task<Result<void>> set_worm_now(Uuid pool, uint32_t container, model::WormPolicy policy,
                                  uint64_t order);
  vos::ShardOptions options_for(uint64_t memory_bytes, const Blobs& blobs) const;
  void before(const AtTarget& at, const char* name) const {
    if (at.target != 0) step(name);
  }
  void step(const char* name) const {
    if (options_.at_step) options_.at_step(name);
  }

  Reactor& reactor_;
  engine::Engine& engine_;
  BlobSource& storage_;
  const HomeShardsOptions options_;
  const engine::Seat seat_;
  std::map<Uuid, OpenPool> pools_;
  std::list<std::map<Uuid, OpenPool>::node_type> closing_;  // out of pools_
  bool closed_ = false;  // close(): nothing is opened or made until reopen()
  Turns turns_;          // to open, make or close shards
  std::set<std::pair<Uuid, uint32_t>> setting_;  // pools and containers, in set_worm()
  WaitList set_;                                 // setting_ lost one
  std::vector<std::string> addresses_;
};

}  // namespace cairn::embed
