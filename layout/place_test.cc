#include "layout/place.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/hash.h"

namespace cairn::layout {
namespace {

constexpr uint64_t kAll = 0xffff;

model::ObjectId object(uint8_t type, uint64_t ordinal, uint64_t groups, uint64_t number = 42) {
  return {.lo = number, .hi = uint64_t{type} << 56 | ordinal << 48 | groups << 32 | 7};
}
model::ObjectId plain(uint64_t groups, uint64_t number = 42) {
  return object(0, 1, groups, number);
}

PoolMap pool(uint32_t ranks, uint32_t targets_each) {
  PoolMap map{.targets = {}};
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    for (uint32_t i = 0; i < targets_each; ++i) map.targets.push_back({.id = {rank, i}});
  }
  set_shape(map);
  return map;
}

std::vector<Place> placed(model::ObjectId oid, const PoolMap& map) {
  auto places = place_object(oid, map);
  EXPECT_TRUE(places.has_value());
  return places ? *places : std::vector<Place>();
}

model::TargetId target_of(const Place& place) { return {place.rank, place.target}; }

TEST(Place, One_target_holds_the_single_shard_of_every_plain_class) {
  // Goal: S1 and SX land on shard 0 of the target. Method: ask for both, with any dkey.
  const PoolMap map;
  for (const uint64_t groups : {uint64_t{1}, kAll}) {
    const auto oid = plain(groups);
    const auto count = shard_count(oid, map.shape);
    ASSERT_TRUE(count);
    EXPECT_EQ(*count, 1u);
    EXPECT_EQ(shard_of_dkey(oid, as_bytes("key"), *count), 0u);
    EXPECT_EQ(placed(oid, map), std::vector{Place{}});
  }
}

TEST(Place, Redundancy_and_unknown_classes_are_refused) {
  // Goal: nobody writes what could not be read back after a loss he asked to survive. Method:
  // RP_2G1, EC_2P1G1 and an ordinal that nobody has.
  for (const PoolMap& map : {PoolMap{}, pool(4, 4)}) {
    EXPECT_FALSE(shard_count(object(0, 8, 1), map.shape));
    EXPECT_FALSE(shard_count(object(0, 32, 1), map.shape));
    EXPECT_FALSE(shard_count(object(0, 0xf0, 1), map.shape));
    EXPECT_FALSE(place_object(object(0, 8, 1), map));
  }
}

TEST(Place, A_dkey_keeps_its_shard) {
  // Goal: the formula is fixed. Method: golden values, for a hashed and an integer dkey.
  EXPECT_EQ(shard_of_dkey(object(0, 1, 4), as_bytes("abc"), 1000), 104u);
  const std::byte nine[8] = {std::byte{9}};
  EXPECT_EQ(shard_of_dkey(object(11, 1, 4), nine, 4), 1u);
  EXPECT_EQ(shard_of_dkey(object(11, 1, 4), nine, 1), 0u);
}

TEST(Place, An_object_keeps_its_places) {
  // Goal: the formula is fixed: what is stored under it must be found again. Method: golden places,
  // in a pool of one rank, of several, and with weights; the order of the list does not matter.
  const auto text = [](const std::vector<Place>& places) {
    std::string out;
    for (const Place& p : places) {
      out += (out.empty() ? "" : " ") + std::to_string(p.rank) + ":" + std::to_string(p.target);
    }
    return out;
  };
  EXPECT_EQ(text(placed(plain(kAll), pool(1, 4))), "0:2 0:3 0:0 0:1");
  EXPECT_EQ(text(placed(plain(4, 43), pool(1, 4))), "0:0 0:3 0:1 0:2");
  EXPECT_EQ(text(placed(plain(6), pool(3, 2))), "1:0 0:1 0:0 2:1 1:1 2:0");
  EXPECT_EQ(text(placed(plain(2, 7), pool(5, 3))), "3:2 0:1");
  PoolMap weighted = pool(3, 2);
  weighted.targets[1].weight = 5;
  EXPECT_EQ(text(placed(plain(3, 9), weighted)), "0:0 1:0 2:1");
  PoolMap turned = weighted;
  std::ranges::reverse(turned.targets);
  EXPECT_EQ(placed(plain(3, 9), turned), placed(plain(3, 9), weighted));
}

/// Ranks with different numbers of targets, and targets of different weights.
PoolMap mixed(uint32_t ranks) {
  PoolMap map{.targets = {}};
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    for (uint32_t i = 0; i < 1 + rank * 7 % 5; ++i) {
      map.targets.push_back({.id = {rank * 3 + 1, i * 2}, .weight = 1 + (rank + i) * 11 % 70});
    }
  }
  set_shape(map);
  return map;
}

