// A reactor whose time stands until nothing else can move, then jumps to the next timer: tests that
// wait for minutes take none. For unit tests of what stands above runtime/.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/random.h"
#include "runtime/reactor.h"
#include "runtime/task.h"

namespace cairn {

class JumpingClock final : public Clock {
 public:
  Instant now() override { return now_; }
  uint64_t wall_ns() override { return 1'800'000'000'000'000'000 + now_; }
  void jump_to(Instant at) { now_ = std::max(now_, at); }

 private:
  Instant now_ = 1;
};

struct JumpingWorld {
  explicit JumpingWorld(uint64_t seed = 1) : random(seed) {}

  JumpingClock clock;
  SeededRandom random;
  Reactor reactor{clock, random, nullptr};

  /// One step of the world; false if nothing can move.
  bool step() {
    if (reactor.turn()) return true;
    if (reactor.next_timer() == kNever) return false;
    clock.jump_to(reactor.next_timer());
    return true;
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor.spawn(keep(std::move(task), value));
    while (!value) CHECK(step());
    return std::move(*value);
  }
  static Task<void> mark(Task<void> task, bool& done) {
    co_await std::move(task);
    done = true;
  }
  void run_void(Task<void> task) {
    bool done = false;
    reactor.spawn(mark(std::move(task), done));
    while (!done) CHECK(step());
  }
};

}  // namespace cairn
