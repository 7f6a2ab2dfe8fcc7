#include "vos/markers.h"

#include "base/hash.h"
#include "base/ordered_int.h"
#include "vos/value_format.h"

namespace cairn::vos {

namespace {

bool is_of(ByteView key, const Key& level_markers) {
  return key.size() == level_markers.size() + kMarkerEpochBytes &&
         std::memcmp(key.data(), level_markers.view().data(), level_markers.size()) == 0;
}

}  // namespace

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
  // The counters know the tree, not what a transaction has planned.
  if (view.is_committed() && !any(object_prefix)) return 0;
  const Key level_markers = marker_prefix(level_prefix, level);
  View::Cursor cursor(view, level_markers);
  TRY(sought, cursor.seek(marker_key(level_prefix, level, view.epoch())));
  if (!cursor.valid() || !is_of(cursor.key(), level_markers)) return 0;
  return marker_epoch(cursor.key());
}

Result<model::Epoch> Markers::after(const View& view, ByteView level_prefix, Level level,
                                    model::Epoch epoch) const {
  const Key level_markers = marker_prefix(level_prefix, level);
  View::Cursor cursor(view, level_markers);
  TRY(sought, cursor.seek_before(marker_key(level_prefix, level, epoch)));
  if (!cursor.valid() || !is_of(cursor.key(), level_markers)) return 0;
  return marker_epoch(cursor.key());
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
