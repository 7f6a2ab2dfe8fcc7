// Mounting: handles, prefix, portable form.
#include <algorithm>
#include <cstring>
#include <new>

#include "capi/dfs/internal.h"
#include "client/view.h"

using namespace cairn;
using namespace cairn::capi;

namespace {

/// dfs_local2global().
struct GlobalMount {
  uint64_t magic;
  uint8_t container[16];
  int32_t flags;
  uint32_t reserved;
  uint64_t unused[12];
};
static_assert(sizeof(GlobalMount) == 128);
constexpr uint64_t kGlobalMagic = 0x6d2e7366642e6331;

constexpr size_t kPrefixBytesMax = DFS_MAX_PATH;

/// ENOENT if there is none of that epoch.
int find_snapshot(const client::ContainerPtr& container, daos_epoch_t epoch) {
  const auto known = run_blocking(container->snap_list());
  if (!known) return errno_of_der(der_of(known.error().code()));
  const bool found = std::ranges::any_of(
      *known, [epoch](const client::Snapshot& snapshot) { return snapshot.epoch == epoch; });
  return found ? 0 : ENOENT;
}

}  // namespace

int cairn::capi::put_global(d_iov_t* glob, const void* bytes, size_t length) {
  if (glob == nullptr) return EINVAL;
  if (glob->iov_buf == nullptr) {
    glob->iov_buf_len = length;
    return 0;
  }
  if (glob->iov_buf_len < length) {
    glob->iov_buf_len = length;
    return ENOBUFS;
  }
  std::memcpy(glob->iov_buf, bytes, length);
  glob->iov_buf_len = length;
  glob->iov_len = length;
  return 0;
}

int cairn::capi::mount_container(daos_handle_t poh, daos_handle_t coh, int flags, dfs_t** out,
                                 daos_epoch_t epoch) {
  if (out == nullptr || (flags & O_ACCMODE) == O_ACCMODE) return EINVAL;
  auto container = container_of(coh);
  if (!container) return errno_of_der(der_of(container.error().code()));
  cairn::dfs::MountOptions options{.writable = (flags & O_ACCMODE) == O_RDWR,
                                   .balanced = (flags & DFS_BALANCED) != 0};
  if (epoch != DAOS_EPOCH_MAX) {
    const int rc = find_snapshot(*container, epoch);
    if (rc != 0) return rc;
    options = {.writable = false, .balanced = true};  // nothing changes, so any consistency is kept
    container = client::at_epoch(std::move(*container), epoch);
  }
  auto mount = run_fs(Mount::open(std::move(*container), options));
  if (!mount) return mount.error().number();
  auto* fs = new dfs_t;
  fs->mount = std::move(*mount);
  fs->pool = poh;
  fs->container = coh;
  fs->flags = epoch == DAOS_EPOCH_MAX ? flags & O_ACCMODE : O_RDONLY;
  *out = fs;
  return 0;
}

FsResult<std::string> cairn::capi::without_prefix(dfs_t* fs, const char* path) {
  if (path == nullptr || path[0] != '/') {
    return cairn::dfs::fs_fail(EINVAL, "dfs: a path must be absolute");
  }
  if (strnlen(path, DFS_MAX_PATH) == DFS_MAX_PATH) {
    return cairn::dfs::fs_fail(EINVAL, "dfs: a path is over 4095 bytes");
  }
  std::lock_guard lock(fs->mutex);
  if (fs->prefix.empty()) return path;
  std::string_view rest = path;
  if (!rest.starts_with(fs->prefix)) {
    return cairn::dfs::fs_fail(EINVAL, "dfs: the path does not start with the prefix");
  }
  rest.remove_prefix(fs->prefix.size());
  if (rest.empty()) return std::string{"/"};
  if (rest.front() != '/') return cairn::dfs::fs_fail(ENOENT, "dfs: a path beside the prefix");
  return std::string{rest};
}

