// Space against a naive bitmap, and each rule by itself.
#include "media/space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <set>

#include "runtime/random.h"

namespace cairn::media {
namespace {

constexpr size_t kChunkBytes = 64;  // 512 blocks

enum class Use : uint8_t { free, reserved, owned, deferred };

/// What Space must be, one entry a block.
struct Model {
  explicit Model(uint64_t count, uint64_t first_block)
      : blocks(count, Use::free), first(first_block) {}
  bool is(Extent e, Use use) const {
    for (uint64_t b = e.block; b < e.block + e.count; ++b) {
      if (b < first || b >= blocks.size() || blocks[b] != use) return false;
    }
    return true;
  }
  void set(Extent e, Use use) {
    for (uint64_t b = e.block; b < e.block + e.count; ++b) blocks[b] = use;
  }
  uint64_t count(Use use) const {
    return static_cast<uint64_t>(
        std::count(blocks.begin() + static_cast<ptrdiff_t>(first), blocks.end(), use));
  }
  uint64_t longest_free() const {
    uint64_t best = 0;
    uint64_t run = 0;
    for (uint64_t b = first; b < blocks.size(); ++b) {
      run = blocks[b] == Use::free ? run + 1 : 0;
      best = std::max(best, run);
    }
    return best;
  }
  std::vector<Use> blocks;
  uint64_t first;
};

Bytes saved(const Space& space, size_t chunk) {
  Bytes bytes(kChunkBytes);
  space.save_chunk(chunk, bytes);
  return bytes;
}

/// Random operations on both, compared after each.
class Pair {
 public:
  Pair(uint64_t seed, uint64_t count, uint64_t first)
      : random_(seed), space_(count, first), model_(count, first) {
    for (size_t c = 0; c < space_.chunk_count(kChunkBytes); ++c) medium_.emplace_back(kChunkBytes);
  }

  void step() {
    switch (random_.below(10)) {
      case 0:
      case 1:
        return reserve();
      case 2:
      case 3:
        return scatter();
      case 4:
        return cancel();
      case 5:
      case 6:
        return publish();
      case 7:
        return release();
      case 8:
        return random_.below(8) == 0 ? checkpoint() : adopt();
      default:
        return free();
    }
  }
  void compare() {
    const SpaceUsage usage = space_.usage();
    ASSERT_EQ(usage.reserved, model_.count(Use::reserved));
    ASSERT_EQ(usage.used, model_.count(Use::owned));
    ASSERT_EQ(usage.deferred, model_.count(Use::deferred));
    ASSERT_EQ(usage.available(), model_.count(Use::free));
    for (uint64_t b = 0; b < model_.blocks.size(); ++b) {
      ASSERT_EQ(space_.is_owned(b), model_.blocks[b] == Use::owned) << b;
    }
  }

