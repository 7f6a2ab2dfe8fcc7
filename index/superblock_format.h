// index/superblock_format.h - the superblock, the bitmap pages and the directory pages of the meta
// blob, format 2; and format 1, which has no directories.
// All integers little-endian. Unit: bytes, pages of 16,384 where it says so.
//
// Places. A superblock has a slot of 65,536 bytes (4 pages) and uses its first `bytes` bytes.
// Generation g stands in slot g % 2, twice: at page (g % 2) * 4 and at page
// meta_pages - 8 + (g % 2) * 4. Pages 8 .. meta_pages - 9 are for tree and bitmaps.
//
//   offset  size  field             meaning
//        0     8  magic             "CairnSup"
//        8     4  version           2; 1 in stores of before, until their next checkpoint
//       12     4  bytes             of the superblock: a multiple of 4,096, at most 65,536
//       16     8  checksum          XXH3-64 of all `bytes` bytes, this field taken as zero
//       24     4  generation        of this superblock; 1 at creation, higher in each later one
//       28     4  incarnation       of the newest opening; the log's writes carry it
//       32    16  store_id          random, made at creation
//       48    16  owner_tag         the owner's, for example the pool's UUID
//       64     4  page_bytes        16,384
//       68     4  chunk_bytes       bytes of bits in a bitmap page: 16,320
//       72     8  meta_pages        pages of the meta blob
//       80     8  data_blocks       4 KiB blocks of the data blob
//       88     8  wal_bytes         length of the log's ring
//       96     8  root              PageRef of the tree's root; 0: an empty tree
//      104     8  log_position      replay begins here; a multiple of 4,096
//      112     4  log_predecessor   checksum of the log write before it
//      116     4  reserved          zero
//      120     8  epoch_highest     highest epoch issued up to log_position
//      128     8  read_lease        no read timestamp up to log_position is above it
//      136     4  page_chunk_count  ceil((meta_pages - 8) / 130,560)
//      140     4  data_ref_count    chunks = ceil(data_blocks / 130,560); 2 * ceil(chunks / 1,020);
//                                   in format 1 chunks
//      144        page_chunks       page_chunk_count PageRefs of bitmap pages; 0: all bits zero
//      ...        data_directories  data_ref_count PageRefs of directory pages, two of each number,
//                                   which say the same; 0: all of it zero; in format 1 of bitmap
//                                   pages; 0: all bits zero
//      ...        padding           zero up to `bytes`, which leaves less than 4,096 of it
//
// The first 24 bytes keep their places and meaning in every later version.
// Valid iff: magic, version, checksum, the lengths fit each other, reserved and padding are zero.
//
// A bitmap page: the page header (page_header_format.h; kind 3 or 4, level 0, newest_stamp 0), then
//
//   offset  size  field     meaning
//       32     8  chunk     its number
//       40    24  reserved  zero
//       64 16320  bits      bit i, least significant first: page or block chunk * 130,560 + i is
//                            owned
//
// A directory page: the same first 64 bytes (kind 5; `chunk` is the directory's number), then 1,020
// entries of 16 bytes. Entry i is of chunk `number * 1,020 + i` of the data blob:
//
//        0     8  bitmap    PageRef of its bitmap page; 0: all bits zero
//        8     4  used      bits that are set; of a lost chunk, blocks that records own
//       12     4  run_max   no free run is longer, as far as is known: up to 130,560; 0xFFFFFFFF:
//                           lost: the bitmap page could not be read and is not believed any more,
//                           so none of the chunk's blocks is handed out; `used` counts on
//
// Valid iff: used <= 130,560, and the blocks of the chunk; without a bitmap used is zero, or the
// chunk is lost; entries behind the last chunk are zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/endian.h"
#include "base/result.h"
#include "index/page_header_format.h"

