#include "runtime/context.h"

#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/parking.h"

namespace cairn {
namespace {

// How long the helper keeps out of the callers' way after it met one.
constexpr Duration kHelperNap = kMillisecond;
// start() gives background work that stays ready this many turns, then leaves it.
constexpr int kStartTurnsMax = 64;
// After so many calls without a turn of the reactor one goes the long way, which takes one.
constexpr uint32_t kAtOnceMax = 64;
// A woken thread wakes so many others before it goes on; the driver wakes as many of a crowd.
constexpr size_t kWakesEach = 2;

enum class Signal : uint32_t { none, finished, baton };

}  // namespace

/// One thread inside the context. On its stack; every field is guarded by State::mutex, or belongs
/// to the driver while `linked`, except `spot`.
struct Waiter {
  Waiter* prev = nullptr;
  Waiter* next = nullptr;
  bool linked = false;
  // drive_until only:
  std::move_only_function<bool()>* done = nullptr;
  bool answer = false;  // what *done said last
  bool once = false;    // answer after the next look, whatever it says
  std::array<Waiter*, kWakesEach> wakes{};  // written before this one is woken
  ParkingSpot spot;

  void end_wait() { spot.unpark(static_cast<uint32_t>(Signal::finished)); }
  /// By its own thread, once it is woken.
  void wake_next() const {
    for (Waiter* const next : wakes) {
      if (next != nullptr) next->end_wait();
    }
  }
};

struct Context::State {
  explicit State(Reactor& r, ContextOptions o) : reactor(r), options(o) {}

  Reactor& reactor;
  const ContextOptions options;
  const pid_t pid = getpid();

  std::mutex mutex;
  bool held = false;        // somebody has the baton
  Waiter* first = nullptr;  // threads parked until their work is done or they get the baton
  Waiter* last = nullptr;
  // Waiters with `done`; changed with the mutex. A looker posts mail after it has linked itself, so
  // the turn that delivers this sees it.
  std::atomic<size_t> lookers = 0;
  std::vector<Call*> finished;  // baton holder only
  std::vector<Waiter*> woken;   // scratch of wake_finished()

  std::thread helper;
  ParkingSpot helper_spot;
  bool helper_parked = false;  // deeply: wake it when it is needed
  bool helper_asleep = false;  // it holds the baton and sleeps in the kernel: may be taken from it
  bool helper_in_kernel = false;  // it sleeps there, with the baton or robbed of it
  Instant helper_until = 0;       // and till when
  bool helper_stop = false;
  uint64_t helper_robbed = 0;  // counts batons taken from it
  uint64_t taken = 0;          // counts batons taken by callers
  uint32_t at_once = 0;        // calls of at_once() in a row

  void link(Waiter& w) {
    w.linked = true;
    w.prev = last;
    w.next = nullptr;
    (last != nullptr ? last->next : first) = &w;
    last = &w;
    if (w.done != nullptr) ++lookers;
  }
  void unlink(Waiter& w) {
    (w.prev != nullptr ? w.prev->next : first) = w.next;
    (w.next != nullptr ? w.next->prev : last) = w.prev;
    w.linked = false;
    if (w.done != nullptr) --lookers;
  }

  /// With the mutex. Returns true if the caller now has the baton.
  bool take_baton() {
    if (held && !helper_asleep) return false;
    if (helper_asleep) {
      helper_asleep = false;
      ++helper_robbed;
    }
    held = true;
    ++taken;
    return true;
  }

