// Metadata that outgrows memory (store.md rules 16, 17): how often pages are read, what stays, and
// that many who miss pages at once all get through.
#include <gtest/gtest.h>

#include "index/budget.h"
#include "index/store_state.h"
#include "index/store_testing.h"
#include "runtime/parallel.h"

namespace cairn::index::testing {
namespace {

constexpr uint64_t kValueBytes = 1000;
constexpr uint64_t kPutsAtOnce = 16;

std::string key_of(uint64_t number) {
  std::string key(8, '\0');
  store_be64(reinterpret_cast<std::byte*>(key.data()), number);
  return key;
}

Task<Result<void>> put_some(Store& store, uint64_t first, uint64_t count, char letter) {
  Batch batch;
  for (uint64_t i = first; i < first + count; ++i) {
    batch.put(as_bytes(key_of(i)), encode_value(i + 1, {{}, std::string(kValueBytes, letter)}));
  }
  CO_TRY(lsn, co_await update(store, std::move(batch), first + 1));
  co_return Result<void>{};
}

Task<Result<void>> fill(Store& store, uint64_t records) {
  for (uint64_t i = 0; i < records; i += kPutsAtOnce) {
    CO_TRY(put, co_await put_some(store, i, kPutsAtOnce, 'a'));
  }
  co_return co_await store.checkpoint();
}

Task<Result<void>> look_up(Store& store, uint64_t number) {
  const std::string key = key_of(number);
  Store::Attempt attempt(store);
  for (;;) {
    auto found = store.tree().get(as_bytes(key));
    if (found) {
      if (!*found) co_return fail(Errc::nonexistent, "test: a record is missing");
      co_return Result<void>{};
    }
    if (found.error().code() != Errc::page_absent) co_return fail(found.error());
    CO_TRY(loaded, co_await store.load_absent(attempt));
  }
}

Task<Result<void>> look_up_many(Store& store, SeededRandom& random, uint64_t records,
                                uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    CO_TRY(found, co_await look_up(store, random.below(records)));
  }
  co_return Result<void>{};
}

Task<Result<uint64_t>> newest_of_a_third(Store& store, uint64_t records) {
  const std::string low = key_of(records / 3), high = key_of(records / 3 * 2);
  Store::Attempt attempt(store);
  for (;;) {
    auto newest = store.tree().newest_stamp(as_bytes(low), as_bytes(high));
    if (newest || newest.error().code() != Errc::page_absent) co_return newest;
    CO_TRY(loaded, co_await store.load_absent(attempt));
  }
}

/// A store whose pages take about `times` the memory that it has.
struct Large {
  explicit Large(uint64_t times)
      : world(test_seed(), 4u << 20, kMemoryBytesMin * (times + 2) * 5 / 4, 1u << 20),
        records(kMemoryBytesMin * times / (kValueBytes + 40) / kPutsAtOnce * kPutsAtOnce),
        store(create(world, options_for(false, kMemoryBytesMin))) {
    const auto filled = world.run(fill(*store, records));
    CHECK(filled.has_value());
  }
  /// Pages read for one look-up of a random record.
  double reads_per_look_up() {
    constexpr uint64_t kCount = 4000;
    const auto warm = world.run(look_up_many(*store, random, records, kCount));
    CHECK(warm.has_value());
    const uint64_t before = world.meta.reads;
    const auto done = world.run(look_up_many(*store, random, records, kCount));
    CHECK(done.has_value());
    return static_cast<double>(world.meta.reads - before) / kCount;
  }

  TestWorld world;
  SeededRandom random{7};
  uint64_t records;
  std::unique_ptr<Store> store;
};

TEST(Capacity, A_look_up_reads_at_most_the_leaf_when_a_quarter_or_a_tenth_is_in_memory) {
  // Goal: at most 1.1 page reads. Method: uniform look-ups on a tree of 4 and of 10 times the
  // budget; the disk counts.
  for (const uint64_t times : {4u, 10u}) {
    SCOPED_TRACE(times);
    Large large(times);
    EXPECT_GT(large.store->stats().page_bytes, kMemoryBytesMin * times * 95 / 100);
    EXPECT_LE(large.reads_per_look_up(), 1.1);
    EXPECT_TRUE(large.world.run(large.store->close()).has_value());
  }
}

TEST(Capacity, A_look_up_reads_at_most_two_pages_when_a_hundredth_is_in_memory) {
  // Goal: at most 2.1 page reads. Method: as above with 100 times the budget.
  Large large(100);
  EXPECT_GT(large.store->stats().page_bytes, kMemoryBytesMin * 95);
  EXPECT_LE(large.reads_per_look_up(), 2.1);
  // The newest stamp of all records is at the root; of a range, at its two borders.
  const uint64_t before = large.world.meta.reads;
  const auto stamp = large.world.run(newest_of_a_third(*large.store, large.records));
  ASSERT_TRUE(stamp.has_value());
  EXPECT_GT(*stamp, large.records / 2);
  EXPECT_LE(large.world.meta.reads - before, 2u * 3);
  EXPECT_TRUE(large.world.run(large.store->close()).has_value());
}

TEST(Capacity, A_walk_over_everything_leaves_what_is_in_use_in_memory) {
  // Goal: scan resistance of the whole store, and leaves read ahead. Method: 40 leaves in use, a
  // walk over 10 times the budget, the 40 again: only those are read that were on probation.
  Large large(10);
  const uint64_t hot = 40 * 14;  // records of about 40 leaves
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(large.world.run(look_up_many(*large.store, large.random, hot, hot)).has_value());
  }
  const auto all = large.world.run(read_all(*large.store));
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->size(), large.records);
  const uint64_t before = large.world.meta.reads;
  for (uint64_t i = 0; i < hot; ++i) {
    ASSERT_TRUE(large.world.run(look_up(*large.store, i)).has_value());
  }
  EXPECT_LE(large.world.meta.reads - before, 10u);
  EXPECT_TRUE(large.world.run(large.store->close()).has_value());
}

