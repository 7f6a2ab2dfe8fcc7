// fabric/ofi_format.h - what crosses libfabric between client and engine, format 1. All integers
// little-endian. Unit: bytes.
//
// Each client has a door connection to each engine: a stream (stream_format.h) that begins with the
// hellos. Then the client sends a frame of kind `ofi` with OfiOpenFormat and its endpoint's name,
// and the engine answers with the same. From there calls go by messages of libfabric between the
// two endpoints; on the stream only frames of kind `bell` follow, without payload, each way, and
// its end is the end of all.
//
// OfiOpen, payload of a frame of kind `ofi`:
//   offset  size  field       meaning
//        0     2  version     1
//        2     2  flags       bit 0: ring a bell after each message; others zero
//        4     4  status      Errc; client: zero; engine, not 0: it closes the connection
//        8     8  connection  number that messages to the sender of this carry; not 0
//       16     2  name_bytes  1 to 256; zero with a status
//       18     2  provider    index in kOfiProviders, the same both ways
//       20     4  reserved    zero
//       24        name        of the sender's endpoint, as libfabric makes it
//
// Message, both ways:
//        0     4  magic         "CRNO"
//        4     2  kind          OfiKind
//        6     2  flags         zero
//        8     8  connection    the receiver's number
//       16     8  id            of a call on this connection, repeated by what belongs to it
//       24     4  body_bytes    of the whole message of wire/; busy: zero
//       28     4  room_bytes    of the room for the answer; call, far_call, take; else zero
//       32     8  body_address  far_call: where the body stands in the sender's memory; else zero
//       40     8  body_key      the same
//       48     8  room_address  where the answer may be written; zero without a room
//       56     8  room_key      the same
//       64     4  wait_ms       busy: milliseconds after which asking again may help; else zero
//       68     4  checksum      CRC32C of bytes [0, 68)
//       72        body          call and answer: body_bytes; else nothing
//
// Kinds:
//   call      the body follows
//   far_call  the engine reads the body from the client's memory
//   answer    the body follows; without one: the call was no message, or the engine is stopping
//   written   the answer stands in the room, as long as body_bytes; it was there before this
//   waits     the answer is body_bytes long and the call had no such room
//   take      client: write the waiting answer here; without a room: drop it
//   busy      instead of an answer: nothing was done
//
// Valid iff: magic and checksum fit, the kind is known, what the kind has no use for is zero, the
// message is as long as the kind says and at most 16 KiB, far bodies are longer than nothing.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/endian.h"

namespace cairn::fabric {

inline constexpr uint32_t kOfiMagic = 0x4F4E5243;  // "CRNO"
inline constexpr uint16_t kOfiVersion = 1;
/// The longest message, head included: what the providers send without asking first.
inline constexpr uint32_t kOfiMessageBytesMax = 16u << 10;
/// The longest name of an endpoint.
inline constexpr size_t kOfiNameBytesMax = 256;
inline constexpr uint16_t kOfiRing = 1;

enum class OfiKind : uint16_t {
  call = 1,
  far_call = 2,
  answer = 3,
  written = 4,
  waits = 5,
  take = 6,
  busy = 7,
};

struct OfiOpenFormat {
  U16le version, flags;
  U32le status;
  U64le connection;
  U16le name_bytes, provider;
  U32le reserved;
};
static_assert(sizeof(OfiOpenFormat) == 24);
static_assert(offsetof(OfiOpenFormat, name_bytes) == 16);
static_assert(std::has_unique_object_representations_v<OfiOpenFormat>);

struct OfiHeadFormat {
  U32le magic;
  U16le kind, flags;
  U64le connection, id;
  U32le body_bytes, room_bytes;
  U64le body_address, body_key;
  U64le room_address, room_key;
  U32le wait_ms, checksum;
};
static_assert(sizeof(OfiHeadFormat) == 72);
static_assert(offsetof(OfiHeadFormat, body_address) == 32);
static_assert(offsetof(OfiHeadFormat, checksum) == 68);
static_assert(std::has_unique_object_representations_v<OfiHeadFormat>, "padding leaks old bytes");

}  // namespace cairn::fabric
