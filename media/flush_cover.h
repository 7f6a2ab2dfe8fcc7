// FlushCover: which parts of a file a flush of another file makes durable as well, and behind which
// cache it lies (Device::flush_domain(), Device::flush_covers()). Home: the device's reactor.
#pragma once

#include <cstdint>
#include <vector>

namespace cairn::media {

class FlushCover {
 public:
  /// Asks the kernel what `fd` (open, O_DIRECT if `direct`) is. Where anything is not known for
  /// sure, domain() is 0 and nothing is covered.
  /// Covered are: block devices; files on ext4 without delayed, journalled or encrypted data, in
  /// parts that were written before, because such a write changes no metadata. Only where the disk
  /// has a volatile cache and no FUA: else a durable write costs no flush, and none can be saved.
  /// ext4 alone: other file systems may move a block when it is overwritten.
  FlushCover(int fd, bool direct, uint64_t bytes);

  uint64_t domain() const { return domain_; }
  bool covers(uint64_t offset, uint64_t bytes) const;

  /// Parts of the file, one after another.
  struct Regions {
    uint64_t first = 0, end = 0;
  };
  /// Around each durable write: what is found written before it is so on the medium after it, for
  /// it takes the file's metadata with it. Nothing (end == 0) also where all of it is known.
  Regions before_durable_write(uint64_t offset, uint64_t bytes) const;
  void after_durable_write(Regions seen);
  /// That part loses its blocks.
  void forget(uint64_t offset, uint64_t bytes);

 private:
  /// Those that a range touches; none of a block device, nor beyond the end.
  Regions regions_of(uint64_t offset, uint64_t bytes) const;
  void set(Regions regions, bool written);
  bool written_on_medium(uint64_t region) const;

  int fd_;
  uint64_t bytes_;
  uint64_t domain_ = 0;
  bool whole_ = false;         // a block device: all of it
  std::vector<bool> regions_;  // of kCoverRegionBytes: known to be written
};

inline constexpr uint64_t kCoverRegionBytes = 1u << 20;

}  // namespace cairn::media
