#include "vos/shard.h"

#include <algorithm>

#include "base/report.h"
#include "index/budget.h"
#include "vos/aside.h"
#include "vos/claims.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

/// Records that one batch of a container's removal takes.
constexpr size_t kDestroySlice = 512;
/// Sessions in one record of a checkpoint.
constexpr size_t kSessionsAtOnce = 16;

/// The part of the budget that buffers of flattened objects have beside the store. One with little
/// memory needs all of it for pages: a quarter of what it has for tables must do.
uint64_t flat_bytes(uint64_t memory_bytes) {
  return memory_bytes < (128u << 20) ? 0 : memory_bytes / 16;
}
uint64_t flat_bytes_max(uint64_t memory_bytes) {
  return std::max(flat_bytes(memory_bytes), index::table_bytes(memory_bytes) / 4);
}

index::StoreOptions store_options(const Uuid& pool, const ShardOptions& options) {
  index::StoreOptions store = options.store;
  store.memory_bytes -= flat_bytes(store.memory_bytes);
  store.claims = claims_of;
  store.owner_tag[0] = load_be64(pool.bytes.data());
  store.owner_tag[1] = load_be64(pool.bytes.data() + 8);
  return store;
}

/// Saves every session that changed, a few in one record, and the number of markers. The last look,
/// the last commit and the freeze that follows are one step: an update of a session in between
/// would be neither in the table nor in what is left of the log, and could be executed twice.
Task<Result<void>> save_sessions(Shard::State& state) {
  index::Batch batch;
  for (size_t count = kSessionsAtOnce;;) {
    batch.clear();
    const Sessions::Saving saving = state.sessions.save(batch, state.newest, count);
    const uint64_t markers = state.markers.total();
    if (markers != state.markers_saved && markers == 0) batch.erase(marker_count_key());
    if (markers != state.markers_saved && markers != 0) {
      Bytes value;
      put_marker_count(value, state.newest, markers);
      batch.put(marker_count_key(), value);
    }
    if (batch.empty()) co_return Result<void>{};
    auto ready = state.tree().prepare(batch, index::Pager::Use::checkpoint);
    if (ready) {
      state.store->commit({0, 0, state.newest, 0, 0}, batch, {state.hlc.last(), state.lease});
      state.sessions.saved(saving);
      state.markers_saved = markers;
      continue;
    }
    if (ready.error().code() == Errc::page_absent) {
      ready = co_await state.store->load_absent();
      if (ready) continue;
    }
    const Errc code = ready.error().code();
    if (count == 1 || (code != Errc::no_space && code != Errc::no_memory)) co_return ready;
    count = 1;
  }
}

/// Of what the budget has for tables: a quarter for sessions, so that a shard of 256 MiB knows
/// 24,575 clients, half for their updates.
void limit_sessions(Sessions& sessions, const ShardOptions& options) {
  const uint64_t bytes = index::table_bytes(options.store.memory_bytes);
  sessions.limit_bytes(bytes / 4);
  sessions.limit_entries(bytes / 2 / kSessionEntryBytes);
}

void attach(Shard::State& state, const ShardOptions& options) {
  state.hlc.advance(1);  // the epoch of a transaction that reads an empty shard
  state.evicting = options.store.evict_always;
  state.flats.limit_bytes(flat_bytes_max(options.store.memory_bytes));
  state.record_bytes_max = std::min<uint64_t>(4u << 20, state.store->record_bytes_max());
  // A step has half of the pages; a record that is taken out, and the one that history gets, ask
  // for four each at worst (Tree::prepare()). The rest is for the change itself.
  state.inflated_records_max = options.store.memory_bytes / index::kPageBytes / 22;
  Shard::State* const s = &state;
  state.store->before_checkpoint([s] { return save_sessions(*s); });
  // Without it, nothing is done in the background.
  state.background_over = state.merges_over = !options.reclaim;
  if (!options.reclaim) return;
  state.reactor.spawn(run_background(state));
  state.reactor.spawn(run_merges(state));
}

