// Cleaning: what lives in extents of buffers that are mostly dead, or were never filled, is copied
// into one extent, and they go. Who lives in an extent follows from its buffers, which say whose
// they are, and from the index, which says if they count. Internal to vos/. Home: the shard's
// reactor.
#pragma once

#include <vector>

#include "vos/shard_state.h"

namespace cairn::vos {

/// Buffers of one extent; an object's own may reach beyond it.
inline constexpr uint64_t kPackBytesMax = 1u << 20;

/// Cleans some of `packs`, of one container, from the front, and takes those away that it has
/// looked at. What is not worth it stays. Durable on return.
/// @returns is there less than before?
/// @error io, no_space, no_memory: nothing has changed. Extents that cannot be looked at are
/// reported once and left alone
Task<Result<bool>> clean_some(Shard::State& state, ContNumber container,
                              std::vector<uint64_t>& packs);

/// What `state.flats` names. For the shard's own work, while it is at rest.
Task<Result<void>> clean_dirty(Shard::State& state);

}  // namespace cairn::vos
