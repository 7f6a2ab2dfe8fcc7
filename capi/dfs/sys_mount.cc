// dfs_sys: mounting.
#include <new>

#include "capi/dfs/sys.h"

using namespace cairn::capi;

namespace {

/// Wraps a mount that was just made.
int wrap(int rc, dfs_t* fs, int sflags, dfs_sys_t** out) {
  if (rc != 0) return rc;
  auto* sys = new dfs_sys_t;
  sys->dfs = fs;
  sys->cached = (sflags & DFS_SYS_NO_CACHE) == 0;
  *out = sys;
  return 0;
}

/// Ends the mount by `end`; it stays if that is refused.
int unwrap(dfs_sys_t* sys, int (*end)(dfs_t*)) {
  if (sys == nullptr) return EINVAL;
  const int rc = end(sys->dfs);
  if (rc == 0) delete sys;
  return rc;
}

}  // namespace

int dfs_sys_connect(const char* pool, const char* sys, const char* cont, int mflags, int sflags,
                    dfs_attr_t* attr, dfs_sys_t** dfs_sys) try {
  if (dfs_sys == nullptr) return EINVAL;
  dfs_t* fs = nullptr;
  const int rc = dfs_connect(pool, sys, cont, mflags, attr, &fs);
  return wrap(rc, fs, sflags, dfs_sys);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_disconnect(dfs_sys_t* dfs_sys) { return unwrap(dfs_sys, dfs_disconnect); }

int dfs_sys_mount(daos_handle_t poh, daos_handle_t coh, int mflags, int sflags,
                  dfs_sys_t** dfs_sys) try {
  if (dfs_sys == nullptr) return EINVAL;
  dfs_t* fs = nullptr;
  const int rc = dfs_mount(poh, coh, mflags, &fs);
  return wrap(rc, fs, sflags, dfs_sys);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_umount(dfs_sys_t* dfs_sys) { return unwrap(dfs_sys, dfs_umount); }

int dfs_sys_local2global_all(dfs_sys_t* dfs_sys, d_iov_t* glob) try {
  return dfs_sys == nullptr ? EINVAL : dfs_local2global_all(dfs_sys->dfs, glob);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_global2local_all(int mflags, int sflags, d_iov_t glob, dfs_sys_t** dfs_sys) try {
  if (dfs_sys == nullptr) return EINVAL;
  dfs_t* fs = nullptr;
  const int rc = dfs_global2local_all(mflags, glob, &fs);
  return wrap(rc, fs, sflags, dfs_sys);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_local2global(dfs_sys_t* dfs_sys, d_iov_t* glob) try {
  return dfs_sys == nullptr ? EINVAL : dfs_local2global(dfs_sys->dfs, glob);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_global2local(daos_handle_t poh, daos_handle_t coh, int mflags, int sflags, d_iov_t glob,
                         dfs_sys_t** dfs_sys) try {
  if (dfs_sys == nullptr) return EINVAL;
  dfs_t* fs = nullptr;
  const int rc = dfs_global2local(poh, coh, mflags, glob, &fs);
  return wrap(rc, fs, sflags, dfs_sys);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys_set_prefix(dfs_sys_t* dfs_sys, const char* prefix) try {
  return dfs_sys == nullptr ? EINVAL : dfs_set_prefix(dfs_sys->dfs, prefix);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sys2base(dfs_sys_t* dfs_sys, dfs_t** dfs) try {
  if (dfs_sys == nullptr || dfs == nullptr) return EINVAL;
  *dfs = dfs_sys->dfs;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
