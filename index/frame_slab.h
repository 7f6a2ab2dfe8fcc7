// FrameSlab: memory of many frames, asked from the kernel in one piece. Large slabs ask for huge
// pages, where the machine has them to give: a look-up in a large tree meets a new page at each
// level, and the way to its address then costs no memory access of its own. Never needed, never
// waited for.
#pragma once

#include <cstddef>

namespace cairn::index {

inline constexpr size_t kHugeBytes = 2u << 20;

class FrameSlab {
 public:
  /// Not zeroed; aligned to 4 KiB, or to kHugeBytes if it is a multiple of it.
  explicit FrameSlab(size_t bytes);
  FrameSlab(FrameSlab&& other) noexcept;
  FrameSlab& operator=(FrameSlab&&) = delete;
  ~FrameSlab();
  std::byte* data() { return data_; }

 private:
  std::byte* data_;
};

}  // namespace cairn::index
