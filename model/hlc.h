// The hybrid logical clock in the published DAOS shape.
#pragma once

#include <algorithm>

#include "model/ids.h"

namespace cairn::model {

inline constexpr uint64_t kHlcStartUnixSeconds = 1'609'459'200;  // 2021-01-01T00:00:00Z
inline constexpr unsigned kHlcLogicalBits = 18;
inline constexpr uint64_t kHlcLogicalMask = (uint64_t{1} << kHlcLogicalBits) - 1;

/// Wall time (ns since 1970) as an epoch with logical part 0; times before 2021 give 0.
constexpr Epoch epoch_of_wall_ns(uint64_t wall_ns) {
  const uint64_t start = kHlcStartUnixSeconds * 1'000'000'000;
  return wall_ns <= start ? 0 : ((wall_ns - start) << 4) & ~kHlcLogicalMask;
}
/// ns since 1970 of an epoch's physical and logical part together.
constexpr uint64_t wall_ns_of_epoch(Epoch epoch) {
  return (epoch >> 4) + kHlcStartUnixSeconds * 1'000'000'000;
}

/// Issues strictly ascending epochs that follow the wall clock.
class Hlc {
 public:
  /// Nothing at or below `epoch` will be issued any more.
  void advance(Epoch epoch) { last_ = std::max(last_, epoch); }
  Epoch next(uint64_t wall_ns) {
    last_ = std::max(last_ + 1, epoch_of_wall_ns(wall_ns));
    return last_;
  }
  Epoch last() const { return last_; }

 private:
  Epoch last_ = 0;
};

}  // namespace cairn::model
