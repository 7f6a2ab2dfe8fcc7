#include "vos/flat_format.h"

#include <algorithm>

#include "base/crc32c.h"

namespace cairn::vos {

namespace {

constexpr uint8_t kCompressed = 1;
constexpr uint8_t kLong = 1;
constexpr uint8_t kTypeShift = 1;
constexpr uint8_t kTypeMask = 3;

std::unexpected<Error> malformed() { return fail(Errc::checksum, "flat: malformed buffer"); }

uint32_t checksum_of(ByteView bytes) {
  constexpr std::byte kZeros[4] = {};
  constexpr size_t kAt = offsetof(FlatHeader, checksum);
  uint32_t crc = crc32c(bytes.first(kAt));
  crc = crc32c(ByteView(kZeros), crc);
  return crc32c(bytes.subspan(kAt + 4), crc);
}

uint64_t value_bytes(const FlatContent::Akey& akey, const FlatContent::Value& value) {
  return akey.type == model::ValueType::single ? value.count : value.count * akey.record_bytes;
}

size_t key_room(const Component& key, const Bytes& name) {
  return key.size + (name.empty() ? 0 : 4 + name.size());
}

/// Spans that touch become one, where the payload of both is on the same side.
void join_spans(FlatContent::Akey& akey) {
  auto& values = akey.values;
  std::sort(values.begin(), values.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  if (akey.type != model::ValueType::array) return;
  size_t last = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    FlatContent::Value& before = values[last];
    FlatContent::Value& value = values[i];
    if (before.begin + before.count == value.begin) {
      CHECK(before.outside == value.outside);
      before.count += value.count;
      before.payload.insert(before.payload.end(), value.payload.begin(), value.payload.end());
    } else if (++last != i) {
      values[last] = std::move(value);
    }
  }
  values.resize(values.empty() ? 0 : last + 1);
}

struct Encoder {
  Bytes out;
  size_t dkey_at = sizeof(FlatHeader), akey_at = 0, value_at = 0;
  size_t key_at = 0, payload_at = 0;
  uint32_t akeys = 0, values = 0;
  uint64_t outside = 0;

