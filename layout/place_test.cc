#include "layout/place.h"

#include <gtest/gtest.h>

namespace cairn::layout {
namespace {

model::ObjectId object(uint8_t type, uint64_t ordinal, uint64_t groups) {
  return {.lo = 42, .hi = uint64_t{type} << 56 | ordinal << 48 | groups << 32 | 7};
}

TEST(Place, One_target_holds_the_single_shard_of_every_plain_class) {
  // Goal: S1 and SX land on shard 0 of the target. Method: ask for both, with any dkey.
  const PoolMap map;
  for (const uint64_t groups : {uint64_t{1}, uint64_t{0xffff}}) {
    const auto oid = object(0, 1, groups);
    const auto count = shard_count(oid, map);
    ASSERT_TRUE(count);
    EXPECT_EQ(*count, 1u);
    EXPECT_EQ(shard_of_dkey(oid, as_bytes("key"), *count), 0u);
    const auto place = place_shard(oid, 0, map);
    ASSERT_TRUE(place);
    EXPECT_EQ(place->target, 0u);
    EXPECT_EQ(place->shard, 0u);
  }
}

TEST(Place, Redundancy_and_unknown_classes_are_refused) {
  // Goal: nobody writes what could not be read back after a loss he asked to survive. Method:
  // RP_2G1, EC_2P1G1 and an ordinal that nobody has.
  const PoolMap map;
  EXPECT_FALSE(shard_count(object(0, 8, 1), map));
  EXPECT_FALSE(shard_count(object(0, 32, 1), map));
  EXPECT_FALSE(shard_count(object(0, 0xf0, 1), map));
}

TEST(Place, A_dkey_keeps_its_shard) {
  // Goal: the formula is fixed. Method: golden values, for a hashed and an integer dkey.
  EXPECT_EQ(shard_of_dkey(object(0, 1, 4), as_bytes("abc"), 1000), 104u);
  const std::byte nine[8] = {std::byte{9}};
  EXPECT_EQ(shard_of_dkey(object(11, 1, 4), nine, 4), 1u);
  EXPECT_EQ(shard_of_dkey(object(11, 1, 4), nine, 1), 0u);
}

}  // namespace
}  // namespace cairn::layout
