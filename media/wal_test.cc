// The writing side of the log: grouping, order, room, data beside records, stops.
#include "media/wal.h"

#include <gtest/gtest.h>

#include "media/wal_testing.h"

namespace cairn::media {
namespace {

Task<void> append_later(LogBench& bench, uint64_t n, int turns) {
  bench.wal->expect(1);
  for (int i = 0; i < turns; ++i) co_await bench.reactor->yield_behind();
  bench.wal->expect(-1);
  bench.append(n);
}

constexpr uint64_t kBlock = kWalBlockBytes;

TEST(Wal, An_open_batch_is_closed_behind_those_who_said_that_they_append_in_their_next_step) {
  // Goal: who lets others run first still shares their write, and nobody waits for long. Method:
  // ten callers of whom one appends at once, the others a step later; then one who does not keep
  // his word.
  LogBench bench;
  for (uint64_t n = 0; n < 10; ++n) {
    bench.reactor->spawn(append_later(bench, n, n == 0 ? 0 : 1));
  }
  bench.settle();
  ASSERT_EQ(bench.disk->writes.size(), 1u);
  bench.reactor->spawn(append_later(bench, 10, 20));
  bench.reactor->spawn(append_later(bench, 11, 0));
  bench.settle();
  EXPECT_EQ(bench.disk->writes.size(), 3u);
  auto log = bench.read();
  ASSERT_TRUE(log);
  EXPECT_EQ(log->records.size(), 12u);
}

TEST(Wal, Records_of_one_turn_become_one_write_in_order) {
  // Goal: group commit. Method: 64 appends in one turn; one write; read back.
  LogBench bench;
  Lsn before = 0;
  for (uint64_t n = 0; n < 64; ++n) {
    const Lsn lsn = bench.append(n);
    EXPECT_GT(lsn, before);
    EXPECT_EQ(bench.wal->appended(), lsn);
    before = lsn;
  }
  EXPECT_TRUE(bench.disk->writes.empty());
  bench.settle();
  EXPECT_EQ(bench.wal->write_count(), 1u);
  EXPECT_EQ(bench.disk->writes.size(), 1u);
  EXPECT_GE(bench.wal->complete(), before);
  const auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->records.size(), 64u);
  for (uint64_t n = 0; n < 64; ++n) EXPECT_EQ(log->records[n], record_bytes(n));
  EXPECT_EQ(log->lsns.back(), before);
  EXPECT_EQ(log->summary.end, bench.wal->complete());
  EXPECT_EQ(log->summary.batches, 1u);
  EXPECT_EQ(log->summary.records, 64u);
}

TEST(Wal, Two_small_writes_are_under_way_and_four_when_batches_are_large) {
  // Goal: several writes in flight, without falling apart into small ones. Method: held writes;
  // a record a turn, then records of 64 KiB.
  LogBench bench(512 * kBlock);
  bench.disk->hold = true;
  bench.append_alone(1);
  bench.append_alone(2);
  bench.append_alone(3);
  bench.append_alone(4);
  EXPECT_EQ(bench.disk->writes.size(), 2u) << "the third and fourth wait together";
  bench.append_alone(5, 64 << 10);
  EXPECT_EQ(bench.disk->writes.size(), 3u) << "a busy batch does not wait";
  bench.append_alone(6, 64 << 10);
  EXPECT_EQ(bench.disk->writes.size(), 4u);
  bench.append_alone(7, 64 << 10);
  EXPECT_EQ(bench.disk->writes.size(), 4u) << "writes_in_flight_max";
  for (size_t i = 0; i < bench.disk->writes.size(); ++i) {
    bench.disk->end_write(i);
    bench.settle();
  }
  EXPECT_GE(bench.wal->complete(), bench.wal->appended());
  EXPECT_EQ(bench.read()->records.size(), 7u);
}

TEST(Wal, Answers_follow_log_order_though_writes_end_in_another) {
  // Goal: acknowledgement in log order. Method: the second write ends first; watchers registered in
  // reverse.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn one = bench.append_alone(1);
  const Lsn two = bench.append_alone(2);
  bench.watch(two, 2);
  bench.watch(one, 1);
  bench.settle();
  ASSERT_EQ(bench.disk->writes.size(), 2u);
  bench.disk->end_write(1);
  bench.settle();
  EXPECT_EQ(bench.wal->complete(), 0u);
  EXPECT_TRUE(bench.answered.empty());
  bench.disk->end_write(0);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2}));
  EXPECT_GE(bench.wal->complete(), two);
}

