// What the files of dfs_sys share: paths, and the cache of directories.
#pragma once

#include <list>
#include <unordered_map>

#include "capi/dfs/internal.h"

namespace cairn::capi {

/// An open directory that calls in progress share with the cache.
using DirPtr = std::shared_ptr<dfs_obj_t>;

/// The least recently used go first. Home: the mutex of its dfs_sys.
class DirCache {
 public:
  DirPtr find(const std::string& path);
  void insert(const std::string& path, DirPtr dir);
  /// Forgets a path and all below it.
  void drop(const std::string& path);

 private:
  static constexpr size_t kDirsMax = 4096;
  using Order = std::list<std::pair<std::string, DirPtr>>;
  Order order_;  // the newest in front
  std::unordered_map<std::string, Order::iterator> by_path_;
};

/// A path cut up. Root: `dir` empty and no name.
struct SysPath {
  DirPtr dir;          // null: the root directory
  std::string dir_path;
  std::string name;    // empty: the root itself
  dfs_obj_t* parent() const { return dir.get(); }
  const char* name_or_null() const { return name.empty() ? nullptr : name.c_str(); }
};

}  // namespace cairn::capi

/// dfs_sys_t.
struct dfs_sys {
  dfs_t* dfs = nullptr;
  bool cached = true;
  std::mutex mutex;
  cairn::capi::DirCache cache;
};

namespace cairn::capi {

/// Cuts `path` and opens the directory that its last component is in.
/// @returns 0, EINVAL (not absolute), EOPNOTSUPP ("." and ".."), ENOENT, ...
int parse_sys_path(dfs_sys_t* sys, const char* path, SysPath& out);

/// The entry of a path, opened. `flags`: O_NOFOLLOW and the access mode.
int open_sys_path(dfs_sys_t* sys, const char* path, int flags, dfs_obj_t** obj);

}  // namespace cairn::capi
