// HomeShards: the shards of one engine, on what Storage says; what the services ask of the engine.
// Home: the reactor given.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cmd/embed/storage.h"
#include "engine/engine.h"
#include "service/shard_host.h"

namespace cairn::embed {

class HomeShards final : public service::ShardHost {
 public:
  HomeShards(Reactor& reactor, engine::Engine& engine, Storage& storage)
      : reactor_(reactor), engine_(engine), storage_(storage) {}

  Task<Result<void>> create_pool(Uuid pool, service::ShardSizes sizes) override;
  Task<Result<void>> open_pool(Uuid pool, uint64_t memory_bytes) override;
  Task<Result<void>> remove_pool(Uuid pool) override;
  Task<Result<void>> destroy_container(Uuid pool, uint32_t container) override;
  Task<Result<model::Epoch>> freeze_container(Uuid pool, uint32_t container) override;
  Task<void> unfreeze_container(Uuid pool, uint32_t container) override;
  Task<Result<void>> add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<void>> remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<std::vector<model::Epoch>>> snapshots(Uuid pool, uint32_t container) override;
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
  /// Null if the pool is not open.
  vos::Shard* shard(const Uuid& pool) const { return engine_.shard(pool); }

 private:
  struct Pool {
    Blobs blobs;
    std::unique_ptr<vos::Shard> shard;
  };
  Task<Result<void>> close_pool(Uuid uuid);
  /// @error nonexistent  the pool is not open
  Result<vos::Shard*> open_shard(const Uuid& pool) const;

  Reactor& reactor_;
  engine::Engine& engine_;
  Storage& storage_;
  std::map<Uuid, Pool> pools_;
};

}  // namespace cairn::embed
