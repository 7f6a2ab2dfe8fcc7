// Single values at the vos interface, as the store.* cases write and read them.
#pragma once

#include "bench/shard_side.h"

namespace cairn::bench {

/// Single value `number` of object 1.
Task<Result<void>> put_value(vos::Shard& shard, uint64_t number, Bytes& value);
/// Puts numbers [0, keys).
void fill_values(ShardSide& side, uint64_t keys, Bytes& value);

/// Keys of a smoke run.
inline constexpr uint64_t kSmokeKeys = 2'000;

}  // namespace cairn::bench
