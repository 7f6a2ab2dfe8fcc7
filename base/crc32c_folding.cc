// How it works. A message is a polynomial over GF(2); its CRC is the remainder modulo P.
// Multiplying a part by x^n mod P moves it n bits up without changing the remainder of the whole,
// so parts can be added ("folded") onto later ones until one of 128 bits is left, whose CRC the
// instruction takes. Bits are reflected: bit 0 of a word is its highest power. A carry-less product
// of two reflected 64-bit words is short by one power of x, and a constant of 32 bits in the low
// half of a word by another 32, so the constant for n bits is x^(n - 33) mod P.
#include "base/crc32c_folding.h"

#if defined(__x86_64__) && defined(__SSE4_2__)
#include <immintrin.h>
#endif

namespace cairn::detail {

#if defined(__x86_64__) && defined(__SSE4_2__)

namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected
constexpr size_t kUnit = kFoldUnit;
constexpr size_t kLanes = 4;  // independent, to keep the multiplier busy
constexpr size_t kFetchAhead = 8192;

/// x^n mod P, reflected.
constexpr uint32_t power_of_x(unsigned n) {
  uint32_t out = uint32_t{1} << 31;
  for (; n != 0; --n) out = (out >> 1) ^ ((out & 1) != 0 ? kPolynomial : 0);
  return out;
}

/// What the two halves of 128 bits are multiplied with to go `bits` up: the first half, which comes
/// earlier in memory, is 64 bits further up already.
struct Fold {
  long long first;
  long long second;
};
constexpr Fold fold_over(unsigned bits) {
  return {static_cast<long long>(power_of_x(bits + 64 - 33)),
          static_cast<long long>(power_of_x(bits - 33))};
}
constexpr Fold kOverAll = fold_over(8 * kUnit * kLanes);
constexpr Fold kOverUnit = fold_over(8 * kUnit);
constexpr Fold kOver384 = fold_over(384);
constexpr Fold kOver256 = fold_over(256);
constexpr Fold kOver128 = fold_over(128);

#define CAIRN_FOLDS __attribute__((target("avx512f,avx512vl,avx512dq,vpclmulqdq,pclmul,sse4.2")))

CAIRN_FOLDS inline __m512i four_times(Fold fold) {
  return _mm512_set_epi64(fold.second, fold.first, fold.second, fold.first, fold.second, fold.first,
                          fold.second, fold.first);
}

/// `value` moved up, and `next` added.
CAIRN_FOLDS inline __m512i folded(__m512i value, __m512i by, __m512i next) {
  const __m512i first = _mm512_clmulepi64_epi128(value, by, 0x00);
  const __m512i second = _mm512_clmulepi64_epi128(value, by, 0x11);
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(first, second, next, kXorOfThree);
}

CAIRN_FOLDS inline __m128i moved(__m128i value, Fold fold) {
  const __m128i by = _mm_set_epi64x(fold.second, fold.first);
  return _mm_xor_si128(_mm_clmulepi64_si128(value, by, 0x00),
                       _mm_clmulepi64_si128(value, by, 0x11));
}

CAIRN_FOLDS inline __m512i load(const std::byte* p) { return _mm512_loadu_si512(p); }

/// The register after the 64 bytes of `value`, which hold what came before.
CAIRN_FOLDS inline uint32_t remainder_of(__m512i value) {
  __m128i rest = _mm512_extracti64x2_epi64(value, 3);
  rest = _mm_xor_si128(rest, moved(_mm512_extracti64x2_epi64(value, 0), kOver384));
  rest = _mm_xor_si128(rest, moved(_mm512_extracti64x2_epi64(value, 1), kOver256));
  rest = _mm_xor_si128(rest, moved(_mm512_extracti64x2_epi64(value, 2), kOver128));
  const uint64_t crc = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_extract_epi64(rest, 0)));
  return static_cast<uint32_t>(
      _mm_crc32_u64(crc, static_cast<uint64_t>(_mm_extract_epi64(rest, 1))));
}

}  // namespace

bool can_fold() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("vpclmulqdq");
}

CAIRN_FOLDS uint32_t crc32c_fold(uint32_t crc, const std::byte* p, size_t bytes,
                                 size_t readable) noexcept {
  const std::byte* const readable_end = p + readable;
  __m512i lanes[kLanes];
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = load(p + i * kUnit);
  // What came before is added to the first bits.
  lanes[0] =
      _mm512_xor_si512(lanes[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc))));
  p += kLanes * kUnit;
  bytes -= kLanes * kUnit;
  const __m512i over_all = four_times(kOverAll);
  for (; bytes >= kLanes * kUnit; bytes -= kLanes * kUnit, p += kLanes * kUnit) {
    const bool fetch = static_cast<size_t>(readable_end - p) >= kFetchAhead + kLanes * kUnit;
    for (size_t i = 0; i < kLanes; ++i) {
      if (fetch) __builtin_prefetch(p + i * kUnit + kFetchAhead);
      lanes[i] = folded(lanes[i], over_all, load(p + i * kUnit));
    }
  }
  const __m512i over_unit = four_times(kOverUnit);
  __m512i rest = lanes[0];
  for (size_t i = 1; i < kLanes; ++i) rest = folded(rest, over_unit, lanes[i]);
  for (; bytes >= kUnit; bytes -= kUnit, p += kUnit) rest = folded(rest, over_unit, load(p));
  return remainder_of(rest);
}

#else

bool can_fold() noexcept { return false; }

uint32_t crc32c_fold(uint32_t crc, const std::byte*, size_t, size_t) noexcept { return crc; }

#endif

}  // namespace cairn::detail
