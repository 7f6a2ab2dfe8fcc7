// Placement: which shards of which targets hold an object. A pure function of (object id, targets
// of the placement generation); design decision 13. What it keeps to, whatever the pool looks like:
//   - shards of one object are on distinct targets, and spread over ranks first: a rank with a
//     free target never holds two fewer than another;
//   - over many objects a target gets shards by its weight;
//   - slots (shard numbers) are filled in ascending order, each by the hash of the slot alone: a
//     rank that joins takes a slot where it wins it; what it displaces may win a later slot;
//   - n shards over r ranks take about n * log(r) steps.
// The formula is part of the format of pools: golden tests hold it.
#pragma once

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "layout/circle.h"
#include "model/ids.h"
#include "model/oclass.h"

namespace cairn::layout {

/// A target that takes part in placement.
struct PlacementTarget {
  model::TargetId id;
  uint32_t weight = 1;  // 1..kWeightMax, by capacity; shards are shared out in proportion
};
/// Finer differences of capacity are not worth a longer table.
inline constexpr uint32_t kWeightMax = 64;

/// What placement knows of a pool: the targets of one placement generation, none of them twice.
struct PoolMap {
  uint32_t version = 1;
  uint32_t generation = 1;        // of placement; a container keeps the one it was made in
  model::PoolShape shape;         // counts of `targets`, and the container's redundancy factor
  std::vector<PlacementTarget> targets{PlacementTarget{}};
};
/// Sets the counts of `map.shape` from its targets.
void set_shape(PoolMap& map);

/// One shard of an object.
struct Place {
  uint32_t rank = 0;              // of the engine
  uint32_t target = 0;            // of the engine
  uint32_t shard = 0;             // of the object
  friend bool operator==(const Place&, const Place&) = default;
};

/// Number of shards of an object, and so of its placement.
/// @error invalid        the id's class does not exist or does not fit the pool
/// @error not_supported  the class needs redundancy: not built yet
Result<uint32_t> shard_count(model::ObjectId oid, const model::PoolShape& shape);
/// Which of an object's shards holds a dkey: by its hash, for integer dkeys by the number, so that
/// neighbouring chunks of an array lie on different shards. The count is frozen in the object's id,
/// so a remainder does (the reference takes a jump hash of the same numbers).
uint32_t shard_of_dkey(model::ObjectId oid, ByteView dkey, uint32_t shard_count);

/// Places the objects of one placement generation, prepared so that each takes little: one shard
/// some nanoseconds a rank, a wide object some tens a shard. No allocation after the widest one.
/// Home: one reactor (it has room for the object under work).
class Placer {
 public:
  explicit Placer(const PoolMap& map);
  /// Where the shards of an object are, in their order. Errors as shard_count(); nothing then.
  Result<void> place(model::ObjectId oid, std::vector<Place>& into);

 private:
  struct Target {
    uint32_t index = 0;      // of the engine
    uint32_t first_key = 0;  // in premixed_
    uint32_t weight = 1;
  };
  /// The targets of one rank.
  struct Domain {
    uint32_t rank = 0;
    uint32_t first = 0;  // in targets_
    uint32_t count = 0;
  };

  void share_out(uint32_t slot_count);
  bool has_room(uint32_t domain) const {
    const uint32_t level = level_ + (extras_ != 0 ? 1 : 0);
    return taken_[domain] < std::min(domains_[domain].count, level);
  }
  uint32_t pick_domain(uint64_t seed);
  size_t pick_target(const Domain& domain, uint64_t seed) const;

  model::PoolShape shape_;
  std::vector<Target> targets_;
  std::vector<uint64_t> premixed_;  // hashes of targets, as many as they have weight
  std::vector<Domain> domains_;     // by rank
  std::vector<uint32_t> heights_;   // numbers of targets of the domains, ascending
  Circle circle_;
  // Of the object under work.
  std::vector<uint8_t> used_;    // of targets_
  std::vector<uint32_t> taken_;  // of the domains' targets
  uint32_t level_ = 0;           // shards that each rank holds in the end
  uint32_t extras_ = 0;          // that may still be put above the level
};

/// One object's places, where nobody keeps a Placer.
Result<std::vector<Place>> place_object(model::ObjectId oid, const PoolMap& map);

}  // namespace cairn::layout
