// Attributes: stat, chmod, chown, times, access, defaults of directories.
#include <unistd.h>

#include "dfs/mount.h"
#include "runtime/parallel.h"

namespace cairn::dfs {
namespace {

// Enough to keep a device busy while pages of the index are loaded.
constexpr size_t kStatsAtOnceMax = 32;

FsResult<void> check_access(const Entry& entry, Caller caller, int mask) {
  const unsigned shift = entry.uid == caller.uid ? 6 : entry.gid == caller.gid ? 3 : 0;
  const uint32_t granted = entry.mode >> shift & 7;
  const auto wanted = static_cast<uint32_t>(mask & (R_OK | W_OK | X_OK));
  if ((wanted & ~granted) != 0) return fs_fail(EACCES, "dfs: the permissions do not allow that");
  return done();
}

FsResult<void> check_type(uint32_t mode) {
  if (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode)) return done();
  return fs_fail(EINVAL, "dfs: the entry is of no type that DFS knows");
}

}  // namespace

Task<FsResult<Entry>> Mount::entry_of(const Node& node) {
  CO_TRY(entry, co_await fetch_entry(*container_, node.place()));
  if (entry.oid != node.oid) {
    co_return fs_fail(ENOENT, "dfs: the entry stands for another object now");
  }
  co_return std::move(entry);
}

Task<FsResult<Attributes>> Mount::attributes_of(const Entry& entry) {
  CO_TRY(known, check_type(entry.mode));
  Attributes a;
  a.mode = entry.mode;
  a.uid = entry.uid;
  a.gid = entry.gid;
  a.mtime = entry.mtime;
  a.ctime = entry.ctime;
  if (entry.is_link()) {
    a.bytes = entry.value_bytes;
    co_return a;
  }
  if (entry.is_file()) {
    CO_TRY(bytes, co_await client::array_size(container_, entry.oid, shape_of(entry.chunk_bytes)));
    a.bytes = bytes;
    a.chunk_bytes = entry.chunk_bytes;
  } else {
    a.bytes = kDirectoryBytes;
  }
  CO_TRY(epoch, co_await container_->max_epoch(entry.oid));
  if (epoch != 0) {
    const FileTime changed = time_of_epoch(epoch);
    if (epoch != entry.object_epoch) a.mtime = changed;
    a.ctime = std::max(a.ctime, changed);
  }
  co_return a;
}

Task<FsResult<Attributes>> Mount::stat(const Node& node) {
  CO_TRY(entry, co_await entry_of(node));
  co_return co_await attributes_of(entry);
}

Task<FsResult<Attributes>> Mount::stat_in(const Node& parent, const std::string& name) {
  CO_TRY(placed, check_parent(parent, name));
  CO_TRY(entry, co_await fetch_entry(*container_, {parent.oid, name}));
  co_return co_await attributes_of(entry);
}

Task<Result<void>> Mount::stat_into(const Node& parent, const std::string& name,
                                    FsResult<Attributes>& out) {
  out = co_await stat_in(parent, name);
  co_return Result<void>{};
}

Task<FsResult<std::vector<FsResult<Attributes>>>> Mount::stat_names(
    const Node& parent, const std::vector<std::string>& names) {
  std::vector<FsResult<Attributes>> all(names.size());
  std::vector<Task<Result<void>>> tasks;
  tasks.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) tasks.push_back(stat_into(parent, names[i], all[i]));
  CO_TRY(ran, co_await run_all(reactor_, std::move(tasks), kStatsAtOnceMax));
  co_return std::move(all);
}

Task<FsResult<Attributes>> Mount::set_attributes(const Node& node, Attributes wanted,
                                                 uint32_t which) {
  if ((which & ~set_attr::kAll) != 0) co_return fs_fail(EINVAL, "dfs: unknown attributes to set");
  if (which != 0) {
    CO_TRY(allowed, check_writable());
    if (!node.writable()) co_return fs_fail(EPERM, "dfs: the handle was opened read-only");
  }
  CO_TRY(entry, co_await entry_of(node));
  uint32_t parts = 0;
  if ((which & set_attr::kMode) != 0) {
    if ((wanted.mode & S_IFMT) != (entry.mode & S_IFMT)) {
      co_return fs_fail(EINVAL, "dfs: a mode must repeat the entry's type");
    }
    if ((wanted.mode & S_ISVTX) != 0) co_return fs_fail(EOPNOTSUPP, "dfs: no sticky bit");
    entry.mode = wanted.mode;
    parts |= static_cast<uint32_t>(InodePart::mode);
  }
  if ((which & set_attr::kUid) != 0) entry.uid = wanted.uid;
  if ((which & set_attr::kGid) != 0) entry.gid = wanted.gid;
  if ((which & (set_attr::kUid | set_attr::kGid)) != 0) {
    parts |= static_cast<uint32_t>(InodePart::owner);
  }
  if ((which & set_attr::kSize) != 0) {
    if (!entry.is_file()) co_return fs_fail(EIO, "dfs: only files have a size to set");
    CO_TRY(resized, co_await set_size(entry, wanted.bytes));
  }
  if ((which & set_attr::kMtime) != 0) {
    entry.mtime = wanted.mtime;
    entry.object_epoch = 0;
    if (!entry.is_link()) {
      CO_TRY(epoch, co_await container_->max_epoch(entry.oid));
      entry.object_epoch = epoch;
    }
    parts |= static_cast<uint32_t>(InodePart::mtime);
  }
  if (parts != 0) {
    entry.ctime = now();
    parts |= static_cast<uint32_t>(InodePart::ctime);
    CO_TRY(written, co_await write_inode_parts(*container_, node.place(), entry, parts));
  }
  co_return co_await attributes_of(entry);
}

