// A shard against power cuts, on simulated disks that lose, keep, tear and reorder what was not
// flushed. What is judged after each cut: every acknowledged operation is there with its exact
// bytes, every other one is whole or absent, the check is clean, the shard goes on, and epochs do
// not go back.
#include <gtest/gtest.h>

#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

/// Makes a shard, runs `count` operations in windows with checkpoints between, closes, opens and
/// runs some more.
std::optional<Result<void>> live(Rig& rig, uint64_t count) {
  auto done = rig.start(true);
  if (!done || !*done) return done;
  done = rig.run(count, 3, 3);
  if (!done || !*done) return done;
  done = rig.world.run(rig.shard->close());
  if (!done || !*done) return done;
  rig.shard.reset();
  done = rig.start(false);
  if (!done || !*done) return done;
  return rig.run(count / 2, 3, 0);
}

void expect_goes_on(Rig& rig) {
  const auto opened = rig.start(false);
  ASSERT_TRUE(opened);
  if (!rig.books.created && !*opened) return;
  ASSERT_TRUE(opened->has_value()) << opened->error().what();
  ASSERT_NO_FATAL_FAILURE(rig.expect_recovered());
  const auto more = rig.run(4, 2, 0);
  ASSERT_TRUE(more && more->has_value()) << more->error().what();
  ASSERT_NO_FATAL_FAILURE(rig.expect_same());
}

/// Freed blocks are told at once, a few together.
void trim_eagerly(Rig& rig, sim::SimDisk::Discard what) {
  rig.options.store.trim_after = 100 * kMicrosecond;
  rig.options.store.trim_unit_bytes = media::kBlockBytes;
  rig.data.want_discards(what);
}

void expect_every_cut_is_survived(uint64_t seed, const Breadth& breadth, uint64_t count,
                                  sim::SimDisk::Discard trims = sim::SimDisk::Discard::ignored) {
  bool through = false;
  uint64_t cut = 1;
  for (; !through; ++cut) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " cut " + std::to_string(cut));
    // The same life up to the cut; what the cut leaves differs.
    Rig rig(seed, breadth);
    if (trims != sim::SimDisk::Discard::ignored) trim_eagerly(rig, trims);
    rig.world.cut_power_at(cut);
    const auto done = live(rig, count);
    through = done.has_value();
    if (through) ASSERT_TRUE(done->has_value()) << done->error().what();
    rig.next_era();
    if (cut % 2 == 0) {
      rig.world.cut_power_at(1 + cut / 2 % 13);
      (void)rig.start(false);
      rig.next_era();
    }
    ASSERT_NO_FATAL_FAILURE(expect_goes_on(rig));
  }
  EXPECT_GT(cut, 40u) << "the workload is too small to mean anything";
}

TEST(ShardPower, Every_cut_point_of_small_inline_updates_keeps_what_was_acknowledged) {
  // Goal: promise 1 where values ride in the log. Method: cut at request 1, 2, ... until the
  // workload gets through; every second run loses the power again while it recovers.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(15); ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(
        seed, {.value_bytes_max = 2'000, .conditions = false, .scatter_percent = 0}, 16));
  }
}

TEST(ShardPower, Every_cut_point_of_data_updates_that_trim_keeps_what_was_acknowledged) {
  // Goal: data beside the log, overwrites that trim and free blocks, punches, resource reuse.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(15); ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(
        seed, {.dkeys = 2, .akeys = 2, .value_bytes_max = 40'000, .punch_percent = 20}, 18));
  }
}

TEST(ShardPower, Every_cut_point_beside_discards_keeps_what_was_acknowledged) {
  // Goal: what is told to the device is needed by nobody, neither now nor by a replay. Method: a
  // device that keeps, zeroes or spoils what it is told, until a flush maybe one, maybe the other.
  using Discard = sim::SimDisk::Discard;
  uint64_t discards = 0;
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(8); ++seed) {
    // It must be told something at all.
    Rig whole(seed, {.dkeys = 2, .akeys = 2, .value_bytes_max = 60'000, .punch_percent = 25});
    trim_eagerly(whole, Discard::keeps);
    ASSERT_TRUE(*live(whole, 18));
    discards += whole.data.requests(sim::SimDisk::Op::discard);
    const Discard what = seed % 3 == 0   ? Discard::keeps
                         : seed % 3 == 1 ? Discard::zeros
                                         : Discard::anything;
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(
        seed, {.dkeys = 2, .akeys = 2, .value_bytes_max = 60'000, .punch_percent = 25}, 18, what));
  }
  EXPECT_GT(discards, lives(8));
}

TEST(ShardPower, Every_cut_point_of_large_updates_keeps_what_was_acknowledged) {
  // Goal: data that is under way before its record is built, refused updates among it.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(4); ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(
        seed, {.dkeys = 2, .akeys = 2, .value_bytes_max = 500'000, .punch_percent = 20}, 14));
  }
}

TEST(ShardPower, Every_cut_point_of_punches_with_markers_keeps_what_was_acknowledged) {
  // Goal: punches of more records than go at once, and the pass that removes them behind the
  // scenes. Method: updates of 140 records each, long keys, many punches.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(15); ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(seed,
                                                         {.types = {0, 5},
                                                          .dkeys = 2,
                                                          .akeys = 7,
                                                          .value_bytes_max = 9'000,
                                                          .long_keys = true,
                                                          .punch_percent = 30,
                                                          .scatter_percent = 60},
                                                         14));
  }
}

TEST(ShardPower, Random_cuts_of_a_long_life_keep_what_was_acknowledged) {
  // Goal: errors that need several eras, logs that wrap, space that is used again. Method: one
  // shard, many eras, each cut somewhere; now and then an orderly end.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(15); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rig rig(
        seed,
        {.types = {0, 2, 7}, .dkeys = 4, .akeys = 7, .value_bytes_max = 30'000, .long_keys = true},
        {.wal = 1u << 20});
    rig.options.store.evict_always = seed % 2 == 0;
    if (seed % 3 == 0) trim_eagerly(rig, sim::SimDisk::Discard::anything);
    ASSERT_TRUE(*rig.start(true));
    for (int era = 0; era < 60; ++era) {
      SCOPED_TRACE("era " + std::to_string(era));
      if (era % 8 != 7) rig.world.cut_power_at(1 + rig.world.random().below(150));
      const auto ran = rig.run(60, 4, 5);
      if (ran) ASSERT_TRUE(ran->has_value()) << ran->error().what() << " " << rig.shown_usage();
      rig.next_era();
      if (era % 3 == 0) {
        rig.world.cut_power_at(1 + rig.world.random().below(20));
        (void)rig.start(false);
        rig.next_era();
      }
      const auto opened = rig.start(false);
      ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
      ASSERT_NO_FATAL_FAILURE(rig.expect_recovered());
    }
  }
}

}  // namespace
}  // namespace cairn::vos::testing
