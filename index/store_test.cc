#include "index/store.h"

#include <gtest/gtest.h>

#include "index/budget.h"
#include "index/store_testing.h"

namespace cairn::index::testing {
namespace {

void run_restart_model(bool evict_always, int rounds, int steps, uint64_t memory) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_SEED=" + std::to_string(seed));
  TestWorld world(seed);
  Model model(world, seed + 1);
  auto store = create(world, options_for(evict_always, memory));
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < steps; ++i) {
      ASSERT_NO_FATAL_FAILURE(model.step(*store));
      if (model.random().below(200) == 0) {
        ASSERT_TRUE(world.run(store->checkpoint()).has_value());
      }
    }
    ASSERT_NO_FATAL_FAILURE(model.expect_same(*store));
    if (model.random().below(2) == 0) {
      ASSERT_TRUE(world.run(store->close()).has_value());
    }
    world.settle();
    store.reset();
    auto opened = open(world, options_for(evict_always, memory));
    ASSERT_TRUE(opened.has_value()) << opened.error().what();
    store = std::move(*opened);
    ASSERT_NO_FATAL_FAILURE(model.expect_same(*store));
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
  }
  EXPECT_TRUE(world.run(store->close()).has_value());
}

TEST(Store, What_was_committed_is_there_after_every_reopen) {
  // Goal: replay and checkpoints keep the map. Method: random batches beside a std::map; the store
  // ends with and without a last checkpoint and is opened again.
  run_restart_model(false, 8, 400, 8u << 20);
}

TEST(Store, Every_page_may_leave_memory_after_every_step) {
  // Goal: nothing relies on a page that is in memory by chance. Method: the same with evict_always.
  run_restart_model(true, 4, 120, 8u << 20);
}

TEST(Store, A_budget_of_a_few_frames_is_enough) {
  // Goal: bounded memory. Method: the same with the least budget, far below the size of the tree.
  run_restart_model(false, 4, 400, kMemoryBytesMin);
}

TEST(Store, An_empty_store_opens_empty) {
  // Goal: create alone makes a whole store. Method: no update between create and open, several
  // times.
  TestWorld world(1);
  create(world, options_for());
  for (int i = 0; i < 5; ++i) {
    auto store = open(world, options_for());
    ASSERT_TRUE(store.has_value()) << store.error().what();
    const auto all = world.run(read_all(**store));
    ASSERT_TRUE(all.has_value());
    EXPECT_TRUE(all->empty());
    if (i % 2 == 0) {
      EXPECT_TRUE(world.run((*store)->close()).has_value());
    }
  }
}

TEST(Store, Create_refuses_a_blob_that_holds_a_store) {
  // Goal: nobody's data is overwritten by mistake. Method: create twice.
  TestWorld world(1);
  create(world, options_for());
  const auto again = world.run(Store::create(world.reactor, world.devices(), options_for()));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code(), Errc::exists);
}

}  // namespace
}  // namespace cairn::index::testing
