// Ways that are kept across changes of the tree, eviction and damage.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "index/pager_state.h"
#include "index/pager_testing.h"
#include "index/tree.h"

namespace cairn::index {
namespace {

using Model = std::map<std::string, std::string>;

std::string stamped(uint64_t stamp, size_t bytes) {
  std::string value(8 + bytes, static_cast<char>('a' + stamp % 26));
  store_le64(value.data(), stamp);
  return value;
}

/// A tree with many ways into it, changed and read by one of them at a time.
struct Walkers {
  static constexpr size_t kWays = 24;
  MemoryPager memory{6000};
  Tree tree{memory.pager()};
  std::array<Tree::Way, kWays> ways;
  Model model;
  std::mt19937_64 random{20'261};
  uint64_t stamp = 0;

  uint64_t below(uint64_t n) { return random() % n; }
  Tree::Way& any_way() { return ways[below(kWays)]; }
  std::string any_key() {
    // Neighbours, so that leaves split and merge below the ways.
    const uint64_t group = below(40);
    return "group" + std::string(group % 7, 'x') + std::to_string(group) + "/" +
           std::to_string(below(600));
  }
  template <class Call>
  auto driven(Call call) {
    for (;;) {
      auto result = call();
      if (result || result.error().code() != Errc::page_absent) return result;
      EXPECT_TRUE(memory.load_absent());
    }
  }
  void change(Tree::Way& way) {
    Batch batch;
    const size_t count = below(4) == 0 ? 1 + below(6) : 1;
    const uint64_t erases = below(2) == 0 ? 80 : 20;
    std::vector<std::pair<std::string, std::string>> after;  // no value: erased
    const std::string near = any_key();
    for (size_t i = 0; i < count; ++i) {
      const std::string key = i % 2 == 0 ? near + std::to_string(i) : any_key();
      if (below(100) < erases) {
        batch.erase(as_bytes(key));
        after.emplace_back(key, "");
      } else {
        const std::string value = stamped(++stamp, below(10) == 0 ? 2000 : below(120));
        batch.put(as_bytes(key), as_bytes(value));
        after.emplace_back(key, value);
      }
    }
    const Tree::Near here(tree, way);
    ASSERT_TRUE(driven([&] { return tree.prepare(batch); }));
    tree.apply(batch);
    for (auto& [key, value] : after) {
      value.empty() ? void(model.erase(key)) : void(model[key] = value);
    }
  }
  void look(Tree::Way& way) {
    const auto lower = model.lower_bound(any_key());
    const std::string key = below(4) == 0 || lower == model.end() ? any_key() : lower->first;
    if (below(2) == 0) {
      tree.approach(as_bytes(key), way);
      if (below(2) == 0) change(any_way());
      tree.approach_entry(as_bytes(key), way);
    }
    const Tree::Near here(tree, way);
    const auto found = driven([&] { return tree.get(as_bytes(key)); });
    ASSERT_TRUE(found);
    const auto expected = model.find(key);
    ASSERT_EQ(found->has_value(), expected != model.end()) << key;
    if (*found) ASSERT_EQ(as_chars(**found), expected->second);
    Cursor cursor(tree);
    ASSERT_TRUE(driven([&] { return cursor.seek(as_bytes(key)); }));
    const auto next = model.lower_bound(key);
    ASSERT_EQ(cursor.valid(), next != model.end());
    if (cursor.valid()) ASSERT_EQ(as_chars(cursor.key()), next->first);
  }
  void check_all() {
    const auto records = driven([&] { return tree.verify(); });
    ASSERT_TRUE(records) << records.error().what();
    ASSERT_EQ(*records, model.size());
  }
};

TEST(TreeNear, Whatever_happens_to_the_tree_a_kept_way_leads_to_the_leaf_or_is_searched_anew) {
  // Goal: a way is never wrong. Method: two dozen ways that stay while the tree grows and shrinks,
  // generations end and pages leave memory; each is used for any key, by look-ups, cursors and
  // changes, and everything is compared with a map.
  Walkers w;
  for (int round = 0; round < 60'000; ++round) {
    const uint64_t dice = w.below(1000);
    if (dice == 0) {
      w.memory.checkpoint();
    } else if (dice == 1) {
      w.memory.evict_all();
    } else if (dice < 500) {
      w.change(w.any_way());
    } else {
      w.look(w.any_way());
    }
    if (::testing::Test::HasFatalFailure()) return;
    if (round % 5000 == 0) w.check_all();
  }
  w.check_all();
  EXPECT_GT(w.model.size(), 1000u);
}

TEST(TreeNear, An_approach_counts_as_a_use_once_the_way_is_gone) {
  // Goal: pages that are found by a kept way stay in memory like others. Method: the mark of a
  // leaf is taken away; an approach alone leaves it so, a look-up by its way sets it.
  MemoryPager memory(500);
  Tree tree(memory.pager());
  for (int i = 0; i < 2000; ++i) {
    Batch batch;
    batch.put(as_bytes("key" + std::to_string(i)), as_bytes(stamped(1, 50)));
    ASSERT_TRUE(tree.prepare(batch));
    tree.apply(batch);
  }
  Pager::State& state = memory.pager().state();
  const auto marked = [&] {
    size_t count = 0;
    for (const Slot& slot : state.slots) count += slot.used && slot.referenced ? 1 : 0;
    return count;
  };
  Tree::Way way;
  ASSERT_TRUE(tree.get(as_bytes("key500")));
  for (Slot& slot : state.slots) slot.referenced = false;
  tree.approach(as_bytes("key500"), way);
  const size_t branches = marked();
  const Tree::Near near(tree, way);
  const auto found = tree.get(as_bytes("key500"));
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->has_value());
  EXPECT_EQ(marked(), branches + 1);
}

TEST(TreeNear, An_approach_to_what_is_not_in_memory_loads_and_notes_nothing) {
  MemoryPager memory(500);
  Tree tree(memory.pager());
  Tree::Way way;
  tree.approach(as_bytes("a"), way);
  tree.approach_entry(as_bytes("a"), way);
  for (int i = 0; i < 2000; ++i) {
    Batch batch;
    batch.put(as_bytes("key" + std::to_string(i)), as_bytes(stamped(1, 50)));
    ASSERT_TRUE(tree.prepare(batch));
    tree.apply(batch);
  }
  memory.checkpoint();
  memory.evict_all();
  tree.approach(as_bytes("key500"), way);
  tree.approach_entry(as_bytes("key500"), way);
  EXPECT_EQ(memory.pager().state().want, Want::nothing);
  EXPECT_EQ(memory.pager().state().frames_used, 0u);
}

}  // namespace
}  // namespace cairn::index