/// Of the places of `objects` objects of each of those classes.
uint64_t digest_of(const PoolMap& map, std::initializer_list<uint64_t> classes, uint64_t objects) {
  uint64_t digest = 0;
  for (const uint64_t groups : classes) {
    for (uint64_t number = 0; number < objects; ++number) {
      for (const Place& p : placed(plain(groups, number * 0x1'0001), map)) {
        const uint32_t words[] = {p.rank, p.target, p.shard};
        digest = xxh3_64(std::as_bytes(std::span(words)), digest);
      }
    }
  }
  return digest;
}

TEST(Place, Many_objects_keep_their_places_in_pools_of_every_shape) {
  // Goal: no way to compute places faster changes one of them. Method: golden digests, over narrow
  // and wide objects, from one rank to a thousand, of one target and of many, even and not.
  EXPECT_EQ(digest_of(pool(1, 1), {1, kAll}, 100), 15286534937413958912u);
  EXPECT_EQ(digest_of(pool(1, 7), {1, 2, 5, 7, kAll}, 200), 6353969529965164035u);
  EXPECT_EQ(digest_of(pool(2, 1), {1, 2}, 200), 13229023880202327277u);
  EXPECT_EQ(digest_of(pool(5, 3), {1, 2, 3, 4, 5, 6, 8, 15, kAll}, 200), 3085097952088395484u);
  EXPECT_EQ(digest_of(pool(8, 4), {1, 2, 3, 4, 6, 8, 16, 32, kAll}, 200), 13128727576463957881u);
  EXPECT_EQ(digest_of(pool(100, 1), {1, 2, 3, 4, 6, 8, 32, 64, 100, kAll}, 50),
            6600718739202951480u);
  EXPECT_EQ(digest_of(pool(100, 8), {1, 2, 4, 6, 16, 128, 256, kAll}, 20), 6967848391957574544u);
  EXPECT_EQ(digest_of(pool(1000, 1), {1, 2, 4, 5, 6, 32, 512, kAll}, 10), 8438699114027132357u);
  EXPECT_EQ(digest_of(pool(1000, 16), {1, 2, 3, 6, 64, 1024, kAll}, 3), 10546430087465993495u);
  EXPECT_EQ(digest_of(mixed(7), {1, 2, 3, 4, 5, 6, 8, 10, kAll}, 200), 14128665600597996978u);
  EXPECT_EQ(digest_of(mixed(90), {1, 2, 4, 6, 16, 64, 128, kAll}, 20), 16930696260822465697u);
}

TEST(Place, Shards_are_apart_and_over_as_many_ranks_as_can_be) {
  // Goal: one target never has two shards of an object while others have none, and ranks are filled
  // evenly. Method: every class size that fits, in pools of several shapes, also uneven ones.
  PoolMap uneven = pool(3, 4);
  uneven.targets.push_back({.id = {9, 0}});
  set_shape(uneven);
  EXPECT_EQ(uneven.shape.domains, 4u);
  for (const PoolMap& map : {pool(1, 1), pool(1, 7), pool(5, 1), pool(4, 4), uneven}) {
    std::map<uint32_t, uint32_t> rank_sizes;
    for (const auto& t : map.targets) ++rank_sizes[t.id.rank];
    for (uint32_t n = 1; n <= map.targets.size(); ++n) {
      for (uint64_t number = 0; number < 50; ++number) {
        const auto places = placed(plain(n, number), map);
        ASSERT_EQ(places.size(), n);
        std::set<model::TargetId> targets;
        std::map<uint32_t, uint32_t> held;
        for (uint32_t i = 0; i < n; ++i) {
          EXPECT_EQ(places[i].shard, i);
          targets.insert(target_of(places[i]));
          ++held[places[i].rank];
        }
        EXPECT_EQ(targets.size(), n);
        uint32_t most = 0, least_with_room = ~0u;
        for (const auto& [rank, size] : rank_sizes) {
          most = std::max(most, held[rank]);
          if (held[rank] < size) least_with_room = std::min(least_with_room, held[rank]);
        }
        EXPECT_LE(most, least_with_room == ~0u ? most : least_with_room + 1);
      }
    }
  }
}

TEST(Place, A_class_that_the_pool_cannot_hold_is_refused) {
  // Goal: more groups than targets is an error, "all" takes what there is. Method: small pools.
  EXPECT_EQ(shard_count(plain(5), pool(1, 4).shape).error().code(), Errc::invalid);
  EXPECT_EQ(place_object(plain(5), pool(2, 2)).error().code(), Errc::invalid);
  EXPECT_EQ(shard_count(plain(kAll), pool(2, 3).shape), 6u);
  EXPECT_EQ(shard_count(plain(4), pool(2, 3).shape), 4u);
}

/// Shards that each target gets of 10^5 shards of objects of that class.
std::map<model::TargetId, double> load_of(const PoolMap& map, uint32_t groups) {
  std::map<model::TargetId, double> load;
  for (const auto& t : map.targets) load[t.id] = 0;
  for (uint64_t i = 0; i < 100'000 / groups; ++i) {
    for (const Place& place : placed(plain(groups, i), map)) ++load[target_of(place)];
  }
  return load;
}

TEST(Place, Targets_are_loaded_evenly) {
  // Goal: no target gets more than its part. Method: chi-square of 10^5 shards; with 15 degrees of
  // freedom 40 has a chance below 0.001 (and the objects are always the same ones).
  for (const uint32_t groups : {1u, 2u, 6u}) {
    double chi = 0;
    const double expected = 100'000 / groups * groups / 16.0;
    for (const auto& [target, shards] : load_of(pool(4, 4), groups)) {
      chi += (shards - expected) * (shards - expected) / expected;
    }
    EXPECT_LT(chi, 40.0) << groups;
  }
}

TEST(Place, Targets_are_loaded_by_weight) {
  // Goal: a target of three times the capacity gets three times the objects. Method: one such, in a
  // rank with a usual one; the deviation allowed is five sigmas.
  PoolMap map = pool(3, 2);
  map.targets[2].weight = 3;
  auto load = load_of(map, 1);
  EXPECT_NEAR(load[map.targets[2].id], 100'000 * 3 / 8.0, 5 * 153);
  for (const size_t usual : {size_t{0}, size_t{1}, size_t{3}, size_t{4}, size_t{5}}) {
    EXPECT_NEAR(load[map.targets[usual].id], 100'000 / 8.0, 5 * 105) << usual;
  }
}

/// Shards that are elsewhere in the larger pool, and those of them that went to the new rank.
std::pair<double, double> moved(const PoolMap& from, const PoolMap& to, uint32_t groups) {
  const uint32_t fresh = to.targets.back().id.rank;
  double all = 0, to_fresh = 0, total = 0;
  for (uint64_t i = 0; i < 20'000 / groups; ++i) {
    const auto before = placed(plain(groups, i), from);
    const auto after = placed(plain(groups, i), to);
    for (uint32_t s = 0; s < groups; ++s) {
      ++total;
      if (target_of(before[s]) == target_of(after[s])) continue;
      ++all;
      if (after[s].rank == fresh) ++to_fresh;
    }
  }
  return {all / total, to_fresh / total};
}

TEST(Place, A_rank_that_joins_takes_its_part_and_little_else_moves) {
  // Goal: growth moves the least. Method: a ninth rank of four targets; the part that has to move
  // is a ninth. An S1 object moves to the new rank or not at all; of wider ones some move in turn.
  const auto [one, one_fresh] = moved(pool(8, 4), pool(9, 4), 1);
  EXPECT_EQ(one, one_fresh);
  EXPECT_NEAR(one, 1 / 9.0, 0.01);
  const auto [four, four_fresh] = moved(pool(8, 4), pool(9, 4), 4);
  EXPECT_NEAR(four_fresh, 1 / 9.0, 0.01);
  EXPECT_LT(four, 0.16);
  const auto [wide, wide_fresh] = moved(pool(8, 4), pool(9, 4), 32);
  EXPECT_NEAR(wide_fresh, 1 / 9.0, 0.02);
  EXPECT_LT(wide, 0.33);  // all 32 targets hold a shard: who is displaced displaces others
}

TEST(Place, The_widest_object_takes_time_by_its_shards) {
  // Goal: wide objects are no trouble in large pools. Method: 16,000 shards over 1,000 ranks; a
  // quadratic placement would take minutes under the test's time limit.
  const PoolMap map = pool(1000, 16);
  const auto places = placed(plain(kAll), map);
  EXPECT_GT(places.size(), 14'000u);  // "all" leaves some room for rebuilds
  std::set<model::TargetId> targets;
  for (const Place& place : places) targets.insert(target_of(place));
  EXPECT_EQ(targets.size(), places.size());
}

}  // namespace
}  // namespace cairn::layout
