// Directories: making, removing, moving and listing entries.
#include <cstring>
#include <new>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;

namespace {

// How a listing's anchor is used: da_type says start, position or end; da_shard is the position's
// length.
FsResult<Bytes> position_in(const daos_anchor_t& anchor) {
  if (anchor.da_type == DAOS_ANCHOR_TYPE_ZERO) return Bytes{};
  if (anchor.da_type != DAOS_ANCHOR_TYPE_KEY || anchor.da_shard > sizeof(anchor.da_buf)) {
    return cairn::dfs::fs_fail(EINVAL, "dfs: an anchor that no listing made");
  }
  const ByteView bytes = view_of(anchor.da_buf, anchor.da_shard);
  return Bytes(bytes.begin(), bytes.end());
}

int put_position(daos_anchor_t* anchor, const Bytes& position, bool eof) {
  if (position.size() > sizeof(anchor->da_buf)) return EIO;
  std::memset(anchor, 0, sizeof(*anchor));
  anchor->da_type = eof                ? DAOS_ANCHOR_TYPE_EOF
                    : position.empty() ? DAOS_ANCHOR_TYPE_ZERO
                                       : DAOS_ANCHOR_TYPE_KEY;
  if (eof) return 0;
  anchor->da_shard = static_cast<uint16_t>(position.size());
  if (!position.empty()) std::memcpy(anchor->da_buf, position.data(), position.size());
  return 0;
}

/// Checks the arguments of a listing and takes them apart.
struct Listing {
  MountPtr mount;
  NodePtr dir;
  cairn::dfs::PageRequest request;
};
int begin_listing(dfs_t* fs, dfs_obj_t* obj, const daos_anchor_t* anchor, const uint32_t* nr,
                  Listing& out) {
  out.mount = mount_of(fs);
  if (out.mount == nullptr) return EINVAL;
  out.dir = node_of(obj);
  if (out.dir == nullptr || !out.dir->is_dir()) return ENOTDIR;
  if (anchor == nullptr || nr == nullptr) return EINVAL;
  if (anchor->da_type == DAOS_ANCHOR_TYPE_EOF) return 0;
  auto position = position_in(*anchor);
  if (!position) return position.error().number();
  out.request.position = std::move(*position);
  return 0;
}

/// Fills `dirs`, and `stbufs` where not null. An entry that goes away meanwhile is left out.
int read_dir(dfs_t* fs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr, struct dirent* dirs,
             struct stat* stbufs) {
  Listing listing;
  const int rc = begin_listing(fs, obj, anchor, nr, listing);
  if (rc != 0) return rc;
  if (*nr == 0 || anchor->da_type == DAOS_ANCHOR_TYPE_EOF) {
    *nr = 0;
    return 0;
  }
  if (dirs == nullptr) return EINVAL;
  listing.request.names_max = *nr;
  listing.request.bytes_max = uint64_t{*nr} * (DFS_MAX_NAME + 1);
  const auto page = run_fs(listing.mount->list(*listing.dir, std::move(listing.request)));
  if (!page) return page.error().number();
  FsResult<std::vector<FsResult<cairn::dfs::Attributes>>> attributes;
  if (stbufs != nullptr) attributes = run_fs(listing.mount->stat_names(*listing.dir, page->names));
  if (!attributes) return attributes.error().number();
  uint32_t count = 0;
  for (size_t i = 0; i < page->names.size(); ++i) {
    const std::string& name = page->names[i];
    if (stbufs != nullptr) {
      const auto& found = (*attributes)[i];
      if (!found && found.error().number() == ENOENT) continue;
      if (!found) return found.error().number();
      fill_stat(*found, &stbufs[count], true);
    }
    name.copy(dirs[count].d_name, DFS_MAX_NAME);
    dirs[count].d_name[name.size()] = 0;
    ++count;
  }
  const int put = put_position(anchor, page->position, page->eof);
  if (put == 0) *nr = count;
  return put;
}

}  // namespace

