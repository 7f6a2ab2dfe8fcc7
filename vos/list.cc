// Enumeration. A position is what the last answer ended with, in terms of the key order, so it
// survives restarts and changes in between: byte 0 tells its kind, the key's component (or an
// extent's end) follows.
#include <algorithm>

#include "base/short_bytes.h"
#include "vos/epoch_view.h"
#include "vos/plan.h"
#include "vos/validation.h"

namespace cairn::vos {

namespace {

constexpr uint8_t kAfterKey = 1;     // go on behind this key
constexpr uint8_t kAtKey = 2;        // start at this key or the next one
constexpr uint8_t kAfterExtent = 3;  // go on behind (descending: before) this end and begin

/// Records that one step looks at; after that the answer is given as it is, so that a listing over
/// dead records does not hold up others.
constexpr size_t kStepRecordsMax = 16'384;
/// Leaves that a listing loads beside the one that it misses; fewer at first, because most listings
/// are short.
constexpr uint32_t kLeavesAheadMax = 31;

struct Listing {
  Listing(Shard::State& s, const ObjectPath& o, const model::ListRequest& r, model::Epoch e)
      : state(s), request(r), epoch(e), object(o), path(o) {}

  Shard::State& state;
  const model::ListRequest& request;
  model::Epoch epoch;
  model::Epoch tx_epoch = 0;  // of a transactional listing
  ObjectPath object;
  KeyPath path;
  Key level;   // object or dkey, for what ended in it
  Key prefix;  // of the level whose keys are listed, or of the akey
  model::KeyKind kind = model::KeyKind::hashed;
  model::Listed out;
  bool finished = false;  // full, or at the end
  bool may_be_dead = true;  // dkeys; of this step
  uint32_t leaves_ahead = 0;
  size_t looked_at = 0;
  /// A long key whose name stands in blocks: where its bytes go.
  struct LongName {
    size_t offset = 0;
    DataRead read;
  };
  std::vector<LongName> long_names;

