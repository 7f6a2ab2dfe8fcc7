#include "runtime/reactor.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "runtime/parallel.h"

namespace cairn {
namespace {

class ToldClock final : public Clock {
 public:
  Instant now() override { return time; }
  uint64_t wall_ns() override { return time; }
  Instant time = 0;
};

struct Bench {
  void settle() {
    while (reactor.turn()) {
    }
  }
  ToldClock clock;
  SeededRandom random{1};
  Reactor reactor{clock, random, nullptr};
  std::vector<int> seen;
};

Task<void> note(Bench& bench, int value) {
  bench.seen.push_back(value);
  co_return;
}

Task<void> note_after(Bench& bench, Duration delay, int value) {
  co_await bench.reactor.sleep(delay);
  bench.seen.push_back(value);
}

Task<void> note_around_yield(Bench& bench, int value) {
  bench.seen.push_back(value);
  co_await bench.reactor.yield();
  bench.seen.push_back(value + 10);
}

TEST(Reactor, Urgent_tasks_go_first_but_not_for_ever) {
  // Goal: what somebody waits for does not stand behind long work, and cannot keep that from its
  // turn. Method: three tasks, then forty urgent ones, then one that is to be the very first.
  Bench bench;
  for (int i = 1; i <= 3; ++i) bench.reactor.spawn(note(bench, i));
  for (int i = 0; i < 40; ++i) bench.reactor.spawn_urgent(note(bench, 100 + i));
  bench.reactor.spawn_first(note(bench, 0));
  EXPECT_TRUE(bench.reactor.has_ready());
  bench.settle();
  ASSERT_EQ(bench.seen.size(), 44u);
  EXPECT_EQ(bench.seen[0], 0);
  EXPECT_EQ(bench.seen[1], 100);
  std::vector<int> urgent;
  size_t in_a_row = 0, most = 0;
  for (const int value : bench.seen) {
    in_a_row = value == 0 || value >= 100 ? in_a_row + 1 : 0;
    most = std::max(most, in_a_row);
    if (value >= 100) urgent.push_back(value);
  }
  EXPECT_TRUE(std::ranges::is_sorted(urgent));
  EXPECT_LE(most, 16u);
  EXPECT_GT(most, 8u) << "they do go first";
  EXPECT_FALSE(bench.reactor.has_ready());
}

TEST(Reactor, Urgent_tasks_have_no_others_to_wait_for_where_none_waited) {
  // Goal: their turns count only while somebody else waits. Method: fifteen, then one task beside
  // ten more.
  Bench bench;
  for (int i = 0; i < 15; ++i) bench.reactor.spawn_urgent(note(bench, 100 + i));
  bench.settle();
  bench.reactor.spawn(note(bench, 1));
  for (int i = 0; i < 10; ++i) bench.reactor.spawn_urgent(note(bench, 200 + i));
  bench.settle();
  ASSERT_EQ(bench.seen.size(), 26u);
  EXPECT_EQ(bench.seen.back(), 1);
}

/// Spawns another behind those of its kind.
Task<void> spawn_another(Bench& bench, int value) {
  bench.seen.push_back(value);
  bench.reactor.spawn_behind(note(bench, value + 10));
  co_return;
}

TEST(Reactor, A_task_behind_those_of_its_kind_keeps_their_urgency) {
  // Goal: spawn_behind(). Method: urgent tasks and others, each kind with one that spawns another.
  Bench bench;
  bench.reactor.spawn(spawn_another(bench, 1));
  bench.reactor.spawn(note(bench, 2));
  bench.reactor.spawn_urgent(spawn_another(bench, 101));
  bench.reactor.spawn_urgent(note(bench, 102));
  bench.settle();
  EXPECT_EQ(bench.seen, (std::vector<int>{101, 102, 111, 1, 2, 11}));
}

/// Counts looks, and says of the first `finds` that something ended.
class CountedLooks final : public IoBackend {
 public:
  const char* name() const override { return "looks"; }
  void submit(IoRequest&) override {}
  size_t reap() override {
    ++looks;
    if (finds == 0) return 0;
    --finds;
    on_find();
    return 1;
  }
  void kick() override {}
  void cancel(IoRequest&) override {}
  size_t in_flight() const override { return 0; }
  void wait(Duration) override {}
  void wake() override {}
  bool forget(int) override { return true; }

