// index/page_header_format.h - the start of every page of the meta blob except the superblock,
// format 1. All integers little-endian. Unit: bytes. A page is 16,384 bytes; page n stands at
// offset n * 16,384.
//
//   offset  size  field         meaning
//        0     8  checksum      XXH3-64 of bytes [8, 16384), seeded with page_number
//        8     8  page_number   own address in pages; nonzero
//       16     4  birth         generation (checkpoint number) in which this page was
//                               allocated; a parent repeats its low 16 bits, so a stale page at
//                               a reused address is found out
//       20     1  kind          1 leaf, 2 branch, 3 bitmap of pages, 4 bitmap of blocks,
//                               5 directory of bitmaps of blocks
//       21     1  level         0 in leaves; a branch is one above its children; 0 in 3 to 5
//       22     2  reserved      zero
//       24     8  newest_stamp  no record below this page has a newer stamp (zero in 3 to 5)
//       32        the kind's own (page_format.h: leaves and branches; superblock_format.h: bitmaps)
//
// Valid iff: the checksum matches, page_number and birth are the ones that the parent named,
// reserved is zero, and the kind's own rules hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/endian.h"

namespace cairn::index {

inline constexpr size_t kPageBytes = 16 * 1024;

enum class PageKind : uint8_t {
  leaf = 1,
  branch = 2,
  page_bitmap = 3,
  block_bitmap = 4,
  block_directory = 5
};

struct PageHeader {
  U64le checksum, page_number;
  U32le birth;
  U8 kind, level;
  U16le reserved;
  U64le newest_stamp;
};
static_assert(sizeof(PageHeader) == 32);
static_assert(offsetof(PageHeader, kind) == 20);
static_assert(offsetof(PageHeader, newest_stamp) == 24);
static_assert(std::is_trivially_copyable_v<PageHeader>);
static_assert(std::has_unique_object_representations_v<PageHeader>, "padding leaks old bytes");

/// How a parent, or the superblock, names a page: 8 bytes, page number in the low 48 bits, the low
/// 16 bits of its birth above. 0: no page.
struct PageRef {
  uint64_t word = 0;
  static PageRef make(uint64_t page_number, uint32_t birth) {
    return {page_number | uint64_t{birth & 0xFFFF} << 48};
  }
  uint64_t page_number() const { return word & ((uint64_t{1} << 48) - 1); }
  uint16_t birth16() const { return static_cast<uint16_t>(word >> 48); }
  bool is_null() const { return word == 0; }
  friend bool operator==(const PageRef&, const PageRef&) = default;
};

}  // namespace cairn::index
