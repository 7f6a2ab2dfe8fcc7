#include "base/flat_map.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>

namespace cairn {
namespace {

TEST(FlatMap, Random_operations_agree_with_a_tree) {
  // Goal: insert, look up, replace, erase and iterate are right, also in long runs of one home.
  // Method: few and clustered keys against std::map; the seed is printed.
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const uint64_t stride : {1ull, 64ull, 1ull << 32}) {
    FlatMap<uint64_t, uint32_t> ours;
    std::map<uint64_t, uint32_t> model;
    for (int i = 0; i < 40'000; ++i) {
      const uint64_t key = random() % 700 * stride;
      const uint32_t value = random();
      switch (random() % 4) {
        case 0:
          ours[key] = value, model[key] = value;
          break;
        case 1:
          ASSERT_EQ(ours.try_emplace(key, value).second, model.try_emplace(key, value).second);
          break;
        case 2:
          ASSERT_EQ(ours.erase(key), model.erase(key));
          break;
        default:
          ASSERT_EQ(ours.contains(key), model.contains(key));
          if (const auto found = ours.find(key); found != ours.end()) {
            ASSERT_EQ(found->second, model.at(key));
          }
      }
      ASSERT_EQ(ours.size(), model.size());
    }
    const std::map<uint64_t, uint32_t> seen(ours.begin(), ours.end());
    EXPECT_EQ(seen, model);
    while (!ours.empty()) ours.erase(ours.begin());
    EXPECT_EQ(ours.begin(), ours.end());
  }
}

TEST(FlatMap, Holds_what_can_only_be_moved_and_frees_it) {
  // Goal: erased and cleared values are destroyed. Method: count by shared pointers.
  FlatMap<uint64_t, std::shared_ptr<int>> ours;
  const auto one = std::make_shared<int>(1);
  for (uint64_t key = 0; key < 100; ++key) ours.try_emplace(key, one);
  EXPECT_EQ(one.use_count(), 101);
  for (uint64_t key = 0; key < 100; key += 2) ours.erase(key);
  EXPECT_EQ(one.use_count(), 51);
  ours.clear();
  EXPECT_EQ(one.use_count(), 1);
  FlatMap<uint64_t, std::unique_ptr<int>> moved;
  for (uint64_t key = 0; key < 50; ++key) moved.try_emplace(key, std::make_unique<int>(7));
  EXPECT_EQ(*moved.find(33)->second, 7);
}

TEST(FlatSet, Random_operations_agree_with_a_tree) {
  // Goal and method as for the map.
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  FlatSet<uint64_t> ours;
  std::set<uint64_t> model;
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t key = random() % 300;
    if (random() % 2 == 0) {
      ASSERT_EQ(ours.insert(key), model.insert(key).second);
    } else {
      ASSERT_EQ(ours.erase(key), model.erase(key));
    }
  }
  std::set<uint64_t> seen;
  for (const uint64_t key : ours) seen.insert(key);
  EXPECT_EQ(seen, model);
}

}  // namespace
}  // namespace cairn
