// What of a blob is told to its device (media/trim.h).
#include "media/trim.h"

#include <gtest/gtest.h>

#include "runtime/random.h"

namespace cairn::media {
namespace {

constexpr uint64_t kBlocks = 16 * 8 + 3;  // 16 units of 8, and a rest

/// Owns `extent` and gives it back.
void use_and_free(Space& space, TrimList& list, Extent extent) {
  ASSERT_TRUE(space.adopt(extent));
  ASSERT_TRUE(space.free(extent, 1));
  for (const Extent& released : space.release(1)) list.note(released);
}

TrimList::LookAt look_at(const Space& space) {
  return [&space](Extent unit) {
    return space.is_free(unit) ? TrimList::Look::free : TrimList::Look::taken;
  };
}

TEST(TrimList, What_is_unknown_stays_noted_and_ends_the_run) {
  Space space(kBlocks, 0);
  TrimList list(kBlocks, 8);
  use_and_free(space, list, {0, 32});
  bool known = false;
  const auto look = [&known](Extent unit) {
    return known || unit.block != 16 ? TrimList::Look::free : TrimList::Look::unknown;
  };
  EXPECT_EQ(list.take(look, 10, 100), (Extent{0, 16}));
  EXPECT_FALSE(list.take(look, 10, 100));
  EXPECT_EQ(list.next(), (Extent{16, 8}));
  known = true;
  EXPECT_EQ(list.take(look, 10, 100), (Extent{16, 16}));
  EXPECT_TRUE(list.empty());
}

TEST(TrimList, Whole_units_that_are_free_come_once_and_together) {
  Space space(kBlocks, 0);
  TrimList list(kBlocks, 8);
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.take(look_at(space), 10, 100));
  use_and_free(space, list, {12, 20});  // units 1, 2, 3, the first and last in part
  EXPECT_EQ(list.take(look_at(space), 10, 100), (Extent{8, 24}));
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.take(look_at(space), 10, 100));
}

TEST(TrimList, A_unit_of_which_a_block_is_taken_waits_until_that_is_freed) {
  Space space(kBlocks, 0);
  TrimList list(kBlocks, 8);
  ASSERT_TRUE(space.adopt({20, 1}));
  use_and_free(space, list, {8, 12});
  use_and_free(space, list, {24, 8});
  EXPECT_EQ(list.take(look_at(space), 10, 100), (Extent{8, 8}));
  EXPECT_EQ(list.take(look_at(space), 10, 100), (Extent{24, 8}));
  EXPECT_FALSE(list.take(look_at(space), 10, 100));
  ASSERT_TRUE(space.free({20, 1}, 2));
  EXPECT_FALSE(list.take(look_at(space), 10, 100)) << "deferred is not free";
  for (const Extent& released : space.release(2)) list.note(released);
  EXPECT_EQ(list.take(look_at(space), 10, 100), (Extent{16, 8}));
}

TEST(TrimList, The_rest_behind_the_last_whole_unit_is_never_told) {
  Space space(kBlocks, 0);
  TrimList list(kBlocks, 8);
  use_and_free(space, list, {120, 11});
  EXPECT_EQ(list.take(look_at(space), 10, 100), (Extent{120, 8}));
  use_and_free(space, list, {128, 3});
  EXPECT_TRUE(list.empty());
}

TEST(TrimList, Runs_and_looks_are_bounded) {
  Space space(kBlocks, 0);
  TrimList list(kBlocks, 8);
  use_and_free(space, list, {0, 128});
  EXPECT_EQ(list.take(look_at(space), 3, 100), (Extent{0, 24}));
  EXPECT_EQ(list.take(look_at(space), 10, 2), (Extent{24, 16}));
  EXPECT_EQ(list.take(look_at(space), 100, 100), (Extent{40, 88}));
  use_and_free(space, list, {8, 8});
  EXPECT_FALSE(list.take(look_at(space), 100, 1)) << "at the start again";
  EXPECT_EQ(list.take(look_at(space), 100, 100), (Extent{8, 8}));
}

TEST(TrimList, At_random_nothing_that_is_taken_is_told_and_nothing_free_is_forgotten) {
  // Goal: what is told is free, and in the end all whole free units that were used were told.
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Space space(kBlocks, 0);
    TrimList list(kBlocks, 8);
    std::vector<Extent> owned;
    std::vector<bool> stale(kBlocks);
    const auto take = [&] {
      const auto run = list.take(look_at(space), 1 + random.below(5), 1 + random.below(20));
      if (!run) return;
      ASSERT_TRUE(space.is_free(*run));
      for (uint64_t b = run->block; b < run->block + run->count; ++b) stale[b] = false;
    };
    uint64_t lsn = 0;
    for (int step = 0; step < 400; ++step) {
      if (random.below(2) == 0) {
        const auto got = space.reserve(static_cast<uint32_t>(1 + random.below(12)));
        if (!got) continue;
        space.publish(*got);
        owned.push_back(*got);
        for (uint64_t b = got->block; b < got->block + got->count; ++b) stale[b] = true;
      } else if (!owned.empty()) {
        std::swap(owned[random.below(owned.size())], owned.back());
        ASSERT_TRUE(space.free(owned.back(), ++lsn));
        owned.pop_back();
        if (random.below(2) == 0) {
          for (const Extent& released : space.release(lsn)) list.note(released);
        }
      }
      if (random.below(4) == 0) ASSERT_NO_FATAL_FAILURE(take());
    }
    for (const Extent& released : space.release(lsn)) list.note(released);
    for (int i = 0; i < 200; ++i) ASSERT_NO_FATAL_FAILURE(take());
    for (uint64_t unit = 0; unit < 16; ++unit) {
      if (!space.is_free({unit * 8, 8})) continue;
      for (uint64_t b = unit * 8; b < unit * 8 + 8; ++b) EXPECT_FALSE(stale[b]) << b;
    }
  }
}

TEST(Space, What_is_held_is_handed_out_to_nobody_and_comes_back) {
  Space space(64, 0);
  space.hold({0, 60});
  EXPECT_EQ(space.usage().available(), 64u);
  EXPECT_EQ(space.usage().held, 60u);
  EXPECT_FALSE(space.reserve(5));
  EXPECT_FALSE(space.reserve_scattered(5, 9));
  const auto four = space.reserve(4);
  ASSERT_TRUE(four);
  EXPECT_EQ(*four, (Extent{60, 4}));
  space.let_go({0, 60});
  EXPECT_EQ(space.usage().held, 0u);
  EXPECT_TRUE(space.reserve(60));
}

}  // namespace
}  // namespace cairn::media
