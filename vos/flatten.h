// Flattening: what a shard is asked to do for objects that are written once and read many times
// (design.md section 5, docs/formats/flat.md), and what it answers. A flattened object is one
// canonical buffer, packed with others into one extent; reads, listings and queries answer from it
// as before, at every epoch at or above that of its newest change, and a change below object level
// takes what it needs out of the buffer again. Values.
#pragma once

#include <cstdint>
#include <vector>

#include "model/flatten.h"
#include "vos/operation.h"

namespace cairn::vos {

/// Limits of one call to Shard::flatten(), as the container's properties say.
struct FlattenOptions {
  /// `worm_inline_max`: array data, and single values above 4,095 bytes, of an object travel in its
  /// buffer if they are together at most this; of a larger object only what is small, the rest
  /// stays in its extents. At most kFlatInlineBytesMax.
  uint64_t inline_bytes_max = 64u << 10;
  /// `worm_object_max`: objects whose buffer would be larger stay hierarchical; only values of 256
  /// to 4,095 bytes move to shared extents (vos/value_pack.h). At most kFlatObjectBytesMax.
  uint64_t object_bytes_max = 1u << 20;
  /// ... and objects with more dkeys, akeys of one dkey, or extents of one akey. At most
  /// kFlatKeysMax.
  uint32_t keys_max = 1024;
  /// `worm_compress`: buffers that share an extent are compressed where that saves an eighth of it.
  bool compress = false;
  /// Objects that changed after this epoch stay as they are: for a pass over what is cold.
  model::Epoch unchanged_since = model::kEpochMax;
  /// False: where the container waits for a rollback, its objects are `pending`; for callers that
  /// others wait for. A freeze, which is short, is waited for all the same.
  bool waits = true;
};

inline constexpr uint64_t kFlatInlineBytesMax = 256u << 10;
inline constexpr uint64_t kFlatObjectBytesMax = 1u << 20;
inline constexpr uint32_t kFlatKeysMax = 1024;
/// Objects of one call.
inline constexpr size_t kFlattenObjectsMax = 4096;

using model::Flattened;
using model::FlattenOutcome;
/// For reports: "flattened", "its buffer would be too large", ...
const char* flatten_outcome_text(FlattenOutcome outcome);

/// What flattened objects of a container take, and packed values of those that are too large.
/// `extent_bytes` counts whole blocks, dead buffers and values among them; live ones are
/// `buffer_bytes`. What only snapshots show counts, too. A packed value counts as an object.
struct FlatUsage {
  uint64_t objects = 0;
  uint64_t buffer_bytes = 0;
  uint64_t extents = 0;
  uint64_t extent_bytes = 0;
};

}  // namespace cairn::vos
