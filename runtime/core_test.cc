#include "runtime/core.h"

#include <gtest/gtest.h>
#include <time.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/context.h"
#include "runtime/parallel.h"

namespace cairn {
namespace {

std::unique_ptr<Reactor> make_reactor() {
  auto io = make_io_backend();
  CHECK(io.has_value());
  return std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
}

std::vector<std::unique_ptr<Core>> start_cores(size_t count) {
  std::vector<std::unique_ptr<Core>> out;
  for (size_t i = 0; i < count; ++i) {
    auto core = Core::start();
    CHECK(core.has_value());
    out.push_back(std::move(*core));
  }
  return out;
}

/// Something that only its reactor may touch.
struct Counter {
  explicit Counter(Reactor& r) : home(r) {}
  Task<uint64_t> add(uint64_t more) {
    EXPECT_TRUE(home.on_home());
    EXPECT_FALSE(is_elsewhere(home));
    for (uint64_t i = 0; i < more; ++i) {
      ++value;
      if (i % 3 == 0) co_await home.yield();
    }
    co_return value;
  }
  Reactor& home;
  uint64_t value = 0;
};

Task<Result<void>> add_often(Reactor& from, Counter& to, int times) {
  for (int i = 0; i < times; ++i) {
    const Haste haste = i % 2 == 0 ? Haste::plain : Haste::urgent;
    const uint64_t now = co_await run_on(from, to.home, [&to] { return to.add(2); }, haste);
    EXPECT_TRUE(from.on_home());
    EXPECT_GE(now, 2u);
  }
  co_return Result<void>{};
}

TEST(Core, Each_counts_on_its_own_thread_what_others_ask_for) {
  // Goal: what is at home on a core needs no lock, and no hand-over is lost. Method: plain counters
  // on three cores, asked by a fourth reactor and by each other, many at once. TSan looks on.
  constexpr int kTimes = 200;
  constexpr size_t kAskers = 4;
  auto own = make_reactor();
  auto cores = start_cores(3);
  std::vector<std::unique_ptr<Counter>> counters;
  for (const auto& core : cores) counters.push_back(std::make_unique<Counter>(core->reactor()));
  std::vector<Task<Result<void>>> tasks;
  for (const auto& counter : counters) {
    for (size_t i = 0; i < kAskers; ++i) tasks.push_back(add_often(*own, *counter, kTimes));
    // From core to core.
    Counter& next = *counters[(&counter - counters.data() + 1) % 3];
    Reactor& here = counter->home;
    tasks.push_back(run_on(*own, here, [&here, &next] { return add_often(here, next, kTimes); }));
  }
  Context context(*own);
  const size_t count = tasks.size();
  EXPECT_TRUE(context.run(run_all(*own, std::move(tasks), count)));
  for (const auto& core : cores) core->end({});
  for (const auto& counter : counters) EXPECT_EQ(counter->value, (kAskers + 1) * kTimes * 2);
}

Task<void> add_void(Counter& counter) { (void)co_await counter.add(1); }
Task<std::unique_ptr<std::string>> give(std::unique_ptr<std::string> text) { co_return text; }

TEST(Core, What_is_handed_over_comes_back_uncopied) {
  auto own = make_reactor();
  auto cores = start_cores(1);
  Counter counter(cores[0]->reactor());
  Context context(*own);
  context.run(run_on(*own, counter.home, [&counter] { return add_void(counter); }));
  auto text = std::make_unique<std::string>("text");
  const std::string* const place = text.get();
  const auto back = context.run(run_on(
      *own, counter.home, [text = std::move(text)]() mutable { return give(std::move(text)); }));
  EXPECT_EQ(back.get(), place);
  cores[0]->end({});
  EXPECT_EQ(counter.value, 1u);
}

Task<void> wait_for_ever(WaitList& list) { co_await list.wait(); }

TEST(Core, Its_end_ends_what_waits_there_after_a_last_word_at_home) {
  // Goal: what needs the reactor is ended on its thread, and before it; frames that still wait are
  // not lost (ASan).
  auto cores = start_cores(1);
  Reactor& reactor = cores[0]->reactor();
  auto list = std::make_unique<WaitList>(reactor);
  reactor.post([&] { reactor.spawn(wait_for_ever(*list)); });
  std::thread::id there;
  bool at_home = false;
  cores[0]->end([&] {
    there = std::this_thread::get_id();
    at_home = reactor.on_home();
    list->wake_all();
    list.reset();
  });
  EXPECT_TRUE(at_home);
  EXPECT_NE(there, std::this_thread::get_id());
  cores[0]->end([] { FAIL(); });  // it has ended
}

Duration processor_time() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<Duration>(spent.tv_sec) * kSecond + static_cast<Duration>(spent.tv_nsec);
}

TEST(Core, Idle_ones_use_no_processor) {
  auto own = make_reactor();
  auto cores = start_cores(4);
  Context context(*own);
  Counter counter(cores[3]->reactor());
  EXPECT_EQ(context.run(run_on(*own, counter.home, [&counter] { return counter.add(3); })), 3u);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const Duration before = processor_time();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(processor_time() - before, 5 * kMillisecond);
}

TEST(Core, A_thread_at_one_is_elsewhere_for_all_others) {
  auto own = make_reactor();
  EXPECT_FALSE(is_elsewhere(*own));
  auto other = make_reactor();
  const Reactor::Visit visit(*own);
  EXPECT_FALSE(is_elsewhere(*own));
  EXPECT_TRUE(is_elsewhere(*other));
}

}  // namespace
}  // namespace cairn
