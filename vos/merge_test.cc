// Merging of small extents (docs/architecture.md, reclaim), on simulated disks.
#include <gtest/gtest.h>

#include "runtime/parallel.h"
#include "vos/merge.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

class MergeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto started = rig_.start(true);
    ASSERT_TRUE(started && started->has_value());
  }
  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }
  /// `count` records from `first` on; each byte follows from its place.
  Result<model::Epoch> write(uint64_t first, uint64_t count, int salt = 0) {
    Bytes bytes;
    for (uint64_t i = first; i < first + count; ++i) bytes.push_back(byte_at(i, salt));
    UpdateRequest r{.object = path_, .dkey = as_bytes("d")};
    r.iods.push_back(
        {as_bytes("a"), ValueType::array, 1, 0, {{first, count}}, scattered(bytes), false});
    return run(shard().update(r));
  }
  static std::byte byte_at(uint64_t i, int salt) {
    return static_cast<std::byte>(i * 31 + i / 251 + static_cast<uint64_t>(salt));
  }
  Result<Bytes> read(uint64_t count, model::Epoch epoch = model::kEpochMax) {
    Bytes room(count, std::byte{0xEE});
    FetchRequest r{.object = path_, .dkey = as_bytes("d"), .epoch = epoch};
    r.iods.push_back(
        {as_bytes("a"), ValueType::array, 1, 0, {{0, count}}, scattered(room), false});
    TRY(fetched, run(shard().fetch(r)));
    (void)fetched;
    return room;
  }
  Bytes expected(uint64_t count, int salt = 0) {
    Bytes bytes;
    for (uint64_t i = 0; i < count; ++i) bytes.push_back(byte_at(i, salt));
    return bytes;
  }
  model::Listed extents(model::Epoch epoch = model::kEpochMax) {
    auto listed = run(shard().list(path_,
                                   {.what = model::ListRequest::What::recxs,
                                    .dkey = as_bytes("d"),
                                    .akey = as_bytes("a"),
                                    .count_max = 1000},
                                   epoch));
    CHECK(listed.has_value());
    return std::move(*listed);
  }
  uint64_t blocks_used() { return shard().store().stats().data.used; }

  Rig rig_{test_seed(), {}, {.wal = 4u << 20, .data = 64u << 20}};
  ObjectPath path_{1, {7, 0x0001'0001'0000'0000}, 0};
};

TEST_F(MergeTest, Adjacent_small_extents_become_one_with_the_newest_epoch) {
  // Goal: inline pieces and pieces in blocks, odd borders, one result. Method: three sizes; what is
  // listed, read, owned before and after, also after a restart.
  uint64_t at = 0;
  Result<model::Epoch> last = model::Epoch{0};
  for (int i = 0; i < 30; ++i) {
    const uint64_t count = i % 3 == 0 ? 100 : i % 3 == 1 ? 5'000 : 4'096;
    last = write(at, count);
    ASSERT_TRUE(last);
    at += count;
  }
  EXPECT_EQ(extents().recxs.size(), 30u);
  const auto merged = run(shard().aggregate_container(1));
  ASSERT_TRUE(merged) << merged.error().what();
  for (const bool restarted : {false, true}) {
    const model::Listed after = extents();
    ASSERT_EQ(after.recxs.size(), 1u);
    EXPECT_EQ(after.recxs[0], (model::Recx{0, at}));
    EXPECT_EQ(after.epochs[0], *last);
    EXPECT_EQ(*read(at), expected(at));
    EXPECT_EQ(blocks_used(), (at + 4095) / 4096);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    if (restarted) break;
    rig_.next_era();
    ASSERT_TRUE(*rig_.start(false));
  }
}

TEST_F(MergeTest, Pieces_on_both_sides_of_a_snapshot_stay_apart) {
  // Goal: what a snapshot sees is not changed, and what ended is refused, not shown wrongly.
  ASSERT_TRUE(write(0, 5'000));
  const auto second = write(5'000, 5'000);
  ASSERT_TRUE(second);
  const auto answered = run(shard().freeze_container(1));
  ASSERT_TRUE(answered && run(shard().add_snapshot(1, *answered + 1)));
  ASSERT_TRUE(write(10'000, 5'000));
  const auto fourth = write(15'000, 5'000);
  ASSERT_TRUE(fourth);
  ASSERT_TRUE(write(20'000, 5'000));
  EXPECT_EQ(*read(25'000, *fourth), [&] {
    Bytes until = expected(25'000);
    std::fill(until.begin() + 20'000, until.end(), std::byte{0xEE});
    return until;
  }());
  ASSERT_TRUE(run(shard().aggregate_container(1)));
  const model::Listed now = extents();
  ASSERT_EQ(now.recxs.size(), 2u);
  EXPECT_EQ(now.recxs[0], (model::Recx{0, 10'000}));
  EXPECT_EQ(now.recxs[1], (model::Recx{10'000, 15'000}));
  EXPECT_EQ(now.epochs[0], *second);
  ASSERT_EQ(extents(*answered + 1).recxs.size(), 1u);
  EXPECT_EQ(*read(25'000), expected(25'000));
  EXPECT_EQ(read(25'000, *fourth).error().code(), Errc::tx_restart);
  ASSERT_TRUE(run(shard().remove_snapshot(1, *answered + 1)));
  ASSERT_TRUE(run(shard().aggregate_container(1)));
  EXPECT_EQ(extents().recxs.size(), 1u);
  EXPECT_EQ(*read(25'000), expected(25'000));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(MergeTest, Large_extents_holes_and_other_values_are_left_alone) {
  ASSERT_TRUE(write(0, 1u << 20));               // large
  ASSERT_TRUE(write(1u << 20, 4'096));           // small, alone
  ASSERT_TRUE(write((1u << 20) + 8'192, 4'096));  // behind a hole
  ASSERT_TRUE(run(shard().aggregate_container(1)));
  EXPECT_EQ(extents().recxs.size(), 3u);
  ASSERT_TRUE(run(shard().aggregate_container(2)));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(MergeTest, What_was_written_in_small_pieces_merges_by_itself_once_the_shard_is_at_rest) {
  for (uint64_t i = 0; i < 64; ++i) ASSERT_TRUE(write(i * 4'096, 4'096));
  EXPECT_EQ(extents().recxs.size(), 64u) << "not while writes come in";
  rig_.world.run_for(kSecond);
  EXPECT_EQ(extents().recxs.size(), 1u);
  EXPECT_EQ(*read(64 * 4'096), expected(64 * 4'096));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(MergeTest, A_pass_that_was_asked_for_goes_over_the_container_beside_writes) {
  // Goal: it does not wait for the shard to rest, leaves what is newer than it was asked for, and
  // what others write. Method: pieces of two akeys' worth of passes, while another object is
  // written all the time.
  for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(write(i * 5'000, 5'000));
  const auto until = write(40'000, 5'000);
  ASSERT_TRUE(until);
  ASSERT_TRUE(write(45'000, 5'000));
  ASSERT_TRUE(write(50'000, 5'000));
  ASSERT_TRUE(shard().aggregate_later(1, *until));
  bool over = false;
  struct Writer {
    static Task<void> run(Shard& shard, Reactor& reactor, bool& over) {
      Bytes bytes(100, std::byte{1});
      uint64_t i = 0;
      while (!over) {
        UpdateRequest r{.object = {2, {9, 0x0001'0001'0000'0000}, 0}, .dkey = as_bytes("d")};
        r.iods.push_back({as_bytes("a"),
                          ValueType::array,
                          1,
                          0,
                          {{i++ % 7 * 500, 100}},
                          scattered(bytes),
                          false});
        EXPECT_TRUE(co_await shard.update(r));
        co_await reactor.sleep(kMillisecond);
      }
    }
  };
  rig_.world.reactor().spawn(Writer::run(shard(), rig_.world.reactor(), over));
  rig_.world.run_for(kSecond);
  model::Listed after = extents();
  ASSERT_EQ(after.recxs.size(), 3u);
  EXPECT_EQ(after.recxs[0], (model::Recx{0, 45'000}));
  EXPECT_EQ(after.epochs[0], *until);
  ASSERT_TRUE(shard().aggregate_later(1, 0));
  rig_.world.run_for(kSecond);
  over = true;
  rig_.world.run_for(10 * kMillisecond);
  EXPECT_EQ(extents().recxs.size(), 1u);
  EXPECT_EQ(*read(55'000), expected(55'000));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(MergeTest, A_pass_is_refused_where_it_cannot_be_and_ends_with_the_shard) {
  // Goal: bounded, and closing does not wait for it. Method: containers beyond the limit; a shard
  // that is closed while one has begun.
  EXPECT_EQ(shard().aggregate_later(0, 0).error().code(), Errc::invalid);
  for (ContNumber c = 1; c <= kPassesMax; ++c) ASSERT_TRUE(shard().aggregate_later(c, 0));
  ASSERT_TRUE(shard().aggregate_later(1, 0)) << "again";
  EXPECT_EQ(shard().aggregate_later(kPassesMax + 1, 0).error().code(), Errc::overload);
  ASSERT_TRUE(run(shard().close()));
  EXPECT_EQ(shard().aggregate_later(1, 0).error().code(), Errc::shutdown);
}

TEST_F(MergeTest, A_merge_stops_for_what_is_written_meanwhile) {
  // Goal: an overwrite between the reads of a merge and its commit is kept. Method: both at once,
  // many times, with other places and times.
  for (int round = 1; round <= 20; ++round) {
    for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(write(i * 5'000, 5'000, round));
    struct Both {
      static Task<Result<void>> aggregate(Shard& shard) {
        co_return co_await shard.aggregate_container(1);
      }
      static Task<Result<void>> overwrite(Rig& rig, const UpdateRequest& r, uint64_t delay) {
        co_await rig.world.reactor().sleep(delay * kMicrosecond);
        CO_TRY(done, co_await rig.shard->update(r));
        (void)done;
        co_return Result<void>{};
      }
    };
    Bytes patch(3'000, std::byte{0x77});
    UpdateRequest r{.object = path_, .dkey = as_bytes("d")};
    const uint64_t first = rig_.world.random().below(37'000);
    r.iods.push_back(
        {as_bytes("a"), ValueType::array, 1, 0, {{first, 3'000}}, scattered(patch), false});
    std::vector<Task<Result<void>>> tasks;
    tasks.push_back(Both::aggregate(shard()));
    tasks.push_back(Both::overwrite(rig_, r, rig_.world.random().below(400)));
    const auto done = run(run_all(rig_.world.reactor(), std::move(tasks), 2));
    ASSERT_TRUE(done) << done.error().what();
    Bytes want = expected(40'000, round);
    std::copy(patch.begin(), patch.end(), want.begin() + static_cast<ptrdiff_t>(first));
    ASSERT_EQ(*read(40'000), want) << round;
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

/// Reads `count` records again and again until `over`.
Task<Result<void>> read_until(Shard& shard, ObjectPath path, uint64_t count, const bool& over,
                              const Bytes& expected, Reactor& reactor, size_t& reads) {
  while (!over) {
    Bytes room(count, std::byte{0xEE});
    FetchRequest r{.object = path, .dkey = as_bytes("d")};
    r.iods.push_back(
        {as_bytes("a"), ValueType::array, 1, 0, {{0, count}}, scattered(room), false});
    CO_TRY(fetched, co_await shard.fetch(r));
    (void)fetched;
    EXPECT_EQ(room, expected);
    ++reads;
    co_await reactor.yield();
  }
  co_return Result<void>{};
}

Task<Result<void>> merge_beside_reads(Shard& shard, ObjectPath path, uint64_t count,
                                      const Bytes& expected, Reactor& reactor, size_t& reads) {
  bool over = false;
  const auto merge = [](Shard& s, bool& ended) -> Task<Result<void>> {
    auto done = co_await s.aggregate_container(1);
    ended = true;
    co_return done;
  };
  std::vector<Task<Result<void>>> tasks;
  tasks.push_back(merge(shard, over));
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(read_until(shard, path, count, over, expected, reactor, reads));
  }
  co_return co_await run_all(reactor, std::move(tasks), 5);
}

TEST_F(MergeTest, Who_reads_beside_a_merge_never_meets_blocks_that_are_not_written_yet) {
  // Goal: a merged extent keeps an old epoch, which a reader takes for durable. Method: readers
  // that never pause beside a merge on disks where writes take their time.
  uint64_t at = 0;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(write(at, 5'000));
    at += 5'000;
  }
  size_t reads = 0;
  rig_.data.mix_reads();
  const auto done =
      run(merge_beside_reads(shard(), path_, at, expected(at), rig_.world.reactor(), reads));
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_GT(reads, 8u);
  EXPECT_LT(extents().recxs.size(), 40u);
}

}  // namespace
}  // namespace cairn::vos::testing
