// vos/packed_format.h - a single value in an extent that it shares with others, format 1
// (docs/formats/flat.md). Integers little-endian. Unit: bytes.
//
//   offset  size  field          meaning
//        0     4  magic          "CVAL"
//        4     4  checksum       CRC32C of everything behind this field
//        8     4  payload_bytes  kPackedValueMin to kPackedValueMax
//       12     2  key_bytes      of the key
//       14     1  version        1
//       15     1  reserved       zero
//       16        the key of its record in the live range (vos/key_format.h), then the payload
//
// It begins at a multiple of 8 in its extent. The key is there for who finds it: the index says if
// it still counts. Valid iff magic, version and checksum hold, sizes are within their limits, and
// the key is that of a single value in the live range.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/endian.h"
#include "vos/key_format.h"

namespace cairn::vos {

inline constexpr uint32_t kPackedMagic = 0x4C'41'56'43;  // "CVAL"
inline constexpr uint8_t kPackedVersion = 1;
/// Smaller values cost more in an extent than in a page; larger ones have blocks of their own.
inline constexpr uint64_t kPackedValueMin = 256;
inline constexpr uint64_t kPackedValueMax = 4095;

struct PackedHeader {
  U32le magic, checksum, payload_bytes;
  U16le key_bytes;
  U8 version, reserved;
};
static_assert(sizeof(PackedHeader) == 16);
static_assert(offsetof(PackedHeader, key_bytes) == 12);
static_assert(std::is_trivially_copyable_v<PackedHeader>);
static_assert(std::has_unique_object_representations_v<PackedHeader>, "padding leaks old bytes");
static_assert(Key::kRoom <= UINT16_MAX);

/// What a value takes in its extent.
inline uint64_t packed_bytes(uint64_t key_bytes, uint64_t payload_bytes) {
  return sizeof(PackedHeader) + key_bytes + payload_bytes;
}
/// Appends one. Preconditions: the limits above; `out` ends at a multiple of 8.
void put_packed_value(Bytes& out, ByteView key, ByteView payload);

/// Borrows its bytes.
struct PackedValue {
  ByteView key, payload;
  ParsedKey parsed;
};
/// One that begins here; what follows is not looked at. @error checksum, format_newer
Result<PackedValue> parse_packed_value(ByteView bytes);

}  // namespace cairn::vos
