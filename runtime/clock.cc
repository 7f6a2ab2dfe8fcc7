#include "runtime/clock.h"

#include <time.h>

namespace cairn {
namespace {

uint64_t read_clock(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  Instant now() override { return read_clock(CLOCK_MONOTONIC); }
  uint64_t wall_ns() override { return read_clock(CLOCK_REALTIME); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace cairn