  template <class Item>
  void put(size_t& at, const Item& item) {
    std::memcpy(out.data() + at, &item, sizeof(item));
    at += sizeof(item);
  }
  void put(size_t& at, ByteView bytes) {
    if (!bytes.empty()) std::memcpy(out.data() + at, bytes.data(), bytes.size());
    at += bytes.size();
  }
  template <class Item>
  void put_key(Item& item, const Component& key, const Bytes& name) {
    item.key_at = static_cast<uint32_t>(key_at);
    item.key_bytes = key.size;
    put(key_at, key.view());
    if (name.empty()) return;
    item.flags = static_cast<uint8_t>(item.flags | kLong);
    put(key_at, U32le(static_cast<uint32_t>(name.size())));
    put(key_at, ByteView(name));
  }
  void put_value(const FlatContent::Akey& akey, const FlatContent::Value& value);
  void put_akey(const FlatContent::Akey& akey);
};

void Encoder::put_value(const FlatContent::Akey& akey, const FlatContent::Value& value) {
  const uint64_t bytes = value_bytes(akey, value);
  FlatValueItem item;
  item.begin = value.begin;
  item.count = value.count;
  item.place = value.outside ? outside | kFlatOutside : payload_at;
  put(value_at, item);
  ++values;
  if (value.outside) {
    outside += bytes;
  } else {
    CHECK(value.payload.size() == bytes);
    put(payload_at, ByteView(value.payload));
  }
}

void Encoder::put_akey(const FlatContent::Akey& akey) {
  FlatAkeyItem item;
  item.first = values;
  item.count = static_cast<uint16_t>(akey.values.size());
  item.flags = static_cast<uint8_t>(static_cast<uint8_t>(akey.type) << kTypeShift);
  item.record_bytes = akey.record_bytes;
  put_key(item, akey.key, akey.name);
  put(akey_at, item);
  ++akeys;
  for (const FlatContent::Value& value : akey.values) put_value(akey, value);
}

struct Sizes {
  size_t akeys = 0, values = 0, keys = 0, payload = 0;
};

Sizes sizes_of(const FlatContent& content) {
  Sizes s;
  for (const FlatContent::Dkey& dkey : content.dkeys) {
    s.keys += key_room(dkey.key, dkey.name);
    s.akeys += dkey.akeys.size();
    for (const FlatContent::Akey& akey : dkey.akeys) {
      s.keys += key_room(akey.key, akey.name);
      s.values += akey.values.size();
      for (const FlatContent::Value& value : akey.values) s.payload += value.payload.size();
    }
  }
  return s;
}

void sort_content(FlatContent& content) {
  const auto order = [](model::KeyKind kind, auto& keys) {
    std::sort(keys.begin(), keys.end(), [kind](const auto& a, const auto& b) {
      return compare_components(kind, a.key, b.key) < 0;
    });
  };
  const uint8_t type = content.object.oid.type();
  order(model::dkey_kind(type), content.dkeys);
  for (FlatContent::Dkey& dkey : content.dkeys) {
    order(model::akey_kind(type), dkey.akeys);
    for (FlatContent::Akey& akey : dkey.akeys) join_spans(akey);
  }
}

}  // namespace

int compare_components(model::KeyKind kind, const Component& a, const Component& b) {
  if (kind == model::KeyKind::integer) {
    const uint64_t x = load_le64(a.bytes.data());
    const uint64_t y = load_le64(b.bytes.data());
    return x < y ? -1 : x > y ? 1 : 0;
  }
  return as_chars(a.view()).compare(as_chars(b.view()));
}

uint64_t flat_bytes(const FlatContent& content) {
  const Sizes s = sizes_of(content);
  return sizeof(FlatHeader) + content.dkeys.size() * sizeof(FlatDkeyItem) +
         s.akeys * sizeof(FlatAkeyItem) + s.values * sizeof(FlatValueItem) + s.keys + s.payload;
}

Bytes encode_flat(FlatContent content) {
  sort_content(content);
  const Sizes s = sizes_of(content);
  Encoder e;
  e.out.resize(flat_bytes(content));
  CHECK(e.out.size() <= UINT32_MAX);
  e.akey_at = e.dkey_at + content.dkeys.size() * sizeof(FlatDkeyItem);
  e.value_at = e.akey_at + s.akeys * sizeof(FlatAkeyItem);
  e.key_at = e.value_at + s.values * sizeof(FlatValueItem);
  e.payload_at = e.key_at + s.keys;
  // All dkeys' bytes go before the akeys'.
  std::vector<FlatDkeyItem> items(content.dkeys.size());
  for (size_t i = 0; i < items.size(); ++i) {
    e.put_key(items[i], content.dkeys[i].key, content.dkeys[i].name);
  }
  for (size_t i = 0; i < items.size(); ++i) {
    const auto& akeys = content.dkeys[i].akeys;
    CHECK(!akeys.empty() && akeys.size() <= UINT16_MAX);
    items[i].first = e.akeys;
    items[i].count = static_cast<uint16_t>(akeys.size());
    e.put(e.dkey_at, items[i]);
    for (const FlatContent::Akey& akey : akeys) e.put_akey(akey);
  }
  CHECK(e.payload_at == e.out.size());
  FlatHeader header;
  header.magic = kFlatMagic;
  header.version = kFlatVersion;
  std::memset(header.reserved, 0, sizeof(header.reserved));
  header.length = static_cast<uint32_t>(e.out.size());
  header.oid_lo = content.object.oid.lo;
  header.oid_hi = content.object.oid.hi;
  header.container = content.object.container;
  header.shard = content.object.shard;
  header.dkeys = static_cast<uint32_t>(items.size());
  header.akeys = e.akeys;
  header.values = e.values;
  header.outside = e.outside;
  std::memcpy(e.out.data(), &header, sizeof(header));
  header.checksum = checksum_of(e.out);
  std::memcpy(e.out.data(), &header, sizeof(header));
  return std::move(e.out);
}

Result<FlatIdentity> identify_flat(ByteView bytes) {
  FlatHeader header;
  if (bytes.size() < sizeof(header)) return malformed();
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic.get() != kFlatMagic) return malformed();
  if (header.version > kFlatVersion) {
    return fail(Errc::format_newer, "flat: written by a newer version; upgrade this program");
  }
  if (header.version != kFlatVersion) return malformed();
  return FlatIdentity{
      {header.container.get(), {header.oid_lo.get(), header.oid_hi.get()}, header.shard.get()},
      header.length.get(),
      header.checksum.get(),
      (header.flags & kCompressed) != 0};
}

