// Reactor: runs the tasks of one shared-nothing context: ready queue, timers, mailbox, I/O
// completions. Home: the one thread that currently drives it (a fixed thread, or whoever holds a
// Context's baton). Only post() may be called by others. Invariant: resumption always goes through
// the ready queue or symmetric transfer, so a plain function never sees its state change under it.
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "runtime/clock.h"
#include "runtime/frame_pool.h"
#include "runtime/io.h"
#include "runtime/random.h"
#include "runtime/ready_queue.h"
#include "runtime/task.h"

namespace cairn {

class Mailbox;
struct SpawnedNode;

class Reactor {
 public:
  /// `io` may be null (simulation): then devices complete through schedule() and timers.
  Reactor(Clock& clock, Random& random, std::unique_ptr<IoBackend> io);
  /// Waits for I/O in flight, then destroys the frames of spawned tasks that have not ended; what
  /// they refer to must still be alive.
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  Clock& clock() { return clock_; }
  Random& random() { return random_; }
  IoBackend* io() { return io_.get(); }

  /// Takes ownership of `task` and runs it from the ready queue; its frame goes when it ends.
  void spawn(Task<void> task);
  /// The same, before everything that is ready already.
  void spawn_first(Task<void> task);
  /// Puts a suspended coroutine at the end of the ready queue.
  void schedule(std::coroutine_handle<> handle);
  /// The same for what somebody waits for and what takes little time: it goes before the ready
  /// queue, in order of arrival, but not all the time: after some such, one that waits there runs.
  void schedule_urgent(std::coroutine_handle<> handle);
  void spawn_urgent(Task<void> task);
  /// The same behind all that are ready now in the queue of the one that runs, urgent or not.
  void spawn_behind(Task<void> task);
  /// Runs `fn` on the home thread soon. Any thread. Wakes the driver if it sleeps.
  void post(std::move_only_function<void()> fn);

  /// One turn: mailbox, I/O completions, due timers, then every coroutine that was ready at its
  /// start. I/O that they asked for is under way on return. Returns true if anything ran. Where
  /// they take long, it looks at I/O in between.
  bool turn();
  /// Nothing was ready: waits for I/O, a post or the next timer, at most `max`. Spins some tens of
  /// microseconds first while work was flowing, then sleeps in the kernel: an idle process uses no
  /// CPU.
  void idle(Duration max);
  /// The next timer's instant, or kNever. Simulation advances its clock to it.
  Instant next_timer() const;
  bool has_ready() const { return !ready_.empty() || !urgent_.empty(); }
  /// A post waits for the next turn. Any thread.
  bool has_mail() const;
  /// Something will move without outside help: a ready coroutine, a timer, I/O in flight, mail.
  bool pending() const;
  /// This thread is inside turn() of this reactor, or visits it.
  bool on_home() const;
  /// While it lives, plain calls of this thread, which drives the reactor, are at home as inside
  /// turn().
  class [[nodiscard]] Visit {
   public:
    explicit Visit(Reactor& reactor);
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit();

   private:
    const Reactor* const outer_;
    const FrameHome::Scope frames_;
  };
  /// Tasks spawned and not yet ended.
  size_t live_tasks() const { return live_tasks_; }

