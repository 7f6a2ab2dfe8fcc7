#include <algorithm>

#include "base/report.h"
#include "index/budget.h"
#include "model/label.h"
#include "service/pool_change.h"
#include "service/props.h"
#include "service/service.h"

namespace cairn::service {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

bool is_access(uint32_t access) {
  return access == kReadOnly || access == kReadWrite || access == kExclusive;
}

}  // namespace

Result<ShardSizes> shard_sizes(uint64_t bytes, uint64_t meta_bytes) {
  if (bytes < kPoolBytesMin) {
    return fail(Errc::invalid, "pool: too small; ask for at least 128 MiB for each target");
  }
  ShardSizes sizes;
  // Small files live in the metadata, so small pools get more than the usual 6 %.
  const uint64_t usual = std::max(std::clamp(bytes / 8, 64 * kMiB, 1024 * kMiB), bytes / 100 * 6);
  sizes.meta_bytes = round_down(meta_bytes == 0 ? usual : meta_bytes, kMiB);
  sizes.data_bytes = round_down(bytes, kMiB) - std::min(round_down(bytes, kMiB), sizes.meta_bytes);
  if (sizes.meta_bytes < 64 * kMiB || sizes.data_bytes < 16 * kMiB) {
    return fail(Errc::invalid,
                "pool: each target needs at least 64 MiB for metadata and 16 MiB for data");
  }
  // A checkpoint writes what changed since the one before; a log of half of the metadata keeps that
  // near the bytes of the updates themselves.
  sizes.wal_bytes = std::clamp(round_up(sizes.meta_bytes / 2, kMiB), 32 * kMiB, 512 * kMiB);
  return sizes;
}

/// What the request says about memory. @error no_memory  too little for one operation
Result<uint64_t> memory_of(const wire::ControlRequest& request, uint64_t meta_bytes) {
  constexpr uint64_t kWhole = 10'000;
  uint64_t bytes = request.memory_bytes;
  if (bytes == 0 && request.memory_ratio == 0) return uint64_t{0};
  if (bytes == 0) {
    if (request.memory_ratio > kWhole) {
      return fail(Errc::invalid, "pool: more memory than metadata");
    }
    bytes = meta_bytes / kWhole * request.memory_ratio +
            meta_bytes % kWhole * request.memory_ratio / kWhole;
  }
  if (bytes < index::kMemoryBytesMin) {
    return fail(Errc::no_memory,
                "pool: the memory budget is too small for one operation; ask for 4 MiB at least");
  }
  return bytes;
}

Task<Result<Service::HeldPool>> Service::load_pool(Uuid uuid) {
  CO_TRY(entry, co_await config_.get(pool_key(uuid)));
  if (!entry) co_return fail(Errc::nonexistent, "pool: no pool of that name");
  CO_TRY(record, parse_record<PoolRecord>(entry->value));
  if (record.state != State::ready) {
    co_return fail(Errc::nonexistent, "pool: no pool of that name");
  }
  co_return HeldPool{uuid, std::move(record), entry->modified};
}

Task<Result<Service::HeldPool>> Service::find_pool(std::string name) {
  CO_TRY(parsed, model::parse_name(name));
  if (parsed.uuid) co_return co_await load_pool(*parsed.uuid);
  CO_TRY(entry, co_await config_.get(pool_label_key(name)));
  if (!entry || entry->value.size() != sizeof(Uuid::bytes)) {
    co_return fail(Errc::nonexistent, "pool: no pool of that name");
  }
  Uuid uuid;
  std::ranges::copy(as_chars(entry->value), uuid.bytes.begin());
  co_return co_await load_pool(uuid);
}

