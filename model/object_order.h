// The order of objects in the keys of a shard, and so in listings: by these bytes. Part of the
// format of keys (docs/formats/keys.md): never change it.
#pragma once

#include <array>

#include "base/endian.h"
#include "model/ids.h"

namespace cairn::model {

inline constexpr uint32_t kIdStep = 999'999'937;
inline constexpr uint32_t kIdStepInverse = 0x5c884641;  // modulo 2^32
static_assert(static_cast<uint32_t>(uint64_t{kIdStep} * kIdStepInverse) == 1);

/// `lo`, the upper half of `hi`, and its lower half divided by the step in which libdfs counts: the
/// files of a client become neighbours.
inline std::array<std::byte, 16> object_order(ObjectId oid) {
  std::array<std::byte, 16> out;
  store_be64(out.data(), oid.lo);
  store_be32(out.data() + 8, static_cast<uint32_t>(oid.hi >> 32));
  store_be32(out.data() + 12, static_cast<uint32_t>(oid.hi) * kIdStepInverse);
  return out;
}

/// What object_order() was made from.
inline ObjectId object_of_order(const std::byte* order) {
  const uint32_t low = load_be32(order + 12) * kIdStep;
  return {load_be64(order), uint64_t{load_be32(order + 8)} << 32 | low};
}

}  // namespace cairn::model
