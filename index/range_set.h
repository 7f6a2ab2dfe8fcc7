// RangeSet: a set of blocks, kept as runs. For what is few: blocks on their way from one state to
// the next. Plain calls only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory_resource>

namespace cairn::index {

class RangeSet {
 public:
  RangeSet() : runs_(&memory_) {}
  RangeSet(const RangeSet&) = delete;
  RangeSet& operator=(const RangeSet&) = delete;

  /// Precondition: none of [begin, end) is in it.
  void add(uint64_t begin, uint64_t end);
  /// Takes out what is in it of [begin, end). Returns how many blocks that was.
  uint64_t remove(uint64_t begin, uint64_t end);
  uint64_t count_in(uint64_t begin, uint64_t end) const;
  bool overlaps(uint64_t begin, uint64_t end) const;
  /// Calls `run(begin, end)` for each part of [begin, end) that is in it, ascending.
  template <class Fn>
  void each_in(uint64_t begin, uint64_t end, Fn run) const {
    for (auto it = first_over(begin); it != runs_.end() && it->first < end; ++it) {
      run(std::max(begin, it->first), std::min(end, it->second));
    }
  }
  size_t run_count() const { return runs_.size(); }
  bool empty() const { return runs_.empty(); }
  /// The first block. Precondition: not empty.
  uint64_t first() const { return runs_.begin()->first; }
  /// The first block at or above `from`; nothing: `none`.
  uint64_t first_from(uint64_t from, uint64_t none) const;

  /// Of memory, about.
  static constexpr size_t kRunBytes = 64;

 private:
  using Runs = std::pmr::map<uint64_t, uint64_t>;  // begin, end; neither touching nor overlapping
  Runs::const_iterator first_over(uint64_t begin) const;

  std::pmr::unsynchronized_pool_resource memory_;
  Runs runs_;
};

}  // namespace cairn::index