/// Reads what the tree keeps for memory: sessions, transactions, markers and snapshots.
struct Reader {
  Shard::State& state;
  Key next = range_prefix(0, Range::session);
  bool markers = false;     // the shard's own ranges are done
  bool passed = false;      // a page that cannot be read was passed over
  bool count_lost = false;  // and the number of markers may have stood in it
  bool packs_lost = false;  // and extents of flattened objects

  /// One record a call; false at the end.
  Result<bool> step();
};

Result<bool> Reader::step() {
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(next));
  const bool inside = cursor.valid() && cursor.key().size() > kRangePrefixBytes;
  if (!markers && (!inside || load_be32(cursor.key().data()) != 0)) {
    markers = true;
    next = range_prefix(1, Range::marker);
    return true;
  }
  if (!inside) return false;
  const ByteView key = cursor.key();
  if (!markers && as_chars(key) == as_chars(marker_count_key())) {
    TRY(count, parse_marker_count(cursor.value()));
    state.markers_saved = count;
  } else if (!markers && in_range(key, Range::session)) {
    TRY(loaded, state.sessions.load(key, cursor.value()));
  } else if (!markers) {
    if (in_range(key, Range::transaction)) {
      TRY(loaded, load_entry(state, key, cursor.value()));
    }
  } else if (in_range(key, Range::marker)) {
    TRY(bytes, object_prefix_bytes(key));
    state.markers.add(key.first(bytes));
  } else if (in_range(key, Range::pack)) {
    TRY(block, parse_pack_key(key));
    TRY(record, parse_pack(cursor.value()));
    state.flats.add_pack(load_be32(key.data()));
    state.flats.note_pack({load_be32(key.data()), block}, record);
  } else if (in_range(key, Range::policy)) {
    TRY(loaded, state.worm.load(key, cursor.value()));
  } else if (in_range(key, Range::snapshot)) {
    TRY(epoch, parse_snapshot_key(key));
    TRY(snapshot_state, parse_snapshot(cursor.value()));
    const ContNumber container = load_be32(key.data());
    state.snapshots.set(container, {epoch, snapshot_state, epoch_of(cursor.value())});
    if (snapshot_state == SnapshotState::restoring) {
      state.closures.set(container,
                         std::make_shared<Closure>(state.reactor, Closure::Kind::rollback));
    }
  } else {
    const ContNumber container = load_be32(key.data());
    const bool past = key[4] > static_cast<std::byte>(Range::snapshot);
    if (past && container == UINT32_MAX) return false;
    next = range_prefix(past ? container + 1 : container, Range::marker);
    return true;
  }
  next = {};
  next.add(key);
  next.add(0);
  return true;
}

/// May records of extents of flattened objects stand in [low, high)? Empty `high`: to the end.
bool may_hold_packs(ByteView low, ByteView high) {
  ContNumber container = low.size() < 5 ? 1 : std::max<ContNumber>(1, load_be32(low.data()));
  const bool past = low.size() >= 5 && load_be32(low.data()) == container &&
                    low[4] > static_cast<std::byte>(Range::pack);
  if (past && container == UINT32_MAX) return false;
  if (past) ++container;
  return high.empty() || as_chars(range_prefix(container, Range::pack).view()) < as_chars(high);
}

