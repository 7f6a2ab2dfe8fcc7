#include "vos/flat_view.h"

#include <algorithm>

#include "vos/markers.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

Key key_of(ByteView bytes) {
  Key key;
  key.add(bytes);
  return key;
}

/// What stands outside of one value, as extents (or a single value) of the akey.
Result<void> outside_entries(const OpenFlat& open, const Key& akey_prefix,
                             const FlatBuffer::Key& akey, const FlatBuffer::Value& value,
                             const View& under, FlatArena& arena, std::vector<FlatEntry>& out,
                             std::vector<FlatEntry>& checksums) {
  const auto malformed = fail(Errc::checksum, "flat: what stands outside does not fit the buffer");
  const bool single = akey.type == model::ValueType::single;
  const uint64_t record_bytes = single ? 1 : akey.record_bytes;
  const Key prefix = outside_prefix(open.path.object());
  const Key extents = record_key(prefix, Kind::extent);
  View::Cursor cursor(under, prefix);
  TRY(sought, cursor.seek(extent_key(prefix, value.place + 1)));
  for (uint64_t at = value.place; at < value.place + value.bytes;) {
    if (!cursor.valid() || !starts_with(cursor.key(), extents)) return malformed;
    TRY(tail, parse_tail(cursor.key().subspan(prefix.size())));
    TRY(extent, parse_extent(tail.position, cursor.value()));
    const uint64_t bytes = extent.end - extent.begin;
    if (extent.begin != at || extent.end > value.place + value.bytes ||
        extent.value.form != Form::data || bytes % record_bytes != 0 ||
        (single && bytes != value.bytes)) {
      return malformed;
    }
    const uint64_t count = bytes / record_bytes;
    const uint64_t end = single ? 0 : value.begin + (at - value.place) / record_bytes + count;
    Bytes& made = arena.emplace_back();
    if (single) {
      put_data(made, open.record.epoch, bytes, extent.value);
    } else {
      put_extent_data(made, open.record.epoch, {count, record_bytes, at != value.place},
                      extent.value);
    }
    const Key key = single ? record_key(akey_prefix, Kind::single) : extent_key(akey_prefix, end);
    out.push_back({key, made, key_of(cursor.key())});
    if (extent.value.checksums_apart) {
      TRY(data, parse_data(extent.value));
      const uint64_t blocks = data.block_count();
      for (uint64_t c = 0; c * kChecksumsPerRecord < blocks; ++c) {
        const Key own = checksums_key(prefix, extent.end, c);
        TRY(found, under.get(own));
        if (!found) return fail(Errc::checksum, "extent: its checksum record is missing");
        checksums.push_back({checksums_key(akey_prefix, end, c), *found, own});
      }
    }
    at = extent.end;
    TRY(moved, cursor.next());
  }
  return {};
}

}  // namespace

void OpenFlat::dkey_entries(uint32_t dkey, std::vector<FlatEntry>& out) const {
  const ByteView name = content->dkey_name(dkey);
  if (!name.empty()) out.push_back({dkey_name_key(dkey_prefix(dkey)), name, {}});
}

Result<void> OpenFlat::akey_entries(const Key& dkey_prefix, uint32_t index, const View& under,
                                    FlatArena& arena, std::vector<FlatEntry>& out) const {
  const FlatBuffer::Key akey = buffer().akey(index);
  const Key prefix = path.akey(dkey_prefix, akey.key);
  const ByteView name = content->akey_name(index);
  if (!name.empty()) out.push_back({record_key(prefix, Kind::name), name, {}});
  const ByteView present = content->present(index);
  if (!present.empty()) out.push_back({record_key(prefix, Kind::present), present, {}});
  std::vector<FlatEntry> checksums;
  for (uint32_t n = akey.first; n < akey.first + akey.count; ++n) {
    const FlatBuffer::Value value = buffer().value(n, akey);
    if (value.outside) {
      TRY(found, outside_entries(*this, prefix, akey, value, under, arena, out, checksums));
    } else if (akey.type == model::ValueType::single) {
      out.push_back({record_key(prefix, Kind::single), content->value(n), {}});
    } else {
      out.push_back({extent_key(prefix, value.begin + value.count), content->value(n), {}});
    }
  }
  out.insert(out.end(), checksums.begin(), checksums.end());
  return {};
}