TEST(Wal, The_ring_wraps_for_ever_and_reads_back_from_the_trim_point) {
  // Goal: wrap, also inside a write. Method: 300 records of 1 to 3 blocks over a ring of 16 blocks;
  // trim every third write; the rest reads back.
  LogBench bench(16 * kBlock);
  size_t split = 0;
  uint64_t first_kept = 0;
  for (uint64_t n = 0; n < 300; ++n) {
    const size_t bytes = 12 + n * 977 % (2 * kBlock);
    ASSERT_TRUE(bench.wal->room(bytes));
    const size_t before = bench.disk->writes.size();
    bench.append_alone(n, bytes);
    split += bench.disk->writes.size() - before > 1;
    if (n % 3 != 2) continue;
    const auto log = bench.read();
    ASSERT_TRUE(log.has_value()) << n;
    ASSERT_EQ(log->records.size(), n + 1 - first_kept);
    for (uint64_t i = first_kept; i <= n; ++i) {
      ASSERT_EQ(log->records[i - first_kept], record_bytes(i, 12 + i * 977 % (2 * kBlock)));
    }
    bench.start = bench.wal->seal();
    bench.wal->trim(bench.start.position);
    first_kept = n + 1;
    ASSERT_EQ(bench.read()->records.size(), 0u);
  }
  EXPECT_GT(split, 5u) << "writes over the ring's end";
  EXPECT_GT(bench.wal->complete(), 10 * bench.wal->ring_bytes());
}

TEST(Wal, Room_keeps_an_eighth_for_checkpoints_and_trim_gives_room_back) {
  // Goal: room, used_bytes, reserve. Method: fill a ring of 64 blocks with one-block writes.
  LogBench bench;
  size_t count = 0;
  while (bench.wal->room(100)) {
    bench.append_alone(++count, 100);
    ASSERT_EQ(bench.wal->used_bytes(), count * kBlock);
  }
  EXPECT_EQ(count, 56u);
  EXPECT_FALSE(bench.wal->room(bench.wal->ring_bytes() + 1));
  EXPECT_FALSE(bench.wal->room(~uint64_t{0}));
  for (int i = 0; i < 8; ++i) bench.append_alone(100, 100);  // the checkpoint's own
  EXPECT_EQ(bench.wal->used_bytes(), bench.wal->ring_bytes());
  EXPECT_EQ(bench.read()->batches.size(), 64u) << "a full ring reads back";
  bench.wal->trim(20 * kBlock);
  EXPECT_TRUE(bench.wal->room(100));
  EXPECT_EQ(bench.wal->used_bytes(), 44 * kBlock);
}

TEST(Wal, A_record_larger_than_a_write_stands_alone) {
  // Goal: outsized records. Method: small, large, small in one turn; three writes.
  LogBench bench(256 * kBlock, {.write_bytes_max = 16 << 10, .writes_in_flight_max = 4});
  bench.append(1, 100);
  bench.append(2, 200 << 10);
  bench.append(3, 100);
  bench.settle();
  const auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->batches.size(), 3u);
  EXPECT_EQ(log->records[1], record_bytes(2, 200 << 10));
  EXPECT_EQ(log->records[2], record_bytes(3, 100));
}

TEST(Wal, Empty_records_and_large_ones_share_a_batch) {
  // Goal: sizes at the edges. Method: 0 bytes, one that fills its block exactly, one more byte.
  LogBench bench;
  bench.wal->append({}, Wal::Data::none);
  bench.append(1, kBlock - sizeof(WalHeader) - 2 * kWalRecordHeaderBytes);
  EXPECT_EQ(bench.wal->used_bytes(), kBlock);
  bench.wal->append({}, Wal::Data::none);
  EXPECT_EQ(bench.wal->used_bytes(), 2 * kBlock);
  bench.settle();
  const auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->records.size(), 3u);
  EXPECT_TRUE(log->records[0].empty());
  EXPECT_TRUE(log->records[2].empty());
}

