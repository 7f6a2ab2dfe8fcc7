// CoreShards: the cores of one engine as the one ShardHost that the services ask. What one core
// does for its targets (HomeShards) is done on each that has some of the pool, on its own reactor;
// what they answer is one answer. Home: the first core's reactor.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "cmd/embed/home_shards.h"
#include "engine/cores.h"
#include "runtime/core.h"

namespace cairn::embed {

class CoreShards final : public service::ShardHost {
 public:
  struct Member {
    Reactor& reactor;
    HomeShards& shards;
  };
  /// Borrowed. @param members  by core, two or more; the first one's blobs are all cores' to remove
  /// @param at_step  as service::ServiceOptions::at_step: called before each core but the first
  CoreShards(std::vector<Member> members, engine::EngineCores& engines, uint32_t rank,
             std::function<void(const char*)> at_step)
      : home_(members.at(0).reactor),
        members_(std::move(members)),
        engines_(engines),
        rank_(rank),
        at_step_(std::move(at_step)),
        turns_(home_) {}

  Task<Result<void>> ready(Uuid pool, service::Targets more) override;
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

  /// As HomeShards::close(), of all cores.
  Task<Result<void>> close();
  /// As HomeShards::reopen().
  void reopen();

 private:
  using Cores = std::vector<uint32_t>;  // ascending
  /// `make` makes a task from a core's HomeShards; it is called on that core, and the task keeps
  /// nothing of it.
  template <class Make>
  auto on(uint32_t core, Make make);
  template <class Sum, class Make, class Add>
  Task<Result<void>> add_one(uint32_t core, Make make, Sum& sum, Add& add);
  /// `name`: the step before each but the first.
  template <class Make>
  Task<Result<void>> begin(uint32_t core, const char* name, Make make);
  /// At once, begun in their order. @returns the first error
  template <class Make>
  Task<Result<void>> each(Cores cores, const char* name, Make make);
  /// The same on those that serve some of the pool.
  template <class Make>
  Task<Result<void>> each_of(const Uuid& pool, const char* name, Make make);
  /// One after the other, all of them. @returns the first error
  template <class Make>
  Task<Result<void>> in_turn(Cores cores, const char* name, Make make);
  /// Adds up what each that serves some of the pool answers. `add(sum, answer)` is called here.
  template <class Sum, class Make, class Add>
  Task<Result<Sum>> sum_up(Uuid pool, Make make, Add add);
  Cores all() const;
  Cores all_but_first() const;
  /// Those that serve some of the pool; the first, where none does.
  /// @error nonexistent  the pool is not open, on all of them   @error busy  it is being extended
  Result<Cores> serving(const Uuid& pool) const;
  void note(const Uuid& pool, const service::Targets& targets);
  Task<Result<void>> close_all(Uuid pool);
  Task<Result<void>> make_extension(Uuid pool, service::Targets targets, service::ShardSizes sizes);

  Reactor& home_;
  const std::vector<Member> members_;
  engine::EngineCores& engines_;
  const uint32_t rank_;
  struct Pool {
    Cores cores;            // that serve some of it
    bool extended = false;  // just now
  };
  const std::function<void(const char*)> at_step_;
  std::map<Uuid, Pool> pools_;  // those that are open on all cores
  Turns turns_;                 // as HomeShards, for all cores together
};

}  // namespace cairn::embed