 private:
  uint32_t some() {
    return static_cast<uint32_t>(1 +
                                 (random_.below(4) == 0 ? random_.below(200) : random_.below(6)));
  }
  void reserve() {
    const uint32_t count = some();
    const auto run = space_.reserve(count);
    ASSERT_EQ(run.has_value(), model_.longest_free() >= count) << count;
    if (!run) return;
    ASSERT_EQ(run->count, count);
    ASSERT_TRUE(model_.is(*run, Use::free));
    model_.set(*run, Use::reserved);
    reserved_.push_back(*run);
  }
  void scatter() {
    const uint64_t count = some();
    const size_t runs_max = 1 + random_.below(20);
    const uint64_t longest = model_.longest_free();
    const auto runs = space_.reserve_scattered(count, runs_max);
    if (!runs) {
      ASSERT_LT(longest, count);
      ASSERT_TRUE(runs_max < count || model_.count(Use::free) < count);
      return;
    }
    ASSERT_LE(runs->size(), runs_max);
    if (longest >= count) {
      ASSERT_EQ(runs->size(), 1u);
    }
    uint64_t sum = 0;
    for (const Extent& run : *runs) {
      ASSERT_TRUE(model_.is(run, Use::free));
      model_.set(run, Use::reserved);
      reserved_.push_back(run);
      sum += run.count;
    }
    ASSERT_EQ(sum, count);
  }
  Extent take_reserved() {
    std::swap(reserved_[random_.below(reserved_.size())], reserved_.back());
    const Extent run = reserved_.back();
    reserved_.pop_back();
    return run;
  }
  void cancel() {
    if (reserved_.empty()) return;
    const Extent run = take_reserved();
    space_.cancel(run);
    model_.set(run, Use::free);
  }
  void publish() {
    if (reserved_.empty()) return;
    const Extent run = take_reserved();
    space_.publish(run);
    model_.set(run, Use::owned);
  }
  Extent anywhere() {
    return {random_.below(model_.blocks.size() + 10), static_cast<uint32_t>(random_.below(12))};
  }
  void adopt() {
    const Extent run = anywhere();
    const bool fits = run.count > 0 && model_.is(run, Use::free);
    ASSERT_EQ(space_.adopt(run).has_value(), fits);
    if (fits) model_.set(run, Use::owned);
  }
  void free() {
    const Extent run = anywhere();
    const bool fits = run.count > 0 && model_.is(run, Use::owned);
    lsn_ += random_.below(3);
    ASSERT_EQ(space_.free(run, lsn_).has_value(), fits);
    if (!fits) return;
    model_.set(run, Use::deferred);
    deferred_.emplace(lsn_, run);
  }
  void release() {
    const uint64_t upto = lsn_ - std::min(lsn_, random_.below(20));
    std::vector<Extent> wanted;
    while (!deferred_.empty() && deferred_.begin()->first <= upto) {
      model_.set(deferred_.begin()->second, Use::free);
      wanted.push_back(deferred_.begin()->second);
      deferred_.erase(deferred_.begin());
    }
    ASSERT_EQ(space_.release(upto), wanted);
  }
  /// Writes only what is said to have changed; then the medium must hold everything.
  void checkpoint() {
    const auto dirty = space_.take_dirty(kChunkBytes);
    ASSERT_TRUE(std::is_sorted(dirty.begin(), dirty.end()));
    for (const size_t chunk : dirty) medium_[chunk] = saved(space_, chunk);
    ASSERT_TRUE(space_.take_dirty(kChunkBytes).empty());
    Space again(model_.blocks.size(), model_.first);
    for (size_t c = 0; c < medium_.size(); ++c) {
      ASSERT_EQ(saved(space_, c), medium_[c]) << c;
      ASSERT_TRUE(again.load_chunk(c, medium_[c]));
    }
    ASSERT_EQ(again.usage().used, model_.count(Use::owned));
    ASSERT_EQ(again.usage().available(), again.usage().total - again.usage().used);
    for (uint64_t b = 0; b < model_.blocks.size(); ++b) {
      ASSERT_EQ(again.is_owned(b), model_.blocks[b] == Use::owned);
    }
  }

  SeededRandom random_;
  Space space_;
  Model model_;
  std::vector<Extent> reserved_;
  std::multimap<uint64_t, Extent> deferred_;
  uint64_t lsn_ = 0;
  std::vector<Bytes> medium_;
};

TEST(Space, Behaves_as_a_naive_bitmap) {
  // Goal: every operation. Method: random steps on both; sizes around word and chunk borders.
  const uint64_t sizes[][2] = {{1, 0}, {63, 1}, {64, 0}, {65, 3}, {700, 70}, {4097, 0}, {5000, 64}};
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    for (const auto& [count, first] : sizes) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " blocks " + std::to_string(count));
      Pair pair(seed, count, first);
      for (int i = 0; i < 1500; ++i) {
        ASSERT_NO_FATAL_FAILURE(pair.step()) << i;
        if (i % 16 == 0) {
          ASSERT_NO_FATAL_FAILURE(pair.compare()) << i;
        }
      }
    }
  }
}