/// As the pool's properties say when it ends: somebody else may change them, and tell of it, while
/// this is on its way. A failure costs some scrubs, until the next change or open.
Task<void> Service::start_scrubs(ShardHost& host, Uuid pool) {
  std::optional<model::ScrubPolicy> sent;
  for (;;) {
    const auto held = co_await load_pool(pool);
    if (!held && held.error().code() == Errc::nonexistent) co_return;  // destroyed meanwhile
    Result<void> told;
    if (!held) told = fail(held.error());
    if (held && sent == scrub_policy(held->record.props)) co_return;
    if (held) {
      sent = scrub_policy(held->record.props);
      told = co_await host.set_scrub(pool, *sent);
    }
    if (told) continue;
    report(Severity::warning,
           "pool " + (held ? held->record.label : to_string(pool)) +
               ": an engine does not know how to scrub it: " + told.error().what());
    co_return;
  }
}

Task<Result<Service::Reply>> Service::build_pool(const Request& request, Uuid uuid,
                                                 PoolRecord record) {
  const auto made = co_await host_.create_pool(
      uuid, targets_of(record),
      {record.wal_bytes, record.meta_bytes, record.data_bytes, record.memory_bytes});
  if (!made) {
    // Its own failure changes nothing: start() removes what is left.
    if (!co_await finish_pool_destroy(uuid)) {
      report(Severity::warning,
             "pool " + to_string(uuid) + ": half-made; removed later");
    }
    co_return fail(made.error());
  }
  step("pool.create.files");
  record.state = State::ready;
  ConfigTxn txn;
  txn.put(pool_key(uuid), wire::proto_encode(record));
  CO_TRY(done, co_await commit_done(request, std::move(txn), {.uuid = uuid}));
  co_await start_scrubs(host_, uuid);
  co_return Reply{.uuid = uuid};
}

Task<Result<Service::Reply>> Service::pool_create(const Request& request) {
  PoolRecord record{.state = State::creating, .label = request.label, .props = request.props};
  if (const auto* label = find_prop(request.props, prop::kPoolLabel);
      label != nullptr && record.label.empty() && label->text) {
    record.label = *label->text;
  }
  CO_TRY(fine, model::check_label(record.label));
  CO_TRY(props, check_pool_props(request.props, options_.domain_count));
  CO_TRY(targets, targets_at(request.targets));
  const uint64_t target_count = targets.size();
  CO_TRY(sizes, shard_sizes(request.bytes / target_count, request.meta_bytes / target_count));
  set_prop(record.props, {.number = prop::kPoolLabel, .text = record.label});
  record.wal_bytes = sizes.wal_bytes;
  record.meta_bytes = sizes.meta_bytes;
  record.data_bytes = sizes.data_bytes;
  CO_TRY(memory_bytes, memory_of(request, sizes.meta_bytes));
  record.memory_bytes = memory_bytes;
  record.map = {.version = 1, .generation = 1, .targets = {}};
  add_targets(record.map, targets);

  // Found out now, an engine's absence leaves nothing to clean up.
  CO_TRY(there, co_await host_.ready({}, targets));
  const Uuid uuid = uuid_from_random(reactor_.random().bytes16());
  ConfigTxn txn;
  const std::string label_key = pool_label_key(record.label);
  txn.expect(label_key, 0).expect(pool_key(uuid), 0);
  const auto id = view_of(uuid.bytes.data(), uuid.bytes.size());
  txn.put(label_key, Bytes(id.begin(), id.end()));
  txn.put(pool_key(uuid), wire::proto_encode(record));
  making_.insert(uuid);
  const auto reserved = co_await config_.commit(std::move(txn));
  if (!reserved) {
    making_.erase(uuid);
    if (reserved.error().code() != Errc::again) co_return fail(reserved.error());
    co_return fail(Errc::exists, "pool: the label is taken; choose another one");
  }
  step("pool.create.record");
  auto built = co_await build_pool(request, uuid, std::move(record));
  making_.erase(uuid);
  co_return built;
}

wire::PoolMap Service::map_of(const PoolRecord& record) {
  if (!record.map.targets.empty()) return record.map;
  wire::PoolMap map{.version = 1, .generation = 1, .targets = {}};
  map.targets.push_back(
      {.state = static_cast<uint32_t>(model::TargetState::up_in), .weight = 1, .generation = 1});
  return map;
}