Result<OpenFlatPtr> open_flat(Flats& flats, const View& under, ByteView object_prefix) {
  TRY(found, under.get(flat_key(object_prefix)));
  if (!found) return OpenFlatPtr{};
  TRY(record, parse_flat(*found));
  TRY(parsed, parse_key(flat_key(object_prefix)));
  const ObjectPath object{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)};
  TRY(content, flats.find(object, record));
  auto open = std::make_shared<OpenFlat>(object);
  open->content = std::move(content);
  open->taken.assign(record.taken.begin(), record.taken.end());
  open->record = record;
  open->record.taken = open->taken;
  if (open->taken.size() > (open->buffer().dkey_count() + 7) / 8) {
    return fail(Errc::checksum, "flat: its record names dkeys that it has not got");
  }
  return OpenFlatPtr(std::move(open));
}

Result<OpenFlatPtr> FlatLens::open(ByteView object_prefix) {
  if (as_chars(last_prefix_.view()) == as_chars(object_prefix)) return last_;
  TRY(opened, open_flat(flats_, under_, object_prefix));
  last_prefix_ = key_of(object_prefix);
  last_ = std::move(opened);
  return last_;
}

Result<std::optional<ByteView>> FlatLens::get(ByteView key) {
  if (!in_range(key, Range::live)) return under_.get(key);
  TRY(levels, level_bytes(key));
  if (levels.dkey == 0) return under_.get(key);
  TRY(open, open(key.first(levels.object)));
  if (open == nullptr) return under_.get(key);
  const FlatBuffer& flat = open->buffer();
  ByteView rest = key.subspan(levels.object);
  TRY(dkey, take_component(rest, flat.dkey_kind()));
  const uint32_t d = flat.dkey_at(dkey);
  if (d == flat.dkey_count() || compare_components(flat.dkey_kind(), flat.dkey(d).key, dkey) != 0 ||
      open->record.is_taken(d)) {
    return under_.get(key);
  }
  const auto known = [](ByteView value) {
    return value.empty() ? std::nullopt : std::optional(value);
  };
  if (levels.akey == 0) return known(open->content->dkey_name(d));
  TRY(akey, take_component(rest, flat.akey_kind()));
  const FlatBuffer::Key own = flat.dkey(d);
  const uint32_t a = flat.akey_at(own, akey);
  if (a == own.first + own.count ||
      compare_components(flat.akey_kind(), flat.akey(a).key, akey) != 0) {
    return std::nullopt;
  }
  TRY(tail, parse_tail(rest));
  if (tail.kind == Kind::name) return known(open->content->akey_name(a));
  if (tail.kind == Kind::present) return known(open->content->present(a));
  const FlatBuffer::Key values = flat.akey(a);
  const bool single = values.type == model::ValueType::single;
  if (tail.kind == Kind::single && (!single || values.count == 0)) return std::nullopt;
  if (tail.kind == Kind::single && !flat.value(values.first, values).outside) {
    return open->content->value(values.first);
  }
  std::vector<FlatEntry> entries;
  const Key dkey_prefix = key_of(key.first(levels.dkey));
  TRY(made, open->akey_entries(dkey_prefix, a, under_, arena_, entries));
  for (const FlatEntry& entry : entries) {
    if (as_chars(entry.key.view()) == as_chars(key)) return entry.value;
  }
  return std::nullopt;
}

namespace {

/// A place among the records of one object's buffer. They come in units: a dkey's own records, then
/// those of each of its akeys; a unit is made when it is entered.
class FlatWalk {
 public:
  FlatWalk(FlatLens& lens, ByteView within) : lens_(lens) { within_.add(within); }

  void leave() {
    open_.reset();
    valid_ = false;
  }
  void enter(OpenFlatPtr open) {
    open_ = std::move(open);
    valid_ = false;
  }
  bool valid() const { return valid_; }
  const FlatEntry& at() const { return entries_[entry_]; }

  Result<void> seek_first() { return forward_from(0); }
  Result<void> seek_last() { return backward_from(unit_count()); }
  /// To the first record at or after `key`.
  Result<void> seek(ByteView key);
  /// To the last record before `key`.
  Result<void> seek_before(ByteView key);
  Result<void> next();
  Result<void> prev();

 private:
  const FlatBuffer& flat() const { return open_->buffer(); }
  uint32_t unit_count() const { return flat().dkey_count() + flat().akey_count(); }
  /// Whose unit it is.
  uint32_t dkey_of(uint32_t unit) const;
  uint32_t first_unit(uint32_t dkey) const {
    return dkey == flat().dkey_count() ? unit_count() : flat().dkey(dkey).first + dkey;
  }
  /// Where a unit is, seen from what is looked for.
  enum class Where : uint8_t { before, within, behind };
  /// Makes the unit's records if it is within.
  Result<Where> make(uint32_t unit);
  Result<void> forward_from(uint32_t unit);
  Result<void> backward_from(uint32_t unit);
  /// The unit in which `key` is, or the first one behind it.
  uint32_t unit_at(ByteView key) const;

