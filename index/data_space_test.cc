// The data space of stores whose bitmaps do not fit into memory (index/data_space.h): what is
// loaded when, what a crash or damage leaves, and that every block is accounted for.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include "index/testing_wide.h"
#include "runtime/parallel.h"
#include "sim/world.h"

namespace cairn::index::testing {
namespace {

/// The most that this process ever had.
uint64_t resident_bytes_max() {
  struct rusage usage{};
  CHECK(::getrusage(RUSAGE_SELF, &usage) == 0);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void expect_exact_life(uint64_t data_bytes, uint64_t filled) {
  constexpr uint64_t kMemory = 64 * kMiB;
  [[maybe_unused]] const uint64_t resident_before = resident_bytes_max();
  Wide wide(data_bytes, kMemory);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, filled));
  wide.expect_exact();
  // Some of it is freed, all over; then small values come everywhere.
  SeededRandom random(test_seed());
  for (uint64_t i = 0; i < filled / 4; ++i) {
    ASSERT_NO_FATAL_FAILURE(wide.set("full" + std::to_string(random.below(filled)), 0));
    ASSERT_NO_FATAL_FAILURE(wide.set("small" + std::to_string(i), 1 + i % 300));
  }
  ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
  wide.expect_exact();
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
  // The disks and what the test knows are not the store's.
  const uint64_t others =
      wide.meta.memory_bytes() + wide.data.memory_bytes() + wide.owned.size() * 128 + (8 * kMiB);
  EXPECT_LE(resident_bytes_max() - resident_before, kMemory + others);
#endif
  wide.close();
  const uint64_t reads = wide.meta.reads;
  ASSERT_TRUE(wide.open().has_value());
  // Four superblocks, read back twice; the bitmaps of pages; the directories; one bitmap.
  EXPECT_LE(wide.meta.reads - reads, 12 + 2 + (data_bytes >> 39) + 2);
  wide.expect_exact();
  ASSERT_NO_FATAL_FAILURE(wide.set("after", 100'000));
  ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
}

TEST(DataSpace, Four_TiB_fit_a_budget_of_64_MiB_and_open_at_once) {
  // Goal: bitmaps are not pinned, nothing is read that is not needed, no block is miscounted.
  // Method: 4,500 chunks in use, whose bitmaps are larger than the budget.
  ASSERT_NO_FATAL_FAILURE(expect_exact_life(4 * kTiB, 4'500));
}

TEST(DataSpace, So_do_16_TiB) {
  // Goal: the same. Method: fewer in use, more of it.
  ASSERT_NO_FATAL_FAILURE(expect_exact_life(16 * kTiB, 1'500));
}

TEST(DataSpace, A_device_that_is_too_large_for_the_budget_is_refused) {
  TestWorld world(test_seed());
  SparseDisk data(world.reactor, 16 * kTiB);
  const StoreDevices devices{&world.wal, &world.meta, &data};
  const auto made = world.run(Store::create(world.reactor, devices, options_for(false, 4u << 20)));
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code(), Errc::invalid);
}

Task<Result<std::vector<media::Extent>>> reserve_scattered(Store& store, uint32_t blocks) {
  for (;;) {
    CO_TRY(admitted, co_await store.admit());
    auto extents = store.reserve_data(uint64_t{blocks} * media::kBlockBytes);
    if (extents || !store.waits_for_blocks()) co_return extents;
  }
}

void expect_found_again(bool evict_always) {
  Wide wide(40 * kChunkBits * media::kBlockBytes, 5 * kMiB, evict_always);
  for (uint64_t c = 0; c < 40; ++c) {
    for (int part = 0; part < 6; ++part) {
      ASSERT_NO_FATAL_FAILURE(
          wide.set(std::to_string(c) + "/" + std::to_string(part), part == 0 ? 125'560 : 1'000));
    }
  }
  EXPECT_EQ(wide.store->stats().data.available(), 0u);
  for (uint64_t c = 0; c < 40; ++c) {
    ASSERT_NO_FATAL_FAILURE(wide.set(std::to_string((c * 7) % 40) + "/3", 0));
  }
  wide.close();
  ASSERT_TRUE(wide.open().has_value());
  EXPECT_EQ(wide.store->stats().data.available(), 40'000u);
  for (int i = 0; i < 40; ++i) {
    ASSERT_NO_FATAL_FAILURE(wide.set("again" + std::to_string(i), 1'000));
  }
  wide.expect_exact();
  EXPECT_EQ(wide.store->stats().data.available(), 0u);
  EXPECT_EQ(wide.world.run(own(*wide.store, wide.owned, "more", 1, 9'999)).error().code(),
            Errc::no_space);
  ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
}

TEST(DataSpace, What_is_freed_in_full_chunks_is_found_again_wherever_it_is) {
  // Goal: a store that seems full finds each free block, with few chunks open at once. Method: 40
  // chunks, 5 open; all of it owned; pieces freed in each; all of that taken again in one size,
  // with a restart between; with bitmaps in memory and without.
  for (const bool evict_always : {false, true}) {
    SCOPED_TRACE(evict_always);
    ASSERT_NO_FATAL_FAILURE(expect_found_again(evict_always));
  }
}

/// In each of 10 chunks six blocks are free, none beside another; reopened.
void make_single_holes(Wide& wide) {
  for (int c = 0; c < 10; ++c) {
    for (int i = 0; i < 12; ++i) {
      ASSERT_NO_FATAL_FAILURE(wide.set(std::to_string(c) + "/" + std::to_string(i), 1));
    }
    ASSERT_NO_FATAL_FAILURE(wide.set("rest" + std::to_string(c), 130'548));
  }
  EXPECT_EQ(wide.store->stats().data.available(), 0u);
  for (int c = 0; c < 10; ++c) {
    for (int i = 1; i < 12; i += 2) {
      ASSERT_NO_FATAL_FAILURE(wide.set(std::to_string(c) + "/" + std::to_string(i), 0));
    }
  }
  wide.close();
  ASSERT_TRUE(wide.open().has_value());
}

TEST(DataSpace, A_value_gathers_single_blocks_from_several_chunks) {
  // Goal: more chunks are opened until all of them together have enough. Method: 10 full chunks,
  // six single blocks freed in each; 5 are open at most.
  Wide wide(10 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(make_single_holes(wide));
  const auto runs = wide.world.run(reserve_scattered(*wide.store, 24));
  ASSERT_TRUE(runs.has_value()) << runs.error().what();
  EXPECT_GE(runs->size(), 20u);
  EXPECT_EQ(wide.store->stats().data.available(), 36u);
  wide.store->cancel_data(*runs);
  wide.expect_exact();
}

TEST(DataSpace, A_value_that_needs_more_chunks_than_are_open_at_once_is_refused) {
  // Goal: an answer, where each chunk that is opened closes another that is wanted as much. Method:
  // 10 full chunks, six single blocks freed in each; 5 are open at most; 36 blocks are asked for.
  Wide wide(10 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(make_single_holes(wide));
  const auto runs = wide.world.run(reserve_scattered(*wide.store, 36));
  ASSERT_FALSE(runs.has_value());
  EXPECT_EQ(runs.error().code(), Errc::no_space);
  // It is nobody else's trouble, and what comes back may help.
  ASSERT_NO_FATAL_FAILURE(wide.set("one", 1));
  ASSERT_NO_FATAL_FAILURE(wide.set("rest3", 0));
  const auto again = wide.world.run(reserve_scattered(*wide.store, 36));
  ASSERT_TRUE(again.has_value()) << again.error().what();
  wide.store->cancel_data(*again);
  wide.expect_exact();
}

TEST(DataSpace, A_directory_does_not_forget_a_run_that_was_freed_just_before) {
  // Goal: what is freed and not reusable yet is free after a restart; the longest run must count
  // it.
  Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  ASSERT_NO_FATAL_FAILURE(wide.set("full3", 0));
  EXPECT_GT(wide.store->stats().data.deferred, 0u);
  wide.close();
  EXPECT_GE(wide.directory(wide.super(), 0)[3].run_max.get(), 130'000u);
}

TEST(DataSpace, Freed_chunks_are_used_before_untouched_ones) {
  Wide wide(100 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  ASSERT_NO_FATAL_FAILURE(wide.set("full3", 0));
  ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
  ASSERT_NO_FATAL_FAILURE(wide.set("tiny", 1));  // a log write that lets chunk 3 go
  ASSERT_NO_FATAL_FAILURE(wide.fill(20, 23));
  uint64_t highest = 0;
  for (const auto& [key, extent] : wide.owned) highest = std::max(highest, extent.block);
  EXPECT_LT(highest / kChunkBits, 22u);
}

TEST(DataSpace, Any_order_of_commits_evictions_and_restarts_keeps_the_count) {
  // Goal: what is late, settled, undone before it is settled, and replayed, comes to the same.
  // Method: random owners in 12 chunks, all bitmaps out of memory after each step, restarts with
  // and without a last checkpoint.
  for (uint64_t seed = test_seed(); seed < test_seed() + 6; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Wide wide(12 * kChunkBits * media::kBlockBytes, 4 * kMiB, true);
    ASSERT_NO_FATAL_FAILURE(wide.fill(0, 11));
    ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
    for (int step = 0; step < 300; ++step) {
      const uint64_t what = random.below(40);
      if (what == 0) {
        ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
      } else if (what == 1) {
        wide.close();
        ASSERT_TRUE(wide.open().has_value());
      } else if (what == 2) {
        wide.world.settle();
        wide.store.reset();
        ASSERT_TRUE(wide.open().has_value());
      } else {
        const auto blocks = static_cast<uint32_t>(random.below(4) == 0 ? 0 : random.below(90));
        const std::string key = what == 3 ? "full" + std::to_string(random.below(11))
                                          : "small" + std::to_string(random.below(60));
        ASSERT_NO_FATAL_FAILURE(wide.set(key, blocks));
      }
      ASSERT_NO_FATAL_FAILURE(wide.expect_exact());
    }
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
  }
}

TEST(DataSpace, A_store_that_is_full_again_and_again_keeps_the_count) {
  // Goal: the search among few open chunks, where little is free and most of it closed. Method: 12
  // chunks with a few hundred free blocks each, 4 of them open; pieces come and go until nothing
  // fits; the check finds blocks that were handed out twice.
  for (uint64_t seed = test_seed(); seed < test_seed() + 6; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Wide wide(12 * kChunkBits * media::kBlockBytes, 4 * kMiB, seed % 2 == 0);
    ASSERT_NO_FATAL_FAILURE(wide.fill(0, 12));
    ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
    int refused = 0;
    for (int step = 0; step < 500; ++step) {
      const std::string key = std::to_string(random.below(80));
      const auto blocks = static_cast<uint32_t>(random.below(5) == 0 ? 0 : 1 + random.below(290));
      const uint64_t available = wide.store->stats().data.available();
      const auto done = wide.world.run(own(*wide.store, wide.owned, key, blocks, ++wide.stamp));
      if (!done) ASSERT_EQ(done.error().code(), Errc::no_space);
      refused += done ? 0 : 1;
      // Twelve chunks, and no hole between the 80 that is worth more than one piece.
      if (!done) ASSERT_LT(available, 6'000u);
      ASSERT_NO_FATAL_FAILURE(wide.expect_exact());
      if (step % 100 != 99) continue;
      wide.close();
      ASSERT_TRUE(wide.open().has_value());
    }
    EXPECT_GT(refused, 10);
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
  }
}

TEST(DataSpace, More_than_may_be_late_is_settled_on_the_way) {
  // Goal: what is late is bounded. Method: 1,300 single blocks freed, no two of them neighbours,
  // each while its bitmap is out of memory; the budget has room for 1,024.
  Wide wide(2 * kChunkBits * media::kBlockBytes, 4 * kMiB, true);
  for (int i = 0; i < 2'600; ++i) ASSERT_NO_FATAL_FAILURE(wide.set(std::to_string(i), 1));
  ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
  for (int i = 0; i < 2'600; i += 2) ASSERT_NO_FATAL_FAILURE(wide.set(std::to_string(i), 0));
  wide.expect_exact();
  wide.world.settle();
  wide.store.reset();
  ASSERT_TRUE(wide.open().has_value());
  wide.expect_exact();
  ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
}

Task<Result<void>> own_many(Store& store, Owned& owned, uint64_t id, uint64_t count) {
  SeededRandom random(test_seed() + id);
  for (uint64_t i = 0; i < count; ++i) {
    const bool large = random.below(10) == 0;
    const std::string key = large ? "full" + std::to_string(id)
                                  : std::to_string(id) + "/" + std::to_string(random.below(9));
    const auto blocks = static_cast<uint32_t>(random.below(3) == 0 ? 0 : random.below(40));
    CO_TRY(done, co_await own(store, owned, key, blocks, id * 1000 + i));
  }
  co_return Result<void>{};
}

Task<Result<void>> make_checkpoints(Store& store, int count) {
  for (int i = 0; i < count; ++i) {
    CO_TRY(made, co_await store.checkpoint());
  }
  co_return Result<void>{};
}

TEST(DataSpace, Many_at_once_beside_checkpoints_keep_the_count) {
  // Goal: chunks are loaded, opened and settled by several tasks at once, and a checkpoint freezes
  // nothing that is late. Method: 11 writers, each in cold chunks of its own and in those of all.
  for (const bool evict_always : {true, false}) {
    Wide wide(14 * kChunkBits * media::kBlockBytes, 4 * kMiB, evict_always);
    ASSERT_NO_FATAL_FAILURE(wide.fill(0, 12));
    ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
    std::vector<Task<Result<void>>> tasks;
    for (uint64_t id = 1; id < 12; ++id) {
      tasks.push_back(own_many(*wide.store, wide.owned, id, 60));
    }
    tasks.push_back(make_checkpoints(*wide.store, 25));
    const auto done = wide.world.run(run_all(wide.world.reactor, std::move(tasks), 12));
    ASSERT_TRUE(done.has_value()) << done.error().what();
    wide.expect_exact();
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
    wide.world.settle();
    wide.store.reset();
    ASSERT_TRUE(wide.open().has_value());
    wide.expect_exact();
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(wide.world, *wide.store));
  }
}

// ---- damage ----

/// Everything but the free blocks of the lost chunks is there, and the store goes on.
void expect_usable(Wide& wide, uint64_t lost_first, uint64_t lost_end) {
  ASSERT_TRUE(wide.open().has_value());
  const media::SpaceUsage before = wide.store->stats().data;
  for (uint64_t c = lost_first; c < lost_end; ++c) {
    ASSERT_NO_FATAL_FAILURE(wide.set("full" + std::to_string(c), 0));
  }
  for (int i = 0; i < 30; ++i) {
    ASSERT_NO_FATAL_FAILURE(wide.set("new" + std::to_string(i), 50));
    const uint64_t chunk = wide.owned["new" + std::to_string(i)].block / kChunkBits;
    EXPECT_TRUE(chunk < lost_first || chunk >= lost_end) << chunk;
  }
  ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
  const media::SpaceUsage after = wide.store->stats().data;
  EXPECT_GE(after.lost, 130'000u);
  EXPECT_EQ(after.used, before.used + 1500 - (lost_end - lost_first) * 130'000);
  EXPECT_EQ(after.available() + after.used + after.deferred + after.lost, after.total);
}

uint64_t problems_with(Wide& wide, const std::string& text) {
  const auto report = wide.world.run(wide.store->check(claims));
  CHECK(report.has_value());
  return static_cast<uint64_t>(std::ranges::count_if(
      report->problems, [&](const std::string& p) { return p.contains(text); }));
}

TEST(DataSpace, A_bitmap_that_cannot_be_read_is_reported_and_the_rest_stays_usable) {
  Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  wide.close();
  const PageRef bitmap{wide.directory(wide.super(), 0)[7].bitmap.get()};
  wide.meta.flip_bit(bitmap.page_number() * kPageBytes + 5'000);
  ASSERT_NO_FATAL_FAILURE(expect_usable(wide, 7, 8));
  wide.expect_exact();
  EXPECT_EQ(problems_with(wide, "their bitmap is lost"), 1u);
  EXPECT_EQ(problems_with(wide, "no record claims it"), 0u);
  // It stays lost, although its page can be read again: it says what was long ago.
  wide.close();
  wide.meta.flip_bit(bitmap.page_number() * kPageBytes + 5'000);
  ASSERT_TRUE(wide.open().has_value());
  wide.expect_exact();
  EXPECT_GT(wide.store->stats().data.lost, 130'000u);
  EXPECT_EQ(problems_with(wide, "their bitmap is lost"), 1u);
}

TEST(DataSpace, A_bitmap_on_a_bad_sector_is_lost_while_the_store_serves) {
  Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  wide.close();
  const PageRef bitmap{wide.directory(wide.super(), 0)[7].bitmap.get()};
  wide.meta.bad_offset = bitmap.page_number() * kPageBytes + 4'096;
  ASSERT_NO_FATAL_FAILURE(expect_usable(wide, 7, 8));
  wide.expect_exact();
}

TEST(DataSpace, A_device_that_answers_nothing_for_a_while_loses_no_bitmap) {
  // Goal: one failed read, or all of them for a while, is no reason to give free blocks up. Method:
  // on a simulated disk, a chunk is freed in while its bitmap is out of memory, then the n-th read
  // fails, every second time with all later ones; a checkpoint; the disk is healed, the store
  // opened again.
  for (uint64_t n = 1; n <= 8; ++n) {
    SCOPED_TRACE(n);
    sim::World world(test_seed() + n);
    sim::SimDisk& wal = world.add_disk("wal", 256u << 10);
    sim::SimDisk& meta = world.add_disk("meta", 4u << 20);
    sim::SimDisk& data = world.add_disk("data", 8 * kChunkBits * media::kBlockBytes);
    const StoreDevices devices{&wal, &meta, &data};
    const StoreOptions options = options_for(true, 4u << 20);
    auto made = world.run(Store::create(world.reactor(), devices, options));
    ASSERT_TRUE(made && *made);
    std::unique_ptr<Store> store = std::move(**made);
    Owned owned;
    for (uint64_t c = 0; c < 7; ++c) {
      ASSERT_TRUE(*world.run(own(*store, owned, "full" + std::to_string(c), 130'000, c + 1)));
    }
    ASSERT_TRUE(*world.run(store->checkpoint()));
    meta.fail(sim::SimDisk::Op::read, n, Errc::io, n % 2 == 0);
    (void)world.run(own(*store, owned, "full2", 0, 100));
    (void)world.run(store->checkpoint());
    meta.heal();
    store.reset();
    world.end_era();
    world.begin_era();
    auto opened = world.run(Store::open(world.reactor(), devices, options, nullptr));
    ASSERT_TRUE(opened && *opened) << opened->error().what();
    store = std::move(**opened);
    EXPECT_EQ(store->stats().data.lost, 0u);
    const auto report = world.run(store->check(claims));
    ASSERT_TRUE(report && *report);
    EXPECT_TRUE((*report)->problems.empty());
    store.reset();
    world.end_era();
  }
}

TEST(DataSpace, A_bitmap_that_says_otherwise_than_its_directory_is_not_believed) {
  // Goal: a stale page with a right checksum is found. Method: one more bit under a new checksum.
  Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  wide.close();
  const PageRef bitmap{wide.directory(wide.super(), 0)[7].bitmap.get()};
  media::AlignedBuffer page(kPageBytes);
  const uint64_t offset = bitmap.page_number() * kPageBytes;
  ASSERT_TRUE(wide.world.run(wide.meta.read(offset, page.span())).has_value());
  page.span()[kPageBytes - 1] ^= std::byte{1};
  const uint32_t birth = reinterpret_cast<const PageHeader*>(page.data())->birth.get();
  seal_bitmap(page.span(), PageKind::block_bitmap, bitmap, birth, 7);
  ASSERT_TRUE(wide.world.run(wide.meta.write(offset, page.view())).has_value());
  ASSERT_NO_FATAL_FAILURE(expect_usable(wide, 7, 8));
  wide.expect_exact();
}

TEST(DataSpace, A_directory_of_which_no_copy_can_be_read_takes_only_its_chunks_along) {
  // Goal: nothing of it is handed out, everything can be removed, the others go on.
  Wide wide(2'000 * kChunkBits * media::kBlockBytes, 64 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 3));
  wide.close();
  for (const uint64_t copy : {0u, 1u}) {
    const PageRef directory = wide.super().data_directories[copy];
    wide.meta.flip_bit(directory.page_number() * kPageBytes + 300);
  }
  ASSERT_TRUE(wide.open().has_value());
  EXPECT_EQ(wide.store->stats().data.used, kDirectoryChunks * kChunkBits);
  ASSERT_NO_FATAL_FAILURE(expect_usable(wide, 0, 3));
  EXPECT_GE(wide.owned["new1"].block / kChunkBits, kDirectoryChunks);
  EXPECT_EQ(problems_with(wide, "claimed by record"), 0u);
}

TEST(DataSpace, An_older_root_whose_bitmap_is_gone_is_not_used) {
  // Goal: what a newer root may have written over is looked at before the older one is trusted.
  // Method: both copies of the newest superblock damaged; with it one bitmap of the one before.
  for (const bool damaged : {false, true}) {
    Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
    ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
    wide.close();
    ASSERT_TRUE(wide.open().has_value());  // the same state once more, with a new incarnation
    wide.world.settle();
    wide.store.reset();
    const Superblock newest = wide.super();
    for (const uint64_t copy : {0u, 1u}) {
      wide.meta.flip_bit(superblock_offset(wide.meta_pages(), newest.generation, copy) + 100);
    }
    const PageRef bitmap{wide.directory(newest, 0)[7].bitmap.get()};
    if (damaged) wide.meta.flip_bit(bitmap.page_number() * kPageBytes + 5'000);
    const auto opened = wide.open();
    EXPECT_EQ(opened.has_value(), !damaged);
    if (damaged) EXPECT_EQ(opened.error().code(), Errc::checksum);
  }
}

// ---- format 1 ----

/// Both copies of the newest superblock, as format 1 had it.
void make_format_1(Wide& wide) {
  Superblock s = wide.super();
  ASSERT_EQ(s.version, kSuperblockVersion);
  s.data_chunks.clear();
  for (uint64_t d = 0; d < directory_count(s.data_blocks); ++d) {
    for (const DirectoryEntry& entry : wide.directory(s, d)) {
      if (s.data_chunks.size() == chunk_count(s.data_blocks)) break;
      s.data_chunks.push_back({entry.bitmap.get()});
    }
  }
  s.version = kVersionWithoutDirectories;
  const Bytes bytes = encode_superblock(s);
  media::AlignedBuffer slot(kSuperblockBytesMax);
  std::memcpy(slot.data(), bytes.data(), bytes.size());
  for (const uint64_t copy : {0u, 1u}) {
    const uint64_t offset = superblock_offset(wide.meta_pages(), s.generation, copy);
    ASSERT_TRUE(wide.world.run(wide.meta.write(offset, slot.view())).has_value());
  }
}

TEST(DataSpace, A_store_of_format_1_is_read_and_becomes_one_of_format_2) {
  // Goal: stores of before open; nothing changes before the next checkpoint. Method: the superblock
  // of a store is put back to format 1; opened twice without a change, then with some. The page of
  // its directory belongs to nobody then, as if format 1 had leaked it.
  Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  wide.close();
  ASSERT_NO_FATAL_FAILURE(make_format_1(wide));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(wide.open().has_value());
    wide.expect_exact();
    wide.world.settle();
    wide.store.reset();
    EXPECT_EQ(wide.super().version, kVersionWithoutDirectories);
  }
  ASSERT_TRUE(wide.open().has_value());
  ASSERT_NO_FATAL_FAILURE(wide.set("full3", 10));
  ASSERT_NO_FATAL_FAILURE(wide.set("full25", 130'000));
  wide.close();
  EXPECT_EQ(wide.super().version, kSuperblockVersion);
  ASSERT_TRUE(wide.open().has_value());
  wide.expect_exact();
  EXPECT_EQ(problems_with(wide, ""), problems_with(wide, "owned, but nothing leads to it"));
}

TEST(DataSpace, A_damaged_bitmap_of_format_1_is_lost_alone) {
  Wide wide(30 * kChunkBits * media::kBlockBytes, 5 * kMiB);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 20));
  wide.close();
  const PageRef bitmap{wide.directory(wide.super(), 0)[7].bitmap.get()};
  ASSERT_NO_FATAL_FAILURE(make_format_1(wide));
  wide.meta.flip_bit(bitmap.page_number() * kPageBytes + 5'000);
  ASSERT_NO_FATAL_FAILURE(expect_usable(wide, 7, 8));
}

// ---- power cuts ----

/// Owners whose old state may be there, and owners under way.
struct Cut {
  Owned acknowledged;
  std::string key;       // under way
  uint32_t blocks = 0;   // of it
  media::Extent before;  // what it had
};

/// Frees in one chunk and takes in another, all bitmaps out of memory after each step, a checkpoint
/// now and then.
Task<Result<void>> churn(Store& store, Cut& cut) {
  for (uint64_t step = 0; step < 24; ++step) {
    if (step % 7 == 6) {
      CO_TRY(made, co_await store.checkpoint());
      continue;
    }
    const uint64_t chunk = step * 5 % 9;
    cut.key = (step % 3 == 2 ? "full" : "small") + std::to_string(chunk);
    cut.blocks = step % 4 == 3 ? 0 : static_cast<uint32_t>(1 + step % 3);
    cut.before = cut.acknowledged[cut.key];
    if (cut.before.count == 0) cut.acknowledged.erase(cut.key);
    Owned owned = cut.acknowledged;
    CO_TRY(done, co_await own(store, owned, cut.key, cut.blocks, 1000 + step));
    cut.acknowledged = std::move(owned);
    cut.key.clear();
  }
  co_return Result<void>{};
}

TEST(DataSpace, Every_cut_while_blocks_move_between_cold_chunks_keeps_the_count) {
  // Goal: freed and published blocks, late or settled, are exact after any cut. Method: nine full
  // chunks; a cut at each request of frees, updates and checkpoints, and one more in half of the
  // recoveries; then the check compares each block with its record.
  constexpr uint64_t kChunks = 10;
  bool through = false;
  uint64_t at = 1;
  for (; !through; ++at) {
    SCOPED_TRACE("cut " + std::to_string(at));
    sim::World world(test_seed() + at);
    sim::SimDisk& wal = world.add_disk("wal", 256u << 10);
    sim::SimDisk& meta = world.add_disk("meta", 4u << 20);
    sim::SimDisk& data = world.add_disk("data", kChunks * kChunkBits * media::kBlockBytes);
    const StoreDevices devices{&wal, &meta, &data};
    const StoreOptions options = options_for(true, 4u << 20);
    auto made = world.run(Store::create(world.reactor(), devices, options));
    ASSERT_TRUE(made && *made);
    std::unique_ptr<Store> store = std::move(**made);
    Cut cut;
    for (uint64_t c = 0; c + 1 < kChunks; ++c) {
      ASSERT_TRUE(
          *world.run(own(*store, cut.acknowledged, "full" + std::to_string(c), 130'000, c + 1)));
    }
    ASSERT_TRUE(*world.run(store->checkpoint()));
    world.cut_power_at(at);
    const auto done = world.run(churn(*store, cut));
    through = done.has_value();
    if (through) ASSERT_TRUE(*done) << done->error().what();
    for (uint64_t again = at % 2 == 0 ? 2 : 1; again > 0; --again) {
      store.reset();
      world.end_era();
      world.begin_era();
      if (again == 2) world.cut_power_at(1 + at / 2 % 17);
      auto opened = world.run(Store::open(world.reactor(), devices, options, nullptr));
      if (again == 2) continue;
      ASSERT_TRUE(opened && *opened) << opened->error().what();
      store = std::move(**opened);
    }
    const auto all = world.run(read_all(*store));
    ASSERT_TRUE(all && *all);
    uint64_t used = 0;
    for (const auto& [key, value] : **all) used += extent_of(value).count;
    EXPECT_EQ(store->stats().data.used, used);
    for (const auto& [key, extent] : cut.acknowledged) {
      if (key == cut.key) continue;
      ASSERT_TRUE((*all)->contains(key)) << key;
      EXPECT_EQ(extent_of((*all)->at(key)), extent) << key;
    }
    const auto report = world.run(store->check(claims));
    ASSERT_TRUE(report && *report);
    for (const std::string& problem : (*report)->problems) ADD_FAILURE() << problem;
    store.reset();
    world.end_era();
    if (HasFailure()) return;
  }
  EXPECT_GT(at, 60u);
}

}  // namespace
}  // namespace cairn::index::testing
