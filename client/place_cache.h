// PlaceCache: where the shards of an object are, computed once for objects that are used again and
// again. Internal to client/. Home: the container's reactor.
#pragma once

#include <array>
#include <vector>

#include "layout/place.h"

namespace cairn::client {

class PlaceCache {
 public:
  explicit PlaceCache(const layout::PoolMap& map) : placer_(map) {}

  /// By shard; good until the next call. Errors as layout::place_object().
  Result<const std::vector<layout::Place>*> of(const model::ObjectId& oid) {
    Entry& entry = entries_[(oid.lo ^ oid.hi * kSpread) * kSpread >> (64 - kEntryBits)];
    if (entry.oid == oid && !entry.places.empty()) return &entry.places;
    entry.oid = oid;
    TRY(placed, placer_.place(oid, entry.places));
    return &entry.places;
  }

 private:
  static constexpr int kEntryBits = 6;
  static constexpr uint64_t kSpread = 0x9e3779b97f4a7c15;
  struct Entry {
    model::ObjectId oid;
    std::vector<layout::Place> places;
  };
  layout::Placer placer_;
  std::array<Entry, size_t{1} << kEntryBits> entries_;
};

}  // namespace cairn::client
