// What transports share about calls under way: waiting for the outcome, and their deadlines. Home:
// the transport's reactor.
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <utility>

#include "fabric/transport.h"
#include "runtime/reactor.h"

namespace cairn::fabric {

/// A call under way; on the frame of Transport::call(). Nobody knows it when that returns.
struct PendingCall {
  Call& call;
  Instant deadline = kNever;
  bool over = false;
  Result<void> outcome = {};
  std::coroutine_handle<> waiter = nullptr;

  void end(Reactor& reactor, Result<void> how) {
    if (std::exchange(over, true)) return;
    outcome = how;
    if (waiter) reactor.schedule(std::exchange(waiter, nullptr));
  }
  /// `now` is past the deadline: ends it. @returns whether it still waits for its time
  bool waits_at(Reactor& reactor, Instant now) {
    if (over || deadline == kNever) return false;
    if (deadline > now) return true;
    end(reactor, fail(Errc::timed_out, "fabric: no answer in time"));
    return false;
  }
  /// `co_await pending.wait()`: until end().
  auto wait() {
    struct Awaiter {
      PendingCall& pending;
      bool await_ready() const noexcept { return pending.over; }
      void await_suspend(std::coroutine_handle<> h) { pending.waiter = h; }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
};

/// Looks at calls when the earliest of their deadlines has come.
class DeadlineWatch {
 public:
  /// @param look  ends those whose time is up; returns the next deadline, kNever: there is none
  DeadlineWatch(Reactor& reactor, std::move_only_function<Instant(Instant now)> look)
      : reactor_(reactor), look_(std::move(look)) {}

  /// Makes sure that somebody looks at `deadline`.
  void arm(Instant deadline);
  /// Nobody looks any more.
  void stop() { alive_.reset(); }

 private:
  static Task<void> watch(DeadlineWatch* self, Reactor& reactor, Instant until);

  Reactor& reactor_;
  std::move_only_function<Instant(Instant now)> look_;
  Instant until_ = kNever;  // the earliest instant at which a watcher will look
  /// Watchers that outlast this object in the reactor's timers look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cairn::fabric
