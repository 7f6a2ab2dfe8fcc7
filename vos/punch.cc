// Punches, and the background pass that removes what large ones left behind.
#include <algorithm>

#include "base/report.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

/// Records that one slice of background removal takes.
constexpr size_t kReclaimSlice = 512;

/// What was found below a prefix.
struct Removal {
  size_t records = 0;     // visible or not, names included
  bool complete = false;  // all of them are in the plan
  Key next;               // unless complete: where to go on
};

/// Plans the removal of every record below `prefix` whose epoch is at or below `until`, at most
/// `max` of them, from `from` on.
Result<Removal> remove_below(Plan& plan, ByteView prefix, ByteView from, model::Epoch until,
                             size_t max) {
  Removal removal;
  // A slice ends also in what stays, so that a long run of that is not walked again and again; and
  // where its record would get large for the log.
  const size_t looks_max = 8 * max;
  const uint64_t bytes_max = plan.bytes() + plan.look().state().record_bytes_max / 2;
  size_t looks = 0;
  View::Cursor cursor(plan.look().view(), prefix);
  TRY(sought, cursor.seek(from));
  for (; cursor.valid() && starts_with(cursor.key(), prefix); ++looks) {
    if (removal.records == max || looks == looks_max || plan.bytes() > bytes_max) {
      removal.next.add(cursor.key());
      return removal;
    }
    if (epoch_of(cursor.value()) <= until) {
      TRY(parsed, parse_key(cursor.key()));
      TRY(value, parse_value(parsed.kind, cursor.value()));
      // Checksum records are records of the range themselves: only the blocks are freed here.
      if (value.form == Form::data) {
        TRY(data, parse_data(value));
        for (const media::Extent& run : data.runs) plan.free(run);
      }
      plan.erase(cursor.key());
      ++removal.records;
    }
    TRY(moved, cursor.next());
  }
  removal.complete = true;
  return removal;
}

struct Punch {
  Punch(Shard::State& s, const PunchRequest& r) : state(s), request(r), path(r.object) {}

  Shard::State& state;
  const PunchRequest& request;
  KeyPath path;
  Key dkey_prefix;
  std::vector<Key> akeys;
  BlockCache cache;
  index::Batch batch;
  model::Epoch epoch = 0;
  size_t markers_added = 0;

  Result<void> check();
  Result<void> plan();
  Result<void> plan_akeys(Plan& plan);
  Result<void> plan_dkey(Plan& plan);
  Result<void> remove_level(Plan& plan, const Key& prefix, Level level);

  /// Records that are removed at once; fewer where memory or pages are short.
  size_t at_once = kPunchAtOnceMax;
};

Result<void> Punch::check() {
  using Request = PunchRequest::Level;
  if (request.level == Request::object) return {};
  if (request.dkey.empty()) return fail(Errc::invalid, "punch: empty dkey");
  TRY(dkey, path.dkey(request.dkey));
  dkey_prefix = dkey;
  if (request.level == Request::dkey) return {};
  if (request.akeys.empty() || request.akeys.size() > model::kIodsMax) {
    return fail(Errc::invalid, "punch: no akeys, or more than 65,536");
  }
  std::vector<ByteView> views;
  for (const ByteView akey : request.akeys) {
    // A key that cannot exist is absent, not an error: the reference answers so.
    if (!check_key(path.akey_kind(), akey)) continue;
    TRY(key, path.akey(dkey_prefix, akey));
    const bool twice = std::any_of(akeys.begin(), akeys.end(), [&](const Key& k) {
      return k.size() == key.size() && starts_with(k, key);
    });
    if (!twice) akeys.push_back(key);
  }
  if (akeys.size() < request.akeys.size() && akeys.empty() &&
      (request.flags & model::cond::kPunch) != 0) {
    return fail(Errc::nonexistent, "punch: no such akey");
  }
  return {};
}

Result<void> Punch::remove_level(Plan& plan, const Key& prefix, Level level) {
  // A plan with too many records is thrown away, and a marker stands in for it.
  Plan attempt(state, path, epoch, cache);
  TRY(removal, remove_below(attempt, prefix, prefix, epoch, at_once));
  if (removal.complete) {
    TRY(again, remove_below(plan, prefix, prefix, epoch, at_once));
    return {};
  }
  const Key marker = marker_key(prefix, level);
  TRY(old, plan.look().view().get(marker));
  if (!old) ++markers_added;
  put_touched(plan.scratch(), epoch);
  plan.put(marker, plan.scratch());
  return {};
}

