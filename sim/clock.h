// SimClock: time that stands still until the world moves it.
#pragma once

#include "base/check.h"
#include "runtime/clock.h"

namespace cairn::sim {

class SimClock final : public Clock {
 public:
  Instant now() override { return now_; }
  uint64_t wall_ns() override { return wall_start_ns_ + now_; }
  void advance_to(Instant at) {
    CHECK(at >= now_);
    now_ = at;
  }
  /// Moves the wall clock against the monotonic one, as an administrator or NTP may.
  void set_wall_start_ns(uint64_t ns) { wall_start_ns_ = ns; }

 private:
  Instant now_ = kSecond;
  uint64_t wall_start_ns_ = 1'800'000'000 * kSecond;  // 2027
};

}  // namespace cairn::sim
