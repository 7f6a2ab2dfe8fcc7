// Damaged bookkeeping of the data space (index/rebuild.cc, docs/decisions/0021): a shard gets over
// each page of it by itself, while it serves.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "index/sweep.h"
#include "index/testing_wide.h"
#include "runtime/parallel.h"
#include "sim/world.h"

namespace cairn::index::testing {
namespace {

enum class Harm : uint8_t { flipped, unreadable, torn };
constexpr Harm kHarms[] = {Harm::flipped, Harm::unreadable, Harm::torn};

constexpr uint64_t kSmallBlocks = 2'048;
constexpr uint64_t kWideBytes = 12 * kChunkBits * media::kBlockBytes;

/// Knows what its records own.
struct Mending : Wide {
  explicit Mending(uint64_t data_bytes, bool evict_always = false)
      : Wide(data_bytes, 5 * kMiB, evict_always) {
    close();
    options.claims = claims;
    CHECK(open().has_value());
  }
  PageRef bitmap(uint64_t chunk) { return {directory(super(), 0)[chunk].bitmap.get()}; }

  void harm(PageRef page, Harm harm, uint64_t byte = 5'000) {
    const uint64_t offset = page.page_number() * kPageBytes;
    if (harm == Harm::flipped) meta.flip_bit(offset + byte);
    if (harm == Harm::unreadable) meta.bad_offset = offset + byte;
    if (harm != Harm::torn) return;
    const media::AlignedBuffer never_written(media::kBlockBytes);
    ASSERT_TRUE(world.run(meta.write(offset, never_written.view())).has_value());
  }
  void expect_whole() {
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
    expect_exact();
    EXPECT_EQ(store->stats().data.lost, 0u);
  }
  /// The same after a restart.
  void expect_whole_for_good() {
    ASSERT_NO_FATAL_FAILURE(expect_whole());
    meta.bad_offset = UINT64_MAX;
    close();
    ASSERT_TRUE(open().has_value());
    EXPECT_EQ(store->stats().data.lost, 0u);
    ASSERT_NO_FATAL_FAILURE(expect_whole());
  }
};

void fill_small(Mending& small) {
  for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(small.set("v" + std::to_string(i), 100));
  for (int i = 0; i < 10; i += 3) ASSERT_NO_FATAL_FAILURE(small.set("v" + std::to_string(i), 0));
  small.close();
}

TEST(Rebuild, A_shard_of_one_chunk_gets_over_its_damaged_bitmap) {
  // Goal: updates go on, to the last block; nothing is handed out twice, the count is exact.
  // Method: the only bitmap is harmed in each way, at each part of it.
  for (const Harm harm : kHarms) {
    for (const uint64_t byte : {0u, 13u, 33u, 70u, 5'000u, 16'383u}) {
      SCOPED_TRACE("harm " + std::to_string(static_cast<int>(harm)) + " at " +
                   std::to_string(byte));
      Mending small(kSmallBlocks * media::kBlockBytes);
      ASSERT_NO_FATAL_FAILURE(fill_small(small));
      ASSERT_NO_FATAL_FAILURE(small.harm(small.bitmap(0), harm, byte));
      ASSERT_TRUE(small.open().has_value());
      for (int i = 0; i < 14; ++i) {
        ASSERT_NO_FATAL_FAILURE(small.set("new" + std::to_string(i), 100));
      }
      ASSERT_NO_FATAL_FAILURE(small.set("rest", 48));
      EXPECT_EQ(small.store->stats().data.available(), 0u);
      EXPECT_EQ(small.world.run(own(*small.store, small.owned, "more", 1, 999)).error().code(),
                Errc::no_space);
      ASSERT_NO_FATAL_FAILURE(small.expect_whole_for_good());
    }
  }
}

TEST(Rebuild, A_shard_of_many_chunks_gets_over_any_of_its_damaged_bitmaps) {
  // Goal: the same beside chunks that are whole. Method: each bitmap, each harm; frees in the chunk
  // before anything else, then all that it has free is asked for.
  for (uint64_t chunk = 0; chunk < 10; ++chunk) {
    for (const Harm harm : kHarms) {
      SCOPED_TRACE("chunk " + std::to_string(chunk) + ", harm " +
                   std::to_string(static_cast<int>(harm)));
      Mending wide(kWideBytes);
      ASSERT_NO_FATAL_FAILURE(wide.fill(0, 10));
      wide.close();
      const uint64_t last = wide.owned["full" + std::to_string(chunk)].block / kChunkBits;
      ASSERT_NO_FATAL_FAILURE(wide.harm(wide.bitmap(last), harm));
      ASSERT_TRUE(wide.open().has_value());
      ASSERT_NO_FATAL_FAILURE(wide.set("full" + std::to_string(chunk), 0));
      ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
      for (int i = 0; i < 3; ++i) {
        ASSERT_NO_FATAL_FAILURE(wide.set("again" + std::to_string(i), 130'000));
      }
      std::set<uint64_t> chunks;
      for (int i = 0; i < 3; ++i) {
        chunks.insert(wide.owned["again" + std::to_string(i)].block / kChunkBits);
      }
      EXPECT_TRUE(chunks.contains(last));
      ASSERT_NO_FATAL_FAILURE(wide.expect_whole_for_good());
    }
  }
}

TEST(Rebuild, All_bitmaps_at_once_come_back) {
  // Goal: more of them than are rebuilt at once.
  Mending wide(kWideBytes);
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 10));
  wide.close();
  for (uint64_t chunk = 0; chunk < 10; ++chunk) {
    ASSERT_NO_FATAL_FAILURE(wide.harm(wide.bitmap(chunk), Harm::flipped));
  }
  ASSERT_TRUE(wide.open().has_value());
  for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(wide.set("full" + std::to_string(i), 1));
  ASSERT_TRUE(wide.world.run(wide.store->checkpoint()).has_value());
  ASSERT_NO_FATAL_FAILURE(wide.expect_whole_for_good());
}

TEST(Rebuild, Either_copy_of_a_directory_will_do_and_both_are_whole_again) {
  for (const uint64_t copy : {0u, 1u}) {
    for (const Harm harm : kHarms) {
      SCOPED_TRACE("copy " + std::to_string(copy) + ", harm " +
                   std::to_string(static_cast<int>(harm)));
      Mending small(kSmallBlocks * media::kBlockBytes);
      ASSERT_NO_FATAL_FAILURE(fill_small(small));
      ASSERT_NO_FATAL_FAILURE(small.harm(small.super().data_directories[copy], harm, 300));
      ASSERT_TRUE(small.open().has_value());
      small.expect_exact();
      EXPECT_EQ(small.store->stats().data.lost, 0u);
      ASSERT_NO_FATAL_FAILURE(small.set("new", 100));
      ASSERT_NO_FATAL_FAILURE(small.expect_whole_for_good());
    }
  }
}

TEST(Rebuild, A_lost_chunk_of_before_comes_back_with_the_next_opening) {
  // Goal: what a program lost that could not rebuild, or had not the time. Method: lost without
  // knowing what records own; then opened with it.
  Mending small(kSmallBlocks * media::kBlockBytes);
  ASSERT_NO_FATAL_FAILURE(fill_small(small));
  ASSERT_NO_FATAL_FAILURE(small.harm(small.bitmap(0), Harm::flipped));
  small.options.claims = nullptr;
  ASSERT_TRUE(small.open().has_value());
  ASSERT_NO_FATAL_FAILURE(small.set("v1", 0));
  ASSERT_TRUE(small.world.run(small.store->checkpoint()).has_value());
  EXPECT_GT(small.store->stats().data.lost, 0u);
  EXPECT_EQ(small.world.run(own(*small.store, small.owned, "new", 1, 999)).error().code(),
            Errc::no_space);
  small.close();
  small.options.claims = claims;
  ASSERT_TRUE(small.open().has_value());
  ASSERT_NO_FATAL_FAILURE(small.set("new", 100));
  ASSERT_NO_FATAL_FAILURE(small.expect_whole_for_good());
}

// ---- beside updates ----

/// So many small records that a walk takes many slices.
Task<Result<void>> put_many(Store& store, uint64_t count) {
  for (uint64_t i = 0; i < count; i += 10) {
    Batch batch;
    for (uint64_t j = i; j < i + 10; ++j) {
      batch.put(as_bytes("m" + std::to_string(j)), encode_value(1, {{}, std::string(60, 'x')}));
    }
    CO_TRY(lsn, co_await update(store, std::move(batch), 1));
  }
  co_return Result<void>{};
}

/// The record goes elsewhere with its blocks: nothing is published or freed.
Task<Result<void>> rename(Store& store, Owned& owned, std::string from, std::string to) {
  CO_TRY(admitted, co_await store.admit());
  Batch batch;
  batch.erase(as_bytes(from));
  batch.put(as_bytes(to), encode_value(1, {owned[from], ""}));
  CO_TRY(prepared, co_await prepare(store, batch));
  const media::Lsn lsn = store.commit({}, batch, {1, 0});
  owned[to] = owned[from];
  owned.erase(from);
  co_return co_await store.durable(lsn);
}

/// Values of one writer come and go, and one of them changes its name all the time.
Task<Result<void>> write_some(Store& store, Owned& owned, std::string id, uint64_t steps) {
  for (uint64_t i = 0; i < steps; ++i) {
    const std::string key = id + std::to_string(i % 7);
    CO_TRY(done, co_await own(store, owned, key, i % 3 == 2 ? 0 : 1 + i % 5, i));
    if (i % 10 != 5) continue;
    const std::string name = id + "moves";
    if (owned.contains(key)) {
      CO_TRY(away, co_await rename(store, owned, key, "z" + name));
      CO_TRY(back, co_await rename(store, owned, "z" + name, "a" + name));
      CO_TRY(home, co_await rename(store, owned, "a" + name, key));
    }
  }
  co_return Result<void>{};
}

Task<Result<void>> make_some_checkpoints(Store& store, int count) {
  for (int i = 0; i < count; ++i) {
    CO_TRY(made, co_await store.checkpoint());
  }
  co_return Result<void>{};
}

TEST(Rebuild, Updates_and_checkpoints_beside_it_change_nothing_of_what_it_finds) {
  // Goal: frees and values on their way there, records that move ahead of the walk or behind it.
  // Method: writers in a shard whose only chunk is lost, and in one of twelve of which one is, with
  // pages in memory and without.
  for (const bool evict_always : {false, true}) {
    for (const uint64_t bytes : {kSmallBlocks * media::kBlockBytes, kWideBytes}) {
      SCOPED_TRACE(std::to_string(bytes) + (evict_always ? ", evicting" : ""));
      Mending store(bytes, evict_always);
      ASSERT_TRUE(store.world.run(put_many(*store.store, 6'000)).has_value());
      if (bytes == kWideBytes) ASSERT_NO_FATAL_FAILURE(store.fill(0, 10));
      for (int w = 0; w < 6; ++w) {
        const std::string id(1, static_cast<char>('b' + 4 * w));
        const auto done = store.world.run(write_some(*store.store, store.owned, id, 20));
        ASSERT_TRUE(done.has_value()) << done.error().what();
      }
      store.close();
      const uint64_t chunk = store.owned.rbegin()->second.block / kChunkBits;
      ASSERT_NO_FATAL_FAILURE(store.harm(store.bitmap(chunk), Harm::flipped));
      ASSERT_TRUE(store.open().has_value());
      std::vector<Task<Result<void>>> tasks;
      for (int w = 0; w < 6; ++w) {
        const std::string id(1, static_cast<char>('b' + 4 * w));
        tasks.push_back(write_some(*store.store, store.owned, id, 60));
      }
      tasks.push_back(make_some_checkpoints(*store.store, 10));
      const auto done = store.world.run(run_all(store.world.reactor, std::move(tasks), 7));
      ASSERT_TRUE(done.has_value()) << done.error().what();
      ASSERT_NO_FATAL_FAILURE(store.expect_whole_for_good());
    }
  }
}

TEST(Rebuild, A_value_that_was_handed_out_before_is_published_while_it_runs) {
  // Goal: what a walk cannot meet any more. Method: blocks are reserved; the bitmap is harmed on
  // the medium and found out by a free; in the middle of the walk the reserved blocks are published
  // under the first key of all, and others given back.
  Mending small(kSmallBlocks * media::kBlockBytes, true);
  ASSERT_TRUE(small.world.run(put_many(*small.store, 6'000)).has_value());
  for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(small.set("v" + std::to_string(i), 100));
  ASSERT_TRUE(small.world.run(small.store->checkpoint()).has_value());
  const auto kept = small.world.run(reserve_one(*small.store, 30));
  const auto cancelled = small.world.run(reserve_one(*small.store, 20));
  ASSERT_TRUE(kept && cancelled);
  ASSERT_TRUE(small.world.run(small.store->evict_all()).has_value());
  ASSERT_NO_FATAL_FAILURE(small.harm(small.bitmap(0), Harm::flipped));
  ASSERT_NO_FATAL_FAILURE(small.set("v3", 0));
  ASSERT_TRUE(small.world.run(small.store->checkpoint()).has_value());
  EXPECT_GT(small.store->stats().data.lost, 0u) << "nothing runs any more";
  Batch batch;
  batch.put(as_bytes("a"), encode_value(5, {*kept, ""}));
  batch.publish({*kept, digest_of(zeros(kept->count)), {}});
  const auto ready = small.world.run(prepare(*small.store, batch));
  ASSERT_TRUE(ready.has_value());
  small.store->data_written(small.store->commit({}, batch, {5, 0}));
  small.owned["a"] = *kept;
  small.store->cancel_data({*cancelled});
  ASSERT_NO_FATAL_FAILURE(small.expect_whole_for_good());
}

// ---- damage that nothing can mend ----

TEST(Rebuild, Where_the_tree_is_damaged_too_nothing_is_handed_out_that_may_be_owned) {
  // Goal: records that cannot be read keep their blocks. Method: a leaf is harmed beside the bitmap
  // of a chunk; the store serves what is left and says what is lost.
  Mending wide(kWideBytes);
  ASSERT_TRUE(wide.world.run(put_many(*wide.store, 6'000)).has_value());
  ASSERT_NO_FATAL_FAILURE(wide.fill(0, 10));
  wide.close();
  PageRef leaf;
  {
    ASSERT_TRUE(wide.open().has_value());
    Sweep sweep = wide.store->sweep();
    while (const auto visit = wide.world.run(sweep.next())) {
      if (visit->level == 0 && sweep.node().count() != 0) {
        leaf = visit->ref;
        break;
      }
    }
    wide.close();
  }
  ASSERT_FALSE(leaf.is_null());
  ASSERT_NO_FATAL_FAILURE(wide.harm(leaf, Harm::flipped));
  ASSERT_NO_FATAL_FAILURE(wide.harm(wide.bitmap(7), Harm::flipped));
  ASSERT_TRUE(wide.open().has_value());
  for (int i = 0; i < 30; ++i) {
    const std::string key = "znew" + std::to_string(i);
    const auto done = wide.world.run(own(*wide.store, wide.owned, key, 50, 7));
    ASSERT_TRUE(done.has_value()) << done.error().what();
    EXPECT_NE(wide.owned[key].block / kChunkBits, 7u);
  }
  const auto report = wide.world.run(wide.store->check(claims));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->lost.size(), 1u);
}

TEST(Rebuild, Blocks_that_are_given_back_and_nobody_owned_end_no_process) {
  // Goal: records may be damaged; it is said, and their blocks are not handed out. Method: commits
  // that free what is free, free already, or outside, with the bitmap in memory and without; then a
  // restart that replays them.
  for (const bool evict_always : {false, true}) {
    Mending small(kSmallBlocks * media::kBlockBytes, evict_always);
    ASSERT_NO_FATAL_FAILURE(small.set("a", 100));
    ASSERT_NO_FATAL_FAILURE(small.set("b", 100));
    ASSERT_TRUE(small.world.run(small.store->checkpoint()).has_value());
    for (const media::Extent extent : {media::Extent{1'000, 10}, small.owned["a"], small.owned["a"],
                                       media::Extent{kSmallBlocks - 1, 2}}) {
      if (extent.block + extent.count > kSmallBlocks && evict_always) continue;
      Batch batch;
      batch.put(as_bytes("x"), encode_value(9, {{}, "y"}));
      batch.free(extent);
      const auto lsn = small.world.run(update(*small.store, std::move(batch), 9));
      ASSERT_TRUE(lsn.has_value());
      ASSERT_TRUE(small.world.run(small.store->durable(*lsn)).has_value());
    }
    if (evict_always) {
      small.world.settle();
      small.store.reset();
      ASSERT_TRUE(small.open().has_value());
    }
    ASSERT_TRUE(small.world.run(small.store->checkpoint()).has_value());
    const auto report = small.world.run(small.store->check(claims));
    ASSERT_TRUE(report.has_value());
    EXPECT_FALSE(report->problems.empty());
  }
}

/// Both copies of the newest superblock name a directory outside of the blob.
void misname_directory(Mending& small, uint64_t first, uint64_t end) {
  Superblock s = small.super();
  for (uint64_t copy = first; copy < end; ++copy) {
    s.data_directories[copy] = PageRef::make(small.meta_pages() + 7, 1);
  }
  const Bytes bytes = encode_superblock(s);
  media::AlignedBuffer slot(kSuperblockBytesMax);
  std::memcpy(slot.data(), bytes.data(), bytes.size());
  for (const uint64_t copy : {0u, 1u}) {
    const uint64_t offset = superblock_offset(small.meta_pages(), s.generation, copy);
    ASSERT_TRUE(small.world.run(small.meta.write(offset, slot.view())).has_value());
  }
}

TEST(Rebuild, A_directory_outside_of_the_blob_stops_no_checkpoint) {
  for (const uint64_t copies : {1u, 2u}) {
    SCOPED_TRACE(copies);
    Mending small(kSmallBlocks * media::kBlockBytes);
    ASSERT_NO_FATAL_FAILURE(fill_small(small));
    ASSERT_NO_FATAL_FAILURE(misname_directory(small, 0, copies));
    ASSERT_TRUE(small.open().has_value());
    EXPECT_EQ(small.store->stats().data.used, copies == 1 ? blocks_of(small.owned) : kSmallBlocks);
    ASSERT_NO_FATAL_FAILURE(small.set("v1", 0));
    ASSERT_TRUE(small.world.run(small.store->checkpoint()).has_value());
    if (copies == 1) ASSERT_NO_FATAL_FAILURE(small.set("new", 100));
    small.close();
    ASSERT_TRUE(small.open().has_value());
    if (copies == 1) small.expect_exact();
  }
}

// ---- power cuts ----

constexpr uint64_t kCutChunks = 3;
const StoreOptions kCutOptions = [] {
  StoreOptions options = options_for(true, 4u << 20);
  options.claims = claims;
  return options;
}();

/// A store on simulated disks whose bitmaps are harmed, and what it holds.
struct Harmed {
  sim::SimDisk::Sectors disks[3];
  Owned owned;
};

void add_disks(sim::World& world, uint64_t data_bytes) {
  world.add_disk("wal", 256u << 10);
  world.add_disk("meta", 4u << 20);
  world.add_disk("data", data_bytes);
}
StoreDevices devices_of(sim::World& world) {
  return {world.disks()[0].get(), world.disks()[1].get(), world.disks()[2].get()};
}

Task<Result<void>> fill_chunks(Store& store, Owned& owned, uint32_t blocks) {
  for (uint64_t c = 0; c < kCutChunks; ++c) {
    CO_TRY(full, co_await own(store, owned, "full" + std::to_string(c), blocks, c + 1));
    CO_TRY(part, co_await own(store, owned, "part" + std::to_string(c), 10, c + 1));
  }
  CO_TRY(made, co_await store.checkpoint());
  co_return co_await store.close();
}

Harmed harmed_store(uint64_t data_bytes, uint32_t blocks) {
  sim::World world(test_seed());
  add_disks(world, data_bytes);
  Harmed harmed;
  {
    auto made = world.run(Store::create(world.reactor(), devices_of(world), kCutOptions));
    CHECK(made && *made);
    const auto filled = world.run(fill_chunks(***made, harmed.owned, blocks));
    CHECK(filled && *filled);
    world.end_era();
    made.reset();
  }
  sim::SimDisk& meta = *world.disks()[1];
  for (const uint64_t sector : meta.written_sectors()) {
    const uint64_t offset = sector * 512;
    if (offset % kPageBytes != 0 || offset / kPageBytes < kEdgePages) continue;
    PageHeader header;
    const Bytes head = meta.peek(offset, sizeof header);
    std::memcpy(&header, head.data(), sizeof header);
    if (header.kind == static_cast<uint8_t>(PageKind::block_bitmap)) meta.flip_bit(offset + 100, 3);
  }
  for (size_t i = 0; i < 3; ++i) harmed.disks[i] = world.disks()[i]->image().durable;
  return harmed;
}

/// What is acknowledged is in `owned`; what is under way is `key`.
Task<Result<void>> go_on(Store& store, Owned& owned, std::string& key) {
  for (uint64_t i = 0; i < 9; ++i) {
    key = i % 3 == 0 ? "part" + std::to_string(i / 3) : "new" + std::to_string(i);
    Owned next = owned;
    CO_TRY(done, co_await own(store, next, key, i % 3 == 0 ? 0 : 20, 100 + i));
    owned = std::move(next);
    if (i % 4 != 3) continue;
    CO_TRY(made, co_await store.checkpoint());
  }
  key.clear();
  co_return Result<void>{};
}

/// @returns true  nobody was cut off
bool survives_cut(const Harmed& harmed, uint64_t data_bytes, uint64_t at) {
  sim::World world(test_seed() + at);
  add_disks(world, data_bytes);
  for (size_t i = 0; i < 3; ++i) world.disks()[i]->restore(harmed.disks[i]);
  const StoreDevices devices = devices_of(world);
  Owned owned = harmed.owned;
  std::string under_way;
  world.cut_power_at(at);
  auto opened = world.run(Store::open(world.reactor(), devices, kCutOptions, nullptr));
  std::unique_ptr<Store> store;
  bool through = false;
  if (opened) {
    CHECK(opened->has_value());
    store = std::move(**opened);
    const auto done = world.run(go_on(*store, owned, under_way));
    through = done.has_value();
    if (through) EXPECT_TRUE(*done) << done->error().what();
  }
  world.end_era();
  store.reset();
  opened.reset();
  world.begin_era();
  auto again = world.run(Store::open(world.reactor(), devices, kCutOptions, nullptr));
  if (!again || !*again) {
    ADD_FAILURE() << again->error().what();
    return true;
  }
  store = std::move(**again);
  const auto report = world.run(store->check(claims));
  CHECK(report && *report);
  // One that was not looked at before the check is found by it, and comes back then.
  for (const std::string& problem : (*report)->problems) {
    EXPECT_TRUE(problem.contains("bitmap")) << problem;
  }
  const auto clean = world.run(store->check(claims));
  CHECK(clean && *clean);
  for (const std::string& problem : (*clean)->problems) ADD_FAILURE() << problem;
  const auto all = world.run(read_all(*store));
  CHECK(all && *all);
  uint64_t used = 0;
  for (const auto& [key, value] : **all) used += extent_of(value).count;
  EXPECT_EQ(store->stats().data.used, used);
  EXPECT_EQ(store->stats().data.lost, 0u);
  for (const auto& [key, extent] : owned) {
    if (key == under_way) continue;
    const bool there = (*all)->contains(key);
    EXPECT_TRUE(there) << key;
    if (there) EXPECT_EQ(extent_of((*all)->at(key)), extent) << key;
  }
  world.end_era();
  store.reset();
  again.reset();
  return through;
}

TEST(Rebuild, Every_cut_while_bitmaps_come_back_loses_nothing) {
  // Goal: no step of it is worse than the damage. Method: all bitmaps of a shard of one chunk, and
  // of one of three, are harmed; it is opened, updated, frees; the power goes at each request.
  for (const uint64_t bytes :
       {kSmallBlocks * media::kBlockBytes, (kCutChunks + 1) * kChunkBits * media::kBlockBytes}) {
    const bool small = bytes == kSmallBlocks * media::kBlockBytes;
    const Harmed harmed = harmed_store(bytes, small ? 300 : 130'000);
    uint64_t at = 1;
    for (bool through = false; !through && !HasFailure(); ++at) {
      SCOPED_TRACE("cut " + std::to_string(at) + (small ? ", small" : ""));
      through = survives_cut(harmed, bytes, at);
    }
    EXPECT_GT(at, 40u);
  }
}

}  // namespace
}  // namespace cairn::index::testing