TEST(Wal, A_record_is_complete_when_its_data_is_there_and_all_before_it) {
  // Goal: data_done. Method: three records with data in one write, one without; data ends 3, 1, 2.
  LogBench bench;
  std::vector<Lsn> lsns;
  for (uint64_t n = 0; n < 3; ++n) lsns.push_back(bench.append(n, 0, Wal::Data::durable));
  const Lsn plain = bench.append(3);
  for (int n = 0; n < 3; ++n) bench.watch(lsns[static_cast<size_t>(n)], n + 1);
  bench.watch(plain, 4);
  bench.settle();
  EXPECT_EQ(bench.wal->complete(), 0u);
  bench.wal->data_done(lsns[2], true);
  bench.settle();
  EXPECT_TRUE(bench.answered.empty());
  bench.wal->data_done(lsns[0], true);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1}));
  EXPECT_EQ(bench.wal->complete(), lsns[0]);
  bench.wal->data_done(lsns[1], true);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1, 2, 3, 4}));
}

TEST(Wal, Data_that_ends_before_the_log_write_acknowledges_nothing) {
  // Goal: both are needed. Method: data first, then the write.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn lsn = bench.append(1, 0, Wal::Data::durable);
  bench.watch(lsn, 1);
  bench.settle();
  bench.wal->data_done(lsn, true);
  bench.settle();
  EXPECT_TRUE(bench.answered.empty());
  bench.disk->end_write(0);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1}));
}

TEST(Wal, Data_that_fails_stops_the_log) {
  // Goal: store.md rule 11. Method: two records with data; the second fails; the first ends later.
  LogBench bench;
  const Lsn one = bench.append(1, 0, Wal::Data::durable);
  const Lsn two = bench.append(2, 0, Wal::Data::durable);
  bench.watch(one, 1);
  bench.watch(two, 2);
  bench.settle();
  bench.wal->data_done(two, false);
  bench.wal->data_done(one, true);
  bench.settle();
  EXPECT_TRUE(bench.wal->stopped());
  EXPECT_EQ(bench.answered, (std::vector<int>{-1, -2}));
}

TEST(Wal, Complete_is_carried_by_the_next_write_or_by_an_empty_one) {
  // Goal: complete_recorded, record_complete. Method: as store.md rule 10 uses them.
  LogBench bench;
  const Lsn one = bench.append_alone(1);
  EXPECT_EQ(bench.wal->complete(), kBlock);
  EXPECT_EQ(bench.wal->complete_recorded(), 0u) << "no write says so yet";
  bench.append_alone(2);
  EXPECT_EQ(bench.wal->complete_recorded(), kBlock);
  bench.wal->record_complete(one);
  bench.wal->record_complete(bench.wal->complete() + 1);
  bench.settle();
  EXPECT_EQ(bench.wal->write_count(), 2u) << "known already, and not yet true";
  bench.wal->record_complete(2 * kBlock);
  bench.wal->record_complete(2 * kBlock);
  bench.settle();
  EXPECT_EQ(bench.wal->write_count(), 3u) << "one empty write";
  EXPECT_EQ(bench.wal->complete_recorded(), 2 * kBlock);
  const auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  EXPECT_EQ(log->records.size(), 2u);
  EXPECT_EQ(log->summary.batches, 3u);
  EXPECT_EQ(log->summary.complete, 2 * kBlock);
}

TEST(Wal, An_empty_write_takes_no_room_from_checkpoints) {
  // Goal: record_complete does nothing in a full ring. Method: fill, then ask.
  LogBench bench(16 * kBlock);
  while (bench.wal->room(100)) bench.append_alone(1, 100);
  const uint64_t writes = bench.wal->write_count();
  bench.wal->record_complete(bench.wal->complete());
  bench.settle();
  EXPECT_EQ(bench.wal->write_count(), writes);
}

