#include "cmd/embed/home_shards.h"

#include <unistd.h>

#include <algorithm>

namespace cairn::embed {

namespace {

/// Of a pool that was made without a word about memory: all of its metadata, but no more than an
/// eighth of the machine's memory.
uint64_t default_memory(uint64_t meta_bytes) {
  constexpr uint64_t kLeast = 64ull << 20;
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  const uint64_t machine =
      pages > 0 && page_bytes > 0 ? uint64_t(pages) * uint64_t(page_bytes) : kLeast * 8;
  return std::clamp(meta_bytes, kLeast, std::max(kLeast, machine / 8));
}

vos::ShardOptions options_for(uint64_t memory_bytes, const Blobs& blobs) {
  vos::ShardOptions options;
  options.store.memory_bytes =
      memory_bytes != 0 ? memory_bytes : default_memory(blobs.meta->size_bytes());
  return options;
}

engine::HandleSpec spec_of(const service::Grant& grant) {
  return {.pool = grant.pool,
          .container = grant.container,
          .writable = grant.writable,
          .session = grant.session};
}

}  // namespace

Task<Result<void>> HomeShards::create_pool(Uuid pool, service::ShardSizes sizes) {
  CO_TRY(blobs, co_await storage_.create(pool, sizes));
  CO_TRY(shard, co_await vos::Shard::create(reactor_, blobs.devices(), pool,
                                            options_for(sizes.memory_bytes, blobs)));
  engine_.add_shard(pool, *shard);
  pools_[pool] = Pool{std::move(blobs), std::move(shard)};
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::open_pool(Uuid pool, uint64_t memory_bytes) {
  CO_TRY(blobs, co_await storage_.open(pool));
  CO_TRY(shard, co_await vos::Shard::open(reactor_, blobs.devices(), pool,
                                          options_for(memory_bytes, blobs)));
  engine_.add_shard(pool, *shard);
  pools_[pool] = Pool{std::move(blobs), std::move(shard)};
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::close_pool(Uuid uuid) {
  co_await engine_.remove_shard(uuid);
  auto found = pools_.extract(uuid);
  if (found.empty()) co_return Result<void>{};
  const auto closed = co_await found.mapped().shard->close();
  co_return closed;
}

Task<Result<void>> HomeShards::remove_pool(Uuid pool) {
  // A failing checkpoint is no reason to keep what is thrown away.
  [[maybe_unused]] const auto closed = co_await close_pool(pool);
  co_return co_await storage_.remove(pool);
}

Task<Result<void>> HomeShards::destroy_container(Uuid pool, uint32_t container) {
  co_await engine_.evict_container(pool, container);
  CO_TRY(shard, open_shard(pool));
  co_return co_await shard->destroy_container(container);
}

Result<vos::Shard*> HomeShards::open_shard(const Uuid& pool) const {
  vos::Shard* const shard = engine_.shard(pool);
  if (shard == nullptr) return fail(Errc::nonexistent, "pool: not open");
  return shard;
}

Task<Result<model::Epoch>> HomeShards::freeze_container(Uuid pool, uint32_t container) {
  CO_TRY(shard, open_shard(pool));
  co_return co_await shard->freeze_container(container);
}

Task<void> HomeShards::unfreeze_container(Uuid pool, uint32_t container) {
  if (const auto shard = open_shard(pool)) (*shard)->unfreeze_container(container);
  co_return;
}

Task<Result<void>> HomeShards::add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  CO_TRY(shard, open_shard(pool));
  co_return co_await shard->add_snapshot(container, epoch);
}

Task<Result<void>> HomeShards::remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  CO_TRY(shard, open_shard(pool));
  co_return co_await shard->remove_snapshot(container, epoch);
}

Task<Result<std::vector<model::Epoch>>> HomeShards::snapshots(Uuid pool, uint32_t container) {
  CO_TRY(shard, open_shard(pool));
  co_return shard->snapshots(container);
}

Task<Result<void>> HomeShards::rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                                        service::Origin origin) {
  CO_TRY(shard, open_shard(pool));
  co_return co_await shard->rollback(container, epoch,
                                     {.session = origin.session,
                                      .sequence = origin.sequence,
                                      .acknowledged_below = origin.acknowledged_below});
}

std::vector<wire::DeviceReply> HomeShards::devices() {
  std::vector<wire::DeviceReply> out;
  for (client::DeviceSpace& device : storage_.devices()) {
    out.push_back({.path = std::move(device.path),
                   .roles = std::move(device.roles),
                   .total_bytes = device.total_bytes,
                   .free_bytes = device.free_bytes});
  }
  return out;
}

Result<service::ShardSpace> HomeShards::space(const Uuid& pool) {
  TRY(shard, open_shard(pool));
  const vos::ShardUsage usage = shard->usage();
  return service::ShardSpace{.data_total = usage.data_total, .data_free = usage.data_free,
                             .meta_total = usage.meta_total, .meta_free = usage.meta_free,
                             .meta_used = usage.meta_used};
}

Result<wire::HandleRef> HomeShards::grant(const service::Grant& grant) {
  return engine_.add_handle(spec_of(grant));
}

Result<void> HomeShards::restore(const service::Grant& grant, wire::HandleRef handle) {
  return engine_.restore_handle(spec_of(grant), handle);
}

Task<void> HomeShards::revoke(wire::HandleRef handle) {
  // no_handle: gone with its container or pool already.
  [[maybe_unused]] const auto removed = co_await engine_.remove_handle(handle);
}

Task<Result<void>> HomeShards::close() {
  Result<void> first;
  while (!pools_.empty()) {
    const auto closed = co_await close_pool(pools_.begin()->first);
    if (first && !closed) first = closed;
  }
  co_return first;
}

}  // namespace cairn::embed
