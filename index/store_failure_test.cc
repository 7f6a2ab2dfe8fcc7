#include <gtest/gtest.h>

#include "base/hash.h"
#include "index/store.h"
#include "index/store_core.h"
#include "index/store_testing.h"
#include "index/superblock_format.h"

namespace cairn::index::testing {
namespace {

// ---- damaged superblocks ----

/// A store with two superblock generations and a record after the newest; closed by a crash.
struct Damaged {
  explicit Damaged(uint64_t seed) : world(seed, 1u << 20, 2u << 20) {
    auto store = create(world, options_for());
    for (int i = 0; i < 300; ++i) put(*store, i);
    CHECK(world.run(store->checkpoint()).has_value());
    for (int i = 300; i < 400; ++i) put(*store, i);
    CHECK(world.run(store->checkpoint()).has_value());
    for (int i = 400; i < 450; ++i) put(*store, i);
    world.settle();
  }
  void put(Store& store, int i) {
    CHECK(world.run(update_durably(store, one_put("key" + std::to_string(i), 1), 1)).has_value());
  }
  /// generation is 1 (creation), 2, then 3 for the newest.
  std::byte* copy(uint32_t generation, uint64_t copy_number) {
    const uint64_t pages = world.meta.bytes.size() / kPageBytes;
    return world.meta.bytes.data() + superblock_offset(pages, generation, copy_number);
  }
  void expect_all() {
    auto store = open(world, options_for());
    ASSERT_TRUE(store.has_value()) << store.error().what();
    for (int i = 0; i < 450; ++i) {
      const auto value = get(world, **store, "key" + std::to_string(i));
      ASSERT_TRUE(value.has_value() && value->has_value()) << i;
    }
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, **store));
  }
  TestWorld world;
};

TEST(StoreDamage, One_whole_copy_of_the_newest_superblock_is_enough) {
  // Goal: each copy may be damaged. Method: flip a byte, zero it, tear it, one copy at a time.
  for (uint64_t number = 0; number < 2; ++number) {
    for (int how = 0; how < 3; ++how) {
      Damaged d(test_seed());
      if (how == 0) d.copy(3, number)[100] ^= std::byte{1};
      if (how == 1) std::memset(d.copy(3, number), 0, kSuperblockBytesMax);
      if (how == 2) std::memset(d.copy(3, number) + 512, 0xEE, kSuperblockBytesMax - 512);
      ASSERT_NO_FATAL_FAILURE(d.expect_all());
      // Opening again meets a healed pair.
      ASSERT_NO_FATAL_FAILURE(d.expect_all());
    }
  }
}

TEST(StoreDamage, The_older_superblock_serves_while_its_pages_and_log_are_intact) {
  // Goal: store.md rule 15. Method: both copies of the newest are damaged right after it was
  // written: nothing was overwritten since, so the older root and the log bring everything back.
  Damaged d(test_seed());
  d.copy(3, 0)[30] ^= std::byte{1};
  d.copy(3, 1)[30] ^= std::byte{1};
  ASSERT_NO_FATAL_FAILURE(d.expect_all());
}

TEST(StoreDamage, The_older_superblock_is_refused_once_its_pages_were_reused) {
  // Goal: no wrong answer from a stale root. Method: many updates after the newest checkpoint with
  // eviction reuse the pages of the older root; then both newest copies are damaged.
  TestWorld world(test_seed(), 16u << 20, 4u << 20);
  StoreOptions options = options_for(true);
  options.checkpoints = false;
  auto store = create(world, options);
  const auto put = [&](const std::string& key, size_t fill) {
    const auto done = world.run(update_durably(*store, one_put(key, 1, fill), 1));
    ASSERT_TRUE(done.has_value()) << done.error().what();
  };
  for (int i = 0; i < 500; ++i) put("key" + std::to_string(i), 1500);
  ASSERT_TRUE(world.run(store->checkpoint()).has_value());
  for (int i = 0; i < 500; i += 10) put("key" + std::to_string(i), 1500);
  ASSERT_TRUE(world.run(store->checkpoint()).has_value());
  for (int i = 0; store->stats().pages.available() > 45; ++i)
    put("other" + std::to_string(i), 5900);
  world.settle();
  store.reset();
  const uint64_t pages = world.meta.bytes.size() / kPageBytes;
  for (uint64_t number = 0; number < 2; ++number) {
    std::byte* newest = world.meta.bytes.data() + superblock_offset(pages, 3, number);
    ASSERT_EQ(parse_superblock({newest, kSuperblockBytesMax})->generation, 3u);
    newest[40] ^= std::byte{1};
  }
  const Bytes before = world.meta.bytes;
  const auto opened = open(world, options_for());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Errc::checksum);
  EXPECT_EQ(world.meta.bytes == before, true) << "a failed open changed the blob";
}

