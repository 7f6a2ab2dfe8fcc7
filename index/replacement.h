// Replacement: which page leaves memory next. A page that was loaded is on probation: it has to be
// used again, after a while, before it may push pages out that proved themselves. So a walk over
// many pages (a listing, a reclaim, a scrub) goes through a tenth of the memory and leaves the rest
// alone, and pages that every look-up needs stay.
//
//   load -> fresh --(by age)--> aged --(used since)--> hot --(not used for a round)--> out
//                                  `--(not used)-----> out; its number is remembered for a while
//
// Uses while a page is fresh do not count: one operation often looks at a page several times. A
// page that was thrown out of `aged` and is wanted back while it is remembered goes to `hot` at
// once. Dirty pages stand aside, oldest change first, until they are written. A pure decision: no
// I/O, no memory but the remembered numbers. Home: the shard's reactor. Plain calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/flat_map.h"

namespace cairn::index {

/// What stands in a slot for the replacement.
struct CacheEntry {
  enum class Queue : uint8_t { none, fresh, aged, hot, dirty };
  CacheEntry* newer = nullptr;
  CacheEntry* older = nullptr;
  Queue queue = Queue::none;     // where it is linked; none: not a candidate for anything
  Queue standing = Queue::none;  // fresh, aged or hot: where it goes when it is clean
  bool referenced = false;       // set by whoever uses the page
};

class Replacement {
 public:
  /// @param capacity  pages that memory is meant to hold
  explicit Replacement(size_t capacity);
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  /// Page `page` came into memory, clean.
  void add(CacheEntry& entry, uint64_t page);
  /// A changed copy of a page takes its place. The entry is clean.
  void add_like(CacheEntry& entry, const CacheEntry& original);
  /// The page is gone from memory, or nobody wants it any more.
  void remove(CacheEntry& entry);
  /// The page changed: it is no candidate for eviction, but for writing.
  void changed(CacheEntry& entry);
  /// A write of it is under way: no candidate for anything.
  void park(CacheEntry& entry);
  /// It is on the medium: a candidate for eviction, if it was not used lately the next one.
  void cleaned(CacheEntry& entry);

  /// The page that should leave next; null: there is none. The caller answers with evicted() or, if
  /// it cannot go now, with park(), and later with spared().
  CacheEntry* candidate();
  void spared(CacheEntry& entry) { link(entry, entry.standing); }
  void evicted(CacheEntry& entry, uint64_t page);
  /// The dirty page that should be written next, null: there is none; it becomes the last one.
  /// Pages that were used since they were looked at come later: `patient` false takes them, too.
  CacheEntry* next_dirty(bool patient);
  size_t dirty_count() const { return list(CacheEntry::Queue::dirty).count; }

  /// So many pages of a walk are in memory at once where memory is full.
  size_t probation_max() const { return 2 * part_max_; }

 private:
  struct List {
    CacheEntry* newest = nullptr;
    CacheEntry* oldest = nullptr;
    size_t count = 0;
  };
  using Queue = CacheEntry::Queue;
  List& list(Queue queue) { return lists_[static_cast<size_t>(queue)]; }
  const List& list(Queue queue) const { return lists_[static_cast<size_t>(queue)]; }
  void link(CacheEntry& entry, Queue queue, bool as_oldest = false);
  void unlink(CacheEntry& entry);
  void move_to_newest(CacheEntry& entry);
  void remember(uint64_t page);
  void age();

  std::array<List, 5> lists_;
  size_t part_max_;  // of fresh, and of aged
  size_t remembered_max_;
  std::deque<uint64_t> remembered_order_;
  FlatSet<uint64_t> remembered_;
};

}  // namespace cairn::index
