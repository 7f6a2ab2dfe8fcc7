// Circle: ranks as points on a circle of 64-bit numbers, as many as they have weight, at other
// places for every object. What does not depend on the object is kept. A few questions about an
// object's circle are answered by looking at every point, more of them from an index that is made
// then: an object with one shard does not pay for order. Internal to layout/. Home: one reactor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn::layout {

class Circle {
 public:
  /// Domains come in the order of their ranks: of points at one place the first one added counts.
  void add(uint32_t rank, uint32_t weight);
  /// To the circle of another object.
  void turn(uint64_t seed);
  /// The domain (by order of addition) of the first point at or behind `at`, going around.
  /// Precondition: a domain was added, the circle was turned.
  uint32_t behind(uint64_t at);
  /// The same of the first point whose domain pleases; there must be one.
  template <class Pleases>
  uint32_t behind(uint64_t at, Pleases pleases) {
    if (!is_ordered_) order();
    for (size_t i = find(at);; i = i + 1 == points_.size() ? 0 : i + 1) {
      if (pleases(points_[i].domain)) return points_[i].domain;
    }
  }

 private:
  struct Point {
    uint64_t at = 0;
    uint32_t domain = 0;
  };
  /// Looking at all points is cheaper than ordering them up to about so many times.
  static constexpr uint32_t kLooksMax = 4;

  void order();
  size_t find(uint64_t at) const;

  uint32_t domain_count_ = 0;
  std::vector<uint64_t> premixed_;   // names of points
  std::vector<uint32_t> domain_of_;  // of the same points
  std::vector<uint64_t> places_;     // of the same points, on this object's circle
  uint32_t looks_ = 0;
  // The index: points in order, and where those begin that have the same first bits.
  bool is_ordered_ = false;
  unsigned shift_ = 63;
  std::vector<Point> points_;
  std::vector<uint32_t> begins_;
};

}  // namespace cairn::layout
