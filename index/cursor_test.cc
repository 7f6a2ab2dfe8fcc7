#include <set>
#include <string>

#include <gtest/gtest.h>

#include "index/pager_state.h"
#include "index/pager_testing.h"
#include "index/tree.h"
#include "runtime/random.h"

namespace cairn::index {
namespace {

/// A tree of `count` records with keys of random digits.
struct Filled {
  explicit Filled(size_t count) {
    SeededRandom random(11);
    const Bytes value(40, std::byte{1});
    while (keys.size() < count) {
      const std::string key = std::to_string(random.below(1'000'000'000));
      if (!keys.insert(key).second) continue;
      Batch batch;
      batch.put(as_bytes(key), value);
      CHECK(tree.prepare(batch).has_value());
      tree.apply(batch);
    }
  }
  MemoryPager memory{2000};
  Tree tree{memory.pager()};
  std::set<std::string> keys;
};

TEST(Cursor, Seeks_forward_from_where_it_stands_find_what_a_new_cursor_finds) {
  // Goal: the short way inside a leaf is right. Method: one cursor seeks near and far ahead, and
  // now and then back, beside a std::set.
  Filled filled(20'000);
  SeededRandom random(12);
  Cursor cursor(filled.tree);
  std::string at;
  for (int i = 0; i < 50'000; ++i) {
    std::string key = std::to_string(random.below(1'000'000'000));
    if (cursor.valid() && random.below(4) != 0) {
      key = at;  // a little ahead: its last digit, or one more
      if (random.below(2) == 0) {
        key.push_back(static_cast<char>('0' + random.below(10)));
      } else {
        key.back() = static_cast<char>('0' + random.below(11));
      }
    }
    ASSERT_TRUE(cursor.seek(as_bytes(key)).has_value());
    const auto wanted = filled.keys.lower_bound(key);
    ASSERT_EQ(cursor.valid(), wanted != filled.keys.end()) << key;
    if (!cursor.valid()) continue;
    at = std::string(as_chars(cursor.key()));
    ASSERT_EQ(at, *wanted) << key;
  }
}

TEST(Cursor, A_walk_that_misses_a_leaf_names_those_behind_it) {
  // Goal: read-ahead. Method: everything evicted; the pages above the leaves are loaded; the first
  // missing leaf comes with as many as were asked for, in order, and without asking with none.
  Filled filled(20'000);
  filled.memory.evict_all();
  Pager::State& state = filled.memory.pager().state();
  const auto first_miss = [&](uint32_t ahead) {
    for (;;) {
      state.ahead.clear();
      Cursor cursor(filled.tree, ahead);
      const auto sought = cursor.seek(as_bytes("5"));
      EXPECT_FALSE(sought.has_value());
      if (!state.ahead.empty() || ahead == 0) return state.ahead.size();
      CHECK(filled.memory.load_absent().has_value());
    }
  };
  EXPECT_EQ(first_miss(6), 6u);
  const std::vector<PageRef> named = state.ahead;
  EXPECT_EQ(first_miss(0), 0u);
  // They are the leaves that the walk comes to.
  size_t met = 0;
  Cursor cursor(filled.tree);
  for (auto moved = cursor.seek(as_bytes("5")); met < named.size();) {
    if (!moved) {
      if (state.absent == named[met]) ++met;
      CHECK(filled.memory.load_absent().has_value());
    }
    moved = cursor.valid() ? cursor.next() : cursor.seek(as_bytes("5"));
  }
  EXPECT_EQ(met, named.size());
}

}  // namespace
}  // namespace cairn::index