  size_t looks = 0;
  size_t finds = 0;
  std::function<void()> on_find;
};

Task<void> yield_times(Reactor& reactor, int times) {
  for (int i = 0; i < times; ++i) co_await reactor.yield();
}

TEST(Reactor, Each_turn_looks_at_io_unless_that_was_just_done) {
  // Goal: I/O does not wait for those who are always ready, and no look is made twice. Method: a
  // task that yields on a clock that stands still; an idle reactor that finds something.
  ToldClock clock;
  SeededRandom random{1};
  auto owned = std::make_unique<CountedLooks>();
  CountedLooks& io = *owned;
  Reactor reactor(clock, random, std::move(owned));
  reactor.spawn(yield_times(reactor, 100));
  for (size_t turn = 1; turn <= 5; ++turn) {
    EXPECT_TRUE(reactor.turn());
    EXPECT_EQ(io.looks, turn);
  }
  while (reactor.turn()) {
  }
  reactor.spawn(yield_times(reactor, 0));
  EXPECT_TRUE(reactor.turn());

  io.finds = 1;
  io.on_find = [&] { reactor.spawn(yield_times(reactor, 100)); };
  for (int i = 0; i < 100 && io.finds != 0; ++i) reactor.idle(kMillisecond);
  ASSERT_EQ(io.finds, 0u);
  const size_t before = io.looks;
  EXPECT_TRUE(reactor.turn());
  EXPECT_EQ(io.looks, before) << "it was just made";
  EXPECT_TRUE(reactor.turn());
  EXPECT_EQ(io.looks, before + 1);
}

TEST(Reactor, Ready_tasks_run_in_order_and_a_yield_goes_to_the_end) {
  // Goal: the ready queue is first in, first out. Method: three tasks, one yield each.
  Bench bench;
  for (int i = 1; i <= 3; ++i) bench.reactor.spawn(note_around_yield(bench, i));
  EXPECT_EQ(bench.reactor.live_tasks(), 3u);
  EXPECT_TRUE(bench.seen.empty());
  bench.settle();
  EXPECT_EQ(bench.seen, (std::vector<int>{1, 2, 3, 11, 12, 13}));
  EXPECT_EQ(bench.reactor.live_tasks(), 0u);
  EXPECT_FALSE(bench.reactor.pending());
}

TEST(Reactor, Timers_fire_in_order_of_time_and_equal_ones_in_order_of_arrival) {
  // Goal: determinism of timers. Method: told clock; equal, earlier and later timers; none fires
  // early.
  Bench bench;
  bench.reactor.spawn(note_after(bench, 20, 1));
  bench.reactor.spawn(note_after(bench, 10, 2));
  bench.reactor.spawn(note_after(bench, 20, 3));
  bench.settle();
  EXPECT_EQ(bench.reactor.next_timer(), 10u);
  bench.clock.time = 9;
  bench.settle();
  EXPECT_TRUE(bench.seen.empty());
  bench.clock.time = 20;
  bench.settle();
  EXPECT_EQ(bench.seen, (std::vector<int>{2, 1, 3}));
  EXPECT_EQ(bench.reactor.next_timer(), kNever);
}

TEST(Reactor, Posts_of_other_threads_arrive_all_and_in_order_per_thread) {
  // Goal: the mailbox loses nothing. Method: four threads post 5000 letters each to a reactor that
  // sleeps.
  Bench bench;
  constexpr int kThreads = 4;
  constexpr int kLetters = 5000;
  int last[kThreads] = {};
  int count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kLetters; ++i) {
        bench.reactor.post([&, t, i] {
          EXPECT_EQ(last[t], i - 1);
          last[t] = i;
          ++count;
        });
      }
    });
  }
  while (count < kThreads * kLetters) {
    if (!bench.reactor.turn()) bench.reactor.idle(kNever);
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(bench.reactor.has_mail());
}

Task<void> wait_and_note(Bench& bench, WaitList& list, int value) {
  co_await list.wait();
  bench.seen.push_back(value);
}

TEST(WaitList, Wakes_all_in_order_and_forgets_frames_that_are_destroyed) {
  // Goal: order, and clean ends. Method: three waiters woken; then a reactor destroyed with waiters
  // inside.
  auto bench = std::make_unique<Bench>();
  {
    WaitList list(bench->reactor);
    for (int i = 1; i <= 3; ++i) bench->reactor.spawn(wait_and_note(*bench, list, i));
    bench->settle();
    EXPECT_FALSE(list.empty());
    list.wake_all();
    EXPECT_TRUE(list.empty());
    bench->settle();
    EXPECT_EQ(bench->seen, (std::vector<int>{1, 2, 3}));
  }
  ToldClock clock;
  SeededRandom random(1);
  auto reactor = std::make_unique<Reactor>(clock, random, nullptr);
  WaitList list(*reactor);
  for (int i = 1; i <= 3; ++i) reactor->spawn(wait_and_note(*bench, list, i));
  reactor->turn();
  EXPECT_FALSE(list.empty());
  reactor.reset();
  EXPECT_TRUE(list.empty());
}

