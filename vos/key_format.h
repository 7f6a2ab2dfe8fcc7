// vos/key_format.h - keys of a shard's tree, format 1 (store.md section 1). They compare by memcmp;
// all integers big-endian or ordered (base/ordered_int.h). Unit: bytes.
//
//   size  field       meaning
//      4  container   number of the container in its pool; 0: the shard's own records
//      1  range       1 live, 2 pending, 3 history, 4 punch markers, 5 client sessions,
//                     6 snapshots, 7 transactions, 8 extents of flattened objects, 9 policies
//   history:
//      8  slot        epoch of the newest snapshot that sees the version
//   live, pending, history, markers:
//      8  oid.lo
//      4  oid.hi >> 32           type, class and groups
//      4  permuted(oid.hi)       low 32 bits times 0x5c884641 modulo 2^32: ids that one client
//                                allocates one after another become neighbours
//   1..9  shard       ordered integer
//      n  dkey        component
//      n  akey        component
//      1  kind        0 name, 1 present, 2 single, 3 extent, 4 checksums, 5 touched;
//                     pending only: 6 punch (of its level), 7 hole;
//                     8 flat: the object's buffer (without dkey and akey; not pending)
//   1..9  position    extent, hole, checksums: end of the extent in records, ordered integer
//   1..9  chunk       checksums: which 1,024 checksums, ordered integer
//      8  ~epoch      pending only
//      2  ~minor      pending only
//   sessions (container 0):
//      8  session     1..9  chunk, ordered integer; session 0, chunk 0: the number of markers
//   transactions (container 0):
//      8  id.high     8  id.low     1..9  chunk, ordered integer
//   snapshots:
//      8  epoch
//   extents of flattened objects:
//      8  block       the first one
//   policies:
//      1  which       1: the container's worm_* properties
//
// Extents and checksums without dkey and akey belong to a flattened object: payload that does not
// stand in its buffer, one array of bytes (vos/flat_format.h).
//
// A component is one of
//   none      00 00                     the record belongs to the level above
//   integer   01, ordered integer       keys of UINT64 levels; the key's 8 bytes are little-endian
//   bytes     the bytes with 00 written as 00 FF, then 00 01; a hashed key longer than 64 bytes
//             stands as its first 64 bytes and the XXH3-128 of all of it (80 bytes), and its
//             `name` record holds the rest
// After the component of the level that was punched (object: none, none) a marker has only its
// inverted epoch: 8 bytes, so that the newest one at or below an epoch is one seek away.
#pragma once

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/endian.h"
#include "base/result.h"
#include "base/short_bytes.h"
#include "model/ids.h"
#include "model/limits.h"
#include "vos/shard.h"

namespace cairn::vos {

enum class Range : uint8_t {
  live = 1,
  pending = 2,
  history = 3,
  marker = 4,
  session = 5,
  snapshot = 6,
  transaction = 7,
  pack = 8,
  policy = 9
};
enum class Kind : uint8_t {
  name = 0,
  present = 1,
  single = 2,
  extent = 3,
  checksums = 4,
  touched = 5,
  punch = 6,
  hole = 7,
  flat = 8
};

/// Levels of an object's keys.
enum class Level : uint8_t { object, dkey, akey };

inline constexpr size_t kLongKeyBytes = model::kKeyPrefixBytes + model::kKeyHashBytes;
inline constexpr size_t kComponentBytesMax = 2 * model::kLexicalKeyBytesMax + 2;
static_assert(2 * kLongKeyBytes + 2 <= kComponentBytesMax);
/// Checksums in one record of kind checksums.
inline constexpr size_t kChecksumsPerRecord = 1024;

/// A key being built: bytes in place, no allocation.
class Key {
 public:
  static constexpr size_t kRoom = 4 + 1 + 16 + 9 + 2 * kComponentBytesMax + 1 + 18 + 10;
  Key() {}  // NOLINT: not "= default", which would zero the bytes of what is made with {}
  explicit Key(ByteView bytes) { add(bytes); }
  Key(const Key& other) noexcept : size_(other.size_) { copy_short(bytes_, other.bytes_, size_); }
  Key& operator=(const Key& other) noexcept {
    if (this == &other) return *this;
    size_ = other.size_;
    copy_short(bytes_, other.bytes_, size_);
    return *this;
  }