TEST(StoreDamage, No_whole_copy_is_an_error_and_changes_nothing) {
  // Goal: damage beyond the copies is reported. Method: damage all four.
  Damaged d(test_seed());
  for (uint32_t generation : {2u, 3u}) {
    for (uint64_t number : {0u, 1u}) d.copy(generation, number)[200] ^= std::byte{4};
  }
  const Bytes before = d.world.meta.bytes;
  const auto opened = open(d.world, options_for());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Errc::checksum);
  EXPECT_EQ(d.world.meta.bytes == before, true);
}

TEST(StoreDamage, Foreign_newer_and_cut_blobs_are_told_apart) {
  // Goal: each refusal names its cause. Method: other owner; a whole superblock of version 2; blobs
  // of other sizes; a blank blob.
  Damaged d(test_seed());
  StoreOptions foreign = options_for();
  foreign.owner_tag[1] ^= 1;
  EXPECT_EQ(open(d.world, foreign).error().code(), Errc::format_invalid);

  for (auto* disk : {&d.world.wal, &d.world.data, &d.world.meta}) {
    Bytes whole = disk->bytes;
    disk->bytes.resize(whole.size() / 2);
    EXPECT_EQ(open(d.world, options_for()).error().code(), Errc::format_invalid);
    disk->bytes = whole;
  }

  Bytes blank(d.world.meta.bytes.size());
  std::swap(blank, d.world.meta.bytes);
  EXPECT_EQ(open(d.world, options_for()).error().code(), Errc::format_invalid);
  std::swap(blank, d.world.meta.bytes);

  Bytes newer(d.copy(3, 0), d.copy(3, 0) + kSuperblockUnit);
  SuperblockHeader header;
  std::memcpy(&header, newer.data(), sizeof header);
  ASSERT_EQ(header.bytes.get(), kSuperblockUnit);
  store_le32(newer.data() + offsetof(SuperblockHeader, version), kSuperblockVersion + 1);
  store_le64(newer.data() + offsetof(SuperblockHeader, checksum), 0);
  store_le64(newer.data() + offsetof(SuperblockHeader, checksum), xxh3_64(newer));
  std::memcpy(d.copy(3, 0), newer.data(), newer.size());
  EXPECT_EQ(open(d.world, options_for()).error().code(), Errc::format_newer);
}

TEST(StoreDamage, A_damaged_page_is_an_error_and_not_an_answer) {
  // Goal: checksums are looked at. Method: damage every page in turn; reads give the right value or
  // an error, and the check finds a problem.
  Damaged d(test_seed());
  {
    auto store = must(open(d.world, options_for()));
    ASSERT_TRUE(d.world.run(store->close()).has_value());
  }
  const uint64_t pages = d.world.meta.bytes.size() / kPageBytes;
  int found = 0;
  for (uint64_t page = kEdgePages; page < pages - kEdgePages; ++page) {
    const Bytes whole = d.world.meta.bytes;
    d.world.meta.bytes[page * kPageBytes + 60] ^= std::byte{0x10};
    auto store = open(d.world, options_for());
    bool error = !store;
    for (int i = 0; store && i < 450; ++i) {
      const auto value = get(d.world, **store, "key" + std::to_string(i));
      if (!value) {
        EXPECT_EQ(value.error().code(), Errc::checksum);
        error = true;
      } else {
        EXPECT_TRUE(value->has_value());
      }
    }
    if (error && store) {
      const auto report = d.world.run((*store)->check(claims));
      ASSERT_TRUE(report.has_value());
      EXPECT_FALSE(report->problems.empty());
    }
    found += error ? 1 : 0;
    d.world.settle();
    if (store) store->reset();
    d.world.meta.bytes = whole;
  }
  EXPECT_GE(found, 2) << "a leaf and a bitmap page at least";
}

// ---- media errors ----

TEST(StoreErrors, A_log_write_error_stops_the_store_before_it_answers) {
  // Goal: promise 1. Method: the next log write fails; the update is not acknowledged, nor anything
  // later.
  TestWorld world(test_seed());
  auto store = create(world, options_for());
  ASSERT_TRUE(world.run(update_durably(*store, one_put("a", 1), 1)).has_value());
  world.wal.writes_left = 0;
  const auto failed = world.run(update_durably(*store, one_put("b", 2), 2));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), Errc::io);
  world.wal.writes_left = -1;
  EXPECT_TRUE(store->stopped());
  EXPECT_EQ(world.run(update_durably(*store, one_put("c", 3), 3)).error().code(), Errc::io);
  EXPECT_EQ(world.run(store->checkpoint()).error().code(), Errc::io);
  EXPECT_EQ(world.run(store->close()).error().code(), Errc::io);
  store.reset();
  store = must(open(world, options_for()));
  EXPECT_TRUE(get(world, *store, "a")->has_value());
  EXPECT_FALSE(get(world, *store, "c")->has_value());
}

