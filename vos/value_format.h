// vos/value_format.h - values of a shard's tree, format 1. Little-endian; varints are LEB128.
// Unit: bytes.
//
//   offset  size  field    meaning
//        0     8  epoch    at which it was written; the tree's stamp
//        8     1  form     bits 0-3: 0 mark, 1 inline, 2 packed, 3 data
//                          bit 4: a minor epoch follows
//                          bit 5: joined, the extent continues the one that ends where it begins
//                                 (both were one write)
//                          bit 6: checksums stand in records of their own
//                          bit 7: shared, the blocks belong to an extent of many values
//       (9)  1-3  minor    varint, only with bit 4
//   then by the record's kind
//     name       inline: the whole key.  data: varint length, DATA
//     present    mark: 1 byte value type, varint record bytes (0: not known)
//     touched    mark: nothing; punch markers and pending punches too
//     hole       mark: varint record count
//     snapshots  mark: 1 byte SnapshotState
//     single     inline: the value.  packed: 11 bytes bitmap, then the nonzero ones of 88 bytes.
//                data: varint length, DATA
//     extent     varint record count, varint record bytes, then inline: the records; packed: as
//                single, where the records are 88 bytes; data: DATA
//     checksums  mark: U32le CRC32C of up to 1,024 blocks, in order
//   DATA: 1 byte checksum type (1: CRC32C), varint skip (first payload byte in the first block,
//     below 4,096), varint run count, per run varint block and varint count, then unless bit 6 the
//     U32le CRC32C of each block, whole and zero-filled. With bit 7 (single, one run, not bit 6) a
//     varint follows: how many blocks of the extent are before the run.
//     flat       mark: U32le checksum of the buffer, varint first block of its extent, varint
//                offset in it in units of 8 bytes, varint length in bytes, then one bit for each
//                dkey of the buffer that does not count any more, up to the last one that is set
//   extents of flattened objects: epoch, mark, varint blocks (1..2^32 - 1), varint live buffers,
//     varint live bytes (each buffer rounded up to 8)
//   policies: epoch, mark, varint worm_inline_max, varint worm_object_max (bytes), varint
//     worm_cold_after (seconds), 1 byte bits: 0 worm_compress, 1 sealed, others zero; if sealed
//     U64le epoch of the seal, 1 byte length of a name (1..255), the name of who sealed it
//   marker count (key_format.h): epoch, varint count
// The runs hold exactly ceil((skip + payload) / 4,096) blocks.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "index/batch.h"
#include "media/space.h"
#include "model/ids.h"
#include "model/io.h"
#include "model/worm_policy.h"
#include "vos/key_format.h"