  FlatLens& lens_;
  Key within_;
  OpenFlatPtr open_;
  bool valid_ = false;
  uint32_t unit_ = 0;
  size_t entry_ = 0;
  std::vector<FlatEntry> entries_;
};

uint32_t FlatWalk::dkey_of(uint32_t unit) const {
  uint32_t low = 0, high = flat().dkey_count();
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (first_unit(middle) <= unit ? low : high) = middle;
  }
  return low;
}

Result<FlatWalk::Where> FlatWalk::make(uint32_t unit) {
  entries_.clear();
  const uint32_t dkey = dkey_of(unit);
  const Key dkey_prefix = open_->dkey_prefix(dkey);
  const uint32_t first = first_unit(dkey);
  const Key prefix =
      unit == first ? dkey_prefix
                    : open_->path.akey(dkey_prefix,
                                       flat().akey(flat().dkey(dkey).first + unit - first - 1).key);
  if (!starts_with(prefix, within_) && !starts_with(within_, prefix)) {
    return as_chars(prefix.view()) < as_chars(within_.view()) ? Where::before : Where::behind;
  }
  if (open_->record.is_taken(dkey)) return Where::within;
  if (unit == first) {
    open_->dkey_entries(dkey, entries_);
    return Where::within;
  }
  TRY(made, open_->akey_entries(dkey_prefix, flat().dkey(dkey).first + unit - first - 1,
                                lens_.under(), lens_.arena(), entries_));
  return Where::within;
}

Result<void> FlatWalk::forward_from(uint32_t unit) {
  valid_ = false;
  for (unit_ = unit; unit_ < unit_count(); ++unit_) {
    TRY(where, make(unit_));
    if (where == Where::behind) return {};
    if (entries_.empty()) continue;
    entry_ = 0;
    valid_ = true;
    return {};
  }
  return {};
}

/// The last record of the units before `unit`.
Result<void> FlatWalk::backward_from(uint32_t unit) {
  valid_ = false;
  while (unit > 0) {
    unit_ = --unit;
    TRY(where, make(unit_));
    if (where == Where::before) return {};
    if (entries_.empty()) continue;
    entry_ = entries_.size() - 1;
    valid_ = true;
    return {};
  }
  return {};
}

