// Turns: what is done by one at a time; others wait for theirs. Home: one reactor.
#pragma once

#include <utility>

#include "runtime/reactor.h"

namespace cairn {

class Turns {
 public:
  explicit Turns(Reactor& reactor) : over_(reactor) {}

  /// Whoever has it is the only one.
  class [[nodiscard]] Turn {
   public:
    explicit Turn(Turns& turns) : turns_(&turns) { turns.taken_ = true; }
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ == nullptr) return;
      turns_->taken_ = false;
      turns_->over_.wake_all();
    }

   private:
    Turns* turns_;
  };
  Task<Turn> take() {
    while (taken_) co_await over_.wait();
    co_return Turn(*this);
  }

 private:
  bool taken_ = false;
  WaitList over_;
};

}  // namespace cairn
