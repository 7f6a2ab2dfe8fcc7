#include "index/replacement.h"

#include <deque>
#include <map>

#include <gtest/gtest.h>

#include "runtime/random.h"

namespace cairn::index {
namespace {

/// A cache of page numbers alone.
class Cache {
 public:
  explicit Cache(size_t capacity) : capacity_(capacity), replacement_(capacity) {}

  /// True: it was there.
  bool use(uint64_t page) {
    if (const auto found = pages_.find(page); found != pages_.end()) {
      found->second.entry.referenced = true;
      return true;
    }
    if (pages_.size() == capacity_) {
      auto* entry = replacement_.candidate();
      const uint64_t out = numbers_.at(entry);
      replacement_.evicted(*entry, out);
      numbers_.erase(entry);
      pages_.erase(out);
    }
    Page& made = pages_[page];
    numbers_[&made.entry] = page;
    replacement_.add(made.entry, page);
    return false;
  }
  bool has(uint64_t page) const { return pages_.contains(page); }
  CacheEntry& entry(uint64_t page) { return pages_.at(page).entry; }
  Replacement& replacement() { return replacement_; }
  uint64_t number(const CacheEntry* entry) const { return numbers_.at(entry); }

 private:
  struct Page {
    CacheEntry entry;
  };
  size_t capacity_;
  Replacement replacement_;
  std::map<uint64_t, Page> pages_;
  std::map<const CacheEntry*, uint64_t> numbers_;
};

TEST(Replacement, A_walk_over_many_pages_leaves_the_used_ones_alone) {
  // Goal: scan resistance. Method: a set that fits is in use; then ten times the memory is looked
  // at once, each page several times at a stretch, as a listing does. Only those go that came last
  // and were never seen to be used after a while: a twentieth of memory.
  Cache cache(1000);
  SeededRandom random(1);
  for (int i = 0; i < 50'000; ++i) cache.use(random.below(800));
  for (uint64_t page = 10'000; page < 20'000; ++page) {
    for (int look = 0; look < 5; ++look) cache.use(page);
  }
  size_t left = 0;
  for (uint64_t page = 0; page < 800; ++page) left += cache.has(page);
  EXPECT_GE(left, 750u);
}

TEST(Replacement, Pages_that_every_look_up_needs_stay) {
  // Goal: inner pages stay, however many leaves pass. Method: 20 pages used by each look-up beside
  // one of 100,000; none of the 20 is missed after the start.
  Cache cache(200);
  SeededRandom random(2);
  size_t missed = 0;
  for (int i = 0; i < 50'000; ++i) {
    if (!cache.use(random.below(20)) && i > 2000) ++missed;
    cache.use(1000 + random.below(100'000));
  }
  EXPECT_EQ(missed, 0u);
}

TEST(Replacement, Uniform_use_hits_as_often_as_memory_allows) {
  // Goal: no loss against the best where nothing can be predicted. Method: a tenth fits; a tenth
  // hits.
  Cache cache(1000);
  SeededRandom random(3);
  size_t hits = 0;
  for (int i = 0; i < 100'000; ++i) hits += cache.use(random.below(10'000));
  EXPECT_GT(hits, 9'300u);
}

TEST(Replacement, What_is_used_turns_over_when_the_work_changes) {
  // Goal: old favourites leave. Method: one set for a while, then another; the new one hits.
  Cache cache(500);
  SeededRandom random(4);
  for (int i = 0; i < 20'000; ++i) cache.use(random.below(400));
  for (int i = 0; i < 20'000; ++i) cache.use(1000 + random.below(400));
  size_t hits = 0;
  for (int i = 0; i < 1000; ++i) hits += cache.use(1000 + random.below(400));
  EXPECT_EQ(hits, 1000u);
}

TEST(Replacement, Changed_pages_stand_aside_and_are_written_oldest_and_least_used_first) {
  // Goal: dirty pages are no candidates, and the order of writing spares what is in use. Method:
  // change all of three, use one; ask for what to write, then clean one and ask who leaves.
  Cache cache(10);
  for (uint64_t page = 1; page <= 3; ++page) {
    cache.use(page);
    cache.replacement().changed(cache.entry(page));
  }
  EXPECT_EQ(cache.replacement().candidate(), nullptr);
  EXPECT_EQ(cache.replacement().dirty_count(), 3u);
  cache.use(1);
  EXPECT_EQ(cache.number(cache.replacement().next_dirty(true)), 2u);
  EXPECT_EQ(cache.number(cache.replacement().next_dirty(true)), 3u);
  EXPECT_EQ(cache.number(cache.replacement().next_dirty(true)), 1u);
  cache.replacement().park(cache.entry(2));
  EXPECT_EQ(cache.replacement().candidate(), nullptr);
  cache.replacement().cleaned(cache.entry(2));
  EXPECT_EQ(cache.number(cache.replacement().candidate()), 2u);
}

}  // namespace
}  // namespace cairn::index
