#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "index/pager_testing.h"
#include "index/tree.h"

namespace cairn::index {
namespace {

TEST(TreePrefetch, A_hint_changes_nothing_whatever_is_in_memory) {
  // Goal: prefetch() of any keys at any time is harmless. Method: an empty tree, one leaf, several
  // levels, all pages evicted, some loaded; keys that are there, absent, and more than one group.
  // Look-ups afterwards find what they should, after loading what they miss.
  MemoryPager memory(2000);
  Tree tree(memory.pager());
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("key" + std::to_string(i * 97 % 10'000));
  const std::vector<ByteView> wanted = [&] {
    std::vector<ByteView> views;
    for (const auto& key : keys) views.push_back(as_bytes(key));
    return views;
  }();
  tree.prefetch(wanted);
  tree.prefetch({});
  size_t count = 0;
  const auto fill = [&](size_t until) {
    for (; count < until; ++count) {
      const std::string key = "key" + std::to_string(count);
      Batch batch;
      batch.put(as_bytes(key), as_bytes(std::string(300, static_cast<char>('a' + count % 26))));
      ASSERT_TRUE(tree.prepare(batch));
      tree.apply(batch);
      if (count % 500 == 0) memory.checkpoint();
    }
  };
  const auto check = [&] {
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t number = i * 97 % 10'000;
      auto found = tree.get(as_bytes(keys[i]));
      while (!found && found.error().code() == Errc::page_absent) {
        ASSERT_TRUE(memory.load_absent());
        if (i % 20 == 0) tree.prefetch(wanted);
        found = tree.get(as_bytes(keys[i]));
      }
      ASSERT_TRUE(found);
      ASSERT_EQ(found->has_value(), number < count) << keys[i];
      if (*found) EXPECT_EQ((**found)[100], static_cast<std::byte>('a' + number % 26));
    }
  };
  for (const size_t until : {size_t{10}, size_t{9'000}}) {
    fill(until);
    tree.prefetch(wanted);
    check();
    memory.evict_all();
    tree.prefetch(wanted);
    check();
  }
}

}  // namespace
}  // namespace cairn::index
