// index/record_format.h - one log record of a store, formats 2 and 3: what RecordHeader and Batch
// say. It is the payload of one record of media/wal_format.h, which checksums it. Integers
// little-endian; varint: LEB128, base/varint.h. Unit: bytes.
//
//   offset  size  field          meaning
//        0     1  version        2, or 3 where data is in the record
//        1     1  reserved       zero
//        2     2  kind           the owner's; opaque here
//        4     2  minor_epoch
//        6     2  reserved2      zero
//        8     8  session        who asked; 0: internal
//       16     8  sequence
//       24     8  epoch
//       32        op_count       varint
//                 data_count     varint
//                 freed_count    varint
//                 ops            in the order in which they are applied
//                 data           extents that become owned
//                 freed          extents that become free
//                 payloads       of the logged data, in its order: all bytes of its blocks
//
//   op:     varint  shared        bytes that its key shares with the key of the op before; 0 at
//   first
//           varint  suffix * 4 + kind    0 put, 1 erase, 2 move
//           n       suffix        the key behind `shared`; of a move: of its source
//    put:   varint  value_bytes
//           n       value
//    move:  varint  shared        bytes that its target shares with the target of the move before
//           varint  suffix
//           n       suffix        the target behind `shared`
//   data:   varint  block
//           varint  count         blocks, 1..2^32 - 1; in version 3: count * 2 + logged
//           4       digest        BatchData::digest
//   freed:  varint  block
//           varint  count
//
// Valid iff: version 2 or 3, reserved zero, keys and values in the bounds of index/batch.h, shared
// no longer than the key before, source and target of a move differ, block + count < 2^63, nothing
// behind the last extent or payload. Version 1 is read, too: it knows no moves and has
// suffix * 2 + erase.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"
#include "index/batch.h"

namespace cairn::index {

inline constexpr uint8_t kRecordVersion = 2;
inline constexpr uint8_t kRecordVersionLogged = 3;

struct RecordPrefix {
  U8 version, reserved;
  U16le kind, minor_epoch, reserved2;
  U64le session, sequence, epoch;
};
static_assert(sizeof(RecordPrefix) == 32);
static_assert(offsetof(RecordPrefix, session) == 8);
static_assert(offsetof(RecordPrefix, epoch) == 24);
static_assert(std::is_trivially_copyable_v<RecordPrefix>);
static_assert(std::has_unique_object_representations_v<RecordPrefix>, "padding leaks old bytes");

/// A small record must not unfold without end: keys repeat their beginnings.
inline constexpr size_t kRecordUnfoldedBytesMax = 64u << 20;

/// Appends the record to `out`.
/// @param logged  with the payloads that the batch has, else without any
void encode_record(const RecordHeader& header, const Batch& batch, Bytes& out, bool logged = false);

/// What encode_record() wrote. `batch` is cleared first; after an error it holds a part. Its
/// payloads borrow from `record`.
/// @error format_newer  written by a newer version: upgrade this program
/// @error checksum      breaks a rule above, though the log's checksum held: do not replay
Result<RecordHeader> parse_record(ByteView record, Batch& batch);

}  // namespace cairn::index
