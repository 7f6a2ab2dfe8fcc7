// CRC32C (Castagnoli), as iSCSI defines it. By the processor's instructions where it has some.
#pragma once

#include <span>

#include "base/bytes.h"

namespace cairn {

/// The CRC32C of `data`; chain pieces by passing the previous result as `seed` (0 for the first).
/// crc32c("123456789") == 0xE3069283.
uint32_t crc32c(ByteView data, uint32_t seed = 0) noexcept;

/// The CRC32C of each block of `data`, whose size is crcs.size() * block_bytes. Fetches ahead, so
/// it is faster over memory that is not in a cache.
void crc32c_blocks(ByteView data, size_t block_bytes, std::span<uint32_t> crcs) noexcept;

/// The CRC32C of two pieces one after the other, from those of each.
uint32_t crc32c_join(uint32_t first, uint32_t second, uint64_t second_bytes) noexcept;

}  // namespace cairn
