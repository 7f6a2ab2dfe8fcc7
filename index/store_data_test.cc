#include <gtest/gtest.h>

#include "index/store.h"
#include "index/store_testing.h"

namespace cairn::index::testing {
namespace {

void expect_data(TestWorld& world, Store& store, const std::string& key, uint64_t stamp,
                 uint32_t blocks) {
  const auto value = get(world, store, key);
  ASSERT_TRUE(value.has_value() && value->has_value()) << key;
  const media::Extent extent = extent_of(**value);
  ASSERT_EQ(extent.count, blocks);
  Bytes bytes(blocks * media::kBlockBytes);
  ASSERT_TRUE(world.run(store.read_data(extent, 0, bytes)).has_value());
  EXPECT_EQ(bytes == pattern(stamp, blocks), true) << key << " holds other bytes";
}

TEST(StoreData, Overwritten_extents_come_back_and_nothing_is_lost_or_mixed) {
  // Goal: blocks go round without mixing values. Method: overwrite data values at random in a data
  // blob that holds few more than all of them; reopen; read every value back; check ownership.
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_SEED=" + std::to_string(seed));
  TestWorld world(seed, 1u << 20, 8u << 20, 2u << 20);
  SeededRandom random(seed + 1);
  auto store = create(world, options_for());
  std::map<std::string, std::pair<uint64_t, media::Extent>> content;
  uint64_t stamp = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string key = "key" + std::to_string(random.below(40));
      const auto blocks = static_cast<uint32_t>(1 + random.below(9));
      ++stamp;
      const auto done =
          world.run(update_with_data(*store, key, stamp, blocks, content[key].second));
      if (!done && done.error().code() == Errc::no_space) continue;  // scattered: other sizes fit
      ASSERT_TRUE(done.has_value()) << done.error().what();
      content[key] = {stamp, *done};
    }
    if (random.below(2) == 0) ASSERT_TRUE(world.run(store->close()).has_value());
    world.settle();
    store.reset();
    store = must(open(world, options_for()));
    for (const auto& [key, value] : content) {
      if (value.second.count != 0) expect_data(world, *store, key, value.first, value.second.count);
    }
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
  }
}

TEST(StoreData, A_record_whose_data_is_missing_ends_the_log_for_good) {
  // Goal: store.md rule 10. Method: one data write is lost; its record and the one behind it vanish
  // at open; what is written afterwards survives further openings, also when the lost data turns up
  // later.
  TestWorld world(test_seed());
  auto store = create(world, options_for());
  ASSERT_TRUE(world.run(update_durably(*store, one_put("kept", 1), 1)).has_value());
  world.data.lose_writes = true;
  const auto lost = world.run(update_with_data(*store, "lost", 2, 3, {}));
  ASSERT_TRUE(lost.has_value());
  world.data.lose_writes = false;
  world.settle();
  store.reset();
  Bytes wal_before = world.wal.bytes;

  for (int i = 0; i < 3; ++i) {
    store = must(open(world, options_for()));
    EXPECT_EQ(store->stats().replayed_records == 1, i == 0);
    EXPECT_TRUE(get(world, *store, "kept")->has_value());
    EXPECT_FALSE(get(world, *store, "lost")->has_value());
    if (i > 0) {
      EXPECT_TRUE(get(world, *store, "later")->has_value());
    }
    ASSERT_TRUE(world.run(update_durably(*store, one_put("later", 3), 3)).has_value());
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
    store.reset();
    const Bytes late = pattern(2, 3);
    std::copy(late.begin(), late.end(),
              world.data.bytes.begin() + static_cast<ptrdiff_t>(lost->block * media::kBlockBytes));
  }
}

TEST(StoreData, A_full_data_blob_says_no_space_and_freeing_helps) {
  // Goal: the store stays usable when full. Method: fill, see no_space, free one value, write
  // again.
  TestWorld world(test_seed(), 1u << 20, 8u << 20, 1u << 20);
  auto store = create(world, options_for());
  std::vector<media::Extent> extents;
  for (;;) {
    const auto done =
        world.run(update_with_data(*store, "k" + std::to_string(extents.size()), 1, 16, {}));
    if (!done) {
      EXPECT_EQ(done.error().code(), Errc::no_space);
      break;
    }
    extents.push_back(*done);
  }
  EXPECT_EQ(extents.size(), 16u);
  Batch batch = one_erase("k3");
  batch.free(extents[3]);
  ASSERT_TRUE(world.run(update_durably(*store, std::move(batch), 2)).has_value());
  auto again = world.run(update_with_data(*store, "new", 3, 16, {}));
  if (!again) again = world.run(update_with_data(*store, "new", 3, 16, {}));
  ASSERT_TRUE(again.has_value()) << again.error().what();
  EXPECT_EQ(*again, extents[3]);
  expect_data(world, *store, "new", 3, 16);
  EXPECT_TRUE(world.run(store->close()).has_value());
}

TEST(StoreData, A_pinned_reader_never_meets_another_value) {
  // Goal: extents freed after a pin are not handed out while it lives. Method: pin, free, fill the
  // blob up.
  TestWorld world(test_seed(), 1u << 20, 8u << 20, 1u << 20);
  auto store = create(world, options_for());
  const auto first = world.run(update_with_data(*store, "k", 1, 100, {}));
  ASSERT_TRUE(first.has_value());
  {
    const Store::ReadPin pin = store->pin_reads();
    ASSERT_TRUE(world.run(update_with_data(*store, "k", 2, 100, *first)).has_value());
    for (int i = 0; i < 5; ++i) {
      const auto more = world.run(update_with_data(*store, "more", 3, 100, {}));
      ASSERT_FALSE(more.has_value());
    }
    Bytes bytes(100 * media::kBlockBytes);
    ASSERT_TRUE(world.run(store->read_data(*first, 0, bytes)).has_value());
    EXPECT_EQ(bytes == pattern(1, 100), true);
  }
  EXPECT_TRUE(world.run(update_with_data(*store, "more", 3, 100, {})).has_value());
  EXPECT_TRUE(world.run(store->close()).has_value());
}

}  // namespace
}  // namespace cairn::index::testing
