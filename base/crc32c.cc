#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace cairn {

uint32_t crc32c(ByteView data, uint32_t seed) noexcept {
  // ISA-L works on the raw register: the standard's inversion at both ends is done here. Its signature
  // lacks const and takes an int length, so long inputs go in pieces.
  constexpr size_t kPieceBytes = size_t{1} << 30;
  uint32_t crc = ~seed;
  while (!data.empty()) {
    const size_t n = data.size() < kPieceBytes ? data.size() : kPieceBytes;
    auto* p = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data.data()));
    crc = crc32_iscsi(p, static_cast<int>(n), crc);
    data = data.subspan(n);
  }
  return ~crc;
}

}  // namespace cairn