uint32_t FlatWalk::unit_at(ByteView key) const {
  // Everything below a prefix is before the key.
  const auto before = [key](const Key& prefix) {
    return as_chars(prefix.view()) < as_chars(key) && !starts_with(key, prefix);
  };
  const auto partition = [](uint32_t low, uint32_t high, auto is_before) {
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (is_before(middle)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  const uint32_t dkey =
      partition(0, flat().dkey_count(), [&](uint32_t i) { return before(open_->dkey_prefix(i)); });
  if (dkey == flat().dkey_count()) return unit_count();
  const Key dkey_prefix = open_->dkey_prefix(dkey);
  const uint32_t first = first_unit(dkey);
  if (!starts_with(key, dkey_prefix)) return first;
  Key own = dkey_prefix;
  add_none(own);
  if (!before(own)) return first;
  const FlatBuffer::Key akeys = flat().dkey(dkey);
  const uint32_t akey = partition(akeys.first, akeys.first + akeys.count, [&](uint32_t i) {
    return before(open_->path.akey(dkey_prefix, flat().akey(i).key));
  });
  return first + 1 + (akey - akeys.first);
}

Result<void> FlatWalk::seek(ByteView key) {
  TRY(found, forward_from(unit_at(key)));
  while (valid_ && as_chars(at().key.view()) < as_chars(key)) {
    TRY(moved, next());
  }
  return {};
}

Result<void> FlatWalk::seek_before(ByteView key) {
  const uint32_t unit = unit_at(key);
  TRY(found, backward_from(std::min(unit + 1, unit_count())));
  while (valid_ && as_chars(at().key.view()) >= as_chars(key)) {
    TRY(moved, prev());
  }
  return {};
}

Result<void> FlatWalk::next() {
  if (entry_ + 1 < entries_.size()) {
    ++entry_;
    return {};
  }
  return forward_from(unit_ + 1);
}

Result<void> FlatWalk::prev() {
  if (entry_ > 0) {
    --entry_;
    return {};
  }
  return backward_from(unit_);
}

/// Merges what is under the lens with the objects' buffers.
class FlatCursor final : public LensCursor {
 public:
  FlatCursor(FlatLens& lens, ByteView within)
      : lens_(lens), within_(key_of(within)), cursor_(lens.under(), within), walk_(lens, within) {
    const auto bytes = object_prefix_bytes(within);
    if (bytes) only_object_ = key_of(within.first(*bytes));
  }

  Result<void> seek(ByteView from) override {
    forward_ = true;
    const Key key = key_of(from);
    TRY(sought, cursor_.seek(key));
    TRY(opened, enter(key));
    if (opened) {
      TRY(found, walk_.seek(key));
    }
    return settle_forward();
  }
  Result<void> seek_before(ByteView before) override {
    forward_ = false;
    const Key key = key_of(before);
    TRY(sought, cursor_.seek_before(key));
    TRY(opened, enter(key));
    if (opened) {
      TRY(found, walk_.seek_before(key));
    }
    return settle_backward();
  }
  Result<void> next() override {
    DCHECK(valid);
    if (!forward_) {
      Key after = key_of(key);
      after.add(0);
      return seek(after);
    }
    TRY(moved, from_walk_ ? walk_.next() : cursor_.next());
    return settle_forward();
  }
  Result<void> prev() override {
    DCHECK(valid);
    if (forward_) return seek_before(key);
    TRY(moved, from_walk_ ? walk_.prev() : cursor_.prev());
    return settle_backward();
  }

 private:
  /// Makes the object of a key the one that is looked at. True: it is flattened.
  Result<bool> enter(ByteView key) {
    walk_.leave();
    is_flat_ = false;
    object_.truncate(0);
    const auto bytes = object_prefix_bytes(key);
    if (!in_range(key, Range::live) || (!bytes && only_object_.size() == 0)) return false;
    object_ = only_object_.size() != 0 ? only_object_ : key_of(key.first(*bytes));
    TRY(open, lens_.open(object_));
    is_flat_ = open != nullptr;
    if (is_flat_) walk_.enter(std::move(open));
    return is_flat_;
  }
  /// What lies outside is not looked at, nor are the objects there.
  bool is_within() const { return cursor_.valid() && starts_with(cursor_.key(), within_); }
  bool in_object() const { return object_.size() != 0 && starts_with(cursor_.key(), object_); }
  /// The flattened object's own records: readers do not know them.
  bool is_hidden() const {
    if (!is_flat_ || !in_object()) return false;
    const Key own = outside_prefix(object_);
    if (!starts_with(cursor_.key(), own)) return false;
    const auto kind = static_cast<Kind>(cursor_.key()[own.size()]);
    return kind != Kind::touched;
  }
  void take_walk() {
    from_walk_ = true;
    valid = true;
    key = walk_.at().key;
    value = walk_.at().value;
  }
  void take_cursor() {
    from_walk_ = false;
    valid = is_within();
    if (!valid) return;
    key = cursor_.key();
    value = cursor_.value();
  }
  Result<void> settle_forward();
  Result<void> settle_backward();

  FlatLens& lens_;
  Key within_;
  Key only_object_;  // in which all of it is; empty: there may be several
  View::Cursor cursor_;
  FlatWalk walk_;
  Key object_;  // that is looked at
  bool is_flat_ = false;
  bool forward_ = true;
  bool from_walk_ = false;
};

Result<void> FlatCursor::settle_forward() {
  for (;;) {
    if (walk_.valid() &&
        (!cursor_.valid() || as_chars(walk_.at().key.view()) < as_chars(cursor_.key()))) {
      take_walk();
      return {};
    }
    if (!is_within()) break;
    if (is_hidden()) {
      TRY(moved, cursor_.next());
      continue;
    }
    if (!in_object()) {
      TRY(opened, enter(key_of(cursor_.key())));
      if (opened) {
        TRY(found, walk_.seek_first());
        continue;
      }
    }
    break;
  }
  take_cursor();
  return {};
}

Result<void> FlatCursor::settle_backward() {
  for (;;) {
    if (walk_.valid() &&
        (!cursor_.valid() || as_chars(walk_.at().key.view()) > as_chars(cursor_.key()))) {
      take_walk();
      return {};
    }
    if (!is_within()) break;
    if (is_hidden()) {
      TRY(moved, cursor_.prev());
      continue;
    }
    if (!in_object()) {
      TRY(opened, enter(key_of(cursor_.key())));
      if (opened) {
        TRY(found, walk_.seek_last());
        continue;
      }
    }
    break;
  }
  take_cursor();
  return {};
}

}  // namespace

std::unique_ptr<LensCursor> FlatLens::cursor(ByteView within) {
  return std::make_unique<FlatCursor>(*this, within);
}

}  // namespace cairn::vos
