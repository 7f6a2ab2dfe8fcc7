// PlaceCache: where the shards of an object are, computed once for objects that are used again and
// again: a wide object's places take some microseconds. Internal to client/. Home: the container's
// reactor.
#pragma once

#include <array>
#include <vector>

#include "layout/place.h"

namespace cairn::client {

class PlaceCache {
 public:
  /// `map` is borrowed.
  explicit PlaceCache(const layout::PoolMap& map) : map_(map) {}

  /// By shard; good until the next call. Errors as layout::place_object().
  Result<const std::vector<layout::Place>*> of(const model::ObjectId& oid) const {
    Entry& entry = entries_[(oid.lo ^ oid.hi * kSpread) * kSpread >> (64 - kEntryBits)];
    if (entry.oid == oid && !entry.places.empty()) return &entry.places;
    TRY(places, layout::place_object(oid, map_));
    entry = {oid, std::move(places)};
    return &entry.places;
  }

 private:
  static constexpr int kEntryBits = 6;
  static constexpr uint64_t kSpread = 0x9e3779b97f4a7c15;
  struct Entry {
    model::ObjectId oid;
    std::vector<layout::Place> places;
  };
  const layout::PoolMap& map_;
  mutable std::array<Entry, size_t{1} << kEntryBits> entries_;
};

}  // namespace cairn::client
