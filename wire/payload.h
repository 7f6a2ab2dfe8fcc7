// The bytes that an iod's scattered buffer holds, in the terms of messages. Internal to wire/.
#pragma once

#include <vector>

#include "model/io.h"

namespace cairn::wire {

using Pieces = model::FetchedIod::Pieces;

/// Room of the whole buffer; saturates.
uint64_t buffer_bytes(const model::Iod& iod);
/// What an update's iod needs of its buffer, and not more than that has.
uint64_t payload_bytes(const model::Iod& iod);
/// Appends `pieces` of the buffer, which lie inside it.
void put_payload(Bytes& out, const model::Iod& iod, const Pieces& pieces);
/// Copies `bytes` to `pieces` of the buffer. Pieces lie inside it and sum to bytes.size().
void spread_payload(ByteView bytes, const model::Iod& iod, const Pieces& pieces);

}  // namespace cairn::wire