  ByteView view() const { return {bytes_, size_}; }
  operator ByteView() const { return view(); }  // NOLINT: a key is its bytes
  size_t size() const { return size_; }
  void truncate(size_t size) { size_ = static_cast<uint16_t>(size); }
  void add(uint8_t byte) {
    DCHECK(size_ < kRoom);
    bytes_[size_++] = static_cast<std::byte>(byte);
  }
  void add(ByteView bytes) {
    CHECK(size_ + bytes.size() <= kRoom);
    copy_short(bytes_ + size_, bytes.data(), bytes.size());
    size_ = static_cast<uint16_t>(size_ + bytes.size());
  }
  void add_be32(uint32_t value);
  void add_be64(uint64_t value);
  void add_ordered(uint64_t value);

 private:
  uint16_t size_ = 0;
  std::byte bytes_[kRoom];
};

/// The first key after every key that starts with `prefix`. Precondition: not all bytes are FF.
Key after_prefix(ByteView prefix);

/// What a component says: nothing, or the key's bytes (8 little-endian ones for integers); 80 bytes
/// of a hashed key mean a long one.
struct Component {
  bool none = true;
  uint8_t size = 0;
  std::array<std::byte, model::kLexicalKeyBytesMax> bytes;
  ByteView view() const { return {bytes.data(), size}; }
  bool is_long(model::KeyKind kind) const {
    return kind == model::KeyKind::hashed && size == kLongKeyBytes;
  }
};
static_assert(kLongKeyBytes <= model::kLexicalKeyBytesMax);

/// Checks a caller's key. @error invalid  wrong length for its kind   @error key_too_big
Result<void> check_key(model::KeyKind kind, ByteView key);
/// The form of a (checked) key that stands in a component, and in an anchor.
Component component_of(model::KeyKind kind, ByteView key);
void add_component(Key& key, model::KeyKind kind, const Component& component);
/// The same of a caller's key, without a copy. @error as check_key()
Result<void> add_key(Key& key, model::KeyKind kind, ByteView caller_key);
inline void add_none(Key& key) {
  key.add(0);
  key.add(0);
}
/// Takes one component from the front of `in`. @error checksum  malformed
Result<void> take_component(ByteView& in, model::KeyKind kind, Component& out);
Result<Component> take_component(ByteView& in, model::KeyKind kind);

/// Prefix of everything in one range of a container, and of one object shard in it.
Key range_prefix(ContNumber container, Range range);
Key object_prefix(const ObjectPath& object, Range range);
inline constexpr size_t kRangePrefixBytes = 5;
inline constexpr size_t kHistoryPrefixBytes = kRangePrefixBytes + 8;

inline bool in_range(ByteView key, Range range) {
  return key.size() >= kRangePrefixBytes && key[4] == static_cast<std::byte>(range);
}
/// A live key, or a prefix of some, in a slot of the history range.
Key history_key(ByteView live, model::Epoch slot);
/// All of a slot.
Key slot_prefix(ContNumber container, model::Epoch slot);
/// The live form of a key of the history range.
Key live_form(ByteView history_key);

/// One object shard's keys of the live range: prefixes of its levels.
class KeyPath {
 public:
  explicit KeyPath(const ObjectPath& object);
  model::KeyKind dkey_kind() const { return dkey_kind_; }
  model::KeyKind akey_kind() const { return akey_kind_; }
  const Key& object() const { return object_; }
  /// @error invalid, key_too_big
  Result<Key> dkey(ByteView dkey) const;
  Key dkey(const Component& dkey) const;
  Result<Key> akey(const Key& dkey_prefix, ByteView akey) const;
  Key akey(const Key& dkey_prefix, const Component& akey) const;

