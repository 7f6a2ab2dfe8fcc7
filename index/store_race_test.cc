#include <gtest/gtest.h>

#include "index/store.h"
#include "index/budget.h"
#include "index/store_testing.h"

namespace cairn::index::testing {
namespace {

/// Many writers beside each other; each owns its keys, so that the model needs no order among them.
struct Crowd {
  Store& store;
  SeededRandom random;
  size_t running = 0;
  uint64_t stamp = 0;
  Content content;  // acknowledged or not: by its owner's order
  bool failed = false;
  const char* what = "";
};

Task<void> writer(Crowd& crowd, int number, int updates) {
  for (int i = 0; i < updates && !crowd.failed; ++i) {
    Batch batch;
    std::vector<std::pair<std::string, Bytes>> puts;
    for (uint64_t n = 1 + crowd.random.below(3); n > 0; --n) {
      const uint64_t which = crowd.random.below(300);
      std::string key = std::to_string(which) + "/" + std::to_string(number);
      Bytes value = encode_value(++crowd.stamp, {{}, std::string(crowd.random.below(300), 'r')});
      batch.put(as_bytes(key), value);
      puts.emplace_back(std::move(key), std::move(value));
    }
    auto done = co_await update(crowd.store, std::move(batch), crowd.stamp);
    Result<void> durable;
    if (done) durable = co_await crowd.store.durable(*done);
    if (!done || !durable) {
      crowd.failed = true;
      crowd.what = done ? durable.error().what() : done.error().what();
      break;
    }
    for (auto& [key, value] : puts) crowd.content[key] = std::move(value);
    // One writer asks for checkpoints, besides those that the store makes.
    if (number == 0 && i % 20 == 19 && !co_await crowd.store.checkpoint()) crowd.failed = true;
  }
  --crowd.running;
}

Task<Result<void>> all_done(TestWorld& world, Crowd& crowd) {
  while (crowd.running != 0) co_await world.reactor.yield();
  if (crowd.failed) co_return fail(Errc::misc, crowd.what);
  co_return Result<void>{};
}

void run_crowd(TestWorld& world, StoreOptions options, int writers, int updates,
               uint64_t checkpoints_min) {
  auto store = create(world, options);
  Content content;
  for (int round = 0; round < 2; ++round) {
    Crowd crowd{*store, SeededRandom(test_seed() + 7)};
    crowd.content = std::move(content);
    crowd.stamp = static_cast<uint64_t>(round) << 32;
    crowd.running = static_cast<size_t>(writers);
    for (int w = 0; w < writers; ++w) world.reactor.spawn(writer(crowd, w, updates));
    const auto done = world.run(all_done(world, crowd));
    ASSERT_TRUE(done.has_value()) << done.error().what();
    EXPECT_GE(store->stats().checkpoints, checkpoints_min);
    EXPECT_LE(store->stats().wal_used_bytes, store->stats().wal_bytes);
    content = std::move(crowd.content);
    world.settle();
    store.reset();
    store = must(open(world, options));
    const auto all = world.run(read_all(*store));
    ASSERT_TRUE(all.has_value()) << all.error().what();
    EXPECT_EQ(*all == content, true);
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
  }
  EXPECT_TRUE(world.run(store->close()).has_value());
}

TEST(StoreRace, Checkpoints_go_on_beside_updates) {
  // Goal: freezing, cloning and trimming race with updates without loss. Method: 32 writers, a log
  // so small that checkpoints follow each other.
  TestWorld world(test_seed(), 256u << 10, 32u << 20);
  run_crowd(world, options_for(), 32, 100, 5);
}

TEST(StoreRace, Checkpoints_eviction_and_updates_share_a_few_frames) {
  // Goal: the same with the least memory, where pages are written back and loaded all the time.
  TestWorld world(test_seed(), 256u << 10, 32u << 20);
  run_crowd(world, options_for(false, kMemoryBytesMin), 16, 100, 3);
}

TEST(StoreRace, Everything_leaves_memory_after_every_step_beside_checkpoints) {
  // Goal: the same with evict_always.
  TestWorld world(test_seed(), 512u << 10, 32u << 20);
  run_crowd(world, options_for(true), 4, 60, 2);
}

TEST(StoreRace, A_small_meta_blob_is_recycled_by_checkpoints) {
  // Goal: pages that wait for the next root are awaited, not refused. Method: a blob that holds the
  // content about once and a half.
  TestWorld world(test_seed(), 4u << 20, 1408u << 10);
  run_crowd(world, options_for(), 8, 150, 7);
}

TEST(StoreRace, A_checkpoint_hook_may_commit) {
  // Goal: the owner's tables become part of the checkpoint. Method: the hook counts into a record;
  // after a crash right behind the checkpoint the record is there without any log.
  TestWorld world(test_seed());
  auto store = create(world, options_for());
  int calls = 0;
  struct Hook {
    static Task<Result<void>> run(Store* store, int* calls) {
      ++*calls;
      CO_TRY(lsn, co_await update(*store, one_put("table", static_cast<uint64_t>(*calls)), 1));
      co_return Result<void>{};
    }
  };
  store->before_checkpoint([raw = store.get(), &calls] { return Hook::run(raw, &calls); });
  ASSERT_TRUE(world.run(store->checkpoint()).has_value());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(store->stats().wal_used_bytes, 0u);
  store.reset();
  store = must(open(world, options_for()));
  EXPECT_EQ(store->stats().replayed_records, 0u);
  EXPECT_TRUE(get(world, *store, "table")->has_value());
}

}  // namespace
}  // namespace cairn::index::testing