/// Goes on behind a page that cannot be read: it hides sessions, whose updates are then answered
/// with "unknown", markers, extents of flattened objects, and policies of containers, of which the
/// services tell the shard again before it is served; everything else is still there.
/// @returns false: there is nothing behind it
Task<Result<bool>> pass_lost(Shard::State& state, Reader& reader, Key& tried) {
  CO_TRY(span, co_await state.store->span_at(
                   Bytes(reader.next.view().begin(), reader.next.view().end())));
  // The leaf is whole: it had no such record, and the next one is the lost one. Or a read failed
  // once only: again, then.
  const bool again = as_chars(tried) != as_chars(reader.next);
  tried = reader.next;
  if (!span.lost && again) co_return true;
  if (span.lost) {
    reader.passed = true;
    reader.packs_lost = reader.packs_lost || may_hold_packs(span.low, span.high);
    const Key count = marker_count_key();
    reader.count_lost = reader.count_lost || as_chars(ByteView(span.low)) <= as_chars(count);
    report(Severity::error, "shard: page " + std::to_string(span.lost->page) + ": " +
                                span.lost->cause + "; `cairn check --losses` lists what it held");
  }
  if (span.high.empty() || span.high.size() > Key::kRoom) co_return false;
  const Key first = range_prefix(1, Range::live);
  reader.markers = reader.markers || as_chars(ByteView(span.high)) >= as_chars(first);
  reader.next = {};
  reader.next.add(ByteView(span.high));
  co_return true;
}

Task<Result<void>> load_tables(Shard::State& state) {
  Reader reader{state};
  Key tried;
  for (;;) {
    auto stepped = reader.step();
    if (stepped && !*stepped) break;
    if (stepped) continue;
    if (stepped.error().code() != Errc::page_absent) co_return fail(stepped.error());
    const auto loaded = co_await state.store->load_absent();
    if (loaded) continue;
    const Errc code = loaded.error().code();
    if (code != Errc::checksum && code != Errc::io) co_return loaded;
    CO_TRY(more, co_await pass_lost(state, reader, tried));
    if (!more) break;
  }
  const bool all_known =
      !reader.count_lost && !state.markers_replayed && state.markers.total() == state.markers_saved;
  if (reader.passed && !all_known) state.markers.forget();
  if (reader.packs_lost) state.flats.forget();
  state.sessions.trim();
  co_return Result<void>{};
}

/// The first records of a container, at most a slice.
Result<size_t> plan_destroy(Shard::State& state, ContNumber container, size_t slice,
                            index::Batch& batch) {
  std::byte be[4];
  store_be32(be, container);
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(ByteView(be)));
  size_t records = 0;
  uint64_t bytes = 0;  // the most that they take in the log
  while (records < slice && bytes < state.record_bytes_max / 2 && cursor.valid() &&
         starts_with(cursor.key(), be)) {
    const ByteView key = cursor.key();
    const bool data_may_follow = in_range(key, Range::live) || in_range(key, Range::history) ||
                                 in_range(key, Range::pending);
    if (data_may_follow) {
      TRY(parsed, parse_key(key));
      TRY(value, parse_value(parsed.kind, cursor.value()));
      // Shared blocks go with their extent.
      if (value.form == Form::data && !value.shared) {
        TRY(data, parse_data(value));
        for (const media::Extent& run : data.runs) batch.free(run);
        bytes += 14 * data.runs.size();
      }
    } else if (in_range(key, Range::marker)) {
      TRY(checked, object_prefix_bytes(key));
    } else if (in_range(key, Range::snapshot)) {
      TRY(checked, parse_snapshot_key(key));
    } else if (in_range(key, Range::policy)) {
      TRY(checked, parse_policy_key(key));
    } else if (in_range(key, Range::pack)) {
      TRY(block, parse_pack_key(key));
      TRY(record, parse_pack(cursor.value()));
      batch.free({block, record.blocks});
      bytes += 14;
    }
    batch.erase(key);
    bytes += key.size() + 4;
    ++records;
    TRY(moved, cursor.next());
  }
  TRY(prepared, state.tree().prepare(batch));
  return records;
}

/// What memory knows of records that a container's removal erased.
void forget(Shard::State& state, const index::Batch& batch) {
  for (const auto& op : batch.ops()) {
    const ByteView key = batch.key(op);
    if (in_range(key, Range::marker)) {
      auto bytes = object_prefix_bytes(key);
      CHECK(bytes);  // plan_destroy looked at it
      state.markers.remove(key.first(*bytes));
    }
    if (in_range(key, Range::snapshot)) {
      auto epoch = parse_snapshot_key(key);
      CHECK(epoch);
      state.snapshots.erase(load_be32(key.data()), *epoch);
    }
    if (in_range(key, Range::policy)) state.worm.set(load_be32(key.data()), {});
  }
}

}  // namespace

