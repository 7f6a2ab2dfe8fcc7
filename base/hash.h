// XXH3 hashes. They are part of on-media formats: never change them.
#pragma once

#include <array>

#include "base/bytes.h"

namespace cairn {

uint64_t xxh3_64(ByteView data, uint64_t seed = 0) noexcept;
/// 16 bytes in canonical (big-endian) form, fit for ordering by memcmp.
std::array<std::byte, 16> xxh3_128(ByteView data) noexcept;

}  // namespace cairn
