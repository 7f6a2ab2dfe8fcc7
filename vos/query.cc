// Queries: greatest and smallest integer keys and extents, and the newest epoch of an object.
#include <algorithm>

#include "vos/epoch_view.h"
#include "vos/plan.h"
#include "vos/validation.h"

namespace cairn::vos {

namespace {

struct Query {
  Query(Shard::State& s, const ObjectPath& o, const model::QueryKeyRequest& r, model::Epoch e)
      : state(s), request(r), epoch(e), container(o.container), path(o) {}

  Shard::State& state;
  const model::QueryKeyRequest& request;
  model::Epoch epoch;
  model::Epoch tx_epoch = 0;  // of a transactional query
  ContNumber container;
  KeyPath path;

  Result<void> check() const;
  Result<void> check_free_or_unchanged() const;
  Result<void> check_epoch(const Key& level) const {
    if (epoch == model::kEpochMax) return {};
    return state.check_read_epoch(container, epoch, state.ended.at(level));
  }
  Result<model::QueriedKey> run();
  Result<bool> in_dkey(Look& look, const Key& dkey, model::QueriedKey& out);
  Result<bool> in_akey(Look& look, const Key& akey, Floor dkey_floor, model::QueriedKey& out);
  Result<bool> extent_of(Look& look, const Key& akey, Floor floor, model::QueriedKey& out);
  /// The first key (last, for max) of a level before `border`; nullopt if there is none.
  Result<std::optional<Component>> next_key(View::Cursor& cursor, const Key& prefix,
                                            model::KeyKind kind);
  Result<Key> given(const Key& prefix, model::KeyKind kind, uint64_t number, ByteView bytes) const;
};

Result<void> Query::check() const {
  if (!request.want_dkey && !request.want_akey && !request.want_recx) {
    return fail(Errc::invalid, "query: nothing is asked for");
  }
  if (request.want_dkey && path.dkey_kind() != model::KeyKind::integer) {
    return fail(Errc::invalid, "query: the object's dkeys are not integers");
  }
  if (request.want_akey && path.akey_kind() != model::KeyKind::integer) {
    return fail(Errc::invalid, "query: the object's akeys are not integers");
  }
  return {};
}

/// What is looked at is what is below the highest level that is asked for.
Result<void> Query::check_free_or_unchanged() const {
  KeyRange range{Level::object, path.object(), {}, {}};
  if (!request.want_dkey) {
    TRY(dkey, given(path.object(), path.dkey_kind(), request.dkey, request.dkey_bytes));
    range.dkey = dkey;
    range.level = Level::dkey;
  }
  if (!request.want_dkey && !request.want_akey) {
    TRY(akey, given(range.dkey, path.akey_kind(), request.akey, request.akey_bytes));
    range.akey = akey;
    range.level = Level::akey;
  }
  if (request.transactional) return check_unchanged(state, range, tx_epoch);
  return check_free_to_read(state, range, epoch);
}

Result<std::optional<Component>> Query::next_key(View::Cursor& cursor, const Key& prefix,
                                                 model::KeyKind kind) {
  while (cursor.valid() && starts_with(cursor.key(), prefix)) {
    ByteView rest = cursor.key().subspan(prefix.size());
    TRY(component, take_component(rest, kind));
    if (!component.none) return component;
    TRY(moved, request.max ? cursor.prev() : cursor.next());
  }
  return std::nullopt;
}

Result<Key> Query::given(const Key& prefix, model::KeyKind kind, uint64_t number,
                         ByteView bytes) const {
  std::byte le[8];
  store_le64(le, number);
  const ByteView key = kind == model::KeyKind::integer ? ByteView(le) : bytes;
  TRY(checked, check_key(kind, key));
  Key out = prefix;
  add_component(out, kind, component_of(kind, key));
  return out;
}

Result<bool> Query::extent_of(Look& look, const Key& akey, Floor floor, model::QueriedKey& out) {
  const Key extents = record_key(akey, Kind::extent);
  View::Cursor cursor(look.view(), akey);
  TRY(sought, request.max ? cursor.seek_before(after_prefix(extents)) : cursor.seek(extents));
  while (cursor.valid() && starts_with(cursor.key(), extents)) {
    TRY(tail, parse_tail(cursor.key().subspan(akey.size())));
    TRY(extent, parse_extent(tail.position, cursor.value()));
    if (extent.value.epoch > floor) {
      out.recx = {extent.begin, extent.end - extent.begin};
      out.record_bytes = extent.value.record_bytes;
      return true;
    }
    TRY(moved, request.max ? cursor.prev() : cursor.next());
  }
  return false;
}

Result<bool> Query::in_akey(Look& look, const Key& akey, Floor dkey_floor, model::QueriedKey& out) {
  TRY(floor, look.akey_floor(akey, dkey_floor));
  if (request.want_recx) return extent_of(look, akey, floor, out);
  TRY(found, look.akey(akey, floor));
  return found.exists;
}

Result<bool> Query::in_dkey(Look& look, const Key& dkey, model::QueriedKey& out) {
  TRY(floor, look.dkey_floor(dkey));
  if (!request.want_akey && !request.want_recx) return look.dkey_exists(dkey, floor, {}, nullptr);
  if (!request.want_akey) {
    TRY(akey, given(dkey, path.akey_kind(), request.akey, request.akey_bytes));
    return in_akey(look, akey, floor, out);
  }
  View::Cursor cursor(look.view(), dkey);
  TRY(sought, request.max ? cursor.seek_before(after_prefix(dkey)) : cursor.seek(dkey));
  for (;;) {
    TRY(component, next_key(cursor, dkey, path.akey_kind()));
    if (!component) return false;
    const Key akey = path.akey(dkey, *component);
    TRY(found, in_akey(look, akey, floor, out));
    if (found) {
      out.akey = load_le64(component->bytes.data());
      return true;
    }
    TRY(moved, request.max ? cursor.seek_before(akey) : cursor.seek(after_prefix(akey)));
  }
}

Result<model::QueriedKey> Query::run() {
  TRY(free, check_free_or_unchanged());
  const ReadView at(state, container, epoch);
  Look look(state, path, at.view());
  model::QueriedKey out;
  out.epoch = tx_epoch;
  if (!request.want_dkey) {
    TRY(dkey, given(path.object(), path.dkey_kind(), request.dkey, request.dkey_bytes));
    TRY(kept, check_epoch(dkey));
    TRY(found, in_dkey(look, dkey, out));
    out.found = found;
    return out;
  }
  TRY(kept, check_epoch(path.object()));
  View::Cursor cursor(look.view(), path.object());
  TRY(sought, request.max ? cursor.seek_before(after_prefix(path.object()))
                          : cursor.seek(path.object()));
  for (;;) {
    TRY(component, next_key(cursor, path.object(), path.dkey_kind()));
    if (!component) return out;
    const Key dkey = path.dkey(*component);
    TRY(found, in_dkey(look, dkey, out));
    if (found) {
      out.found = true;
      out.dkey = load_le64(component->bytes.data());
      return out;
    }
    TRY(moved, request.max ? cursor.seek_before(dkey) : cursor.seek(after_prefix(dkey)));
  }
}

/// The newest stamp of an object at an older epoch.
struct OldStamps {
  Shard::State& state;
  ContNumber container;
  const Key& prefix;
  model::Epoch epoch;
  Key next;
  model::Epoch newest = 0;
  bool finished = false;

