// Attributes and extended attributes.
#include <cstring>
#include <new>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;

namespace {

cairn::dfs::Attributes attributes_in(const struct stat& st) {
  cairn::dfs::Attributes a;
  a.mode = st.st_mode;
  a.uid = st.st_uid;
  a.gid = st.st_gid;
  a.bytes = static_cast<uint64_t>(st.st_size);
  a.mtime = {st.st_mtim.tv_sec, static_cast<uint32_t>(st.st_mtim.tv_nsec)};
  return a;
}

timespec timespec_of(cairn::dfs::FileTime time) {
  return {static_cast<time_t>(time.seconds), static_cast<long>(time.ns)};
}

/// The entry that (parent, name) stands for: the root for two NULLs.
struct Place {
  NodePtr dir;
  std::string name;  // empty: `dir` itself
};
FsResult<Place> place_of(const MountPtr& mount, dfs_obj_t* parent, const char* name) {
  if (name == nullptr && parent != nullptr) {
    return cairn::dfs::fs_fail(EINVAL, "dfs: a parent without a name");
  }
  if (name != nullptr && name[0] == 0) return cairn::dfs::fs_fail(EINVAL, "dfs: a name is empty");
  return Place{parent_of(mount, parent), name == nullptr ? "" : name};
}

}  // namespace

void cairn::capi::fill_stat(const cairn::dfs::Attributes& from, struct stat* to,
                            bool with_chunk) {
  std::memset(to, 0, sizeof(*to));
  to->st_mode = from.mode;
  to->st_nlink = 1;
  to->st_uid = from.uid;
  to->st_gid = from.gid;
  to->st_size = static_cast<off_t>(from.bytes);
  if (S_ISREG(from.mode)) {
    to->st_blocks = static_cast<blkcnt_t>(from.bytes / 512 + (from.bytes % 512 != 0 ? 1 : 0));
    if (with_chunk) to->st_blksize = static_cast<blksize_t>(from.chunk_bytes);
  }
  to->st_mtim = timespec_of(from.mtime);
  to->st_ctim = timespec_of(from.ctime);
  to->st_atim = timespec_of(from.atime());
}

int dfs_stat(dfs_t* dfs, dfs_obj_t* parent, const char* name, struct stat* stbuf) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || stbuf == nullptr) return EINVAL;
  const auto place = place_of(mount, parent, name);
  if (!place) return place.error().number();
  const auto got = place->name.empty() ? run_fs(mount->stat(*place->dir))
                                       : run_fs(mount->stat_in(*place->dir, place->name));
  if (got) fill_stat(*got, stbuf, true);
  return capi::errno_of(got);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_ostat(dfs_t* dfs, dfs_obj_t* obj, struct stat* stbuf) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || stbuf == nullptr) return EINVAL;
  const auto got = run_fs(mount->stat(*node));
  if (got) fill_stat(*got, stbuf, true);
  return capi::errno_of(got);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_osetattr(dfs_t* dfs, dfs_obj_t* obj, struct stat* stbuf, int flags) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || stbuf == nullptr) return EINVAL;
  const auto got = run_fs(mount->set_attributes(*node, attributes_in(*stbuf),
                                                static_cast<uint32_t>(flags)));
  if (got) fill_stat(*got, stbuf, true);
  return capi::errno_of(got);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_access(dfs_t* dfs, dfs_obj_t* parent, const char* name, int mask) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr) return EINVAL;
  const auto place = place_of(mount, parent, name);
  if (!place) return place.error().number();
  if (place->name.empty()) {
    return capi::errno_of(run_fs(mount->access(*place->dir, caller(), mask)));
  }
  return capi::errno_of(run_fs(mount->access_in(*place->dir, place->name, caller(), mask)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_chmod(dfs_t* dfs, dfs_obj_t* parent, const char* name, mode_t mode) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr) return EINVAL;
  const auto place = place_of(mount, parent, name);
  if (!place) return place.error().number();
  if (!place->name.empty()) {
    return capi::errno_of(run_fs(mount->chmod_in(*place->dir, place->name, mode)));
  }
  cairn::dfs::Attributes wanted;
  if ((mode & S_IFMT) != 0 && !S_ISDIR(mode)) return EINVAL;
  wanted.mode = S_IFDIR | mode;
  return capi::errno_of(run_fs(mount->set_attributes(*place->dir, wanted, DFS_SET_ATTR_MODE)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_chown(dfs_t* dfs, dfs_obj_t* parent, const char* name, uid_t uid, gid_t gid,
              int flags) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr) return EINVAL;
  const auto place = place_of(mount, parent, name);
  if (!place) return place.error().number();
  if (!place->name.empty()) {
    return capi::errno_of(run_fs(mount->chown_in(*place->dir, place->name, {uid, gid},
                                                 (flags & O_NOFOLLOW) == 0)));
  }
  cairn::dfs::Attributes wanted;
  wanted.uid = uid;
  wanted.gid = gid;
  uint32_t which = 0;
  if (uid != static_cast<uid_t>(-1)) which |= DFS_SET_ATTR_UID;
  if (gid != static_cast<gid_t>(-1)) which |= DFS_SET_ATTR_GID;
  return capi::errno_of(run_fs(mount->set_attributes(*place->dir, wanted, which)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_set_oclass(dfs_t* dfs, dfs_obj_t* obj, int, daos_oclass_id_t cid) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr) return EINVAL;
  return capi::errno_of(run_fs(mount->set_dir_class(*node, cid)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_set_chunk_size(dfs_t* dfs, dfs_obj_t* obj, int, daos_size_t csize) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr) return EINVAL;
  return capi::errno_of(run_fs(mount->set_dir_chunk(*node, csize)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_setxattr(dfs_t* dfs, dfs_obj_t* obj, const char* name, const void* value, daos_size_t size,
                 int flags) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || name == nullptr) return EINVAL;
  if (value == nullptr && size != 0) return EINVAL;
  const std::string attribute = name;
  return capi::errno_of(run_fs(mount->set_xattr(*node, attribute, view_of(value, size), flags)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_getxattr(dfs_t* dfs, dfs_obj_t* obj, const char* name, void* value, daos_size_t* size) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || name == nullptr || size == nullptr) return EINVAL;
  const std::string attribute = name;
  const ByteSpan room{static_cast<std::byte*>(value), value == nullptr ? 0 : *size};
  const auto got = run_fs(mount->get_xattr(*node, attribute, room));
  if (got) *size = *got;
  return capi::errno_of(got);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_removexattr(dfs_t* dfs, dfs_obj_t* obj, const char* name) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || name == nullptr) return EINVAL;
  const std::string attribute = name;
  return capi::errno_of(run_fs(mount->remove_xattr(*node, attribute)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_listxattr(dfs_t* dfs, dfs_obj_t* obj, char* list, daos_size_t* size) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || size == nullptr) return EINVAL;
  const auto names = run_fs(mount->list_xattrs(*node));
  if (!names) return names.error().number();
  const daos_size_t room = list == nullptr ? 0 : *size;
  daos_size_t total = 0;
  for (const std::string& name : *names) {
    // Whole names only; the total tells the caller that there are more.
    if (total + name.size() + 1 <= room) std::memcpy(list + total, name.c_str(), name.size() + 1);
    total += name.size() + 1;
  }
  *size = total;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