 private:
  Key object_;
  model::KeyKind dkey_kind_;
  model::KeyKind akey_kind_;
};

/// A record below an akey prefix.
Key record_key(const Key& akey_prefix, Kind kind);
/// The prefix below which a record without a position (name, single) stands.
Key prefix_of_record(const Key& record_key);
Key extent_key(const Key& akey_prefix, uint64_t end);
/// A pending hole or punch, in the form that pending_key() takes.
Key hole_key(const Key& akey_prefix, uint64_t end);
Key punch_key(const Key& level_prefix, Level level);
Key checksums_key(const Key& akey_prefix, uint64_t end, uint64_t chunk);
/// Is it the `name` of the dkey whose prefix stands before it?
bool is_dkey_name(ByteView rest);
/// `name` of a dkey; the akey's is record_key(akey_prefix, Kind::name).
Key dkey_name_key(const Key& dkey_prefix);
/// The object's `touched` record.
Key touched_key(const Key& object_prefix);
/// The object's `flat` record, and the prefix below which what its buffer leaves outside stands.
Key flat_key(ByteView object_prefix);
Key outside_prefix(ByteView object_prefix);
/// An extent of flattened objects' buffers.
Key pack_key(ContNumber container, uint64_t block);
/// @error checksum  malformed
Result<uint64_t> parse_pack_key(ByteView key);
/// What the container's worm_* properties say; absent: the default.
Key policy_key(ContNumber container);
/// @error checksum  malformed
Result<ContNumber> parse_policy_key(ByteView key);
/// The same levels in the marker range; `level_prefix` is an object, dkey or akey prefix of the
/// live range.
Key marker_prefix(ByteView level_prefix, Level level);
Key marker_key(ByteView level_prefix, Level level, model::Epoch epoch);
inline constexpr size_t kMarkerEpochBytes = 8;
inline model::Epoch marker_epoch(ByteView marker_key) {
  return ~load_be64(marker_key.data() + marker_key.size() - kMarkerEpochBytes);
}
Key session_key(uint64_t session, uint64_t chunk);
Key snapshot_key(ContNumber container, model::Epoch epoch);
/// @error checksum  malformed
Result<model::Epoch> parse_snapshot_key(ByteView key);
/// The record that says how many punch markers there are; absent: none.
Key marker_count_key();

/// The key of a record that stands aside: of a live one's, with the range, epoch and number of the
/// operation exchanged and added.
Key pending_key(ByteView live, model::Epoch epoch, uint16_t minor);
/// The live key of a pending one. Precondition: parse_key() took it.
Key live_key(ByteView pending);
inline constexpr size_t kVersionBytes = 10;  // epoch and minor epoch at a key's end
Key transaction_key(const TxId& id, uint64_t chunk);
struct ParsedTransactionKey {
  TxId id;
  uint64_t chunk = 0;
};
/// @error checksum  malformed
Result<ParsedTransactionKey> parse_transaction_key(ByteView key);

/// How long the level prefixes of a live key are; 0 where the record belongs to a level above.
struct LevelBytes {
  size_t object = 0, dkey = 0, akey = 0;
};
/// @error checksum  malformed
Result<LevelBytes> level_bytes(ByteView live_key);

/// A live, pending, history or marker key taken apart. @error checksum  malformed
struct ParsedKey {
  ContNumber container = 0;
  Range range = Range::live;
  model::ObjectId oid;
  uint64_t shard = 0;
  Component dkey, akey;
  Kind kind = Kind::name;  // not of markers
  uint64_t position = 0;
  uint64_t chunk = 0;
  model::Epoch slot = 0;   // history
  model::Epoch epoch = 0;  // marker, pending
  uint16_t minor = 0;      // pending
};
Result<ParsedKey> parse_key(ByteView key);
/// The object id in the 16 bytes behind a range. Precondition: 16 bytes.
model::ObjectId object_id_of(ByteView bytes);
/// What follows an akey prefix in a live key: kind and position. @error checksum
struct RecordTail {
  Kind kind;
  uint64_t position;
  uint64_t chunk;
};
Result<RecordTail> parse_tail(ByteView tail, Kind kind_max = Kind::touched);

}  // namespace cairn::vos
