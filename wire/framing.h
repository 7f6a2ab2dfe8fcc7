// The header of a message: writing it last, checking it first. Internal to wire/.
#pragma once

#include <vector>

#include "wire/header_format.h"
#include "wire/limits.h"
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
  /// What follows in `out` is the bulk. `aligned`: at a multiple of kBulkAlignment from the begin.
  void begin_bulk(bool aligned = false) {
    const size_t bytes = out_.size() - begin_;
    padding_ = aligned ? round_up(bytes, kBulkAlignment) - bytes : 0;
    out_.resize(out_.size() + padding_);
    bulk_ = out_.size();
  }
  /// The bulk is this, and not in `out`; empty: it is in `out`. Borrowed until finish().
  void set_apart(ByteView bulk, uint32_t checksum) {
    apart_ = bulk;
    apart_checksum_ = checksum;
  }
  bool has_apart() const { return !apart_.empty(); }
  size_t body_bytes() const { return out_.size() - begin_ - sizeof(HeaderFormat); }
  /// Takes back everything appended.
  void abandon() { out_.resize(begin_); }
  /// @error record_too_big  over a limit; nothing remains appended
  Result<void> finish(MessageKind kind, Opcode opcode, const Header& header, Errc status);

 private:
  Bytes& out_;
  size_t begin_;
  size_t bulk_ = 0;
  size_t padding_ = 0;
  ByteView apart_;
  uint32_t apart_checksum_ = 0;
};

/// A checked message.
struct Frame {
  Header header;
  uint16_t opcode = 0;
  uint32_t status = 0;
  ByteView body;
  ByteView bulk;
  uint32_t bulk_checksum = 0;  // what it has to be
};
/// Checks all but the bulk, which whoever takes it compares with `bulk_checksum`.
/// @error format_invalid, protocol, checksum
Result<Frame> open_head(ByteView message, MessageKind kind);
/// Compares the bulk. @error checksum
/// @param crc  of the whole bulk, by whoever has summed it
Result<void> check_bulk(const Frame& frame, uint32_t crc);
/// open_head(), and the bulk.
/// @param block_crcs  if given: gets the CRC32C of each whole block of kBulkAlignment of a large
///                    aligned bulk; so it is looked at only once
/// @error format_invalid, protocol, checksum
Result<Frame> open_frame(ByteView message, MessageKind kind,
                         std::vector<uint32_t>* block_crcs = nullptr);

}  // namespace cairn::wire