  bool turn();
  void wake_finished();
  void look_for_others();
  void release();
  void call_helper();
  void help();
  void help_with_baton(std::unique_lock<std::mutex>& lock);
};

/// Baton held. One turn, and everything that others waited for in it is reported to them.
bool Context::State::turn() {
  const bool ran = reactor.turn();
  if (!finished.empty()) wake_finished();
  if (ran) look_for_others();
  return ran;
}

/// A group commit ends dozens of calls at once, and waking a thread costs as much as its call. So
/// the driver wakes only the first of them, and they wake the others, as a tree: that also goes on
/// in parallel, and no thread that is slow to run holds up many.
void Context::State::wake_finished() {
  woken.clear();
  const FrameHome::Scope frames(reactor.frames_);
  for (Call* call : finished) {
    // Frames go here, on the driving thread: their parameters may refer to the reactor's things.
    call->root = {};
    call->done = true;
    // None: the driver's own.
    if (call->waiter != nullptr) woken.push_back(static_cast<Waiter*>(call->waiter));
  }
  finished.clear();
  if (woken.empty()) return;
  {
    std::lock_guard lock(mutex);
    for (Waiter* waiter : woken) unlink(*waiter);
  }
  for (size_t i = 0, next = kWakesEach; next < woken.size(); ++next) {
    woken[i]->wakes[next % kWakesEach] = woken[next];
    if (next % kWakesEach == kWakesEach - 1) ++i;
  }
  // The last touch of each: its thread may be gone after it.
  const size_t count = std::min(kWakesEach, woken.size());
  for (size_t i = 0; i < count; ++i) woken[i]->end_wait();
}

void Context::State::look_for_others() {
  if (lookers.load(std::memory_order_relaxed) == 0) return;
  std::lock_guard lock(mutex);
  for (Waiter* w = first; w != nullptr;) {
    Waiter* const next = w->next;
    if (w->done != nullptr) {
      w->answer = (*w->done)();
      if (w->answer || w->once) {
        unlink(*w);
        w->end_wait();
      }
    }
    w = next;
  }
}

/// Gives the baton to a waiter if there is one. Mail that arrived late is delivered first: its
/// sender saw the baton held and relies on its holder.
void Context::State::release() {
  for (;;) {
    std::unique_lock lock(mutex);
    if (last != nullptr) {
      // The newest has most likely the longest way to go, so the baton moves least often.
      Waiter* const heir = last;
      unlink(*heir);
      lock.unlock();
      heir->spot.unpark(static_cast<uint32_t>(Signal::baton));
      return;
    }
    if (!reactor.has_mail()) {
      held = false;
      if (options.helper && reactor.pending()) call_helper();
      return;
    }
    lock.unlock();
    turn();
  }
}

/// With the mutex and the baton free. A napping helper comes by itself.
void Context::State::call_helper() {
  if (helper_parked) {
    helper_parked = false;
    helper_spot.unpark(static_cast<uint32_t>(Signal::baton));
  } else if (helper_in_kernel && (reactor.has_ready() || reactor.next_timer() < helper_until)) {
    reactor.wake_from_kernel();
  }
}

/// The helper's thread.
void Context::State::help() {
  uint64_t taken_before = 0;
  std::unique_lock lock(mutex);
  while (!helper_stop) {
    if (!held && reactor.pending()) {
      held = true;
      help_with_baton(lock);
    }
    if (helper_stop) break;
    // Callers are coming and going: look again later, so that they need not wake us each time. One
    // caller for long, or nothing to do: whoever releases the baton calls us.
    const bool busy = std::exchange(taken_before, taken) != taken;
    if (!busy && !held && reactor.pending()) continue;
    helper_parked = !busy;
    lock.unlock();
    helper_spot.park(busy ? kHelperNap : kNever);
    lock.lock();
    helper_parked = false;
    helper_spot.clear();
  }
}

/// Drives until a caller takes the baton or nothing is under way. `lock` is held at entry and
/// return.
void Context::State::help_with_baton(std::unique_lock<std::mutex>& lock) {
  const uint64_t robbed_before = helper_robbed;
  for (;;) {
    lock.unlock();
    const bool ran = turn();
    lock.lock();
    if (first != nullptr || helper_stop || !reactor.pending()) break;
    if (ran) continue;
    const Instant timer = reactor.next_timer();
    const Instant now = timer == kNever ? 0 : reactor.clock().now();
    const Duration nap = timer == kNever ? kNever : timer > now ? timer - now : 0;
    helper_asleep = helper_in_kernel = true;
    helper_until = timer;
    lock.unlock();
    reactor.sleep_in_kernel(nap);
    lock.lock();
    helper_in_kernel = false;
    if (helper_robbed != robbed_before) return;  // it is not ours any more
    helper_asleep = false;
  }
  lock.unlock();
  release();
  lock.lock();
}

Context::Context(Reactor& reactor, ContextOptions options)
    : reactor_(reactor), state_(std::make_unique<State>(reactor, options)) {
  CHECK(!options.helper || reactor.io() != nullptr);
  if (options.helper) state_->helper = std::thread([s = state_.get()] { s->help(); });
}

Context::~Context() {
  State& s = *state_;
  if (getpid() != s.pid) {
    (void)state_.release();  // a forked child: the helper is not here, the mutex may be held
    return;
  }
  if (s.helper.joinable()) {
    {
      std::lock_guard lock(s.mutex);
      s.helper_stop = true;
      s.helper_spot.unpark(static_cast<uint32_t>(Signal::baton));
      if (s.helper_in_kernel) reactor_.wake_from_kernel();
    }
    s.helper.join();
  }
  CHECK(!s.held);
  CHECK(s.first == nullptr);
}

Task<void> Context::finish_void(Task<void> task, Call& call) {
  co_await std::move(task);
  mark_done(call);
}

/// On the driver, inside a turn; the frame of call.root still runs, so nobody is woken before its
/// end.
void Context::mark_done(Call& call) { call.state->finished.push_back(&call); }

void Context::run_call(Call& call) {
  CHECK(!reactor_.on_home());
  State& s = *state_;
  call.state = &s;
  Waiter waiter;
  {
    std::unique_lock lock(s.mutex);
    if (s.take_baton()) {
      lock.unlock();
      reactor_.schedule(call.root.handle());
    } else {
      call.waiter = &waiter;
      s.link(waiter);
      lock.unlock();
      reactor_.post([this, &call] { reactor_.schedule(call.root.handle()); });
      if (waiter.spot.park(kNever) == static_cast<uint32_t>(Signal::finished)) {
        waiter.wake_next();
        return;
      }
      call.waiter = nullptr;  // we have the baton now
    }
  }
  while (!call.done) {
    if (!s.turn()) reactor_.idle(kNever);
  }
  s.release();
}

bool Context::begin_at_once() {
  CHECK(!reactor_.on_home());
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  if (s.at_once == kAtOnceMax) {
    s.at_once = 0;
    return false;
  }
  if (!s.take_baton()) return false;
  ++s.at_once;
  return true;
}

void Context::end_at_once() {
  for (int i = 0; i < kStartTurnsMax && reactor_.has_ready(); ++i) state_->turn();
  state_->release();
}

void Context::start(Task<void> task) {
  CHECK(!reactor_.on_home());
  State& s = *state_;
  {
    std::unique_lock lock(s.mutex);
    if (!s.take_baton()) {
      // Under the mutex, so that the holder cannot leave between our look and our letter.
      reactor_.post([this, t = std::move(task)]() mutable { reactor_.spawn(std::move(t)); });
      return;
    }
  }
  reactor_.spawn(std::move(task));
  for (int i = 0; i < kStartTurnsMax && s.turn() && reactor_.has_ready(); ++i) {
  }
  s.release();
}

bool Context::drive_until(std::move_only_function<bool()> done, Duration timeout) {
  CHECK(!reactor_.on_home());
  State& s = *state_;
  const Instant begin = reactor_.clock().now();
  const Instant end = timeout < kNever - begin ? begin + timeout : kNever;
  const auto left = [&] {
    if (end == kNever) return kNever;
    const Instant now = reactor_.clock().now();
    return now < end ? end - now : 0;
  };
  Waiter waiter;
  waiter.done = &done;
  std::unique_lock lock(s.mutex);
  if (!s.take_baton()) {
    waiter.once = timeout == 0;
    s.link(waiter);
    reactor_.post([] {});  // the driver has a turn soon, and looks for us after it
    lock.unlock();
    uint32_t signal = waiter.spot.park(timeout == 0 ? kNever : timeout);
    if (signal == static_cast<uint32_t>(Signal::none)) {
      lock.lock();
      if (waiter.linked) {
        waiter.once = true;
        reactor_.post([] {});
      }
      lock.unlock();
      signal = waiter.spot.park(kNever);
    }
    if (signal == static_cast<uint32_t>(Signal::finished)) return waiter.answer;
  } else {
    lock.unlock();
  }
  bool answer = done();
  while (!answer) {
    const bool ran = s.turn();
    answer = done();
    const Duration rest = left();
    if (answer || rest == 0) break;
    if (!ran) reactor_.idle(rest);
  }
  s.release();
  return answer;
}

}  // namespace cairn
