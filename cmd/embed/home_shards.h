// HomeShards: the shards of one engine, on what Storage says; what the services ask of the engine.
// What concerns a pool is done on its targets in ascending order, one after the other. Home: the
// reactor given.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cmd/embed/storage.h"
#include "engine/engine.h"
#include "service/shard_host.h"

namespace cairn::embed {

struct HomeShardsOptions {
  uint32_t rank = 0;          // of the engine
  uint32_t target_count = 1;  // of the engine
  /// As service::ServiceOptions::at_step: called before each target but the first.
  std::function<void(const char*)> at_step = {};
};

class HomeShards final : public service::ShardHost {
 public:
  HomeShards(Reactor& reactor, engine::Engine& engine, Storage& storage, HomeShardsOptions options)
      : reactor_(reactor), engine_(engine), storage_(storage), options_(std::move(options)) {}

  Task<Result<void>> create_pool(Uuid pool, service::Targets targets,
                                 service::ShardSizes sizes) override;
  Task<Result<void>> open_pool(Uuid pool, service::Targets targets, uint64_t memory_bytes) override;
  Task<Result<void>> remove_pool(Uuid pool) override;
  Task<Result<void>> destroy_container(Uuid pool, uint32_t container) override;
  Task<Result<model::Epoch>> freeze_container(Uuid pool, uint32_t container) override;
  Task<void> unfreeze_container(Uuid pool, uint32_t container) override;
  Task<Result<void>> add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<void>> remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<service::HeldSnapshots>> snapshots(Uuid pool, uint32_t container) override;
  Task<Result<void>> rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                              service::Origin origin) override;
  Result<service::ShardSpace> space(const Uuid& pool) override;
  std::vector<wire::DeviceReply> devices() override;
  Result<wire::HandleRef> grant(const service::Grant& grant) override;
  Result<void> restore(const service::Grant& grant, wire::HandleRef handle) override;
  Task<void> revoke(wire::HandleRef handle) override;
  void end_session(uint64_t session) override { engine_.end_session(session); }

  /// Ends service and closes every shard, with a checkpoint each. @returns the first error
  Task<Result<void>> close();
  /// Null if the pool is not open, or has no shard on that target.
  vos::Shard* shard(const Uuid& pool, uint32_t target) const { return engine_.shard(pool, target); }

 private:
  struct OneShard {
    Blobs blobs;
    std::unique_ptr<vos::Shard> shard;
  };
  /// By target.
  using PoolShards = std::map<uint32_t, OneShard>;
  struct AtTarget {
    uint32_t target = 0;
    vos::Shard* shard = nullptr;
  };

  /// Of this engine, ascending. @error nonexistent  one is of another engine
  Result<std::vector<uint32_t>> mine(const service::Targets& targets) const;
  Task<Result<void>> create_shard(Uuid pool, uint32_t target, service::ShardSizes sizes);
  Task<Result<void>> open_shard(Uuid pool, uint32_t target, uint64_t memory_bytes);
  Task<Result<void>> close_pool(Uuid uuid);
  void serve(const Uuid& pool);
  /// @error nonexistent  the pool is not open
  Result<std::vector<AtTarget>> shards_of(const Uuid& pool) const;
  vos::ShardOptions options_for(uint64_t memory_bytes, const Blobs& blobs) const;
  void before(const AtTarget& at, const char* name) const {
    if (at.target != 0) step(name);
  }
  void step(const char* name) const {
    if (options_.at_step) options_.at_step(name);
  }

  Reactor& reactor_;
  engine::Engine& engine_;
  Storage& storage_;
  const HomeShardsOptions options_;
  std::map<Uuid, PoolShards> pools_;
};

}  // namespace cairn::embed
