#include "layout/place.h"

#include "base/check.h"
#include "base/endian.h"
#include "base/hash.h"

namespace cairn::layout {

Result<uint32_t> shard_count(model::ObjectId oid, const PoolMap& map) {
  if (map.shape.targets != 1) {
    return fail(Errc::not_supported, "placement: pools of several targets are not built yet");
  }
  TRY(object_class, model::class_of_object(oid, map.shape));
  if (object_class.has_redundancy()) {
    return fail(Errc::not_supported,
                "placement: classes with redundancy are not built yet; use S1, S2.. or SX");
  }
  const uint32_t groups = object_class.groups;
  return groups == model::kGroupsMax || groups > map.shape.targets ? map.shape.targets : groups;
}

uint32_t shard_of_dkey(model::ObjectId oid, ByteView dkey, uint32_t shard_count) {
  if (shard_count <= 1) return 0;
  if (model::dkey_kind(oid.type()) == model::KeyKind::integer && dkey.size() == sizeof(uint64_t)) {
    return static_cast<uint32_t>(load_le64(dkey.data()) % shard_count);
  }
  return static_cast<uint32_t>(xxh3_64(dkey) % shard_count);
}

Result<Place> place_shard(model::ObjectId oid, uint32_t shard, const PoolMap& map) {
  TRY(count, shard_count(oid, map));
  CHECK(shard < count);
  return Place{.rank = 0, .target = 0, .shard = shard};
}

}  // namespace cairn::layout