Result<void> Punch::plan_akeys(Plan& plan) {
  TRY(dkey_floor, plan.look().dkey_floor(dkey_prefix));
  for (const Key& akey : akeys) {
    TRY(floor, plan.look().akey_floor(akey, dkey_floor));
    TRY(found, plan.look().akey(akey, floor));
    if (!found.exists && (request.flags & model::cond::kPunch) != 0) {
      return fail(Errc::nonexistent, "punch: no such akey");
    }
    TRY(removed, remove_level(plan, akey, Level::akey));
  }
  if (plan.batch().empty()) return {};
  TRY(others, plan.look().dkey_exists(dkey_prefix, dkey_floor, akeys, nullptr));
  if (others) return {};
  const Key name = dkey_name_key(dkey_prefix);
  TRY(named, plan.look().view().get(name));
  if (!named) return {};
  TRY(value, parse_value(Kind::name, *named));
  const Key prefix = prefix_of_record(name);
  TRY(released, plan.release_data(prefix, 0, value));
  plan.erase(name);
  return {};
}

Result<void> Punch::plan_dkey(Plan& plan) {
  if ((request.flags & model::cond::kPunch) != 0) {
    TRY(floor, plan.look().dkey_floor(dkey_prefix));
    TRY(exists, plan.look().dkey_exists(dkey_prefix, floor, {}, nullptr));
    if (!exists) return fail(Errc::nonexistent, "punch: no such dkey");
  }
  return remove_level(plan, dkey_prefix, Level::dkey);
}

Result<void> Punch::plan() {
  markers_added = 0;
  epoch = request.epoch;
  if (epoch == 0) {
    epoch = state.next_epoch();
  } else {
    TRY(sound, state.check_given_epoch(epoch));
  }
  Plan plan(state, path, epoch, cache);
  Result<void> planned;
  switch (request.level) {
    case PunchRequest::Level::object:
      planned = remove_level(plan, path.object(), Level::object);
      break;
    case PunchRequest::Level::dkey:
      planned = plan_dkey(plan);
      break;
    case PunchRequest::Level::akeys:
      planned = plan_akeys(plan);
      break;
  }
  if (!planned) return planned;
  if (!plan.batch().empty() && request.level != PunchRequest::Level::object) {
    // The object's newest epoch must grow although no record of this epoch is left (store.md rule
    // 6).
    put_touched(plan.scratch(), epoch);
    plan.put(touched_key(path.object()), plan.scratch());
  }
  if (plan.bytes() > state.record_bytes_max) {
    return fail(Errc::no_space, "punch: too many pieces for one log record; split the call");
  }
  TRY(prepared, state.tree().prepare(plan.batch(), index::Pager::Use::removal));
  batch = std::move(plan.batch());
  return {};
}

/// Too much for one step: less of it may fit.
bool is_short(const Error& error) {
  return error.code() == Errc::no_space || error.code() == Errc::no_memory;
}

Task<Result<model::Epoch>> run_punch(Punch& punch) {
  Shard::State& state = punch.state;
  CO_TRY(checked, punch.check());
  CO_TRY(admitted, co_await state.store->admit());
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    auto planned = punch.plan();
    if (planned) break;
    if (is_short(planned.error()) && punch.at_once > 0) {
      punch.at_once /= 8;  // with 0, a marker
      continue;
    }
    if (planned.error().code() != Errc::page_absent) {
      CO_TRY(settled, co_await state.settle());
      co_return fail(planned.error());
    }
    auto loaded = co_await state.store->load_absent(attempt);
    if (!loaded && is_short(loaded.error()) && punch.at_once > 0) {
      punch.at_once /= 8;
      continue;
    }
    if (!loaded) co_return fail(loaded.error());
  }
  const Origin& origin = punch.request.origin;
  if (punch.batch.empty() && origin.session == 0) {
    CO_TRY(settled, co_await state.settle());
    co_return punch.epoch;
  }
  // A session's punch of nothing is a record, too: a copy of the request that arrives late, also
  // after a restart, must not remove what was written since (store.md rule 13).
  const media::Lsn at =
      state.commit({origin.session, origin.sequence, punch.epoch, 0,
                    punch.markers_added > 0 ? kRecordAddsMarkers : uint16_t{0}},
                   punch.batch);
  attempt.release();
  for (size_t i = 0; i < punch.markers_added; ++i) state.markers.add(punch.path.object());
  if (punch.markers_added > 0) state.background_moved.wake_all();
  CO_TRY(durable, co_await state.store->durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return punch.epoch;
}

/// How far the background pass is.
struct Position {
  Key marker = range_prefix(0, Range::marker);  // this one or the first one after it
  model::Epoch until = 0;                       // its epoch when `next` was noted
  Key next;                                     // where to go on below it; empty: at its start
};

