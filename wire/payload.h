// The bytes that an iod's scattered buffer holds, in the terms of messages. Internal to wire/.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "model/io.h"

namespace cairn::wire {

using Pieces = model::FetchedIod::Pieces;

/// Room of the whole buffer; saturates.
uint64_t buffer_bytes(const model::Iod& iod);
/// What an update's iod needs of its buffer, and not more than that has.
uint64_t payload_bytes(const model::Iod& iod);
/// Where the payload of a message goes: to the end of `out`, or into `apart`, if there is one and
/// the payload is large.
class PayloadOut {
 public:
  /// @param bytes  of all that will be put
  PayloadOut(Bytes& out, Buffer* apart, uint64_t bytes);
  void put(ByteView bytes);
  /// What is apart: all that was put, or nothing.
  ByteView apart() const { return apart_ == nullptr ? ByteView{} : ByteView(*apart_); }
  /// Of what is apart.
  uint32_t checksum() const { return checksum_; }

 private:
  Bytes& out_;
  Buffer* apart_;
  size_t put_ = 0;
  uint32_t checksum_ = 0;
};
/// Puts `pieces` of the buffer, which lie inside it.
void put_payload(PayloadOut& out, const model::Iod& iod, const Pieces& pieces);
/// Copies `bytes` to `pieces` of the buffer. Pieces lie inside it and sum to bytes.size().
/// @returns the CRC32C of what was copied, behind that of `seed`: so it is looked at only once
uint32_t spread_payload(ByteView bytes, const model::Iod& iod, const Pieces& pieces, uint32_t seed);

}  // namespace cairn::wire
