// Open entries: look-up, open, dup, release, accessors, portable form.
#include <cstring>
#include <new>

#include <cairn_dfs.h>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;

namespace {

/// dfs_obj_local2global(). `name` with its NUL.
struct GlobalObj {
  uint64_t magic;
  uint8_t container[16];
  uint64_t oid_lo, oid_hi, parent_lo, parent_hi;
  uint64_t chunk_bytes;
  uint32_t mode;
  int32_t flags;
  uint32_t class_id;
  char name[268];
};
static_assert(sizeof(GlobalObj) == 344);
constexpr uint64_t kGlobalMagic = 0x6f2e7366642e6331;

/// Hands out a node that was looked up, with what else was asked for.
int deliver(dfs_t* fs, const MountPtr& mount, Node node, dfs_obj_t** obj, mode_t* mode,
            struct stat* stbuf) {
  if (stbuf != nullptr) {
    const auto attributes = run_fs(mount->stat(node));
    if (!attributes) return attributes.error().number();
    fill_stat(*attributes, stbuf, false);
  }
  if (mode != nullptr) *mode = node.mode;
  *obj = make_obj(fs, std::move(node));
  return 0;
}

bool is_terminated(const GlobalObj& global) {
  return std::memchr(global.name, 0, sizeof(global.name)) != nullptr && global.name[0] != 0;
}

}  // namespace