TEST(Wal, Seal_ends_the_batch_and_names_the_place_where_replay_goes_on) {
  // Goal: seal. Method: records before and after it in one turn; read from what it returned.
  LogBench bench;
  bench.append(1);
  const WalStart middle = bench.wal->seal();
  EXPECT_EQ(middle.position, kBlock);
  EXPECT_EQ(middle.incarnation, 1u);
  bench.append(2);
  bench.watch(middle.position, 1);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{1}));
  const auto log = bench.read(middle);
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->records.size(), 1u);
  EXPECT_EQ(log->records[0], record_bytes(2));
  EXPECT_EQ(bench.wal->seal().position, 2 * kBlock) << "nothing open: where it stands";
  EXPECT_EQ(bench.read()->records.size(), 2u);
}

TEST(Wal, What_seal_returns_after_a_stop_is_refused) {
  // Goal: a stop drops the open batch, so no position stands for "everything appended so far".
  // Method: all complete, one more record open, stop; then the same without an open record.
  for (const bool open : {true, false}) {
    LogBench bench;
    bench.append_alone(1);
    const Lsn good = bench.wal->complete();
    Lsn lost = bench.wal->appended();
    if (open) lost = bench.append(2);
    bench.wal->data_done(lost, false);
    ASSERT_TRUE(bench.wal->stopped());
    EXPECT_FALSE(bench.run(bench.wal->durable(bench.wal->seal().position)));
    if (open) {
      EXPECT_FALSE(bench.run(bench.wal->durable(lost)));
    }
    EXPECT_TRUE(bench.run(bench.wal->durable(good))) << "what was complete stays so";
  }
}

TEST(Wal, A_record_appended_after_a_stop_is_refused_even_if_no_other_was_lost) {
  // Goal: the position of such a record is beyond complete(), which ends at a block border.
  // Method: one short record, complete to its block's end; stop; appends.
  LogBench bench;
  bench.append_alone(1);
  bench.wal->data_done(bench.wal->appended(), false);
  ASSERT_TRUE(bench.wal->stopped());
  EXPECT_TRUE(bench.wal->room(1u << 30)) << "go on and meet the error";
  Lsn before = 0;
  for (uint64_t n = 2; n < 5; ++n) {
    const Lsn lsn = bench.append(n);
    EXPECT_GT(lsn, before);
    EXPECT_EQ(bench.run(bench.wal->durable(lsn)).error().code(), Errc::io);
    before = lsn;
  }
  EXPECT_FALSE(bench.run(bench.wal->durable(bench.wal->seal().position)));
  EXPECT_FALSE(bench.run(bench.wal->drain()));
  EXPECT_EQ(bench.wal->write_count(), 1u);
}

TEST(Wal, A_write_error_stops_everything_before_anything_is_answered) {
  // Goal: promise 1. Method: the first of two writes fails, the second succeeds; a third is under
  // way, a fourth record open.
  LogBench bench;
  bench.disk->hold = true;
  for (int n = 1; n <= 3; ++n) bench.watch(bench.append_alone(static_cast<uint64_t>(n)), n);
  ASSERT_EQ(bench.disk->writes.size(), 2u);
  bench.disk->end_write(1);
  bench.settle();
  EXPECT_EQ(bench.disk->writes.size(), 3u);
  bench.watch(bench.append(4), 4);
  bench.disk->end_write(0, false);
  bench.settle();
  EXPECT_TRUE(bench.wal->stopped());
  EXPECT_EQ(bench.answered, (std::vector<int>{-1, -2, -3, -4}));
  EXPECT_EQ(bench.wal->complete(), 0u);
  bench.append_alone(5);
  EXPECT_EQ(bench.disk->writes.size(), 3u) << "nothing is written again";
}

TEST(Wal, A_later_write_that_fails_keeps_what_was_acknowledged) {
  // Goal: no false alarm backwards. Method: the second write fails first, then the first succeeds.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn one = bench.append_alone(1);
  const Lsn two = bench.append_alone(2);
  bench.disk->end_write(1, false);
  bench.settle();
  bench.watch(one, 1);
  bench.watch(two, 2);
  bench.disk->end_write(0);
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{-1, -2})) << "stopped is stopped";
}

