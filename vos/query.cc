// Queries: greatest and smallest integer keys and extents, and the newest epoch of an object.
#include "vos/plan.h"

namespace cairn::vos {

namespace {

struct Query {
  Query(Shard::State& s, const ObjectPath& o, const model::QueryKeyRequest& r, model::Epoch e)
      : state(s), request(r), epoch(e), path(o) {}

  Shard::State& state;
  const model::QueryKeyRequest& request;
  model::Epoch epoch;
  KeyPath path;

  Result<void> check() const;
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
  TRY(kept, state.check_read_epoch(epoch));
  Look look(state, path);
  model::QueriedKey out;
  if (!request.want_dkey) {
    TRY(dkey, given(path.object(), path.dkey_kind(), request.dkey, request.dkey_bytes));
    TRY(found, in_dkey(look, dkey, out));
    out.found = found;
    return out;
  }
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

}  // namespace

Task<Result<model::QueriedKey>> Shard::query_key(const ObjectPath& object,
                                                 const model::QueryKeyRequest& request,
                                                 model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  Query query(*state_, object, request, epoch);
  CO_TRY(checked, query.check());
  index::Store::Attempt attempt(*state_->store);
  for (;;) {
    auto done = query.run();
    if (done || done.error().code() != Errc::page_absent) {
      attempt.release();
      CO_TRY(settled, co_await state_->settle());
      co_return done;
    }
    CO_TRY(loaded, co_await state_->store->load_absent(attempt));
  }
}

Task<Result<model::Epoch>> Shard::max_epoch(const ObjectPath& object, model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  const Key prefix = object_prefix(object, Range::live);
  index::Store::Attempt attempt(*state_->store);
  for (;;) {
    CO_TRY(kept, state_->check_read_epoch(epoch));
    auto stamp = state_->tree().newest_stamp(prefix, after_prefix(prefix));
    if (stamp || stamp.error().code() != Errc::page_absent) {
      attempt.release();
      CO_TRY(settled, co_await state_->settle());
      co_return stamp;
    }
    CO_TRY(loaded, co_await state_->store->load_absent(attempt));
  }
}

}  // namespace cairn::vos
