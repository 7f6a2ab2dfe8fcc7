#include "media/flush_cover.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>

#include "media/device.h"

namespace cairn::media {
namespace {

constexpr uint32_t kExtentsMax = 16;  // of a region; with more it is not worth to be known
constexpr uint32_t kStrangeExtent = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                                    FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_NOT_ALIGNED |
                                    FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_UNWRITTEN |
                                    FIEMAP_EXTENT_SHARED;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// A volatile cache that only flushes empty: what the kernel does for a durable write there is a
/// flush of all of it.
bool flushes_whole_cache(dev_t device) {
  std::string queue = "/sys/dev/block/" + std::to_string(major(device)) + ":" +
                      std::to_string(minor(device)) + "/";
  if (!first_line(queue + "partition").empty()) queue += "../";
  queue += "queue/";
  return first_line(queue + "write_cache") == "write back" && first_line(queue + "fua") == "0";
}

/// O_DIRECT is really that: ext4 quietly goes through the page cache for journalled or encrypted
/// data.
bool writes_directly(int fd) {
#ifdef STATX_DIOALIGN
  struct statx info;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0) return false;
  return (info.stx_mask & STATX_DIOALIGN) != 0 && info.stx_dio_offset_align != 0 &&
         info.stx_dio_offset_align <= kBlockBytes;
#else
  (void)fd;
  return false;
#endif
}

}  // namespace

FlushCover::FlushCover(int fd, bool direct, uint64_t bytes) : fd_(fd), bytes_(bytes) {
  struct stat status;
  if (!direct || fstat(fd, &status) != 0) return;
  dev_t device = status.st_dev;
  if (S_ISBLK(status.st_mode)) {
    whole_ = true;
    device = status.st_rdev;
  } else {
    struct statfs system;
    if (!S_ISREG(status.st_mode) || fstatfs(fd, &system) != 0) return;
    if (system.f_type != EXT4_SUPER_MAGIC || !writes_directly(fd)) return;
    regions_.resize((bytes + kCoverRegionBytes - 1) / kCoverRegionBytes);
  }
  if (!flushes_whole_cache(device)) return;
  // A file system and the disk below it are different caches to us: one may be larger.
  domain_ = uint64_t{device} << 2 | (whole_ ? 2 : 0) | 1;
}

FlushCover::Regions FlushCover::regions_of(uint64_t offset, uint64_t bytes) const {
  if (domain_ == 0 || whole_ || bytes == 0 || offset > bytes_ || bytes > bytes_ - offset) return {};
  return {offset / kCoverRegionBytes, (offset + bytes - 1) / kCoverRegionBytes + 1};
}

bool FlushCover::covers(uint64_t offset, uint64_t bytes) const {
  if (domain_ == 0 || bytes == 0) return false;
  if (whole_) return true;
  const Regions touched = regions_of(offset, bytes);
  for (uint64_t region = touched.first; region < touched.end; ++region) {
    if (!regions_[region]) return false;
  }
  return touched.end != 0;
}

/// As the file system says now.
bool FlushCover::written_on_medium(uint64_t region) const {
  alignas(struct fiemap) std::byte
      asked[sizeof(struct fiemap) + kExtentsMax * sizeof(struct fiemap_extent)]{};
  auto* const map = reinterpret_cast<struct fiemap*>(asked);
  uint64_t at = region * kCoverRegionBytes;
  const uint64_t end = std::min(at + kCoverRegionBytes, bytes_);
  map->fm_start = at;
  map->fm_length = end - at;
  map->fm_extent_count = kExtentsMax;
  if (ioctl(fd_, FS_IOC_FIEMAP, map) != 0) return false;
  for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
    struct fiemap_extent extent;
    std::memcpy(&extent, asked + sizeof *map + i * sizeof extent, sizeof extent);
    if ((extent.fe_flags & kStrangeExtent) != 0 || extent.fe_logical > at) return false;
    at = std::max<uint64_t>(at, extent.fe_logical + extent.fe_length);
  }
  return at >= end;
}

FlushCover::Regions FlushCover::before_durable_write(uint64_t offset, uint64_t bytes) const {
  if (covers(offset, bytes)) return {};
  const Regions touched = regions_of(offset, bytes);
  for (uint64_t region = touched.first; region < touched.end; ++region) {
    if (!regions_[region] && !written_on_medium(region)) return {};
  }
  return touched;
}

void FlushCover::after_durable_write(Regions seen) { set(seen, true); }

void FlushCover::forget(uint64_t offset, uint64_t bytes) { set(regions_of(offset, bytes), false); }

void FlushCover::set(Regions regions, bool written) {
  for (uint64_t region = regions.first; region < regions.end; ++region) regions_[region] = written;
}

}  // namespace cairn::media
