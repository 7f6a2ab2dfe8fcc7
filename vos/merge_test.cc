// Merging of small extents (docs/architecture.md, reclaim), on simulated disks.
#include <gtest/gtest.h>

#include "runtime/parallel.h"
#include "vos/merge.h"
#include "vos/testing/rig.h"
#include "vos/testing/transactions.h"

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
    UpdateRequest r{.object = path_, .dkey = as_bytes(dkey_)};
    r.iods.push_back(
        {as_bytes("a"), ValueType::array, 1, 0, {{first, count}}, scattered(bytes), false});
    return run(shard().update(r));
  }
  static std::byte byte_at(uint64_t i, int salt) {
    return static_cast<std::byte>(i * 31 + i / 251 + static_cast<uint64_t>(salt));
  }
  Result<Bytes> read(uint64_t count, model::Epoch epoch = model::kEpochMax) {
    Bytes room(count, std::byte{0xEE});
    FetchRequest r{.object = path_, .dkey = as_bytes(dkey_), .epoch = epoch};
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
                                    .dkey = as_bytes(dkey_),
                                    .akey = as_bytes("a"),
                                    .count_max = 1000},
                                   epoch));
    CHECK(listed.has_value());
    return std::move(*listed);
  }
  uint64_t blocks_used() { return shard().store().stats().data.used; }

  Rig rig_{test_seed(), {}, {.wal = 4u << 20, .data = 64u << 20}};
  ObjectPath path_{1, {7, 0x0001'0001'0000'0000}, 0};
  std::string dkey_ = "d";  // of what is written, read, listed
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

TEST_F(MergeTest, What_one_akey_meets_ends_the_merging_of_no_other) {
  // Goal: a medium that fails once costs that akey its turn, not the shard its merging. Method: the
  // first read of a block fails, in a pass and in what the shard does on its own.
  for (const bool asked : {true, false}) {
    // Few enough that the shard would not look at them on its own.
    const uint64_t pieces = asked ? 8 : 40;
    const std::string dkeys[] = {asked ? "asked 1" : "alone 1", asked ? "asked 2" : "alone 2"};
    for (const std::string& dkey : dkeys) {
      dkey_ = dkey;
      for (uint64_t i = 0; i < pieces; ++i) ASSERT_TRUE(write(i * 5'000, 5'000));
    }
    // What was logged with its data comes to its place; what the shard does on its own begins soon.
    if (asked) ASSERT_TRUE(run(shard().checkpoint()));
    rig_.data.fail(sim::SimDisk::Op::read, 1, Errc::io);
    if (asked) ASSERT_TRUE(shard().aggregate_later(1, 0));
    rig_.world.run_for(2 * kSecond);
    size_t merged = 0;
    for (const std::string& dkey : dkeys) {
      dkey_ = dkey;
      merged += extents().recxs.size() == 1 ? 1 : 0;
    }
    EXPECT_GE(merged, 1u);
    EXPECT_LE(merged, asked ? 1u : 2u);
    rig_.data.heal();
    const auto again = shard().aggregate_later(1, 0);
    ASSERT_TRUE(again) << again.error().what();
    rig_.world.run_for(2 * kSecond);
    for (const std::string& dkey : dkeys) {
      dkey_ = dkey;
      EXPECT_EQ(extents().recxs.size(), 1u);
      EXPECT_EQ(*read(pieces * 5'000), expected(pieces * 5'000));
    }
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(MergeTest, What_others_hold_is_merged_when_they_let_it_go) {
  // Goal: nothing is read or written for a run that may not be replaced yet, and it is not
  // forgotten. Method: a transaction that stands aside, then a container that may go back; requests
  // are counted.
  using Op = sim::SimDisk::Op;
  for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(write(i * 5'000, 5'000));
  TxBuilder tx;
  tx.put(path_, "other", "a", "value");
  const auto prepared = run(shard().prepare({1, 1}, tx.request));
  ASSERT_TRUE(prepared && prepared->status == Errc::ok);
  rig_.world.run_for(kSecond);  // what was logged with its data comes to its place
  uint64_t requests = rig_.data.requests(Op::read) + rig_.data.requests(Op::write);
  ASSERT_TRUE(shard().aggregate_later(1, 0));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(rig_.data.requests(Op::read) + rig_.data.requests(Op::write), requests);
  EXPECT_EQ(extents().recxs.size(), 8u);
  ASSERT_TRUE(run(shard().commit({1, 1})));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(extents().recxs.size(), 1u);

  dkey_ = "e";
  for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(write(i * 5'000, 5'000));
  const auto answered = run(shard().freeze_container(1));
  ASSERT_TRUE(answered && run(shard().add_snapshot(1, *answered + 1)));
  ASSERT_TRUE(run(shard().hold_container(1, *answered + 1, 1)));
  rig_.world.run_for(kSecond);
  requests = rig_.data.requests(Op::read) + rig_.data.requests(Op::write);
  ASSERT_TRUE(shard().aggregate_later(1, 0));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(rig_.data.requests(Op::read) + rig_.data.requests(Op::write), requests);
  shard().unfreeze_container(1);
  rig_.world.run_for(kSecond);
  EXPECT_EQ(extents().recxs.size(), 1u);
  EXPECT_EQ(*read(40'000), expected(40'000));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(MergeTest, An_akey_that_others_hold_waits_and_keeps_no_pass_waiting) {
  // Goal: what the shard does on its own is not forgotten either, and goes on with the rest.
  // Method: a transaction that stands aside in one container, a pass over another one.
  TxBuilder tx;
  tx.put(path_, "other", "a", "value");
  const auto prepared = run(shard().prepare({1, 1}, tx.request));
  ASSERT_TRUE(prepared && prepared->status == Errc::ok);
  for (uint64_t i = 0; i < 40; ++i) ASSERT_TRUE(write(i * 5'000, 5'000));
  path_.container = 2;
  for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(write(i * 5'000, 5'000));
  rig_.world.run_for(kSecond);
  ASSERT_TRUE(shard().aggregate_later(2, 0));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(extents().recxs.size(), 1u);
  path_.container = 1;
  EXPECT_EQ(extents().recxs.size(), 40u);
  ASSERT_TRUE(run(shard().commit({1, 1})));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(extents().recxs.size(), 1u);
  EXPECT_EQ(*read(200'000), expected(200'000));
}

TEST_F(MergeTest, A_pass_lets_others_in_after_each_akey) {
  // Goal: akeys that have nothing to merge do not add up to a long step. Method: turns of somebody
  // else meanwhile.
  constexpr uint64_t kAkeys = 200;
  for (uint64_t i = 0; i < kAkeys; ++i) {
    dkey_ = "d" + std::to_string(i);
    ASSERT_TRUE(write(0, 100));
  }
  struct Both {
    static Task<Result<void>> aggregate(Shard& shard, bool& over) {
      auto done = co_await shard.aggregate_container(1);
      over = true;
      co_return done;
    }
    static Task<Result<void>> count(Reactor& reactor, const bool& over, uint64_t& turns) {
      while (!over) {
        ++turns;
        co_await reactor.yield();
      }
      co_return Result<void>{};
    }
  };
  bool over = false;
  uint64_t turns = 0;
  std::vector<Task<Result<void>>> tasks;
  tasks.push_back(Both::aggregate(shard(), over));
  tasks.push_back(Both::count(rig_.world.reactor(), over, turns));
  ASSERT_TRUE(run(run_all(rig_.world.reactor(), std::move(tasks), 2)));
  EXPECT_GE(turns, kAkeys);
}

TEST_F(MergeTest, A_check_does_not_wait_for_the_rest_of_a_step) {
  // Goal: it begins after the run that is being merged; the pass goes on afterwards. Method: a
  // check in the middle of akeys that all fit into one step.
  constexpr uint64_t kAkeys = 100;
  for (uint64_t i = 0; i < kAkeys; ++i) {
    dkey_ = "d" + std::to_string(i);
    for (uint64_t piece = 0; piece < 4; ++piece) ASSERT_TRUE(write(piece * 5'000, 5'000));
  }
  const auto merged = [&] {
    uint64_t count = 0;
    for (uint64_t i = 0; i < kAkeys; ++i) {
      dkey_ = "d" + std::to_string(i);
      count += extents().recxs.size() == 1 ? 1 : 0;
    }
    return count;
  };
  const uint64_t writes = rig_.data.requests(sim::SimDisk::Op::write);
  ASSERT_TRUE(shard().aggregate_later(1, 0));
  while (rig_.data.requests(sim::SimDisk::Op::write) < writes + 3) {
    rig_.world.run_for(100 * kMicrosecond);
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  EXPECT_LT(merged(), kAkeys / 2);
  rig_.world.run_for(2 * kSecond);
  EXPECT_EQ(merged(), kAkeys);
}

TEST(MergeQueueTest, Asking_again_lets_the_pass_that_has_begun_finish_first) {
  // Goal: who asks often starves nobody, and what was asked for is done from the start on once
  // more. Method: asked while it is in work and while it waits, for less and for more.
  MergeQueue queue;
  Key place;
  place.add_be32(7);
  ASSERT_TRUE(queue.ask_for_pass(1, 10));
  ASSERT_TRUE(queue.ask_for_pass(1, 8));
  MergePass pass = queue.take_pass();
  EXPECT_FALSE(queue.has_pass()) << "it had not begun";
  EXPECT_EQ(pass.until, 10u);
  pass.next = place;
  ASSERT_TRUE(queue.ask_for_pass(1, 9));
  queue.go_on(std::move(pass));
  ASSERT_TRUE(queue.ask_for_pass(1, 20));
  pass = queue.take_pass();
  EXPECT_FALSE(queue.has_pass());
  EXPECT_EQ(as_chars(pass.next.view()), as_chars(place.view()));
  EXPECT_EQ(pass.until, 20u);
  queue.end(pass);
  pass = queue.take_pass();
  EXPECT_EQ(pass.next.size(), 0u);
  EXPECT_EQ(pass.until, 20u);
  pass.next = place;
  ASSERT_TRUE(queue.ask_for_pass(1, 5));
  queue.end(pass);
  pass = queue.take_pass();
  EXPECT_EQ(pass.until, 5u);
  queue.end(pass);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace cairn::vos::testing
