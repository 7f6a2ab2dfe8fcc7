// media/wal_format.h - one log write of the write-ahead log, format 1. All integers little-endian.
// Unit: bytes. A log write starts on a block border (4,096) and is a whole number of blocks.
//
//   offset  size  field          meaning
//        0     8  magic          "CairnWAL"
//        8     4  version        1
//       12     4  incarnation    of the opening that wrote it; 1 and up, raised at each open
//       16     8  position       of this byte 0 in the endless log; a multiple of 4,096
//       24     4  bytes          of the whole write with its padding; a multiple of 4,096
//       28     4  checksum       CRC32C of all `bytes` bytes, this field taken as zero
//       32     4  predecessor    `checksum` of the log write that ends at `position`; the first
//                                write of a log carries the number that the superblock names
//                                (0 by default)
//       36     4  used           bytes of header and records; the rest is zero
//       40     4  record_count   0 is allowed: such a write only carries the fields of this header
//       44     4  reserved       zero
//       48     8  epoch_highest  highest epoch issued when the write was built
//       56     8  read_lease     no read timestamp is above it
//       64     8  complete       up to here log and data were durable when it was built; at most
//                                `position`
//       72     8  ring_bytes     length of the ring; byte p of the log stands at p % ring_bytes
//       80     8  log            the store's random number: what a client wrote cannot pose as a
//       write
//                                of this log
//       88     8  reserved2      zero
//       96        records        record_count times: 4 bytes length n, n bytes payload; not aligned
//     used        padding        zero up to `bytes`
//
// The fields from magic to log keep place and meaning in every later version, so that any reader
// can tell a newer write that continues its log from one that is only left over in the ring. Valid
// iff: magic, checksum, 96 <= used <= bytes, bytes - used < 4,096, records end exactly at `used`,
// complete <= position, reserved fields zero.
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"

namespace cairn::media {

inline constexpr uint64_t kWalMagic = 0x4C41576E72696143;  // "CairnWAL"
inline constexpr uint32_t kWalVersion = 1;
inline constexpr uint32_t kWalBlockBytes = 4096;

struct WalHeader {
  U64le magic;
  U32le version, incarnation;
  U64le position;
  U32le bytes, checksum, predecessor, used, record_count, reserved;
  U64le epoch_highest, read_lease, complete, ring_bytes, log, reserved2;
};
static_assert(sizeof(WalHeader) == 96);
static_assert(offsetof(WalHeader, position) == 16);
static_assert(offsetof(WalHeader, checksum) == 28);
static_assert(offsetof(WalHeader, epoch_highest) == 48);
static_assert(offsetof(WalHeader, predecessor) == 32);
static_assert(offsetof(WalHeader, log) == 80);
static_assert(std::is_trivially_copyable_v<WalHeader>);
static_assert(std::has_unique_object_representations_v<WalHeader>, "padding leaks old bytes");

inline constexpr uint32_t kWalRecordHeaderBytes = 4;

/// A log write that passed every check of its own; what it says about its neighbours is not judged
/// yet.
struct WalWrite {
  WalHeader header;
  std::vector<ByteView> records;  // payloads, borrowed from the parsed bytes
  std::vector<uint64_t> lsns;     // end position of each record
};

/// What the first bytes of a block claim, before the checksum is known: the length of the write, or
/// 0 if no log write of a ring of `ring_bytes` starts here.
uint64_t wal_claimed_bytes(ByteView block, uint64_t ring_bytes);

/// The header of the log write that starts here, nothing checked. `block` holds a header's bytes.
WalHeader peek_wal_header(ByteView block);

/// The checksum that a whole log write (exactly its claimed bytes) must carry, taken from a piece
/// at a time: the first piece holds the header.
class WalChecksum {
 public:
  void add(ByteView piece);
  uint32_t value() const { return crc_; }

 private:
  uint32_t crc_ = 0;
  bool begun_ = false;
};

/// Parses one whole log write (exactly its claimed bytes).
/// @error again           not a log write, torn or stale: the end of a chain looks like this
/// @error format_newer    whole, but written by a newer version: upgrade this program
/// @error checksum        the checksum holds and the content breaks its own rules
Result<WalWrite> parse_wal_write(ByteView bytes);

/// Sets header.checksum of the log write that `bytes` is, and returns it.
uint32_t seal_wal_write(ByteSpan bytes);

}  // namespace cairn::media
