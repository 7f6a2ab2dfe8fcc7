// Memory of coroutine frames, pooled: the I/O path makes and destroys a handful of frames per
// operation, often one thread makes what another one destroys (whoever holds the baton), and a heap
// pays for that with locks and atomics. Each thread keeps a few frames of each size, and so does
// each reactor, for whoever drives it: its frames stay in the processor's cache while the drivers
// change. Magazines of frames move between all of them through a depot. Blocks of a page go the
// same way, because a small write needs one for a moment.
// Home: any thread. Fork: a child may go on; if another thread of its parent was inside the depot
// just then, the child uses the heap instead.
#pragma once

#include <cstddef>
#include <memory>

namespace cairn {

class FrameShelves;

/// Larger frames come from the heap. An update's is the largest that is made all the time.
inline constexpr size_t kFrameBytesPooledMax = 8192;

/// Memory for `bytes`, aligned as operator new does it. Aborts without memory.
void* frame_new(size_t bytes);
/// `bytes` as given to frame_new(). Any thread.
void frame_delete(void* frame, size_t bytes) noexcept;

/// A block, aligned to its size; not zeroed. Any thread.
inline constexpr size_t kPooledBlockBytes = 4096;
void* block_new();
void block_delete(void* block) noexcept;

/// Frames and blocks of one reactor.
class FrameHome {
 public:
  FrameHome();
  ~FrameHome();

  /// While it lives, this thread's frames come from the home's and go there. One thread at a time.
  class [[nodiscard]] Scope {
   public:
    explicit Scope(FrameHome& home);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();

   private:
    FrameShelves* const before_;
  };

 private:
  std::unique_ptr<FrameShelves> shelves_;
};

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
