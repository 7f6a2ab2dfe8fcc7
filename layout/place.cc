#include "layout/place.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "base/hash.h"

namespace cairn::layout {

namespace {

/// Finalizer of MurmurHash3: every bit of the input moves every bit of the output.
constexpr uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccd;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53;
  return x ^ x >> 33;
}
constexpr uint64_t mix(uint64_t seed, uint64_t value) {
  return mix(seed ^ mix(value + 0x9e3779b97f4a7c15));
}
// What a hash is for, so that no two uses share values.
enum : uint64_t { kForRank = 1, kForSlot = 2, kForTarget = 3 };

uint64_t seed_of(model::ObjectId oid, uint64_t purpose) {
  return mix(mix(mix(oid.lo), oid.hi), purpose);
}

/// Points that a slot tries before it takes the next rank on the circle that has room.
constexpr uint32_t kTriesMax = 64;

/// The targets of one rank.
struct Domain {
  uint32_t rank = 0;
  uint32_t first = 0;  // in `targets`, which is sorted
  uint32_t count = 0;
  uint32_t weight = 0;
  uint32_t taken = 0;  // of its targets
};

/// Places the slots of one object, one after the other. Ranks are points on a circle that is the
/// object's own, as many as they have weight; a slot throws a dart and takes the rank of the next
/// point. Where that rank holds its part, the slot throws again. Every rank holds `level_` shards,
/// or all of its targets if they are fewer, and some hold one more: who comes first.
class Placer {
 public:
  Placer(model::ObjectId oid, uint32_t slot_count, const PoolMap& map);
  Place next(uint32_t slot);

 private:
  struct Point {
    uint64_t at = 0;
    uint32_t domain = 0;
  };

  void add_points();
  void share_out(uint32_t slot_count);
  bool has_room(const Domain& domain) const {
    const uint32_t level = level_ + (extras_ != 0 ? 1 : 0);
    return domain.taken < std::min(domain.count, level);
  }
  uint32_t pick_domain(uint32_t slot) const;
  size_t pick_target(const Domain& domain, uint32_t slot) const;

