// vos/flat_format.h - the buffer of a flattened object, format 1 (docs/formats/flat.md). It says
// what the object holds and nothing of when or where: no epoch, no physical address. The same
// content gives the same bytes. Integers little-endian. Unit: bytes.
//
//   offset  size  field        meaning
//        0     4  magic        "CFLT"
//        4     1  version      1
//        5     1  flags        bit 0: compressed (below)
//        6     2  reserved     zero
//        8     4  checksum     CRC32C of the whole buffer, with zeros in this field
//       12     4  length       of the whole buffer
//       16     8  oid_lo       whose it is: the object, its container and its shard, so that who
//       24     8  oid_hi         finds a buffer in an extent can ask the index about it
//       32     4  container
//       36     4  shard
//       40     4  dkeys        how many items of each table follow
//       44     4  akeys
//       48     4  values
//       52     8  outside      payload that stands in blocks of its own
//       60        dkey items, akey items, value items, key bytes, payload: each directly behind
//                 the one before, in one order: that of the shard's tree (vos/key_format.h)
//
//   dkey item (12): 4 key_at, 4 first (akey item), 2 count (akeys, above 0), 1 key_bytes,
//                   1 flags (bit 0: long)
//   akey item (20): 4 key_at, 4 first (value item), 2 count (values), 1 key_bytes,
//                   1 flags (bit 0: long; bits 1-2: value type, 1 single, 2 array),
//                   8 record_bytes (array; 0 of a single value, or where it is not known)
//   value item (24): 8 begin (first record; single: 0), 8 count (records; single: bytes),
//                   8 place: of its first byte in the buffer, or, with bit 63, among what stands
//                   outside
//   key:            its component's bytes (vos/key_format.h); a long one is followed by 4 bytes
//                   length and the whole key
//
// A long key is a hashed one above 64 bytes. An akey without values is there without a visible
// value (kind `present` of the tree). What stands outside is one array of bytes at object level
// (extents without dkey and akey in the tree), in the order of the value items.
//
// Valid iff: magic, version and checksum hold; reserved and unknown bits are zero; everything
// stands directly behind what is before it and the last byte is the last of the payload; keys of a
// level ascend and fit the level's kind; tables name each other's items in order, each once; spans
// of an array ascend with gaps between them (what touches is one item), have a record size and do
// not overflow; a single value is one item; records above kFlatInlineMax and single values above
// kFlatInlineBytesMax stand outside.
//
// Compressed, it has its header as it is, but for flags, length and checksum, which are those of
// the bytes as they are stored. Then:
//
//   offset  size  field              meaning
//       60     4  original           length of the buffer, at most kFlatObjectBytesMax
//       64     4  original_checksum  the buffer's own
//       68        one zstd frame that says its content size: the buffer from offset 60 on
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include "base/endian.h"
#include "vos/flatten.h"
#include "vos/key_format.h"

