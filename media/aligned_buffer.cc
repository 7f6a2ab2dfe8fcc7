#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/large_blocks.h"
#include "media/device.h"
#include "runtime/frame_pool.h"

namespace cairn::media {
namespace {

static_assert(kPooledBlockBytes % kBlockBytes == 0);

std::byte* allocate(size_t bytes) {
  const size_t whole = round_up(bytes, kBlockBytes);
  void* const data = whole >= kLargeBlockMin        ? large_block_new(whole)
                     : whole == kPooledBlockBytes ? block_new()
                                                  : std::aligned_alloc(kBlockBytes, whole);
  CHECK(data != nullptr);
  return static_cast<std::byte*>(data);
}

void release(std::byte* data, size_t bytes) {
  const size_t whole = round_up(bytes, kBlockBytes);
  if (whole == kPooledBlockBytes) {
    block_delete(data);
  } else if (whole < kLargeBlockMin) {
    std::free(data);
  } else {
    large_block_delete(data, whole);
  }
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = allocate(bytes);
  std::memset(data_, 0, bytes);
}

AlignedBuffer AlignedBuffer::uninitialised(size_t bytes) {
  AlignedBuffer out;
  if (bytes != 0) out.data_ = allocate(bytes);
  out.bytes_ = bytes;
  return out;
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