Task<void> work_inside(Bench& bench, Gate& gate, Duration length) {
  auto hold = gate.enter();
  EXPECT_TRUE(hold.has_value());
  co_await bench.reactor.sleep(length);
  bench.seen.push_back(1);
}

Task<void> close_gate(Bench& bench, Gate& gate) {
  co_await gate.close();
  bench.seen.push_back(2);
}

TEST(Gate, Close_refuses_the_new_and_waits_for_the_last) {
  // Goal: orderly ends. Method: two inside, close, one refused; closed after both left; closing
  // twice is fine.
  Bench bench;
  Gate gate(bench.reactor);
  bench.reactor.spawn(work_inside(bench, gate, 10));
  bench.reactor.spawn(work_inside(bench, gate, 20));
  bench.settle();
  bench.reactor.spawn(close_gate(bench, gate));
  bench.settle();
  const auto refused = gate.enter();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::shutdown);
  bench.clock.time = 15;
  bench.settle();
  EXPECT_EQ(bench.seen, (std::vector<int>{1}));
  bench.clock.time = 20;
  bench.settle();
  EXPECT_EQ(bench.seen, (std::vector<int>{1, 1, 2}));
  bench.reactor.spawn(close_gate(bench, gate));
  bench.settle();
  EXPECT_EQ(bench.seen.back(), 2);
}

TEST(Reactor, Frames_that_have_not_ended_go_with_it) {
  // Goal: no leak at shutdown. Method: sleeping, ready and never started tasks; the leak check
  // judges.
  Bench bench;
  bench.reactor.spawn(note_after(bench, 10, 1));
  bench.reactor.turn();
  bench.reactor.spawn(note(bench, 2));
  EXPECT_EQ(bench.reactor.live_tasks(), 2u);
}

Task<Result<void>> fail_after(Bench& bench, Duration delay, Errc code, size_t& inside,
                              size_t& most) {
  most = std::max(most, ++inside);
  co_await bench.reactor.sleep(delay);
  --inside;
  if (code != Errc::ok) co_return fail(code, "test");
  co_return Result<void>{};
}

Task<void> run_three(Bench& bench, size_t& most, Result<void>& out) {
  size_t inside = 0;
  std::vector<Task<Result<void>>> tasks;
  tasks.push_back(fail_after(bench, 30, Errc::ok, inside, most));
  tasks.push_back(fail_after(bench, 20, Errc::io, inside, most));
  tasks.push_back(fail_after(bench, 10, Errc::no_space, inside, most));
  out = co_await run_all(bench.reactor, std::move(tasks), 2);
  bench.seen.push_back(static_cast<int>(inside));
}

TEST(RunAll, Keeps_its_limit_waits_for_all_and_gives_the_first_error_in_order) {
  // Goal: the contract of run_all. Method: three tasks, two at once; the second and third fail.
  Bench bench;
  size_t most = 0;
  Result<void> out;
  bench.reactor.spawn(run_three(bench, most, out));
  for (; bench.clock.time < 100; ++bench.clock.time) bench.settle();
  EXPECT_EQ(most, 2u);
  EXPECT_EQ(bench.seen, (std::vector<int>{0}));
  ASSERT_FALSE(out.has_value());
  EXPECT_EQ(out.error().code(), Errc::io);
}

Duration cpu_used() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto ns = [](const timeval& t) {
    return static_cast<Duration>(t.tv_sec) * kSecond + static_cast<Duration>(t.tv_usec) * 1000;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

TEST(Reactor, An_idle_reactor_uses_no_processor) {
  // Goal: design.md 9a, sleep in the kernel. Method: idle for half a second, with each backend; the
  // thread's processor time stays far below that, beside a sanitizer and other work too.
  for (const char* io : {"", "threads"}) {
    if (*io != 0) setenv("CAIRN_IO", io, 1);
    auto backend = make_io_backend();
    ASSERT_TRUE(backend.has_value());
    Reactor reactor(system_clock(), system_random(), std::move(*backend));
    const Instant end = system_clock().now() + kSecond / 2;
    const Duration before = cpu_used();
    for (Instant now = system_clock().now(); now < end; now = system_clock().now()) {
      if (!reactor.turn()) reactor.idle(end - now);
    }
    EXPECT_LT(cpu_used() - before, 40 * kMillisecond);
  }
  unsetenv("CAIRN_IO");
}

}  // namespace
}  // namespace cairn
