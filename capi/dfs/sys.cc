// dfs_sys: libdfs by absolute path. Each call cuts its path, takes the directory from the cache or
// looks it up, and calls libdfs. A cached directory that somebody removed answers like an open one:
// its entries are gone.
#include <cstring>
#include <new>

#include "capi/dfs/sys.h"

using namespace cairn::capi;

namespace {

/// Opens the entry of a path for as long as it lives.
class Opened {
 public:
  Opened(dfs_sys_t* sys, const char* path, int flags)
      : rc_(open_sys_path(sys, path, flags, &obj_)) {}
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    if (obj_ != nullptr) (void)dfs_release(obj_);
  }
  int rc() const { return rc_; }
  dfs_obj_t* get() const { return obj_; }

 private:
  dfs_obj_t* obj_ = nullptr;
  int rc_;
};

int access_flags(int mode, int flags) { return mode | (flags & O_NOFOLLOW); }

}  // namespace

int dfs_sys_access(dfs_sys_t* dfs_sys, const char* path, int mask, int flags) try {
  if ((flags & AT_EACCESS) != 0) return ENOTSUP;
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  if (rc != 0) return rc;
  if ((flags & O_NOFOLLOW) == 0 || at.name.empty()) {
    return dfs_access(dfs_sys->dfs, at.parent(), at.name_or_null(), mask);
  }
  const Opened link(dfs_sys, path, O_RDONLY | O_NOFOLLOW);
  if (link.rc() != 0) return link.rc();
  const NodePtr node = node_of(link.get());
  return cairn::capi::errno_of(run_fs(dfs_sys->dfs->mount->access(*node, caller(), mask)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_chmod(dfs_sys_t* dfs_sys, const char* path, mode_t mode) try {
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  return rc != 0 ? rc : dfs_chmod(dfs_sys->dfs, at.parent(), at.name_or_null(), mode);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_chown(dfs_sys_t* dfs_sys, const char* path, uid_t uid, gid_t gid, int flags) try {
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  return rc != 0 ? rc : dfs_chown(dfs_sys->dfs, at.parent(), at.name_or_null(), uid, gid, flags);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_setattr(dfs_sys_t* dfs_sys, const char* path, struct stat* stbuf, int flags,
                    int sflags) try {
  const Opened entry(dfs_sys, path, access_flags(O_RDWR, sflags));
  return entry.rc() != 0 ? entry.rc()
                         : dfs_osetattr(dfs_sys->dfs, entry.get(), stbuf, flags);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_utimens(dfs_sys_t* dfs_sys, const char* path, const struct timespec* times,
                    int flags) try {
  struct stat st{};
  if (times != nullptr) {
    st.st_atim = times[0];
    st.st_mtim = times[1];
  } else if (dfs_sys != nullptr) {
    auto& clock = dfs_sys->dfs->mount->container()->pool().system().context().reactor().clock();
    const auto now = cairn::dfs::time_of_wall_ns(clock.wall_ns());
    st.st_mtim = {static_cast<time_t>(now.seconds), static_cast<long>(now.ns)};
  }
  return dfs_sys_setattr(dfs_sys, path, &st, DFS_SET_ATTR_ATIME | DFS_SET_ATTR_MTIME, flags);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_stat(dfs_sys_t* dfs_sys, const char* path, int flags, struct stat* stbuf) try {
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  if (rc != 0) return rc;
  if ((flags & O_NOFOLLOW) != 0 || at.name.empty()) {
    return dfs_stat(dfs_sys->dfs, at.parent(), at.name_or_null(), stbuf);
  }
  dfs_obj_t* obj = nullptr;
  const int found = dfs_lookup_rel(dfs_sys->dfs, at.parent(), at.name.c_str(), O_RDONLY, &obj,
                                   nullptr, nullptr);
  if (found != 0) return found;
  const int told = dfs_ostat(dfs_sys->dfs, obj, stbuf);
  (void)dfs_release(obj);
  return told;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_mknod(dfs_sys_t* dfs_sys, const char* path, mode_t mode, daos_oclass_id_t cid,
                  daos_size_t chunk_size) try {
  if (!S_ISREG(mode) && !S_ISDIR(mode)) return EINVAL;
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  if (rc != 0) return rc;
  if (at.name.empty()) return EEXIST;
  dfs_obj_t* obj = nullptr;
  const int made = dfs_open(dfs_sys->dfs, at.parent(), at.name.c_str(), mode,
                            O_CREAT | O_EXCL | O_RDWR, cid, chunk_size, nullptr, &obj);
  if (made == 0) (void)dfs_release(obj);
  return made;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_listxattr(dfs_sys_t* dfs_sys, const char* path, char* list, daos_size_t* size,
                      int flags) try {
  if (size == nullptr) return EINVAL;
  const Opened entry(dfs_sys, path, access_flags(O_RDONLY, flags));
  if (entry.rc() != 0) return entry.rc();
  const daos_size_t room = list == nullptr ? 0 : *size;
  const int rc = dfs_listxattr(dfs_sys->dfs, entry.get(), list, size);
  return rc == 0 && *size > room ? ERANGE : rc;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_getxattr(dfs_sys_t* dfs_sys, const char* path, const char* name, void* value,
                     daos_size_t* size, int flags) try {
  if (size == nullptr) return EINVAL;
  const Opened entry(dfs_sys, path, access_flags(O_RDONLY, flags));
  if (entry.rc() != 0) return entry.rc();
  const daos_size_t room = value == nullptr ? 0 : *size;
  const int rc = dfs_getxattr(dfs_sys->dfs, entry.get(), name, value, size);
  return rc == 0 && *size > room ? ERANGE : rc;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_setxattr(dfs_sys_t* dfs_sys, const char* path, const char* name, const void* value,
                     daos_size_t size, int flags, int sflags) try {
  const Opened entry(dfs_sys, path, access_flags(O_RDWR, sflags));
  return entry.rc() != 0
             ? entry.rc()
             : dfs_setxattr(dfs_sys->dfs, entry.get(), name, value, size, flags);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_removexattr(dfs_sys_t* dfs_sys, const char* path, const char* name, int flags) try {
  const Opened entry(dfs_sys, path, access_flags(O_RDWR, flags));
  return entry.rc() != 0 ? entry.rc() : dfs_removexattr(dfs_sys->dfs, entry.get(), name);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_readlink(dfs_sys_t* dfs_sys, const char* path, char* buf, daos_size_t* size) try {
  const Opened entry(dfs_sys, path, O_RDONLY | O_NOFOLLOW);
  return entry.rc() != 0 ? entry.rc() : dfs_get_symlink_value(entry.get(), buf, size);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_symlink(dfs_sys_t* dfs_sys, const char* target, const char* path) try {
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  if (rc != 0) return rc;
  if (at.name.empty()) return EEXIST;
  dfs_obj_t* obj = nullptr;
  const int made = dfs_open(dfs_sys->dfs, at.parent(), at.name.c_str(), S_IFLNK,
                            O_CREAT | O_EXCL | O_RDWR, 0, 0, target, &obj);
  if (made == 0) (void)dfs_release(obj);
  return made;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_open(dfs_sys_t* dfs_sys, const char* path, mode_t mode, int flags, daos_oclass_id_t cid,
                 daos_size_t chunk_size, const char* value, dfs_obj_t** obj) try {
  if (obj == nullptr) return EINVAL;
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  if (rc != 0) return rc;
  if (at.name.empty()) {
    return S_ISDIR(mode) ? dfs_lookup(dfs_sys->dfs, "/", flags, obj, nullptr, nullptr) : EINVAL;
  }
  if ((flags & O_NOFOLLOW) == 0 && !S_ISLNK(mode)) {
    // A link stands for what it leads to.
    mode_t found = 0;
    const int seen = dfs_lookup_rel(dfs_sys->dfs, at.parent(), at.name.c_str(),
                                    O_RDONLY | O_NOFOLLOW, obj, &found, nullptr);
    if (seen == 0) (void)dfs_release(*obj);
    if (seen == 0 && S_ISLNK(found)) {
      if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return EEXIST;
      const int opened = dfs_lookup_rel(dfs_sys->dfs, at.parent(), at.name.c_str(), flags, obj,
                                        &found, nullptr);
      if (opened != 0 || (found & S_IFMT) == (mode & S_IFMT)) return opened;
      (void)dfs_release(*obj);
      return S_ISDIR(mode) ? ENOTDIR : EINVAL;
    }
  }
  return dfs_open(dfs_sys->dfs, at.parent(), at.name.c_str(), mode, flags, cid, chunk_size, value,
                  obj);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_close(dfs_obj_t* obj) { return dfs_release(obj); }

int dfs_sys_read(dfs_sys_t* dfs_sys, dfs_obj_t* obj, void* buf, daos_off_t off, daos_size_t* size,
                 daos_event_t* ev) try {
  if (dfs_sys == nullptr || obj == nullptr || size == nullptr) return EINVAL;
  d_iov_t iov;
  d_iov_set(&iov, buf, *size);
  d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};
  return dfs_read(dfs_sys->dfs, obj, &sgl, off, size, ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_write(dfs_sys_t* dfs_sys, dfs_obj_t* obj, const void* buf, daos_off_t off,
                  daos_size_t* size, daos_event_t* ev) try {
  if (dfs_sys == nullptr || obj == nullptr || size == nullptr) return EINVAL;
  d_iov_t iov;
  d_iov_set(&iov, const_cast<void*>(buf), *size);
  d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};
  return dfs_write(dfs_sys->dfs, obj, &sgl, off, ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_punch(dfs_sys_t* dfs_sys, const char* path, daos_off_t offset, daos_off_t len) try {
  const Opened entry(dfs_sys, path, O_RDWR);
  return entry.rc() != 0 ? entry.rc() : dfs_punch(dfs_sys->dfs, entry.get(), offset, len);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_remove_type(dfs_sys_t* dfs_sys, const char* path, bool force, mode_t,
                        daos_obj_id_t* oid) try {
  if (dfs_sys == nullptr) return EINVAL;
  if (force && dfs_sys->cached) {
    // The cache could not tell which of its directories go.
    if (path == nullptr || path[0] != '/') return EINVAL;
    return ENOTSUP;
  }
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, path, at);
  if (rc != 0) return rc;
  if (at.name.empty()) return EBUSY;
  const int removed = dfs_remove(dfs_sys->dfs, at.parent(), at.name.c_str(), force, oid);
  if (removed == 0 && dfs_sys->cached) {
    std::lock_guard lock(dfs_sys->mutex);
    dfs_sys->cache.drop((at.dir_path == "/" ? "" : at.dir_path) + "/" + at.name);
  }
  return removed;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_remove(dfs_sys_t* dfs_sys, const char* path, bool force, daos_obj_id_t* oid) try {
  return dfs_sys_remove_type(dfs_sys, path, force, 0, oid);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_mkdir(dfs_sys_t* dfs_sys, const char* dir, mode_t mode, daos_oclass_id_t cid) try {
  SysPath at;
  const int rc = parse_sys_path(dfs_sys, dir, at);
  if (rc != 0) return rc;
  if (at.name.empty()) return EEXIST;
  return dfs_mkdir(dfs_sys->dfs, at.parent(), at.name.c_str(), mode, cid);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_mkdir_p(dfs_sys_t* dfs_sys, const char* dir_path, mode_t mode,
                    daos_oclass_id_t cid) try {
  if (dfs_sys == nullptr || dir_path == nullptr || dir_path[0] != '/') return EINVAL;
  const std::string path = dir_path;
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    if (path[end - 1] == '/') continue;  // a repeated or trailing slash
    const std::string upto = path.substr(0, end);
    const int rc = dfs_sys_mkdir(dfs_sys, upto.c_str(), mode, cid);
    if (rc != 0 && rc != EEXIST) return rc;
    if (rc != EEXIST || end != path.size()) continue;
    struct stat st;
    const int told = dfs_sys_stat(dfs_sys, upto.c_str(), 0, &st);
    if (told != 0 || !S_ISDIR(st.st_mode)) return told != 0 ? told : EEXIST;
  }
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