namespace cairn::vos {

inline constexpr uint32_t kDataBlockBytes = 4096;
/// More block checksums than this stand in records of their own (store.md rule 7).
inline constexpr size_t kInlineChecksumsMax = 16;
/// The DFS inode value: mostly zeros, stored packed and restored exactly (store.md rule 19).
inline constexpr size_t kPackedBytes = 88;
/// Runs of one data value, so that a value fits a page.
inline constexpr size_t kRunsMax = 128;

// A value of any form fits a record of the tree: all checksums of one record; a data value with the
// most runs (two varints of up to 10 and 5 bytes each) and its inline checksums; a whole
// inline key.
static_assert(9 + 4 * kChecksumsPerRecord <= index::kValueBytesMax);
static_assert(9 + 3 * 10 + kRunsMax * 15 + 4 * kInlineChecksumsMax <= index::kValueBytesMax);
static_assert(kPackedBytes % 8 == 0);

enum class Form : uint8_t { mark = 0, inlined = 1, packed = 2, data = 3 };

/// Blocks that hold a payload: byte i of it is byte skip + i of the blocks in order.
struct BlockData {
  std::vector<media::Extent> runs;
  uint32_t skip = 0;
  std::vector<uint32_t> crcs;  // one a block; empty: in `checksums` records
  uint64_t blocks_before = 0;  // shared: of its extent
  uint64_t block_count() const;
  /// The block number of the index-th block.
  uint64_t block_at(uint64_t index) const;
};

/// A value taken apart; views borrow from it.
struct ValueView {
  model::Epoch epoch = 0;
  uint16_t minor_epoch = 0;
  Form form = Form::mark;
  bool joined = false;
  bool checksums_apart = false;
  bool shared = false;  // single: its blocks are its extent's, see vos/packed_format.h
  model::ValueType present_type = model::ValueType::none;  // present
  uint64_t record_bytes = 0;                               // extent, present
  uint64_t count = 0;                                      // extent, hole: records
  uint64_t payload_bytes = 0;                              // name, single, extent
  ByteView inlined;                                        // inline or packed bytes, checksums
  ByteView data;                                           // DATA, parse_data()
};

/// Where a flattened object's buffer is.
struct FlatPlace {
  uint64_t block = 0;   // the first one of its extent
  uint32_t offset = 0;  // in the extent, bytes; a multiple of 8
  uint32_t length = 0;  // bytes
  uint32_t checksum = 0;
  uint64_t room() const { return round_up(length, 8); }
  friend bool operator==(const FlatPlace&, const FlatPlace&) = default;
};
/// The index record of a flattened object; `taken` borrows from it.
struct FlatRecord {
  model::Epoch epoch = 0;  // of the newest change
  FlatPlace place;
  ByteView taken;  // bit i: dkey i of the buffer does not count any more
  bool is_taken(uint32_t dkey) const {
    return dkey / 8 < taken.size() &&
           (static_cast<uint8_t>(taken[dkey / 8]) >> (dkey % 8) & 1) != 0;
  }
};
/// The record of an extent of flattened objects.
struct PackRecord {
  uint32_t blocks = 0;
  uint64_t objects = 0;  // live
  uint64_t bytes = 0;
};

/// What a snapshot's record says of it.
enum class SnapshotState : uint8_t {
  alive = 0,
  dying = 1,      // given up; its slot is being emptied
  restoring = 2,  // its container is on the way back to it
};

inline model::Epoch epoch_of(ByteView value) { return load_le64(value.data()); }

/// @error checksum  malformed
Result<ValueView> parse_value(Kind kind, ByteView value);
/// @error checksum  malformed, or blocks that do not fit the payload
Result<BlockData> parse_data(const ValueView& value);
/// Copies an inline or packed payload, [begin, begin + into.size()) of it.
void copy_inlined(const ValueView& value, uint64_t begin, ByteSpan into);

void put_touched(Bytes& out, model::Epoch epoch);
void put_snapshot(Bytes& out, model::Epoch stamp, SnapshotState state);
/// @error checksum  malformed
Result<SnapshotState> parse_snapshot(ByteView value);
void put_present(Bytes& out, model::Epoch epoch, model::ValueType type, uint64_t record_bytes);
/// single or name; packs 88-byte singles where that is shorter.
void put_inlined(Bytes& out, model::Epoch epoch, ByteView payload);
/// The same behind what is in `out`.
void add_inlined(Bytes& out, model::Epoch epoch, ByteView payload);
void put_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes, const BlockData& data);
struct ExtentShape {
  uint64_t count = 0;
  uint64_t record_bytes = 0;
  bool joined = false;
};
/// Packs 88 bytes of records where that is shorter.
void put_extent_inlined(Bytes& out, model::Epoch epoch, ExtentShape shape, ByteView payload);
/// The same behind what is in `out`.
void add_extent_inlined(Bytes& out, model::Epoch epoch, ExtentShape shape, ByteView payload);
void put_extent_data(Bytes& out, model::Epoch epoch, ExtentShape shape, const BlockData& data);
/// The same blocks under another name: an extent, or a single value, of what `from` holds.
void put_extent_data(Bytes& out, model::Epoch epoch, ExtentShape shape, const ValueView& from);
void put_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes, const ValueView& from);
/// A single value in an extent that it shares. @param data  its blocks there, in one run
void put_shared_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes, const BlockData& data);
void put_hole(Bytes& out, model::Epoch epoch, uint64_t count);
void put_marker_count(Bytes& out, model::Epoch epoch, uint64_t count);
/// @error checksum  malformed
Result<uint64_t> parse_marker_count(ByteView value);
void put_checksums(Bytes& out, model::Epoch epoch, std::span<const uint32_t> crcs);
void put_flat(Bytes& out, const FlatRecord& record);
/// @error checksum  malformed
Result<FlatRecord> parse_flat(ByteView value);
void put_pack(Bytes& out, model::Epoch epoch, const PackRecord& record);
/// @error checksum  malformed
Result<PackRecord> parse_pack(ByteView value);
/// Precondition: model::check_worm_policy() takes it.
void put_policy(Bytes& out, model::Epoch epoch, const model::WormPolicy& policy);
/// @error checksum  malformed
Result<model::WormPolicy> parse_policy(ByteView value);

}  // namespace cairn::vos
