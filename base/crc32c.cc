// The processor's CRC32C instruction has a latency of three cycles and starts every cycle, so three
// parts of the input run at once and are put together by a table: shifting a register over n zero
// bytes is linear.
#include "base/crc32c.h"

#include <array>
#include <cstring>

#include "base/byte_counts.h"
#include "base/crc32c_folding.h"

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace cairn {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // bit-reversed

/// A linear map of registers: column i is where bit i goes.
using Matrix = std::array<uint32_t, 32>;

constexpr uint32_t mapped(const Matrix& m, uint32_t crc) {
  uint32_t out = 0;
  for (int i = 0; crc != 0; ++i, crc >>= 1) {
    if ((crc & 1) != 0) out ^= m[static_cast<size_t>(i)];
  }
  return out;
}

constexpr Matrix after(const Matrix& second, const Matrix& first) {
  Matrix out{};
  for (size_t i = 0; i < 32; ++i) out[i] = mapped(second, first[i]);
  return out;
}

constexpr uint32_t over_zero_byte(uint32_t crc) {
  for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
  return crc;
}

/// The map "n zero bytes follow".
constexpr Matrix over_zero_bytes(size_t n) {
  Matrix power{};
  Matrix out{};
  for (size_t i = 0; i < 32; ++i) {
    power[i] = over_zero_byte(uint32_t{1} << i);
    out[i] = uint32_t{1} << i;
  }
  for (; n != 0; n >>= 1, power = after(power, power)) {
    if ((n & 1) != 0) out = after(power, out);
  }
  return out;
}

/// The same map by bytes of the register.
struct ShiftTable {
  std::array<std::array<uint32_t, 256>, 4> of;
  constexpr explicit ShiftTable(size_t bytes) : of{} {
    const Matrix m = over_zero_bytes(bytes);
    for (size_t part = 0; part < 4; ++part) {
      for (uint32_t value = 0; value < 256; ++value) {
        of[part][value] = mapped(m, value << (8 * part));
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return of[0][crc & 0xff] ^ of[1][crc >> 8 & 0xff] ^ of[2][crc >> 16 & 0xff] ^ of[3][crc >> 24];
  }
};

// Three long lanes and a rest of 16 bytes make 4 KiB, the usual unit.
constexpr size_t kLongLane = 1360;
constexpr size_t kShortLane = 160;
constexpr ShiftTable kOverLongLane(kLongLane);
constexpr ShiftTable kOverShortLane(kShortLane);

#if !defined(__SSE4_2__) && !defined(__ARM_FEATURE_CRC32)
constexpr std::array<uint32_t, 256> byte_table() {
  std::array<uint32_t, 256> out{};
  for (uint32_t i = 0; i < 256; ++i) out[i] = over_zero_byte(i);
  return out;
}
constexpr auto kByteTable = byte_table();
#endif

inline uint32_t step(uint32_t crc, uint8_t byte) {
#if defined(__SSE4_2__)
  return _mm_crc32_u8(crc, byte);
#elif defined(__ARM_FEATURE_CRC32)
  return __crc32cb(crc, byte);
#else
  return kByteTable[(crc ^ byte) & 0xff] ^ crc >> 8;
#endif
}

inline uint32_t step8(uint32_t crc, const std::byte* p) {
#if defined(__SSE4_2__) || defined(__ARM_FEATURE_CRC32)
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
#if defined(__SSE4_2__)
  return static_cast<uint32_t>(_mm_crc32_u64(crc, word));
#else
  return __crc32cd(crc, word);
#endif
#else
  for (int i = 0; i < 8; ++i) crc = step(crc, static_cast<uint8_t>(p[i]));
  return crc;
#endif
}

constexpr size_t kCacheLine = 64;
// Far enough that a line is there when its turn comes; twice a block proved best.
constexpr size_t kFetchAhead = 8192;

/// Takes 3 * `lane` bytes at `p`. `fetch`: the bytes kFetchAhead further on are wanted next.
template <bool fetch>
inline uint32_t three_lanes(uint32_t crc, const std::byte* p, size_t lane,
                            const ShiftTable& shift) {
  uint32_t b = 0;
  uint32_t c = 0;
  for (size_t i = 0; i < lane; i += 8) {
    if (fetch && i % kCacheLine == 0) {
      __builtin_prefetch(p + i + kFetchAhead);
      __builtin_prefetch(p + lane + i + kFetchAhead);
      __builtin_prefetch(p + 2 * lane + i + kFetchAhead);
    }
    crc = step8(crc, p + i);
    b = step8(b, p + lane + i);
    c = step8(c, p + 2 * lane + i);
  }
  return shift(shift(crc) ^ b) ^ c;
}

}  // namespace

namespace {

/// The register after `data`. `fetch`: what follows it is wanted next.
template <bool fetch>
uint32_t in_lanes(uint32_t crc, ByteView data) {
  const std::byte* p = data.data();
  size_t left = data.size();
  for (; left >= 3 * kLongLane; left -= 3 * kLongLane, p += 3 * kLongLane) {
    crc = three_lanes<fetch>(crc, p, kLongLane, kOverLongLane);
  }
  for (; left >= 3 * kShortLane; left -= 3 * kShortLane, p += 3 * kShortLane) {
    crc = three_lanes<false>(crc, p, kShortLane, kOverShortLane);
  }
  for (; left >= 8; left -= 8, p += 8) crc = step8(crc, p);
  for (; left > 0; --left, ++p) crc = step(crc, static_cast<uint8_t>(*p));
  return crc;
}

// False while the program's other objects are made: slower, not wrong.
const bool folds = detail::can_fold();

/// `readable` bytes from data.data() on are the caller's, and wanted next.
uint32_t extend(ByteView data, uint32_t seed, size_t readable) {
  uint32_t crc = ~seed;
  if (folds && data.size() >= detail::kFoldBytesMin) {
    crc = detail::crc32c_fold(crc, data.data(), data.size(), readable);
    data = data.subspan(data.size() / detail::kFoldUnit * detail::kFoldUnit);
    return ~in_lanes<false>(crc, data);
  }
  const bool more = readable >= data.size() + kFetchAhead;
  return ~(more ? in_lanes<true>(crc, data) : in_lanes<false>(crc, data));
}

/// The map "n zero bytes follow" for any n.
uint32_t over_zeros(uint32_t crc, uint64_t bytes) {
  Matrix power = over_zero_bytes(1);
  for (; bytes != 0; bytes >>= 1) {
    if ((bytes & 1) != 0) crc = mapped(power, crc);
    if (bytes != 1) power = after(power, power);
  }
  return crc;
}

constexpr uint64_t kUsualBlock = 4096;
constexpr ShiftTable kOverUsualBlock(kUsualBlock);

}  // namespace

uint32_t detail::crc32c_lanes(uint32_t crc, ByteView data) noexcept {
  return in_lanes<false>(crc, data);
}

uint32_t crc32c(ByteView data, uint32_t seed) noexcept {
  count_summed(data.size());
  return extend(data, seed, data.size());
}

void crc32c_blocks(ByteView data, size_t block_bytes, std::span<uint32_t> crcs) noexcept {
  count_summed(crcs.size() * block_bytes);
  for (size_t i = 0; i < crcs.size(); ++i) {
    const ByteView rest = data.subspan(i * block_bytes);
    crcs[i] = extend(rest.first(block_bytes), 0, rest.size());
  }
}

uint32_t crc32c_join(uint32_t first, uint32_t second, uint64_t second_bytes) noexcept {
  const bool usual = second_bytes == kUsualBlock;
  return (usual ? kOverUsualBlock(first) : over_zeros(first, second_bytes)) ^ second;
}

}  // namespace cairn