Result<FlatIdentity> check_stored_flat(ByteView bytes) {
  TRY(identity, identify_flat(bytes));
  FlatHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (identity.length != bytes.size() || (header.flags & ~kCompressed) != 0 ||
      header.reserved[0] != 0 || header.reserved[1] != 0) {
    return malformed();
  }
  if (identity.checksum != checksum_of(bytes)) {
    return fail(Errc::checksum, "flat: the buffer's checksum does not hold");
  }
  return identity;
}

void finish_packed_flat(Bytes& stored, ByteView buffer) {
  FlatPackedHeader header;
  std::memcpy(&header.flat, buffer.data(), sizeof(header.flat));
  header.original = header.flat.length;
  header.original_checksum = header.flat.checksum;
  header.flat.flags = kCompressed;
  header.flat.length = static_cast<uint32_t>(stored.size());
  std::memcpy(stored.data(), &header, sizeof(header));
  header.flat.checksum = checksum_of(stored);
  std::memcpy(stored.data(), &header, sizeof(header));
}

Result<FlatPackedHeader> check_packed_flat(ByteView stored) {
  TRY(identity, check_stored_flat(stored));
  FlatPackedHeader header;
  if (!identity.compressed || stored.size() <= sizeof(header)) return malformed();
  std::memcpy(&header, stored.data(), sizeof(header));
  const uint64_t original = header.original.get();
  if (original <= sizeof(FlatHeader) || original > kFlatObjectBytesMax) return malformed();
  return header;
}

template <class Item>
Item FlatBuffer::item(size_t table_at, uint32_t i) const {
  Item item;
  std::memcpy(&item, bytes_.data() + table_at + size_t{i} * sizeof(Item), sizeof(Item));
  return item;
}

template <class Item>
FlatBuffer::Key FlatBuffer::key_of(const Item& item) const {
  Key key;
  const size_t at = item.key_at.get();
  key.key.none = false;
  key.key.size = item.key_bytes;
  std::memcpy(key.key.bytes.data(), bytes_.data() + at, item.key_bytes);
  if ((item.flags & kLong) != 0) {
    const size_t length_at = at + item.key_bytes;
    key.name = bytes_.subspan(length_at + 4, load_le32(bytes_.data() + length_at));
  }
  key.first = item.first.get();
  key.count = item.count.get();
  return key;
}

FlatBuffer::Key FlatBuffer::dkey(uint32_t i) const {
  DCHECK(i < dkeys_);
  return key_of(item<FlatDkeyItem>(sizeof(FlatHeader), i));
}

FlatBuffer::Key FlatBuffer::akey(uint32_t i) const {
  DCHECK(i < akeys_);
  const auto found = item<FlatAkeyItem>(akeys_at(), i);
  Key key = key_of(found);
  key.type = static_cast<model::ValueType>(found.flags >> kTypeShift & kTypeMask);
  key.record_bytes = found.record_bytes.get();
  return key;
}

FlatBuffer::Value FlatBuffer::value(uint32_t i, const Key& akey) const {
  DCHECK(i < values_);
  const auto found = item<FlatValueItem>(values_at(), i);
  Value value;
  value.begin = found.begin.get();
  value.count = found.count.get();
  value.bytes =
      akey.type == model::ValueType::single ? value.count : value.count * akey.record_bytes;
  value.outside = (found.place.get() & kFlatOutside) != 0;
  value.place = found.place.get() & ~kFlatOutside;
  return value;
}