/// The map as clients get it: with where its engines are.
wire::PoolMap Service::told_map(const PoolRecord& record) const {
  wire::PoolMap map = map_of(record);
  map.engines = host_.engines();
  return map;
}

Targets Service::targets_of(const PoolRecord& record) {
  Targets targets;
  for (const wire::Target& target : map_of(record).targets) {
    targets.push_back({target.rank, target.index});
  }
  return targets;
}

/// Of the pool's, those whose engine cannot be asked.
uint32_t Service::targets_away(const wire::PoolMap& map) const {
  uint32_t count = 0;
  for (const wire::EngineInfo& engine : host_.engines()) {
    if (engine.state == wire::EngineState::joined) continue;
    count += static_cast<uint32_t>(std::ranges::count(map.targets, engine.rank,
                                                      &wire::Target::rank));
  }
  return count;
}

Task<wire::PoolReply> Service::describe(HeldPool pool) {
  wire::PoolReply out;
  out.uuid = pool.uuid;
  out.label = pool.record.label;
  out.map = map_of(pool.record);
  std::set<uint32_t> ranks;
  for (const wire::Target& target : out.map.targets) ranks.insert(target.rank);
  out.target_count = static_cast<uint32_t>(out.map.targets.size());
  out.engine_count = static_cast<uint32_t>(ranks.size());
  out.map_version = out.map.version;
  out.props = pool.record.props;
  out.memory_bytes = pool.record.memory_bytes;
  if (const auto space = co_await host_.space(pool.uuid)) {
    out.data_total = space->data_total;
    out.data_free = space->data_free;
    out.meta_total = space->meta_total;
    out.meta_free = space->meta_free;
    out.meta_used = space->meta_used;
    out.disabled_count = space->targets_away == 0 ? 0 : targets_away(out.map);
    out.data_total += pool.record.data_bytes * out.disabled_count;
    out.meta_total += pool.record.meta_bytes * out.disabled_count;
  } else {
    out.data_total = pool.record.data_bytes * out.target_count;
    out.meta_total = pool.record.meta_bytes * out.target_count;
    out.disabled_count = out.target_count;
  }
  co_return out;
}

Task<Result<Service::Reply>> Service::pool_list() {
  CO_TRY(entries, co_await config_.range("pools/"));
  Reply reply;
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<PoolRecord>(entry.value));
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(sizeof("pools/") - 1));
    if (!uuid) co_return fail(Errc::checksum, "config store: a key that names no pool");
    if (record.state != State::ready) continue;
    reply.pools.push_back(co_await describe({*uuid, std::move(record), entry.modified}));
  }
  std::ranges::sort(reply.pools, {}, &wire::PoolReply::label);
  co_return reply;
}

Task<Result<void>> Service::check_pool_idle(HeldPool pool, bool force) {
  if (force) co_return Result<void>{};
  for (const auto& [id, handle] : pool_handles_) {
    if (handle.pool == pool.uuid && handle.owner == 0) {
      co_return fail(Errc::busy, "pool: connected; disconnect its users or force");
    }
  }
  CO_TRY(conts, co_await config_.range(conts_prefix(pool.uuid)));
  if (!conts.empty()) {
    co_return fail(Errc::busy, "pool: holds containers; destroy them first or force");
  }
  co_return Result<void>{};
}

