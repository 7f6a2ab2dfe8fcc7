// Limits of the data model, with their reasons.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::model {

/// Hashed keys: the reference takes 1 MiB; above that a key is data.
inline constexpr size_t kKeyBytesMax = size_t{1} << 20;
/// Lexical keys compare whole, and an anchor (104 bytes at the C API) must hold a whole position.
inline constexpr size_t kLexicalKeyBytesMax = 96;
inline constexpr size_t kIntegerKeyBytes = 8;
/// A key part in the index: up to this many bytes whole, longer ones by this prefix and a 16-byte
/// hash.
inline constexpr size_t kKeyPrefixBytes = 64;
inline constexpr size_t kKeyHashBytes = 16;
/// The opaque part of an enumeration anchor at the C API.
inline constexpr size_t kAnchorBytes = 104;
static_assert(kKeyPrefixBytes + kKeyHashBytes + 2 <= kAnchorBytes);
static_assert(kLexicalKeyBytesMax + 2 <= kAnchorBytes);
/// Bit 63 of an array index is reserved.
inline constexpr uint64_t kArrayIndexMax = (uint64_t{1} << 63) - 1;
/// Of a system, on all machines; ranks are below it.
inline constexpr uint32_t kEnginesMax = 1024;
/// iods of one call, extents of one iod.
inline constexpr size_t kIodsMax = 65'536;
inline constexpr size_t kRecxsMax = size_t{1} << 20;
/// Longest label and attribute name (both without NUL).
inline constexpr size_t kLabelBytesMax = 127;
inline constexpr size_t kAttrNameBytesMax = 511;
inline constexpr size_t kAttrValueBytesMax = size_t{1} << 20;

}  // namespace cairn::model