int dfs_lookup(dfs_t* dfs, const char* path, int flags, dfs_obj_t** obj, mode_t* mode,
               struct stat* stbuf) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || obj == nullptr) return EINVAL;
  const auto inner = without_prefix(dfs, path);
  if (!inner) return inner.error().number();
  auto node = run_fs(mount->lookup(*inner, flags));
  if (!node) return node.error().number();
  return deliver(dfs, mount, std::move(*node), obj, mode, stbuf);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_lookup_rel(dfs_t* dfs, dfs_obj_t* parent, const char* name, int flags, dfs_obj_t** obj,
                   mode_t* mode, struct stat* stbuf) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || obj == nullptr || name == nullptr) return EINVAL;
  const NodePtr dir = parent_of(mount, parent);
  const std::string entry = name;
  auto node = run_fs(mount->lookup_in(*dir, entry, flags));
  if (!node) return node.error().number();
  return deliver(dfs, mount, std::move(*node), obj, mode, stbuf);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_open(dfs_t* dfs, dfs_obj_t* parent, const char* name, mode_t mode, int flags,
             daos_oclass_id_t cid, daos_size_t chunk_size, const char* value, dfs_obj_t** obj) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || obj == nullptr || name == nullptr) return EINVAL;
  const NodePtr dir = parent_of(mount, parent);
  const std::string entry = name;
  cairn::dfs::OpenOptions options;
  options.mode = mode;
  options.flags = flags;
  options.class_id = cid;
  options.chunk_bytes = chunk_size;
  options.owner = caller();
  if (value != nullptr && S_ISLNK(mode)) {
    options.target.emplace(value, strnlen(value, DFS_MAX_PATH));
  }
  auto node = run_fs(mount->open_in(*dir, entry, std::move(options)));
  if (!node) return node.error().number();
  *obj = make_obj(dfs, std::move(*node));
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_dup(dfs_t* dfs, dfs_obj_t* obj, int flags, dfs_obj_t** new_obj) try {
  const NodePtr node = node_of(obj);
  if (mount_of(dfs) == nullptr || node == nullptr || new_obj == nullptr ||
      (flags & O_ACCMODE) == O_ACCMODE) {
    return EINVAL;
  }
  Node copy = *node;
  copy.flags = flags & O_ACCMODE;
  *new_obj = make_obj(dfs, std::move(copy));
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_release(dfs_obj_t* obj) try {
  if (obj == nullptr) return EINVAL;
  if (daos_handle_is_valid(obj->array)) (void)daos_array_close(obj->array, nullptr);
  delete obj;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int cairn_dfs_release_final(dfs_obj_t* obj) try {
  const NodePtr node = node_of(obj);
  if (node == nullptr) return EINVAL;
  const MountPtr mount = mount_of(obj->dfs);
  const int released = dfs_release(obj);
  if (released != 0) return released;
  return mount == nullptr ? EINVAL : errno_of(run_fs(mount->note_final(*node)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj2id(dfs_obj_t* obj, daos_obj_id_t* oid) try {
  const NodePtr node = node_of(obj);
  if (node == nullptr || oid == nullptr) return EINVAL;
  *oid = {node->oid.lo, node->oid.hi};
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_get_mode(dfs_obj_t* obj, mode_t* mode) try {
  const NodePtr node = node_of(obj);
  if (node == nullptr || mode == nullptr) return EINVAL;
  *mode = node->mode;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_get_chunk_size(dfs_obj_t* obj, daos_size_t* chunk_size) try {
  const NodePtr node = node_of(obj);
  if (node == nullptr || chunk_size == nullptr || !node->is_file()) return EINVAL;
  *chunk_size = node->chunk_bytes;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_get_file_oh(dfs_obj_t* obj, daos_handle_t* oh) try {
  const NodePtr node = node_of(obj);
  if (node == nullptr || oh == nullptr || !node->is_file()) return EINVAL;
  std::lock_guard lock(obj->mutex);
  if (!daos_handle_is_valid(obj->array)) {
    const unsigned mode = node->writable() && obj->dfs->mount->writable() ? DAOS_OO_RW : DAOS_OO_RO;
    const int rc = daos_array_open_with_attr(obj->dfs->container, {node->oid.lo, node->oid.hi},
                                             DAOS_TX_NONE, mode, 1, node->chunk_bytes, &obj->array,
                                             nullptr);
    if (rc != 0) return errno_of_der(rc);
  }
  *oh = obj->array;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_get_symlink_value(dfs_obj_t* obj, char* buf, daos_size_t* size) try {
  const NodePtr node = node_of(obj);
  if (node == nullptr || size == nullptr || !node->is_link()) return EINVAL;
  const daos_size_t room = *size;
  *size = node->target.size() + 1;
  if (buf == nullptr || room == 0) return 0;
  const size_t length = node->target.copy(buf, room - 1);
  buf[length] = 0;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_get_info(dfs_t* dfs, dfs_obj_t* obj, dfs_obj_info_t* info) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || info == nullptr) return EINVAL;
  std::memset(info, 0, sizeof(*info));
  info->doi_oid = {node->oid.lo, node->oid.hi};
  if (node->is_link()) return 0;
  info->doi_oclass_id = cairn::dfs::class_of(node->oid);
  info->doi_chunk_size = node->chunk_bytes;
  if (node->is_file()) return 0;
  if (node->chunk_bytes == 0) info->doi_chunk_size = mount->settings().chunk_bytes;
  info->doi_dir_oclass_id = info->doi_file_oclass_id = node->class_id;
  if (node->class_id == 0) {
    info->doi_dir_oclass_id = mount->picked_class(cairn::dfs::kDirType);
    info->doi_file_oclass_id = mount->picked_class(cairn::dfs::kFileType);
  }
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_update_parent(dfs_obj_t* obj, dfs_obj_t* src_obj, const char* name) try {
  const NodePtr node = node_of(obj);
  const NodePtr source = node_of(src_obj);
  if (node == nullptr || source == nullptr) return EINVAL;
  auto moved = std::make_shared<Node>(*node);
  moved->parent = source->parent;
  if (name != nullptr) moved->name.assign(name, strnlen(name, DFS_MAX_NAME));
  if (!moved->is_dir()) moved->link = source->is_dir() && source->link ? source->link->parent
                                                                       : source->link;
  std::lock_guard lock(obj->mutex);
  obj->node = std::move(moved);
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_local2global(dfs_t* dfs, dfs_obj_t* obj, d_iov_t* glob) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || glob == nullptr || node->is_link()) return EINVAL;
  GlobalObj global{};
  global.magic = kGlobalMagic;
  const Uuid uuid = mount->container()->uuid();
  std::memcpy(global.container, uuid.bytes.data(), sizeof(global.container));
  global.oid_lo = node->oid.lo;
  global.oid_hi = node->oid.hi;
  global.parent_lo = node->parent.lo;
  global.parent_hi = node->parent.hi;
  global.chunk_bytes = node->chunk_bytes;
  global.mode = node->mode;
  global.flags = node->flags;
  global.class_id = node->class_id;
  node->name.copy(global.name, DFS_MAX_NAME);
  return put_global(glob, &global, sizeof(global));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_global2local(dfs_t* dfs, int flags, d_iov_t glob, dfs_obj_t** obj) try {
  const MountPtr mount = mount_of(dfs);
  GlobalObj global;
  if (mount == nullptr || obj == nullptr || glob.iov_buf == nullptr ||
      glob.iov_buf_len < sizeof(global) || glob.iov_len != sizeof(global) ||
      (flags & O_ACCMODE) == O_ACCMODE) {
    return EINVAL;
  }
  std::memcpy(&global, glob.iov_buf, sizeof(global));
  const Uuid uuid = mount->container()->uuid();
  const bool file = S_ISREG(global.mode);
  if (global.magic != kGlobalMagic || !is_terminated(global) ||
      std::memcmp(global.container, uuid.bytes.data(), sizeof(global.container)) != 0 ||
      (!file && !S_ISDIR(global.mode)) || (file && global.chunk_bytes == 0)) {
    return EINVAL;
  }
  Node node;
  node.oid = {global.oid_lo, global.oid_hi};
  node.parent = {global.parent_lo, global.parent_hi};
  node.mode = global.mode;
  node.flags = (flags == 0 ? global.flags : flags) & O_ACCMODE;
  node.chunk_bytes = global.chunk_bytes;
  node.class_id = global.class_id;
  node.name = global.name;
  auto adopted = run_fs(mount->adopt(std::move(node)));
  if (!adopted) return adopted.error().number();
  *obj = make_obj(dfs, std::move(*adopted));
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