Task<Result<Service::Reply>> Service::pool_destroy(const Request& request) {
  CO_TRY(pool, co_await find_pool(request.name));
  CO_TRY(idle, co_await check_pool_idle(pool, request.force));
  if (making_.contains(pool.uuid) || !going_.insert(pool.uuid).second) {
    co_return fail(Errc::busy, "pool: is being destroyed or extended already");
  }
  pool.record.state = State::destroying;
  ConfigTxn txn;
  txn.expect(pool_key(pool.uuid), pool.modified);
  txn.put(pool_key(pool.uuid), wire::proto_encode(pool.record));
  txn.erase(pool_label_key(pool.record.label));
  const auto marked = co_await commit_done(request, std::move(txn), {});
  if (!marked) {
    going_.erase(pool.uuid);
    if (marked.error().code() != Errc::again) co_return fail(marked.error());
    co_return fail(Errc::busy, "pool: in use meanwhile; try again");
  }
  step("pool.destroy.tombstone");
  for (auto& [id, handle] : pool_handles_) {
    if (handle.pool != pool.uuid) continue;
    count_out(handle);
    handle.evicted = true;
  }
  for (auto& [id, handle] : cont_handles_) {
    if (handle.pool != pool.uuid) continue;
    count_out(handle);
    handle.evicted = true;
  }
  const auto finished = co_await finish_pool_destroy(pool.uuid);
  going_.erase(pool.uuid);
  if (!finished) {
    report(Severity::warning, "pool " + to_string(pool.uuid) +
                                  ": its space is freed later: " + finished.error().what());
  }
  co_return Reply{};
}

/// Files first, then the keys, the record last: repeatable from any point.
Task<Result<void>> Service::finish_pool_destroy(Uuid uuid) {
  CO_TRY(freed, co_await free_label(uuid));
  CO_TRY(removed, co_await host_.remove_pool(uuid));
  step("pool.destroy.files");
  broken_.erase(uuid);
  CO_TRY(emptied, co_await erase_prefix(pool_prefix(uuid)));
  CO_TRY(entry, co_await config_.get(pool_key(uuid)));
  if (!entry) co_return Result<void>{};
  ConfigTxn txn;
  txn.expect(pool_key(uuid), entry->modified).erase(pool_key(uuid));
  CO_TRY(done, co_await config_.commit(std::move(txn)));
  co_return Result<void>{};
}

/// A half-made pool holds its label. That goes before anything else: whoever asks for the pool
/// again must not be told that it exists as long as an engine with a part of it is away.
Task<Result<void>> Service::free_label(Uuid uuid) {
  CO_TRY(entry, co_await config_.get(pool_key(uuid)));
  if (!entry) co_return Result<void>{};
  CO_TRY(record, parse_record<PoolRecord>(entry->value));
  if (record.state != State::creating) co_return Result<void>{};
  record.state = State::destroying;
  ConfigTxn txn;
  txn.expect(pool_key(uuid), entry->modified).put(pool_key(uuid), wire::proto_encode(record));
  txn.erase(pool_label_key(record.label));
  CO_TRY(done, co_await config_.commit(std::move(txn)));
  co_return Result<void>{};
}

Task<Result<void>> Service::erase_prefix(std::string prefix) {
  CO_TRY(entries, co_await config_.range(std::move(prefix)));
  std::vector<std::string> keys;
  for (auto& entry : entries) keys.push_back(std::move(entry.key));
  co_return co_await erase_keys(std::move(keys));
}

Task<Result<void>> Service::erase_keys(std::vector<std::string> keys) {
  for (size_t at = 0; at < keys.size(); at += kEraseMax) {
    ConfigTxn txn;
    for (size_t i = at; i < std::min(keys.size(), at + kEraseMax); ++i) txn.erase(keys[i]);
    CO_TRY(done, co_await config_.commit(std::move(txn)));
  }
  co_return Result<void>{};
}

Task<Result<Service::Reply>> Service::pool_connect(const Request& request) {
  if (!is_access(request.access)) {
    co_return fail(Errc::invalid, "pool: connect read only, read-write or exclusively");
  }
  CO_TRY(pool, co_await find_pool(request.name));
  if (going_.contains(pool.uuid)) co_return fail(Errc::nonexistent, "pool: is being destroyed");
  CO_TRY(whole, check_whole(pool.uuid));
  CO_TRY(alone, check_exclusive(pool.uuid, request.access));
  const uint64_t id = new_handle_id();
  const PoolHandle handle{
      .session = request.origin.session, .pool = pool.uuid, .access = request.access};
  pool_handles_[id] = handle;
  count_in(handle);
  co_return co_await keep_handle(
      request, id,
      {.uuid = pool.uuid, .handle = id, .access = request.access, .map = told_map(pool.record)});
}

