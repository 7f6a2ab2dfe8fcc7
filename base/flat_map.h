// FlatMap, FlatSet: hash tables of integer keys in one array, for look-ups on hot paths. Linear
// probing, at most three quarters full; erase closes the gap, so there are no tombstones.
// References, pointers and iterators are good until the next insertion or removal. Not ordered:
// never iterate where order can escape.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace cairn {

template <std::unsigned_integral K, class V>
class FlatMap {
 public:
  using value_type = std::pair<K, V>;

 private:
  struct Slot {
    bool used = false;
    value_type item{};
  };

 public:
  /// Of memory; the table has a power of two of them.
  static constexpr size_t kSlotBytes = sizeof(Slot);

 private:
  template <class S, class T>
  class Iterator {
   public:
    Iterator() = default;
    Iterator(S* at, S* end) : at_(at), end_(end) { skip(); }
    T& operator*() const { return at_->item; }
    T* operator->() const { return &at_->item; }
    Iterator& operator++() {
      ++at_;
      skip();
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::forward_iterator_tag;
    using pointer = T*;
    using reference = T&;

   private:
    friend class FlatMap;
    void skip() {
      while (at_ != end_ && !at_->used) ++at_;
    }
    S* at_ = nullptr;
    S* end_ = nullptr;
  };

 public:
  using iterator = Iterator<Slot, value_type>;
  using const_iterator = Iterator<const Slot, const value_type>;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  iterator begin() { return {slots_.data(), past()}; }
  iterator end() { return {past(), past()}; }
  const_iterator begin() const { return {slots_.data(), past()}; }
  const_iterator end() const { return {past(), past()}; }

  iterator find(K key) {
    const size_t at = look(key);
    return at == kNone ? end() : iterator{slots_.data() + at, past()};
  }
  const_iterator find(K key) const {
    const size_t at = look(key);
    return at == kNone ? end() : const_iterator{slots_.data() + at, past()};
  }
  bool contains(K key) const { return look(key) != kNone; }

  /// The item of `key`, made of `args` if it is not there; whether it was made.
  template <class... Args>
  std::pair<iterator, bool> try_emplace(K key, Args&&... args) {
    if (const size_t at = look(key); at != kNone) {
      return {iterator{slots_.data() + at, past()}, false};
    }
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    const size_t at = free_slot(key);
    slots_[at].item = value_type(key, V(std::forward<Args>(args)...));
    slots_[at].used = true;
    ++size_;
    return {iterator{slots_.data() + at, past()}, true};
  }
  V& operator[](K key) { return try_emplace(key).first->second; }

  /// Number of items removed: 0 or 1.
  size_t erase(K key) {
    const size_t at = look(key);
    if (at == kNone) return 0;
    erase_at(at);
    return 1;
  }
  void erase(iterator it) { erase_at(static_cast<size_t>(it.at_ - slots_.data())); }
  void clear() {
    slots_.clear();
    size_ = 0;
  }

 private:
  static constexpr size_t kNone = ~size_t{0};

  Slot* past() { return slots_.data() + slots_.size(); }
  const Slot* past() const { return slots_.data() + slots_.size(); }
  /// Neighbouring keys spread over the whole table.
  size_t home(K key) const {
    const uint64_t mixed = uint64_t{key} * 0x9E3779B97F4A7C15;
    return static_cast<size_t>(mixed ^ mixed >> 32) & (slots_.size() - 1);
  }
  size_t next(size_t at) const { return (at + 1) & (slots_.size() - 1); }

  size_t look(K key) const {
    if (size_ == 0) return kNone;
    size_t at = home(key);
    while (slots_[at].used) {
      if (slots_[at].item.first == key) return at;
      at = next(at);
    }
    return kNone;
  }
  size_t free_slot(K key) const {
    size_t at = home(key);
    while (slots_[at].used) at = next(at);
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 8 : slots_.size() * 2);
    std::swap(old, slots_);
    for (Slot& slot : old) {
      if (slot.used) slots_[free_slot(slot.item.first)] = std::move(slot);
    }
  }
  /// Moves later items of the run back over the gap, where they may stand.
  void erase_at(size_t gap) {
    for (size_t at = next(gap); slots_[at].used; at = next(at)) {
      const size_t from_home = (at - home(slots_[at].item.first)) & (slots_.size() - 1);
      const size_t from_gap = (at - gap) & (slots_.size() - 1);
      if (from_home < from_gap) continue;
      slots_[gap].item = std::move(slots_[at].item);
      gap = at;
    }
    slots_[gap] = Slot{};
    --size_;
  }

  std::vector<Slot> slots_;  // a power of two, or none
  size_t size_ = 0;
};

template <std::unsigned_integral K>
class FlatSet {
  struct Nothing {};

 public:
  size_t size() const { return map_.size(); }
  bool empty() const { return map_.empty(); }
  bool contains(K key) const { return map_.contains(key); }
  /// Whether it was not there.
  bool insert(K key) { return map_.try_emplace(key).second; }
  size_t erase(K key) { return map_.erase(key); }
  void clear() { map_.clear(); }

  class const_iterator {
   public:
    explicit const_iterator(typename FlatMap<K, Nothing>::const_iterator it) : it_(it) {}
    const K& operator*() const { return it_->first; }
    const_iterator& operator++() {
      ++it_;
      return *this;
    }
    friend bool operator==(const const_iterator&, const const_iterator&) = default;

   private:
    typename FlatMap<K, Nothing>::const_iterator it_;
  };
  const_iterator begin() const { return const_iterator(map_.begin()); }
  const_iterator end() const { return const_iterator(map_.end()); }

 private:
  FlatMap<K, Nothing> map_;
};

}  // namespace cairn
