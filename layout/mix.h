// Hashing of numbers for placement. Part of the format of pools: never to be changed.
#pragma once

#include <cstdint>

namespace cairn::layout {

/// Finalizer of MurmurHash3: every bit of the input moves every bit of the output.
constexpr uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccd;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53;
  return x ^ x >> 33;
}
/// The part of mix(seed, value) that does not depend on the seed, for values that many seeds meet.
constexpr uint64_t premix(uint64_t value) { return mix(value + 0x9e3779b97f4a7c15); }
constexpr uint64_t mix_premixed(uint64_t seed, uint64_t premixed) { return mix(seed ^ premixed); }
constexpr uint64_t mix(uint64_t seed, uint64_t value) { return mix_premixed(seed, premix(value)); }

}  // namespace cairn::layout
