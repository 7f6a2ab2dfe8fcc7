// fabric/stream_format.h - what crosses a stream socket between client and engine, format 1. All
// integers little-endian. Unit: bytes.
//
// A connection carries frames, both ways; the first each way is a hello.
//
// Frame:
//   offset  size  field     meaning
//        0     4  magic     "CRNF"
//        4     2  kind      FrameKind
//        6     2  flags     zero
//        8     8  id        of a call on this connection, repeated by its answer; hello: zero
//       16     4  bytes     of the payload that follows
//       20     4  checksum  CRC32C of bytes [0, 20)
//       24        payload   hello: HelloFormat or HelloReplyFormat; call, answer: one message of
//                           wire/, which has checksums of its own. An answer without payload: the
//                           call was no message, or the engine is stopping; nothing was done.
//                           busy, instead of an answer: U32le, milliseconds after which asking
//                           again may help; nothing was done.
//                           ofi, after the hellos: the connection is the door of one by libfabric
//                           (ofi_format.h), and only bells, which have no payload, follow.
//
// Hello, client to engine:
//        0     2  version           1
//        2     2  lane              Lane
//        4     4  purpose           Purpose
//        8     8  features          bit 0: the sender understands busy; unknown bits are ignored
//       16    16  system            UUID that is expected; nil: any
//       32     4  rank              that is expected; 0xFFFFFFFF: any
//       36     4  process           id of the client's, for people
//       40     8  session           of the client's process; 0: none
//       48    32  token             the home's, over TCP; zero over Unix sockets
//
// Hello, engine to client:
//        0     2  version           1
//        2     2  reserved          zero
//        4     4  status            Errc; not 0: the engine closes the connection
//        8     8  features
//       16    16  system
//       32     4  rank
//       36     4  process           id of the engine's
//       40     8  incarnation
//       48     4  calls_max         that the connection may have under way
//       52     4  message_bytes_max of one message
//       56     4  clients           sessions that are connected
//       60     4  flags             bit 0: the engine stays when its clients have left; others zero
//
// Valid iff: magic, checksum and kind fit, flags and reserved fields are zero, `bytes` is what the
// kind allows.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/endian.h"

namespace cairn::fabric {

inline constexpr uint32_t kFrameMagic = 0x464E5243;  // "CRNF"
inline constexpr uint16_t kStreamVersion = 1;
inline constexpr uint32_t kAnyRank = 0xFFFFFFFF;

/// `ofi` and `bell`: ofi_format.h.
enum class FrameKind : uint16_t { hello = 1, call = 2, answer = 3, busy = 4, ofi = 5, bell = 6 };
inline constexpr uint64_t kFeatureBusy = 1;
/// Large messages have a connection of their own, so that small ones do not wait behind them.
enum class Lane : uint16_t { small = 0, bulk = 1 };
inline constexpr size_t kLanes = 2;
/// What a connection is for: calls; to see who is there; to ask the whole process to end, if no
/// client is connected, or in spite of its clients (calls under way are answered first); calls of
/// the system's own engines and services, which are no client's, over Unix sockets only.
enum class Purpose : uint32_t { calls = 0, look = 1, leave_if_idle = 2, leave = 3, admin = 4 };

struct FrameFormat {
  U32le magic;
  U16le kind, flags;
  U64le id;
  U32le bytes, checksum;
};
static_assert(sizeof(FrameFormat) == 24);
static_assert(offsetof(FrameFormat, id) == 8);
static_assert(offsetof(FrameFormat, checksum) == 20);
static_assert(std::has_unique_object_representations_v<FrameFormat>, "padding leaks old bytes");

struct HelloFormat {
  U16le version, lane;
  U32le purpose;
  U64le features;
  U8 system[16];
  U32le rank, process;
  U64le session;
  U8 token[32];
};
static_assert(sizeof(HelloFormat) == 80);
static_assert(offsetof(HelloFormat, token) == 48);
static_assert(std::has_unique_object_representations_v<HelloFormat>);

struct HelloReplyFormat {
  U16le version, reserved_a;
  U32le status;
  U64le features;
  U8 system[16];
  U32le rank, process;
  U64le incarnation;
  U32le calls_max, message_bytes_max;
  U32le clients, flags;
};
static_assert(sizeof(HelloReplyFormat) == 64);
static_assert(offsetof(HelloReplyFormat, incarnation) == 40);
static_assert(std::has_unique_object_representations_v<HelloReplyFormat>);

}  // namespace cairn::fabric
