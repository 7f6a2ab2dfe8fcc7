#include "base/large_blocks.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <bit>

#include "base/bytes.h"
#include "base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <cstdlib>
#define CAIRN_LARGE_BLOCKS_IN_HEAP 1  // where each end is watched
#endif
#endif

namespace cairn {
namespace {

constexpr size_t kKeptBytesMax = 8u << 20;  // of one
constexpr size_t kClasses =
    static_cast<size_t>(std::countr_zero(kKeptBytesMax / kLargeBlockMin)) + 1;
constexpr size_t kKeptMax = 16;  // of a class

struct Class {
  std::array<std::atomic<std::byte*>, kKeptMax> kept{};
};
// Trivially destroyed: blocks may be given back while the process ends.
constinit std::array<Class, kClasses> classes{};
constinit std::atomic<size_t> idle_bytes{0};

/// What is mapped for `bytes`: a power of two where blocks are kept.
size_t mapped_bytes(size_t bytes) {
  return bytes > kKeptBytesMax ? round_up(bytes, kIoAlignment) : std::bit_ceil(bytes);
}

Class* class_of(size_t mapped) {
  if (mapped > kKeptBytesMax) return nullptr;
  return &classes[static_cast<size_t>(std::countr_zero(mapped / kLargeBlockMin))];
}

std::byte* take_kept(Class& from, size_t mapped) {
  for (auto& place : from.kept) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    std::byte* const block = place.exchange(nullptr, std::memory_order_acquire);
    if (block == nullptr) continue;
    idle_bytes.fetch_sub(mapped, std::memory_order_relaxed);
    return block;
  }
  return nullptr;
}

bool keep(Class& in, std::byte* block, size_t mapped) {
  if (idle_bytes.fetch_add(mapped, std::memory_order_relaxed) + mapped <= kLargeBlocksIdleMax) {
    for (auto& place : in.kept) {
      std::byte* expected = nullptr;
      if (place.load(std::memory_order_relaxed) == nullptr &&
          place.compare_exchange_strong(expected, block, std::memory_order_release)) {
        return true;
      }
    }
  }
  idle_bytes.fetch_sub(mapped, std::memory_order_relaxed);
  return false;
}

}  // namespace

std::byte* large_block_new(size_t bytes) {
  CHECK(bytes >= kLargeBlockMin);
#if defined(CAIRN_LARGE_BLOCKS_IN_HEAP)
  return static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, round_up(bytes, kIoAlignment)));
#endif
  const size_t mapped = mapped_bytes(bytes);
  if (Class* const from = class_of(mapped)) {
    if (std::byte* const kept = take_kept(*from, mapped)) return kept;
  }
  void* const at =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

void large_block_delete(std::byte* block, size_t bytes) {
#if defined(CAIRN_LARGE_BLOCKS_IN_HEAP)
  return std::free(block);
#endif
  const size_t mapped = mapped_bytes(bytes);
  Class* const in = class_of(mapped);
  if (in != nullptr && keep(*in, block, mapped)) return;
  ::munmap(block, mapped);
}

}  // namespace cairn
