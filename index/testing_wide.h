// A store whose data blob is as large as you like, and values in it whose bytes nobody looks at.
// For tests of this folder.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "index/store_testing.h"
#include "index/superblock_format.h"
#include "index/testing_sparse_disk.h"

namespace cairn::index::testing {

inline constexpr uint64_t kTiB = 1ull << 40;
inline constexpr uint64_t kMiB = 1ull << 20;

/// What the test owns, by key.
using Owned = std::map<std::string, media::Extent>;

inline uint64_t blocks_of(const Owned& owned) {
  uint64_t blocks = 0;
  for (const auto& [key, extent] : owned) blocks += extent.count;
  return blocks;
}

inline Task<Result<media::Extent>> reserve_one(Store& store, uint32_t blocks) {
  for (;;) {
    CO_TRY(admitted, co_await store.admit());
    const auto extents = store.reserve_data(uint64_t{blocks} * media::kBlockBytes);
    if (extents && extents->size() == 1) co_return (*extents)[0];
    if (extents) store.cancel_data(*extents);
    if (extents) co_return fail(Errc::no_space, "test: scattered");
    if (!store.waits_for_blocks()) co_return fail(extents.error());
  }
}

/// What nobody wrote; of very much nobody asks before a checkpoint.
inline Bytes zeros(uint32_t blocks) {
  return Bytes(blocks <= 300 ? uint64_t{blocks} * media::kBlockBytes : 0);
}

/// `key` owns `blocks` new blocks instead of what it owned; with 0 it is removed. Data whose bytes
/// nobody looks at.
inline Task<Result<void>> own(Store& store, Owned& owned, std::string key, uint32_t blocks,
                              uint64_t stamp) {
  Batch batch;
  media::Extent extent;
  if (blocks != 0) {
    CO_TRY(reserved, co_await reserve_one(store, blocks));
    extent = reserved;
    batch.put(as_bytes(key), encode_value(stamp, {extent, ""}));
    batch.publish({extent, digest_of(zeros(blocks)), {}});
  } else {
    CO_TRY(admitted, co_await store.admit());
    batch.erase(as_bytes(key));
  }
  const auto old = owned.find(key);
  if (old != owned.end()) batch.free(old->second);
  CO_TRY(prepared, co_await prepare(store, batch));
  const media::Lsn lsn = store.commit({}, batch, {stamp, 0});
  if (blocks != 0) store.data_written(lsn);
  if (old != owned.end()) owned.erase(old);
  if (blocks != 0) owned[key] = extent;
  CO_TRY(durable, co_await store.durable(lsn));
  co_return co_await store.end_step();
}

/// A store whose data blob is as large as you like.
struct Wide {
  explicit Wide(uint64_t data_bytes, uint64_t memory_bytes, bool evict_always = false)
      : meta(world.reactor, 2048 * kMiB),
        data(world.reactor, data_bytes),
        options(options_for(evict_always, memory_bytes)),
        store(must(world.run(Store::create(world.reactor, devices(), options)))) {}
  ~Wide() {
    if (store) EXPECT_TRUE(world.run(store->close()).has_value());
  }
  StoreDevices devices() { return {&world.wal, &meta, &data}; }
  void close() {
    ASSERT_TRUE(world.run(store->close()).has_value());
    store.reset();
  }
  Result<void> open() {
    auto opened = world.run(Store::open(world.reactor, devices(), options, nullptr));
    if (!opened) return fail(opened.error());
    store = std::move(*opened);
    return {};
  }
  void set(const std::string& key, uint32_t blocks) {
    const auto done = world.run(own(*store, owned, key, blocks, ++stamp));
    ASSERT_TRUE(done.has_value()) << done.error().what();
  }
  /// Fills each of the chunks up to 560 blocks.
  void fill(uint64_t first, uint64_t end) {
    for (uint64_t c = first; c < end; ++c) {
      ASSERT_NO_FATAL_FAILURE(set("full" + std::to_string(c), 130'000));
    }
  }
  void expect_exact() {
    const media::SpaceUsage usage = store->stats().data;
    EXPECT_EQ(usage.used, blocks_of(owned));
    EXPECT_EQ(usage.reserved, 0u);
    EXPECT_EQ(usage.available() + usage.used + usage.deferred + usage.lost, usage.total);
  }
  /// The newest superblock, and where its copies are.
  Superblock super() {
    Superblock newest;
    for (const uint32_t parity : {0u, 1u}) {
      media::AlignedBuffer slot(kSuperblockBytesMax);
      CHECK(world.run(meta.read(superblock_offset(meta_pages(), parity, 0), slot.span())));
      const auto parsed = parse_superblock(slot.view());
      if (parsed && parsed->generation > newest.generation) newest = *parsed;
    }
    return newest;
  }
  uint64_t meta_pages() const { return meta.size_bytes() / kPageBytes; }
  std::vector<DirectoryEntry> directory(const Superblock& s, uint64_t number) {
    media::AlignedBuffer page(kPageBytes);
    const PageRef ref = s.data_directories[number * kDirectoryCopies];
    CHECK(world.run(meta.read(ref.page_number() * kPageBytes, page.span())));
    const auto bytes = open_bitmap(page.view(), PageKind::block_directory, ref, number);
    CHECK(bytes.has_value());
    std::vector<DirectoryEntry> entries(kDirectoryChunks);
    std::memcpy(entries.data(), bytes->data(), bytes->size());
    return entries;
  }

  TestWorld world{test_seed(), 4u << 20, 1u << 20, 1u << 20};
  SparseDisk meta, data;
  StoreOptions options;
  std::unique_ptr<Store> store;
  Owned owned;
  uint64_t stamp = 0;
};

}  // namespace cairn::index::testing
