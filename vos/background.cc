// What a shard does on its own: it removes what large punches left behind, empties the slots of
// snapshots that were given up, and takes containers back to a snapshot.
#include "base/report.h"
#include "vos/flat_pack.h"
#include "vos/removal.h"

namespace cairn::vos {

namespace {

/// One slice, planned.
struct Slice {
  index::Batch batch;
  bool none_left = false;   // markers: there is none at or after the position
  MarkerPosition position;  // markers: for the next slice
  Key object;               // markers: of the level
  size_t markers_gone = 0;
  bool finished = false;  // snapshots: the batch ends with the snapshot's own record
};

/// Pages that a record of a slice may need, on a generous average.
constexpr size_t kLoadsPerRecord = 8;

/// Plans and commits; smaller slices where memory or pages are short.
/// @param make  Result<Slice>(size_t records)
template <class Make>
Task<Result<Slice>> run_slice(Shard::State& state, Make make) {
  CO_TRY(admitted, co_await state.store->admit());
  index::Store::Attempt attempt(*state.store);
  size_t loads = 0;
  for (size_t records = kRemovalSlice;;) {
    Result<Slice> planned = make(records);
    if (planned) {
      auto prepared = state.tree().prepare(planned->batch, index::Pager::Use::removal);
      if (!prepared) planned = fail(prepared.error());
    }
    Result<void> loaded;
    if (!planned && planned.error().code() == Errc::page_absent) {
      loaded = co_await state.store->load_absent(attempt);
      // More pages than memory has push each other out for ever.
      const bool crowded = records > 1 && ++loads > kLoadsPerRecord * records;
      if (loaded && crowded) {
        records /= 8;
        loads = 0;
        attempt.release();
      }
      if (loaded) continue;
    }
    if (!planned && records > 1 && is_short(loaded ? planned.error() : loaded.error())) {
      records /= 8;
      attempt.release();
      continue;
    }
    if (!planned) co_return fail(loaded ? planned.error() : loaded.error());
    co_return planned;
  }
}

media::Lsn commit(Shard::State& state, const Slice& slice) {
  return state.commit({0, 0, state.next_epoch(), 0, 0}, slice.batch);
}

Task<Result<void>> end_slice(Shard::State& state, media::Lsn at) {
  CO_TRY(durable, co_await state.store->durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return Result<void>{};
}

// ---- markers ----

/// Markers of one level up to an epoch.
Result<size_t> erase_markers(Plan& plan, const Key& level, model::Epoch until) {
  size_t count = 0;
  index::Cursor cursor(plan.look().state().tree());
  Key from = level;
  from.add_be64(~until);
  TRY(sought, cursor.seek(from));
  while (cursor.valid() && starts_with(cursor.key(), level) &&
         cursor.key().size() == level.size() + kMarkerEpochBytes) {
    plan.erase(cursor.key());
    ++count;
    TRY(moved, cursor.next());
  }
  return count;
}

/// To the markers of this container, or of the next one. False: there are none.
bool skip_to_markers(ByteView key, Key& next) {
  const ContNumber container = load_be32(key.data());
  const bool past = key[4] > static_cast<std::byte>(Range::marker);
  if (past && container == UINT32_MAX) return false;
  next = range_prefix(past ? container + 1 : container, Range::marker);
  return true;
}

Result<Slice> plan_markers(Shard::State& state, const MarkerPosition& from, size_t records) {
  Slice s;
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(from.level));
  if (!cursor.valid()) {
    s.none_left = true;
    return s;
  }
  const ByteView key = cursor.key();
  if (!in_range(key, Range::marker)) {
    s.none_left = !skip_to_markers(key, s.position.level);
    return s;
  }
  TRY(parsed, parse_key(key));
  const Key level = [&] {
    Key k;
    k.add(key.first(key.size() - kMarkerEpochBytes));
    return k;
  }();
  const model::Epoch until = parsed.epoch;  // the newest stands first
  const bool goes_on = from.next.size() != 0 && from.until == until &&
                       from.level.size() == level.size() && starts_with(level, from.level);
  s.position.level = level;
  s.position.until = until;
  ObjectPath object{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)};
  const KeyPath path(object);
  s.object = path.object();
  Key prefix = path.object();
  if (!parsed.dkey.none) prefix = path.dkey(parsed.dkey);
  if (!parsed.akey.none) prefix = path.akey(prefix, parsed.akey);
  BlockCache cache;
  Plan plan(state, path, until, cache);
  TRY(removal, remove_below(plan, prefix, goes_on ? from.next : prefix, until, records));
  s.position.next = removal.next;
  if (removal.complete) {
    TRY(gone, erase_markers(plan, level, until));
    s.markers_gone = gone;
  }
  s.batch = std::move(plan.batch());
  return s;
}

// ---- snapshots ----

/// Ends what a slot holds for `work`: moves it on to the newest older snapshot that needs it, or,
/// for a rollback, back into the live range.
Result<Slice> plan_slot(Shard::State& state, const Snapshots::Work& work, size_t records) {
  Slice s;
  const Key prefix = slot_prefix(work.container, work.snapshot.epoch);
  const bool restores = work.snapshot.state == SnapshotState::restoring;
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(prefix));
  size_t bytes = 0;  // the most that the slice takes in the log
  PackLedger packs(state.tree());
  for (; cursor.valid() && starts_with(cursor.key(), prefix); --records) {
    if (records == 0 || bytes + packs.bytes() > state.record_bytes_max / 2) {
      packs.emit(s.batch, state.newest);
      return s;
    }
    TRY(parsed, parse_key(cursor.key()));
    const model::Epoch epoch = epoch_of(cursor.value());
    const Key live = live_form(cursor.key());
    const model::Epoch slot =
        restores ? 0 : state.snapshots.newest_in(work.container, epoch, work.snapshot.epoch);
    if (restores || slot != 0) {
      s.batch.put(restores ? live : history_key(live, slot), cursor.value());
      bytes += cursor.value().size();
    } else if (parsed.kind == Kind::flat) {
      TRY(released, packs.release(work.container, cursor.value()));
    } else {
      TRY(value, parse_value(parsed.kind, cursor.value()));
      if (value.shared) {
        TRY(released, packs.release_value(work.container, cursor.key(), value));
      } else if (value.form == Form::data) {
        TRY(data, parse_data(value));
        for (const media::Extent& run : data.runs) s.batch.free(run);
        bytes += 14 * data.runs.size();
      }
    }
    s.batch.erase(cursor.key());
    bytes += 2 * cursor.key().size() + 16;
    TRY(moved, cursor.next());
  }
  packs.emit(s.batch, state.newest);
  s.finished = true;
  const Key own = snapshot_key(work.container, work.snapshot.epoch);
  if (restores) {
    Bytes value;
    put_snapshot(value, work.snapshot.stamp, SnapshotState::alive);
    s.batch.put(own, value);
  } else {
    s.batch.erase(own);
  }
  return s;
}

