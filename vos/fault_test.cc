// A shard on failing media: requests that fail, blobs that are full, bits that flip. What is
// judged: nothing acknowledged is lost, nothing wrong is ever answered, and what is refused is
// refused with the documented error and leaves nothing behind.
#include <gtest/gtest.h>

#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

using sim::SimDisk;

const Breadth kSmall{.types = {0, 2},
                     .dkeys = 2,
                     .akeys = 3,
                     .value_bytes_max = 12'000,
                     .conditions = false,
                     .punch_percent = 20,
                     .scatter_percent = 0};

/// Makes a shard and works on it; reads everything back in between, so that reads fail too.
Task<Result<void>> read_everything(Rig& rig) {
  for (size_t i = 0; i < rig.books.objects.size(); ++i) {
    CO_TRY(same,
           co_await verify_object(*rig.shard, rig.generator.paths()[i], rig.books.objects[i], 5));
    if (!same.empty()) rig.books.wrong.push_back(same);
  }
  co_return Result<void>{};
}

/// Objects become flat, and what is written next takes them out again.
Task<Result<void>> flatten_everything(Rig& rig) {
  CO_TRY(done, co_await rig.shard->flatten(rig.generator.paths(), {.compress = true}));
  co_return co_await rig.shard->clean_flat(1);
}

std::optional<Result<void>> live(Rig& rig) {
  auto done = rig.start(true);
  if (!done || !*done) return done;
  for (int round = 0; round < 3; ++round) {
    done = rig.run(6, 2, 2);
    if (!done || !*done) return done;
    done = rig.world.run(flatten_everything(rig));
    if (!done || !*done) return done;
    done = rig.world.run(read_everything(rig));
    if (!done || !*done) return done;
  }
  return rig.world.run(rig.shard->checkpoint());
}

struct Fault {
  size_t disk = 0;
  SimDisk::Op op = SimDisk::Op::write;
  uint64_t nth = 1;
  bool for_ever = false;
};

/// @returns true if the workload got through without meeting the fault
bool survive(uint64_t seed, const Fault& fault) {
  Rig rig(seed, kSmall);
  rig.options.store.evict_always = fault.op == SimDisk::Op::read;
  rig.world.disks()[fault.disk]->fail(fault.op, fault.nth, Errc::io, fault.for_ever);
  const auto done = live(rig);
  EXPECT_TRUE(done.has_value());
  if (!done) return false;
  if (!*done) {
    const Errc code = done->error().code();
    EXPECT_TRUE(code == Errc::io || code == Errc::checksum) << done->error().what();
  }
  for (const auto& disk : rig.world.disks()) disk->heal();
  rig.next_era();
  const auto opened = rig.start(false);
  EXPECT_TRUE(opened.has_value());
  if (!opened || (!rig.books.created && !*opened)) return false;
  EXPECT_TRUE(opened->has_value()) << opened->error().what();
  if (!*opened) return false;
  rig.expect_recovered();
  const auto more = rig.run(4, 2, 0);
  EXPECT_TRUE(more && more->has_value()) << more->error().what();
  rig.expect_same();
  return done->has_value();
}

TEST(ShardFault, A_failure_of_any_request_loses_nothing_that_was_acknowledged) {
  // Goal: promise 1 under media errors. Method: each disk, each kind of request, the n-th fails
  // (every second time all later ones too), for every n until the workload no longer meets it;
  // then the disks are healed, what was not flushed is lost in part, and the shard is opened.
  for (size_t disk = 0; disk < 3; ++disk) {
    for (const auto op : {SimDisk::Op::read, SimDisk::Op::write, SimDisk::Op::flush}) {
      uint64_t through = 0;
      for (uint64_t n = 1; through < 3 && n < 400; ++n) {
        SCOPED_TRACE("seed " + std::to_string(test_seed()) + " disk " + std::to_string(disk) +
                     " op " + std::to_string(static_cast<int>(op)) + " n " + std::to_string(n));
        // One failed data write may be repeated elsewhere: that is no end.
        through = survive(test_seed(), {disk, op, n, n % 2 == 0}) ? through + 1 : 0;
        ASSERT_FALSE(::testing::Test::HasFailure());
      }
    }
  }
}

TEST(ShardFault, A_stopped_shard_answers_nothing_but_errors_and_closes) {
  // Goal: after a failed flush or log write no later operation is acknowledged, and nothing hangs.
  for (const auto op : {SimDisk::Op::write, SimDisk::Op::flush}) {
    for (size_t disk = 0; disk < 3; ++disk) {
      SCOPED_TRACE("disk " + std::to_string(disk) + " op " + std::to_string(static_cast<int>(op)));
      Rig rig(test_seed(), kSmall);
      ASSERT_TRUE(*rig.start(true));
      ASSERT_TRUE(*rig.run(10, 2, 0));
      rig.world.disks()[disk]->fail(op, 1, Errc::io, true);
      bool stopped = false;
      for (int i = 0; i < 20; ++i) {
        const auto done = rig.run(3, 3, 1);
        ASSERT_TRUE(done);
        EXPECT_FALSE(stopped && done->has_value()) << "acknowledged after it had stopped";
        stopped = rig.shard->store().stopped();
        // One operation a key: the flights of before must not meet new ones.
        if (!*done) break;
      }
      (void)rig.world.run(rig.shard->close());
      for (const auto& each : rig.world.disks()) each->heal();
      rig.next_era();
      ASSERT_TRUE(*rig.start(false));
      ASSERT_NO_FATAL_FAILURE(rig.expect_recovered());
    }
  }
}

