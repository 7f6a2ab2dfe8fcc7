// service/config_format.h - records of the embedded ConfigStore, format 1. All integers
// little-endian. A record's key is the ConfigStore key in bytes. The record whose key is one zero
// byte holds only a header: its `modified` is the newest revision.
//
//   offset  size  field          meaning
//        0     8  modified       revision of the commit that wrote the value (the tree's stamp)
//        8     4  format         1; anything else was written by a newer version
//       12     4  value_bytes    0..kConfigValueBytesMax
//       16     4  value_crc32c   of the value
//       20     4  extent_count   0: the value follows here; else it lies in the extents that follow
//       24  16*n  extents        block (8), count (4), zero (4)
//        .     n  value          if extent_count is 0
//
// Valid iff: the lengths agree exactly, an inline value is at most kConfigInlineBytesMax, extents
// hold it.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"
#include "media/space.h"

namespace cairn::service {

struct ConfigHeader {
  U64le modified;
  U32le format, value_bytes, value_crc32c, extent_count;
};
static_assert(sizeof(ConfigHeader) == 24);
static_assert(offsetof(ConfigHeader, format) == 8);
static_assert(offsetof(ConfigHeader, extent_count) == 20);
static_assert(std::has_unique_object_representations_v<ConfigHeader>);

struct ConfigExtent {
  U64le block;
  U32le count, reserved;
};
static_assert(sizeof(ConfigExtent) == 16);

inline constexpr uint32_t kConfigFormat = 1;
inline constexpr size_t kConfigInlineBytesMax = 3072;
inline constexpr size_t kConfigExtentsMax = 128;

/// A record taken apart.
struct ConfigValue {
  uint64_t modified = 0;
  uint32_t bytes = 0, crc = 0;  // of the value
  Bytes inline_value;
  std::vector<media::Extent> extents;  // empty: the value is inline_value
};
/// @error checksum  malformed or damaged   @error format_newer  written by a newer version
Result<ConfigValue> parse_config_value(ByteView raw);
/// The record of `value`, which stands in `extents` unless there are none. Precondition: it is at
/// most kConfigInlineBytesMax long then.
Bytes encode_config_value(uint64_t modified, ByteView value,
                          const std::vector<media::Extent>& extents);

}  // namespace cairn::service
