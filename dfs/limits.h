// Limits of the file system layer, with their reasons.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::dfs {

/// NAME_MAX and PATH_MAX; a path counts its NUL.
inline constexpr size_t kNameBytesMax = 255;
inline constexpr size_t kPathBytesMax = 4096;
inline constexpr size_t kXattrNameBytesMax = 255;
inline constexpr size_t kXattrValueBytesMax = 65'536;
/// With the NUL, as the superblock stores them.
inline constexpr size_t kHintsBytesMax = 128;
inline constexpr uint64_t kChunkBytesDefault = uint64_t{1} << 20;
/// Symbolic links followed in one look-up, as the reference counts them.
inline constexpr int kLinksMax = 40;
/// st_size of a directory, fixed.
inline constexpr uint64_t kDirectoryBytes = 104;
/// Names per request while a directory is walked; a page of them stays below a 64 KiB frame.
inline constexpr uint32_t kNamesPerPage = 128;
/// libdfs steps the low 32 bits of object ids by this; the store's key order undoes it.
inline constexpr uint32_t kOidStride = 999'999'937;

}  // namespace cairn::dfs
