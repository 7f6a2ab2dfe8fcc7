// How many bytes checksums look at: for benchmarks and tests that count what a payload goes
// through. Short runs (heads, records of a log) are left out.
#pragma once

#include <cstddef>

namespace cairn {

/// Runs of bytes from here on count.
inline constexpr size_t kCountedBytesMin = 4096;

/// Is told of each of them, on the thread that sums it. Null: nobody counts. To be set while there
/// is one thread.
inline constinit void (*on_summed)(size_t bytes) = nullptr;

inline void count_summed(size_t bytes) noexcept {
  if (bytes >= kCountedBytesMin && on_summed != nullptr) on_summed(bytes);
}

}  // namespace cairn
