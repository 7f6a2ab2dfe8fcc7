// A directory entry: its value and the reads and writes of it. Free functions over a container;
// they keep no state. Home: the container's reactor; names are borrowed until the task ends.
#pragma once

#include <sys/stat.h>

#include <array>
#include <compare>
#include <string>
#include <vector>

#include "client/client.h"
#include "dfs/entry_format.h"
#include "dfs/error.h"

namespace cairn::dfs {

struct FileTime {
  int64_t seconds = 0;
  uint32_t ns = 0;
  friend auto operator<=>(const FileTime&, const FileTime&) = default;
};
FileTime time_of_wall_ns(uint64_t wall_ns);
FileTime time_of_epoch(model::Epoch epoch);

struct Entry {
  uint32_t mode = 0;
  model::ObjectId oid;
  FileTime mtime, ctime;
  uint64_t chunk_bytes = 0;
  uint32_t class_id = 0;
  uint32_t uid = 0, gid = 0;
  uint64_t value_bytes = 0;
  model::Epoch object_epoch = 0;
  std::string target;  // symbolic links

  bool is_dir() const { return S_ISDIR(mode); }
  bool is_file() const { return S_ISREG(mode); }
  bool is_link() const { return S_ISLNK(mode); }
};

InodeRecord encode_inode(const Entry& entry);
/// The fields as stored. @error EIO  not 88 bytes, a file without a chunk size, a link that claims
/// a target longer than any path
FsResult<Entry> decode_inode(ByteView bytes);

/// Where an entry stands. Both borrowed.
struct EntryPlace {
  model::ObjectId dir;
  const std::string& name;
};

/// @error EINVAL  empty, longer than 255 bytes or with a '/'
FsResult<void> check_name(const std::string& name);

/// Reads an entry; a link's target, too. Links cost a second fetch, others one.
/// @error ENOENT  no such entry   @error EOPNOTSUPP  the name is "."   @error EIO  a damaged entry
Task<FsResult<Entry>> fetch_entry(client::Container& container, EntryPlace place);

struct Xattr {
  std::string name;  // without "x:"
  Bytes value;
};
/// Every extended attribute of an entry.
Task<FsResult<std::vector<Xattr>>> fetch_xattrs(client::Container& container, EntryPlace place);
/// Names of akeys of an entry, as stored.
Task<FsResult<std::vector<std::string>>> list_akeys(client::Container& container, EntryPlace place);

/// Writes a whole entry with its target and attributes in one atomic update; `cond` are model::cond
/// flags. @error EEXIST, ENOENT  the condition failed; nothing was written
Task<FsResult<void>> write_entry(client::Container& container, EntryPlace place, const Entry& entry,
                                 const std::vector<Xattr>& xattrs, uint64_t cond);

/// Fields of an inode to write alone.
enum class InodePart : uint32_t {
  mode = 1, ctime = 2, mtime = 4, owner = 8, chunk = 16, class_id = 32,
};
inline constexpr uint32_t operator|(InodePart a, InodePart b) {
  return static_cast<uint32_t>(a) | static_cast<uint32_t>(b);
}
/// Writes some fields of an entry that exists. `parts`: InodeParts or-ed.
/// @error ENOENT  the entry is gone; nothing came back
Task<FsResult<void>> write_inode_parts(client::Container& container, EntryPlace place,
                                       const Entry& entry, uint32_t parts);

/// The ranges of DFS_INODE that `parts` touch, and an iod for them with `buffer` pointing into
/// `record`.
model::Iod inode_parts_iod(InodeRecord& record, uint32_t parts);

/// Absent is fine.
Task<FsResult<void>> punch_entry(client::Container& container, EntryPlace place);

}  // namespace cairn::dfs
