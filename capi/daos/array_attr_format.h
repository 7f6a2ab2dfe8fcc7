// The record that keeps the sizes of an array (object type 11): single value of dkey 0, akey "0".
//   offset 0  u64  magic 0xdaca55a9daca55a9
//          8  u64  bytes per cell
//         16  u64  cells per chunk
// Little endian, 24 bytes. Part of the published layout: programs read it as an object.
#pragma once

#include <array>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"

namespace cairn::capi {

struct ArrayAttr {
  uint64_t cell_bytes = 0;
  uint64_t chunk_cells = 0;
};
inline constexpr uint64_t kArrayAttrMagic = 0xdaca55a9daca55a9;
using ArrayAttrBytes = std::array<std::byte, 24>;
static_assert(sizeof(ArrayAttrBytes) == 3 * sizeof(uint64_t));

inline ArrayAttrBytes encode(ArrayAttr attr) {
  ArrayAttrBytes out;
  store_le64(out.data(), kArrayAttrMagic);
  store_le64(out.data() + 8, attr.cell_bytes);
  store_le64(out.data() + 16, attr.chunk_cells);
  return out;
}

/// @error no_perm  some other record stands there   @error invalid  sizes that no array has
inline Result<ArrayAttr> parse_array_attr(ByteView bytes) {
  if (bytes.size() != sizeof(ArrayAttrBytes) || load_le64(bytes.data()) != kArrayAttrMagic) {
    return fail(Errc::no_perm, "array: the object holds something else");
  }
  const ArrayAttr attr{load_le64(bytes.data() + 8), load_le64(bytes.data() + 16)};
  if (attr.cell_bytes == 0 || attr.chunk_cells == 0 ||
      attr.chunk_cells > UINT64_MAX / 2 / attr.cell_bytes) {
    return fail(Errc::invalid, "array: stored with sizes that cannot be used");
  }
  return attr;
}

}  // namespace cairn::capi