/// How a rollback stands: first the live records go that are newer than the snapshot, and markers
/// that are.
struct Rollback {
  Shard::State& state;
  Snapshots::Work work;
  Range range = Range::live;
  Key next;

  Result<Slice> plan(size_t records);
};

Result<Slice> Rollback::plan(size_t records) {
  Slice s;
  const Key prefix = range_prefix(work.container, range);
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(next.size() == 0 ? prefix : next));
  size_t looks = 8 * records;
  size_t bytes = 0;
  PackLedger packs(state.tree());
  for (; cursor.valid() && starts_with(cursor.key(), prefix); --looks) {
    if (s.batch.op_count() == records || looks == 0 ||
        bytes + packs.bytes() > state.record_bytes_max / 2) {
      s.position.next.add(cursor.key());
      packs.emit(s.batch, state.newest);
      return s;
    }
    if (epoch_of(cursor.value()) > work.snapshot.epoch) {
      TRY(parsed, parse_key(cursor.key()));
      if (range == Range::marker) {
        ++s.markers_gone;
      } else if (parsed.kind == Kind::flat) {
        TRY(released, packs.release(work.container, cursor.value()));
      } else {
        TRY(value, parse_value(parsed.kind, cursor.value()));
        if (value.shared) {
          TRY(released, packs.release_value(work.container, cursor.key(), value));
        } else if (value.form == Form::data) {
          TRY(data, parse_data(value));
          for (const media::Extent& run : data.runs) s.batch.free(run);
          bytes += 14 * data.runs.size();
        }
      }
      s.batch.erase(cursor.key());
      bytes += cursor.key().size() + 4;
    }
    TRY(moved, cursor.next());
  }
  packs.emit(s.batch, state.newest);
  s.finished = true;
  return s;
}

