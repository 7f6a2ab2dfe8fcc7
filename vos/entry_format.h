// vos/entry_format.h - the records that list a transaction whose changes stand aside, format 1.
// Their keys are in vos/key_format.h: chunk 0 is the head, the others list keys of pending records
// in the order of the operations. Little-endian; varints are LEB128. Unit: bytes.
//
//   head   8  epoch    of the transaction; the tree's stamp
//          1  state    1 staging: never promised, to be dropped; 2 prepared: others decide;
//                      3 committed: to be folded
//   keys   8  epoch
//          varint count, then per key: varint shared (bytes that it shares with the key before; 0
//          at first), varint suffix, the suffix
//
// Valid iff every field parses, states are known, keys are 1 to 1,280 bytes, count is above 0, and
// nothing follows the end.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/ids.h"

namespace cairn::vos {

enum class TxState : uint8_t { staging = 1, prepared = 2, committed = 3 };

inline constexpr size_t kEntryHeadBytes = 9;
static_assert(kEntryHeadBytes == sizeof(model::Epoch) + sizeof(TxState));

struct EntryHead {
  model::Epoch epoch = 0;
  TxState state = TxState::staging;
};

void put_entry_head(Bytes& out, const EntryHead& head);
/// @error checksum  malformed
Result<EntryHead> parse_entry_head(ByteView value);

/// Takes as many of `keys` as fit one record. @returns how many; at least one
size_t put_entry_keys(Bytes& out, model::Epoch epoch, std::span<const std::string> keys);
/// @error checksum  malformed
Result<std::vector<std::string>> parse_entry_keys(ByteView value);

}  // namespace cairn::vos