media::Lsn Shard::State::commit(const index::RecordHeader& header, const index::Batch& batch) {
  CHECK(header.epoch > newest);
  return append(header, batch);
}

media::Lsn Shard::State::append(const index::RecordHeader& header, const index::Batch& batch) {
  hlc.advance(header.epoch);
  // A session that was forgotten while this ran must not come back by replay, with half of what it
  // knew.
  index::RecordHeader kept = header;
  if (!sessions.runs(header.session, header.sequence)) kept.session = kept.sequence = 0;
  const media::Lsn at = store->commit(kept, batch, {hlc.last(), lease});
  if (flats.any()) {
    // Nobody else knows of that data.
    if (flats.note_laid(batch)) store->data_written(at);
    flats.note(batch);
    if (flats.any_dirty()) merges_moved.wake_all();
  }
  newest = std::max(newest, header.epoch);
  undurable.push_back({at, newest});
  // In the same step as the record: a checkpoint from now on covers both.
  if (header.session != 0) sessions.committed(header.session, header.sequence, header.epoch);
  return at;
}

bool Shard::State::is_durable(model::Epoch epoch) {
  const media::Lsn complete = store->complete();
  while (!undurable.empty() && undurable.front().lsn <= complete) {
    newest_durable = undurable.front().epoch;
    undurable.pop_front();
  }
  return epoch <= newest_durable || undurable.empty();
}

Task<Result<std::optional<model::Epoch>>> begin_once(Shard::State& state, Origin origin) {
  if (origin.session == 0) co_return std::optional<model::Epoch>{};
  for (;;) {
    const auto answer =
        state.sessions.begin(origin.session, origin.sequence, origin.acknowledged_below);
    switch (answer.verdict) {
      case Sessions::Verdict::fresh:
        co_return std::optional<model::Epoch>{};
      case Sessions::Verdict::running:
        co_await state.session_moved.wait();
        break;
      case Sessions::Verdict::done: {
        CO_TRY(settled, co_await state.settle());
        co_return std::optional<model::Epoch>{answer.epoch};
      }
      case Sessions::Verdict::unknown:
        co_return fail(Errc::unknown, "update: the session was forgotten; its outcome is unknown");
      case Sessions::Verdict::full:
        co_return fail(Errc::overload,
                       "update: too many of its session are not acknowledged; resend it later");
    }
  }
}

void end_once(Shard::State& state, Origin origin, const Result<model::Epoch>& outcome) {
  state.is_durable(0);  // keeps the list of what is not durable short
  if (origin.session == 0) return;
  if (outcome) {
    state.sessions.committed(origin.session, origin.sequence, *outcome);
  } else {
    state.sessions.failed(origin.session, origin.sequence);
  }
  state.session_moved.wake_all();
}

Shard::Shard() = default;
Shard::~Shard() = default;

Task<Result<std::unique_ptr<Shard>>> Shard::create(Reactor& reactor, index::StoreDevices devices,
                                                   Uuid pool, ShardOptions options) {
  std::unique_ptr<Shard> shard(new Shard);
  shard->state_ = std::make_unique<State>(reactor);
  limit_sessions(shard->state_->sessions, options);
  CO_TRY(store, co_await index::Store::create(reactor, devices, store_options(pool, options)));
  shard->state_->store = std::move(store);
  attach(*shard->state_, options);
  co_return std::move(shard);
}

