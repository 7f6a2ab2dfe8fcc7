// EngineFleet: all engines of a home as the one ShardHost that the services ask. So many engines
// are asked at once, begun in the order of ranks. Handles that are opened while others are being
// told to the engines go together, in one message to each: clients that come at once cost a message
// to each engine for each round, not for each client. An engine that is away (unreachable) fails
// what needs it; what it can catch up with goes on without it. Home: the reactor given.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "runtime/reactor.h"
#include "service/shard_host.h"

namespace cairn::embed {

class EngineFleet final : public service::ShardHost {
 public:
  /// @param engines  by rank, borrowed; the first one is in this process
  /// @param target_count  of each
  /// @param at_step  as service::ServiceOptions::at_step: called before each engine but the first
  EngineFleet(Reactor& reactor, std::vector<service::ShardHost*> engines, uint32_t target_count,
              std::function<void(const char*)> at_step);

  /// One more engine, borrowed, of the next rank. It is away until it comes.
  void add(service::ShardHost& engine);
  /// An engine in this process that an administrator has stopped is away.
  void set_stopped(uint32_t rank, bool stopped) { stopped_.at(rank) = stopped; }

  Task<Result<void>> ready(Uuid pool, service::Targets more) override;
  Task<Result<void>> create_pool(Uuid pool, service::Targets targets,
                                 service::ShardSizes sizes) override;
  Task<Result<void>> extend_pool(Uuid pool, service::Targets targets,
                                 service::ShardSizes sizes) override;
  Task<Result<void>> open_pool(Uuid pool, service::Targets targets, uint64_t memory_bytes) override;
  Task<Result<void>> serve_extension(Uuid pool, service::Targets targets,
                                     uint64_t memory_bytes) override;
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

 private:
  /// What an error of one engine means for those that were not asked yet.
  enum class After : uint8_t {
    stop,      // they are not asked
    go_on,     // all are asked; the first error counts
    overlook,  // as stop, but an engine that is away does not count
    tell,      // as go_on, but an engine that is away does not count
  };
  using Ranks = std::vector<uint32_t>;  // ascending
  struct Errors;
  /// `name`: the step before each engine but the first. @returns the error of the lowest rank
  template <class Ask>
  Task<Result<void>> each(Ranks ranks, const char* name, After after, Ask ask);
  template <class Ask>
  Task<Result<void>> ask_one(uint32_t rank, const char* name, Errors& errors, Ask& ask);
  Task<Result<void>> ask_all(std::vector<Task<Result<void>>> tasks);
  Task<Result<void>> tell_worm(uint32_t rank, Uuid pool, uint32_t container,
                               model::WormPolicy policy, uint64_t order, Result<void>& failed);
  Task<Result<void>> add_space(uint32_t rank, Uuid pool, service::ShardSpace& sum);
  Task<Result<void>> add_progress(uint32_t rank, Uuid pool, uint32_t container,
                                  service::ContProgress& sum);
  struct Sharing;
  Task<void> share_rounds();
  Task<void> share_round(std::shared_ptr<Sharing> round);
  Task<void> share_part(Sharing& round, size_t begin, size_t end);
  Task<Result<void>> share_now(service::Handles handles);
  /// Of these those that have not been stopped.
  std::vector<service::ShardHost*> running(const Ranks& ranks) const;
  Ranks all() const;
  Ranks without(const Ranks& ranks) const;
  /// Those that a pool lies on; all, where that is not known.
  Ranks ranks_of(const Uuid& pool) const;
  Ranks note_ranks(const Uuid& pool, const service::Targets& targets);
  bool is_joining(const Uuid& pool, uint32_t rank) const;
  struct Hold;
  Task<void> give_up_late(std::shared_ptr<Hold> hold);

  Reactor& reactor_;
  std::vector<service::ShardHost*> engines_;  // grows
  std::vector<bool> stopped_;  // by rank
  std::map<Uuid, std::set<uint32_t>> ranks_;  // of pools that were made or opened
  std::map<Uuid, std::set<uint32_t>> joining_;  // ranks that an extension adds, until it is served
  std::shared_ptr<Sharing> next_round_;       // of handles that wait for the round under way
  bool sharing_ = false;                      // a round is under way
  const uint32_t target_count_;
  const std::function<void(const char*)> at_step_;
};

}  // namespace cairn::embed