namespace {

/// Few keys are looked at one after another, more by halves.
constexpr uint32_t kLinearMax = 8;

template <class Get>
uint32_t first_not_below(uint32_t first, uint32_t end, model::KeyKind kind, const Component& key,
                         Get get) {
  while (end - first > kLinearMax) {
    const uint32_t middle = first + (end - first) / 2;
    if (compare_components(kind, get(middle).key, key) < 0) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  while (first < end && compare_components(kind, get(first).key, key) < 0) ++first;
  return first;
}

}  // namespace

uint32_t FlatBuffer::dkey_at(const Component& key) const {
  return first_not_below(0, dkeys_, dkey_kind(), key, [this](uint32_t i) { return dkey(i); });
}

uint32_t FlatBuffer::akey_at(const Key& dkey, const Component& key) const {
  return first_not_below(dkey.first, dkey.first + dkey.count, akey_kind(), key,
                         [this](uint32_t i) { return akey(i); });
}

/// The way of a parser through a buffer: everything stands where what is before it ends.
struct FlatCheck {
  FlatBuffer& flat;
  size_t key_at = 0, keys_end = 0, payload_at = 0;
  uint64_t outside = 0;
  uint32_t akeys = 0, values = 0;

  template <class Item>
  Result<void> key(const Item& item, model::KeyKind kind);
  Result<void> ascending(const FlatBuffer::Key& key, const FlatBuffer::Key* before,
                         model::KeyKind kind);
  Result<void> value(uint32_t i, const FlatBuffer::Key& akey, uint64_t& end);
  Result<void> akey(uint32_t i);
  Result<void> dkeys();
  Result<void> run();
};

template <class Item>
Result<void> FlatCheck::key(const Item& item, model::KeyKind kind) {
  const ByteView bytes = flat.bytes_;
  const size_t size = item.key_bytes;
  if (item.key_at.get() != key_at || size == 0 || size > model::kLexicalKeyBytesMax ||
      size > bytes.size() - key_at) {
    return malformed();
  }
  const ByteView component = bytes.subspan(key_at, size);
  key_at += size;
  const bool is_long = (item.flags & kLong) != 0;
  if (is_long != (kind == model::KeyKind::hashed && size == kLongKeyBytes)) return malformed();
  if (!is_long) {
    if (kind == model::KeyKind::hashed && size > model::kKeyPrefixBytes) return malformed();
    if (kind == model::KeyKind::integer && size != model::kIntegerKeyBytes) return malformed();
    return {};
  }
  if (bytes.size() - key_at < 4) return malformed();
  const size_t whole = load_le32(bytes.data() + key_at);
  key_at += 4;
  if (whole <= model::kKeyPrefixBytes || whole >= kFlatKeyBytesMax ||
      whole > bytes.size() - key_at) {
    return malformed();
  }
  const Component expected = component_of(kind, bytes.subspan(key_at, whole));
  if (as_chars(expected.view()) != as_chars(component)) return malformed();
  key_at += whole;
  return {};
}

Result<void> FlatCheck::ascending(const FlatBuffer::Key& key, const FlatBuffer::Key* before,
                                  model::KeyKind kind) {
  if (before == nullptr || compare_components(kind, before->key, key.key) < 0) return {};
  return malformed();
}

/// @param end  of the span before; of this one afterwards
Result<void> FlatCheck::value(uint32_t i, const FlatBuffer::Key& akey, uint64_t& end) {
  const auto item = flat.item<FlatValueItem>(flat.values_at(), i);
  const uint64_t begin = item.begin.get();
  const uint64_t count = item.count.get();
  const bool single = akey.type == model::ValueType::single;
  uint64_t bytes = count;
  uint64_t own_end = 0;
  if (count == 0 || __builtin_add_overflow(begin, count, &own_end)) return malformed();
  if (single && begin != 0) return malformed();
  if (!single && __builtin_mul_overflow(count, akey.record_bytes, &bytes)) return malformed();
  if (!single && i != akey.first && begin <= end) return malformed();
  end = own_end;
  const uint64_t place = item.place.get();
  if ((place & kFlatOutside) != 0) {
    if ((place & ~kFlatOutside) != outside || bytes >= kFlatOutside - outside) return malformed();
    outside += bytes;
    return {};
  }
  if (single ? bytes > kFlatInlineBytesMax : akey.record_bytes > kFlatInlineMax) return malformed();
  if (place != payload_at || bytes > flat.bytes_.size() - payload_at) return malformed();
  payload_at += bytes;
  return {};
}

Result<void> FlatCheck::akey(uint32_t i) {
  const auto item = flat.item<FlatAkeyItem>(flat.akeys_at(), i);
  if (item.first.get() != values || item.count.get() > flat.values_ - values) return malformed();
  if ((item.flags >> kTypeShift & ~kTypeMask) != 0) return malformed();
  const FlatBuffer::Key key = flat.akey(i);
  const bool single = key.type == model::ValueType::single;
  if (!single && key.type != model::ValueType::array) return malformed();
  if (single && (key.record_bytes != 0 || key.count > 1)) return malformed();
  if (!single && key.count != 0 && key.record_bytes == 0) return malformed();
  uint64_t end = 0;
  for (uint32_t n = 0; n < key.count; ++n) {
    TRY(sound, value(values + n, key, end));
  }
  values += key.count;
  return {};
}

Result<void> FlatCheck::dkeys() {
  // Keys first: all others look at them.
  for (uint32_t i = 0; i < flat.dkeys_; ++i) {
    const auto item = flat.item<FlatDkeyItem>(sizeof(FlatHeader), i);
    if ((item.flags & ~kLong) != 0) return malformed();
    TRY(sound, key(item, flat.dkey_kind()));
    if (item.first.get() != akeys || item.count.get() == 0 ||
        item.count.get() > flat.akeys_ - akeys) {
      return malformed();
    }
    akeys += item.count.get();
  }
  for (uint32_t i = 0; i < flat.akeys_; ++i) {
    TRY(sound, key(flat.item<FlatAkeyItem>(flat.akeys_at(), i), flat.akey_kind()));
  }
  payload_at = flat.keys_end_ = key_at;
  FlatBuffer::Key before;
  for (uint32_t i = 0; i < flat.dkeys_; ++i) {
    const FlatBuffer::Key own = flat.dkey(i);
    TRY(ordered, ascending(own, i == 0 ? nullptr : &before, flat.dkey_kind()));
    FlatBuffer::Key akey_before;
    for (uint32_t n = 0; n < own.count; ++n) {
      const FlatBuffer::Key akey_own = flat.akey(own.first + n);
      TRY(akeys_ordered, ascending(akey_own, n == 0 ? nullptr : &akey_before, flat.akey_kind()));
      akey_before = akey_own;
      TRY(sound, akey(own.first + n));
    }
    before = own;
  }
  return {};
}

Result<void> FlatCheck::run() {
  const size_t size = flat.bytes_.size();
  // In 64 bits none of these overflows.
  const uint64_t tables = sizeof(FlatHeader) + uint64_t{flat.dkeys_} * sizeof(FlatDkeyItem) +
                          uint64_t{flat.akeys_} * sizeof(FlatAkeyItem) +
                          uint64_t{flat.values_} * sizeof(FlatValueItem);
  if (tables > size || flat.dkeys_ == 0) return malformed();
  key_at = tables;
  TRY(sound, dkeys());
  if (akeys != flat.akeys_ || values != flat.values_ || payload_at != size ||
      outside != flat.outside_) {
    return malformed();
  }
  return {};
}

Result<FlatBuffer> FlatBuffer::parse(ByteView bytes) {
  TRY(identity, check_stored_flat(bytes));
  if (identity.compressed) return malformed();
  FlatHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  FlatBuffer flat(bytes);
  flat.object_ = identity.object;
  flat.outside_ = header.outside.get();
  flat.checksum_ = identity.checksum;
  flat.dkeys_ = header.dkeys.get();
  flat.akeys_ = header.akeys.get();
  flat.values_ = header.values.get();
  FlatCheck check{flat};
  TRY(sound, check.run());
  return flat;
}

}  // namespace cairn::vos
