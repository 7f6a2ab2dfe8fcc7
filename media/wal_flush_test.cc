// One flush for records and their data (Wal::Data::flushed): who waits for which, and what is told
// when it fails. What a power cut leaves of it: wal_power_test.
#include <gtest/gtest.h>

#include "media/wal_testing.h"

namespace cairn::media {
namespace {

TEST(WalFlush, Record_and_data_are_written_plainly_and_flushed_once) {
  // Goal: one flush, after both. Method: in either order; the answer comes with the flush.
  for (const bool data_first : {true, false}) {
    SCOPED_TRACE(data_first);
    LogBench bench;
    bench.disk->hold = true;
    const Lsn lsn = bench.append(1, 0, Wal::Data::flushed);
    bench.watch(lsn, 1);
    bench.settle();
    ASSERT_EQ(bench.disk->writes.size(), 1u);
    EXPECT_TRUE(bench.disk->writes[0].plain);
    if (data_first) bench.wal->data_done(lsn, true);
    if (!data_first) bench.disk->end_write(0);
    bench.settle();
    EXPECT_TRUE(bench.disk->flushes.empty()) << "one of the two is not there yet";
    if (!data_first) bench.wal->data_done(lsn, true);
    if (data_first) bench.disk->end_write(0);
    bench.settle();
    ASSERT_EQ(bench.disk->flushes.size(), 1u);
    EXPECT_TRUE(bench.answered.empty());
    EXPECT_EQ(bench.wal->complete(), 0u);
    bench.disk->end_flush(0);
    bench.settle();
    EXPECT_EQ(bench.answered, (std::vector<int>{1}));
    EXPECT_EQ(bench.wal->complete(), kWalBlockBytes);
    EXPECT_EQ(bench.disk->flushes.size(), 1u);
  }
}

TEST(WalFlush, Those_who_come_while_one_is_under_way_share_the_next) {
  // Goal: a flush covers only what had landed before it, and as much of it as there is.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn one = bench.append(1, 0, Wal::Data::flushed);
  bench.watch(one, 1);
  bench.wal->data_done(one, true);
  bench.settle();
  bench.disk->end_write(0);
  bench.settle();
  ASSERT_EQ(bench.disk->flushes.size(), 1u);
  const Lsn two = bench.append(2, 0, Wal::Data::flushed);
  bench.watch(two, 2);
  bench.settle();
  const Lsn three = bench.append(3, 0, Wal::Data::flushed);
  bench.watch(three, 3);
  bench.wal->data_done(two, true);
  bench.wal->data_done(three, true);
  bench.settle();
  bench.disk->end_write(1);
  bench.settle();
  EXPECT_EQ(bench.disk->flushes.size(), 1u) << "the first is still under way";
  bench.disk->end_flush(0);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1}));
  ASSERT_EQ(bench.disk->flushes.size(), 2u);
  ASSERT_EQ(bench.disk->writes.size(), 3u) << "the third record's batch went when there was room";
  bench.disk->end_write(2);
  bench.settle();
  bench.disk->end_flush(1);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2}));
  ASSERT_EQ(bench.disk->flushes.size(), 3u);
  bench.disk->end_flush(2);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2, 3}));
}

TEST(WalFlush, A_flush_waits_for_the_oldest_record_alone) {
  // Goal: acknowledgement follows log order; no flush that could acknowledge nothing. Method: the
  // second record's data is there, the first one's is not; then it is.
  LogBench bench;
  const Lsn one = bench.append(1, 0, Wal::Data::flushed);
  const Lsn two = bench.append(2, 0, Wal::Data::flushed);
  bench.watch(one, 1);
  bench.watch(two, 2);
  bench.wal->data_done(two, true);
  bench.settle();
  EXPECT_TRUE(bench.disk->flushes.empty());
  bench.wal->data_done(one, true);
  bench.settle();
  EXPECT_EQ(bench.disk->flushes.size(), 1u);
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2}));
}

TEST(WalFlush, Records_of_all_kinds_stay_in_order) {
  // Goal: a durable write behind a plain one answers nothing before the flush.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn one = bench.append(1, 0, Wal::Data::flushed);
  bench.watch(one, 1);
  bench.settle();
  const Lsn two = bench.append(2);
  bench.watch(two, 2);
  bench.settle();
  ASSERT_EQ(bench.disk->writes.size(), 2u);
  EXPECT_FALSE(bench.disk->writes[1].plain);
  bench.disk->end_write(0);
  bench.disk->end_write(1);
  bench.settle();
  EXPECT_TRUE(bench.answered.empty());
  bench.wal->data_done(one, true);
  bench.settle();
  ASSERT_EQ(bench.disk->flushes.size(), 1u);
  bench.disk->end_flush(0);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2}));
}

TEST(WalFlush, One_that_fails_stops_the_log) {
  // Goal: store.md rule 11: never tried again, nothing answered.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn lsn = bench.append(1, 0, Wal::Data::flushed);
  bench.watch(lsn, 1);
  bench.wal->data_done(lsn, true);
  bench.settle();
  bench.disk->end_write(0);
  bench.settle();
  ASSERT_EQ(bench.disk->flushes.size(), 1u);
  bench.disk->end_flush(0, false);
  bench.settle();
  EXPECT_TRUE(bench.wal->stopped());
  EXPECT_EQ(bench.answered, (std::vector<int>{-1}));
  EXPECT_EQ(bench.disk->flushes.size(), 1u);
}

TEST(WalFlush, Draining_does_not_wait_for_data) {
  // Goal: as Wal::drain() says. Method: data is done only afterwards and needs a flush of its own.
  LogBench bench;
  const Lsn lsn = bench.append(1, 0, Wal::Data::flushed);
  bench.watch(lsn, 1);
  ASSERT_TRUE(bench.run(bench.wal->drain()));
  EXPECT_EQ(bench.disk->flushes.size(), 1u);
  EXPECT_TRUE(bench.answered.empty());
  bench.wal->data_done(lsn, true);
  bench.settle();
  EXPECT_EQ(bench.disk->flushes.size(), 2u);
  EXPECT_EQ(bench.answered, (std::vector<int>{1}));
}

}  // namespace
}  // namespace cairn::media