Task<Result<Service::Reply>> Service::pool_disconnect(const Request& request) {
  const auto found = pool_handles_.find(request.pool_handle);
  if (found == pool_handles_.end() || found->second.session != request.origin.session) {
    co_return fail(Errc::no_handle, "pool: unknown or closed handle");
  }
  for (const auto& [id, handle] : cont_handles_) {
    if (handle.pool_handle == request.pool_handle && !handle.evicted) {
      co_return fail(Errc::busy, "pool: containers opened through it are still open");
    }
  }
  Closing closing;
  take(request.pool_handle, closing);
  co_return co_await close_handles(request, request.pool_handle, std::move(closing));
}

Task<Result<Service::Reply>> Service::pool_query(const Request& request) {
  CO_TRY(handle, pool_handle(request));
  CO_TRY(pool, co_await load_pool(handle->pool));
  Reply reply;
  reply.pools.push_back(co_await describe(std::move(pool)));
  co_return reply;
}

Task<Result<void>> Service::start_cont(Uuid pool, HeldCont cont) {
  if (cont.record.state == State::destroying && !options_.read_only) {
    const auto done = co_await finish_cont_destroy(pool, cont.uuid, cont.record);
    if (!done) {
      report(Severity::warning,
             "container " + to_string(cont.uuid) +
                 ": destroyed, its space is freed later: " + done.error().what());
    }
  }
  hlc_.advance(std::max({cont.record.open_time, cont.record.modify_time, cont.record.seal.epoch}));
  if (cont.record.state != State::ready) co_return Result<void>{};
  const Uuid uuid = cont.uuid;
  CO_TRY(snapshots, co_await start_snapshots(host_, pool, std::move(cont)));
  co_return co_await start_worm(host_, pool, uuid);
}

void Service::note_opened(const Uuid& pool, const ShardHost& engine, const Result<void>& opened) {
  const uint32_t rank = engine.engines().front().rank;
  if (!opened) {
    broken_[pool].insert_or_assign(rank, opened.error());
    return;
  }
  const auto found = broken_.find(pool);
  if (found == broken_.end()) return;
  found->second.erase(rank);
  if (found->second.empty()) broken_.erase(found);
}

Result<void> Service::check_whole(const Uuid& pool) const {
  const auto found = broken_.find(pool);
  if (found == broken_.end()) return {};
  return fail(found->second.begin()->second);
}

Task<Result<void>> Service::start_pool(HeldPool pool) {
  if (pool.record.state != State::ready && !options_.read_only) {
    const auto done = co_await finish_pool_destroy(pool.uuid);
    if (done) co_return Result<void>{};
    report(Severity::warning, "pool " + to_string(pool.uuid) +
                                  ": destroyed, its space is freed later: " + done.error().what());
    co_return Result<void>{};
  }
  if (pool.record.state != State::ready) co_return Result<void>{};
  const auto opened =
      co_await host_.open_pool(pool.uuid, targets_of(pool.record), pool.record.memory_bytes);
  if (!opened) {
    report(Severity::error, "pool " + pool.record.label + " (" + to_string(pool.uuid) +
                                "): cannot be opened: " + opened.error().what() +
                                "; restore its files, or destroy it by force");
    note_opened(pool.uuid, host_, opened);
    co_return Result<void>{};
  }
  co_await start_scrubs(host_, pool.uuid);
  CO_TRY(entries, co_await config_.range(conts_prefix(pool.uuid)));
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<ContRecord>(entry.value));
    const auto uuid =
        parse_uuid(std::string_view(entry.key).substr(conts_prefix(pool.uuid).size()));
    if (!uuid) co_return fail(Errc::checksum, "config store: a key that names no container");
    CO_TRY(started, co_await start_cont(pool.uuid, {*uuid, std::move(record), entry.modified}));
  }
  co_return Result<void>{};
}

}  // namespace cairn::service