namespace cairn::index {

inline constexpr uint64_t kSuperblockMagic = 0x7075536E72696143;  // "CairnSup"
inline constexpr uint32_t kSuperblockVersion = 2;
inline constexpr uint32_t kVersionWithoutDirectories = 1;
inline constexpr size_t kSuperblockBytesMax = 64 * 1024;
inline constexpr size_t kSuperblockUnit = 4096;
inline constexpr uint64_t kSuperblockPages = kSuperblockBytesMax / kPageBytes;
inline constexpr uint64_t kSuperblockCopies = 2;
/// Pages at either end of the blob that hold superblocks: two slots.
inline constexpr uint64_t kEdgePages = 2 * kSuperblockPages;
static_assert(kEdgePages == 8, "the comment above states this number");

struct SuperblockHeader {
  U64le magic;
  U32le version, bytes;
  U64le checksum;
  U32le generation, incarnation;
  U64le store_id[2], owner_tag[2];
  U32le page_bytes, chunk_bytes;
  U64le meta_pages, data_blocks, wal_bytes;
  U64le root;
  U64le log_position;
  U32le log_predecessor, reserved;
  U64le epoch_highest, read_lease;
  U32le page_chunk_count, data_ref_count;
};
static_assert(sizeof(SuperblockHeader) == 144);
static_assert(offsetof(SuperblockHeader, checksum) == 16);
static_assert(offsetof(SuperblockHeader, page_bytes) == 64);
static_assert(offsetof(SuperblockHeader, root) == 96);
static_assert(offsetof(SuperblockHeader, epoch_highest) == 120);
static_assert(std::is_trivially_copyable_v<SuperblockHeader>);
static_assert(std::has_unique_object_representations_v<SuperblockHeader>,
              "padding leaks old bytes");

inline constexpr size_t kChunkRefsMax =
    (kSuperblockBytesMax - sizeof(SuperblockHeader)) / sizeof(uint64_t);

struct BitmapHeader {
  PageHeader page;
  U64le chunk;
  U64le reserved[3];
};
static_assert(sizeof(BitmapHeader) == 64);
static_assert(std::has_unique_object_representations_v<BitmapHeader>, "padding leaks old bytes");

inline constexpr size_t kChunkBytes = kPageBytes - sizeof(BitmapHeader);
inline constexpr uint64_t kChunkBits = kChunkBytes * 8;
static_assert(kChunkBits == 130'560, "the comment above states this number");
static_assert(kChunkBytes % sizeof(uint64_t) == 0);

struct DirectoryEntry {
  U64le bitmap;
  U32le used, run_max;
};
static_assert(sizeof(DirectoryEntry) == 16);
static_assert(std::has_unique_object_representations_v<DirectoryEntry>, "padding leaks old bytes");

inline constexpr uint64_t kDirectoryChunks = kChunkBytes / sizeof(DirectoryEntry);
static_assert(kDirectoryChunks == 1'020, "the comment above states this number");
inline constexpr uint32_t kChunkLost = 0xFFFFFFFF;

/// What a directory says of one chunk.
struct ChunkEntry {
  PageRef bitmap;
  uint32_t used = 0;
  uint32_t run_max = 0;
  bool lost = false;
};

/// What a superblock says.
struct Superblock {
  uint32_t version = kSuperblockVersion;
  uint32_t generation = 0;
  uint32_t incarnation = 0;
  uint64_t store_id[2] = {};
  uint64_t owner_tag[2] = {};
  uint64_t meta_pages = 0, data_blocks = 0, wal_bytes = 0;
  PageRef root;
  uint64_t log_position = 0;
  uint32_t log_predecessor = 0;
  uint64_t epoch_highest = 0, read_lease = 0;
  std::vector<PageRef> page_chunks;
  std::vector<PageRef> data_directories;  // kDirectoryCopies of each, one beside the other
  std::vector<PageRef> data_chunks;  // in format 1, which has no directories
};

/// Where copy 0 or 1 of the superblock of `generation` begins, in bytes of a blob of `meta_pages`
/// pages.
constexpr uint64_t superblock_offset(uint64_t meta_pages, uint32_t generation, uint64_t copy) {
  const uint64_t slot_page = generation % 2 * kSuperblockPages;
  return (copy == 0 ? slot_page : meta_pages - kEdgePages + slot_page) * kPageBytes;
}
constexpr uint64_t chunk_count(uint64_t bits) { return (bits + kChunkBits - 1) / kChunkBits; }
constexpr uint64_t directory_count(uint64_t blocks) {
  return (chunk_count(blocks) + kDirectoryChunks - 1) / kDirectoryChunks;
}

inline constexpr uint64_t kDirectoryCopies = 2;
constexpr uint64_t directory_ref_count(uint64_t blocks) {
  return directory_count(blocks) * kDirectoryCopies;
}

/// The bytes of a superblock. Precondition: its chunk lists fit (kChunkRefsMax).
Bytes encode_superblock(const Superblock& superblock);
/// Parses a whole slot (kSuperblockBytesMax bytes).
/// @error nonexistent     no superblock was ever written here
/// @error checksum        torn or damaged
/// @error format_newer    whole, but of a newer version
/// @error format_invalid  whole, but its content breaks the rules
Result<Superblock> parse_superblock(ByteView slot);

/// Fills header and checksum of a bitmap page whose bits stand at sizeof(BitmapHeader), or of a
/// directory page with its entries there.
void seal_bitmap(ByteSpan page, PageKind kind, PageRef ref, uint32_t birth, uint64_t chunk);
/// The bits of a bitmap page, or a directory's entries. @error checksum
Result<ByteView> open_bitmap(ByteView page, PageKind kind, PageRef ref, uint64_t chunk);

/// The chunks that a directory of a blob of `data_blocks` is for.
constexpr uint64_t directory_chunks(uint64_t directory, uint64_t data_blocks) {
  const uint64_t chunks = chunk_count(data_blocks), first = directory * kDirectoryChunks;
  return std::min(kDirectoryChunks, chunks - first);
}
/// The entries of directory number `directory`, which is one of a blob of `data_blocks`.
/// @param entries  kChunkBytes bytes    @error checksum
Result<std::vector<ChunkEntry>> parse_directory(ByteView entries, uint64_t directory,
                                                uint64_t data_blocks);
/// @param entries  kChunkBytes bytes, zero
void encode_directory(const std::vector<ChunkEntry>& chunks, ByteSpan entries);

}  // namespace cairn::index
