#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "index/pager_testing.h"
#include "index/tree.h"

namespace cairn::index {
namespace {

TEST(TreeMany, Finds_what_single_look_ups_find_as_far_as_it_is_in_memory) {
  // Goal: get_many() of any keys at any time. Method: an empty tree, one leaf, several levels, all
  // pages evicted, some loaded; keys that are there, absent, and more than one group. What it knows
  // is what get() says; look-ups afterwards find what they should, after loading what they miss.
  MemoryPager memory(2000);
  Tree tree(memory.pager());
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("key" + std::to_string(i * 97 % 10'000));
  std::vector<ByteView> wanted;
  for (const auto& key : keys) wanted.push_back(as_bytes(key));
  std::vector<Tree::Looked> found_many(wanted.size());
  size_t known = 0, there = 0;
  const auto look = [&] {
    tree.get_many(wanted, found_many);
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (!found_many[i].known) continue;
      const auto alone = tree.get(wanted[i]);
      ASSERT_TRUE(alone.has_value());
      ASSERT_EQ(alone->has_value(), found_many[i].value.has_value()) << keys[i];
      ++known;
      if (!*alone) continue;
      ++there;
      ASSERT_EQ((*alone)->data(), found_many[i].value->data());
      ASSERT_EQ((*alone)->size(), found_many[i].value->size());
    }
  };
  look();
  EXPECT_EQ(known, wanted.size()) << "an empty tree is known";
  tree.get_many({}, {});
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
        if (i % 20 == 0) look();
        found = tree.get(as_bytes(keys[i]));
      }
      ASSERT_TRUE(found);
      ASSERT_EQ(found->has_value(), number < count) << keys[i];
      if (*found) EXPECT_EQ((**found)[100], static_cast<std::byte>('a' + number % 26));
    }
  };
  for (const size_t until : {size_t{10}, size_t{9'000}}) {
    fill(until);
    known = there = 0;
    look();
    EXPECT_GT(known, there);
    EXPECT_GT(there, 0u);
    check();
    memory.evict_all();
    known = 0;
    look();
    EXPECT_EQ(known, 0u);
    check();
  }
}

}  // namespace
}  // namespace cairn::index
