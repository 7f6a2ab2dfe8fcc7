// Limits of messages in bytes. By reference none of them applies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/limits.h"
#include "wire/object_format.h"

namespace cairn::wire {

/// Keys and descriptors of one message. The longest sensible one holds a million extents.
inline constexpr size_t kBodyBytesMax = size_t{64} << 20;
static_assert(model::kRecxsMax * sizeof(RecxPart) + 16 * model::kKeyBytesMax <= kBodyBytesMax);
static_assert(model::kIodsMax * sizeof(IodPart) <= kBodyBytesMax);
/// Payload of one message, and room that one fetch may ask for: a bound on what a peer can make the
/// other end hold. Larger I/O is split by the layers above, or goes by reference.
inline constexpr size_t kBulkBytesMax = size_t{256} << 20;
/// From here on the payload of a request begins at a multiple of kBulkAlignment, so that who
/// receives the message into aligned memory can hand it to a device; it may travel apart.
inline constexpr size_t kLargeBulkMin = size_t{32} << 10;
inline constexpr size_t kBulkAlignment = 4096;
/// Operations and reads of one transaction: what an engine holds while it decides about one.
inline constexpr size_t kTransactOpsMax = 65'535;
inline constexpr size_t kTransactReadsMax = 65'536;
static_assert(kTransactReadsMax * sizeof(ReadPart) <= kBodyBytesMax);
/// A listing's reply: it must fit a body.
inline constexpr uint64_t kListBytesMax = uint64_t{16} << 20;
inline constexpr uint32_t kListCountMax = 1u << 20;
/// Differences in one reply; over a body's limit the reply is record_too_big: ask for fewer.
inline constexpr uint32_t kDiffCountMax = 1u << 12;
/// Objects that one message asks to flatten.
inline constexpr uint32_t kFlattenCountMax = 1u << 12;
/// Of a walk over objects or differences: two long keys.
inline constexpr size_t kWalkPositionBytesMax = 1024;
static_assert(kListCountMax * sizeof(OidPart) <= kListBytesMax);
static_assert(kListBytesMax + kListCountMax * 24 + 4096 <= kBodyBytesMax);
static_assert(model::kKeyBytesMax <= kListBytesMax, "any key can be listed");

}  // namespace cairn::wire
