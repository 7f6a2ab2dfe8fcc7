#include "runtime/reactor.h"

#include <sched.h>

#include <algorithm>
#include <atomic>

#include "runtime/at_home.h"
#include "runtime/mailbox.h"

namespace cairn {
namespace {

// Longer than a fast device's answer, shorter than what waking a sleeping core costs.
constexpr Duration kSpin = 30 * kMicrosecond;
// After this many spins in a row that ended in a sleep anyway, only every kSpinProbe-th idle spins.
constexpr uint32_t kSpinsFailedMax = 4;
constexpr uint32_t kSpinProbe = 16;
// Of the ready queue in one turn.
constexpr int kRoundsMax = 4;
// Urgent ones in a row while others are ready.
constexpr uint32_t kUrgentMax = 16;
// Others that are ready wait no longer for a look at I/O: half of what a large transfer takes.
constexpr Duration kUnlookedMax = 50 * kMicrosecond;

// A yield that took so long gave the processor to somebody who computes and does not give it back:
constexpr Duration kYieldMax = 600 * kMicrosecond;
// then none for so many times that long, which bounds what is lost.
constexpr Duration kYieldPauses = 20;

thread_local const Reactor* turning = nullptr;
// For all threads of the process.
std::atomic<Instant> no_yield_before{0};

/// Lets others run who wait for this processor: one of them may be about to answer. Nobody does: a
/// pause. Not beside those who compute, whom it would cost a time slice each time.
void let_others_run(Instant now) {
  if (now < no_yield_before.load(std::memory_order_relaxed)) return;
  sched_yield();
  const Instant back = system_clock().now();
  if (back - now <= kYieldMax) return;
  no_yield_before.store(back + kYieldPauses * (back - now), std::memory_order_relaxed);
}

}  // namespace

/// A live spawned task's place in its reactor's list.
struct SpawnedNode {
  Reactor& reactor;
  SpawnedNode* prev = nullptr;
  SpawnedNode* next = nullptr;
  std::coroutine_handle<> frame;

