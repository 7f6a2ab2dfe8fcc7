// Flattening against power cuts, at every cut point of a small life: objects are written, flattened
// together and alone, changed, punched, cleaned, with checkpoints and restarts between. What is
// judged after each cut: acknowledged content is there with its exact bytes, flat or not; the check
// is clean, so that no block is lost or owned twice; in the end everything comes back.
#include <gtest/gtest.h>

#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

/// So that the tests prove something.
uint64_t flattened = 0;

Task<Result<void>> flatten_some(Rig& rig, std::vector<ObjectPath> paths, FlattenOptions options) {
  CO_TRY(done, co_await rig.shard->flatten(std::move(paths), options));
  for (const Flattened& f : done) flattened += f.outcome == FlattenOutcome::flattened ? 1 : 0;
  co_return Result<void>{};
}

/// With too many keys, so that values are packed instead.
Task<Result<void>> pack_all(Rig& rig) {
  const auto& paths = rig.generator.paths();
  co_return co_await flatten_some(rig, {paths.begin(), paths.end()}, {.keys_max = 1});
}

Task<Result<void>> flatten_all(Rig& rig, bool together) {
  const auto& paths = rig.generator.paths();
  if (together)
    co_return co_await flatten_some(rig, {paths.begin(), paths.end()}, {.compress = true});
  for (const ObjectPath& path : paths) {
    CO_TRY(done, co_await flatten_some(rig, {path}, {.inline_bytes_max = 8'000}));
  }
  co_return Result<void>{};
}

/// @returns nullopt: the power went
std::optional<Result<void>> live(Rig& rig, uint64_t rounds) {
  auto done = rig.start(true);
  if (!done || !*done) return done;
  for (uint64_t round = 0; round < rounds; ++round) {
    done = rig.run(4, 2, round % 2 == 0 ? 0 : 2);
    if (!done || !*done) return done;
    if (round % 2 == 1) {
      done = rig.world.run(pack_all(rig));
      if (!done || !*done) return done;
    }
    done = rig.world.run(flatten_all(rig, round % 2 == 0));
    if (!done || !*done) return done;
    if (round % 3 == 1) {
      done = rig.world.run(rig.shard->clean_flat(1));
      if (!done || !*done) return done;
    }
    if (round % 3 != 2) continue;
    done = rig.world.run(rig.shard->close());
    if (!done || !*done) return done;
    rig.shard.reset();
    done = rig.start(false);
    if (!done || !*done) return done;
  }
  return done;
}

void expect_goes_on(Rig& rig) {
  const auto opened = rig.start(false);
  ASSERT_TRUE(opened);
  if (!rig.books.created && !*opened) return;
  ASSERT_TRUE(opened->has_value()) << opened->error().what();
  ASSERT_NO_FATAL_FAILURE(rig.expect_recovered());
  const auto again = rig.world.run(flatten_all(rig, true));
  ASSERT_TRUE(again && again->has_value()) << again->error().what();
  const auto more = rig.run(4, 2, 0);
  ASSERT_TRUE(more && more->has_value()) << more->error().what();
  ASSERT_NO_FATAL_FAILURE(rig.expect_same());
  ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
  const auto gone = rig.world.run(rig.shard->destroy_container(1));
  ASSERT_TRUE(gone && gone->has_value()) << gone->error().what();
  EXPECT_EQ(rig.shard->store().stats().data.used, 0u);
}

void expect_every_cut_is_survived(uint64_t seed, const Breadth& breadth, uint64_t rounds) {
  bool through = false;
  uint64_t cut = 1;
  for (; !through; ++cut) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " cut " + std::to_string(cut));
    Rig rig(seed, breadth, {.wal = 2u << 20, .data = 16u << 20});
    rig.world.cut_power_at(cut);
    const auto done = live(rig, rounds);
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
  EXPECT_GT(flattened, cut);
}

TEST(FlatPower, Every_cut_point_of_flattening_small_objects_keeps_what_was_acknowledged) {
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(8); ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(
        seed, {.types = {0, 4, 5}, .value_bytes_max = 6'000, .scatter_percent = 0}, 4));
  }
}

TEST(FlatPower, Every_cut_point_of_flattening_large_objects_keeps_what_was_acknowledged) {
  // More than 64 records, and data that stays outside of the buffers.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(6); ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_every_cut_is_survived(seed,
                                                         {.types = {0, 5},
                                                          .dkeys = 3,
                                                          .akeys = 3,
                                                          .value_bytes_max = 60'000,
                                                          .punch_percent = 8,
                                                          .scatter_percent = 40},
                                                         4));
  }
}

}  // namespace
}  // namespace cairn::vos::testing