  /// `co_await reactor.yield()`: back to the end of the ready queue.
  auto yield() {
    struct Awaiter {
      Reactor& reactor;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> h) { reactor.schedule(h); }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
  /// The same behind those that are ready now in the queue of the one that runs, urgent or not.
  auto yield_behind() {
    struct Awaiter {
      Reactor& reactor;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> h) {
        reactor.runs_urgent_ ? reactor.schedule_urgent(h) : reactor.schedule(h);
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
  /// Somebody waits in that queue.
  bool has_company() const { return !(runs_urgent_ ? urgent_ : ready_).empty(); }
  /// `co_await reactor.sleep(ns)`.
  auto sleep(Duration duration) {
    struct Awaiter {
      Reactor& reactor;
      Duration duration;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> h) {
        reactor.add_timer(reactor.clock_.now() + duration, h);
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this, duration};
  }

 private:
  friend class Context;
  friend struct SpawnedNode;
  struct Timer {
    Instant at;
    uint64_t order;
    std::coroutine_handle<> handle;
  };
  void add_timer(Instant at, std::coroutine_handle<> handle);
  size_t run_timers();
  size_t look();
  void run_next();
  /// Returns true if it found something to do.
  bool spin();
  /// The sleeping half of idle(): touches nothing of the home thread's, so that a Context may take
  /// the baton from a thread that is in it.
  void sleep_in_kernel(Duration max);
  /// Ends sleep_in_kernel(). Any thread; only with an I/O backend.
  void wake_from_kernel();

  Clock& clock_;
  Random& random_;
  std::unique_ptr<IoBackend> io_;
  std::unique_ptr<Mailbox> mailbox_;
  FrameHome frames_;  // of whoever drives
  ReadyQueue ready_, urgent_;
  bool runs_urgent_ = false;   // the one that runs is urgent
  bool just_looked_ = false;   // at I/O, and found something: not yet seen by turn()
  uint32_t urgent_run_ = 0;    // in a row while others waited in `ready_`
  Instant looked_ = 0;         // at I/O, last
  std::vector<Timer> timers_;  // a heap by (at, order)
  uint64_t timer_order_ = 0;
  size_t live_tasks_ = 0;
  SpawnedNode* spawned_ = nullptr;  // list of the live ones
  bool work_flowed_ = false;        // since the last idle()
  uint32_t spins_failed_ = 0;       // in a row
};

/// Coroutines that wait for something on one reactor; woken in order of arrival, all at once. A
/// waiting frame that is destroyed (with its reactor) leaves the list by itself.
class WaitList {
 public:
  explicit WaitList(Reactor& reactor) : reactor_(reactor) {}
  ~WaitList() { CHECK(empty()); }
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  class Waiter {
   public:
    explicit Waiter(WaitList& list) : list_(list) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() {
      if (queued_) list_.remove(*this);
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      handle_ = h;
      list_.append(*this);
    }
    void await_resume() const noexcept {}

   private:
    friend class WaitList;
    WaitList& list_;
    std::coroutine_handle<> handle_;
    Waiter* prev_ = nullptr;
    Waiter* next_ = nullptr;
    bool queued_ = false;
  };

  /// Suspends until the next wake_all(). Look at the condition again afterwards.
  Waiter wait() { return Waiter(*this); }
  void wake_all() {
    while (first_ != nullptr) {
      Waiter& waiter = *first_;
      remove(waiter);
      reactor_.schedule(waiter.handle_);
    }
  }
  bool empty() const { return first_ == nullptr; }

 private:
  void append(Waiter& waiter) {
    waiter.queued_ = true;
    waiter.prev_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &waiter;
    last_ = &waiter;
  }
  void remove(Waiter& waiter) {
    (waiter.prev_ != nullptr ? waiter.prev_->next_ : first_) = waiter.next_;
    (waiter.next_ != nullptr ? waiter.next_->prev_ : last_) = waiter.prev_;
    waiter.prev_ = waiter.next_ = nullptr;
    waiter.queued_ = false;
  }

  Reactor& reactor_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

/// Counts operations inside a resource; close() refuses new ones and waits for the last to leave.
class Gate {
 public:
  explicit Gate(Reactor& reactor) : empty_(reactor) {}
  ~Gate() { CHECK(count_ == 0); }

  class [[nodiscard]] Hold {
   public:
    explicit Hold(Gate* gate) : gate_(gate) { ++gate_->count_; }
    Hold(Hold&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (gate_ != nullptr && --gate_->count_ == 0) gate_->empty_.wake_all();
    }

   private:
    Gate* gate_;
  };

  /// @error shutdown  close() has begun
  Result<Hold> enter() {
    if (closed_) return fail(Errc::shutdown, "gate: closing, no new operations");
    return Hold{this};
  }
  Task<void> close() {
    closed_ = true;
    while (count_ != 0) co_await empty_.wait();
  }
  bool closed() const { return closed_; }

 private:
  WaitList empty_;
  size_t count_ = 0;
  bool closed_ = false;
};

}  // namespace cairn