namespace cairn::vos {

inline constexpr uint32_t kFlatMagic = 0x54'4C'46'43;  // "CFLT"
inline constexpr uint8_t kFlatVersion = 1;
/// Place bit of a value item.
inline constexpr uint64_t kFlatOutside = uint64_t{1} << 63;
/// Buffers stand at multiples of this in their extent.
inline constexpr uint32_t kFlatAlign = 8;
/// Records of arrays above this stand outside: one in the buffer fits a record of the tree again.
/// Single values above it need blocks when they are taken out of the buffer.
inline constexpr uint64_t kFlatInlineMax = 4095;
/// A key's whole bytes are below this: so they fit a record of the tree again.
inline constexpr size_t kFlatKeyBytesMax = 4096;

struct FlatHeader {
  U32le magic;
  U8 version;
  U8 flags;
  U8 reserved[2];
  U32le checksum, length;
  U64le oid_lo, oid_hi;
  U32le container, shard;
  U32le dkeys, akeys, values;
  U64le outside;
};
static_assert(sizeof(FlatHeader) == 60);
static_assert(offsetof(FlatHeader, flags) == 5);
static_assert(offsetof(FlatHeader, checksum) == 8);
static_assert(offsetof(FlatHeader, oid_lo) == 16);
static_assert(offsetof(FlatHeader, dkeys) == 40);
static_assert(offsetof(FlatHeader, outside) == 52);
static_assert(std::is_trivially_copyable_v<FlatHeader>);
static_assert(std::has_unique_object_representations_v<FlatHeader>, "padding leaks old bytes");

struct FlatPackedHeader {
  FlatHeader flat;
  U32le original, original_checksum;
};
static_assert(sizeof(FlatPackedHeader) == 68);
static_assert(offsetof(FlatPackedHeader, original) == 60);
static_assert(std::has_unique_object_representations_v<FlatPackedHeader>, "padding leaks bytes");

struct FlatDkeyItem {
  U32le key_at, first;
  U16le count;
  U8 key_bytes, flags;
};
static_assert(sizeof(FlatDkeyItem) == 12);
static_assert(offsetof(FlatDkeyItem, key_bytes) == 10);
static_assert(std::has_unique_object_representations_v<FlatDkeyItem>, "padding leaks old bytes");

struct FlatAkeyItem {
  U32le key_at, first;
  U16le count;
  U8 key_bytes, flags;
  U64le record_bytes;
};
static_assert(sizeof(FlatAkeyItem) == 20);
static_assert(offsetof(FlatAkeyItem, record_bytes) == 12);
static_assert(std::has_unique_object_representations_v<FlatAkeyItem>, "padding leaks old bytes");

struct FlatValueItem {
  U64le begin, count, place;
};
static_assert(sizeof(FlatValueItem) == 24);
static_assert(std::has_unique_object_representations_v<FlatValueItem>, "padding leaks old bytes");

static_assert(kComponentBytesMax > UINT8_MAX / 2 && model::kLexicalKeyBytesMax <= UINT8_MAX);
static_assert(kFlatKeysMax <= UINT16_MAX);

/// What an object holds, to be written.
struct FlatContent {
  struct Value {
    uint64_t begin = 0, count = 0;
    bool outside = false;
    Bytes payload;  // unless outside
  };
  struct Akey {
    Component key;
    Bytes name;  // long: the whole key
    model::ValueType type = model::ValueType::none;
    uint64_t record_bytes = 0;
    std::vector<Value> values;
  };
  struct Dkey {
    Component key;
    Bytes name;
    std::vector<Akey> akeys;
  };
  ObjectPath object;
  std::vector<Dkey> dkeys;
};

/// Bytes of the buffer of `content`.
uint64_t flat_bytes(const FlatContent& content);
/// Puts keys and values in order, joins spans that touch and are on the same side, and encodes.
/// Precondition: every key is there once, spans of an akey do not overlap, and all fits
/// vos/flatten.h.
Bytes encode_flat(FlatContent content);
/// How keys of a level are ordered: as in the tree.
int compare_components(model::KeyKind kind, const Component& a, const Component& b);

/// Whose buffer begins here, and how long it is as it is stored; without proof that all of it is
/// sound.
struct FlatIdentity {
  ObjectPath object;
  uint32_t length = 0;
  uint32_t checksum = 0;
  bool compressed = false;
};
/// @error checksum, format_newer
Result<FlatIdentity> identify_flat(ByteView bytes);
/// Are these the bytes that were stored, compressed or not? @error checksum, format_newer
Result<FlatIdentity> check_stored_flat(ByteView bytes);

/// Writes the header of a compressed buffer. @param stored  a frame behind room for its header
void finish_packed_flat(Bytes& stored, ByteView buffer);
/// A compressed one's header, with sound bytes behind it. @error checksum, format_newer
Result<FlatPackedHeader> check_packed_flat(ByteView stored);

/// A sound buffer; borrows its bytes.
class FlatBuffer {
 public:
  struct Key {
    Component key;
    ByteView name;       // long: the whole key
    uint32_t first = 0;  // akey, or value
    uint32_t count = 0;
    model::ValueType type = model::ValueType::none;  // akeys
    uint64_t record_bytes = 0;
  };
  struct Value {
    uint64_t begin = 0, count = 0, bytes = 0;
    bool outside = false;
    uint64_t place = 0;  // in the buffer, or among what stands outside
  };

  /// @param bytes  not compressed
  /// @error checksum      malformed   @error format_newer  written by a newer version
  static Result<FlatBuffer> parse(ByteView bytes);

  ByteView bytes() const { return bytes_; }
  const ObjectPath& object() const { return object_; }
  uint64_t outside_bytes() const { return outside_; }
  uint32_t checksum() const { return checksum_; }
  /// Where the payload begins.
  size_t keys_end() const { return keys_end_; }
  /// Its bytes up to keys_end() are here now, and the payload is nowhere.
  void moved_to(ByteView bytes) { bytes_ = bytes; }
  uint32_t dkey_count() const { return dkeys_; }
  uint32_t akey_count() const { return akeys_; }
  uint32_t value_count() const { return values_; }
  model::KeyKind dkey_kind() const { return model::dkey_kind(object_.oid.type()); }
  model::KeyKind akey_kind() const { return model::akey_kind(object_.oid.type()); }
  Key dkey(uint32_t i) const;
  Key akey(uint32_t i) const;
  /// @param akey  whose value it is
  Value value(uint32_t i, const Key& akey) const;
  ByteView payload(const Value& value) const { return bytes_.subspan(value.place, value.bytes); }
  /// The first dkey that is not below `key`; dkey_count(): none.
  uint32_t dkey_at(const Component& key) const;
  /// The same among the akeys of a dkey; first + count: none.
  uint32_t akey_at(const Key& dkey, const Component& key) const;

 private:
  explicit FlatBuffer(ByteView bytes) : bytes_(bytes) {}
  friend struct FlatCheck;
  template <class Item>
  Item item(size_t table_at, uint32_t i) const;
  size_t akeys_at() const { return sizeof(FlatHeader) + dkeys_ * sizeof(FlatDkeyItem); }
  size_t values_at() const { return akeys_at() + akeys_ * sizeof(FlatAkeyItem); }
  template <class Item>
  Key key_of(const Item& item) const;

  ByteView bytes_;
  ObjectPath object_;
  uint64_t outside_ = 0;
  size_t keys_end_ = 0;
  uint32_t checksum_ = 0;
  uint32_t dkeys_ = 0, akeys_ = 0, values_ = 0;
};

}  // namespace cairn::vos
