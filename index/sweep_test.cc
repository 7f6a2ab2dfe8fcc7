// The walk over the durable root: all of it, once, in order, past the cache.
#include "index/sweep.h"

#include <gtest/gtest.h>

#include "index/pager_state.h"
#include "index/store_testing.h"

namespace cairn::index::testing {
namespace {

struct Swept {
  Content content;
  std::vector<Sweep::Visit> lost;
  uint64_t pages = 0, levels = 0;
  std::string disorder;
};

Task<Result<Swept>> sweep_all(Store& store) {
  Swept out;
  Sweep sweep = store.sweep();
  std::string end;  // of the leaf before
  while (auto visit = co_await sweep.next()) {
    ++out.pages;
    out.levels = std::max<uint64_t>(out.levels, visit->level + 1);
    const bool leaf = visit->lost != nullptr || sweep.node().is_leaf();
    if (leaf && as_chars(visit->low) != end) out.disorder = "a gap or an overlap";
    if (leaf) end = std::string(as_chars(visit->high));
    if (visit->lost != nullptr) {
      out.lost.push_back(std::move(*visit));
      continue;
    }
    if (!leaf) continue;
    const Node node = sweep.node();
    for (uint32_t slot = 0; slot < node.count(); ++slot) {
      std::string key(node.key_bytes(slot), '\0');
      node.key(slot).copy(0, key.size(), reinterpret_cast<std::byte*>(key.data()));
      const ByteView value = node.leaf_value(slot);
      out.content[key] = Bytes(value.begin(), value.end());
    }
  }
  if (!end.empty()) out.disorder = "it does not go to the end";
  co_return out;
}

TEST(Sweep, Every_record_of_the_root_is_met_once_and_found_by_its_key) {
  // Goal: ranges cover all keys without gap or overlap, and the content is the tree's. Method: a
  // random store, checkpointed; with everything in memory and with nothing.
  for (const bool evicting : {false, true}) {
    TestWorld world(test_seed());
    auto store = create(world, options_for(evicting));
    Model model(world, test_seed());
    for (int i = 0; i < 1500; ++i) ASSERT_NO_FATAL_FAILURE(model.step(*store));
    ASSERT_TRUE(world.run(store->checkpoint()));
    const auto swept = world.run(sweep_all(*store));
    ASSERT_TRUE(swept);
    EXPECT_EQ(swept->disorder, "");
    EXPECT_TRUE(swept->lost.empty());
    EXPECT_GE(swept->levels, 2u);
    EXPECT_TRUE(swept->content == model.content);
    Sweep sweep = store->sweep();
    int looked = 0;
    for (const auto& [key, value] : model.content) {
      if (++looked > 300) break;
      const ByteView bytes = as_bytes(key);
      const auto found = world.run(sweep.get(Bytes(bytes.begin(), bytes.end())));
      ASSERT_TRUE(found && *found);
      EXPECT_TRUE(**found == value);
      const auto none = world.run(sweep.get(Bytes(bytes.begin(), bytes.end() - 1)));
      ASSERT_TRUE(none);
      EXPECT_EQ(none->has_value(), model.content.count(key.substr(0, key.size() - 1)) != 0);
    }
    ASSERT_TRUE(world.run(store->close()));
  }
}

TEST(Sweep, An_empty_store_has_no_pages) {
  TestWorld world(test_seed());
  auto store = create(world, options_for());
  const auto swept = world.run(sweep_all(*store));
  ASSERT_TRUE(swept);
  EXPECT_EQ(swept->pages, 0u);
  ASSERT_TRUE(world.run(store->close()));
}

TEST(Sweep, A_whole_page_at_a_wrong_place_is_lost) {
  // Goal: a page that proves itself is damage all the same where its parent means another one.
  // Method: two leaves change places; their checksums are made anew for the new addresses.
  TestWorld world(test_seed());
  auto store = create(world, options_for());
  Model model(world, test_seed());
  for (int i = 0; i < 800; ++i) ASSERT_NO_FATAL_FAILURE(model.step(*store));
  ASSERT_TRUE(world.run(store->checkpoint()));
  std::vector<Sweep::Visit> leaves;
  Sweep sweep = store->sweep();
  while (auto visit = world.run(sweep.next())) {
    if (visit->level == 0) leaves.push_back(*visit);
  }
  ASSERT_GE(leaves.size(), 3u);
  const auto place = [&](const Sweep::Visit& v) {
    return world.meta.bytes.data() + v.ref.page_number() * kPageBytes;
  };
  Bytes first(place(leaves[0]), place(leaves[0]) + kPageBytes);
  auto& header = *reinterpret_cast<PageHeader*>(first.data());
  header.page_number = leaves[2].ref.page_number();
  header.birth = reinterpret_cast<PageHeader*>(place(leaves[2]))->birth.get();
  seal_page(first);
  std::copy(first.begin(), first.end(), place(leaves[2]));
  const auto swept = world.run(sweep_all(*store));
  ASSERT_TRUE(swept);
  ASSERT_EQ(swept->lost.size(), 1u);
  EXPECT_EQ(swept->lost[0].ref, leaves[2].ref);
  EXPECT_EQ(swept->disorder, "");
  ASSERT_TRUE(world.run(store->close()));
}

}  // namespace
}  // namespace cairn::index::testing
