// Memory for large buffers that live for one I/O or one message. In the heap they would leave holes
// between what stays; as mappings of their own they go back whole. Some are kept for the next of
// their size, because new memory costs a page fault for each 4 KiB. Any thread, without a lock, so
// that a process may fork at any time.
#pragma once

#include <cstddef>

namespace cairn {

/// What devices want of a buffer.
inline constexpr size_t kIoAlignment = 4096;
/// From here on a buffer is a large block.
inline constexpr size_t kLargeBlockMin = 128u << 10;
/// Kept for later, all sizes and threads together.
inline constexpr size_t kLargeBlocksIdleMax = 16u << 20;

/// At least `bytes` (>= kLargeBlockMin), aligned to kIoAlignment, with any content. nullptr: no
/// memory.
std::byte* large_block_new(size_t bytes);
/// Gives back what large_block_new(bytes) returned.
void large_block_delete(std::byte* block, size_t bytes);

}  // namespace cairn