TEST(StoreErrors, A_data_write_error_stops_the_store_before_it_answers) {
  // Goal: store.md rule 11. Method: the data write fails, the log write does not.
  TestWorld world(test_seed());
  auto store = create(world, options_for());
  world.data.writes_left = 0;
  EXPECT_EQ(world.run(update_with_data(*store, "a", 1, 2, {})).error().code(), Errc::io);
  EXPECT_TRUE(store->stopped());
  EXPECT_EQ(world.run(update_durably(*store, one_put("c", 3), 3)).error().code(), Errc::io);
  world.settle();
  store.reset();
  world.data.writes_left = -1;
  store = must(open(world, options_for()));
  EXPECT_FALSE(get(world, *store, "a")->has_value());
}

TEST(StoreErrors, An_error_at_any_write_of_a_checkpoint_loses_nothing) {
  // Goal: a checkpoint may fail at every one of its writes and flushes. Method: let the n-th meta
  // write fail for every n, then the flush; everything acknowledged is there after the next open.
  bool done = false;
  for (int64_t n = 0; !done; ++n) {
    TestWorld world(test_seed() + static_cast<uint64_t>(n));
    auto store = create(world, options_for());
    for (int i = 0; i < 300; ++i) {
      const auto key = "key" + std::to_string(i);
      ASSERT_TRUE(world.run(update_durably(*store, one_put(key, 1, 200), 1)).has_value());
      if (i == 150) ASSERT_TRUE(world.run(store->checkpoint()).has_value());
    }
    if (n == 0) {
      world.meta.fail_flush = true;
    } else {
      world.meta.writes_left = n - 1;
    }
    const auto made = world.run(store->checkpoint());
    done = made.has_value();
    if (!done) {
      EXPECT_EQ(made.error().code(), Errc::io);
      EXPECT_EQ(world.run(update_durably(*store, one_put("late", 1), 1)).error().code(), Errc::io);
    }
    world.settle();
    store.reset();
    world.meta.fail_flush = false;
    world.meta.writes_left = -1;
    store = must(open(world, options_for()));
    for (int i = 0; i < 300; ++i) {
      const auto value = get(world, *store, "key" + std::to_string(i));
      ASSERT_TRUE(value.has_value() && value->has_value()) << n << " " << i;
    }
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
    ASSERT_LT(n, 100);
  }
}

TEST(StoreErrors, A_flush_error_at_open_is_no_opening) {
  // Goal: what open shows is durable. Method: each device's flush fails in turn.
  TestWorld world(test_seed());
  create(world, options_for());
  for (auto* disk : {&world.wal, &world.meta, &world.data}) {
    disk->fail_flush = true;
    EXPECT_EQ(open(world, options_for()).error().code(), Errc::io);
    disk->fail_flush = false;
  }
  EXPECT_TRUE(open(world, options_for()).has_value());
}

TEST(StoreErrors, A_read_error_is_an_error_and_passes) {
  // Goal: an unreadable page is reported each time and leaves no trace. Method: reads fail, then
  // work.
  TestWorld world(test_seed());
  {
    auto store = create(world, options_for());
    ASSERT_TRUE(world.run(update_durably(*store, one_put("a", 1), 1)).has_value());
    ASSERT_TRUE(world.run(store->close()).has_value());
  }
  auto store = must(open(world, options_for()));
  world.meta.fail_reads = true;
  EXPECT_EQ(get(world, *store, "a").error().code(), Errc::io);
  EXPECT_EQ(get(world, *store, "a").error().code(), Errc::io);
  world.meta.fail_reads = false;
  EXPECT_TRUE(get(world, *store, "a")->has_value());
  EXPECT_FALSE(store->stopped());
}

// ---- full ----

TEST(StoreFull, A_full_meta_blob_says_no_space_and_removals_help) {
  // Goal: the reserve lets removals work on a full store. Method: 1 MiB of pages; fill, remove
  // half, fill again, all with reopening in between.
  TestWorld world(test_seed(), 1u << 20, 1u << 20, 1u << 20);
  auto store = create(world, options_for());
  size_t filled[2] = {};
  for (int round = 0; round < 2; ++round) {
    size_t i = 0;
    for (;; ++i) {
      const auto done =
          world.run(update_durably(*store, one_put("key" + std::to_string(i), 1, 3000), 1));
      if (done) continue;
      ASSERT_EQ(done.error().code(), Errc::no_space) << done.error().what();
      break;
    }
    filled[round] = i;
    world.settle();
    store.reset();
    store = must(open(world, options_for()));
    for (size_t k = 0; k < i; ++k) {
      const auto done = world.run(update_durably(*store, one_erase("key" + std::to_string(k)), 2));
      ASSERT_TRUE(done.has_value()) << k << ": " << done.error().what();
    }
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
  }
  EXPECT_GT(filled[0], 20u);
  EXPECT_GE(filled[1] + 5, filled[0]);
}

}  // namespace
}  // namespace cairn::index::testing
