// Spans of bytes and conversions between them, strings and views. Nothing owns here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/small_vector.h"

namespace cairn {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;

/// One piece of a scattered buffer. Borrowed.
struct IoVec {
  std::byte* data = nullptr;
  size_t bytes = 0;
};
/// A whole scattered buffer; mostly it is in one piece.
using IoVecs = SmallVector<IoVec, 1>;

inline ByteView as_bytes(std::string_view s) {
  return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
}
inline std::string_view as_chars(ByteView b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}
inline ByteView view_of(const void* p, size_t bytes) {
  return {static_cast<const std::byte*>(p), bytes};
}
constexpr uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr uint64_t round_down(uint64_t n, uint64_t unit) { return n / unit * unit; }

}  // namespace cairn
