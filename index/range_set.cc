#include "index/range_set.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::index {

/// The first run that ends behind `begin`.
RangeSet::Runs::const_iterator RangeSet::first_over(uint64_t begin) const {
  auto it = runs_.upper_bound(begin);
  if (it != runs_.begin() && std::prev(it)->second > begin) --it;
  return it;
}

void RangeSet::add(uint64_t begin, uint64_t end) {
  DCHECK(begin < end);
  DCHECK(!overlaps(begin, end));
  auto after = runs_.lower_bound(begin);
  if (after != runs_.begin() && std::prev(after)->second == begin) {
    auto before = std::prev(after);
    before->second = end;
    if (after != runs_.end() && after->first == end) {
      before->second = after->second;
      runs_.erase(after);
    }
    return;
  }
  if (after != runs_.end() && after->first == end) {
    end = after->second;
    after = runs_.erase(after);
  }
  runs_.emplace_hint(after, begin, end);
}

uint64_t RangeSet::remove(uint64_t begin, uint64_t end) {
  uint64_t removed = 0;
  auto it = runs_.upper_bound(begin);
  if (it != runs_.begin() && std::prev(it)->second > begin) --it;
  while (it != runs_.end() && it->first < end) {
    const uint64_t run_begin = it->first, run_end = it->second;
    removed += std::min(end, run_end) - std::max(begin, run_begin);
    if (run_begin < begin) {
      it->second = begin;
      ++it;
    } else {
      it = runs_.erase(it);
    }
    if (run_end > end) runs_.emplace_hint(it, end, run_end);
  }
  return removed;
}

uint64_t RangeSet::count_in(uint64_t begin, uint64_t end) const {
  uint64_t count = 0;
  each_in(begin, end, [&count](uint64_t from, uint64_t to) { count += to - from; });
  return count;
}

bool RangeSet::overlaps(uint64_t begin, uint64_t end) const {
  const auto it = first_over(begin);
  return it != runs_.end() && it->first < end;
}

uint64_t RangeSet::first_from(uint64_t from, uint64_t none) const {
  const auto it = first_over(from);
  return it == runs_.end() ? none : std::max(from, it->first);
}

}  // namespace cairn::index
