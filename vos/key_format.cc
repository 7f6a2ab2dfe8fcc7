#include "vos/key_format.h"

#include "base/endian.h"
#include "base/hash.h"
#include "base/ordered_int.h"

namespace cairn::vos {

namespace {

constexpr uint32_t kIdStepInverse = 0x5c884641;  // of 999,999,937 modulo 2^32
constexpr uint32_t kIdStep = 999'999'937;
static_assert(static_cast<uint32_t>(uint64_t{kIdStep} * kIdStepInverse) == 1);

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

void add_component(Key& key, model::KeyKind kind, const Component& component) {
  if (component.none) return add_none(key);
  if (kind == model::KeyKind::integer) {
    CHECK(component.size == model::kIntegerKeyBytes);
    key.add(kIntegerTag);
    key.add_ordered(load_le64(component.bytes.data()));
    return;
  }
  for (const std::byte b : component.view()) {
    key.add(static_cast<uint8_t>(b));
    if (b == std::byte{0}) key.add(0xFF);
  }
  key.add(0);
  key.add(1);
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
  Component c;
  if (in.size() >= 2 && in[0] == std::byte{0} && in[1] == std::byte{0}) {
    in = in.subspan(2);
    return c;
  }
  if (kind == model::KeyKind::integer) {
    if (in.empty() || in[0] != std::byte{kIntegerTag}) {
      return fail(Errc::checksum, "key: no integer component where its type has one");
    }
    return take_integer(in);
  }
  c.none = false;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] == std::byte{0}) {
      if (++i == in.size()) break;
      if (in[i] == std::byte{1}) {
        const bool hashed = kind == model::KeyKind::hashed;
        if (hashed && c.size > model::kKeyPrefixBytes && c.size != kLongKeyBytes) break;
        in = in.subspan(i + 1);
        return c;
      }
      if (in[i] != std::byte{0xFF}) break;
      if (c.size == c.bytes.size()) break;
      c.bytes[c.size++] = std::byte{0};
      continue;
    }
    if (c.size == c.bytes.size()) break;
    c.bytes[c.size++] = in[i];
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
  key.add_be64(object.oid.lo);
  key.add_be32(static_cast<uint32_t>(object.oid.hi >> 32));
  key.add_be32(static_cast<uint32_t>(object.oid.hi) * kIdStepInverse);
  key.add_ordered(object.shard);
  return key;
}

KeyPath::KeyPath(const ObjectPath& object)
    : object_(object_prefix(object, Range::live)),
      dkey_kind_(model::dkey_kind(object.oid.type())),
      akey_kind_(model::akey_kind(object.oid.type())) {}

Result<Key> KeyPath::dkey(ByteView dkey) const {
  TRY(checked, check_key(dkey_kind_, dkey));
  return this->dkey(component_of(dkey_kind_, dkey));
}

Key KeyPath::dkey(const Component& dkey) const {
  Key key = object_;
  add_component(key, dkey_kind_, dkey);
  return key;
}

Result<Key> KeyPath::akey(const Key& dkey_prefix, ByteView akey) const {
  TRY(checked, check_key(akey_kind_, akey));
  return this->akey(dkey_prefix, component_of(akey_kind_, akey));
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

Key checksums_key(const Key& akey_prefix, uint64_t end, uint64_t chunk) {
  Key key = record_key(akey_prefix, Kind::checksums);
  key.add_ordered(end);
  key.add_ordered(chunk);
  return key;
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

Key marker_key(const Key& level_prefix, Level level) {
  Key key;
  key.add(level_prefix.view().first(4));
  key.add(static_cast<uint8_t>(Range::marker));
  key.add(level_prefix.view().subspan(kRangePrefixBytes));
  if (level == Level::object) add_none(key);
  if (level != Level::akey) add_none(key);
  return key;
}

Key session_key(uint64_t session, uint64_t chunk) {
  Key key = range_prefix(0, Range::session);
  key.add_be64(session);
  key.add_ordered(chunk);
  return key;
}

Key marker_count_key() { return session_key(0, 0); }

Result<RecordTail> parse_tail(ByteView tail) {
  if (tail.empty() || static_cast<uint8_t>(tail[0]) > static_cast<uint8_t>(Kind::touched)) {
    return fail(Errc::checksum, "key: unknown record kind");
  }
  RecordTail t{static_cast<Kind>(tail[0]), 0, 0};
  tail = tail.subspan(1);
  const bool positioned = t.kind == Kind::extent || t.kind == Kind::checksums;
  if (positioned && !take_ordered(tail, &t.position)) {
    return fail(Errc::checksum, "key: malformed position");
  }
  if (t.kind == Kind::checksums && !take_ordered(tail, &t.chunk)) {
    return fail(Errc::checksum, "key: malformed chunk number");
  }
  if (!tail.empty()) return fail(Errc::checksum, "key: bytes after its end");
  return t;
}

model::ObjectId object_id_of(ByteView bytes) {
  CHECK(bytes.size() == 16);
  const uint32_t low = load_be32(bytes.data() + 12) * kIdStep;
  return {load_be64(bytes.data()), uint64_t{load_be32(bytes.data() + 8)} << 32 | low};
}

Result<ParsedKey> parse_key(ByteView key) {
  ParsedKey p;
  if (key.size() < kRangePrefixBytes + 16) return fail(Errc::checksum, "key: too short");
  p.container = load_be32(key.data());
  p.range = static_cast<Range>(key[4]);
  if (p.range != Range::live && p.range != Range::marker) {
    return fail(Errc::checksum, "key: unknown range");
  }
  p.oid = object_id_of(key.subspan(kRangePrefixBytes, 16));
  ByteView rest = key.subspan(kRangePrefixBytes + 16);
  if (!take_ordered(rest, &p.shard) || p.shard > UINT32_MAX) {
    return fail(Errc::checksum, "key: malformed shard number");
  }
  TRY(dkey, take_component(rest, model::dkey_kind(p.oid.type())));
  TRY(akey, take_component(rest, model::akey_kind(p.oid.type())));
  p.dkey = dkey;
  p.akey = akey;
  if (p.range == Range::marker) {
    if (!rest.empty()) return fail(Errc::checksum, "key: bytes after a marker's end");
    return p;
  }
  TRY(tail, parse_tail(rest));
  p.kind = tail.kind;
  p.position = tail.position;
  p.chunk = tail.chunk;
  return p;
}

}  // namespace cairn::vos
