#include "layout/place.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "base/hash.h"
#include "layout/mix.h"

namespace cairn::layout {

namespace {

// What a hash is for, so that no two uses share values.
enum : uint64_t { kForRank = 1, kForSlot = 2, kForTarget = 3 };

uint64_t seed_of(model::ObjectId oid, uint64_t purpose) {
  return mix(mix(mix(oid.lo), oid.hi), purpose);
}

/// Points that a slot tries before it takes the next rank on the circle that has room.
constexpr uint32_t kTriesMax = 64;

}  // namespace

Placer::Placer(const PoolMap& map) : shape_(map.shape) {
  std::vector<PlacementTarget> targets = map.targets;
  if (!std::ranges::is_sorted(targets, {}, &PlacementTarget::id)) {
    std::ranges::sort(targets, {}, &PlacementTarget::id);
  }
  for (const PlacementTarget& target : targets) {
    const auto position = static_cast<uint32_t>(targets_.size());
    if (domains_.empty() || domains_.back().rank != target.id.rank) {
      domains_.push_back({.rank = target.id.rank, .first = position});
    }
    ++domains_.back().count;
    const uint32_t weight = std::clamp(target.weight, 1u, kWeightMax);
    targets_.push_back({.index = target.id.index,
                        .first_key = static_cast<uint32_t>(premixed_.size()),
                        .weight = weight});
    for (uint64_t copy = 0; copy < weight; ++copy) {
      premixed_.push_back(premix(copy << 32 | target.id.index));
    }
  }
  for (size_t d = 0; d < domains_.size(); ++d) {
    heights_.push_back(domains_[d].count);
    const uint32_t end = d + 1 < domains_.size() ? targets_[domains_[d + 1].first].first_key
                                                 : static_cast<uint32_t>(premixed_.size());
    if (domains_.size() > 1)
      circle_.add(domains_[d].rank, end - targets_[domains_[d].first].first_key);
  }
  std::ranges::sort(heights_);
}

/// Finds the level: the ranks' targets are filled like glasses of different height.
void Placer::share_out(uint32_t slot_count) {
  level_ = 0;
  extras_ = slot_count;
  for (size_t full = 0; full < heights_.size(); ++full) {
    const auto open = static_cast<uint32_t>(heights_.size() - full);
    const uint32_t step = std::min(heights_[full] - level_, extras_ / open);
    level_ += step;
    extras_ -= step * open;
    if (level_ < heights_[full]) return;
  }
}

/// A slot throws a dart and takes the rank of the next point on the object's circle. Where that
/// rank holds its part, the slot throws again. Every rank holds `level_` shards, or all of its
/// targets if they are fewer, and some hold one more: who comes first.
uint32_t Placer::pick_domain(uint64_t seed) {
  if (domains_.size() == 1) return 0;
  uint64_t dart = 0;
  for (uint64_t i = 0; i < kTriesMax; ++i) {
    dart = mix(seed, i);
    const uint32_t domain = circle_.behind(dart);
    if (has_room(domain)) return domain;
  }
  return circle_.behind(dart, [this](uint32_t domain) { return has_room(domain); });
}

/// The free target of the rank with the greatest hash; one of weight w has w hashes.
size_t Placer::pick_target(const Domain& domain, uint64_t seed) const {
  size_t best = targets_.size();
  uint64_t best_hash = 0;
  for (size_t i = domain.first; i < domain.first + domain.count; ++i) {
    if (used_[i] != 0) continue;
    const uint32_t end = targets_[i].first_key + targets_[i].weight;
    for (uint32_t key = targets_[i].first_key; key < end; ++key) {
      const uint64_t hash = mix_premixed(seed, premixed_[key]);
      if (best != targets_.size() && hash <= best_hash) continue;
      best = i;
      best_hash = hash;
    }
  }
  CHECK(best != targets_.size());
  return best;
}

Result<void> Placer::place(model::ObjectId oid, std::vector<Place>& into) {
  into.clear();
  TRY(count, shard_count(oid, shape_));
  CHECK(count <= targets_.size());
  const uint64_t slot_seed = seed_of(oid, kForSlot), target_seed = seed_of(oid, kForTarget);
  used_.assign(targets_.size(), 0);
  taken_.assign(domains_.size(), 0);
  share_out(count);
  if (domains_.size() > 1) circle_.turn(seed_of(oid, kForRank));
  into.reserve(count);
  for (uint32_t slot = 0; slot < count; ++slot) {
    const uint32_t number = pick_domain(mix(slot_seed, slot));
    const Domain& domain = domains_[number];
    const size_t target = pick_target(domain, mix(mix(target_seed, slot), domain.rank));
    used_[target] = 1;
    if (++taken_[number] > level_) --extras_;
    into.push_back({.rank = domain.rank, .target = targets_[target].index, .shard = slot});
  }
  return {};
}

void set_shape(PoolMap& map) {
  map.shape.targets = static_cast<uint32_t>(map.targets.size());
  std::vector<uint32_t> ranks;
  for (const PlacementTarget& target : map.targets) ranks.push_back(target.id.rank);
  std::ranges::sort(ranks);
  const auto doubles = std::ranges::unique(ranks);
  map.shape.domains = static_cast<uint32_t>(ranks.size() - doubles.size());
}

Result<uint32_t> shard_count(model::ObjectId oid, const model::PoolShape& shape) {
  TRY(object_class, model::class_of_object(oid, shape));
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
  std::vector<Place> places;
  TRY(placed, Placer(map).place(oid, places));
  return places;
}

}  // namespace cairn::layout