Task<FsResult<void>> Mount::chmod_in(const Node& parent, const std::string& name, uint32_t mode) {
  CO_TRY(allowed, check_writable());
  if ((mode & S_ISVTX) != 0) co_return fs_fail(EOPNOTSUPP, "dfs: no sticky bit");
  CO_TRY(node, co_await follow_in(parent, name));
  if ((mode & S_IFMT) != 0 && (mode & S_IFMT) != (node.mode & S_IFMT)) {
    co_return fs_fail(EINVAL, "dfs: chmod does not change an entry's type");
  }
  Entry entry;
  entry.mode = (node.mode & S_IFMT) | (mode & ~static_cast<uint32_t>(S_IFMT));
  entry.ctime = now();
  CO_TRY(written, co_await write_inode_parts(*container_, node.place(), entry,
                                             InodePart::mode | InodePart::ctime));
  co_return done();
}

Task<FsResult<void>> Mount::chown_in(const Node& parent, const std::string& name, Caller ids,
                                     bool follow) {
  constexpr uint32_t kUnchanged = ~0u;
  CO_TRY(allowed, check_writable());
  CO_TRY(node, co_await lookup_in(parent, name, follow ? O_RDWR : O_RDWR | O_NOFOLLOW));
  if (ids.uid == kUnchanged && ids.gid == kUnchanged) co_return done();
  CO_TRY(entry, co_await entry_of(node));
  if (ids.uid != kUnchanged) entry.uid = ids.uid;
  if (ids.gid != kUnchanged) entry.gid = ids.gid;
  entry.ctime = now();
  CO_TRY(written, co_await write_inode_parts(*container_, node.place(), entry,
                                             InodePart::owner | InodePart::ctime));
  co_return done();
}

Task<FsResult<void>> Mount::access_in(const Node& parent, const std::string& name, Caller caller,
                                      int mask) {
  if ((mask & W_OK) != 0) {
    CO_TRY(allowed, check_writable());
  }
  CO_TRY(node, co_await follow_in(parent, name));
  co_return co_await access(node, caller, mask);
}

Task<FsResult<void>> Mount::access(const Node& node, Caller caller, int mask) {
  if ((mask & W_OK) != 0) {
    CO_TRY(allowed, check_writable());
  }
  CO_TRY(entry, co_await entry_of(node));
  co_return check_access(entry, caller, mask);
}

Task<FsResult<void>> Mount::set_dir_chunk(const Node& dir, uint64_t chunk_bytes) {
  CO_TRY(allowed, check_writable());
  if (!dir.is_dir()) co_return fs_fail(EOPNOTSUPP, "dfs: only directories have defaults to set");
  CO_TRY(entry, co_await entry_of(dir));
  entry.chunk_bytes = chunk_bytes;
  entry.ctime = now();
  CO_TRY(written, co_await write_inode_parts(*container_, dir.place(), entry,
                                             InodePart::chunk | InodePart::ctime));
  if (dir.oid == root_.oid) root_.chunk_bytes = chunk_bytes;
  co_return done();
}

Task<FsResult<void>> Mount::set_dir_class(const Node& dir, uint32_t class_id) {
  CO_TRY(allowed, check_writable());
  if (!dir.is_dir()) co_return fs_fail(EOPNOTSUPP, "dfs: only directories have defaults to set");
  if (class_id != 0 && !model::class_of_id(class_id)) {
    co_return fs_fail(EINVAL, "dfs: unknown object class");
  }
  CO_TRY(entry, co_await entry_of(dir));
  entry.class_id = class_id;
  entry.ctime = now();
  CO_TRY(written, co_await write_inode_parts(*container_, dir.place(), entry,
                                             InodePart::class_id | InodePart::ctime));
  if (dir.oid == root_.oid) root_.class_id = class_id;
  co_return done();
}

}  // namespace cairn::dfs
