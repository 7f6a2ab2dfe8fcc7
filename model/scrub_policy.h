// How the shards of a pool prove themselves in the background: the pool's properties scrub,
// scrub_freq and scrub_thresh as values.
#pragma once

#include <cstdint>

namespace cairn::model {

/// Numbers are those of DAOS_SCRUB_MODE_*.
enum class ScrubMode : uint32_t {
  off = 0,
  lazy = 1,  // while nobody asks for anything
  timed = 2  // at a steady pace, whoever asks
};

struct ScrubPolicy {
  ScrubMode mode = ScrubMode::off;
  uint64_t frequency_s = 604'800;  // from the begin of one pass to that of the next
  uint64_t threshold = 0;          // of losses in one pass: from there on it is told; 0: never
  friend bool operator==(const ScrubPolicy&, const ScrubPolicy&) = default;
};

}  // namespace cairn::model
