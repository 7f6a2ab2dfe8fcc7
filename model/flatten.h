// What became of an object that was to be flattened (docs/formats/flat.md), and the limits that are
// asked for. Values; the numbers are part of messages and of the C interface (cairn_worm.h).
#pragma once

#include <cstdint>

#include "model/ids.h"

namespace cairn::model {

/// Only `flattened` and `already` mean that it is flat now.
enum class FlattenOutcome : uint8_t {
  flattened = 0,
  already = 1,
  absent = 2,       // nothing of it is visible
  too_large = 3,    // its buffer, or its changes to the index, would be: see vos/flatten.h
  too_many = 4,     // keys at a level, or extents of an akey
  long_key = 5,     // a key of 4 KiB or more
  snapshot = 6,     // a snapshot lies between its changes: remove it, or leave the object as it is
  pending = 7,      // a transaction that changes it waits for its outcome: again when it is over
  reclaiming = 8,   // what a punch left is still being removed: again later
  changed = 9,      // it was written meanwhile, or later than was asked for
  fragmented = 10,  // its data stands in too many pieces: aggregate the container first
};
inline constexpr uint8_t kFlattenOutcomes = 11;

/// Of an object on one shard, or of all of it.
struct Flattened {
  FlattenOutcome outcome = FlattenOutcome::absent;
  Epoch epoch = 0;            // of its newest change, if it is flat: reads at or above it answer
  uint64_t buffer_bytes = 0;  // if it is flat: of all its buffers
};

/// 0: as the store has it by default.
struct FlattenLimits {
  uint64_t inline_bytes_max = 0;  // array data of an object that travels in its buffer
  uint64_t object_bytes_max = 0;  // of a buffer
  uint32_t keys_max = 0;          // at a level
};

}  // namespace cairn::model