  SpawnedNode(Reactor& r, std::coroutine_handle<> f) : reactor(r), next(r.spawned_), frame(f) {
    if (next != nullptr) next->prev = this;
    reactor.spawned_ = this;
    ++reactor.live_tasks_;
  }
  SpawnedNode(const SpawnedNode&) = delete;
  SpawnedNode& operator=(const SpawnedNode&) = delete;
  ~SpawnedNode() {
    if (next != nullptr) next->prev = prev;
    (prev != nullptr ? prev->next : reactor.spawned_) = next;
    --reactor.live_tasks_;
  }
};

namespace {

/// The outermost frame of a spawned task: owns it, counts it, and frees itself at the end.
struct SpawnedTask {
  struct promise_type : PooledFrame {
    SpawnedNode node;
    promise_type(Reactor& reactor, Task<void>&)
        : node(reactor, std::coroutine_handle<promise_type>::from_promise(*this)) {}
    SpawnedTask get_return_object() { return {node.frame}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }
  };
  std::coroutine_handle<> frame;
};

SpawnedTask run_spawned(Reactor&, Task<void> task) { co_await std::move(task); }

}  // namespace

Reactor::Reactor(Clock& clock, Random& random, std::unique_ptr<IoBackend> io)
    : clock_(clock),
      random_(random),
      io_(std::move(io)),
      mailbox_(std::make_unique<Mailbox>(io_.get())) {}

Reactor::~Reactor() {
  io_.reset();  // the kernel may write into frames until their I/O has ended
  ready_.clear();
  urgent_.clear();
  timers_.clear();
  while (spawned_ != nullptr) spawned_->frame.destroy();
  CHECK(live_tasks_ == 0);
}

void Reactor::spawn(Task<void> task) { schedule(run_spawned(*this, std::move(task)).frame); }

void Reactor::spawn_first(Task<void> task) {
  urgent_.push_front(run_spawned(*this, std::move(task)).frame);
}

void Reactor::spawn_urgent(Task<void> task) {
  schedule_urgent(run_spawned(*this, std::move(task)).frame);
}

void Reactor::spawn_behind(Task<void> task) {
  runs_urgent_ ? spawn_urgent(std::move(task)) : spawn(std::move(task));
}

void Reactor::schedule(std::coroutine_handle<> handle) { ready_.push_back(handle); }

void Reactor::schedule_urgent(std::coroutine_handle<> handle) { urgent_.push_back(handle); }

void Reactor::run_next() {
  const bool urgent = !urgent_.empty() && (urgent_run_ < kUrgentMax || ready_.empty());
  urgent_run_ = urgent && !ready_.empty() ? urgent_run_ + 1 : 0;
  runs_urgent_ = urgent;
  (urgent ? urgent_ : ready_).take_front().resume();
  runs_urgent_ = false;
}

void Reactor::post(std::move_only_function<void()> fn) { mailbox_->post(std::move(fn)); }

bool Reactor::has_mail() const { return mailbox_->has_mail(); }

bool Reactor::pending() const {
  return has_ready() || !timers_.empty() || has_mail() || (io_ && io_->in_flight() != 0);
}

bool Reactor::on_home() const { return turning == this; }

bool is_elsewhere(const Reactor& reactor) { return turning != nullptr && turning != &reactor; }

Reactor::Visit::Visit(Reactor& reactor)
    : outer_(std::exchange(turning, &reactor)), frames_(reactor.frames_) {}
Reactor::Visit::~Visit() { turning = outer_; }

bool Reactor::turn() {
  const Visit visit(*this);
  size_t ran = mailbox_->deliver();
  // A look that was just made is not made again: it costs as much as a small call's answer.
  const bool just_looked = std::exchange(just_looked_, false);
  if (io_ && (!just_looked || !has_ready())) ran += look();
  ran += run_timers();
  // What is ready now, and what that makes ready: looking at I/O and timers costs as much as a
  // small call. Not for ever: a task that yields must not keep them from their turn.
  for (int round = 0; round < kRoundsMax && has_ready(); ++round) {
    for (size_t left = ready_.size() + urgent_.size(); left != 0; --left, ++ran) {
      run_next();
      // A small call that has come meanwhile need not wait until all large ones have had theirs.
      if (io_ && has_ready() && clock_.now() - looked_ >= kUnlookedMax) {
        just_looked_ = look() != 0;
      }
    }
  }
  if (ran != 0) {
    work_flowed_ = true;
    if (io_) io_->kick();
  }
  return ran != 0;
}

/// Takes I/O that has ended. With a backend.
size_t Reactor::look() {
  const size_t ended = io_->reap();
  looked_ = clock_.now();
  return ended;
}

size_t Reactor::run_timers() {
  if (timers_.empty()) return 0;
  const Instant now = clock_.now();
  const auto later = [](const Timer& a, const Timer& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  };
  size_t count = 0;
  for (; !timers_.empty() && timers_.front().at <= now; ++count) {
    schedule(timers_.front().handle);
    std::pop_heap(timers_.begin(), timers_.end(), later);
    timers_.pop_back();
  }
  return count;
}

void Reactor::add_timer(Instant at, std::coroutine_handle<> handle) {
  timers_.push_back({at, timer_order_++, handle});
  std::push_heap(timers_.begin(), timers_.end(), [](const Timer& a, const Timer& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  });
}

Instant Reactor::next_timer() const { return timers_.empty() ? kNever : timers_.front().at; }

/// Looks for work for up to kSpin. Pays only while answers come that fast, so it backs off when
/// they do not.
bool Reactor::spin() {
  if (!std::exchange(work_flowed_, false)) return false;
  if (spins_failed_ >= kSpinsFailedMax && spins_failed_ % kSpinProbe != 0) {
    ++spins_failed_;
    return false;
  }
  const Instant timer = next_timer();
  Instant now = system_clock().now();
  const Instant end = now + kSpin;
  do {
    let_others_run(now);
    just_looked_ = io_ && look() != 0;
    if (just_looked_ || mailbox_->has_mail() || (timer != kNever && clock_.now() >= timer)) {
      spins_failed_ = 0;
      work_flowed_ = true;
      return true;
    }
    now = system_clock().now();
  } while (now < end);
  ++spins_failed_;
  return false;
}

void Reactor::sleep_in_kernel(Duration max) { mailbox_->sleep(max); }

void Reactor::wake_from_kernel() { mailbox_->wake(); }

void Reactor::idle(Duration max) {
  if (has_ready() || max == 0 || spin()) return;
  const Instant timer = next_timer();
  if (timer != kNever) {
    const Instant now = clock_.now();
    max = std::min(max, timer > now ? timer - now : 0);
  }
  if (max != 0) sleep_in_kernel(max);
}

}  // namespace cairn