  const uint64_t rank_seed_, slot_seed_, target_seed_;
  std::vector<PlacementTarget> targets_;
  std::vector<uint8_t> used_;  // of targets_
  std::vector<Domain> domains_;
  std::vector<Point> points_;  // ascending
  uint32_t level_ = 0;         // shards that each rank holds in the end
  uint32_t extras_ = 0;        // that may still be put above the level
};

Placer::Placer(model::ObjectId oid, uint32_t slot_count, const PoolMap& map)
    : rank_seed_(seed_of(oid, kForRank)),
      slot_seed_(seed_of(oid, kForSlot)),
      target_seed_(seed_of(oid, kForTarget)),
      targets_(map.targets),
      used_(map.targets.size()) {
  CHECK(slot_count <= targets_.size());
  if (!std::ranges::is_sorted(targets_, {}, &PlacementTarget::id)) {
    std::ranges::sort(targets_, {}, &PlacementTarget::id);
  }
  for (uint32_t i = 0; i < targets_.size(); ++i) {
    const PlacementTarget& target = targets_[i];
    if (domains_.empty() || domains_.back().rank != target.id.rank) {
      domains_.push_back({.rank = target.id.rank, .first = i});
    }
    ++domains_.back().count;
    domains_.back().weight += std::clamp(target.weight, 1u, kWeightMax);
  }
  if (domains_.size() > 1) add_points();
  share_out(slot_count);
}

void Placer::add_points() {
  for (uint32_t d = 0; d < domains_.size(); ++d) {
    for (uint64_t copy = 0; copy < domains_[d].weight; ++copy) {
      points_.push_back({mix(rank_seed_, copy << 32 | domains_[d].rank), d});
    }
  }
  std::ranges::sort(points_, [this](const Point& a, const Point& b) {
    return a.at != b.at ? a.at < b.at : domains_[a.domain].rank < domains_[b.domain].rank;
  });
}

/// Finds the level: the ranks' targets are filled like glasses of different height.
void Placer::share_out(uint32_t slot_count) {
  std::vector<uint32_t> heights;
  for (const Domain& domain : domains_) heights.push_back(domain.count);
  std::ranges::sort(heights);
  extras_ = slot_count;
  for (size_t full = 0; full < heights.size(); ++full) {
    const auto open = static_cast<uint32_t>(heights.size() - full);
    const uint32_t step = std::min(heights[full] - level_, extras_ / open);
    level_ += step;
    extras_ -= step * open;
    if (level_ < heights[full]) return;
  }
}

uint32_t Placer::pick_domain(uint32_t slot) const {
  if (domains_.size() == 1) return 0;
  const uint64_t seed = mix(slot_seed_, slot);
  size_t at = 0;
  for (uint64_t i = 0; i < kTriesMax; ++i) {
    const auto found = std::ranges::lower_bound(points_, mix(seed, i), {}, &Point::at);
    at = found == points_.end() ? 0 : static_cast<size_t>(found - points_.begin());
    if (has_room(domains_[points_[at].domain])) return points_[at].domain;
  }
  while (!has_room(domains_[points_[at].domain])) at = at + 1 == points_.size() ? 0 : at + 1;
  return points_[at].domain;
}

/// The free target of the rank with the greatest hash; one of weight w has w hashes.
size_t Placer::pick_target(const Domain& domain, uint32_t slot) const {
  const uint64_t seed = mix(mix(target_seed_, slot), domain.rank);
  size_t best = targets_.size();
  uint64_t best_hash = 0;
  for (size_t i = domain.first; i < domain.first + domain.count; ++i) {
    if (used_[i] != 0) continue;
    const uint32_t weight = std::clamp(targets_[i].weight, 1u, kWeightMax);
    for (uint64_t copy = 0; copy < weight; ++copy) {
      const uint64_t hash = mix(seed, copy << 32 | targets_[i].id.index);
      if (best != targets_.size() && hash <= best_hash) continue;
      best = i;
      best_hash = hash;
    }
  }
  CHECK(best != targets_.size());
  return best;
}

Place Placer::next(uint32_t slot) {
  Domain& domain = domains_[pick_domain(slot)];
  const size_t target = pick_target(domain, slot);
  used_[target] = 1;
  if (++domain.taken > level_) --extras_;
  return {.rank = domain.rank, .target = targets_[target].id.index, .shard = slot};
}

}  // namespace

void set_shape(PoolMap& map) {
  map.shape.targets = static_cast<uint32_t>(map.targets.size());
  std::vector<uint32_t> ranks;
  for (const PlacementTarget& target : map.targets) ranks.push_back(target.id.rank);
  std::ranges::sort(ranks);
  const auto doubles = std::ranges::unique(ranks);
  map.shape.domains = static_cast<uint32_t>(ranks.size() - doubles.size());
}

Result<uint32_t> shard_count(model::ObjectId oid, const PoolMap& map) {
  TRY(object_class, model::class_of_object(oid, map.shape));
  if (object_class.has_redundancy()) {
    return fail(Errc::not_supported,
                "placement: classes with redundancy are not built yet; use S1, S2.. or SX");
  }
  return object_class.groups;
}

uint32_t shard_of_dkey(model::ObjectId oid, ByteView dkey, uint32_t shard_count) {
  if (shard_count <= 1) return 0;
  if (model::dkey_kind(oid.type()) == model::KeyKind::integer && dkey.size() == sizeof(uint64_t)) {
    return static_cast<uint32_t>(load_le64(dkey.data()) % shard_count);
  }
  return static_cast<uint32_t>(xxh3_64(dkey) % shard_count);
}

Result<std::vector<Place>> place_object(model::ObjectId oid, const PoolMap& map) {
  TRY(count, shard_count(oid, map));
  Placer placer(oid, count, map);
  std::vector<Place> places;
  places.reserve(count);
  for (uint32_t slot = 0; slot < count; ++slot) places.push_back(placer.next(slot));
  return places;
}

Result<Place> place_shard(model::ObjectId oid, uint32_t shard, const PoolMap& map) {
  TRY(count, shard_count(oid, map));
  CHECK(shard < count);
  Placer placer(oid, count, map);
  for (uint32_t slot = 0; slot < shard; ++slot) placer.next(slot);
  return placer.next(shard);
}

}  // namespace cairn::layout
