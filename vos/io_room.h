// IoRoom: bounds the data of operations under way on one shard (store.md rule 16). Who finds no
// room waits in order of arrival; what is larger than all of it goes alone. Internal to vos/.
// Home: the shard's reactor. Invariant: who holds room waits for somebody who waits for room no
// longer than operations wait for each other's transactions, which is a moment.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/reactor.h"

namespace cairn::vos {

/// For reads, and as much again for writes: a write that waits for its container holds up no read.
inline constexpr uint64_t kIoBytesMax = 32u << 20;

class IoRoom {
 public:
  explicit IoRoom(Reactor& reactor, uint64_t bytes_max = kIoBytesMax)
      : bytes_max_(bytes_max), moved_(reactor) {}

  class [[nodiscard]] Hold {
   public:
    Hold() = default;
    Hold(IoRoom* room, uint64_t bytes) : room_(room), bytes_(bytes) { room_->used_ += bytes; }
    Hold(Hold&& other) noexcept
        : room_(std::exchange(other.room_, nullptr)), bytes_(other.bytes_) {}
    Hold& operator=(Hold&& other) noexcept {
      release();
      room_ = std::exchange(other.room_, nullptr);
      bytes_ = other.bytes_;
      return *this;
    }
    ~Hold() { release(); }
    void release() {
      IoRoom* const room = std::exchange(room_, nullptr);
      if (room == nullptr) return;
      room->used_ -= bytes_;
      room->moved_.wake_all();
    }

   private:
    IoRoom* room_ = nullptr;
    uint64_t bytes_ = 0;
  };

  /// Nothing: there is none now; wait for it with take().
  std::optional<Hold> take_now(uint64_t bytes) {
    if (waits_first_ != waits_end_ || !fits(bytes)) return std::nullopt;
    return Hold(this, bytes);
  }
  Task<Hold> take(uint64_t bytes) {
    const uint64_t mine = waits_end_++;
    while (mine != waits_first_ || !fits(bytes)) co_await moved_.wait();
    ++waits_first_;
    Hold hold(this, bytes);
    moved_.wake_all();  // the next one may fit as well
    co_return hold;
  }
  uint64_t used() const { return used_; }

 private:
  bool fits(uint64_t bytes) const { return used_ == 0 || used_ + bytes <= bytes_max_; }

  const uint64_t bytes_max_;
  uint64_t used_ = 0;
  uint64_t waits_first_ = 0, waits_end_ = 0;  // numbers of those who wait
  WaitList moved_;
};

}  // namespace cairn::vos
