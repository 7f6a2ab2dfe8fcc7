// Seat: one core's part of an engine whose targets are dealt over several (cores.h). Values only.
#pragma once

#include <cstdint>

namespace cairn::engine {

/// How targets are dealt: each core has some in a row, so that the order of cores is theirs.
struct CoreMap {
  uint32_t targets = 1;
  uint32_t cores = 1;  // 1..targets

  /// 0 for a target that there is not.
  uint32_t core_of(uint32_t target) const {
    return target < targets ? static_cast<uint32_t>(uint64_t{target} * cores / targets) : 0;
  }
};

struct Seat {
  uint32_t rank = 0;  // of the engine
  uint32_t core = 0;
  CoreMap map;

  /// The core of a target of this engine; 0 for another engine's, which has its own.
  uint32_t core_of(uint32_t of_rank, uint32_t target) const {
    return of_rank == rank ? map.core_of(target) : 0;
  }
  bool has(uint32_t of_rank, uint32_t target) const {
    return of_rank == rank && map.core_of(target) == core;
  }
};

}  // namespace cairn::engine
