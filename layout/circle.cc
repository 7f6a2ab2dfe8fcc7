#include "layout/circle.h"

#include <algorithm>
#include <bit>

#include "layout/mix.h"

namespace cairn::layout {

void Circle::add(uint32_t rank, uint32_t weight) {
  for (uint64_t copy = 0; copy < weight; ++copy) {
    premixed_.push_back(premix(copy << 32 | rank));
    domain_of_.push_back(domain_count_);
  }
  ++domain_count_;
}

void Circle::turn(uint64_t seed) {
  places_.resize(premixed_.size());
  for (size_t i = 0; i < premixed_.size(); ++i) places_[i] = mix_premixed(seed, premixed_[i]);
  looks_ = 0;
  is_ordered_ = false;
}

uint32_t Circle::behind(uint64_t at) {
  if (!is_ordered_ && looks_ == kLooksMax) order();
  if (is_ordered_) return points_[find(at)].domain;
  ++looks_;
  size_t nearest = 0;
  uint64_t distance = places_[0] - at;  // around the circle
  for (size_t i = 1; i < places_.size(); ++i) {
    if (places_[i] - at >= distance) continue;
    nearest = i;
    distance = places_[i] - at;
  }
  return domain_of_[nearest];
}

/// Places are even, so points with the same first bits are about one: counted, put there, and put
/// in order among themselves. All steps keep the order of those at one place.
void Circle::order() {
  const auto count = static_cast<uint32_t>(places_.size());
  const int bits = std::max(1, static_cast<int>(std::bit_width(count)));
  shift_ = 64 - static_cast<unsigned>(bits);
  begins_.assign((size_t{1} << bits) + 1, 0);
  for (const uint64_t at : places_) ++begins_[(at >> shift_) + 1];
  for (size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
  points_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    points_[begins_[places_[i] >> shift_]++] = {places_[i], domain_of_[i]};
  }
  // Each now stands where the next one begins.
  for (size_t i = begins_.size() - 1; i > 0; --i) begins_[i] = begins_[i - 1];
  begins_[0] = 0;
  for (uint32_t i = 1; i < count; ++i) {
    const Point point = points_[i];
    uint32_t to = i;
    for (; to > 0 && points_[to - 1].at > point.at; --to) points_[to] = points_[to - 1];
    points_[to] = point;
  }
  is_ordered_ = true;
}

size_t Circle::find(uint64_t at) const {
  size_t i = begins_[at >> shift_];
  while (i < points_.size() && points_[i].at < at) ++i;
  return i == points_.size() ? 0 : i;
}

}  // namespace cairn::layout
