#include "vos/key_format.h"

#include "base/hash.h"
#include "base/ordered_int.h"
#include "model/object_order.h"

namespace cairn::vos {

namespace {

constexpr uint8_t kIntegerTag = 1;

bool take_ordered(ByteView& in, uint64_t* value) {
  const size_t used = get_ordered_int(in, value);
  in = in.subspan(used);
  return used != 0;
}

}  // namespace

void Key::add_be32(uint32_t value) {
  std::byte be[4];
  store_be32(be, value);
  add(ByteView(be));
}

void Key::add_be64(uint64_t value) {
  std::byte be[8];
  store_be64(be, value);
  add(ByteView(be));
}

void Key::add_ordered(uint64_t value) {
  std::byte out[kOrderedIntBytesMax];
  add(ByteView(out, put_ordered_int(out, value)));
}

Key after_prefix(ByteView prefix) {
  size_t size = prefix.size();
  while (size > 0 && prefix[size - 1] == std::byte{0xFF}) --size;
  CHECK(size > 0);
  Key key;
  key.add(prefix.first(size - 1));
  key.add(static_cast<uint8_t>(static_cast<uint8_t>(prefix[size - 1]) + 1));
  return key;
}

Result<void> check_key(model::KeyKind kind, ByteView key) {
  switch (kind) {
    case model::KeyKind::integer:
      if (key.size() != model::kIntegerKeyBytes) {
        return fail(Errc::invalid, "key: an integer key has 8 bytes");
      }
      break;
    case model::KeyKind::lexical:
      if (key.size() > model::kLexicalKeyBytesMax) {
        return fail(Errc::key_too_big, "key: a lexical key has at most 96 bytes");
      }
      break;
    case model::KeyKind::hashed:
      if (key.size() > model::kKeyBytesMax) {
        return fail(Errc::key_too_big, "key: longer than 1 MiB");
      }
      break;
  }
  return {};
}

Component component_of(model::KeyKind kind, ByteView key) {
  Component c;
  c.none = false;
  if (kind == model::KeyKind::hashed && key.size() > model::kKeyPrefixBytes) {
    std::memcpy(c.bytes.data(), key.data(), model::kKeyPrefixBytes);
    const auto hash = xxh3_128(key);
    std::memcpy(c.bytes.data() + model::kKeyPrefixBytes, hash.data(), hash.size());
    c.size = kLongKeyBytes;
    return c;
  }
  CHECK(key.size() <= c.bytes.size());
  if (!key.empty()) std::memcpy(c.bytes.data(), key.data(), key.size());
  c.size = static_cast<uint8_t>(key.size());
  return c;
}

namespace {

void add_escaped(Key& key, ByteView rest) {
  for (size_t run = bytes_before_zero(rest);; run = bytes_before_zero(rest)) {
    key.add(rest.first(run));
    if (run == rest.size()) break;
    key.add(0);
    key.add(0xFF);
    rest = rest.subspan(run + 1);
  }
  key.add(0);
  key.add(1);
}

}  // namespace

void add_component(Key& key, model::KeyKind kind, const Component& component) {
  if (component.none) return add_none(key);
  if (kind == model::KeyKind::integer) {
    CHECK(component.size == model::kIntegerKeyBytes);
    key.add(kIntegerTag);
    key.add_ordered(load_le64(component.bytes.data()));
    return;
  }
  add_escaped(key, component.view());
}

Result<void> add_key(Key& key, model::KeyKind kind, ByteView caller_key) {
  TRY(checked, check_key(kind, caller_key));
  const bool whole =
      kind != model::KeyKind::integer &&
      (kind == model::KeyKind::lexical || caller_key.size() <= model::kKeyPrefixBytes);
  if (whole) {
    add_escaped(key, caller_key);
  } else {
    add_component(key, kind, component_of(kind, caller_key));
  }
  return {};
}

namespace {

Result<Component> take_integer(ByteView& in) {
  Component c;
  uint64_t value = 0;
  in = in.subspan(1);
  if (!take_ordered(in, &value)) return fail(Errc::checksum, "key: malformed integer component");
  c.none = false;
  c.size = model::kIntegerKeyBytes;
  store_le64(c.bytes.data(), value);
  return c;
}

}  // namespace

Result<Component> take_component(ByteView& in, model::KeyKind kind) {
  Component component;
  TRY(taken, take_component(in, kind, component));
  return component;
}

Result<void> take_component(ByteView& in, model::KeyKind kind, Component& c) {
  c.none = true;
  c.size = 0;
  if (in.size() >= 2 && in[0] == std::byte{0} && in[1] == std::byte{0}) {
    in = in.subspan(2);
    return {};
  }
  if (kind == model::KeyKind::integer) {
    if (in.empty() || in[0] != std::byte{kIntegerTag}) {
      return fail(Errc::checksum, "key: no integer component where its type has one");
    }
    TRY(taken, take_integer(in));
    c = taken;
    return {};
  }
  c.none = false;
  for (size_t at = 0;;) {
    const size_t run = bytes_before_zero(in.subspan(at));
    if (run > c.bytes.size() - c.size) break;
    copy_short(c.bytes.data() + c.size, in.data() + at, run);
    c.size = static_cast<uint8_t>(c.size + run);
    at += run;
    if (in.size() - at < 2) break;
    const std::byte mark = in[at + 1];
    at += 2;
    if (mark == std::byte{1}) {
      const bool hashed = kind == model::KeyKind::hashed;
      if (hashed && c.size > model::kKeyPrefixBytes && c.size != kLongKeyBytes) break;
      in = in.subspan(at);
      return {};
    }
    if (mark != std::byte{0xFF} || c.size == c.bytes.size()) break;
    c.bytes[c.size++] = std::byte{0};
  }
  return fail(Errc::checksum, "key: malformed component");
}

Key range_prefix(ContNumber container, Range range) {
  Key key;
  key.add_be32(container);
  key.add(static_cast<uint8_t>(range));
  return key;
}

Key object_prefix(const ObjectPath& object, Range range) {
  Key key = range_prefix(object.container, range);
  const auto order = model::object_order(object.oid);
  key.add(view_of(order.data(), order.size()));
  key.add_ordered(object.shard);
  return key;
}

KeyPath::KeyPath(const ObjectPath& object)
    : object_(object_prefix(object, Range::live)),
      dkey_kind_(model::dkey_kind(object.oid.type())),
      akey_kind_(model::akey_kind(object.oid.type())) {}

Result<Key> KeyPath::dkey(ByteView dkey) const {
  Key key = object_;
  TRY(added, add_key(key, dkey_kind_, dkey));
  return key;
}

Key KeyPath::dkey(const Component& dkey) const {
  Key key = object_;
  add_component(key, dkey_kind_, dkey);
  return key;
}

Result<Key> KeyPath::akey(const Key& dkey_prefix, ByteView akey) const {
  Key key = dkey_prefix;
  TRY(added, add_key(key, akey_kind_, akey));
  return key;
}

Key KeyPath::akey(const Key& dkey_prefix, const Component& akey) const {
  Key key = dkey_prefix;
  add_component(key, akey_kind_, akey);
  return key;
}

Key record_key(const Key& akey_prefix, Kind kind) {
  Key key = akey_prefix;
  key.add(static_cast<uint8_t>(kind));
  return key;
}

Key prefix_of_record(const Key& record_key) {
  Key prefix = record_key;
  prefix.truncate(record_key.size() - 1);
  return prefix;
}

Key extent_key(const Key& akey_prefix, uint64_t end) {
  Key key = record_key(akey_prefix, Kind::extent);
  key.add_ordered(end);
  return key;
}

Key hole_key(const Key& akey_prefix, uint64_t end) {
  Key key = record_key(akey_prefix, Kind::hole);
  key.add_ordered(end);
  return key;
}

Key punch_key(const Key& level_prefix, Level level) {
  Key key = level_prefix;
  if (level == Level::object) add_none(key);
  if (level != Level::akey) add_none(key);
  key.add(static_cast<uint8_t>(Kind::punch));
  return key;
}

Key checksums_key(const Key& akey_prefix, uint64_t end, uint64_t chunk) {
  Key key = record_key(akey_prefix, Kind::checksums);
  key.add_ordered(end);
  key.add_ordered(chunk);
  return key;
}

bool is_dkey_name(ByteView rest) {
  Key name;
  add_none(name);
  name.add(static_cast<uint8_t>(Kind::name));
  return compare_bytes(rest, name) == 0;
}

Key dkey_name_key(const Key& dkey_prefix) {
  Key key = dkey_prefix;
  add_none(key);
  key.add(static_cast<uint8_t>(Kind::name));
  return key;
}

Key touched_key(const Key& object_prefix) {
  Key key = object_prefix;
  add_none(key);
  add_none(key);
  key.add(static_cast<uint8_t>(Kind::touched));
  return key;
}

Key marker_prefix(ByteView level_prefix, Level level) {
  Key key;
  key.add(level_prefix.first(4));
  key.add(static_cast<uint8_t>(Range::marker));
  key.add(level_prefix.subspan(kRangePrefixBytes));
  if (level == Level::object) add_none(key);
  if (level != Level::akey) add_none(key);
  return key;
}

Key marker_key(ByteView level_prefix, Level level, model::Epoch epoch) {
  Key key = marker_prefix(level_prefix, level);
  key.add_be64(~epoch);
  return key;
}

Key history_key(ByteView live, model::Epoch slot) {
  CHECK(live.size() >= kRangePrefixBytes);
  Key key;
  key.add(live.first(4));
  key.add(static_cast<uint8_t>(Range::history));
  key.add_be64(slot);
  key.add(live.subspan(kRangePrefixBytes));
  return key;
}

Key slot_prefix(ContNumber container, model::Epoch slot) {
  return history_key(range_prefix(container, Range::live), slot);
}

Key live_form(ByteView history_key) {
  CHECK(history_key.size() >= kHistoryPrefixBytes && in_range(history_key, Range::history));
  Key key;
  key.add(history_key.first(4));
  key.add(static_cast<uint8_t>(Range::live));
  key.add(history_key.subspan(kHistoryPrefixBytes));
  return key;
}

Key snapshot_key(ContNumber container, model::Epoch epoch) {
  Key key = range_prefix(container, Range::snapshot);
  key.add_be64(epoch);
  return key;
}

Result<model::Epoch> parse_snapshot_key(ByteView key) {
  if (key.size() != kRangePrefixBytes + 8 || !in_range(key, Range::snapshot)) {
    return fail(Errc::checksum, "key: malformed snapshot");
  }
  const model::Epoch epoch = load_be64(key.data() + kRangePrefixBytes);
  if (epoch == 0 || epoch == model::kEpochMax) {
    return fail(Errc::checksum, "key: no epoch of a snapshot");
  }
  return epoch;
}

Key outside_prefix(ByteView object_prefix) {
  Key key;
  key.add(object_prefix);
  add_none(key);
  add_none(key);
  return key;
}

Key flat_key(ByteView object_prefix) {
  Key key = outside_prefix(object_prefix);
  key.add(static_cast<uint8_t>(Kind::flat));
  return key;
}

Key pack_key(ContNumber container, uint64_t block) {
  Key key = range_prefix(container, Range::pack);
  key.add_be64(block);
  return key;
}

Result<uint64_t> parse_pack_key(ByteView key) {
  if (key.size() != kRangePrefixBytes + 8 || !in_range(key, Range::pack)) {
    return fail(Errc::checksum, "key: malformed extent of flattened objects");
  }
  return load_be64(key.data() + kRangePrefixBytes);
}

namespace {
constexpr uint8_t kWormPolicy = 1;
}  // namespace

Key policy_key(ContNumber container) {
  Key key = range_prefix(container, Range::policy);
  key.add(kWormPolicy);
  return key;
}

Result<ContNumber> parse_policy_key(ByteView key) {
  const bool sound = key.size() == kRangePrefixBytes + 1 && in_range(key, Range::policy) &&
                     key.back() == std::byte{kWormPolicy} && load_be32(key.data()) != 0;
  if (!sound) return fail(Errc::checksum, "key: malformed policy of a container");
  return load_be32(key.data());
}

Key session_key(uint64_t session, uint64_t chunk) {
  Key key = range_prefix(0, Range::session);
  key.add_be64(session);
  key.add_ordered(chunk);
  return key;
}

Key marker_count_key() { return session_key(0, 0); }

Key pending_key(ByteView live, model::Epoch epoch, uint16_t minor) {
  CHECK(live[4] == static_cast<std::byte>(Range::live));
  Key key;
  key.add(live.first(4));
  key.add(static_cast<uint8_t>(Range::pending));
  key.add(live.subspan(kRangePrefixBytes));
  key.add_be64(~epoch);
  key.add(static_cast<uint8_t>(~minor >> 8));
  key.add(static_cast<uint8_t>(~minor));
  return key;
}

Key live_key(ByteView pending) {
  Key key;
  key.add(pending.first(4));
  key.add(static_cast<uint8_t>(Range::live));
  key.add(pending.subspan(kRangePrefixBytes, pending.size() - kRangePrefixBytes - kVersionBytes));
  return key;
}

Key transaction_key(const TxId& id, uint64_t chunk) {
  Key key = range_prefix(0, Range::transaction);
  key.add_be64(id.high);
  key.add_be64(id.low);
  key.add_ordered(chunk);
  return key;
}

Result<ParsedTransactionKey> parse_transaction_key(ByteView key) {
  ParsedTransactionKey parsed;
  if (key.size() <= kRangePrefixBytes + 16) return fail(Errc::checksum, "key: too short");
  parsed.id = {load_be64(key.data() + kRangePrefixBytes),
               load_be64(key.data() + kRangePrefixBytes + 8)};
  ByteView rest = key.subspan(kRangePrefixBytes + 16);
  if (!take_ordered(rest, &parsed.chunk) || !rest.empty()) {
    return fail(Errc::checksum, "key: malformed chunk number of a transaction");
  }
  return parsed;
}

Result<RecordTail> parse_tail(ByteView tail, Kind kind_max) {
  if (tail.empty() || static_cast<uint8_t>(tail[0]) > static_cast<uint8_t>(kind_max)) {
    return fail(Errc::checksum, "key: unknown record kind");
  }
  RecordTail t{static_cast<Kind>(tail[0]), 0, 0};
  tail = tail.subspan(1);
  const bool positioned =
      t.kind == Kind::extent || t.kind == Kind::hole || t.kind == Kind::checksums;
  if (positioned && !take_ordered(tail, &t.position)) {
    return fail(Errc::checksum, "key: malformed position");
  }
  if (t.kind == Kind::checksums && !take_ordered(tail, &t.chunk)) {
    return fail(Errc::checksum, "key: malformed chunk number");
  }
  if (!tail.empty()) return fail(Errc::checksum, "key: bytes after its end");
  return t;
}

namespace {

/// Bytes of the component at the front of `in`; 0: malformed.
size_t component_bytes(ByteView in, model::KeyKind kind) {
  constexpr std::byte kZero{0};
  if (in.size() < 2) return 0;
  if (in[0] == kZero && in[1] == kZero) return 2;
  if (kind == model::KeyKind::integer) {
    uint64_t value = 0;
    const size_t used = get_ordered_int(in.subspan(1), &value);
    return used == 0 ? 0 : 1 + used;
  }
  for (size_t i = 0; i + 1 < in.size(); ++i) {
    if (in[i] != kZero) continue;
    if (in[i + 1] == std::byte{1}) return i + 2;
    ++i;
  }
  return 0;
}

}  // namespace

Result<LevelBytes> level_bytes(ByteView live_key) {
  const auto malformed = fail(Errc::checksum, "key: malformed levels");
  constexpr size_t kFixed = kRangePrefixBytes + 16;
  if (live_key.size() <= kFixed) return malformed;
  const auto type = static_cast<uint8_t>(live_key[kRangePrefixBytes + 8]);
  uint64_t shard = 0;
  const size_t shard_bytes = get_ordered_int(live_key.subspan(kFixed), &shard);
  if (shard_bytes == 0) return malformed;
  LevelBytes levels;
  levels.object = kFixed + shard_bytes;
  const auto is_none = [&](size_t at) {
    return live_key[at] == std::byte{0} && live_key[at + 1] == std::byte{0};
  };
  const size_t dkey = component_bytes(live_key.subspan(levels.object), model::dkey_kind(type));
  if (dkey == 0) return malformed;
  if (is_none(levels.object)) return levels;
  levels.dkey = levels.object + dkey;
  const size_t akey = component_bytes(live_key.subspan(levels.dkey), model::akey_kind(type));
  if (akey == 0) return malformed;
  if (!is_none(levels.dkey)) levels.akey = levels.dkey + akey;
  return levels;
}

model::ObjectId object_id_of(ByteView bytes) {
  CHECK(bytes.size() == 16);
  return model::object_of_order(bytes.data());
}

Result<ParsedKey> parse_key(ByteView key) {
  ParsedKey p;
  if (key.size() < kRangePrefixBytes + 16) return fail(Errc::checksum, "key: too short");
  p.container = load_be32(key.data());
  p.range = static_cast<Range>(key[4]);
  if (p.range != Range::live && p.range != Range::pending && p.range != Range::marker &&
      p.range != Range::history) {
    return fail(Errc::checksum, "key: unknown range");
  }
  if (p.range == Range::pending) {
    if (key.size() < kRangePrefixBytes + 16 + kVersionBytes) {
      return fail(Errc::checksum, "key: too short");
    }
    const ByteView version = key.last(kVersionBytes);
    p.epoch = ~load_be64(version.data());
    p.minor = static_cast<uint16_t>(
        ~(static_cast<uint16_t>(version[8]) << 8 | static_cast<uint16_t>(version[9])));
    key = key.first(key.size() - kVersionBytes);
  }
  ByteView rest = key.subspan(kRangePrefixBytes);
  if (p.range == Range::history) {
    p.slot = load_be64(rest.data());
    rest = rest.subspan(8);
    if (rest.size() < 16) return fail(Errc::checksum, "key: too short");
  }
  p.oid = object_id_of(rest.first(16));
  rest = rest.subspan(16);
  if (!take_ordered(rest, &p.shard) || p.shard > UINT32_MAX) {
    return fail(Errc::checksum, "key: malformed shard number");
  }
  TRY(dkey, take_component(rest, model::dkey_kind(p.oid.type())));
  TRY(akey, take_component(rest, model::akey_kind(p.oid.type())));
  p.dkey = dkey;
  p.akey = akey;
  if (p.range == Range::marker) {
    if (rest.size() != kMarkerEpochBytes) return fail(Errc::checksum, "key: malformed marker");
    p.epoch = ~load_be64(rest.data());
    return p;
  }
  const bool flat = p.range != Range::pending && p.dkey.none && p.akey.none && rest.size() == 1 &&
                    rest[0] == static_cast<std::byte>(Kind::flat);
  if (flat) {
    p.kind = Kind::flat;
    return p;
  }
  TRY(tail, parse_tail(rest, p.range == Range::pending ? Kind::hole : Kind::touched));
  p.kind = tail.kind;
  p.position = tail.position;
  p.chunk = tail.chunk;
  return p;
}

}  // namespace cairn::vos