Op one_value(uint32_t stamp, const std::string& dkey, uint64_t bytes) {
  Op op;
  op.stamp = stamp;
  op.dkey = dkey;
  op.iods.push_back({"v", ValueType::single, bytes, 0, {}});
  return op;
}

Op punch_of_all(uint32_t stamp) {
  Op op;
  op.kind = Op::Kind::punch;
  op.level = Level::object;
  op.stamp = stamp;
  return op;
}

TEST(ShardFault, A_full_data_blob_refuses_and_gives_everything_back) {
  // Goal: no_space is answered, changes nothing and leaks nothing. Method: fill with values of
  // 60,000 bytes, read all, overwrite, punch all, and again, three times as much in total.
  Rig rig(test_seed(), {}, {.wal = 2u << 20, .meta = 16u << 20, .data = 2u << 20});
  ASSERT_TRUE(*rig.start(true));
  uint32_t stamp = 0;
  uint64_t first_round = 0;
  for (int round = 0; round < 4; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    uint64_t stored = 0;
    for (;; ++stored) {
      ASSERT_LT(stored, 100u) << "more than the blob holds";
      const auto done =
          rig.world.run(run_one(*rig.shard, rig.generator.paths(), rig.books,
                                one_value(++stamp, "d" + std::to_string(stored), 60'000)));
      ASSERT_TRUE(done);
      if (*done) continue;
      ASSERT_EQ(done->error().code(), Errc::no_space) << done->error().what();
      break;
    }
    if (round == 0) first_round = stored;
    EXPECT_EQ(stored, first_round);
    EXPECT_GT(stored, 25u);
    EXPECT_EQ(rig.shard->store().stats().data.reserved, 0u);
    ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    // What fits into the log and the tree is still taken.
    const auto small = rig.world.run(
        run_one(*rig.shard, rig.generator.paths(), rig.books, one_value(++stamp, "small", 100)));
    ASSERT_TRUE(small && small->has_value()) << small->error().what();
    if (round % 2 == 1) {
      ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
      ASSERT_TRUE(*rig.start(false));
      ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    }
    const auto punched =
        rig.world.run(run_one(*rig.shard, rig.generator.paths(), rig.books, punch_of_all(++stamp)));
    ASSERT_TRUE(punched && punched->has_value()) << punched->error().what();
    EXPECT_EQ(rig.shard->store().stats().data.used, 0u);
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
  }
}

Task<bool> reclaim(Shard& shard) {
  co_await shard.reclaimed();
  co_return true;
}

// Fails today: the reclaim slice of 512 records asks for more pages than are kept for removals, so
// the blob stays full after the punch. Switch on when slices shrink on no_space.
TEST(ShardFault, A_full_meta_blob_refuses_updates_but_not_reads_and_punches) {
  // Goal: no_space when the pages are used up; what is there stays readable, a punch makes room.
  Rig rig(test_seed(), {}, {.wal = 2u << 20, .meta = 8u << 20, .data = 2u << 20});
  ASSERT_TRUE(*rig.start(true));
  uint32_t stamp = 0;
  for (int round = 0; round < 2; ++round) {
    uint64_t stored = 0;
    for (;; ++stored) {
      ASSERT_LT(stored, 20'000u) << "more than the blob holds";
      const auto done = rig.world.run(
          run_one(*rig.shard, rig.generator.paths(), rig.books,
                  one_value(++stamp, "d" + std::to_string(stored * 7919 % 20'000), 3'000)));
      ASSERT_TRUE(done);
      if (*done) continue;
      ASSERT_EQ(done->error().code(), Errc::no_space) << done->error().what();
      break;
    }
    EXPECT_GT(stored, 300u);
    ASSERT_NO_FATAL_FAILURE(rig.expect_same(50));
    const auto punched =
        rig.world.run(run_one(*rig.shard, rig.generator.paths(), rig.books, punch_of_all(++stamp)));
    ASSERT_TRUE(punched && punched->has_value()) << punched->error().what();
    ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    rig.world.run(reclaim(*rig.shard));
    ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
    ASSERT_TRUE(*rig.start(false));
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
  }
}

/// An error of the kind that damage gives.
bool tells_of_damage(Errc code) {
  return code == Errc::checksum || code == Errc::format_invalid || code == Errc::format_newer;
}

/// What the objects were after each operation.
using History = std::vector<std::vector<Object>>;

/// The shard's content is one of the last `states` of its history.
Task<Result<void>> find_in_history(Rig& rig, const History& history, size_t states) {
  std::string difference;
  for (size_t back = 1; back <= std::min(states, history.size()); ++back) {
    rig.books.objects = history[history.size() - back];
    rig.books.wrong.clear();
    CO_TRY(read, co_await read_everything(rig));
    if (rig.books.wrong.empty()) co_return Result<void>{};
    if (back == 1) difference = rig.books.wrong.front();
  }
  rig.books.wrong = {"a content that never was: " + difference};
  co_return Result<void>{};
}

/// Opens a damaged shard and reads everything: the right bytes, or an error that says so. Whether
/// the log's end is damaged or was never durable cannot be told (store.md rules 9 and 10): the last
/// operations may be gone, whole; with damaged data only the very last one.
void judge_damaged(Rig& rig, const History& history, size_t disk, uint64_t& refused) {
  const auto opened = rig.start(false);
  ASSERT_TRUE(opened);
  if (!*opened) {
    EXPECT_TRUE(tells_of_damage(opened->error().code())) << opened->error().what();
    ++refused;
    return;
  }
  const size_t states = disk == 0 ? history.size() : disk == 1 ? 1 : 2;
  const auto read = rig.world.run(find_in_history(rig, history, states));
  ASSERT_TRUE(read);
  if (!*read) {
    EXPECT_TRUE(tells_of_damage(read->error().code())) << read->error().what();
    ++refused;
  }
  for (const std::string& wrong : rig.books.wrong) {
    if (*read) ADD_FAILURE() << wrong;
  }
  const auto checked = rig.world.run(rig.shard->check(true));
  ASSERT_TRUE(checked);
  if (!*read && *checked) EXPECT_FALSE((*checked)->problems.empty());
}

TEST(ShardFault, A_flipped_bit_is_told_and_never_answered_as_data) {
  // Goal: promise 2. Method: a shard with some in the log only; flip one bit in a sector that was
  // written; open, read all, check.
  SeededRandom random(test_seed());
  uint64_t refused = 0;
  const uint64_t rounds = lives(600);
  for (uint64_t round = 0; round < rounds; ++round) {
    const size_t disk = round % 3;
    Rig rig(test_seed() + round % 5, kSmall, {.wal = 256u << 10});
    ASSERT_TRUE(*rig.start(true));
    History history{rig.books.objects};
    for (int i = 0; i < 24; ++i) {
      ASSERT_TRUE(*rig.run(1, 1, 0));
      history.push_back(rig.books.objects);
      if (i == 18 && round % 4 < 2) ASSERT_TRUE(*rig.world.run(flatten_everything(rig)));
      if (i == 20 && round % 2 == 0) ASSERT_TRUE(*rig.world.run(rig.shard->checkpoint()));
    }
    rig.next_era();
    SimDisk& victim = *rig.world.disks()[disk];
    const auto sectors = victim.written_sectors();
    ASSERT_FALSE(sectors.empty());
    const uint64_t offset =
        sectors[random.below(sectors.size())] * sim::kSectorBytes + random.below(sim::kSectorBytes);
    victim.flip_bit(offset, static_cast<unsigned>(random.below(8)));
    SCOPED_TRACE("seed " + std::to_string(test_seed()) + " round " + std::to_string(round) +
                 " disk " + victim.name() + " offset " + std::to_string(offset));
    ASSERT_NO_FATAL_FAILURE(judge_damaged(rig, history, disk, refused));
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  EXPECT_GT(refused, rounds / 60);
}

TEST(ShardFault, A_flipped_bit_in_a_value_is_told_to_its_reader_only) {
  // Goal: damage of one value's block gives checksum for that value, the others are read.
  Rig rig(test_seed(), {});
  ASSERT_TRUE(*rig.start(true));
  for (uint32_t i = 1; i <= 8; ++i) {
    ASSERT_TRUE(*rig.world.run(run_one(*rig.shard, rig.generator.paths(), rig.books,
                                       one_value(i, "d" + std::to_string(i), 9'000))));
  }
  ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
  const auto sectors = rig.data.written_sectors();
  rig.data.flip_bit(sectors[3] * sim::kSectorBytes + 5, 2);
  ASSERT_TRUE(*rig.start(false));
  size_t damaged = 0;
  for (const auto& [dkey, content] : rig.books.objects[0]) {
    const auto same =
        rig.world.run(verify_dkey(*rig.shard, rig.generator.paths()[0], dkey, content, 5));
    ASSERT_TRUE(same);
    if (*same) {
      EXPECT_EQ(**same, "");
      continue;
    }
    EXPECT_EQ(same->error().code(), Errc::checksum) << same->error().what();
    ++damaged;
  }
  EXPECT_EQ(damaged, 1u);
  const auto checked = rig.world.run(rig.shard->check(true));
  ASSERT_TRUE(checked && checked->has_value());
  EXPECT_FALSE((*checked)->problems.empty());
}

}  // namespace
}  // namespace cairn::vos::testing
