#include "runtime/task.h"

#include <gtest/gtest.h>

#include <memory>

namespace cairn {
namespace {

Task<int> give(int value) { co_return value; }

Task<uint64_t> sum_to(uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i) sum += static_cast<uint64_t>(co_await give(1));
  co_return sum;
}

Task<int> keep_alive(std::shared_ptr<int> held) { co_return *held; }

Task<void> outer(std::shared_ptr<int> held, int& out) { out = co_await keep_alive(held); }

TEST(Task, A_million_awaits_in_a_loop_do_not_grow_the_stack) {
  // Goal: tasks resume each other by symmetric transfer. Method: one loop of 1e6 awaits of ready
  // tasks. Without optimisation some compilers build the transfer as a call, hence the sanitizers'
  // limit.
  constexpr uint64_t kAwaits = 1'000'000;
  Task<uint64_t> task = sum_to(kAwaits);
  task.handle().resume();
  EXPECT_TRUE(task.done());
}

TEST(Task, A_task_that_never_started_frees_its_frame_and_parameters) {
  // Goal: no leak of lazy tasks. Method: count the owners of a parameter.
  auto held = std::make_shared<int>(7);
  {
    Task<int> never = keep_alive(held);
    EXPECT_EQ(held.use_count(), 2);
    EXPECT_FALSE(never.done());
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(Task, Ends_give_their_value_once_and_moves_leave_nothing_behind) {
  // Goal: ownership. Method: move a task, run it, replace it, count owners.
  auto held = std::make_shared<int>(7);
  int out = 0;
  Task<void> first = outer(held, out);
  Task<void> second = std::move(first);
  EXPECT_FALSE(first.valid());
  second.handle().resume();
  EXPECT_TRUE(second.done());
  EXPECT_EQ(out, 7);
  second = Task<void>();
  EXPECT_EQ(held.use_count(), 1);
}

Task<int> suspend_inside(std::shared_ptr<int> held) {
  co_await std::suspend_always{};
  co_return *held;
}

Task<void> wait_for_it(std::shared_ptr<int> held) { (void)co_await suspend_inside(held); }

TEST(Task, Destroying_a_suspended_chain_frees_all_of_it) {
  // Goal: what a power cut or a shutdown does to frames. Method: destroy the outermost of two.
  auto held = std::make_shared<int>(7);
  {
    Task<void> task = wait_for_it(held);
    task.handle().resume();
    EXPECT_FALSE(task.done());
    EXPECT_GE(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace cairn
