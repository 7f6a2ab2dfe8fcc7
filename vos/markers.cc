#include "vos/markers.h"

#include "base/hash.h"
#include "base/ordered_int.h"
#include "vos/value_format.h"

namespace cairn::vos {

size_t Markers::slot(ByteView object_prefix) {
  // Container and object, without the range byte between them.
  return (xxh3_64(object_prefix.subspan(kRangePrefixBytes), load_be32(object_prefix.data()))) %
         4096;
}

void Markers::add(ByteView object_prefix) {
  ++counters_[slot(object_prefix)];
  ++total_;
}

void Markers::remove(ByteView object_prefix) {
  // One that could not be read when they were counted, and can be now.
  if (unknown_ && counters_[slot(object_prefix)] == 0) return;
  CHECK(counters_[slot(object_prefix)] > 0);
  --counters_[slot(object_prefix)];
  --total_;
}

Result<model::Epoch> Markers::at(const View& view, const Key& object_prefix,
                                 const Key& level_prefix, Level level) const {
  if (!any(object_prefix)) return 0;
  TRY(value, view.get(marker_key(level_prefix, level)));
  return value ? epoch_of(*value) : 0;
}

Result<size_t> object_prefix_bytes(ByteView key) {
  constexpr size_t kFixed = kRangePrefixBytes + 16;
  uint64_t shard = 0;
  if (key.size() <= kFixed) return fail(Errc::checksum, "key: too short for an object");
  const size_t used = get_ordered_int(key.subspan(kFixed), &shard);
  if (used == 0) return fail(Errc::checksum, "key: malformed shard number");
  return kFixed + used;
}

}  // namespace cairn::vos
