// Engines that come while the service runs: they missed what happened meanwhile. Records say how it
// should be; an engine is brought there before it serves.
#include "base/report.h"
#include "service/snap_lock.h"

namespace cairn::service {

namespace {
/// Between two looks at a pool that is being made.
constexpr Duration kMakingLook = 20 * kMillisecond;
}  // namespace

Task<Result<std::vector<Service::HeldPool>>> Service::load_pools() {
  CO_TRY(entries, co_await config_.range("pools/"));
  std::vector<HeldPool> out;
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<PoolRecord>(entry.value));
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(sizeof("pools/") - 1));
    if (!uuid) co_return fail(Errc::checksum, "config store: a key that names no pool");
    out.push_back({*uuid, std::move(record), entry.modified});
  }
  co_return out;
}

Task<Result<std::vector<Service::HeldCont>>> Service::load_conts(Uuid pool) {
  const std::string prefix = conts_prefix(pool);
  CO_TRY(entries, co_await config_.range(prefix));
  std::vector<HeldCont> out;
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<ContRecord>(entry.value));
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(prefix.size()));
    if (!uuid) co_return fail(Errc::checksum, "config store: a key that names no container");
    out.push_back({*uuid, std::move(record), entry.modified});
  }
  co_return out;
}

/// Snapshots that it should not have go. It has all that it should: none is made without it. What
/// it has missed of a rollback it does.
Task<Result<void>> Service::catch_up_pool(ShardHost& engine, HeldPool pool) {
  const auto opened =
      co_await engine.open_pool(pool.uuid, targets_of(pool.record), pool.record.memory_bytes);
  if (!opened && opened.error().code() == Errc::unreachable) co_return opened;
  if (!opened) {
    report(Severity::error, "pool " + pool.record.label + " (" + to_string(pool.uuid) +
                                "): an engine cannot open it: " + opened.error().what() +
                                "; restore its files, or destroy it by force");
    note_opened(pool.uuid, engine, opened);
    co_return Result<void>{};
  }
  note_opened(pool.uuid, engine, opened);
  CO_TRY(settled, co_await engine.settle_pool(pool.uuid));
  co_await start_scrubs(engine, pool.uuid);
  CO_TRY(conts, co_await load_conts(pool.uuid));
  for (const HeldCont& cont : conts) {
    if (cont.record.state != State::ready) continue;
    const SnapLock alone = co_await lock_snapshots(cont.uuid);
    const auto still = co_await load_cont(pool.uuid, cont.uuid);
    if (!still) continue;  // destroyed meanwhile
    CO_TRY(started, co_await start_snapshots(engine, pool.uuid, *still));
    CO_TRY(told, co_await start_worm(engine, pool.uuid, cont.uuid));
  }
  co_return Result<void>{};
}

/// A pool that is just being made may have its shards on the engine already: nobody else would open
/// them again.
Task<Result<void>> Service::wait_until_made(HeldPool& pool) {
  if (!making_.contains(pool.uuid)) co_return Result<void>{};
  while (making_.contains(pool.uuid)) co_await reactor_.sleep(kMakingLook);
  auto again = co_await load_pool(pool.uuid);
  if (again) {
    pool = std::move(*again);
  } else if (again.error().code() == Errc::nonexistent) {
    pool.record.state = State::none;
  } else {
    co_return fail(again.error());
  }
  co_return Result<void>{};
}

Task<Result<void>> Service::catch_up(ShardHost& engine) {
  CO_TRY(hold, gate_.enter());
  CO_TRY(pools, co_await load_pools());
  for (HeldPool& pool : pools) {
    CO_TRY(settled, co_await wait_until_made(pool));
    if (pool.record.state != State::ready || in_work(pool.uuid)) continue;
    CO_TRY(caught_up, co_await catch_up_pool(engine, std::move(pool)));
  }
  // Who opens a handle from here on tells this engine, too, perhaps before it hears of these.
  const uint64_t as_of_ns = reactor_.clock().wall_ns();
  Handles handles;
  std::vector<std::pair<uint64_t, wire::HandleRef>> told;
  for (const auto& [id, handle] : cont_handles_) {
    if (handle.evicted) continue;
    handles.emplace_back(grant_of(handle), handle.io);
    told.emplace_back(id, handle.io);
  }
  CO_TRY(retained, co_await engine.retain(std::move(handles), as_of_ns));
  // What was closed meanwhile may have been opened there after it was told to close it.
  for (const auto& [id, io] : told) {
    const auto found = cont_handles_.find(id);
    if (found == cont_handles_.end() || found->second.evicted) co_await engine.revoke(io);
  }
  co_return Result<void>{};
}

/// What is decided and was not done everywhere, for want of an engine.
Task<void> Service::end_decided() {
  const auto wanted = std::exchange(unended_, {});
  for (const auto& [pool, uuid] : wanted) co_await end_decided_of(pool, uuid);
}

Task<void> Service::end_decided_of(Uuid pool, Uuid uuid) {
  const SnapLock alone = co_await lock_snapshots(uuid);
  const auto cont = co_await load_cont(pool, uuid);
  if (!cont && cont.error().code() != Errc::nonexistent) remember_unended(pool, uuid);
  if (!cont) co_return;
  const bool seals = cont->record.seal.is_under_way();
  if (cont->record.rollback.epoch != 0) {
    const auto done = co_await finish_rollback(host_, pool, *cont);
    if (done && !co_await end_rollback(pool, uuid)) remember_unended(pool, uuid);
  }
  if (!seals) {
    // An engine could not be told; it was reported then.
    const bool there = cont->record.state == State::ready && !in_work(uuid);
    if (there && cont->record.worm_told) {
      [[maybe_unused]] const auto told = co_await tell_worm_again(pool, uuid);
    }
    co_return;
  }
  const auto done = co_await finish_seal(host_, pool, *cont);
  if (done && !co_await end_seal(pool, uuid)) remember_unended(pool, uuid);
}

Task<void> Service::finish_removals() {
  const auto hold = gate_.enter();
  if (!hold || options_.read_only) co_return;
  co_await end_decided();
  const auto pools = co_await load_pools();
  if (!pools) co_return;
  for (const HeldPool& pool : *pools) {
    if (in_work(pool.uuid)) continue;
    if (pool.record.state != State::ready) {
      [[maybe_unused]] const auto done = co_await finish_pool_destroy(pool.uuid);
      continue;
    }
    const auto conts = co_await load_conts(pool.uuid);
    if (!conts) continue;
    for (const HeldCont& cont : *conts) {
      if (cont.record.state != State::destroying || in_work(cont.uuid)) continue;
      [[maybe_unused]] const auto done =
          co_await finish_cont_destroy(pool.uuid, cont.uuid, cont.record);
    }
  }
}

}  // namespace cairn::service