  /// Some records. @returns the newest stamp so far
  Result<model::Epoch> step();
};

Result<model::Epoch> OldStamps::step() {
  constexpr int kStepRecordsMax = 4096;
  TRY(kept, state.check_read_epoch(container, epoch, state.ended.at(prefix)));
  const ReadView at(state, container, epoch);
  View::Cursor cursor(at.view(), prefix);
  TRY(sought, cursor.seek(next));
  for (int i = 0; i < kStepRecordsMax; ++i) {
    if (!cursor.valid() || !starts_with(cursor.key(), prefix)) {
      finished = true;
      return newest;
    }
    newest = std::max(newest, epoch_of(cursor.value()));
    next.truncate(0);
    next.add(cursor.key());
    TRY(moved, cursor.next());
  }
  return newest;
}

}  // namespace

Task<Result<model::QueriedKey>> Shard::query_key(const ObjectPath& object,
                                                 const model::QueryKeyRequest& request,
                                                 model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  Query query(*state_, object, request, request.transactional ? model::kEpochMax : epoch);
  CO_TRY(checked, query.check());
  if (request.transactional) {
    CO_TRY(of_transaction, co_await read_epoch(*state_, epoch));
    query.tx_epoch = of_transaction;
  }
  const Access access = Access::read(request.transactional ? query.tx_epoch : epoch);
  Patience patience;
  index::Store::Attempt attempt(*state_->store);
  for (;;) {
    if (state_->closures.of(object.container, access) != nullptr) {
      CO_TRY(open, co_await wait_open(*state_, object.container, access));
    }
    auto done = query.run();
    if (!done && done.error().code() == Errc::in_progress) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(*state_, patience));
      continue;
    }
    if (done || done.error().code() != Errc::page_absent) {
      attempt.release();
      CO_TRY(settled, co_await state_->settle());
      co_return done;
    }
    CO_TRY(loaded, co_await load_absent(*state_, attempt));
  }
}

Task<Result<model::Epoch>> Shard::max_epoch(const ObjectPath& object, model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  const Key prefix = object_prefix(object, Range::live);
  const KeyRange range{Level::object, prefix, {}, {}};
  Patience patience;
  OldStamps old{*state_, object.container, prefix, epoch, prefix};
  index::Store::Attempt attempt(*state_->store);
  for (;;) {
    if (state_->closures.of(object.container, Access::read(epoch)) != nullptr) {
      CO_TRY(open, co_await wait_open(*state_, object.container, Access::read(epoch)));
    }
    if (!check_free_to_read(*state_, range, epoch)) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(*state_, patience));
      continue;
    }
    auto stamp = state_->tree().newest_stamp(prefix, after_prefix(prefix));
    // At an older epoch every version has to be looked at, unless nothing has changed since.
    if (stamp && (*stamp > epoch || state_->ended.at(prefix) > epoch)) {
      stamp = old.step();
      if (stamp && !old.finished) {
        co_await state_->reactor.yield();
        continue;
      }
    }
    if (stamp || stamp.error().code() != Errc::page_absent) {
      attempt.release();
      CO_TRY(settled, co_await state_->settle());
      co_return stamp;
    }
    CO_TRY(loaded, co_await load_absent(*state_, attempt));
  }
}

}  // namespace cairn::vos
