// ReadSketch: which objects of a shard are read often, in a fixed amount of memory: counters that
// objects share by hash and that are halved as time passes. An object is read at most as often as
// is said of it, so who leaves alone what is read often may leave too much alone, never too little.
// Plain calls.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "base/hash.h"
#include "model/ids.h"
#include "runtime/clock.h"

namespace cairn::engine {

class ReadSketch {
 public:
  /// Counters are halved once in it.
  static constexpr Duration kHalfLife = 60 * kSecond;
  static constexpr size_t kRows = 2;
  static constexpr size_t kCounters = size_t{1} << 16;  // of a row; a byte each

  void note(const model::ObjectId& oid) {
    const auto places = places_of(oid);
    const uint8_t least = least_of(places);
    if (least == UINT8_MAX) return;
    for (size_t row = 0; row < kRows; ++row) {
      uint8_t& counter = (*rows_)[row][places[row]];
      if (counter == least) ++counter;
    }
  }
  /// Reads of the last minutes: at a steady rate between one and two half-lives' worth, and not
  /// more than 255.
  uint8_t reads(const model::ObjectId& oid) const { return least_of(places_of(oid)); }
  /// Time passes.
  void age_to(Instant now) {
    const uint64_t halvings = (now - std::min(aged_, now)) / kHalfLife;
    if (halvings == 0) return;
    aged_ += halvings * kHalfLife;
    const auto shift = static_cast<unsigned>(std::min<uint64_t>(halvings, 8));
    for (auto& row : *rows_) {
      for (uint8_t& counter : row) counter = static_cast<uint8_t>(counter >> shift);
    }
  }

 private:
  using Places = std::array<size_t, kRows>;
  static Places places_of(const model::ObjectId& oid) {
    const uint64_t words[] = {oid.lo, oid.hi};
    const uint64_t hash = xxh3_64(view_of(words, sizeof(words)));
    static_assert(kCounters == size_t{1} << 16 && kRows == 2, "16 bits of the hash for each row");
    return {static_cast<size_t>(hash & 0xffff), static_cast<size_t>(hash >> 16 & 0xffff)};
  }
  uint8_t least_of(const Places& places) const {
    return std::min((*rows_)[0][places[0]], (*rows_)[1][places[1]]);
  }

  using Rows = std::array<std::array<uint8_t, kCounters>, kRows>;
  std::unique_ptr<Rows> rows_ = std::make_unique<Rows>();
  Instant aged_ = 0;
};

}  // namespace cairn::engine
