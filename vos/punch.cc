// Punches.
#include "vos/punch.h"

#include <algorithm>

#include "vos/epoch_view.h"
#include "vos/flat_inflate.h"
#include "vos/removal.h"
#include "vos/validation.h"

namespace cairn::vos {

Result<void> drop_lonely_name(Plan& plan, const Key& dkey_prefix, Floor dkey_floor,
                              std::span<const Key> except) {
  TRY(others, plan.look().dkey_exists(dkey_prefix, dkey_floor, except, nullptr));
  if (others) return {};
  const Key name = dkey_name_key(dkey_prefix);
  TRY(named, plan.look().view().get(name));
  if (!named) return {};
  return plan.end_value(prefix_of_record(name), 0, name, Kind::name, *named, Ending::removed);
}

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
  Plan attempt(state, path, epoch, cache, plan.look().view());
  TRY(removal, remove_below(attempt, prefix, prefix, epoch, at_once));
  if (removal.complete) {
    TRY(again, remove_below(plan, prefix, prefix, epoch, at_once));
    return {};
  }
  TRY(marked, put_marker(plan, prefix, level));
  if (level == Level::object) {
    TRY(was_flat, end_flat(plan, overlay != nullptr ? epoch - 1 : epoch));
  }
  return overlay != nullptr ? remove_own(plan, prefix) : Result<void>{};
}

Result<void> Punch::put_marker(Plan& plan, const Key& prefix, Level level) {
  const model::Epoch at = overlay != nullptr ? epoch - 1 : epoch;
  TRY(older, state.markers.at(plan.look().view(), path.object(), prefix, level));
  if (older != 0 && plan.slot_of(older, at) == 0) {
    // Nobody can tell the two punches apart.
    plan.erase(marker_key(prefix, level, older));
  } else {
    ++markers_added;
  }
  put_touched(plan.scratch(), at);
  plan.put(marker_key(prefix, level, at), plan.scratch());
  return {};
}

/// What the transaction itself has put below a level: the marker does not cover it.
Result<void> Punch::remove_own(Plan& plan, const Key& prefix) {
  const auto& changes = overlay->changes();
  for (auto it = changes.lower_bound(as_chars(prefix.view()));
       it != changes.end() && starts_with(as_bytes(it->first), prefix); ++it) {
    if (it->second.kind != Overlay::Change::Kind::put) continue;
    if (epoch_of(it->second.value) != epoch) continue;
    TRY(parsed, parse_key(as_bytes(it->first)));
    TRY(value, parse_value(parsed.kind, it->second.value));
    if (value.form == Form::data) {
      TRY(data, parse_data(value));
      for (const media::Extent& run : data.runs) plan.free(run);
    }
    plan.erase(as_bytes(it->first));
  }
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
  return drop_lonely_name(plan, dkey_prefix, dkey_floor, akeys);
}

Result<void> Punch::plan_dkey(Plan& plan) {
  if ((request.flags & model::cond::kPunch) != 0) {
    TRY(floor, plan.look().dkey_floor(dkey_prefix));
    TRY(exists, plan.look().dkey_exists(dkey_prefix, floor, {}, nullptr));
    if (!exists) return fail(Errc::nonexistent, "punch: no such dkey");
  }
  return remove_level(plan, dkey_prefix, Level::dkey);
}

void Punch::pend(PendingRecords& out) const {
  Bytes value;
  put_touched(value, out.epoch());
  for (const KeyRange& range : ranges()) out.add(punch_key(range.prefix(), range.level), value);
}

std::vector<KeyRange> Punch::ranges() const {
  std::vector<KeyRange> ranges;
  switch (request.level) {
    case PunchRequest::Level::object:
      ranges.push_back({Level::object, path.object(), {}, {}});
      break;
    case PunchRequest::Level::dkey:
      ranges.push_back({Level::dkey, path.object(), dkey_prefix, {}});
      break;
    case PunchRequest::Level::akeys:
      for (const Key& akey : akeys) {
        ranges.push_back({Level::akey, path.object(), dkey_prefix, akey});
      }
      break;
  }
  return ranges;
}

Result<void> Punch::plan_into(Plan& plan) {
  markers_added = 0;
  epoch = plan.epoch();
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
    TRY(touched, plan.put_mark(touched_key(path.object()), Kind::touched, plan.scratch()));
  }
  return {};
}

Result<void> Punch::plan() {
  TRY(open, state.worm.check_open(request.object.container));
  if (state.unresolved.count() != 0) {
    TRY(free, check_free(state, ranges(), Unresolved::Intent::change));
  }
  epoch = request.epoch;
  if (epoch == 0) {
    epoch = state.next_epoch();
  } else {
    TRY(sound, state.check_given_epoch(epoch));
    TRY(unread, check_unread(state, ranges(), epoch));
  }
  FlatPlanning flat;
  if (request.level != PunchRequest::Level::object) {
    TRY(inflated, flat.begin(state, path, dkey_prefix, cache));
  }
  Plan plan(state, path, epoch, cache, flat.view(state));
  TRY(planned, plan_into(plan));
  if (flat.bytes(plan) > state.record_bytes_max) {
    return fail(Errc::no_space, "punch: too many pieces for one log record; split the call");
  }
  // A punch of nothing takes nothing out of a buffer.
  batch = plan.batch().empty() ? std::move(plan.batch()) : flat.finish(plan);
  return state.tree().prepare(batch, index::Pager::Use::removal);
}

namespace {

Task<Result<model::Epoch>> run_punch(Punch& punch) {
  Shard::State& state = punch.state;
  CO_TRY(checked, punch.check());
  CO_TRY(admitted, co_await state.store->admit());
  Patience patience;
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    const ContNumber container = punch.request.object.container;
    if (state.closures.of(container, kWrite) != nullptr) {
      CO_TRY(open, co_await wait_open(state, container, kWrite));
    }
    auto planned = punch.plan();
    if (planned) break;
    if (planned.error().code() == Errc::in_progress) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(state, patience));
      continue;
    }
    if (is_short(planned.error()) && punch.at_once > 0) {
      punch.at_once /= 8;  // with 0, a marker
      continue;
    }
    if (planned.error().code() != Errc::page_absent) {
      CO_TRY(settled, co_await state.settle());
      co_return fail(planned.error());
    }
    auto loaded = co_await load_absent(state, attempt);
    if (!loaded && is_short(loaded.error()) && punch.at_once > 0) {
      punch.at_once /= 8;
      continue;
    }
    if (!loaded) co_return fail(loaded.error());
  }
  const Origin& origin = punch.request.origin;
  if (punch.batch.empty() && origin.session == 0) {
    for (const KeyRange& range : punch.ranges()) state.punched.raise(range, punch.epoch);
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
  for (const KeyRange& range : punch.ranges()) state.punched.raise(range, punch.epoch);
  for (size_t i = 0; i < punch.markers_added; ++i) state.markers.add(punch.path.object());
  if (punch.markers_added > 0) state.background_moved.wake_all();
  CO_TRY(durable, co_await state.store->durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return punch.epoch;
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

}  // namespace cairn::vos
