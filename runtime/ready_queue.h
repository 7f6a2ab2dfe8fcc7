// ReadyQueue: coroutines that are ready to run, in a ring that keeps its memory. Internal to
// runtime/.
#pragma once

#include <coroutine>
#include <cstddef>
#include <vector>

namespace cairn {

class ReadyQueue {
 public:
  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  void push_back(std::coroutine_handle<> handle) {
    if (count_ == ring_.size()) grow();
    ring_[place(count_++)] = handle;
  }
  void push_front(std::coroutine_handle<> handle) {
    if (count_ == ring_.size()) grow();
    first_ = place(ring_.size() - 1);
    ring_[first_] = handle;
    ++count_;
  }
  /// Precondition: not empty.
  std::coroutine_handle<> take_front() {
    const auto handle = ring_[first_];
    first_ = place(1);
    --count_;
    return handle;
  }
  void clear() { first_ = count_ = 0; }

 private:
  size_t place(size_t i) const { return (first_ + i) & (ring_.size() - 1); }
  void grow() {
    std::vector<std::coroutine_handle<>> larger(2 * ring_.size());
    for (size_t i = 0; i < count_; ++i) larger[i] = ring_[place(i)];
    ring_.swap(larger);
    first_ = 0;
  }

  std::vector<std::coroutine_handle<>> ring_ = std::vector<std::coroutine_handle<>>(64);
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace cairn
