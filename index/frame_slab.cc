#include "index/frame_slab.h"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "media/device.h"

namespace cairn::index {

FrameSlab::FrameSlab(size_t bytes) {
  const bool huge = bytes % kHugeBytes == 0;
  const size_t alignment = huge ? kHugeBytes : media::kBlockBytes;
  data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, round_up(bytes, alignment)));
  CHECK(data_ != nullptr);
  if (huge) ::madvise(data_, bytes, MADV_HUGEPAGE);  // a hint
}

FrameSlab::FrameSlab(FrameSlab&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}

FrameSlab::~FrameSlab() { std::free(data_); }

}  // namespace cairn::index
