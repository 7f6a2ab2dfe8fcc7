// What a container's properties say about objects that are written once and read many times: the
// worm_* properties as values (docs/worm.md).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/flatten.h"
#include "model/ids.h"

namespace cairn::model {

/// Limits of the properties.
inline constexpr uint64_t kWormInlineBytesMax = 256u << 10;
inline constexpr uint64_t kWormObjectBytesMin = 4096;
inline constexpr uint64_t kWormObjectBytesMax = 1u << 20;
inline constexpr uint64_t kWormColdSecondsMax = UINT32_MAX;
/// Of the name of who sealed a container; longer ones are cut.
inline constexpr size_t kSealedByBytesMax = 255;

/// A container that is sealed refuses every change, and its objects are flattened.
struct Seal {
  Epoch epoch = 0;  // changes at or above it are refused; 0: not sealed
  std::string by;   // who sealed it, for messages: USER@HOST; printable, not empty if sealed
  bool is_set() const { return epoch != 0; }
  friend bool operator==(const Seal&, const Seal&) = default;
};

struct WormPolicy {
  uint64_t inline_bytes_max = 64u << 10;  // worm_inline_max: array data of an object in its buffer
  uint64_t object_bytes_max = 1u << 20;   // worm_object_max: of a buffer
  bool compress = false;                  // worm_compress: buffers that get smaller by it
  uint64_t cold_after_s = 0;  // worm_cold_after: flatten what did not change for so long; 0: off
  Seal seal;
  friend bool operator==(const WormPolicy&, const WormPolicy&) = default;
};

/// @error invalid  a limit beyond the bounds above, or a seal without a name that can be printed
Result<void> check_worm_policy(const WormPolicy& policy);
/// `name` as a seal may have it: what cannot be printed replaced, the end cut off.
std::string printable_name(std::string name);
/// "sealed at 2026-12-01T06:59:38Z by USER@HOST". Precondition: it is set.
std::string seal_text(const Seal& seal);
/// Of an epoch, in UTC: "2026-12-01T06:59:38Z".
std::string time_text(Epoch epoch);

/// What the flattening of a container has come to, on one shard or on all.
struct FlattenProgress {
  bool running = false;  // a pass is under way, or will begin
  uint64_t flat = 0;     // objects that are flat now, as far as the pass has seen
  uint64_t left = 0;     // objects that it has yet to look at, or to look at again
  std::array<uint64_t, kFlattenOutcomes> skipped{};  // objects that stay as they are, by outcome
  uint64_t damaged = 0;  // objects that the medium has lost some of: they stay as they are
  friend bool operator==(const FlattenProgress&, const FlattenProgress&) = default;
};

/// Adds what one shard says to what others have said.
inline void add(FlattenProgress& all, const FlattenProgress& one) {
  all.running = all.running || one.running;
  all.flat += one.flat;
  all.left += one.left;
  for (size_t i = 0; i < all.skipped.size(); ++i) all.skipped[i] += one.skipped[i];
  all.damaged += one.damaged;
}

}  // namespace cairn::model
