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

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
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
Result<uint32_t> shard_count(model::ObjectId oid, const PoolMap& map);
/// Which of an object's shards holds a dkey: by its hash, for integer dkeys by the number, so that
/// neighbouring chunks of an array lie on different shards. The count is frozen in the object's id,
/// so a remainder does (the reference takes a jump hash of the same numbers).
uint32_t shard_of_dkey(model::ObjectId oid, ByteView dkey, uint32_t shard_count);
/// Where the shards of an object are, in their order. Errors as shard_count().
Result<std::vector<Place>> place_object(model::ObjectId oid, const PoolMap& map);
/// Where one shard is. Precondition: shard < shard_count(). Errors as shard_count().
Result<Place> place_shard(model::ObjectId oid, uint32_t shard, const PoolMap& map);

}  // namespace cairn::layout
