// The device seam: a blob of bytes on an SSD, addressed in blocks of kBlockBytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/task.h"

namespace cairn::media {

inline constexpr uint32_t kBlockBytes = 4096;

/// Home: one reactor. Offsets and lengths are multiples of kBlockBytes; buffers are aligned to
/// kBlockBytes (see AlignedBuffer) or the device bounces them. Requests may complete in any order.
class Device {
 public:
  virtual ~Device() = default;
  virtual uint64_t size_bytes() const = 0;
  /// Fills all of `into`. Borrowed until completion.
  /// @error io  the medium failed or the blob is shorter than asked
  virtual Task<Result<void>> read(uint64_t offset, ByteSpan into) = 0;
  /// Writes all of `from`. Not durable before a later flush() succeeded.
  /// @error io        part of the range may have changed; @error no_space  the file system is full
  virtual Task<Result<void>> write(uint64_t offset, ByteView from) = 0;
  /// As write(), and durable when it completes (O_DSYNC or FUA); covers this write only.
  virtual Task<Result<void>> write_durable(uint64_t offset, ByteView from) = 0;
  /// Everything completed before this call is durable when it succeeds. After a failure nothing may
  /// be assumed and a retry proves nothing: the shard must stop.
  virtual Task<Result<void>> flush() = 0;
  /// Devices with the same number, 0 apart, lie behind one volatile cache: a flush() of any of them
  /// is one of all, for writes where flush_covers() holds. A device whose durable writes need no
  /// flush of the whole cache (FUA, or no cache) says 0: sharing flushes would gain nothing.
  virtual uint64_t flush_domain() const { return 0; }
  /// A plain write of this range changes nothing but its bytes on the medium, so that a flush() of
  /// any device of the domain makes it durable. Stays true once it is. Plain call.
  virtual bool flush_covers(uint64_t offset, uint64_t bytes) {
    (void)offset, (void)bytes;
    return false;
  }
  /// A hint that the range holds nothing of use: what is read from it until it is written again may
  /// be anything. Never fails.
  virtual Task<void> discard(uint64_t offset, uint64_t bytes) = 0;
  /// It has use for discard() of parts of a blob that stays. A file has not: it would lose the
  /// space that was reserved for it. Plain call.
  virtual bool wants_discard() const { return false; }
};

/// kBlockBytes-aligned memory. Movable.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// Zeroed.
  explicit AlignedBuffer(size_t bytes);
  /// With any content, for who overwrites it all.
  static AlignedBuffer uninitialised(size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer();
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }
  ByteSpan span() { return {data_, bytes_}; }
  ByteView view() const { return {data_, bytes_}; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace cairn::media
