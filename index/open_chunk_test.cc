// The parts of the data space that need no medium (index/open_chunk.h, index/range_set.h), each
// against a naive set of blocks.
#include <gtest/gtest.h>

#include <set>

#include "index/open_chunk.h"
#include "index/range_set.h"
#include "runtime/random.h"

namespace cairn::index {
namespace {

TEST(RangeSet, It_is_what_a_set_of_single_blocks_is) {
  // Goal: runs are joined, cut and counted right. Method: random ranges; the model has one entry a
  // block.
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    RangeSet ranges;
    std::set<uint64_t> model;
    const auto of = [&](uint64_t begin, uint64_t end) {
      return static_cast<uint64_t>(std::distance(model.lower_bound(begin), model.lower_bound(end)));
    };
    for (int step = 0; step < 500; ++step) {
      const uint64_t begin = random.below(90), end = begin + 1 + random.below(12);
      ASSERT_EQ(ranges.count_in(begin, end), of(begin, end));
      ASSERT_EQ(ranges.overlaps(begin, end), of(begin, end) != 0);
      if (random.below(2) == 0 && of(begin, end) == 0) {
        ranges.add(begin, end);
        for (uint64_t b = begin; b < end; ++b) model.insert(b);
      } else if (random.below(2) == 0) {
        const uint64_t there = of(begin, end);
        ASSERT_EQ(ranges.remove(begin, end), there);
        model.erase(model.lower_bound(begin), model.lower_bound(end));
      }
      const auto next = model.lower_bound(begin);
      ASSERT_EQ(ranges.first_from(begin, 1000), next == model.end() ? 1000 : *next);
      uint64_t runs = 0;
      for (const uint64_t b : model) runs += model.contains(b - 1) ? 0 : 1;
      ASSERT_EQ(ranges.run_count(), runs);
    }
  }
}

/// The first run of `count` at or behind `from`, or the longest shorter one.
ChunkRun find_in(const std::vector<bool>& taken, uint32_t from, uint32_t count) {
  ChunkRun best;
  for (uint32_t b = from; b < taken.size() && best.count < count; ++b) {
    uint32_t length = 0;
    while (b + length < taken.size() && !taken[b + length] && length < count) ++length;
    if (length > best.count) best = {b, length};
    b += length;
  }
  return best;
}

TEST(OpenChunk, It_finds_what_a_walk_over_single_blocks_finds) {
  // Goal: runs, counts, and what is remembered of the longest run. Method: random takes and gives
  // in a chunk of 300 blocks, a fifth of them taken from the start.
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    constexpr uint32_t kBlocks = 300;
    std::vector<bool> model(kBlocks);
    std::vector<uint64_t> words(6);
    for (uint32_t b = 0; b < kBlocks; ++b) {
      model[b] = random.below(5) == 0;
      if (model[b]) words[b / 64] |= uint64_t{1} << (b % 64);
    }
    OpenChunk chunk(7, kBlocks, words, kBlocks);
    for (int step = 0; step < 500; ++step) {
      const auto count = static_cast<uint32_t>(1 + random.below(20));
      const auto from = static_cast<uint32_t>(random.below(kBlocks + 1));
      const ChunkRun near = chunk.find_from(from, count), wanted = find_in(model, from, count);
      ASSERT_EQ(near.begin, wanted.begin);
      ASSERT_EQ(near.count, wanted.count);
      const ChunkRun run = chunk.find(count);
      ASSERT_EQ(run.count, find_in(model, 0, count).count);
      ASSERT_LE(run.count, chunk.run_max());
      const auto end = std::min<uint32_t>(from + count, kBlocks);
      bool all_taken = from < end, all_free = from < end;
      for (uint32_t b = from; b < end; ++b) {
        all_taken = all_taken && model[b];
        all_free = all_free && !model[b];
      }
      if (from < end) ASSERT_EQ(chunk.is_free(from, end), all_free);
      if (all_taken) chunk.give(from, end);
      if (all_free) chunk.take(from, end);
      if (all_taken || all_free) {
        for (uint32_t b = from; b < end; ++b) model[b] = all_free;
      }
      ASSERT_EQ(chunk.free(), static_cast<uint32_t>(std::ranges::count(model, false)));
    }
  }
}

}  // namespace
}  // namespace cairn::index
