// Who shares a durable write: the rule alone, and in a log.
#include "media/wal_gather.h"

#include <gtest/gtest.h>

#include "media/wal_testing.h"

namespace cairn::media {
namespace {

constexpr Duration kWrite = kMillisecond;

Gather after_writes(Duration took = kWrite) {
  Gather gather;
  gather.wrote(took);
  return gather;
}

TEST(Gather, Those_who_were_answered_are_waited_for_until_nearly_all_are_back) {
  Gather gather = after_writes();
  gather.begin(64, 1000);
  EXPECT_TRUE(gather.holds(1000));
  EXPECT_TRUE(gather.holds(1059));
  EXPECT_FALSE(gather.holds(1060)) << "four of 64 may be late";
  gather.begin(2, 1060);
  EXPECT_TRUE(gather.holds(1061));
  EXPECT_FALSE(gather.holds(1062));
}

TEST(Gather, One_caller_alone_and_an_unknown_disk_wait_for_nobody) {
  Gather unknown;
  unknown.begin(64, 0);
  EXPECT_FALSE(unknown.holds(0));
  Gather alone = after_writes();
  alone.begin(1, 0);
  EXPECT_FALSE(alone.holds(0));
}

TEST(Gather, Patience_is_shorter_than_a_write_and_has_an_end) {
  EXPECT_EQ(after_writes(kMillisecond).patience(), kMillisecond / 4 * 3);
  EXPECT_EQ(after_writes(kSecond).patience(), 3 * kMillisecond);
  // Writes become faster and slower: the average follows both.
  Gather gather = after_writes(8 * kMillisecond);
  for (int i = 0; i < 100; ++i) gather.wrote(kMillisecond);
  EXPECT_LT(gather.patience(), kMillisecond);
  for (int i = 0; i < 100; ++i) gather.wrote(2 * kMillisecond);
  EXPECT_GT(gather.patience(), kMillisecond);
}

TEST(Gather, After_waiting_in_vain_it_lets_groups_go_and_then_tries_again) {
  Gather gather = after_writes();
  gather.begin(64, 0);
  gather.give_up(gather.number(), 10);
  EXPECT_FALSE(gather.holds(10));
  int passed = 0;
  for (; passed < 1000; ++passed) {
    gather.begin(64, 10);
    if (gather.holds(10)) break;
  }
  EXPECT_EQ(passed, 32);
}

TEST(Gather, Patience_that_ends_late_is_not_that_of_the_next_group) {
  Gather gather = after_writes();
  gather.begin(64, 0);
  const uint64_t first = gather.number();
  gather.begin(64, 60);
  gather.give_up(first, 60);
  EXPECT_TRUE(gather.holds(60)) << "it has hardly begun";
  gather.give_up(gather.number(), 124);
  gather.begin(64, 124);
  EXPECT_TRUE(gather.holds(124)) << "all were back in time: that was not in vain";
}

TEST(WalGather, Behind_a_cache_one_durable_write_is_under_way) {
  // Goal: what comes meanwhile shares the next one. Method: records in turns of their own while
  // writes are held; with and without a cache.
  for (const bool cache : {false, true}) {
    SCOPED_TRACE(cache);
    LogBench bench;
    if (cache) bench.put_behind_cache();
    bench.disk->hold = true;
    bench.append_alone(1);
    bench.append_alone(2);
    bench.append_alone(3);
    EXPECT_EQ(bench.disk->writes.size(), cache ? 1u : 2u);
    bench.disk->end_write(0);
    bench.settle();
    EXPECT_EQ(bench.disk->writes.size(), cache ? 2u : 3u);
  }
}

TEST(WalGather, Callers_who_were_answered_together_share_the_next_write) {
  // Goal: the log waits for all of a group, or as long as it may. Method: four callers; all of them
  // come back, then one of them.
  LogBench bench;
  bench.put_behind_cache();
  bench.disk->hold = true;
  for (int i = 1; i <= 4; ++i) bench.watch(bench.append(static_cast<uint64_t>(i)), i);
  bench.settle();
  ASSERT_EQ(bench.disk->writes.size(), 1u);
  bench.clock.advance_to(bench.clock.now() + kWrite);
  bench.disk->end_write(0);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2, 3, 4}));
  for (int i = 5; i <= 8; ++i) {
    EXPECT_EQ(bench.disk->writes.size(), 1u) << i;
    bench.watch(bench.append(static_cast<uint64_t>(i)), i);
    bench.settle();
  }
  ASSERT_EQ(bench.disk->writes.size(), 2u) << "all are back";

  bench.clock.advance_to(bench.clock.now() + kWrite);
  bench.disk->end_write(1);
  bench.settle();
  bench.watch(bench.append(9), 9);
  bench.settle();
  EXPECT_EQ(bench.disk->writes.size(), 2u);
  bench.clock.advance_to(bench.clock.now() + kWrite);
  bench.settle();
  ASSERT_EQ(bench.disk->writes.size(), 3u) << "the others took too long";
  bench.disk->end_write(2);
  bench.settle();
  EXPECT_EQ(bench.answered.size(), 9u);
}

Task<void> append_one(LogBench& bench, int number) {
  bench.watch(bench.append(static_cast<uint64_t>(number)), number);
  co_return;
}

Task<void> nothing() { co_return; }

TEST(WalGather, Those_who_append_in_one_turn_share_a_write_however_urgent) {
  // Goal: a burst of small updates is one write, not one update and then the rest. Method: forty
  // tasks, urgent or not, alone and beside others that have something else to do.
  for (const bool urgent : {false, true}) {
    for (const bool beside : {false, true}) {
      SCOPED_TRACE(::testing::Message() << urgent << beside);
      LogBench bench;
      bench.disk->hold = true;
      for (int i = 1; i <= 40; ++i) {
        if (beside) bench.reactor->spawn(nothing());
        urgent ? bench.reactor->spawn_urgent(append_one(bench, i))
               : bench.reactor->spawn(append_one(bench, i));
      }
      bench.settle();
      ASSERT_EQ(bench.disk->writes.size(), 1u);
      bench.disk->end_write(0);
      bench.settle();
      EXPECT_EQ(bench.answered.size(), 40u);
    }
  }
}

}  // namespace
}  // namespace cairn::media
