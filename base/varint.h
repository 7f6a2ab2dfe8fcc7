// LEB128 variable-length unsigned integers for record bodies (not ordered; see ordered_int.h for
// keys).
#pragma once

#include "base/bytes.h"

namespace cairn {

inline void put_varint(Bytes& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::byte>(value));
}

/// Takes one from the front of `in`. False if it is cut, longer than 10 bytes, or overflows.
inline bool take_varint(ByteView& in, uint64_t* value) {
  uint64_t v = 0;
  for (size_t i = 0; i < 10 && i < in.size(); ++i) {
    const auto b = static_cast<uint8_t>(in[i]);
    if (i == 9 && b > 1) return false;
    v |= uint64_t{static_cast<uint8_t>(b & 0x7F)} << (7 * i);
    if ((b & 0x80) == 0) {
      in = in.subspan(i + 1);
      *value = v;
      return true;
    }
  }
  return false;
}

/// Takes `bytes` bytes from the front of `in` into `out`. False if there are fewer.
inline bool take_bytes(ByteView& in, size_t bytes, ByteView* out) {
  if (in.size() < bytes) return false;
  *out = in.first(bytes);
  in = in.subspan(bytes);
  return true;
}

}  // namespace cairn
