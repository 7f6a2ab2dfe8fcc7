// Changes of a pool that is there: its properties, and engines that join it; and of the engines
// themselves: stopped and started.
#include "service/pool_change.h"

#include <algorithm>
#include <set>

#include "base/report.h"
#include "model/label.h"
#include "service/props.h"
#include "service/service.h"

namespace cairn::service {

void add_targets(wire::PoolMap& map, const Targets& targets) {
  for (const model::TargetId& id : targets) {
    map.targets.push_back({.rank = id.rank,
                           .index = id.index,
                           .state = static_cast<uint32_t>(model::TargetState::up_in),
                           .weight = 1,
                           .generation = map.generation});
  }
}

Result<Targets> Service::targets_at(const std::vector<wire::Target>& ranks) const {
  if (ranks.empty()) return options_.targets;
  std::set<uint32_t> wanted, found;
  for (const wire::Target& each : ranks) wanted.insert(each.rank);
  Targets out;
  for (const model::TargetId& id : options_.targets) {
    if (!wanted.contains(id.rank)) continue;
    out.push_back(id);
    found.insert(id.rank);
  }
  if (found != wanted) return fail(Errc::nonexistent, "pool: no engine of that rank");
  return out;
}

Task<Result<Service::Reply>> Service::pool_set_props(const Request& request) {
  CO_TRY(pool, co_await find_pool(request.name));
  CO_TRY(fine, check_pool_props(request.props, options_.domain_count));
  if (request.props.empty()) co_return fail(Errc::invalid, "pool: no property is given");
  ConfigTxn txn;
  txn.expect(pool_key(pool.uuid), pool.modified);
  for (const wire::Prop& changed : request.props) {
    if (changed.number == prop::kPoolLabel && *changed.text != pool.record.label) {
      CO_TRY(well_formed, model::check_label(*changed.text));
      const std::string key = pool_label_key(*changed.text);
      CO_TRY(taken, co_await config_.get(key));
      if (taken) co_return fail(Errc::exists, "pool: the label is taken; choose another one");
      const auto id = view_of(pool.uuid.bytes.data(), pool.uuid.bytes.size());
      txn.expect(key, 0).put(key, Bytes(id.begin(), id.end()));
      txn.erase(pool_label_key(pool.record.label));
      pool.record.label = *changed.text;
    }
    set_prop(pool.record.props, changed);
  }
  txn.put(pool_key(pool.uuid), wire::proto_encode(pool.record));
  const auto done = co_await commit_done(request, std::move(txn), {});
  if (!done && done.error().code() == Errc::again) {
    co_return fail(Errc::busy, "pool: somebody else changes it; try again");
  }
  if (!done) co_return fail(done.error());
  // Also one that says the same: it may have failed to reach an engine before.
  co_await start_scrubs(host_, pool.uuid);
  co_return Reply{};
}

/// Shards first, then the record that makes them count: a crash between leaves files, which the
/// next attempt, or the pool's end, removes.
Task<Result<void>> Service::extend_shards(const Request& request, HeldPool pool) {
  CO_TRY(joining, targets_at(request.targets));
  wire::PoolMap map = map_of(pool.record);
  for (const wire::Target& target : map.targets) {
    const bool twice = std::ranges::any_of(
        joining, [&](const model::TargetId& id) { return id.rank == target.rank; });
    if (twice) co_return fail(Errc::busy, "pool: has that rank already");
  }
  ++map.version;
  ++map.generation;
  add_targets(map, joining);
  const Targets before = targets_of(pool.record);
  pool.record.map = std::move(map);
  const PoolRecord& record = pool.record;
  const ShardSizes sizes{record.wal_bytes, record.meta_bytes, record.data_bytes,
                         record.memory_bytes};
  const auto made = co_await host_.extend_pool(pool.uuid, targets_of(record), sizes);
  if (!made) {
    // Engines that have made theirs drop them; who cannot be asked does it the next time.
    [[maybe_unused]] const auto undone = co_await host_.extend_pool(pool.uuid, before, sizes);
    co_return fail(made.error());
  }
  step("pool.extend.shards");
  ConfigTxn txn;
  txn.expect(pool_key(pool.uuid), pool.modified);
  txn.put(pool_key(pool.uuid), wire::proto_encode(record));
  const auto committed = co_await commit_done(request, std::move(txn), {});
  if (!committed) {
    // After an I/O error the record may be there, and its shards must be, too.
    if (committed.error().code() != Errc::io) {
      [[maybe_unused]] const auto undone = co_await host_.extend_pool(pool.uuid, before, sizes);
    }
    co_return fail(committed.error());
  }
  step("pool.extend.record");
  // From here on they belong to the pool; an engine that does not hear of it opens them when it
  // comes back.
  const auto opened =
      co_await host_.serve_extension(pool.uuid, targets_of(record), record.memory_bytes);
  if (!opened) {
    report(Severity::warning, "pool " + record.label +
                                  ": an engine that joined it cannot open it "
                                  "yet: " +
                                  opened.error().what());
  }
  co_await start_scrubs(host_, pool.uuid);
  co_await tell_new_shards(pool.uuid);
  co_return Result<void>{};
}

/// Containers that there are stay where they are; new ones spread over all engines of the pool.
Task<Result<Service::Reply>> Service::pool_extend(const Request& request) {
  if (request.targets.empty()) co_return fail(Errc::invalid, "pool: say which ranks join");
  CO_TRY(pool, co_await find_pool(request.name));
  const Uuid uuid = pool.uuid;
  CO_TRY(whole, check_whole(uuid));
  // Before it counts as being made: an engine that comes waits for that.
  CO_TRY(joining, targets_at(request.targets));
  CO_TRY(there, co_await host_.ready(uuid, std::move(joining)));
  if (in_work(uuid)) co_return fail(Errc::busy, "pool: somebody else changes it; try again");
  making_.insert(uuid);
  const auto done = co_await extend_shards(request, std::move(pool));
  making_.erase(uuid);
  if (!done && done.error().code() == Errc::again) {
    co_return fail(Errc::busy, "pool: somebody else changes it; try again");
  }
  if (!done) co_return fail(done.error());
  co_return Reply{};
}

Task<Result<Service::Reply>> Service::set_running(const Request& request, bool run) {
  if (!options_.set_running) {
    co_return fail(Errc::not_supported, "system: its engines run in the calling process");
  }
  std::set<uint32_t> known, wanted;
  for (const model::TargetId& id : options_.targets) known.insert(id.rank);
  for (const wire::Target& each : request.targets) wanted.insert(each.rank);
  if (wanted.empty()) wanted = known;
  if (!std::ranges::includes(known, wanted)) {
    co_return fail(Errc::nonexistent, "system: no engine of that rank");
  }
  Reply reply;
  reply.results = co_await options_.set_running({wanted.begin(), wanted.end()}, run);
  co_return reply;
}

}  // namespace cairn::service
