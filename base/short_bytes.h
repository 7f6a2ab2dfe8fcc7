// Comparing and copying byte strings that are mostly short: without a call, whose cost would be
// most of it.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/endian.h"

namespace cairn {

/// In memcmp()'s order: below, at or above 0, as `a` is below, equal to or above `b`.
inline int compare_bytes(ByteView a, ByteView b) {
  const std::byte* p = a.data();
  const std::byte* q = b.data();
  size_t left = std::min(a.size(), b.size());
  for (; left >= 8; left -= 8, p += 8, q += 8) {
    const uint64_t x = load_be64(p);
    const uint64_t y = load_be64(q);
    if (x != y) return x < y ? -1 : 1;
  }
  for (; left != 0; --left, ++p, ++q) {
    if (*p != *q) return *p < *q ? -1 : 1;
  }
  if (a.size() == b.size()) return 0;
  return a.size() < b.size() ? -1 : 1;
}

/// As memcpy(). Takes whole words, the last of which overlaps the one before it.
inline void copy_short(std::byte* into, const std::byte* from, size_t bytes) {
  constexpr size_t kShort = 64;
  if (bytes > kShort) {
    std::memcpy(into, from, bytes);
  } else if (bytes >= 8) {
    uint64_t last;
    std::memcpy(&last, from + bytes - 8, 8);
    for (size_t at = 0; at + 8 < bytes; at += 8) std::memcpy(into + at, from + at, 8);
    std::memcpy(into + bytes - 8, &last, 8);
  } else if (bytes >= 4) {
    uint32_t first, last;
    std::memcpy(&first, from, 4);
    std::memcpy(&last, from + bytes - 4, 4);
    std::memcpy(into, &first, 4);
    std::memcpy(into + bytes - 4, &last, 4);
  } else {
    for (size_t i = 0; i < bytes; ++i) into[i] = from[i];
  }
}

/// How many bytes stand before the first zero; all, if there is none.
inline size_t bytes_before_zero(ByteView in) {
  constexpr uint64_t kLow = 0x0101'0101'0101'0101, kHigh = 0x8080'8080'8080'8080;
  size_t at = 0;
  for (; at + 8 <= in.size(); at += 8) {
    const uint64_t word = load_le64(in.data() + at);
    const uint64_t zeros = (word - kLow) & ~word & kHigh;
    if (zeros != 0) return at + static_cast<size_t>(__builtin_ctzll(zeros)) / 8;
  }
  while (at < in.size() && in[at] != std::byte{0}) ++at;
  return at;
}

}  // namespace cairn
