#include "cmd/embed/file_shards.h"

#include "cmd/embed/home_dir.h"
#include "media/file_device.h"

namespace cairn::embed {

Task<Result<BlobFiles>> create_blobs(Reactor& reactor, std::string directory,
                                     service::ShardSizes sizes) {
  BlobFiles files;
  // The large ones first: a full file system is found before anything is filled.
  CO_TRY(data, co_await media::open_file_device(reactor, directory + "/data",
                                                {.create = true, .bytes = sizes.data_bytes}));
  CO_TRY(meta, co_await media::open_file_device(reactor, directory + "/meta",
                                                {.create = true, .bytes = sizes.meta_bytes}));
  CO_TRY(wal, co_await media::open_file_device(
                  reactor, directory + "/wal",
                  {.create = true, .fill = true, .bytes = sizes.wal_bytes}));
  files.data = std::move(data);
  files.meta = std::move(meta);
  files.wal = std::move(wal);
  co_return files;
}

Task<Result<BlobFiles>> open_blobs(Reactor& reactor, std::string directory) {
  BlobFiles files;
  CO_TRY(wal, co_await media::open_file_device(reactor, directory + "/wal", {}));
  CO_TRY(meta, co_await media::open_file_device(reactor, directory + "/meta", {}));
  CO_TRY(data, co_await media::open_file_device(reactor, directory + "/data", {}));
  files.wal = std::move(wal);
  files.meta = std::move(meta);
  files.data = std::move(data);
  co_return files;
}

Task<Result<void>> FileShards::create_pool(Uuid pool, service::ShardSizes sizes) {
  CO_TRY(pools, make_directory(home_ + "/pools"));
  CO_TRY(directory, make_directory(pool_directory(pool)));
  CO_TRY(inner, make_directory(shard_directory(pool)));
  CO_TRY(files, co_await create_blobs(reactor_, shard_directory(pool), sizes));
  CO_TRY(shard, co_await vos::Shard::create(reactor_, files.devices(), pool, {}));
  engine_.add_shard(pool, *shard);
  pools_[pool] = Pool{std::move(files), std::move(shard)};
  co_return Result<void>{};
}

Task<Result<void>> FileShards::open_pool(Uuid pool) {
  CO_TRY(files, co_await open_blobs(reactor_, shard_directory(pool)));
  CO_TRY(shard, co_await vos::Shard::open(reactor_, files.devices(), pool, {}));
  engine_.add_shard(pool, *shard);
  pools_[pool] = Pool{std::move(files), std::move(shard)};
  co_return Result<void>{};
}

Task<Result<void>> FileShards::close_pool(Uuid uuid) {
  co_await engine_.remove_shard(uuid);
  auto found = pools_.extract(uuid);
  if (found.empty()) co_return Result<void>{};
  const auto closed = co_await found.mapped().shard->close();
  co_return closed;
}

Task<Result<void>> FileShards::remove_pool(Uuid pool) {
  // A failing checkpoint is no reason to keep what is thrown away.
  [[maybe_unused]] const auto closed = co_await close_pool(pool);
  co_return remove_tree(pool_directory(pool));
}

Task<Result<void>> FileShards::destroy_container(Uuid pool, uint32_t container) {
  co_await engine_.evict_container(pool, container);
  vos::Shard* shard = engine_.shard(pool);
  if (shard == nullptr) co_return fail(Errc::nonexistent, "pool: not open");
  co_return co_await shard->destroy_container(container);
}

// The store keeps no old versions yet: there are no snapshots, and none can be made.

Task<Result<model::Epoch>> FileShards::freeze_container(Uuid, uint32_t) {
  co_return fail(Errc::no_sys, "snapshot: the store keeps no old versions yet");
}
Task<void> FileShards::unfreeze_container(Uuid, uint32_t) { co_return; }
Task<Result<void>> FileShards::add_snapshot(Uuid, uint32_t, model::Epoch) {
  co_return fail(Errc::no_sys, "snapshot: the store keeps no old versions yet");
}
Task<Result<void>> FileShards::remove_snapshot(Uuid, uint32_t, model::Epoch) {
  co_return Result<void>{};
}
Task<Result<std::vector<model::Epoch>>> FileShards::snapshots(Uuid, uint32_t) {
  co_return std::vector<model::Epoch>{};
}
Task<Result<void>> FileShards::rollback(Uuid, uint32_t, model::Epoch) {
  co_return fail(Errc::nonexistent, "snapshot: there are none");
}

Result<service::ShardSpace> FileShards::space(const Uuid& pool) {
  const vos::Shard* shard = engine_.shard(pool);
  if (shard == nullptr) return fail(Errc::nonexistent, "pool: not open");
  const vos::ShardUsage usage = shard->usage();
  return service::ShardSpace{.data_total = usage.data_total, .data_free = usage.data_free,
                             .meta_total = usage.meta_total, .meta_free = usage.meta_free,
                             .meta_used = usage.meta_used};
}

Result<wire::HandleRef> FileShards::grant(const service::Grant& grant) {
  return engine_.add_handle({.pool = grant.pool, .container = grant.container,
                             .writable = grant.writable, .session = grant.session});
}

Task<void> FileShards::revoke(wire::HandleRef handle) {
  // no_handle: gone with its container or pool already.
  [[maybe_unused]] const auto removed = co_await engine_.remove_handle(handle);
}

Task<Result<void>> FileShards::close() {
  Result<void> first;
  while (!pools_.empty()) {
    const auto closed = co_await close_pool(pools_.begin()->first);
    if (first && !closed) first = closed;
  }
  co_return first;
}

}  // namespace cairn::embed
