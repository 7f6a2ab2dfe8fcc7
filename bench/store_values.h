// Single values at the vos interface, as the store.* cases write and read them.
#pragma once

#include "bench/shard_side.h"
#include "runtime/random.h"

namespace cairn::bench {

/// Single value `number` of object 1.
Task<Result<void>> put_value(vos::Shard& shard, uint64_t number, Bytes& value);
/// A single value of akey "a", all of `value`, which is borrowed.
model::Iod value_iod(ByteSpan value);
/// Puts numbers [0, keys).
void fill_values(ShardSide& side, uint64_t keys, Bytes& value);

/// Fetches `count` random ones of them.
Task<Result<void>> get_values(vos::Shard& shard, SeededRandom& random, uint64_t keys, Bytes& value,
                              uint64_t count);

/// Keys of a smoke run.
inline constexpr uint64_t kSmokeKeys = 2'000;

}  // namespace cairn::bench
