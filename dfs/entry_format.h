// The bytes of a DFS container: superblock (version 2, layout version 3) and directory entries.
// They are those of the reference, so that either can read the other's containers;
// docs/formats/dfs.md tells it in words. All integers little-endian. Unit: bytes.
//
// Superblock: object roots[0], dkey "DFS_SB_METADATA", each akey a single value of fixed length.
// Root entry: the same object, dkey "/".  Entries: the directory's object, dkey = name.
//
// DFS_INODE, 88 bytes as an array of 1-byte records, written whole or in the ranges that change:
//   offset  size  field          meaning
//        0     4  mode           S_IFMT and permissions
//        4    16  oid            lo, hi (unaligned)
//       20     8  mtime seconds
//       28     8  ctime seconds
//       36     8  chunk bytes    files: never 0; directories: default of children, 0 unset
//       44     4  class          directories: default of children, 0 unset; files: 0
//       48     8  mtime ns
//       56     8  ctime ns
//       64     4  uid
//       68     4  gid
//       72     8  value bytes    symbolic links: length of the target; else 0
//       80     8  object epoch   newest epoch of the object when mtime was last set by hand
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/endian.h"

namespace cairn::dfs {

struct InodeRecord {
  U32le mode;
  U64le oid_lo, oid_hi;
  U64le mtime_seconds, ctime_seconds;
  U64le chunk_bytes;
  U32le class_id;
  U64le mtime_ns, ctime_ns;
  U32le uid, gid;
  U64le value_bytes;
  U64le object_epoch;
};
inline constexpr size_t kInodeBytes = 88;
static_assert(sizeof(InodeRecord) == kInodeBytes);
static_assert(offsetof(InodeRecord, oid_lo) == 4);
static_assert(offsetof(InodeRecord, mtime_seconds) == 20);
static_assert(offsetof(InodeRecord, ctime_seconds) == 28);
static_assert(offsetof(InodeRecord, chunk_bytes) == 36);
static_assert(offsetof(InodeRecord, class_id) == 44);
static_assert(offsetof(InodeRecord, mtime_ns) == 48);
static_assert(offsetof(InodeRecord, ctime_ns) == 56);
static_assert(offsetof(InodeRecord, uid) == 64);
static_assert(offsetof(InodeRecord, gid) == 68);
static_assert(offsetof(InodeRecord, value_bytes) == 72);
static_assert(offsetof(InodeRecord, object_epoch) == 80);
static_assert(std::is_trivially_copyable_v<InodeRecord>);
static_assert(std::has_unique_object_representations_v<InodeRecord>);

inline constexpr std::string_view kInodeAkey = "DFS_INODE";
inline constexpr std::string_view kTargetAkey = "DFS_SLINK";
/// In front of the name of an extended attribute.
inline constexpr std::string_view kXattrPrefix = "x:";

inline constexpr std::string_view kSuperDkey = "DFS_SB_METADATA";
inline constexpr std::string_view kRootDkey = "/";
inline constexpr std::string_view kMagicAkey = "DFS_MAGIC";
inline constexpr std::string_view kSuperVersionAkey = "DFS_SB_VERSION";
inline constexpr std::string_view kLayoutVersionAkey = "DFS_LAYOUT_VERSION";
inline constexpr std::string_view kChunkAkey = "DFS_CHUNK_SIZE";
inline constexpr std::string_view kClassAkey = "DFS_OBJ_CLASS";
inline constexpr std::string_view kDirClassAkey = "DFS_DIR_OBJ_CLASS";
inline constexpr std::string_view kFileClassAkey = "DFS_FILE_OBJ_CLASS";
inline constexpr std::string_view kConsistencyAkey = "DFS_MODE";
inline constexpr std::string_view kHintsAkey = "DFS_HINTS";

inline constexpr uint64_t kMagic = 0xda05df50da05df50;
inline constexpr uint16_t kSuperVersion = 2;
inline constexpr uint16_t kLayoutVersion = 3;

/// Container properties (DAOS_PROP_CO_*) and the layout type of POSIX.
inline constexpr uint32_t kLayoutTypeProp = 0x1002;
inline constexpr uint32_t kRootsProp = 0x1011;
inline constexpr uint64_t kLayoutPosix = 1;

/// DAOS_PROP_CO_ROOTS: four object ids; DFS uses the first two.
struct RootsRecord {
  struct Oid {
    U64le lo, hi;
  };
  Oid super, root, unused[2];
};
static_assert(sizeof(RootsRecord) == 64);

/// Object types.
inline constexpr uint8_t kDirType = 0;
inline constexpr uint8_t kFileType = 13;

}  // namespace cairn::dfs
