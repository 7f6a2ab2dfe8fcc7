// Memory of coroutine frames, pooled: the I/O path makes and destroys a handful of frames per
// operation, often one thread makes what another one destroys (whoever holds the baton), and a heap
// pays for that with locks and atomics. Each thread keeps a few frames of each size; magazines of
// them move between threads through a depot. Home: any thread. Fork: a child may go on; if another
// thread of its parent was inside the depot just then, the child uses the heap instead.
#pragma once

#include <cstddef>

namespace cairn {

/// Larger frames come from the heap.
inline constexpr size_t kFrameBytesPooledMax = 4096;

/// Memory for `bytes`, aligned as operator new does it. Aborts without memory.
void* frame_new(size_t bytes);
/// `bytes` as given to frame_new(). Any thread.
void frame_delete(void* frame, size_t bytes) noexcept;

/// Base of promise types whose frames are pooled. Under a sanitizer they come from the heap, so
/// that it sees what happens to each.
struct PooledFrame {
#if defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
  static void* operator new(size_t bytes) { return frame_new(bytes); }
  static void operator delete(void* frame, size_t bytes) noexcept { frame_delete(frame, bytes); }
#endif
#endif
};

}  // namespace cairn
