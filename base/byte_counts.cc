#include "base/byte_counts.h"

#include <atomic>

namespace cairn {
namespace {

constinit std::atomic<bool> counting{false};
constinit std::atomic<uint64_t> summed{0};

}  // namespace

void detail::add_summed(size_t bytes) noexcept {
  if (counting.load(std::memory_order_relaxed)) {
    summed.fetch_add(bytes, std::memory_order_relaxed);
  }
}

void begin_byte_counts() noexcept { counting = true; }

uint64_t summed_bytes() noexcept { return summed.load(std::memory_order_relaxed); }

}  // namespace cairn
