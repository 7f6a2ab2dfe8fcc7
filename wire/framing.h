// The header of a message: writing it last, checking it first. Internal to wire/.
#pragma once

#include "wire/header_format.h"
#include "wire/message.h"

namespace cairn::wire {

enum class MessageKind { request, reply };

/// A message being appended to `out`: room for the header, then the body, then begin_bulk() and the
/// payload, then finish().
class Framer {
 public:
  explicit Framer(Bytes& out) : out_(out), begin_(out.size()) {
    out_.resize(begin_ + sizeof(HeaderFormat));
  }
  void begin_bulk() { bulk_ = out_.size(); }
  size_t body_bytes() const { return out_.size() - begin_ - sizeof(HeaderFormat); }
  /// Takes back everything appended.
  void abandon() { out_.resize(begin_); }
  /// @error record_too_big  over a limit; nothing remains appended
  Result<void> finish(MessageKind kind, Opcode opcode, const Header& header, Errc status);

 private:
  Bytes& out_;
  size_t begin_;
  size_t bulk_ = 0;
};

/// A checked message.
struct Frame {
  Header header;
  uint16_t opcode = 0;
  uint32_t status = 0;
  ByteView body;
  ByteView bulk;
};
/// @error format_invalid, protocol, checksum
Result<Frame> open_frame(ByteView message, MessageKind kind);

}  // namespace cairn::wire