TEST(Space, A_freed_block_comes_back_only_after_release) {
  // Goal: store.md rule 10. Method: a full space; free two at different positions.
  Space space(8, 0);
  ASSERT_TRUE(space.adopt({0, 8}));
  ASSERT_TRUE(space.free({2, 1}, 10));
  ASSERT_TRUE(space.free({5, 1}, 20));
  EXPECT_FALSE(space.reserve(1));
  EXPECT_TRUE(space.release(9).empty());
  EXPECT_EQ(space.release(10), (std::vector<Extent>{{2, 1}}));
  EXPECT_EQ(space.reserve(1)->block, 2u);
  EXPECT_FALSE(space.reserve(1));
  EXPECT_EQ(space.release(100), (std::vector<Extent>{{5, 1}}));
  EXPECT_EQ(space.reserve(1)->block, 5u);
}

TEST(Space, What_is_owned_twice_or_freed_twice_is_damage) {
  // Goal: replay of a damaged log. Method: adopt and free again, partly, beyond the end, with
  // numbers that overflow.
  Space space(100, 10);
  ASSERT_TRUE(space.adopt({20, 10}));
  for (const Extent bad : {Extent{20, 10},
                           {29, 2},
                           {19, 2},
                           {9, 1},
                           {0, 1},
                           {99, 2},
                           {100, 1},
                           {~uint64_t{0}, 2},
                           {~uint64_t{0} - 1, 1},
                           {50, 0}}) {
    EXPECT_EQ(space.adopt(bad).error().code(), Errc::checksum) << bad.block;
  }
  for (const Extent bad : {Extent{29, 2}, {40, 1}, {0, 1}, {100, 1}, {~uint64_t{0}, 2}, {20, 0}}) {
    EXPECT_EQ(space.free(bad, 1).error().code(), Errc::checksum) << bad.block;
  }
  ASSERT_TRUE(space.free({20, 10}, 1));
  EXPECT_FALSE(space.free({20, 10}, 1));
  EXPECT_FALSE(space.adopt({20, 1})) << "not reusable yet";
  space.release(1);
  EXPECT_TRUE(space.adopt({20, 1}));
}

TEST(Space, The_first_blocks_belong_to_nobody) {
  // Goal: first_block. Method: fill the space; look at the lowest.
  Space space(200, 70);
  EXPECT_EQ(space.usage().total, 130u);
  uint64_t lowest = 200;
  for (int i = 0; i < 130; ++i) lowest = std::min(lowest, space.reserve(1)->block);
  EXPECT_EQ(lowest, 70u);
  EXPECT_EQ(space.reserve(1).error().code(), Errc::no_space);
}

TEST(Space, A_full_or_fragmented_space_says_so_and_reserves_nothing) {
  // Goal: no_space. Method: every second block; runs of two; too many runs.
  Space space(64, 0);
  for (uint64_t b = 0; b < 64; b += 2) ASSERT_TRUE(space.adopt({b, 1}));
  EXPECT_EQ(space.reserve(2).error().code(), Errc::no_space);
  EXPECT_EQ(space.reserve_scattered(10, 9).error().code(), Errc::no_space);
  EXPECT_EQ(space.reserve_scattered(33, 64).error().code(), Errc::no_space);
  EXPECT_EQ(space.usage().reserved, 0u);
  EXPECT_EQ(space.reserve_scattered(32, 32)->size(), 32u);
  EXPECT_EQ(space.usage().available(), 0u);
}

TEST(Space, A_run_that_grows_together_is_found_again) {
  // Goal: the remembered longest run rises when neighbours come back. Method: a full space; free
  // blocks one beside the other, out of order.
  Space space(256, 0);
  ASSERT_TRUE(space.adopt({0, 256}));
  EXPECT_FALSE(space.reserve(4));
  uint64_t lsn = 0;
  for (const uint64_t block : {62, 65, 63, 64}) {
    EXPECT_FALSE(space.reserve(4));
    ASSERT_TRUE(space.free({block, 1}, ++lsn));
    space.release(lsn);
  }
  EXPECT_FALSE(space.reserve(5));
  const auto run = space.reserve(4);
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->block, 62u);
  space.cancel(*run);
  EXPECT_TRUE(space.reserve(4).has_value());
}

