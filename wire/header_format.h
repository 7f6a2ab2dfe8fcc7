// wire/header_format.h - the header of every message, format 1. All integers little-endian. Unit:
// bytes.
//
//   offset  size  field                 meaning
//        0     4  magic                 "CRNQ" request, "CRNR" reply
//        4     4  checksum              CRC32C of bytes [8, bulk_offset)
//        8     2  version               1
//       10     2  opcode                wire::Opcode; a reply repeats the request's
//       12     4  flags                 bit 0: resend; bit 16: later (flatten). Unknown bits below
//                                     16: refuse; above: ignore
//       16     8  features              of the sender; unknown bits are ignored
//       24    16  system                UUID; nil: any
//       40     4  sender_rank           0xFFFFFFFF: a client
//       44     4  target                index inside the engine
//       48     8  sender_incarnation    0: a client
//       56     8  target_incarnation    0: any
//       64     4  map_version           of the pool map that the sender used; reply: the newest
//       68     4  placement_generation
//       72     4  handle_index
//       76     4  handle_generation     0: no handle
//       80     8  session               0: none
//       88     8  sequence              0: repeating it is harmless. A reply repeats the request's
//       96     8  acknowledged_below    answers of all smaller sequences have arrived
//      104     8  remaining_ns          until the sender gives up; all ones: never
//      112     8  hlc                   newest epoch that the sender has seen
//      120     8  epoch                 request: wanted, 0: server's choice; reply: the result
//      128    16  transaction           id; zero: none
//      144     2  minor_epoch
//      146     2  reserved              zero
//      148     4  status                Errc of a reply; zero in a request
//      152     4  members_offset        of the member list in the body; 0: none (the only value)
//      156     4  bulk_offset           176..message_bytes
//      160     8  message_bytes         all of it
//      168     4  bulk_checksum         CRC32C of bytes [bulk_offset, message_bytes)
//      172     4  padding_bytes         0..4095: zeros between body and bulk
//      176        body                  object_format.h, or protobuf for opcode 1
//      ...        padding               so that the bulk begins at a multiple of 4,096
//      ...        bulk                  payload
//
// Valid iff: magic, version, both checksums and the offsets fit, reserved fields are zero, padding
// is where the bulk begins at a multiple of 4,096 and nowhere else, opcode and status are known.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/endian.h"

namespace cairn::wire {

inline constexpr uint32_t kRequestMagic = 0x514E5243;  // "CRNQ"
inline constexpr uint32_t kReplyMagic = 0x524E5243;    // "CRNR"
inline constexpr uint16_t kVersion = 1;
/// Flag bits that a receiver must know.
inline constexpr uint32_t kFlagsBinding = 0x0000FFFF;

struct HeaderFormat {
  U32le magic, checksum;
  U16le version, opcode;
  U32le flags;
  U64le features;
  U8 system[16];
  U32le sender_rank, target;
  U64le sender_incarnation, target_incarnation;
  U32le map_version, placement_generation;
  U32le handle_index, handle_generation;
  U64le session, sequence, acknowledged_below;
  U64le remaining_ns, hlc, epoch;
  U64le transaction_lo, transaction_hi;
  U16le minor_epoch, reserved_a;
  U32le status;
  U32le members_offset, bulk_offset;
  U64le message_bytes;
  U32le bulk_checksum, padding_bytes;
};
static_assert(sizeof(HeaderFormat) == 176);
static_assert(offsetof(HeaderFormat, checksum) == 4);
static_assert(offsetof(HeaderFormat, version) == 8);
static_assert(offsetof(HeaderFormat, system) == 24);
static_assert(offsetof(HeaderFormat, handle_index) == 72);
static_assert(offsetof(HeaderFormat, session) == 80);
static_assert(offsetof(HeaderFormat, epoch) == 120);
static_assert(offsetof(HeaderFormat, status) == 148);
static_assert(offsetof(HeaderFormat, bulk_offset) == 156);
static_assert(offsetof(HeaderFormat, message_bytes) == 160);
static_assert(std::is_trivially_copyable_v<HeaderFormat>);
static_assert(std::has_unique_object_representations_v<HeaderFormat>, "padding leaks old bytes");

/// Where the checked part begins.
inline constexpr size_t kChecksumFrom = offsetof(HeaderFormat, version);

}  // namespace cairn::wire