/// One slice of what the marker at or after a position covers.
struct Reclaim {
  index::Batch batch;
  bool none_left = false;  // there is no such marker
  Position position;       // for the next slice
  bool finished = false;   // the batch ends with the marker itself
};

Result<Reclaim> plan_reclaim(Shard::State& state, const Position& from, size_t slice) {
  Reclaim r;
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(from.marker));
  if (!cursor.valid()) {
    r.none_left = true;
    return r;
  }
  const ByteView key = cursor.key();
  const auto range = static_cast<Range>(key[4]);
  if (range != Range::marker) {
    // Skip to the markers of this container, or of the next one.
    const ContNumber container = load_be32(key.data());
    if (range > Range::marker && container == UINT32_MAX) {
      r.none_left = true;
      return r;
    }
    r.position.marker =
        range_prefix(range > Range::marker ? container + 1 : container, Range::marker);
    return r;
  }
  const model::Epoch until = epoch_of(cursor.value());
  const bool goes_on = from.next.size() != 0 && from.until == until &&
                       from.marker.size() == key.size() && starts_with(key, from.marker);
  r.position.marker.truncate(0);
  r.position.marker.add(key);
  r.position.until = until;
  TRY(parsed, parse_key(key));
  ObjectPath object{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)};
  const KeyPath path(object);
  Key prefix = path.object();
  if (!parsed.dkey.none) prefix = path.dkey(parsed.dkey);
  if (!parsed.akey.none) prefix = path.akey(prefix, parsed.akey);
  BlockCache cache;
  Plan plan(state, path, until, cache);
  TRY(removal, remove_below(plan, prefix, goes_on ? from.next : prefix, until, slice));
  r.finished = removal.complete;
  r.position.next = removal.next;
  if (r.finished) plan.erase(r.position.marker);
  TRY(prepared, state.tree().prepare(plan.batch(), index::Pager::Use::removal));
  r.batch = std::move(plan.batch());
  return r;
}

}  // namespace

Task<Result<model::Epoch>> Shard::punch(const PunchRequest& request) {
  CO_TRY(hold, state_->gate.enter());
  CO_TRY(first, co_await begin_once(*state_, request.origin));
  if (first) co_return *first;
  Punch punch(*state_, request);
  auto done = co_await run_punch(punch);
  end_once(*state_, request.origin, done);
  co_return done;
}

/// False: no marker is left at or after the position.
Task<Result<bool>> reclaim_slice(Shard::State& state, Position& position) {
  CO_TRY(admitted, co_await state.store->admit());
  index::Store::Attempt attempt(*state.store);
  for (size_t slice = kReclaimSlice;;) {
    auto planned = plan_reclaim(state, position, slice);
    Result<void> loaded;
    if (!planned && planned.error().code() == Errc::page_absent) {
      loaded = co_await state.store->load_absent(attempt);
      if (loaded) continue;
    }
    if (!planned && slice > 1 && is_short(loaded ? planned.error() : loaded.error())) {
      slice /= 8;
      continue;
    }
    if (!planned) co_return fail(loaded ? planned.error() : loaded.error());
    if (planned->none_left) co_return false;
    position = planned->position;
    if (planned->batch.empty()) co_return true;
    const model::Epoch epoch = state.next_epoch();
    const media::Lsn at = state.commit({0, 0, epoch, 0, 0}, planned->batch);
    if (planned->finished) {
      auto bytes = object_prefix_bytes(position.marker);
      CHECK(bytes);  // plan_reclaim parsed it
      state.markers.remove(position.marker.view().first(*bytes));
    }
    CO_TRY(durable, co_await state.store->durable(at));
    if (state.evicting) {
      CO_TRY(ended, co_await state.store->end_step());
    }
    co_return true;
  }
}

Task<void> reclaim_marked(Shard::State& state) {
  for (;;) {
    while (state.markers.total() == 0 && !state.gate.closed()) {
      state.reclaiming = false;
      state.background_moved.wake_all();
      co_await state.background_moved.wait();
    }
    if (state.gate.closed()) break;
    state.reclaiming = true;
    Position position;
    while (state.markers.total() != 0 && !state.gate.closed()) {
      auto more = co_await reclaim_slice(state, position);
      if (!more) {
        report(Severity::error,
               "shard: giving back punched space ends until the pool is opened again; " +
                   std::string(more.error().what()));
        break;
      }
      if (!*more) position = {};
      co_await state.reactor.yield();
    }
    if (state.markers.total() != 0) break;
  }
  state.reclaiming = false;
  state.background_over = true;
  state.background_moved.wake_all();
}

}  // namespace cairn::vos
