#include "media/trim.h"

#include <algorithm>

namespace cairn::media {

TrimList::TrimList(uint64_t block_count, uint32_t unit_blocks)
    : unit_blocks_(unit_blocks), units_(block_count / unit_blocks), is_noted_(units_) {}

void TrimList::note(const Extent& released) {
  const uint64_t first = released.block / unit_blocks_;
  const uint64_t last = (released.block + released.count - 1) / unit_blocks_;
  for (uint64_t unit = first; unit <= last && unit < units_; ++unit) {
    if (is_noted_[unit]) continue;
    is_noted_[unit] = true;
    ++noted_;
  }
}

std::optional<Extent> TrimList::next() const {
  if (at_ >= units_ || !is_noted_[at_]) return std::nullopt;
  return Extent{at_ * unit_blocks_, unit_blocks_};
}

std::optional<Extent> TrimList::take(const LookAt& look, uint64_t units_max, uint64_t looks_max) {
  uint64_t first = 0, count = 0;
  for (; looks_max > 0 && noted_ > 0 && count < units_max; --looks_max, ++at_) {
    if (at_ == units_) {
      at_ = 0;
      if (count != 0) break;
    }
    const uint64_t unit = at_;
    Look found = Look::taken;
    if (is_noted_[unit]) {
      found = look({unit * unit_blocks_, unit_blocks_});
      if (found == Look::unknown) break;
      is_noted_[unit] = false;
      --noted_;
    }
    if (found != Look::free && count != 0) break;
    if (found != Look::free) continue;
    if (count == 0) first = unit;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return Extent{first * unit_blocks_, static_cast<uint32_t>(count * unit_blocks_)};
}

}  // namespace cairn::media