TEST(Wal, Drain_waits_for_all_writes_and_ends_the_open_batch) {
  // Goal: drain. Method: held writes and an open record; with an error too.
  for (const bool ok : {true, false}) {
    LogBench bench;
    bench.disk->hold = true;
    bench.append_alone(1);
    bench.append_alone(2);
    bench.append(3);
    std::optional<Result<void>> drained;
    auto wait = [](Wal& wal, std::optional<Result<void>>& out) -> Task<void> {
      out.emplace(co_await wal.drain());
    };
    bench.reactor->spawn(wait(*bench.wal, drained));
    bench.settle();
    EXPECT_EQ(bench.disk->writes.size(), 3u);
    bench.disk->end_write(2);
    bench.disk->end_write(0);
    bench.settle();
    EXPECT_FALSE(drained.has_value());
    bench.disk->end_write(1, ok);
    bench.settle();
    ASSERT_TRUE(drained.has_value());
    EXPECT_EQ(drained->has_value(), ok);
  }
}

TEST(Wal, Drain_of_an_idle_log_returns_at_once) {
  // Goal: no hang. Method: new log; after a record with data still under way.
  LogBench bench;
  EXPECT_TRUE(bench.run(bench.wal->drain()));
  bench.append_alone(1);
  bench.append(2, 0, Wal::Data::durable);
  EXPECT_TRUE(bench.run(bench.wal->drain())) << "data may still be under way";
}

TEST(Wal, Those_who_wait_for_a_log_that_goes_get_an_error) {
  // Goal: ~Wal. Method: a watcher of a held write; the log goes, the write ends later.
  LogBench bench;
  bench.disk->hold = true;
  bench.watch(bench.append_alone(1), 1);
  bench.settle();
  bench.wal.reset();
  bench.settle();
  EXPECT_EQ(bench.answered, (std::vector<int>{-1}));
  bench.disk->end_write(0);
  bench.settle();
}

TEST(Wal, A_waiting_frame_that_is_destroyed_leaves_the_list) {
  // Goal: the end of an era: frames go with their reactor, the log after them. Method: three
  // waiters, a drain and a held write; the reactor goes first.
  LogBench bench;
  bench.disk->hold = true;
  const Lsn one = bench.append_alone(1);
  const Lsn two = bench.append_alone(2);
  bench.watch(two, 3);
  bench.watch(one, 1);
  bench.watch(two, 2);
  auto wait = [](Wal& wal) -> Task<void> { std::ignore = co_await wal.drain(); };
  bench.reactor->spawn(wait(*bench.wal));
  bench.settle();
  bench.reactor.reset();
  bench.wal.reset();
  EXPECT_TRUE(bench.answered.empty());
}

TEST(Wal, The_stamp_of_the_newest_write_is_found_and_never_goes_back) {
  // Goal: store.md rule 23. Method: rise, try to fall, rise in one field.
  LogBench bench;
  bench.wal->set_stamp({10, 20});
  bench.append_alone(1);
  bench.wal->set_stamp({5, 30});
  bench.append_alone(2);
  const auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  EXPECT_EQ(log->batches[0].stamp.read_lease, 20u);
  EXPECT_EQ(log->summary.stamp.epoch_highest, 10u);
  EXPECT_EQ(log->summary.stamp.read_lease, 30u);
  bench.reopen();
  bench.append_alone(3);
  EXPECT_EQ(bench.read()->summary.stamp.epoch_highest, 10u) << "an opening goes on with it";
}

TEST(Wal, Complete_is_told_and_its_listener_may_append) {
  // Goal: on_complete. Method: each call appends one more record until there are five.
  LogBench bench;
  std::vector<Lsn> told;
  bench.wal->on_complete([&bench, &told](Lsn complete) {
    told.push_back(complete);
    if (told.size() < 5) bench.append(told.size());
  });
  bench.append_alone(0);
  EXPECT_EQ(told, (std::vector<Lsn>{kBlock, 2 * kBlock, 3 * kBlock, 4 * kBlock, 5 * kBlock}));
}

}  // namespace
}  // namespace cairn::media
