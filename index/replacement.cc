#include "index/replacement.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::index {
namespace {

constexpr size_t kPartMin = 8;
constexpr size_t kPartShare = 20;  // fresh and aged: a twentieth of memory each

}  // namespace

Replacement::Replacement(size_t capacity)
    : part_max_(std::max(kPartMin, capacity / kPartShare)), remembered_max_(capacity) {}

// ---- lists ----

void Replacement::link(CacheEntry& entry, Queue queue, bool as_oldest) {
  DCHECK(entry.queue == Queue::none);
  List& to = list(queue);
  entry.queue = queue;
  entry.older = as_oldest ? nullptr : to.newest;
  entry.newer = as_oldest ? to.oldest : nullptr;
  (entry.older != nullptr ? entry.older->newer : to.oldest) = &entry;
  (entry.newer != nullptr ? entry.newer->older : to.newest) = &entry;
  ++to.count;
}

void Replacement::unlink(CacheEntry& entry) {
  if (entry.queue == Queue::none) return;
  List& from = list(entry.queue);
  (entry.older != nullptr ? entry.older->newer : from.oldest) = entry.newer;
  (entry.newer != nullptr ? entry.newer->older : from.newest) = entry.older;
  entry.older = entry.newer = nullptr;
  entry.queue = Queue::none;
  --from.count;
}

// ---- pages come and go ----

void Replacement::remember(uint64_t page) {
  if (!remembered_.insert(page)) return;
  remembered_order_.push_back(page);
  if (remembered_order_.size() <= remembered_max_) return;
  remembered_.erase(remembered_order_.front());
  remembered_order_.pop_front();
}

/// Pages beyond the room of `fresh` go on; from now on their uses count.
void Replacement::age() {
  while (list(Queue::fresh).count > part_max_) {
    CacheEntry& entry = *list(Queue::fresh).oldest;
    unlink(entry);
    entry.standing = Queue::aged;
    entry.referenced = false;
    link(entry, Queue::aged);
  }
}

void Replacement::add(CacheEntry& entry, uint64_t page) {
  // Its number stays in the order until it is the oldest; a second mention would shorten the
  // memory.
  entry.standing = remembered_.contains(page) ? Queue::hot : Queue::fresh;
  link(entry, entry.standing);
  age();
}

void Replacement::add_like(CacheEntry& entry, const CacheEntry& original) {
  entry.standing = original.standing;
  entry.referenced = original.referenced;
  link(entry, entry.standing);
}

void Replacement::remove(CacheEntry& entry) {
  unlink(entry);
  entry.standing = Queue::none;
}

void Replacement::changed(CacheEntry& entry) {
  if (entry.queue == Queue::dirty) return;
  unlink(entry);
  link(entry, Queue::dirty);
}

void Replacement::park(CacheEntry& entry) { unlink(entry); }

void Replacement::cleaned(CacheEntry& entry) {
  unlink(entry);
  link(entry, entry.standing, true);
}

// ---- who leaves ----

CacheEntry* Replacement::candidate() {
  age();
  List& aged = list(Queue::aged);
  while (aged.count > part_max_ || (aged.count > 0 && list(Queue::hot).count == 0)) {
    CacheEntry& entry = *aged.oldest;
    if (!entry.referenced) return &entry;
    unlink(entry);
    entry.standing = Queue::hot;
    entry.referenced = false;
    link(entry, Queue::hot);
  }
  // At most one round takes the marks away.
  for (;;) {
    CacheEntry* entry = list(Queue::hot).oldest;
    if (entry == nullptr) break;
    if (!entry->referenced) return entry;
    entry->referenced = false;
    move_to_newest(*entry);
  }
  return aged.oldest != nullptr ? aged.oldest : list(Queue::fresh).oldest;
}

void Replacement::move_to_newest(CacheEntry& entry) {
  const Queue queue = entry.queue;
  unlink(entry);
  link(entry, queue);
}

void Replacement::evicted(CacheEntry& entry, uint64_t page) {
  if (entry.standing != Queue::hot) remember(page);
  remove(entry);
}

CacheEntry* Replacement::next_dirty(bool patient) {
  for (size_t looked = list(Queue::dirty).count; looked > 0; --looked) {
    CacheEntry& entry = *list(Queue::dirty).oldest;
    move_to_newest(entry);
    if (!std::exchange(entry.referenced, false) || !patient) return &entry;
  }
  return nullptr;
}

}  // namespace cairn::index
