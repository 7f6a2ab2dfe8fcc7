// What became of an object that was to be flattened (docs/formats/flat.md), and the limits that are
// asked for. Values; the numbers are part of messages and of the C interface (cairn_worm.h).
#pragma once

#include <cstdint>

#include "model/ids.h"

namespace cairn::model {

/// Only `flattened` and `already` mean that it is flat now. vos/flatten.h says more of each.
enum class FlattenOutcome : uint8_t {
  flattened = 0,
  already = 1,
  absent = 2,
  too_large = 3,
  too_many = 4,
  long_key = 5,
  snapshot = 6,
  pending = 7,
  reclaiming = 8,
  changed = 9,
  fragmented = 10,
};
inline constexpr uint8_t kFlattenOutcomes = 11;

/// Of an object on one shard, or of all of it.
struct Flattened {
  FlattenOutcome outcome = FlattenOutcome::absent;
  Epoch epoch = 0;            // flat: reads at or above it answer from the buffer
  uint64_t buffer_bytes = 0;  // flat: of all its buffers
};

/// 0: as the store has it by default.
struct FlattenLimits {
  uint64_t inline_bytes_max = 0;  // array data of an object that travels in its buffer
  uint64_t object_bytes_max = 0;  // of a buffer
  uint32_t keys_max = 0;          // at a level
};

}  // namespace cairn::model
