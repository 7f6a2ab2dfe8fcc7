// Flattening: what a shard is asked to do for objects that are written once and read many times
// (design.md section 5, docs/formats/flat.md), and what it answers. A flattened object is one
// canonical buffer, packed with others into one extent; reads, listings and queries answer from it
// as before, at every epoch at or above that of its newest change, and a change below object level
// takes what it needs out of the buffer again. Values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/errc.h"
#include "vos/operation.h"

namespace cairn::vos {

/// Limits of one call to Shard::flatten(), as the container's properties say.
struct FlattenOptions {
  /// `worm_inline_max`: array data of an object up to this size travels in its buffer; of a larger
  /// one only what is small, the rest stays in its extents. At most kFlatInlineBytesMax.
  uint64_t inline_bytes_max = 64u << 10;
  /// `worm_object_max`: objects whose buffer would be larger stay as they are. At most
  /// kFlatObjectBytesMax.
  uint64_t object_bytes_max = 1u << 20;
  /// ... and objects with more dkeys, akeys of one dkey, or extents of one akey. At most
  /// kFlatKeysMax.
  uint32_t keys_max = 1024;
  /// Objects that changed after this epoch stay as they are: for a pass over what is cold.
  model::Epoch unchanged_since = model::kEpochMax;
};

inline constexpr uint64_t kFlatInlineBytesMax = 256u << 10;
inline constexpr uint64_t kFlatObjectBytesMax = 1u << 20;
inline constexpr uint32_t kFlatKeysMax = 1024;
/// Objects of one call.
inline constexpr size_t kFlattenObjectsMax = 4096;

/// What became of one object. Only `flattened` and `already` mean that it is flat now.
enum class FlattenOutcome : uint8_t {
  flattened = 0,
  already = 1,
  absent = 2,       // nothing of it is visible
  too_large = 3,    // its buffer, or its changes to the index, would be: see FlattenOptions
  too_many = 4,     // keys at a level, or extents of an akey
  long_key = 5,     // a key of 4 KiB or more
  snapshot = 6,     // a snapshot lies between its changes: remove it, or leave the object as it is
  pending = 7,      // a transaction that changes it waits for its outcome: again when it is over
  reclaiming = 8,   // what a punch left is still being removed: again later
  changed = 9,      // it was written meanwhile, or after `unchanged_since`
  fragmented = 10,  // its data stands in too many pieces: aggregate the container first
};
/// For reports: "flattened", "its buffer would be too large", ...
const char* flatten_outcome_text(FlattenOutcome outcome);

struct Flattened {
  FlattenOutcome outcome = FlattenOutcome::absent;
  model::Epoch epoch = 0;     // of its newest change, if it is flat: reads at or above it answer
  uint64_t buffer_bytes = 0;  // if it is flat
};

/// What flattened objects of a container take. `extent_bytes` counts whole blocks, dead buffers
/// among them; live ones are `buffer_bytes`. Objects that only snapshots show count, too.
struct FlatUsage {
  uint64_t objects = 0;
  uint64_t buffer_bytes = 0;
  uint64_t extents = 0;
  uint64_t extent_bytes = 0;
};

}  // namespace cairn::vos
