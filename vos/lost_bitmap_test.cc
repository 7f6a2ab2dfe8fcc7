// A shard whose bitmaps of data blocks are damaged: it makes them anew from what its records own
// (index/rebuild.cc), whatever kinds of records those are.
#include <cstring>

#include <gtest/gtest.h>

#include "index/superblock_format.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

/// Values in extents of their own, shared ones, flattened objects, and what they were before.
const Breadth kAllKinds{.types = {0, 2},
                        .dkeys = 3,
                        .akeys = 3,
                        .value_bytes_max = 40'000,
                        .conditions = false,
                        .punch_percent = 15,
                        .scatter_percent = 10};

Task<Result<void>> flatten_some(Rig& rig) {
  CO_TRY(done, co_await rig.shard->flatten(rig.generator.paths(), {.compress = true}));
  co_return co_await rig.shard->clean_flat(1);
}

/// One bit of each page of this kind. @returns how many there were
size_t flip_pages(sim::SimDisk& meta, index::PageKind kind) {
  size_t count = 0;
  for (const uint64_t sector : meta.written_sectors()) {
    const uint64_t offset = sector * sim::kSectorBytes;
    if (offset % index::kPageBytes != 0 || offset / index::kPageBytes < index::kEdgePages) continue;
    index::PageHeader header;
    const Bytes head = meta.peek(offset, sizeof header);
    std::memcpy(&header, head.data(), sizeof header);
    if (header.kind != static_cast<uint8_t>(kind)) continue;
    meta.flip_bit(offset + 80, 1);
    ++count;
  }
  return count;
}

Task<Result<uint64_t>> problems_of(Shard& shard) {
  CO_TRY(report, co_await shard.check(true));
  co_return report.problems.size();
}

TEST(LostBitmap, A_shard_of_any_kind_of_record_makes_it_anew_and_goes_on) {
  // Goal: nothing that a record owns is handed out, all else is. Method: random work with
  // flattening on a shard whose data are one chunk; closed; all bitmaps of blocks are damaged; then
  // more work, which compares what it reads, and the check.
  for (uint64_t round = 0; round < 6; ++round) {
    SCOPED_TRACE("seed " + std::to_string(test_seed() + round));
    Rig rig(test_seed() + round, kAllKinds);
    rig.options.store.evict_always = round % 2 == 1;
    ASSERT_TRUE(*rig.start(true));
    ASSERT_TRUE(*rig.run(60, 3, 20));
    ASSERT_TRUE(*rig.world.run(flatten_some(rig)));
    ASSERT_TRUE(*rig.run(40, 3, 0));
    ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
    ASSERT_GT(flip_pages(rig.meta, index::PageKind::block_bitmap), 0u);
    ASSERT_TRUE(*rig.start(false));
    const auto more = rig.run(40, 3, 10);
    ASSERT_TRUE(more && *more) << more->error().what();
    const auto flat = rig.world.run(flatten_some(rig));
    ASSERT_TRUE(flat && *flat) << flat->error().what();
    const auto found = rig.world.run(problems_of(*rig.shard));
    ASSERT_TRUE(found && *found);
    ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
    EXPECT_EQ(rig.shard->store().stats().data.lost, 0u);
    ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
    ASSERT_TRUE(*rig.start(false));
    ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
  }
}

}  // namespace
}  // namespace cairn::vos::testing