  Result<void> check();
  Result<void> check_epoch() const;
  Result<Key> start() const;
  Result<void> step_keys();
  Result<bool> visible(Look& look, ByteView key_prefix, Floor floor, ByteView record_key);
  Result<void> emit_key(Look& look, const Component& component, ByteView key_prefix);
  Result<Span> records_left() const;
  Result<void> seek_extents(View::Cursor& cursor, const Span& left) const;
  Result<void> step_extents();
  void emit_extent(const FoundExtent& extent);
};

Result<void> Listing::check() {
  if (request.count_max == 0) return fail(Errc::invalid, "list: room for no key");
  if (request.position.size() > model::kAnchorBytes) return fail(Errc::invalid, "list: bad anchor");
  out.position = request.position;
  level = prefix = path.object();
  kind = path.dkey_kind();
  if (request.what == model::ListRequest::What::dkeys) return {};
  kind = path.akey_kind();
  // A key that cannot exist is absent.
  if (request.dkey.empty() || !check_key(path.dkey_kind(), request.dkey)) {
    out.eof = finished = true;
    return {};
  }
  TRY(dkey, path.dkey(request.dkey));
  level = prefix = dkey;
  if (request.what == model::ListRequest::What::akeys) return {};
  if (!check_key(path.akey_kind(), request.akey)) {
    out.eof = finished = true;
    return {};
  }
  TRY(akey, path.akey(dkey, request.akey));
  prefix = akey;
  return {};
}

/// Is what the listing is to show still there, at each step?
Result<void> Listing::check_epoch() const {
  using What = model::ListRequest::What;
  KeyRange range{Level::object, path.object(), {}, {}};
  if (request.what != What::dkeys) {
    TRY(dkey, path.dkey(request.dkey));
    range.dkey = dkey;
    range.akey = prefix;
    range.level = request.what == What::akeys ? Level::dkey : Level::akey;
  }
  if (request.transactional) return check_unchanged(state, range, tx_epoch);
  TRY(free, check_free_to_read(state, range, epoch));
  if (epoch == model::kEpochMax) return {};
  return state.check_read_epoch(object.container, epoch, state.ended.at(level));
}

/// Where to go on.
Result<Key> Listing::start() const {
  if (out.position.empty()) return prefix;
  const auto tag = static_cast<uint8_t>(out.position[0]);
  const ByteView raw = ByteView(out.position).subspan(1);
  Component component;
  if ((tag != kAfterKey && tag != kAtKey) || raw.size() > component.bytes.size() ||
      (kind == model::KeyKind::integer && raw.size() != model::kIntegerKeyBytes)) {
    return fail(Errc::invalid, "list: not an anchor of this listing");
  }
  component.none = false;
  component.size = static_cast<uint8_t>(raw.size());
  std::copy(raw.begin(), raw.end(), component.bytes.begin());
  Key key = prefix;
  add_component(key, kind, component);
  return tag == kAtKey ? key : after_prefix(key);
}

/// Is a record below `key_prefix` visible, whose first one has that key?
Result<bool> Listing::visible(Look& look, ByteView key_prefix, Floor floor, ByteView record_key) {
  if (request.what == model::ListRequest::What::dkeys) {
    if (!may_be_dead) {
      // Nothing is dead: any record that is not the dkey's name proves it.
      if (!is_dkey_name(record_key.subspan(key_prefix.size()))) return true;
    }
    const Key dkey(key_prefix);
    TRY(dkey_floor, look.dkey_floor(dkey));
    return look.dkey_exists(dkey, dkey_floor, {}, nullptr);
  }
  const Key akey(key_prefix);
  TRY(akey_floor, look.akey_floor(akey, floor));
  TRY(found, look.akey(akey, akey_floor));
  return found.exists;
}

Result<void> Listing::emit_key(Look& look, const Component& component, ByteView key_prefix) {
  uint64_t length = component.size;
  ByteView bytes = component.view();
  std::optional<ValueView> name;
  Bytes whole;
  if (component.is_long(kind)) {
    const Key key = request.what == model::ListRequest::What::dkeys
                        ? dkey_name_key(Key(key_prefix))
                        : record_key(Key(key_prefix), Kind::name);
    TRY(record, look.view().get(key));
    if (!record) return fail(Errc::checksum, "list: a long key's name is missing");
    TRY(value, parse_value(Kind::name, *record));
    name = value;
    length = value.payload_bytes;
    bytes = value.inlined;
  }
  if (out.lengths.size() == request.count_max || out.keys.size() + length > request.bytes_max) {
    finished = true;
    if (out.lengths.empty()) {
      out.too_small = true;
      out.lengths.push_back(length);
    }
    return {};
  }
  if (name && name->form == Form::data) {
    Key name_prefix(key_prefix);
    if (request.what == model::ListRequest::What::dkeys) add_none(name_prefix);
    TRY(data, look.block_data(name_prefix, 0, *name));
    long_names.push_back({out.keys.size(), {std::move(data), 0, {}}});
    out.keys.resize(out.keys.size() + length);
  } else {
    out.keys.insert(out.keys.end(), bytes.begin(), bytes.end());
  }
  out.lengths.push_back(length);
  out.position.resize(1 + component.size);
  out.position[0] = std::byte{kAfterKey};
  copy_short(out.position.data() + 1, component.bytes.data(), component.size);
  return {};
}

Result<void> Listing::step_keys() {
  TRY(kept, check_epoch());
  const ReadView at(state, object.container, epoch);
  Look look(state, path, at.view());
  Floor floor = 0;
  if (request.what == model::ListRequest::What::akeys) {
    TRY(dkey_floor, look.dkey_floor(prefix));
    floor = dkey_floor;
  }
  may_be_dead = state.markers.any(path.object());
  TRY(from, start());
  View::Cursor cursor(look.view(), prefix, leaves_ahead);
  TRY(sought, cursor.seek(from));
  Component component;
  while (!finished) {
    if (!cursor.valid() || !starts_with(cursor.key(), prefix)) {
      out.eof = finished = true;
      return {};
    }
    if (++looked_at > kStepRecordsMax && !out.lengths.empty()) {
      finished = true;
      return {};
    }
    ByteView rest = cursor.key().subspan(prefix.size());
    TRY(taken, take_component(rest, kind, component));
    if (component.none) {
      TRY(moved, cursor.next());
      continue;
    }
    // Borrowed until the cursor moves.
    const ByteView key_prefix = cursor.key().first(cursor.key().size() - rest.size());
    TRY(is_visible, visible(look, key_prefix, floor, cursor.key()));
    if (is_visible) {
      TRY(emitted, emit_key(look, component, key_prefix));
    }
    if (!finished) {
      TRY(moved, cursor.seek(after_prefix(key_prefix)));
    }
  }
  return {};
}

void Listing::emit_extent(const FoundExtent& extent) {
  const uint64_t count = extent.end - extent.begin;
  out.record_bytes = extent.value.record_bytes;
  if (!out.recxs.empty() && out.epochs.back() == extent.value.epoch) {
    // Pieces of one write were cut by us, not by the caller.
    model::Recx& last = out.recxs.back();
    if (!request.descending && extent.value.joined && last.index + last.count == extent.begin) {
      last.count += count;
      return;
    }
  }
  out.recxs.push_back({extent.begin, count});
  out.epochs.push_back(extent.value.epoch);
}

/// Records that are still to be told.
Result<Span> Listing::records_left() const {
  if (out.position.empty()) return Span{0, UINT64_MAX};
  const auto wrong = fail(Errc::invalid, "list: not an anchor of this listing");
  if (out.position.size() != 17 || out.position[0] != std::byte{kAfterExtent}) return wrong;
  const uint64_t end = load_be64(out.position.data() + 1);
  const uint64_t begin = load_be64(out.position.data() + 9);
  if (end == UINT64_MAX || begin >= end) return wrong;
  return request.descending ? Span{0, begin} : Span{end, UINT64_MAX};
}

/// To the first extent (descending: the last one) that holds any of them.
Result<void> Listing::seek_extents(View::Cursor& cursor, const Span& left) const {
  const Key extents = record_key(prefix, Kind::extent);
  if (!request.descending) {
    return cursor.seek(left.begin == 0 ? extents : extent_key(prefix, left.begin + 1));
  }
  if (left.end == UINT64_MAX) return cursor.seek_before(after_prefix(extents));
  // One may reach beyond: extents do not overlap, so it is the first to end there.
  const Key beyond = extent_key(prefix, left.end + 1);
  TRY(sought, cursor.seek(beyond));
  if (cursor.valid() && starts_with(cursor.key(), extents)) {
    TRY(tail, parse_tail(cursor.key().subspan(prefix.size())));
    TRY(extent, parse_extent(tail.position, cursor.value()));
    if (extent.begin < left.end) return {};
  }
  return cursor.seek_before(beyond);
}

Result<void> Listing::step_extents() {
  TRY(kept, check_epoch());
  const ReadView at(state, object.container, epoch);
  Look look(state, path, at.view());
  TRY(dkey, path.dkey(request.dkey));
  TRY(dkey_floor, look.dkey_floor(dkey));
  TRY(floor, look.akey_floor(prefix, dkey_floor));
  const Key extents = record_key(prefix, Kind::extent);
  TRY(left, records_left());
  View::Cursor cursor(look.view(), prefix, request.descending ? 0 : leaves_ahead);
  TRY(sought, seek_extents(cursor, left));
  bool joins_next = false;  // descending: the extent looked at last continues the one before it
  while (cursor.valid() && starts_with(cursor.key(), extents)) {
    TRY(tail, parse_tail(cursor.key().subspan(prefix.size())));
    TRY(extent, parse_extent(tail.position, cursor.value()));
    // What was told as a part of it stays told: its pieces may have become one since.
    extent.begin = std::max(extent.begin, left.begin);
    extent.end = std::min(extent.end, left.end);
    if (extent.value.epoch > floor && extent.begin < extent.end) {
      const bool joins =
          !out.recxs.empty() && out.epochs.back() == extent.value.epoch &&
          (request.descending
               ? joins_next && out.recxs.back().index == extent.end
               : extent.value.joined &&
                     out.recxs.back().index + out.recxs.back().count == extent.begin);
      if (!joins && (out.recxs.size() == request.count_max || ++looked_at > kStepRecordsMax)) {
        return {};
      }
      if (joins && request.descending) {
        out.recxs.back().index = extent.begin;
        out.recxs.back().count += extent.end - extent.begin;
      } else {
        emit_extent(extent);
      }
      joins_next = extent.value.joined;
      std::byte be[16];
      store_be64(be, extent.end);
      store_be64(be + 8, extent.begin);
      out.position.assign(1, std::byte{kAfterExtent});
      out.position.insert(out.position.end(), be, be + 16);
    }
    TRY(moved, request.descending ? cursor.prev() : cursor.next());
  }
  out.eof = true;
  return {};
}

Task<Result<void>> read_long_names(Listing& listing) {
  Shard::State& state = listing.state;
  std::vector<Task<Result<void>>> tasks;
  for (size_t i = 0; i < listing.long_names.size(); ++i) {
    Listing::LongName& name = listing.long_names[i];
    size_t index = 0;
    for (size_t at = 0; at < name.offset; ++index) at += listing.out.lengths[index];
    name.read.into = {{listing.out.keys.data() + name.offset, listing.out.lengths[index]}};
    tasks.push_back(read_data(state.reactor, *state.store, std::move(name.read)));
  }
  co_return co_await run_all(state.reactor, std::move(tasks), kReadsMax);
}

}  // namespace

Task<Result<model::Listed>> Shard::list(const ObjectPath& object,
                                        const model::ListRequest& request, model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  Listing listing(*state_, object, request, request.transactional ? model::kEpochMax : epoch);
  CO_TRY(checked, listing.check());
  if (request.transactional) {
    CO_TRY(of_transaction, co_await read_epoch(*state_, epoch));
    listing.tx_epoch = listing.out.epoch = of_transaction;
  }
  const Access access = Access::read(request.transactional ? listing.tx_epoch : epoch);
  const bool keys = request.what != model::ListRequest::What::recxs;
  const auto pin = state_->store->pin_reads();
  Patience patience;
  index::Store::Attempt attempt(*state_->store);
  while (!listing.finished) {
    // Extents are few a call: a missing page starts the step again. Keys go on where they are.
    if (state_->closures.of(object.container, access) != nullptr) {
      CO_TRY(open, co_await wait_open(*state_, object.container, access));
    }
    const model::Listed before = keys ? model::Listed{} : listing.out;
    const Bytes position = listing.out.position;
    auto stepped = keys ? listing.step_keys() : listing.step_extents();
    if (stepped) break;
    if (stepped.error().code() == Errc::in_progress) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(*state_, patience));
      continue;
    }
    if (stepped.error().code() != Errc::page_absent) co_return fail(stepped.error());
    if (!keys) listing.out = before;
    if (listing.out.position != position) attempt.release();
    CO_TRY(loaded, co_await load_absent(*state_, attempt));
    listing.leaves_ahead = std::min(kLeavesAheadMax, 2 * listing.leaves_ahead + 1);
  }
  attempt.release();
  CO_TRY(settled, co_await state_->settle());
  if (!listing.long_names.empty()) {
    CO_TRY(read, co_await read_long_names(listing));
  }
  if (state_->evicting) {
    CO_TRY(ended, co_await state_->store->end_step());
  }
  co_return std::move(listing.out);
}

Result<Bytes> Shard::position_of(const ObjectPath& object, model::ListRequest::What what,
                                 ByteView key) {
  const uint8_t type = object.oid.type();
  if (what == model::ListRequest::What::recxs) {
    return fail(Errc::invalid, "anchor: only keys have positions");
  }
  const model::KeyKind kind =
      what == model::ListRequest::What::dkeys ? model::dkey_kind(type) : model::akey_kind(type);
  TRY(checked, check_key(kind, key));
  const Component component = component_of(kind, key);
  Bytes position(1, std::byte{kAtKey});
  position.insert(position.end(), component.view().begin(), component.view().end());
  return position;
}

}  // namespace cairn::vos
