// Unsigned integers as 1 to 9 bytes whose memcmp order is the numeric order: values up to 0xF7 are
// one byte; above, a first byte 0xF7 + n says that n big-endian bytes follow, without leading
// zeros. Part of on-media key formats (docs/formats/keys.md).
#pragma once

#include <cstring>

#include "base/bytes.h"
#include "base/endian.h"

namespace cairn {

inline constexpr size_t kOrderedIntBytesMax = 9;
inline constexpr uint8_t kOrderedIntInlineMax = 0xF7;

/// Writes `value` at `out` (room for kOrderedIntBytesMax) and returns the bytes used.
inline size_t put_ordered_int(std::byte* out, uint64_t value) {
  if (value <= kOrderedIntInlineMax) {
    out[0] = static_cast<std::byte>(value);
    return 1;
  }
  const auto n = static_cast<size_t>(8 - std::countl_zero(value) / 8);
  out[0] = static_cast<std::byte>(kOrderedIntInlineMax + n);
  std::byte be[8];
  store_be64(be, value);
  std::memcpy(out + 1, be + 8 - n, n);
  return 1 + n;
}

/// Reads one from the front of `in`; returns the bytes used, 0 if `in` is too short or not
/// canonical.
inline size_t get_ordered_int(ByteView in, uint64_t* value) {
  if (in.empty()) return 0;
  const auto first = static_cast<uint8_t>(in[0]);
  if (first <= kOrderedIntInlineMax) {
    *value = first;
    return 1;
  }
  const size_t n = static_cast<size_t>(first - kOrderedIntInlineMax);
  if (in.size() < 1 + n || in[1] == std::byte{0}) return 0;
  uint64_t v = 0;
  for (size_t i = 0; i < n; ++i) v = v << 8 | static_cast<uint8_t>(in[1 + i]);
  if (v <= kOrderedIntInlineMax) return 0;
  *value = v;
  return 1 + n;
}

}  // namespace cairn
