#include "runtime/context.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

namespace cairn {
namespace {

std::unique_ptr<Reactor> make_reactor() {
  auto io = make_io_backend();
  CHECK(io.has_value());
  return std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
}

Task<int> count_up(Reactor& reactor, int& counter, Duration nap) {
  if (nap == 0) {
    co_await reactor.yield();
  } else {
    co_await reactor.sleep(nap);
  }
  co_return ++counter;
}

Task<void> count_up_void(Reactor& reactor, int& counter, Duration nap) {
  (void)co_await count_up(reactor, counter, nap);
}

Task<void> set_after(Reactor& reactor, std::atomic<bool>& flag, Duration nap) {
  co_await reactor.sleep(nap);
  flag = true;
}

TEST(Context, Many_threads_share_one_reactor_without_a_lock_of_their_own) {
  // Goal: the baton goes round and no call is lost. Method: eight threads, each 300 calls that
  // yield or sleep, on a plain counter, with and without the helper.
  for (const bool helper : {false, true}) {
    auto reactor = make_reactor();
    Context context(*reactor, {.helper = helper});
    constexpr int kThreads = 8;
    constexpr int kCalls = 300;
    int counter = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kCalls; ++i) {
          const Duration nap = (t + i) % 10 == 0 ? 50 * kMicrosecond : 0;
          if (i % 2 == 0) {
            EXPECT_GT(context.run(count_up(*reactor, counter, nap)), 0);
          } else {
            context.run(count_up_void(*reactor, counter, nap));
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(counter, kThreads * kCalls);
  }
}

/// Waits until `crowd` calls are inside; all of them go on in one turn.
Task<int> meet(Reactor& reactor, WaitList& met, int& inside, int crowd) {
  const int number = ++inside;
  if (inside == crowd) {
    inside = 0;
    met.wake_all();
  } else {
    co_await met.wait();
  }
  co_await reactor.yield();
  co_return number;
}

TEST(Context, A_crowd_whose_calls_end_in_one_turn_is_woken_whole) {
  // Goal: threads that wake one another leave nobody asleep. Method: crowds of many sizes; all of
  // one can only end together, and the next round starts with all of them. The time limit judges.
  for (const int crowd : {1, 2, 3, 4, 5, 7, 16, 33}) {
    auto reactor = make_reactor();
    Context context(*reactor);
    WaitList met(*reactor);
    constexpr int kRounds = 50;
    int inside = 0;
    std::atomic<int> sum{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < crowd; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) sum += context.run(meet(*reactor, met, inside, crowd));
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(sum.load(), kRounds * crowd * (crowd + 1) / 2);
  }
}

TEST(Context, A_step_at_once_runs_at_home_where_nobody_drives_and_leaves_room_for_turns) {
  // Goal: a step that needs no wait needs no task, and background work moves beside nothing but
  // such steps. Method: steps alone; one that makes a coroutine ready; one beside a driver.
  auto reactor = make_reactor();
  Context context(*reactor);
  EXPECT_TRUE(context.at_once([&] { return reactor->on_home(); }));
  EXPECT_FALSE(reactor->on_home());
  EXPECT_FALSE(context.at_once([] { return false; }));
  int counter = 0;
  EXPECT_TRUE(context.at_once([&] {
    reactor->spawn(count_up_void(*reactor, counter, 0));
    return true;
  }));
  EXPECT_EQ(counter, 1);

  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    if (context.at_once([] { return true; })) continue;
    ++refused;
    (void)context.run(count_up(*reactor, counter, 0));  // the long way takes a turn
  }
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 50);

  std::atomic<bool> inside{false};
  std::atomic<bool> over{false};
  std::thread driver([&] {
    context.drive_until(
        [&] {
          inside = true;
          return over.load();
        },
        kNever);
  });
  while (!inside) std::this_thread::yield();
  EXPECT_FALSE(context.at_once([] { return true; }));
  over = true;
  context.run(count_up_void(*reactor, counter, 0));  // the driver looks again
  driver.join();
}

TEST(ContextDeathTest, A_step_at_once_that_throws_ends_the_process) {
  // Goal: the baton is not lost with it. Method: what a lack of memory throws, and a caller that
  // would go on.
  auto reactor = make_reactor();
  Context context(*reactor);
  const auto lacks_memory = [&] {
    try {
      (void)context.at_once([]() -> bool { throw std::bad_alloc(); });
    } catch (const std::bad_alloc&) {
    }
  };
  EXPECT_DEATH(lacks_memory(), "");
}

TEST(Context, Drive_until_ends_with_the_condition_or_the_time) {
  // Goal: the three ends of drive_until. Method: never true; true after a timer; one look; alone,
  // then with another thread that drives.
  auto reactor = make_reactor();
  Context context(*reactor);
  const auto check = [&] {
    const Instant begin = system_clock().now();
    EXPECT_FALSE(context.drive_until([] { return false; }, 20 * kMillisecond));
    EXPECT_GE(system_clock().now() - begin, 20 * kMillisecond);
    EXPECT_FALSE(context.drive_until([] { return false; }, 0));
    EXPECT_TRUE(context.drive_until([] { return true; }, 0));
    std::atomic<bool> flag = false;
    context.start(set_after(*reactor, flag, 5 * kMillisecond));
    EXPECT_TRUE(context.drive_until([&flag] { return flag.load(); }, kNever));
  };
  check();
  std::atomic<bool> stop = false;
  std::thread other([&] { context.drive_until([&stop] { return stop.load(); }, kNever); });
  for (int i = 0; i < 5; ++i) check();
  stop = true;
  reactor->post([] {});
  other.join();
}

TEST(Context, Started_work_moves_while_somebody_polls) {
  // Goal: event queues. Method: start many, poll with no time, no helper.
  auto reactor = make_reactor();
  Context context(*reactor);
  int counter = 0;
  for (int i = 0; i < 100; ++i) {
    context.start(count_up_void(*reactor, counter, i % 2 == 0 ? 0 : kMillisecond));
  }
  const Instant begin = system_clock().now();
  while (!context.drive_until([&counter] { return counter == 100; }, 0)) {
    ASSERT_LT(system_clock().now() - begin, 30 * kSecond);
  }
}

TEST(Context, The_helper_moves_background_work_while_nobody_waits) {
  // Goal: store.md rule 24, the helper. Method: start a timer's work, only look at an atomic.
  auto reactor = make_reactor();
  std::atomic<bool> flags[3] = {};
  {
    Context context(*reactor, {.helper = true});
    for (auto& flag : flags) {
      context.start(set_after(*reactor, flag, 5 * kMillisecond));
      const Instant begin = system_clock().now();
      while (!flag) {
        ASSERT_LT(system_clock().now() - begin, 30 * kSecond);
        usleep(500);
      }
    }
  }
}

TEST(Context, A_forked_child_destroys_its_copy_without_harm) {
  // Goal: fork safety with a helper. Method: the child drops context and reactor; the parent goes
  // on.
  auto reactor = make_reactor();
  auto context = std::make_unique<Context>(*reactor, ContextOptions{.helper = true});
  int counter = 0;
  EXPECT_EQ(context->run(count_up(*reactor, counter, 0)), 1);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    context.reset();
    reactor.reset();
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(context->run(count_up(*reactor, counter, kMillisecond)), 2);
}

}  // namespace
}  // namespace cairn
