// Messages to bytes and back. Bytes are never trusted: each length, count, enum value and reserved
// field is checked before use, and memory is reserved only for what the bytes themselves can fill
// (fetch buffers: up to kBulkBytesMax). Pure: no clock, no I/O.
#pragma once

#include <memory>
#include <vector>

#include "base/buffer.h"

#include "wire/message.h"

namespace cairn::wire {

/// Appends the request as one message; update payload is copied from the iods' buffers.
/// @param apart  if given, a large payload goes there instead; it belongs behind `out`
/// @error record_too_big  over the limits of limits.h; nothing was appended
Result<void> encode_request(const Request& request, Bytes& out, Buffer* apart = nullptr);

/// A request made from bytes, with what it borrows.
struct DecodedRequest {
  Buffer message;
  std::vector<uint32_t> bulk_crcs;  // of each whole 4 KiB of a large bulk
  Buffer fetch_room;  // of all iods, one behind the other; uninitialised until fetched into
  Opcode opcode = Opcode::control;
  /// Not ok: the header is sound, the rest is not. Answer with it (encode_error), do not serve.
  Error error{Errc::ok, ""};
  Request request;
};
/// @error format_invalid  no message of ours: do not answer
/// @error protocol        a newer format, or flags that this program does not know
/// @error checksum        damaged on the way
Result<std::unique_ptr<DecodedRequest>> decode_request(Buffer message);

/// Appends the reply; fetched pieces are copied from the request's buffers.
/// A reply over the limits becomes one with record_too_big.
/// @param apart  if given, a large payload goes there instead; it belongs behind `out`. It may hold
///               the room that was fetched into, which is kept as it is where that is the payload
void encode_reply(const Request& request, const Reply& reply, Bytes& out, Buffer* apart = nullptr);
/// Appends a reply without a body.
void encode_error(const Header& header, Opcode opcode, Errc code, Bytes& out);

/// Parses the answer to `request`; fetched pieces go to the request's buffers, and nowhere else.
/// @error format_invalid, protocol, checksum  `reply` and the buffers may be partly changed
Result<void> decode_reply(ByteView message, const Request& request, Reply& reply);

}  // namespace cairn::wire