Task<Result<std::unique_ptr<Shard>>> Shard::open(Reactor& reactor, index::StoreDevices devices,
                                                 Uuid pool, ShardOptions options) {
  std::unique_ptr<Shard> shard(new Shard);
  shard->state_ = std::make_unique<State>(reactor);
  limit_sessions(shard->state_->sessions, options);
  State& state = *shard->state_;
  State* const s = &state;
  CO_TRY(store, co_await index::Store::open(reactor, devices, store_options(pool, options),
                                            [s](const index::RecordHeader& h) {
                                              s->newest = std::max(s->newest, h.epoch);
                                              if ((h.kind & kRecordAddsMarkers) != 0)
                                                s->markers_replayed = true;
                                              if (h.session != 0)
                                                s->sessions.replayed(h.session, h.sequence,
                                                                     h.epoch);
                                            }));
  state.store = std::move(store);
  const media::WalStamp stamp = state.store->recovered_stamp();
  state.newest = std::max(state.newest, stamp.epoch_highest);
  state.newest_durable = state.newest;
  state.lease = stamp.read_lease;
  // Nothing is known of what was punched and read before.
  state.punched.raise_all(state.newest);
  state.read.raise_all(std::max(state.newest, state.lease));
  state.hlc.advance(std::max({state.newest, stamp.epoch_highest, stamp.read_lease}));
  state.ended.raise_all(state.hlc.last());
  auto loaded = co_await load_tables(state);
  if (!loaded) {
    CO_TRY(closed, co_await state.store->close());
    co_return fail(loaded.error());
  }
  attach(state, options);
  resume_standing(state);
  co_return std::move(shard);
}

Task<Result<void>> Shard::close() {
  state_->closures.wake_all();
  co_await state_->gate.close();
  state_->background_moved.wake_all();
  while (!state_->background_over || state_->resolvers != 0) {
    co_await state_->background_moved.wait();
  }
  state_->merges_moved.wake_all();
  while (!state_->merges_over) co_await state_->merges_moved.wait();
  co_return co_await state_->store->close();
}

void Shard::open_session(uint64_t session) { state_->sessions.open(session); }

Task<Result<void>> Shard::destroy_container(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  unfreeze_container(container);
  CO_TRY(open, co_await wait_open(*state_, container, kWrite));
  index::Store::Attempt attempt(*state_->store);
  for (size_t slice = kDestroySlice;;) {
    CO_TRY(admitted, co_await state_->store->admit());
    index::Batch batch;
    auto records = plan_destroy(*state_, container, slice, batch);
    if (!records && records.error().code() == Errc::page_absent) {
      auto loaded = co_await state_->store->load_absent(attempt);
      if (loaded) continue;
      records = fail(loaded.error());
    }
    if (!records) {
      const Errc code = records.error().code();
      if (slice == 1 || (code != Errc::no_space && code != Errc::no_memory)) {
        co_return fail(records.error());
      }
      slice /= 8;
      continue;
    }
    attempt.release();
    if (*records == 0) break;
    const media::Lsn at = state_->commit({0, 0, state_->next_epoch(), 0, 0}, batch);
    forget(*state_, batch);
    CO_TRY(durable, co_await state_->store->durable(at));
    if (state_->evicting) {
      CO_TRY(ended, co_await state_->store->end_step());
    }
  }
  co_return co_await state_->settle();
}

Task<void> Shard::reclaimed() {
  while (!background_idle(*state_) || state_->resolvers != 0) {
    co_await state_->background_moved.wait();
  }
}

Task<Result<void>> Shard::settled() {
  CO_TRY(hold, state_->gate.enter());
  co_return co_await state_->settle();
}

Task<Result<void>> Shard::checkpoint() {
  CO_TRY(hold, state_->gate.enter());
  co_return co_await state_->store->checkpoint();
}

ShardUsage Shard::usage() const {
  const index::StoreStats stats = state_->store->stats();
  ShardUsage usage;
  usage.data_total = stats.data.total * kDataBlockBytes;
  usage.data_free = stats.data.available() * kDataBlockBytes;
  usage.meta_total = stats.pages.total * index::kPageBytes;
  usage.meta_free = stats.pages.available() * index::kPageBytes;
  usage.meta_used = stats.page_bytes;
  return usage;
}

index::Store& Shard::store() { return *state_->store; }

}  // namespace cairn::vos
