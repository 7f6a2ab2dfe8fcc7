#include "cmd/embed/home_shards.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "model/limits.h"
#include "runtime/parallel.h"

namespace cairn::embed {

namespace {

/// Of a pool that was made without a word about memory, for each target: all of its metadata, but
/// together no more than an eighth of the machine's memory.
uint64_t default_memory(uint64_t meta_bytes, uint32_t target_count) {
  constexpr uint64_t kLeast = 64ull << 20;
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  const uint64_t machine =
      pages > 0 && page_bytes > 0 ? uint64_t(pages) * uint64_t(page_bytes) : kLeast * 8;
  const uint64_t least = kLeast / std::min(target_count, 4u);
  return std::clamp(meta_bytes, least, std::max(least, machine / 8 / target_count));
}

}  // namespace

engine::HandleSpec HomeShards::spec_of(const service::Grant& grant) const {
  const auto pool = pools_.find(grant.pool);
  return {.pool = grant.pool,
          .container = grant.container,
          .writable = grant.writable,
          .session = grant.session,
          .spread = pool != pools_.end() && pool->second.spread};
}

vos::ShardOptions HomeShards::options_for(uint64_t memory_bytes, const Blobs& blobs) const {
  vos::ShardOptions options;
  options.store.memory_bytes =
      memory_bytes != 0
          ? memory_bytes
          : default_memory(blobs.meta->size_bytes(), options_.target_count * options_.engine_count);
  return options;
}

Result<std::vector<uint32_t>> HomeShards::mine(const service::Targets& targets) const {
  std::vector<uint32_t> out;
  for (const model::TargetId& target : targets) {
    if (target.rank >= model::kEnginesMax || target.index >= options_.target_count) {
      return fail(Errc::nonexistent, "pool: it has a target that no engine has");
    }
    if (seat_.has(target.rank, target.index)) out.push_back(target.index);
  }
  std::ranges::sort(out);
  return out;
}

bool HomeShards::any_of_engine(const service::Targets& targets) const {
  return std::ranges::any_of(
      targets, [this](const model::TargetId& target) { return target.rank == seat_.rank; });
}

Task<Result<HomeShards::OneShard>> HomeShards::create_shard(Uuid pool, uint32_t target,
                                                            service::ShardSizes sizes) {
  CO_TRY(blobs, co_await storage_.create(pool, target, sizes));
  CO_TRY(shard, co_await vos::Shard::create(reactor_, blobs.devices(), pool,
                                            options_for(sizes.memory_bytes, blobs)));
  co_return OneShard{std::move(blobs), std::move(shard)};
}

Task<Result<HomeShards::OneShard>> HomeShards::open_shard(Uuid pool, uint32_t target,
                                                          uint64_t memory_bytes) {
  CO_TRY(blobs, co_await storage_.open(pool, target));
  CO_TRY(shard, co_await vos::Shard::open(reactor_, blobs.devices(), pool,
                                          options_for(memory_bytes, blobs)));
  co_return OneShard{std::move(blobs), std::move(shard)};
}

void HomeShards::set_ranks(const Uuid& pool, const service::Targets& targets) {
  std::set<uint32_t> ranks, cores;
  for (const model::TargetId& target : targets) {
    ranks.insert(target.rank);
    if (target.rank == seat_.rank) cores.insert(seat_.map.core_of(target.index));
  }
  pools_[pool].spread = ranks.size() > 1 || cores.size() > 1;
  engine_.set_ranks(pool, {ranks.begin(), ranks.end()}, {cores.begin(), cores.end()});
}

void HomeShards::serve(const Uuid& pool, const service::Targets& targets) {
  set_ranks(pool, targets);
  // Those of an engine that has outlived an earlier server are served already.
  for (const auto& [target, one] : pools_[pool].shards) {
    if (engine_.shard(pool, target) != nullptr) continue;
    engine_.add_shard(pool, target, *one.shard);
    // Nobody wants to find a medium changed that is only looked at.
    if (options_.read_only) continue;
    for (const vos::ContNumber container : one.shard->worm_containers()) {
      engine_.policy_changed(pool, target, container);
    }
  }
}

namespace {
std::unexpected<Error> is_closed() { return fail(Errc::unreachable, "engine: it is stopped"); }
}  // namespace

Task<Result<void>> HomeShards::create_pool(Uuid pool, service::Targets targets,
                                           service::ShardSizes sizes) {
  CO_TRY(indexes, mine(targets));
  const auto turn = co_await turns_.take();
  if (closed_) co_return is_closed();
  if (pools_.contains(pool)) co_return Result<void>{};
  for (const uint32_t target : indexes) {
    if (target != indexes.front()) step("target.create");
    CO_TRY(made, co_await create_shard(pool, target, sizes));
    pools_[pool].shards[target] = std::move(made);
  }
  serve(pool, targets);
  co_return Result<void>{};
}

/// Nobody has been told about them.
Task<Result<void>> HomeShards::drop_coming(Uuid pool) {
  auto coming = std::exchange(pools_[pool].coming, {});
  for (auto& [target, one] : coming) {
    // A failing checkpoint is no reason to keep what is thrown away.
    [[maybe_unused]] const auto closed = co_await one.shard->close();
  }
  coming.clear();
  if (!pools_[pool].shards.empty()) co_return Result<void>{};
  co_return co_await storage_.remove(pool);
}

Task<Result<void>> HomeShards::extend_pool(Uuid pool, service::Targets targets,
                                           service::ShardSizes sizes) {
  CO_TRY(indexes, mine(targets));
  const auto turn = co_await turns_.take();
  if (closed_) co_return is_closed();
  if (!pools_.contains(pool)) co_return fail(Errc::nonexistent, "pool: not open");
  // Also what an attempt left on the medium that a crash cut.
  CO_TRY(emptied, co_await drop_coming(pool));
  if (!pools_[pool].shards.empty()) co_return Result<void>{};
  for (const uint32_t target : indexes) {
    if (target != indexes.front()) step("target.extend");
    auto made = co_await create_shard(pool, target, sizes);
    if (!made) {
      [[maybe_unused]] const auto dropped = co_await drop_coming(pool);
      co_return fail(made.error());
    }
    pools_[pool].coming[target] = std::move(*made);
  }
  co_return Result<void>{};
}

/// Those of a pool that came by an extension, or all. Nobody sees some of them: what concerns a
/// pool is done on each of its shards, and would be done on none.
Task<Result<void>> HomeShards::open_missing(Uuid pool, std::vector<uint32_t> indexes,
                                            uint64_t memory_bytes) {
  const auto known = pools_.find(pool);
  std::map<uint32_t, OneShard> opened;
  for (const uint32_t target : indexes) {
    if (known != pools_.end() &&
        (known->second.shards.contains(target) || known->second.coming.contains(target))) {
      continue;
    }
    auto one = co_await open_shard(pool, target, memory_bytes);
    if (!one) {
      // Why it could not be opened is what counts.
      for (auto& [other, shard] : opened) {
        [[maybe_unused]] const auto closed = co_await shard.shard->close();
      }
      co_return fail(one.error());
    }
    opened[target] = std::move(*one);
  }
  OpenPool& open = pools_[pool];
  open.shards.merge(opened);
  for (const uint32_t target : indexes) {
    auto coming = open.coming.extract(target);
    if (!coming.empty()) open.shards.insert(std::move(coming));
  }
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::open_pool(Uuid pool, service::Targets targets,
                                         uint64_t memory_bytes) {
  CO_TRY(indexes, mine(targets));
  const auto turn = co_await turns_.take();
  if (closed_) co_return is_closed();
  const bool none = !any_of_engine(targets);
  CO_TRY(opened, co_await open_missing(pool, std::move(indexes), memory_bytes));
  OpenPool& open = pools_[pool];
  if (none && open.shards.empty() && open.coming.empty() && !options_.read_only) {
    // What a crash has left of an extension that came to nothing.
    CO_TRY(emptied, co_await storage_.remove(pool));
  }
  serve(pool, targets);
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::settle_pool(Uuid pool) { return engine_.resolve_transactions(pool); }

Task<Result<void>> HomeShards::set_scrub(Uuid pool, model::ScrubPolicy policy) {
  if (!pools_.contains(pool)) co_return fail(Errc::nonexistent, "pool: not open");
  // Nobody wants to find a medium read that is only looked at.
  if (!options_.read_only) engine_.set_scrub(pool, policy);
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::close_pool(Uuid uuid) {
  const auto turn = co_await turns_.take();
  co_return co_await close_shards(uuid);
}

Task<Result<void>> HomeShards::close_shards(Uuid uuid) {
  co_await engine_.remove_shards(uuid);
  auto found = pools_.extract(uuid);
  Result<void> first;
  if (found.empty()) co_return first;
  // Not in this frame: whoever still waits in a shard must not outlive it, and where all tasks are
  // dropped at once this one may go before them.
  const auto closing = closing_.insert(closing_.end(), std::move(found));
  for (auto* const shards : {&closing->mapped().shards, &closing->mapped().coming}) {
    for (auto& [target, one] : *shards) {
      const auto closed = co_await one.shard->close();
      if (first && !closed) first = closed;
    }
  }
  closing_.erase(closing);
  co_return first;
}

Task<Result<void>> HomeShards::remove_pool(Uuid pool) {
  const auto turn = co_await turns_.take();
  // A failing checkpoint is no reason to keep what is thrown away.
  [[maybe_unused]] const auto closed = co_await close_shards(pool);
  co_return co_await storage_.remove(pool);
}

Task<Result<void>> HomeShards::destroy_container(Uuid pool, uint32_t container) {
  co_await engine_.evict_container(pool, container);
  CO_TRY(shards, shards_of(pool));
  for (const AtTarget& at : shards) {
    before(at, "target.destroy");
    CO_TRY(done, co_await at.shard->destroy_container(container));
  }
  engine_.policy_changed(pool, container);  // it has none any more
  co_return Result<void>{};
}

Result<std::vector<HomeShards::AtTarget>> HomeShards::shards_of(const Uuid& pool) const {
  const auto found = pools_.find(pool);
  if (found == pools_.end()) return fail(Errc::nonexistent, "pool: not open");
  std::vector<AtTarget> out;
  for (const auto& [target, one] : found->second.shards) out.push_back({target, one.shard.get()});
  return out;
}

Result<std::vector<HomeShards::AtTarget>> HomeShards::all_shards_of(const Uuid& pool) const {
  TRY(shards, shards_of(pool));
  if (shards.empty() && !pools_.at(pool).coming.empty()) {
    return fail(Errc::busy, "pool: it is just being extended to this engine; try again");
  }
  return shards;
}

Task<Result<model::Epoch>> HomeShards::freeze_container(Uuid pool, uint32_t container) {
  CO_TRY(shards, all_shards_of(pool));
  model::Epoch newest = 0;
  for (const AtTarget& at : shards) {
    CO_TRY(epoch, co_await at.shard->freeze_container(container));
    newest = std::max(newest, epoch);
  }
  co_return newest;
}

Task<void> HomeShards::unfreeze_container(Uuid pool, uint32_t container, uint64_t holds_over) {
  const auto shards = shards_of(pool);
  if (!shards) co_return;
  for (const AtTarget& at : *shards) {
    at.shard->refuse_holds(holds_over);
    at.shard->unfreeze_container(container);
  }
}

Task<Result<void>> HomeShards::add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  CO_TRY(shards, shards_of(pool));
  for (const AtTarget& at : shards) {
    before(at, "target.snapshot");
    CO_TRY(added, co_await at.shard->add_snapshot(container, epoch));
  }
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  CO_TRY(shards, shards_of(pool));
  Result<void> first;
  for (const AtTarget& at : shards) {
    before(at, "target.unsnapshot");
    const auto removed = co_await at.shard->remove_snapshot(container, epoch);
    if (first && !removed) first = removed;
  }
  co_return first;
}

Task<Result<service::HeldSnapshots>> HomeShards::snapshots(Uuid pool, uint32_t container,
                                                           uint64_t holds_over) {
  CO_TRY(shards, shards_of(pool));
  std::map<model::Epoch, size_t> holders;
  service::HeldSnapshots held;
  for (const AtTarget& at : shards) {
    at.shard->refuse_holds(holds_over);
    held.held = held.held || at.shard->is_held(container);
    for (const model::Epoch epoch : at.shard->snapshots(container)) ++holders[epoch];
  }
  for (const auto& [epoch, count] : holders) {
    held.any.push_back(epoch);
    if (count == shards.size()) held.all.push_back(epoch);
  }
  co_return held;
}

namespace {
Task<Result<void>> hold_one(vos::Shard& shard, uint32_t container, model::Epoch epoch,
                            uint64_t number, model::Epoch& newest) {
  CO_TRY(answered, co_await shard.hold_container(container, epoch, number));
  newest = std::max(newest, answered);
  co_return Result<void>{};
}
}  // namespace

Task<Result<model::Epoch>> HomeShards::hold_container(Uuid pool, uint32_t container,
                                                      model::Epoch epoch, uint64_t number) {
  CO_TRY(shards, shards_of(pool));
  model::Epoch newest = 0;
  std::vector<Task<Result<void>>> tasks;
  for (const AtTarget& at : shards) {
    tasks.push_back(hold_one(*at.shard, container, epoch, number, newest));
  }
  CO_TRY(held, co_await run_all(reactor_, std::move(tasks), shards.size()));
  co_return newest;
}

Task<Result<void>> HomeShards::rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                                        model::Epoch at) {
  CO_TRY(shards, shards_of(pool));
  std::vector<Task<Result<void>>> tasks;
  for (const AtTarget& one : shards) {
    before(one, "target.rollback");
    tasks.push_back(one.shard->rollback(container, epoch, at));
  }
  co_return co_await run_all(reactor_, std::move(tasks), shards.size());
}

Task<Result<void>> HomeShards::aggregate_container(Uuid pool, uint32_t container,
                                                   model::Epoch until) {
  CO_TRY(shards, shards_of(pool));
  Result<void> first;
  for (const AtTarget& at : shards) {
    const auto begun = at.shard->aggregate_later(container, until);
    if (first && !begun) first = begun;
  }
  co_return first;
}

std::vector<wire::EngineInfo> HomeShards::engines() const {
  std::vector<wire::EngineInfo> out(1);
  out[0] = {.rank = options_.rank,
            .incarnation = options_.incarnation,
            .addresses = addresses_,
            .state = wire::EngineState::joined,
            .process = options_.process};
  return out;
}

Task<std::vector<wire::DeviceReply>> HomeShards::devices() {
  std::vector<wire::DeviceReply> out;
  for (client::DeviceSpace& device : storage_.devices()) {
    out.push_back({.path = std::move(device.path),
                   .roles = std::move(device.roles),
                   .total_bytes = device.total_bytes,
                   .free_bytes = device.free_bytes,
                   .rank = options_.rank,
                   .uuid = device.uuid,
                   .directory = device.directory});
  }
  co_return out;
}

/// One of a container after the other: an older one that waits here, though who sent it has given
/// it up, must not come after a newer one.
Task<Result<void>> HomeShards::set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                                        uint64_t order) {
  const std::pair<Uuid, uint32_t> at(pool, container);
  while (!setting_.insert(at).second) co_await set_.wait();
  auto done = co_await set_worm_now(pool, container, std::move(policy), order);
  setting_.erase(at);
  set_.wake_all();
  co_return done;
}

/// At once on all: each of them may wait for transactions that were prepared before.
Task<Result<void>> HomeShards::set_worm_now(Uuid pool, uint32_t container, model::WormPolicy policy,
                                            uint64_t order) {
  CO_TRY(shards, all_shards_of(pool));
  uint64_t& newest = pools_.at(pool).worm_orders[container];
  if (order != 0 && order < newest) {
    co_return fail(Errc::busy, "container: newer worm_* properties have come; ask for them again");
  }
  newest = std::max(newest, order);
  std::vector<Task<Result<void>>> tasks;
  for (const AtTarget& at : shards) {
    before(at, "target.worm");
    tasks.push_back(at.shard->set_worm_policy(container, policy));
  }
  if (tasks.empty()) co_return Result<void>{};
  const auto done = co_await run_all(reactor_, std::move(tasks), shards.size());
  // Also after an error: some may have it.
  engine_.policy_changed(pool, container);
  co_return done;
}

Task<Result<service::ContProgress>> HomeShards::flatten_progress(Uuid pool, uint32_t container) {
  CO_TRY(shards, shards_of(pool));
  co_return service::ContProgress{.progress = engine_.flatten_progress(pool, container)};
}

Task<Result<service::ShardSpace>> HomeShards::space(Uuid pool) {
  CO_TRY(shards, shards_of(pool));
  service::ShardSpace space;
  for (const AtTarget& at : shards) {
    const vos::ShardUsage usage = at.shard->usage();
    space.data_total += usage.data_total;
    space.data_free += usage.data_free;
    space.meta_total += usage.meta_total;
    space.meta_free += usage.meta_free;
    space.meta_used += usage.meta_used;
  }
  co_return space;
}

Result<wire::HandleRef> HomeShards::grant(const service::Grant& grant) {
  return engine_.add_handle(spec_of(grant));
}

Task<Result<void>> HomeShards::share(service::Handles handles) {
  for (const auto& [grant, handle] : handles) {
    CO_TRY(shared, co_await engine_.restore_handle(spec_of(grant), handle));
  }
  co_return Result<void>{};
}

Task<Result<void>> HomeShards::restore(service::Grant grant, wire::HandleRef handle) {
  return engine_.restore_handle(spec_of(grant), handle);
}

Task<Result<void>> HomeShards::retain(service::Handles handles, uint64_t as_of_ns) {
  std::vector<std::pair<engine::HandleSpec, wire::HandleRef>> specs;
  for (const auto& [grant, handle] : handles) specs.emplace_back(spec_of(grant), handle);
  return engine_.retain_handles(std::move(specs), as_of_ns);
}

Task<void> HomeShards::end_session(uint64_t session) {
  engine_.end_session(session);
  co_return;
}

Task<void> HomeShards::revoke(wire::HandleRef handle) {
  // no_handle: gone with its container or pool already.
  [[maybe_unused]] const auto removed = co_await engine_.remove_handle(handle);
}

Task<Result<void>> HomeShards::close() {
  const auto turn = co_await turns_.take();
  closed_ = true;
  Result<void> first;
  while (!pools_.empty()) {
    const auto closed = co_await close_shards(pools_.begin()->first);
    if (first && !closed) first = closed;
  }
  co_return first;
}

}  // namespace cairn::embed
