// What the C library was asked to move, by all threads of this program and all libraries in it: its
// copies, and what went into and came out of sockets. Runs under kCountedBytesMin are left out.
#pragma once

#include <cstdint>

namespace cairn::bench {

struct BytesMoved {
  uint64_t copied = 0;  // memcpy and memmove
  uint64_t filled = 0;  // memset
  uint64_t sent = 0, received = 0;
  uint64_t summed = 0;  // by checksums (base/byte_counts.h)

  static BytesMoved now();
};
BytesMoved operator-(const BytesMoved& after, const BytesMoved& before);

}  // namespace cairn::bench