int dfs_mkdir(dfs_t* dfs, dfs_obj_t* parent, const char* name, mode_t mode,
              daos_oclass_id_t cid) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || name == nullptr) return EINVAL;
  const NodePtr dir = parent_of(mount, parent);
  const std::string entry = name;
  cairn::dfs::OpenOptions options;
  options.mode = mode;
  options.class_id = cid;
  options.owner = caller();
  return capi::errno_of(run_fs(mount->make_dir(*dir, entry, std::move(options))));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_remove(dfs_t* dfs, dfs_obj_t* parent, const char* name, bool force,
               daos_obj_id_t* oid) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || name == nullptr) return EINVAL;
  const NodePtr dir = parent_of(mount, parent);
  const std::string entry = name;
  const auto gone = run_fs(mount->remove(*dir, entry, force));
  if (gone && oid != nullptr) *oid = {gone->lo, gone->hi};
  return capi::errno_of(gone);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_move(dfs_t* dfs, dfs_obj_t* parent, const char* name, dfs_obj_t* new_parent,
             const char* new_name, daos_obj_id_t* oid) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || name == nullptr || new_name == nullptr) return EINVAL;
  const NodePtr from = parent_of(mount, parent);
  const NodePtr to = parent_of(mount, new_parent);
  const std::string source = name;
  const std::string target = new_name;
  const auto replaced = run_fs(mount->move(*from, source, *to, target));
  if (replaced && replaced->has_value() && oid != nullptr) {
    *oid = {(*replaced)->lo, (*replaced)->hi};
  }
  return capi::errno_of(replaced);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_exchange(dfs_t* dfs, dfs_obj_t* parent1, const char* name1, dfs_obj_t* parent2,
                 const char* name2) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || name1 == nullptr || name2 == nullptr) return EINVAL;
  const NodePtr first = parent_of(mount, parent1);
  const NodePtr second = parent_of(mount, parent2);
  const std::string a = name1;
  const std::string b = name2;
  return capi::errno_of(run_fs(mount->exchange(*first, a, *second, b)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_readdir(dfs_t* dfs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr,
                struct dirent* dirs) try {
  return read_dir(dfs, obj, anchor, nr, dirs, nullptr);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_readdirplus(dfs_t* dfs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr,
                    struct dirent* dirs, struct stat* stbufs) try {
  return read_dir(dfs, obj, anchor, nr, dirs, stbufs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_iterate(dfs_t* dfs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr, size_t size,
                dfs_filler_cb_t op, void* arg) try {
  Listing listing;
  const int rc = begin_listing(dfs, obj, anchor, nr, listing);
  if (rc != 0) return rc;
  uint32_t count = 0;
  int answer = 0;
  while (count < *nr && answer == 0 && anchor->da_type != DAOS_ANCHOR_TYPE_EOF) {
    listing.request.names_max = *nr - count;
    listing.request.bytes_max = size;
    auto page = run_fs(listing.mount->list(*listing.dir, std::move(listing.request)));
    if (!page) return page.error().number();
    size_t next = 0;
    while (next < page->names.size() && answer == 0) {
      const std::string& name = page->names[next++];
      if (op != nullptr) answer = op(dfs, obj, name.c_str(), arg);
    }
    count += static_cast<uint32_t>(next);
    const bool whole = next == page->names.size();
    listing.request.position = std::move(page->position);
    if (!whole) {
      auto position = run_fs(listing.mount->position_of(*listing.dir, page->names[next]));
      if (!position) return position.error().number();
      listing.request.position = std::move(*position);
    }
    const int put = put_position(anchor, listing.request.position, whole && page->eof);
    if (put != 0) return put;
  }
  *nr = count;
  return answer;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_dir_anchor_set(dfs_obj_t* obj, const char* name, daos_anchor_t* anchor) try {
  const NodePtr dir = node_of(obj);
  if (dir == nullptr || !dir->is_dir() || name == nullptr || name[0] == 0) return EINVAL;
  if (anchor == nullptr) return 0;  // as the reference
  const MountPtr mount = obj->dfs->mount;
  const std::string entry = name;
  const auto position = run_fs(mount->position_of(*dir, entry));
  if (!position) return position.error().number();
  return put_position(anchor, *position, false);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_anchor_split(dfs_obj_t* obj, uint32_t* nr, daos_anchor_t* anchors) try {
  const NodePtr dir = node_of(obj);
  if (dir == nullptr || !dir->is_dir() || nr == nullptr || *nr != 0) return EINVAL;
  *nr = 1;
  if (anchors != nullptr) std::memset(&anchors[0], 0, sizeof(anchors[0]));
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_obj_anchor_set(dfs_obj_t* obj, uint32_t index, daos_anchor_t* anchor) try {
  const NodePtr dir = node_of(obj);
  if (dir == nullptr || !dir->is_dir() || anchor == nullptr) return EINVAL;
  std::memset(anchor, 0, sizeof(*anchor));
  if (index != 0) anchor->da_type = DAOS_ANCHOR_TYPE_EOF;  // the first one covers everything
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