int dfs_mount(daos_handle_t poh, daos_handle_t coh, int flags, dfs_t** dfs) try {
  return mount_container(poh, coh, flags, dfs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_mount_snap(daos_handle_t poh, daos_handle_t coh, int flags, daos_epoch_t epoch,
                   const char* name, dfs_t** dfs) try {
  if (epoch == DAOS_EPOCH_MAX || (epoch == 0 && name == nullptr)) return EINVAL;
  // Snapshots have no names: with one alone, epoch 0 is looked for, and nothing has it.
  return mount_container(poh, coh, flags, dfs, epoch);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_umount(dfs_t* dfs) try {
  if (dfs == nullptr || dfs->connection != nullptr) return EINVAL;
  {
    std::lock_guard lock(dfs->mutex);
    if (dfs->pool_loans != 0 || dfs->container_loans != 0) return EBUSY;
  }
  delete dfs;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_pool_get(dfs_t* dfs, daos_handle_t* poh) try {
  if (dfs == nullptr || poh == nullptr) return EINVAL;
  std::lock_guard lock(dfs->mutex);
  ++dfs->pool_loans;
  *poh = dfs->pool;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_pool_put(dfs_t* dfs, daos_handle_t poh) try {
  if (dfs == nullptr || poh.cookie != dfs->pool.cookie) return EINVAL;
  std::lock_guard lock(dfs->mutex);
  if (dfs->pool_loans == 0) return EINVAL;
  --dfs->pool_loans;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_cont_get(dfs_t* dfs, daos_handle_t* coh) try {
  if (dfs == nullptr || coh == nullptr) return EINVAL;
  std::lock_guard lock(dfs->mutex);
  ++dfs->container_loans;
  *coh = dfs->container;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_cont_put(dfs_t* dfs, daos_handle_t coh) try {
  if (dfs == nullptr || coh.cookie != dfs->container.cookie) return EINVAL;
  std::lock_guard lock(dfs->mutex);
  if (dfs->container_loans == 0) return EINVAL;
  --dfs->container_loans;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_query(dfs_t* dfs, dfs_attr_t* attr) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || attr == nullptr) return EINVAL;
  const cairn::dfs::Settings& s = mount->settings();
  std::memset(attr, 0, sizeof(*attr));
  attr->da_chunk_size = s.chunk_bytes;
  attr->da_oclass_id = s.class_id;
  attr->da_dir_oclass_id = mount->picked_class(cairn::dfs::kDirType);
  attr->da_file_oclass_id = mount->picked_class(cairn::dfs::kFileType);
  attr->da_mode = s.consistency;
  s.hints.copy(attr->da_hints, sizeof(attr->da_hints) - 1);
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_set_prefix(dfs_t* dfs, const char* prefix) try {
  if (dfs == nullptr) return EINVAL;
  std::string wanted;
  if (prefix != nullptr) {
    if (prefix[0] != '/' || strnlen(prefix, kPrefixBytesMax) == kPrefixBytesMax) return EINVAL;
    wanted = prefix;
    while (!wanted.empty() && wanted.back() == '/') wanted.pop_back();
  }
  std::lock_guard lock(dfs->mutex);
  dfs->prefix = std::move(wanted);
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_sync(dfs_t* dfs) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr) return EINVAL;
  return mount->writable() ? 0 : EPERM;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_suggest_oclass(dfs_t* dfs, const char* hint, daos_oclass_id_t* cid) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || hint == nullptr || cid == nullptr) return EINVAL;
  const auto found = mount->suggest_class(hint);
  if (found) *cid = *found;
  return capi::errno_of(found);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_local2global(dfs_t* dfs, d_iov_t* glob) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || glob == nullptr) return EINVAL;
  GlobalMount global{};
  global.magic = kGlobalMagic;
  global.flags = dfs->flags;
  const Uuid uuid = mount->container()->uuid();
  std::memcpy(global.container, uuid.bytes.data(), sizeof(global.container));
  return put_global(glob, &global, sizeof(global));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_global2local(daos_handle_t poh, daos_handle_t coh, int flags, d_iov_t glob,
                     dfs_t** dfs) try {
  GlobalMount global;
  if (dfs == nullptr || glob.iov_buf == nullptr || glob.iov_buf_len < sizeof(global) ||
      glob.iov_len != sizeof(global)) {
    return EINVAL;
  }
  std::memcpy(&global, glob.iov_buf, sizeof(global));
  auto container = container_of(coh);
  if (!container) return errno_of_der(der_of(container.error().code()));
  const Uuid uuid = (*container)->uuid();
  if (global.magic != kGlobalMagic || global.reserved != 0 ||
      std::memcmp(global.container, uuid.bytes.data(), sizeof(global.container)) != 0) {
    return EINVAL;
  }
  return mount_container(poh, coh, flags == 0 ? global.flags : flags, dfs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
