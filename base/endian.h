// Little-endian integers for *_format.h structs: alignment 1, no padding, explicit get().
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cairn {

static_assert(std::endian::native == std::endian::little ||
              std::endian::native == std::endian::big);

template <class T>
class LittleEndian {
  static_assert(std::is_unsigned_v<T>);

 public:
  constexpr LittleEndian() = default;
  constexpr LittleEndian(T value) { set(value); }  // NOLINT: a format field takes plain numbers
  constexpr T get() const {
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | T{bytes_[i]} << (8 * i));
    return value;
  }
  constexpr void set(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) bytes_[i] = static_cast<uint8_t>(value >> (8 * i));
  }
  friend constexpr bool operator==(const LittleEndian&, const LittleEndian&) = default;

 private:
  uint8_t bytes_[sizeof(T)] = {};
};

using U8 = uint8_t;
using U16le = LittleEndian<uint16_t>;
using U32le = LittleEndian<uint32_t>;
using U64le = LittleEndian<uint64_t>;
static_assert(sizeof(U64le) == 8 && alignof(U64le) == 1);
static_assert(std::has_unique_object_representations_v<U64le>);

inline uint32_t load_le32(const void* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return std::endian::native == std::endian::little ? v : __builtin_bswap32(v);
}
inline uint64_t load_le64(const void* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return std::endian::native == std::endian::little ? v : __builtin_bswap64(v);
}
inline void store_le32(void* p, uint32_t v) {
  if (std::endian::native != std::endian::little) v = __builtin_bswap32(v);
  std::memcpy(p, &v, 4);
}
inline void store_le64(void* p, uint64_t v) {
  if (std::endian::native != std::endian::little) v = __builtin_bswap64(v);
  std::memcpy(p, &v, 8);
}
inline uint64_t load_be64(const void* p) { return __builtin_bswap64(load_le64(p)); }
inline void store_be64(void* p, uint64_t v) { store_le64(p, __builtin_bswap64(v)); }
inline uint32_t load_be32(const void* p) { return __builtin_bswap32(load_le32(p)); }
inline void store_be32(void* p, uint32_t v) { store_le32(p, __builtin_bswap32(v)); }

}  // namespace cairn
