#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "media/device.h"
#include "runtime/frame_pool.h"

namespace cairn::media {
namespace {

// Large buffers come and go with I/O. In the heap they would leave holes between what stays, which
// the process keeps; as mappings of their own they go back whole. A few wait for the next of their
// size, because new memory costs a page fault for each 4 KiB.
constexpr size_t kMappedBytes = 128u << 10;
constexpr size_t kSpareBytesMax = 1u << 20;  // of one

static_assert(kPooledBlockBytes % kBlockBytes == 0);

struct Mapping {
  std::byte* data = nullptr;
  size_t bytes = 0;
};

/// This thread's spares are gone: buffers that outlive them go straight back.
thread_local bool spares_ended = false;

class Spares {
 public:
  ~Spares() {
    spares_ended = true;
    for (Mapping& spare : spares_) drop(spare);
  }
  /// One of exactly that size, or nothing.
  std::byte* take(size_t bytes) {
    for (Mapping& spare : spares_) {
      if (spare.bytes == bytes) return std::exchange(spare, Mapping{}).data;
    }
    return nullptr;
  }
  void give(Mapping mapping) {
    if (mapping.bytes > kSpareBytesMax) return drop(mapping);
    // In turn: the one that waited longest goes.
    Mapping& place = spares_[next_++ % spares_.size()];
    std::swap(place, mapping);
    drop(mapping);
  }

 private:
  static void drop(Mapping mapping) {
    if (mapping.data != nullptr) ::munmap(mapping.data, mapping.bytes);
  }
  std::array<Mapping, 3> spares_;
  size_t next_ = 0;
};

// A buffer may be given back on another thread than it was taken on, also while a thread ends.
thread_local Spares spares;

std::byte* map(size_t bytes) {
  std::byte* const spare = spares_ended ? nullptr : spares.take(bytes);
  if (spare != nullptr) {
    std::memset(spare, 0, bytes);
    return spare;
  }
  void* const at =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED);
  return static_cast<std::byte*>(at);
}

std::byte* allocate(size_t bytes) {
  const size_t whole = round_up(bytes, kBlockBytes);
  if (whole >= kMappedBytes) return map(whole);
  auto* const data = static_cast<std::byte*>(
      whole == kPooledBlockBytes ? block_new() : std::aligned_alloc(kBlockBytes, whole));
  CHECK(data != nullptr);
  std::memset(data, 0, bytes);
  return data;
}

void release(std::byte* data, size_t bytes) {
  const size_t whole = round_up(bytes, kBlockBytes);
  if (whole == kPooledBlockBytes) {
    block_delete(data);
  } else if (whole < kMappedBytes) {
    std::free(data);
  } else if (spares_ended) {
    ::munmap(data, whole);
  } else {
    spares.give({data, whole});
  }
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : bytes_(bytes) {
  if (bytes != 0) data_ = allocate(bytes);
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) release(data_, bytes_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) release(data_, bytes_);
}

}  // namespace cairn::media
