// How many bytes were looked at by checksums: for benchmarks and tests that count what a payload
// goes through, and ask for it. Short runs (heads, records of a log) are left out. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn {

/// Runs of bytes from here on count.
inline constexpr size_t kCountedBytesMin = 4096;

namespace detail {
void add_summed(size_t bytes) noexcept;
}  // namespace detail

inline void count_summed(size_t bytes) noexcept {
  if (bytes >= kCountedBytesMin) detail::add_summed(bytes);
}
/// From now on; before, nothing is counted, and processors share no line that is written.
void begin_byte_counts() noexcept;
/// Of this process since then.
uint64_t summed_bytes() noexcept;

}  // namespace cairn
