// dfs_sys: listing a directory. The DIR that callers hold is ours, not the C library's.
#include <new>

#include "capi/dfs/sys.h"

using namespace cairn::capi;

namespace {

constexpr uint32_t kEntriesPerRead = 24;

struct SysDir {
  dfs_obj_t* obj = nullptr;
  daos_anchor_t anchor{};
  struct dirent entries[kEntriesPerRead];
  uint32_t count = 0, next = 0;
};

SysDir* dir_of(DIR* cookie) { return reinterpret_cast<SysDir*>(cookie); }

}  // namespace

int dfs_sys_opendir(dfs_sys_t* dfs_sys, const char* dir, int flags, DIR** dirp) try {
  if (dirp == nullptr) return EINVAL;
  dfs_obj_t* obj = nullptr;
  const int rc = open_sys_path(dfs_sys, dir, O_RDONLY | (flags & O_NOFOLLOW), &obj);
  if (rc != 0) return rc;
  if (!node_of(obj)->is_dir()) {
    (void)dfs_release(obj);
    return ENOTDIR;
  }
  auto* open = new SysDir;
  open->obj = obj;
  *dirp = reinterpret_cast<DIR*>(open);
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_closedir(DIR* dirp) try {
  if (dirp == nullptr) return EINVAL;
  SysDir* const open = dir_of(dirp);
  const int rc = dfs_release(open->obj);
  delete open;
  return rc;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_readdir(dfs_sys_t* dfs_sys, DIR* dirp, struct dirent** dirent) try {
  if (dfs_sys == nullptr || dirp == nullptr || dirent == nullptr) return EINVAL;
  SysDir& open = *dir_of(dirp);
  *dirent = nullptr;
  while (open.next == open.count) {
    if (daos_anchor_is_eof(&open.anchor)) return 0;
    open.next = open.count = 0;
    uint32_t count = kEntriesPerRead;
    const int rc = dfs_readdir(dfs_sys->dfs, open.obj, &open.anchor, &count, open.entries);
    if (rc != 0) return rc;
    open.count = count;
  }
  *dirent = &open.entries[open.next++];
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
