// Runs of bits in words: what the maps of free blocks look for.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

namespace cairn::media {

inline constexpr uint64_t kWordBits = 64;

inline bool is_set(std::span<const uint64_t> bits, uint64_t at) {
  return (bits[at / kWordBits] >> (at % kWordBits) & 1) != 0;
}

/// The bits of [from, to) inside one word.
inline uint64_t word_mask(uint64_t word, uint64_t from, uint64_t to) {
  uint64_t mask = ~uint64_t{0};
  if (from > word * kWordBits) mask &= ~uint64_t{0} << (from % kWordBits);
  if (to < (word + 1) * kWordBits) mask &= (uint64_t{1} << (to % kWordBits)) - 1;
  return mask;
}

inline void set_bits(std::span<uint64_t> bits, uint64_t from, uint64_t to, bool value) {
  for (uint64_t w = from / kWordBits; w * kWordBits < to; ++w) {
    const uint64_t mask = word_mask(w, from, to);
    bits[w] = value ? bits[w] | mask : bits[w] & ~mask;
  }
}

inline uint64_t count_bits(std::span<const uint64_t> bits, uint64_t from, uint64_t to) {
  uint64_t count = 0;
  for (uint64_t w = from / kWordBits; w * kWordBits < to; ++w) {
    count += static_cast<uint64_t>(std::popcount(bits[w] & word_mask(w, from, to)));
  }
  return count;
}

/// First bit in [from, to) that equals `value`; `to` if there is none.
inline uint64_t find_bit(std::span<const uint64_t> bits, uint64_t from, uint64_t to, bool value) {
  for (uint64_t w = from / kWordBits; from < to && w * kWordBits < to; ++w) {
    const uint64_t word = (value ? bits[w] : ~bits[w]) & word_mask(w, from, to);
    if (word != 0) return w * kWordBits + static_cast<uint64_t>(std::countr_zero(word));
  }
  return to;
}

}  // namespace cairn::media
