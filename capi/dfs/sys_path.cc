#include "capi/dfs/sys.h"

namespace cairn::capi {

DirPtr DirCache::find(const std::string& path) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return found->second->second;
}

void DirCache::insert(const std::string& path, DirPtr dir) {
  if (by_path_.contains(path)) return;
  order_.emplace_front(path, std::move(dir));
  by_path_[path] = order_.begin();
  if (order_.size() <= kDirsMax) return;
  by_path_.erase(order_.back().first);
  order_.pop_back();
}

void DirCache::drop(const std::string& path) {
  for (auto at = order_.begin(); at != order_.end();) {
    const std::string& known = at->first;
    const bool below = known.starts_with(path) &&
                       (known.size() == path.size() || known[path.size()] == '/');
    if (below) by_path_.erase(known);
    at = below ? order_.erase(at) : std::next(at);
  }
}

namespace {

void release_dir(dfs_obj_t* dir) { (void)dfs_release(dir); }

/// Components without empty ones. @error EOPNOTSUPP
FsResult<std::vector<std::string>> components_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (part == "." || part == "..") {
      return dfs::fs_fail(EOPNOTSUPP, "dfs_sys: '.' and '..' in a path");
    }
    if (!part.empty()) parts.emplace_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

int open_dir(dfs_sys_t* sys, const std::string& path, DirPtr& out) {
  if (sys->cached) {
    std::lock_guard lock(sys->mutex);
    out = sys->cache.find(path);
    if (out != nullptr) return 0;
  }
  dfs_obj_t* obj = nullptr;
  mode_t mode = 0;
  const int rc = dfs_lookup(sys->dfs, path.c_str(), O_RDWR, &obj, &mode, nullptr);
  if (rc != 0) return rc;
  out = {obj, release_dir};
  if (!S_ISDIR(mode)) return ENOTDIR;
  if (!sys->cached) return 0;
  std::lock_guard lock(sys->mutex);
  sys->cache.insert(path, out);
  return 0;
}

}  // namespace

int parse_sys_path(dfs_sys_t* sys, const char* path, SysPath& out) {
  if (sys == nullptr || path == nullptr || path[0] != '/') return EINVAL;
  if (strnlen(path, DFS_MAX_PATH) == DFS_MAX_PATH) return EINVAL;
  auto parts = components_of(path);
  if (!parts) return parts.error().number();
  if (parts->empty()) return 0;
  std::string prefix;
  {
    std::lock_guard lock(sys->dfs->mutex);
    prefix = sys->dfs->prefix;
  }
  std::string whole;
  for (const std::string& part : *parts) whole += "/" + part;
  if (whole == prefix) return 0;  // the prefix itself is the root
  out.name = std::move(parts->back());
  out.dir_path = whole.substr(0, whole.size() - out.name.size() - 1);
  if (out.dir_path.empty()) {
    if (prefix.empty()) return 0;
    out.dir_path = "/";
  }
  return open_dir(sys, out.dir_path, out.dir);
}

int open_sys_path(dfs_sys_t* sys, const char* path, int flags, dfs_obj_t** obj) {
  SysPath at;
  const int rc = parse_sys_path(sys, path, at);
  if (rc != 0) return rc;
  if (at.name.empty()) return dfs_lookup(sys->dfs, "/", flags, obj, nullptr, nullptr);
  return dfs_lookup_rel(sys->dfs, at.parent(), at.name.c_str(), flags, obj, nullptr, nullptr);
}

}  // namespace cairn::capi
