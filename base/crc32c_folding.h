// CRC32C by carry-less multiplication of 64 bytes at once, where the processor has it (AVX-512 with
// VPCLMULQDQ): two to three times as fast as its CRC instruction. Internal to base/.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace cairn::detail {

inline constexpr size_t kFoldUnit = 64;
/// Less is not worth the way; crc32c_fold() takes no less.
inline constexpr size_t kFoldBytesMin = 256;

/// This processor, and the system on it, can run crc32c_fold().
bool can_fold() noexcept;

/// The register (not inverted) after the first bytes of `p`: as many of `bytes` as are whole
/// units. At least kFoldBytesMin. Reads nothing beyond `readable`, and fetches what it may
/// read ahead of its turn.
uint32_t crc32c_fold(uint32_t crc, const std::byte* p, size_t bytes, size_t readable) noexcept;

/// The other way (crc32c.cc), for tests: the register after `data`.
uint32_t crc32c_lanes(uint32_t crc, ByteView data) noexcept;

}  // namespace cairn::detail
