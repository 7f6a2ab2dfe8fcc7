// FileShards: the shards of one engine as files below HOME/pools/UUID/0/{wal,meta,data}; what the
// services ask of the engine. Home: the reactor given.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "service/shard_host.h"

namespace cairn::embed {

/// Three files and how they are opened together.
struct BlobFiles {
  std::unique_ptr<media::Device> wal, meta, data;
  index::StoreDevices devices() const { return {wal.get(), meta.get(), data.get()}; }
};
/// The log is filled, so that it is never extended while it is written; the others are reserved.
/// @error no_space, no_perm, exists, io  a line on stderr names the file
Task<Result<BlobFiles>> create_blobs(Reactor& reactor, std::string directory,
                                     service::ShardSizes sizes);
Task<Result<BlobFiles>> open_blobs(Reactor& reactor, std::string directory);

class FileShards final : public service::ShardHost {
 public:
  FileShards(Reactor& reactor, engine::Engine& engine, std::string home)
      : reactor_(reactor), engine_(engine), home_(std::move(home)) {}

  Task<Result<void>> create_pool(Uuid pool, service::ShardSizes sizes) override;
  Task<Result<void>> open_pool(Uuid pool) override;
  Task<Result<void>> remove_pool(Uuid pool) override;
  Task<Result<void>> destroy_container(Uuid pool, uint32_t container) override;
  Task<Result<model::Epoch>> freeze_container(Uuid pool, uint32_t container) override;
  Task<void> unfreeze_container(Uuid pool, uint32_t container) override;
  Task<Result<void>> add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<void>> remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Task<Result<std::vector<model::Epoch>>> snapshots(Uuid pool, uint32_t container) override;
  Task<Result<void>> rollback(Uuid pool, uint32_t container, model::Epoch epoch) override;
  Result<service::ShardSpace> space(const Uuid& pool) override;
  Result<wire::HandleRef> grant(const service::Grant& grant) override;
  Task<void> revoke(wire::HandleRef handle) override;

  /// Ends service and closes every shard, with a checkpoint each. @returns the first error
  Task<Result<void>> close();
  /// Null if the pool is not open.
  vos::Shard* shard(const Uuid& pool) const { return engine_.shard(pool); }

 private:
  struct Pool {
    BlobFiles files;
    std::unique_ptr<vos::Shard> shard;
  };
  std::string pool_directory(const Uuid& pool) const { return home_ + "/pools/" + to_string(pool); }
  std::string shard_directory(const Uuid& pool) const { return pool_directory(pool) + "/0"; }
  Task<Result<void>> close_pool(Uuid uuid);

  Reactor& reactor_;
  engine::Engine& engine_;
  const std::string home_;
  std::map<Uuid, Pool> pools_;
};

}  // namespace cairn::embed