TEST(Space, Neighbours_in_time_are_neighbours_on_media) {
  // Goal: first fit near the last. Method: reservations follow each other and wrap.
  Space space(100, 0);
  uint64_t next = 0;
  for (int i = 0; i < 10; ++i, next += 10) EXPECT_EQ(space.reserve(10)->block, next);
  space.cancel({30, 10});
  EXPECT_EQ(space.reserve(5)->block, 30u);
  EXPECT_EQ(space.reserve(5)->block, 35u);
}

TEST(Space, A_bitmap_with_bits_where_no_block_is_is_refused) {
  // Goal: hostile bitmaps. Method: one bit outside; a chunk beyond the end; the same bit twice.
  Space space(600, 70);
  Bytes chunk(kChunkBytes);
  const auto with_bit = [](uint64_t bit) {
    Bytes bytes(kChunkBytes);
    bytes[bit / 8] = static_cast<std::byte>(1u << (bit % 8));
    return bytes;
  };
  EXPECT_TRUE(space.load_chunk(0, chunk));
  for (const uint64_t bit : {0, 63, 64, 69}) {
    EXPECT_EQ(space.load_chunk(0, with_bit(bit)).error().code(), Errc::checksum) << bit;
  }
  EXPECT_TRUE(space.load_chunk(0, with_bit(70)));
  EXPECT_EQ(space.load_chunk(0, with_bit(70)).error().code(), Errc::checksum);
  EXPECT_TRUE(space.load_chunk(1, with_bit(87)));
  EXPECT_FALSE(space.load_chunk(1, with_bit(88)));
  EXPECT_FALSE(space.load_chunk(2, with_bit(0)));
  EXPECT_TRUE(space.load_chunk(2, chunk)) << "zeros say nothing";
  EXPECT_EQ(space.usage().used, 2u);
}

TEST(Space, A_checkpoint_hears_only_of_chunks_that_changed) {
  // Goal: take_dirty costs what changed. Method: a large space, three changes, one of them back and
  // forth.
  constexpr size_t kPageBytes = 16320;
  Space space(uint64_t{1} << 24, 0);
  EXPECT_TRUE(space.take_dirty(kPageBytes).empty());
  ASSERT_TRUE(space.adopt({130560 * 7 - 1, 2}));
  ASSERT_TRUE(space.adopt({5, 1}));
  const auto run = space.reserve(10);
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(space.take_dirty(kPageBytes), (std::vector<size_t>{0, 6, 7}));
  space.cancel(*run);
  EXPECT_TRUE(space.take_dirty(kPageBytes).empty()) << "reservations are not durable state";
  ASSERT_TRUE(space.free({5, 1}, 1));
  EXPECT_EQ(space.take_dirty(kPageBytes), (std::vector<size_t>{0}));
  space.release(1);
  EXPECT_TRUE(space.take_dirty(kPageBytes).empty());
}

TEST(Space, Comes_back_to_what_was_used_before_it_touches_more) {
  // Goal: a store that overwrites stays in the blocks that it has, as a file system's extents and a
  // flash device like it. Method: 20,000 blocks live, overwritten ten times over.
  constexpr uint64_t kLive = 20'000, kRun = 100;
  Space space(uint64_t{1} << 20, 1);
  std::deque<Extent> live;
  uint64_t highest = 0, lsn = 0;
  for (uint64_t i = 0; i < 10 * kLive / kRun; ++i) {
    const auto run = space.reserve(kRun);
    ASSERT_TRUE(run.has_value());
    space.publish(*run);
    highest = std::max(highest, run->block + run->count);
    live.push_back(*run);
    if (live.size() <= kLive / kRun) continue;
    ASSERT_TRUE(space.free(live.front(), ++lsn));
    live.pop_front();
    space.release(lsn);
  }
  EXPECT_LT(highest, kLive * 3 / 2);
  // A run longer than any hole in there comes from beyond it.
  const auto large = space.reserve(60'000);
  ASSERT_TRUE(large.has_value());
  EXPECT_GT(large->block + large->count, highest);
}

}  // namespace
}  // namespace cairn::media
