#include "runtime/frame_pool.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <utility>

#include "base/check.h"

namespace cairn {
namespace {

/// Sizes are rounded up to this.
constexpr size_t kStepBytes = 64;
constexpr size_t kFrameSizes = kFrameBytesPooledMax / kStepBytes;
/// Behind the sizes of frames: blocks.
constexpr size_t kBlockSize = kFrameSizes;
constexpr size_t kSizeCount = kFrameSizes + 1;
constexpr std::align_val_t kBlockAlign{kPooledBlockBytes};
/// Frames that move between a thread and the depot at once. A thread keeps up to two magazines of a
/// size, so the depot is seen at most once in so many frames.
constexpr uint32_t kMagazineFrames = 16;
/// What the depot keeps; more goes back to the heap. Thousands of operations in flight.
constexpr size_t kDepotBytesMax = 16u << 20;

/// A free frame.
struct Free {
  Free* next;           // in its magazine
  Free* next_magazine;  // of the first of a magazine in the depot
};
static_assert(sizeof(Free) <= kStepBytes);

constexpr size_t bytes_of(size_t size) {
  return size == kBlockSize ? kPooledBlockBytes : (size + 1) * kStepBytes;
}
/// A call that finds no memory for its frame has nobody to tell: it ends the process.
void* checked(void* memory) {
  CHECK(memory != nullptr);
  return memory;
}
void* heap_new(size_t size) {
  return checked(size == kBlockSize
                     ? ::operator new(kPooledBlockBytes, kBlockAlign, std::nothrow)
                     : ::operator new(bytes_of(size), std::nothrow));
}
void heap_delete(size_t size, void* memory) {
  if (size == kBlockSize) return ::operator delete(memory, kBlockAlign);
  ::operator delete(memory);
}

/// Full magazines of every size. Nobody waits for it: who finds it taken uses the heap, which also
/// makes it safe in a child that was forked while another thread had it.
class Depot {
 public:
  void put(size_t size, Free* magazine) {
    const size_t bytes = bytes_of(size) * kMagazineFrames;
    if (!taken_.test_and_set(std::memory_order_acquire)) {
      const bool fits = bytes_ + bytes <= kDepotBytesMax;
      if (fits) {
        bytes_ += bytes;
        magazine->next_magazine = magazines_[size];
        magazines_[size] = magazine;
      }
      taken_.clear(std::memory_order_release);
      if (fits) return;
    }
    drop(size, magazine);
  }
  /// Null if there is none.
  Free* take(size_t size) {
    if (taken_.test_and_set(std::memory_order_acquire)) return nullptr;
    Free* const magazine = magazines_[size];
    if (magazine != nullptr) {
      bytes_ -= bytes_of(size) * kMagazineFrames;
      magazines_[size] = magazine->next_magazine;
    }
    taken_.clear(std::memory_order_release);
    return magazine;
  }
  static void drop(size_t size, Free* list) {
    while (list != nullptr) {
      Free* const frame = list;
      list = list->next;
      heap_delete(size, frame);
    }
  }

 private:
  std::atomic_flag taken_;
  size_t bytes_ = 0;
  std::array<Free*, kSizeCount> magazines_{};
};
constinit Depot depot;

}  // namespace

/// The frames of one thread, or of a reactor.
class FrameShelves {
 public:
  ~FrameShelves() {
    for (size_t size = 0; size < kSizeCount; ++size) {
      Depot::drop(size, shelves_[size].open);
      Depot::drop(size, shelves_[size].full);
    }
  }

  void* take(size_t size) {
    Shelf& shelf = shelves_[size];
    if (shelf.open == nullptr) {
      shelf.open = shelf.full;
      shelf.full = nullptr;
      if (shelf.open == nullptr) shelf.open = depot.take(size);
      if (shelf.open == nullptr) return heap_new(size);
      shelf.open_count = kMagazineFrames;
    }
    Free* const frame = shelf.open;
    shelf.open = frame->next;
    --shelf.open_count;
    return frame;
  }
  void put(size_t size, void* memory) {
    Shelf& shelf = shelves_[size];
    if (shelf.open_count == kMagazineFrames) {
      if (shelf.full != nullptr) depot.put(size, shelf.full);
      shelf.full = shelf.open;
      shelf.open = nullptr;
      shelf.open_count = 0;
    }
    shelf.open = ::new (memory) Free{shelf.open, nullptr};
    ++shelf.open_count;
  }

 private:
  struct Shelf {
    Free* open = nullptr;  // the magazine in use
    Free* full = nullptr;  // a full one, or none
    uint32_t open_count = 0;
  };
  std::array<Shelf, kSizeCount> shelves_{};
};

namespace {

// A plain pointer, so that the common way needs neither a guard nor a call for its address, also in
// a shared library.
thread_local constinit FrameShelves* local __attribute__((tls_model("initial-exec"))) = nullptr;
thread_local constinit bool thread_ends = false;

struct Owner {
  // Apart: a library that is loaded late has little room for what each thread has.
  const std::unique_ptr<FrameShelves> frames{new (std::nothrow) FrameShelves};
  Owner() { local = frames.get(); }
  ~Owner() {
    local = nullptr;
    thread_ends = true;  // frames of later destructors come from the heap
  }
};

FrameShelves* make_local() {
  if (thread_ends) return nullptr;
  thread_local Owner owner;
  return local;
}

size_t size_of(size_t bytes) { return (bytes - 1) / kStepBytes; }

}  // namespace

FrameHome::FrameHome() : shelves_(std::make_unique<FrameShelves>()) {}
FrameHome::~FrameHome() = default;

FrameHome::Scope::Scope(FrameHome& home) : before_(std::exchange(local, home.shelves_.get())) {}
FrameHome::Scope::~Scope() { local = before_; }

void* frame_new(size_t bytes) {
  DCHECK(bytes > 0);
  if (bytes > kFrameBytesPooledMax) return checked(::operator new(bytes, std::nothrow));
  const size_t size = size_of(bytes);
  FrameShelves* here = local;
  if (here == nullptr) here = make_local();
  return here == nullptr ? heap_new(size) : here->take(size);
}

void frame_delete(void* frame, size_t bytes) noexcept {
  if (bytes > kFrameBytesPooledMax) return ::operator delete(frame);
  FrameShelves* here = local;
  if (here == nullptr) here = make_local();
  if (here == nullptr) return ::operator delete(frame);
  here->put(size_of(bytes), frame);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAIRN_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAIRN_SANITIZED
#endif
#endif

#if defined(CAIRN_SANITIZED)
// It is to see what happens to each.
void* block_new() { return heap_new(kBlockSize); }
void block_delete(void* block) noexcept { heap_delete(kBlockSize, block); }
#else
void* block_new() {
  FrameShelves* here = local;
  if (here == nullptr) here = make_local();
  return here == nullptr ? heap_new(kBlockSize) : here->take(kBlockSize);
}

void block_delete(void* block) noexcept {
  FrameShelves* here = local;
  if (here == nullptr) here = make_local();
  if (here == nullptr) return heap_delete(kBlockSize, block);
  here->put(kBlockSize, block);
}
#endif

}  // namespace cairn
