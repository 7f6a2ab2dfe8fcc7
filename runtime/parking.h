// ParkingSpot: one thread sleeps, another one wakes exactly it, with a word of why. Internal to
// runtime/.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "runtime/clock.h"

namespace cairn {

class ParkingSpot {
 public:
  /// Sleeps until unpark() or for `max` (kNever: no limit). Returns the signal, 0 after the
  /// time-out.
  uint32_t park(Duration max) {
    const Instant begin = max == kNever ? 0 : system_clock().now();
    for (;;) {
      uint32_t seen = word_.load(std::memory_order_acquire);
      if (seen != kEmpty && seen != kParked) return seen;
      if (seen == kEmpty && !word_.compare_exchange_strong(seen, kParked)) continue;
      timespec limit;
      const timespec* until = nullptr;
      if (max != kNever) {
        const Duration gone = system_clock().now() - begin;
        if (gone >= max) return leave();
        limit = {static_cast<time_t>((max - gone) / kSecond),
                 static_cast<long>((max - gone) % kSecond)};
        until = &limit;
      }
      syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, kParked, until, nullptr, 0);
    }
  }

  /// `signal` is neither 0 nor kParked. The spot may be gone when this returns: the wake-up below
  /// is then one that a futex user must expect anyhow.
  void unpark(uint32_t signal) {
    auto* const word = &word_;
    if (word->exchange(signal, std::memory_order_acq_rel) == kParked) {
      syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

  /// Forgets a signal. By the thread that parks.
  void clear() { word_.store(kEmpty, std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kEmpty = 0;
  static constexpr uint32_t kParked = ~0u;

  uint32_t leave() {
    uint32_t seen = kParked;
    return word_.compare_exchange_strong(seen, kEmpty) ? 0 : seen;
  }

  std::atomic<uint32_t> word_{kEmpty};
};

}  // namespace cairn
