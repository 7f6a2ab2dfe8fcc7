// A run of bytes that is filled by I/O: unlike Bytes it is not zeroed first, does not grow, and
// large ones (large_blocks.h) are aligned to 4 KiB, so that devices can read and write them.
#pragma once

#include <cstdlib>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/large_blocks.h"

namespace cairn {

class Buffer {
 public:
  Buffer() = default;
  /// Takes over what `bytes` holds, without a copy.
  Buffer(Bytes bytes) : bytes_(std::move(bytes)) {  // a message is one or the other
    data_ = bytes_.data();
    size_ = bytes_.size();
  }
  Buffer(Buffer&& other) noexcept
      : bytes_(std::move(other.bytes_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        room_(std::exchange(other.room_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    free();
    bytes_ = std::move(other.bytes_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    room_ = std::exchange(other.room_, 0);
    return *this;
  }
  ~Buffer() { free(); }

  /// With any content. Empty, for bytes > 0: no memory.
  static Buffer uninitialised(size_t bytes) {
    Buffer out;
    if (bytes == 0) return out;
    out.data_ = bytes >= kLargeBlockMin ? large_block_new(bytes)
                : bytes >= kIoAlignment ? static_cast<std::byte*>(std::aligned_alloc(
                                              kIoAlignment, round_up(bytes, kIoAlignment)))
                                        : static_cast<std::byte*>(std::malloc(bytes));
    if (out.data_ != nullptr) out.size_ = out.room_ = bytes;
    return out;
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  ByteSpan span() { return {data_, size_}; }
  /// A copy, unless it was made of Bytes.
  Bytes take_bytes() && { return room_ == 0 ? std::move(bytes_) : Bytes(data_, data_ + size_); }
  /// Forgets what stands behind the first `bytes`.
  void truncate(size_t bytes) {
    CHECK(bytes <= size_);
    size_ = bytes;
  }
  operator ByteView() const { return {data_, size_}; }

 private:
  void free() {
    if (room_ >= kLargeBlockMin) {
      large_block_delete(data_, room_);
    } else if (room_ != 0) {
      std::free(data_);
    }
  }
  Bytes bytes_;  // holds the bytes iff room_ == 0
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t room_ = 0;
};

}  // namespace cairn
