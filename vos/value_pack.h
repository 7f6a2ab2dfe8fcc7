// Values of a large key-value object that stays hierarchical, moved out of the pages of the index
// into extents that many of them share: the keys stay where they are, and a look-up costs one read
// beside missing pages (docs/decisions/0020-packed-values.md). Internal to vos/. Home: the shard's
// reactor.
#pragma once

#include "vos/shard_state.h"

namespace cairn::vos {

/// Moves single values of kPackedValueMin to kPackedValueMax bytes that stand in pages. Nothing
/// that anybody reads changes by it, at any epoch. What does not fill blocks well stays where it
/// is, and all of it while a transaction or a punch of the object is not over. Durable when the
/// next settle() is.
/// @error io, checksum; no_space, no_memory: what is left stays as it is
Task<Result<void>> pack_values(Shard::State& state, const ObjectPath& object);

}  // namespace cairn::vos
