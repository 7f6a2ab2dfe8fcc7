// Folding: the pending records of a committed transaction take their places in the live range, one
// after another in the order of its operations, each as its operation would have done it.
#include <algorithm>

#include "base/report.h"
#include "vos/aside.h"
#include "vos/epoch_view.h"
#include "vos/flat_inflate.h"
#include "vos/overlay.h"
#include "vos/punch.h"
#include "vos/removal.h"

namespace cairn::vos {

namespace {

/// Records of one slice.
constexpr size_t kFoldSlice = 64;

/// One pending record and the place where it belongs.
struct Pending {
  Key key;
  ParsedKey parsed;
  ValueView value;  // borrowed from the page
  KeyPath path;
  Key live;
  KeyRange range;
  Key akey_prefix() const { return range.akey; }
};

Result<Pending> take_apart(ByteView key, ByteView bytes) {
  TRY(parsed, parse_key(key));
  TRY(value, parse_value(parsed.kind, bytes));
  KeyPath path({parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
  Pending p{{}, parsed, value, path, live_key(key), {Level::object, path.object(), {}, {}}};
  p.key.add(key);
  if (!parsed.dkey.none) {
    p.range.dkey = path.dkey(parsed.dkey);
    p.range.level = Level::dkey;
    // A dkey's own records stand below "no akey".
    p.range.akey = p.range.dkey;
    if (parsed.akey.none) add_none(p.range.akey);
  }
  if (!parsed.akey.none) {
    p.range.akey = path.akey(p.range.dkey, parsed.akey);
    p.range.level = Level::akey;
  }
  return p;
}

Result<Floor> floor_of(Plan& plan, const Pending& p) {
  TRY(floor, plan.look().dkey_floor(p.range.dkey));
  if (p.range.level != Level::akey) return floor;
  return plan.look().akey_floor(p.range.akey, floor);
}

/// Blocks and checksum records of a name that is there already.
Result<void> drop_name(Plan& plan, const Pending& p) {
  plan.erase(p.key);
  if (p.value.form != Form::data) return {};
  TRY(data, parse_data(p.value));
  for (const media::Extent& run : data.runs) plan.free(run);
  if (!p.value.checksums_apart) return {};
  for (uint64_t chunk = 0; chunk * kChecksumsPerRecord < data.block_count(); ++chunk) {
    plan.erase(
        pending_key(checksums_key(p.akey_prefix(), 0, chunk), p.parsed.epoch, p.parsed.minor));
  }
  return {};
}

Result<void> fold_name(Plan& plan, const Pending& p) {
  TRY(floor, floor_of(plan, p));
  TRY(found, plan.look().view().get(p.live));
  if (found && epoch_of(*found) > floor) return drop_name(plan, p);
  if (found) {
    TRY(over, plan.end_value(p.akey_prefix(), 0, p.live, Kind::name, *found, Ending::replaced));
  }
  plan.move(p.key, p.live);
  return {};
}

Result<void> end_single(Plan& plan, const Pending& p, Ending ending) {
  const Key key = record_key(p.range.akey, Kind::single);
  TRY(old, plan.look().view().get(key));
  if (!old) return {};
  return plan.end_value(p.range.akey, 0, key, Kind::single, *old, ending);
}

Result<void> fold_present(Plan& plan, const Pending& p) {
  uint64_t record_bytes = 0;
  if (p.value.present_type == model::ValueType::single) {
    TRY(over, end_single(plan, p, Ending::removed));
  } else {
    TRY(floor, floor_of(plan, p));
    TRY(akey, plan.look().akey(p.range.akey, floor));
    record_bytes = akey.record_bytes;
  }
  put_present(plan.scratch(), plan.epoch(), p.value.present_type, record_bytes);
  TRY(put, plan.put_mark(p.live, Kind::present, plan.scratch()));
  plan.erase(p.key);
  return {};
}

Result<void> clear_for(Plan& plan, const Pending& p) {
  if (p.value.count > p.parsed.position) {
    return fail(Errc::checksum, "pending record: begins before record 0");
  }
  TRY(floor, floor_of(plan, p));
  const Span span{p.parsed.position - p.value.count, p.parsed.position};
  return plan.clear_spans(p.range.akey, floor, {&span, 1});
}

/// Removes a slice of what is there; the record goes with the last one. True: that was it.
Result<bool> fold_punch(Plan& plan, const Pending& p, size_t max) {
  // Nobody sees the range before the transaction is folded, so no marker is needed.
  const Key& prefix = p.range.prefix();
  TRY(removal, remove_below(plan, prefix, prefix, plan.epoch(), 8 * max));
  if (p.range.level != Level::object && !plan.batch().empty()) {
    const Key key = touched_key(p.range.object);
    TRY(old, plan.look().view().get(key));
    if (!old || epoch_of(*old) < plan.epoch()) {
      put_touched(plan.scratch(), plan.epoch());
      TRY(put, plan.put_mark(key, Kind::touched, plan.scratch()));
    }
  }
  if (!removal.complete) return false;
  if (p.range.level == Level::akey) {
    TRY(floor, plan.look().dkey_floor(p.range.dkey));
    TRY(dropped, drop_lonely_name(plan, p.range.dkey, floor, {&p.range.akey, 1}));
  }
  plan.erase(p.key);
  return true;
}

/// True: the record is folded; false: it goes on in the next slice.
/// @param max  records that a slice may take
Result<bool> fold_record(Plan& plan, const Pending& p, size_t max) {
  switch (p.parsed.kind) {
    case Kind::name: {
      TRY(folded, fold_name(plan, p));
      return true;
    }
    case Kind::present: {
      TRY(folded, fold_present(plan, p));
      return true;
    }
    case Kind::single: {
      TRY(over, end_single(plan, p, Ending::replaced));
      break;
    }
    case Kind::extent: {
      TRY(cleared, clear_for(plan, p));
      break;
    }
    case Kind::hole: {
      TRY(cleared, clear_for(plan, p));
      plan.erase(p.key);
      return true;
    }
    case Kind::punch:
      return fold_punch(plan, p, max);
    case Kind::checksums:
      break;
    case Kind::touched:
    case Kind::flat:
      return fail(Errc::checksum, "pending record: of a kind that is never pending");
  }
  plan.move(p.key, p.live);
  return true;
}

struct Slice {
  index::Batch batch;
  size_t next = 0;  // the first key that is not done
  std::vector<KeyRange> ended;
};

Result<Slice> plan_slice(Shard::State& state, const StandingTx& tx, size_t from, size_t max,
                         BlockCache& cache) {
  Slice slice;
  Overlay overlay(state.tree());
  const View view(state.tree(), &overlay, model::kEpochMax);
  for (slice.next = from; slice.next < tx.keys.size(); ++slice.next) {
    if (slice.next - from == max || overlay.bytes() > state.record_bytes_max / 2) break;
    const ByteView key = as_bytes(tx.keys[slice.next]);
    TRY(found, overlay.get(key));
    if (!found) continue;  // folded before a crash
    TRY(pending, take_apart(key, *found));
    if (pending.range.level != Level::object) {
      TRY(inflated, inflate(state, pending.path, &pending.range.dkey, overlay, cache));
    }
    Plan plan(state, pending.path, tx.epoch, cache, view);
    TRY(whole, fold_record(plan, pending, max));
    overlay.absorb(plan.batch());
    if (pending.parsed.kind == Kind::punch) slice.ended.push_back(pending.range);
    if (!whole) break;
  }
  overlay.emit(slice.batch);
  if (slice.batch.record_bytes() > state.record_bytes_max) {
    return fail(Errc::no_space, "fold: too many changes for one log record");
  }
  TRY(prepared, state.tree().prepare(slice.batch, index::Pager::Use::removal));
  return slice;
}

Task<Result<Slice>> slice_loaded(Shard::State& state, const StandingTx& tx, size_t from) {
  CO_TRY(admitted, co_await state.store->admit());
  BlockCache cache;
  Flats::Hold flats;
  const auto pin = state.store->pin_reads();
  index::Store::Attempt attempt(*state.store);
  for (size_t max = kFoldSlice;;) {
    auto slice = plan_slice(state, tx, from, max, cache);
    if (slice) co_return slice;
    Result<void> loaded = fail(slice.error());
    if (slice.error().code() == Errc::page_absent) {
      if (cache.wanted.empty()) {
        loaded = co_await load_absent(state, attempt, flats);
      } else {
        CO_TRY(settled, co_await state.settle());
        loaded = co_await fill_cache(*state.store, cache);
      }
      if (loaded) continue;
    }
    const Errc code = loaded.error().code();
    if ((code != Errc::no_space && code != Errc::no_memory) || max == 1) {
      co_return fail(loaded.error());
    }
    max = std::max<size_t>(1, max / 8);
    attempt.release();
    flats = {};
  }
}

Task<Result<void>> fold(Shard::State& state, TxId id) {
  const StandingTx& tx = *state.unresolved.find(id);
  for (size_t from = 0; from < tx.keys.size();) {
    CO_TRY(slice, co_await slice_loaded(state, tx, from));
    from = slice.next;
    if (slice.batch.empty()) continue;
    state.commit({0, 0, state.next_epoch(), 0, 0}, slice.batch);
    for (const KeyRange& range : slice.ended) state.punched.raise(range, tx.epoch);
    if (state.evicting) {
      CO_TRY(ended, co_await state.store->end_step());
    }
  }
  co_return co_await erase_entry(state, id);
}

Task<void> fold_in_background(Shard::State& state, TxId id) {
  const auto folded = co_await fold(state, id);
  if (!folded) {
    StandingTx& tx = *state.unresolved.find(id);
    tx.failed = folded.error().code();
    tx.resolving = false;
    state.unresolved_moved.wake_all();
    report(Severity::error,
           "shard: what a transaction changed cannot be used until the pool is "
           "opened again; " +
               std::string(folded.error().what()));
  }
  --state.resolvers;
  state.background_moved.wake_all();
}

}  // namespace

void start_folding(Shard::State& state, TxId id) {
  StandingTx& tx = *state.unresolved.find(id);
  CHECK(tx.state == TxState::committed);
  if (tx.resolving) return;
  tx.resolving = true;
  ++state.resolvers;
  state.reactor.spawn(fold_in_background(state, id));
}

}  // namespace cairn::vos