Task<Result<void>> put_far_apart(Store& store, uint64_t records, uint64_t seed, int rounds) {
  SeededRandom random(seed);
  for (int round = 0; round < rounds; ++round) {
    CO_TRY(admitted, co_await store.admit());
    std::map<std::string, Bytes> puts;
    while (puts.size() < 12) {
      const uint64_t number = random.below(records);
      puts[key_of(number)] = encode_value(number + 1, {{}, std::string(kValueBytes, 'b')});
    }
    Batch batch;
    for (const auto& [key, value] : puts) batch.put(as_bytes(key), value);
    {
      Store::Attempt attempt(store);
      for (;;) {
        const auto prepared = store.tree().prepare(batch);
        if (prepared) break;
        if (prepared.error().code() != Errc::page_absent) co_return prepared;
        CO_TRY(loaded, co_await store.load_absent(attempt));
      }
    }
    const media::Lsn lsn = store.commit({}, batch, {1, 0});
    CO_TRY(durable, co_await store.durable(lsn));
  }
  co_return Result<void>{};
}

TEST(Capacity, Many_who_miss_pages_at_once_all_get_through) {
  // Goal: no livelock: together they need far more pages than there are frames, each a dozen at the
  // same time. Method: 100 writers of scattered batches with the least budget, beside checkpoints.
  Large large(6);
  std::vector<Task<Result<void>>> tasks;
  for (uint64_t i = 0; i < 100; ++i) {
    tasks.push_back(put_far_apart(*large.store, large.records, i, 5));
  }
  const auto done = large.world.run(run_all(large.world.reactor, std::move(tasks), 100));
  ASSERT_TRUE(done.has_value()) << done.error().what();
  ASSERT_NO_FATAL_FAILURE(expect_clean_check(large.world, *large.store));
  EXPECT_TRUE(large.world.run(large.store->close()).has_value());
}

TEST(Capacity, Replay_of_scattered_records_reads_about_one_page_for_each) {
  // Goal: open time is bounded by what the log holds, also where the changed pages do not fit into
  // memory. Method: random single updates on 10 times the budget, then the end without a
  // checkpoint.
  Large large(10);
  for (int i = 0; i < 200; ++i) {
    const auto put =
        large.world.run(put_some(*large.store, large.random.below(large.records), 1, 'c'));
    ASSERT_TRUE(put.has_value()) << put.error().what();
  }
  large.world.settle();
  large.store.reset();
  const uint64_t before = large.world.meta.reads;
  large.store = must(open(large.world, options_for(false, kMemoryBytesMin)));
  const uint64_t replayed = large.store->stats().replayed_records;
  EXPECT_GT(replayed, 150u);
  EXPECT_LE(large.world.meta.reads - before, replayed * 12 / 10 + 100);
  ASSERT_NO_FATAL_FAILURE(expect_clean_check(large.world, *large.store));
  EXPECT_TRUE(large.world.run(large.store->close()).has_value());
}

TEST(Capacity, A_store_that_changed_much_at_once_opens_with_the_least_memory) {
  // Goal: a budget that was lowered, or a tree that has grown otherwise, keeps nobody from opening.
  // Method: one record of 600 changes all over the tree, made with much memory, replayed with the
  // least.
  TestWorld world(test_seed(), 8u << 20, 64u << 20, 1u << 20);
  auto store = create(world, options_for(false, 128u << 20));
  constexpr uint64_t kRecords = 16'000;
  ASSERT_TRUE(world.run(fill(*store, kRecords)).has_value());
  Batch batch;
  for (uint64_t i = 0; i < 600; ++i) {
    const std::string key = key_of(i * (kRecords / 600));
    if (i % 3 == 0) {
      batch.erase(as_bytes(key));
    } else {
      batch.put(as_bytes(key), encode_value(9, {{}, std::string(2 * kValueBytes, 'b')}));
    }
  }
  ASSERT_TRUE(world.run(update_durably(*store, std::move(batch), kRecords + 1)).has_value());
  const auto before = world.run(read_all(*store));
  ASSERT_TRUE(before.has_value());
  world.settle();
  store.reset();
  store = must(open(world, options_for(false, kMemoryBytesMin)));
  const auto after = world.run(read_all(*store));
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(*after, *before);
  ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
  EXPECT_TRUE(world.run(store->close()).has_value());
}

TEST(Capacity, A_budget_too_small_for_one_operation_is_refused) {
  // Goal: told when the store is made, and when it is opened. Method: one byte less than the least.
  TestWorld world(test_seed());
  const auto small = options_for(false, kMemoryBytesMin - 1);
  EXPECT_EQ(world.run(Store::create(world.reactor, world.devices(), small)).error().code(),
            Errc::invalid);
  auto store = create(world, options_for(false, kMemoryBytesMin));
  EXPECT_TRUE(world.run(store->close()).has_value());
  store.reset();
  EXPECT_EQ(open(world, small).error().code(), Errc::invalid);
}

}  // namespace
}  // namespace cairn::index::testing
