// The clock seam: the only source of time above it. Production reads the kernel, simulation is
// told.
#pragma once

#include <cstdint>

namespace cairn {

/// Monotonic nanoseconds since an arbitrary start; only differences mean something.
using Instant = uint64_t;
/// Nanoseconds.
using Duration = uint64_t;
inline constexpr Duration kMicrosecond = 1'000;
inline constexpr Duration kMillisecond = 1'000'000;
inline constexpr Duration kSecond = 1'000'000'000;
inline constexpr Instant kNever = ~uint64_t{0};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() = 0;
  /// Nanoseconds since 1970-01-01 UTC; may jump.
  virtual uint64_t wall_ns() = 0;
};

/// The kernel's clocks. Any thread.
Clock& system_clock();

}  // namespace cairn
