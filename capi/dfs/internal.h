// What the files of libdfs share: mounts, open entries, and the way of a call into dfs/.
// Home: any thread outside the reactor. A mount and an entry may be used by several threads at
// once, but not be unmounted or released while another call uses them.
#pragma once

#include <daos.h>
#include <daos_fs.h>
#include <daos_fs_sys.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capi/daos/bridge.h"
#include "dfs/mount.h"

namespace cairn::capi {
/// A pool and a container that dfs_connect() opened, shared by all its mounts of them (connect.cc).
struct Connection;
}  // namespace cairn::capi

/// dfs_t.
struct dfs {
  std::shared_ptr<cairn::dfs::Mount> mount;
  daos_handle_t pool{};
  daos_handle_t container{};
  int flags = O_RDONLY;             // access mode of the mount
  std::shared_ptr<cairn::capi::Connection> connection;  // only of dfs_connect()
  std::mutex mutex;                 // of the rest
  int pool_loans = 0, container_loans = 0;
  std::string prefix;
};

/// dfs_obj_t. The node is replaced, never changed, so that calls in progress keep theirs.
struct dfs_obj {
  dfs_t* dfs = nullptr;
  std::mutex mutex;                 // of the rest
  std::shared_ptr<const cairn::dfs::Node> node;
  daos_handle_t array{};            // made by dfs_get_file_oh()
};

namespace cairn::capi {

using dfs::FsResult;
using dfs::Mount;
using dfs::Node;
using MountPtr = std::shared_ptr<Mount>;
using NodePtr = std::shared_ptr<const Node>;

/// The errno of a finished call, 0 for success.
template <class T>
int errno_of(const FsResult<T>& result) {
  return result ? 0 : result.error().number();
}

/// Runs a task of dfs/ to its end.
template <class T>
FsResult<T> run_fs(Task<FsResult<T>> task) {
  return run_blocking(std::move(task));
}

/// capi::call() with errnos all the way.
inline int call_fs(Task<int> task, daos_event_t* ev) {
  const int rc = call(std::move(task), ev);
  return rc < 0 ? errno_of_der(rc) : rc;
}
inline int call_fs(int value, daos_event_t* ev) {
  const int rc = call(value, ev);
  return rc < 0 ? errno_of_der(rc) : rc;
}

inline MountPtr mount_of(const dfs_t* fs) { return fs == nullptr ? nullptr : fs->mount; }

inline NodePtr node_of(dfs_obj_t* obj) {
  if (obj == nullptr) return nullptr;
  std::lock_guard lock(obj->mutex);
  return obj->node;
}

/// The node of a parent argument: NULL is the root, which lives as long as the mount.
inline NodePtr parent_of(const MountPtr& mount, dfs_obj_t* parent) {
  if (parent != nullptr) return node_of(parent);
  return {mount, &mount->root()};
}

inline dfs::Caller caller() { return {geteuid(), getegid()}; }

/// A new handle for `node`.
inline dfs_obj_t* make_obj(dfs_t* fs, Node node) {
  auto* obj = new dfs_obj_t;
  obj->dfs = fs;
  obj->node = std::make_shared<const Node>(std::move(node));
  return obj;
}

/// `with_chunk`: st_blksize is the chunk size; look-ups leave it 0.
void fill_stat(const dfs::Attributes& from, struct stat* to, bool with_chunk);

/// Mounts an open container, at a snapshot if `epoch` is given (ENOENT: there is none of it).
/// `flags` as dfs_mount(). Sets *out on success only.
int mount_container(daos_handle_t poh, daos_handle_t coh, int flags, dfs_t** out,
                    daos_epoch_t epoch = DAOS_EPOCH_MAX);

/// dfs_lookup() for paths without the prefix taken off.
FsResult<std::string> without_prefix(dfs_t* fs, const char* path);

/// A portable form: `bytes` copied into the caller's buffer, or its length told.
int put_global(d_iov_t* glob, const void* bytes, size_t length);

}  // namespace cairn::capi
