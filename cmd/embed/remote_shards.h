// RemoteShards: the shards of an engine in another process, as the services ask for them: each
// request is a message. The engine is away until somebody says that it is there (come()). Home: the
// reactor given.
#pragma once

#include "cmd/embed/admin_link.h"
#include "service/shard_host.h"

namespace cairn::embed {

class RemoteShards final : public service::ShardHost {
 public:
  /// `link` is borrowed. @param patience_ns  how long ready() waits for an engine that is away
  RemoteShards(Reactor& reactor, AdminLink& link, uint32_t rank, Duration patience_ns)
      : reactor_(reactor), link_(link), rank_(rank), patience_ns_(patience_ns) {}

  uint32_t rank() const { return rank_; }
  /// Name of its machine, where that is another one.
  void set_host(std::string name) { info_.host = std::move(name); }
  /// The engine is there, and is asked from now on.
  void come(const wire::AdminReply& about);
  /// It has caught up.
  void serve();
  /// It is gone.
  void leave();
  /// An administrator has stopped it: nobody need wait for it.
  void set_stopped(bool stopped) { stopped_ = stopped; }
  bool serves() const { return info_.state == wire::EngineState::joined; }
  bool is_there() const { return info_.state != wire::EngineState::away; }

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
  std::vector<wire::EngineInfo> engines() const override { return {info_}; }
  Task<std::vector<wire::DeviceReply>> devices() override;
  /// The engine in the services' process grants. @error not_supported
  Result<wire::HandleRef> grant(const service::Grant& grant) override;
  Task<Result<void>> share(service::Handles handles) override;
  Task<Result<void>> restore(service::Grant grant, wire::HandleRef handle) override;
  Task<Result<void>> retain(service::Handles handles, uint64_t as_of_ns) override;
  Task<void> revoke(wire::HandleRef handle) override;
  Task<void> end_session(uint64_t session) override;

 private:
  Task<Result<wire::AdminReply>> ask(wire::AdminRequest request);
  /// For requests whose answer says nothing more.
  Task<Result<void>> command(wire::AdminRequest request);

  Reactor& reactor_;
  AdminLink& link_;
  const uint32_t rank_;
  const Duration patience_ns_;
  bool stopped_ = false;
  wire::EngineInfo info_{.rank = rank_, .state = wire::EngineState::away};
};

}  // namespace cairn::embed
