// Reading and writing files, blocking or with events.
#include <new>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;
using cairn::client::CellRange;
using cairn::client::CellRanges;

namespace {

/// The caller's buffers; `bytes` receives their total. @error EINVAL  iovs that cannot be
FsResult<IoVecs> buffers_of(const d_sg_list_t& sgl, uint64_t& bytes) {
  IoVecs out;
  bytes = 0;
  if (sgl.sg_nr != 0 && sgl.sg_iovs == nullptr) {
    return cairn::dfs::fs_fail(EINVAL, "dfs: a scatter list without iovs");
  }
  out.reserve(sgl.sg_nr);
  for (uint32_t i = 0; i < sgl.sg_nr; ++i) {
    const d_iov_t& iov = sgl.sg_iovs[i];
    if (iov.iov_len == 0) continue;
    if (iov.iov_buf == nullptr || iov.iov_len > iov.iov_buf_len) {
      return cairn::dfs::fs_fail(EINVAL, "dfs: an iov without a buffer, or longer than it");
    }
    out.push_back({static_cast<std::byte*>(iov.iov_buf), iov.iov_len});
    bytes += iov.iov_len;
  }
  return out;
}

FsResult<CellRanges> ranges_of(const dfs_iod_t& iod) {
  if (iod.iod_nr != 0 && iod.iod_rgs == nullptr) {
    return cairn::dfs::fs_fail(EINVAL, "dfs: no ranges where some are announced");
  }
  CellRanges out;
  out.reserve(iod.iod_nr);
  for (daos_size_t i = 0; i < iod.iod_nr; ++i) {
    out.push_back({iod.iod_rgs[i].rg_idx, iod.iod_rgs[i].rg_len});
  }
  return out;
}

// Mount and node come by value: they stay while the operation runs, whatever the program releases.
Task<int> read_task(MountPtr mount, NodePtr node, CellRanges ranges,
                    IoVecs buffer, daos_size_t* read_size) {
  const auto got = co_await mount->read(*node, std::move(ranges), std::move(buffer));
  if (got && read_size != nullptr) *read_size = *got;
  co_return capi::errno_of(got);
}

Task<int> write_task(MountPtr mount, NodePtr node, CellRanges ranges,
                     IoVecs buffer) {
  co_return capi::errno_of(co_await mount->write(*node, std::move(ranges), std::move(buffer)));
}

}  // namespace

int dfs_read(dfs_t* dfs, dfs_obj_t* obj, d_sg_list_t* sgl, daos_off_t off, daos_size_t* read_size,
             daos_event_t* ev) try {
  MountPtr mount = mount_of(dfs);
  NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || sgl == nullptr || read_size == nullptr) return EINVAL;
  uint64_t bytes = 0;
  auto buffer = buffers_of(*sgl, bytes);
  if (!buffer) return buffer.error().number();
  if (bytes == 0) *read_size = 0;
  CellRanges ranges{{off, bytes}};
  return call_fs(read_task(std::move(mount), std::move(node), std::move(ranges),
                           std::move(*buffer), read_size), ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_readx(dfs_t* dfs, dfs_obj_t* obj, dfs_iod_t* iod, d_sg_list_t* sgl, daos_size_t* read_size,
              daos_event_t* ev) try {
  MountPtr mount = mount_of(dfs);
  NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || iod == nullptr || read_size == nullptr) return EINVAL;
  if (iod->iod_nr == 0) {
    *read_size = 0;
    return call_fs(0, ev);
  }
  if (sgl == nullptr) return EINVAL;
  uint64_t bytes = 0;
  auto buffer = buffers_of(*sgl, bytes);
  auto ranges = ranges_of(*iod);
  if (!buffer || !ranges) return EINVAL;
  return call_fs(read_task(std::move(mount), std::move(node), std::move(*ranges),
                           std::move(*buffer), read_size), ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_write(dfs_t* dfs, dfs_obj_t* obj, d_sg_list_t* sgl, daos_off_t off, daos_event_t* ev) try {
  MountPtr mount = mount_of(dfs);
  NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr) return EINVAL;
  const d_sg_list_t none{};
  uint64_t bytes = 0;
  auto buffer = buffers_of(sgl == nullptr ? none : *sgl, bytes);
  if (!buffer) return buffer.error().number();
  CellRanges ranges{{off, bytes}};
  return call_fs(write_task(std::move(mount), std::move(node), std::move(ranges),
                            std::move(*buffer)), ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_writex(dfs_t* dfs, dfs_obj_t* obj, dfs_iod_t* iod, d_sg_list_t* sgl, daos_event_t* ev) try {
  MountPtr mount = mount_of(dfs);
  NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || iod == nullptr) return EINVAL;
  const d_sg_list_t none{};
  uint64_t bytes = 0;
  auto buffer = buffers_of(sgl == nullptr ? none : *sgl, bytes);
  auto ranges = ranges_of(*iod);
  if (!buffer || !ranges) return EINVAL;
  if (iod->iod_nr == 0) ranges->clear();
  return call_fs(write_task(std::move(mount), std::move(node), std::move(*ranges),
                            std::move(*buffer)), ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_get_size(dfs_t* dfs, dfs_obj_t* obj, daos_size_t* size) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr || size == nullptr) return EINVAL;
  const auto got = run_fs(mount->size(*node));
  if (got) *size = *got;
  return capi::errno_of(got);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_get_size_by_oid(dfs_t* dfs, daos_obj_id_t oid, daos_size_t chunk_size,
                        daos_size_t* size) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || size == nullptr) return EINVAL;
  const auto got = run_fs(mount->size_of({oid.lo, oid.hi}, chunk_size));
  if (got) *size = *got;
  return capi::errno_of(got);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_punch(dfs_t* dfs, dfs_obj_t* obj, daos_off_t offset, daos_size_t len) try {
  const MountPtr mount = mount_of(dfs);
  const NodePtr node = node_of(obj);
  if (mount == nullptr || node == nullptr) return EINVAL;
  return capi::errno_of(run_fs(mount->punch(*node, offset, len)));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
