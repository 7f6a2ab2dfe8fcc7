// media/blob_table_format.h - the table of a device that several blobs share, format 1.
// All integers little-endian. Unit: bytes, allocation units of 4 MiB where it says so.
//
// Places. E is the device's length rounded down to 1 MiB. Generation g stands in slot g % 2, twice:
// at (g % 2) MiB and at E - 2 MiB + (g % 2) MiB. Unit u is [4 MiB + u * 4 MiB, 8 MiB + u * 4 MiB);
// units end at or below E - 2 MiB.
//
//   offset  size  field         meaning
//        0     8  magic         "CAIRNDEV"
//        8     4  format        1; greater = written by a newer version
//       12     4  bytes         of the table: 96 + 48 * blob_count + 8 * run_count, at most 1 MiB
//       16     8  checksum      XXH3-64 of all `bytes` bytes, this field taken as zero
//       24    16  device        uuid of the device, made when it was formatted
//       40    16  owner         uuid of the home or system that owns it
//       56     8  generation    1 at formatting, one higher in each later table
//       64     8  device_bytes  E
//       72     4  unit_bytes    4,194,304
//       76     4  blob_count
//       80     4  run_count
//       84    12  reserved      zero
//       96        blobs         blob_count times:
//                   0  16  owner      the pool
//                  16   4  number     the target
//                  20   4  role       0 wal, 1 meta, 2 data
//                  24   8  bytes      length of the blob, a multiple of 4,096
//                  32   4  run_first  index of its first run
//                  36   4  run_count
//                  40   8  reserved   zero
//      ...        runs          run_count times: 4 unit, 4 count
//
// The first 24 bytes keep their places and meaning in every later format.
// Valid iff: magic, format and checksum match, lengths fit each other, no two blobs have one name,
// runs of the blobs follow each other without a gap, lie on the device and do not overlap, and hold
// exactly the units that their blob's bytes need.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"
#include "base/uuid.h"

namespace cairn::media {

inline constexpr std::array<char, 8> kBlobTableMagic = {'C', 'A', 'I', 'R', 'N', 'D', 'E', 'V'};
inline constexpr uint32_t kBlobTableFormat = 1;
inline constexpr uint64_t kBlobTableSlotBytes = 1u << 20;
inline constexpr uint32_t kBlobUnitBytes = 4u << 20;
/// Units begin here; and this much at the end is not for units.
inline constexpr uint64_t kBlobUnitsBegin = 4u << 20;
inline constexpr uint64_t kBlobTableTailBytes = 2 * kBlobTableSlotBytes;

struct BlobTableHeader {
  std::array<char, 8> magic;
  U32le format, bytes;
  U64le checksum;
  std::array<uint8_t, 16> device, owner;
  U64le generation, device_bytes;
  U32le unit_bytes, blob_count, run_count;
  std::array<uint8_t, 12> reserved;
};
static_assert(sizeof(BlobTableHeader) == 96);
static_assert(offsetof(BlobTableHeader, checksum) == 16);
static_assert(offsetof(BlobTableHeader, generation) == 56);
static_assert(std::has_unique_object_representations_v<BlobTableHeader>);

struct BlobTableEntry {
  std::array<uint8_t, 16> owner;
  U32le number, role;
  U64le bytes;
  U32le run_first, run_count;
  U64le reserved;
};
static_assert(sizeof(BlobTableEntry) == 48);
static_assert(std::has_unique_object_representations_v<BlobTableEntry>);

struct BlobTableRun {
  U32le unit, count;
};
static_assert(sizeof(BlobTableRun) == 8);

enum class BlobRole : uint8_t { wal = 0, meta = 1, data = 2 };
inline constexpr uint32_t kBlobRoles = 3;

/// Names a blob on a device.
struct BlobId {
  Uuid owner;
  uint32_t number = 0;
  BlobRole role = BlobRole::data;
  friend bool operator==(const BlobId&, const BlobId&) = default;
};

/// Units of one blob, in order.
struct BlobRun {
  uint32_t unit = 0;
  uint32_t count = 0;
};

struct BlobTable {
  struct Blob {
    BlobId id;
    uint64_t bytes = 0;
    std::vector<BlobRun> runs;
  };
  Uuid device, owner;
  uint64_t generation = 0;
  uint64_t device_bytes = 0;
  std::vector<Blob> blobs;
};

/// Units that a device of that (rounded) length has; 0: too small.
uint64_t blob_units(uint64_t device_bytes);
/// A multiple of 4,096 bytes. @error no_space  the table would be longer than its slot
Result<Bytes> encode_blob_table(const BlobTable& table);
/// `bytes` is a whole slot, or less; the device may have grown since, but not shrunk below the
/// table's length. @error format_invalid  not a table, or the device is shorter now
/// @error format_newer   @error checksum  damaged
Result<BlobTable> parse_blob_table(ByteView bytes, uint64_t device_bytes);

}  // namespace cairn::media