void forget_markers(Shard::State& state, const index::Batch& batch) {
  for (const auto& op : batch.ops()) {
    const ByteView key = batch.key(op);
    if (op.kind != index::Batch::Op::Kind::erase || !in_range(key, Range::marker)) continue;
    auto bytes = object_prefix_bytes(key);
    CHECK(bytes);  // the plan parsed it
    state.markers.remove(key.first(*bytes));
  }
}

Task<Result<void>> remove_newer(Shard::State& state, Snapshots::Work work) {
  for (const Range range : {Range::live, Range::marker}) {
    Rollback rollback{state, work, range, {}};
    for (bool finished = false; !finished && !state.gate.closed();) {
      CO_TRY(slice, co_await run_slice(state, [&](size_t n) { return rollback.plan(n); }));
      rollback.next = slice.position.next;
      finished = slice.finished;
      if (slice.batch.empty()) continue;
      const media::Lsn at = commit(state, slice);
      forget_markers(state, slice.batch);
      CO_TRY(ended, co_await end_slice(state, at));
      co_await state.reactor.yield();
    }
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<bool>> remove_marked(Shard::State& state, MarkerPosition& position) {
  CO_TRY(slice, co_await run_slice(
                    state, [&](size_t n) { return plan_markers(state, position, n); }));
  if (slice.none_left) co_return false;
  position = slice.position;
  if (slice.batch.empty()) co_return true;
  const media::Lsn at = commit(state, slice);
  for (size_t i = 0; i < slice.markers_gone; ++i) state.markers.remove(slice.object);
  CO_TRY(ended, co_await end_slice(state, at));
  co_return true;
}

Task<Result<void>> work_on_snapshot(Shard::State& state, Snapshots::Work work) {
  const bool restores = work.snapshot.state == SnapshotState::restoring;
  if (restores) {
    // Nothing that was visible after the snapshot is kept.
    state.ended.raise_all(state.newest);
    CO_TRY(removed, co_await remove_newer(state, work));
  }
  for (bool finished = false; !finished && !state.gate.closed();) {
    CO_TRY(slice,
           co_await run_slice(state, [&](size_t n) { return plan_slot(state, work, n); }));
    const media::Lsn at = commit(state, slice);
    finished = slice.finished;
    if (finished && restores) {
      state.snapshots.set(work.container,
                          {work.snapshot.epoch, SnapshotState::alive, work.snapshot.stamp});
    } else if (finished) {
      state.snapshots.erase(work.container, work.snapshot.epoch);
    }
    CO_TRY(ended, co_await end_slice(state, at));
    if (finished && restores) {
      state.ended.raise_all(state.newest);
      state.closures.end(work.container);
    }
    if (finished) state.background_moved.wake_all();
    co_await state.reactor.yield();
  }
  co_return Result<void>{};
}

Task<void> run_background(Shard::State& state) {
  MarkerPosition position;
  while (!state.gate.closed()) {
    Result<void> done;
    if (state.snapshots.busy() != 0) {
      done = co_await work_on_snapshot(state, state.snapshots.next_work());
    } else if (state.markers.total() != 0) {
      const auto more = co_await remove_marked(state, position);
      if (!more) done = fail(more.error());
      if (more && !*more) position = {};
    } else {
      position = {};
      state.background_moved.wake_all();
      co_await state.background_moved.wait();
      continue;
    }
    if (!done) {
      report(Severity::error,
             "shard: giving back space in the background ends until the pool is opened again; " +
                 std::string(done.error().what()));
      break;
    }
    co_await state.reactor.yield();
  }
  state.background_over = true;
  state.background_moved.wake_all();
  state.closures.wake_all();
}

}  // namespace cairn::vos
