// Context: the way of threads into a reactor that no thread owns (store.md rule 24). The thread
// that waits takes the baton and drives the reactor; others queue, and one of them takes over when
// the holder's own work is done. There is no engine thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "runtime/reactor.h"

namespace cairn {

struct ContextOptions {
  /// One thread drives the reactor while something is under way (Reactor::pending()) and no caller
  /// waits; it sleeps otherwise. Without it background work moves only while some thread waits.
  /// Needs an I/O backend.
  bool helper = false;
};

/// Any thread may call any member, but none from inside the reactor (checked).
/// Lifetime: longer than every call in progress, shorter than the reactor.
/// Fork: a child must not use its copy; destroying it there is harmless.
class Context {
 public:
  explicit Context(Reactor& reactor, ContextOptions options = {});
  ~Context();

  Reactor& reactor() { return reactor_; }

  /// Runs `task` on the reactor and returns its value; drives the reactor while no other thread
  /// does. Must not be called from inside the reactor (checked).
  template <class T>
  T run(Task<T> task) {
    if constexpr (std::is_void_v<T>) {
      Call call;
      call.root = finish_void(std::move(task), call);
      run_call(call);
    } else {
      std::optional<T> value;
      Call call;
      call.root = finish(std::move(task), value, call);
      run_call(call);
      return std::move(*value);
    }
  }

  /// Calls `step` on the reactor, if nobody drives it just now: what can be done without waiting
  /// needs no task. `step` must be short and must not wait; what it throws ends the process, as in
  /// a task. Now and then it is not called, so that a thread that never waits gives the reactor its
  /// turns.
  /// @returns what it says; false: it was not called
  template <class F>
  bool at_once(F step) {
    if (!begin_at_once()) return false;
    // Nobody would give the baton back.
    const bool done = [&]() noexcept {
      const Reactor::Visit visit(reactor_);
      return step();
    }();
    end_at_once();
    return done;
  }

  /// Hands `task` to the reactor and returns; if the baton is free, first drives it until nothing
  /// is ready, so that I/O is under way on return. The task reports its end itself.
  void start(Task<void> task);

  /// Drives (or waits for whoever drives) until `done()` is true or `timeout` has passed (kNever:
  /// for ever; 0: one look after one turn). Returns what `done()` said last. `done` must be a
  /// short, plain look at state of the reactor. It is called with the baton held, by whichever
  /// thread drives, not after it said true, and not after return.
  bool drive_until(std::move_only_function<bool()> done, Duration timeout);

 private:
  struct Call;
  struct State;
  static Task<void> finish_void(Task<void> task, Call& call);
  template <class T>
  static Task<void> finish(Task<T> task, std::optional<T>& value, Call& call) {
    value.emplace(co_await std::move(task));
    mark_done(call);
  }
  static void mark_done(Call& call);
  void run_call(Call& call);
  bool begin_at_once();
  void end_at_once();

  struct Call {
    Task<void> root;
    State* state = nullptr;
    void* waiter = nullptr;
    bool done = false;
  };

  Reactor& reactor_;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
