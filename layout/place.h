// Placement: which shards of which targets hold an object. A pure function of (object id, pool
// shape, generation); see design decision 13. So far a pool has one target, and every shard of an
// object is there.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/oclass.h"

namespace cairn::layout {

/// What placement knows of a pool.
struct PoolMap {
  uint32_t version = 1;
  uint32_t generation = 1;        // of placement; a container keeps the one it was made in
  model::PoolShape shape;
};

/// One shard of an object.
struct Place {
  uint32_t rank = 0;              // of the engine
  uint32_t target = 0;            // of the engine
  uint32_t shard = 0;             // of the object
};

/// Number of shards of an object, and so of its placement.
/// @error invalid        the id's class does not exist or does not fit the pool
/// @error not_supported  the class needs redundancy, or the pool several targets: not built yet
Result<uint32_t> shard_count(model::ObjectId oid, const PoolMap& map);
/// Which of an object's shards holds a dkey: by its hash, for integer dkeys by the number, so that
/// neighbouring chunks of an array lie on different shards.
uint32_t shard_of_dkey(model::ObjectId oid, ByteView dkey, uint32_t shard_count);
/// Where a shard lives. Precondition: shard < shard_count(). Errors as shard_count().
Result<Place> place_shard(model::ObjectId oid, uint32_t shard, const PoolMap& map);

}  // namespace cairn::layout
