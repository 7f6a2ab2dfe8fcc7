// Hellos: the first frame each way of a connection, as values. Byte maps: stream_format.h.
// Home of what returns a Task: the stream's reactor.
#pragma once

#include <array>

#include "base/result.h"
#include "base/uuid.h"
#include "fabric/stream_format.h"
#include "runtime/reactor.h"
#include "runtime/socket.h"

namespace cairn::fabric {

/// The secret of a home, which whoever connects over TCP must know.
using Token = std::array<uint8_t, 32>;

struct Hello {
  Lane lane = Lane::small;
  Purpose purpose = Purpose::calls;
  Uuid system;  // nil: any
  uint32_t rank = kAnyRank;
  uint32_t process = 0;
  uint64_t session = 0;
  Token token{};
  bool takes_busy = false;  // understands FrameKind::busy
};

/// What an engine says of itself.
struct HelloReply {
  Errc status = Errc::ok;
  Uuid system;
  uint32_t rank = 0;
  uint32_t process = 0;
  uint64_t incarnation = 0;
  uint32_t calls_max = 0;
  uint32_t message_bytes_max = 0;
  uint32_t clients = 0;
  bool stays = false;  // when its clients have left
};

Bytes encode_hello(const Hello& hello);
/// @error format_invalid  not a hello   @error protocol  of another version, or unknown values
Result<Hello> decode_hello(ByteView bytes);
Bytes encode_hello_reply(const HelloReply& reply);
/// @error as decode_hello(). A status that is not 0 is no error here.
Result<HelloReply> decode_hello_reply(ByteView bytes);

class Stream;
/// Says `hello` as the client and waits for what the engine says of itself.
/// @error unreachable  closed without a word: it is leaving   @error others as decode_hello_reply()
Task<Result<HelloReply>> greet(Stream& stream, Hello hello);
/// The same, to stay: a refusal is an error, with the engine's status.
Task<Result<HelloReply>> enter(Stream& stream, Hello hello);
/// greet() on a fresh connection that carries no calls, and closes it.
Task<Result<HelloReply>> greet_once(Reactor& reactor, Socket socket, Hello hello);

}  // namespace cairn::fabric
