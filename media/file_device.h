// A device that is a file in a directory. O_DIRECT where the file system has it, buffered
// otherwise.
#pragma once

#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::media {

struct FileDeviceOptions {
  bool create = false;  // must not exist yet; made with mode 0600 and `bytes` of reserved space
  bool fill = false;    // with create: every block is written once with zeros (logs)
  uint64_t bytes = 0;   // with create
  bool read_only = false;
  // A device that holds many blobs (media/blob_store.h): a block device, too, taken for this
  // process alone; a length that is no multiple of kBlockBytes is rounded down.
  bool whole = false;
};

/// Does the block device with this directory below /sys/dev/block, a disk or a partition, take note
/// of what is discarded? Where it does not, a hole punched there is written with zeros at best.
bool takes_discards(const std::string& sys_directory);

/// @error exists, nonexistent, no_perm, no_space, io  as the file system says; a line on stderr
/// names the
///        path and the way out
/// @error format_invalid  the file's length is not a multiple of kBlockBytes
Task<Result<std::unique_ptr<Device>>> open_file_device(Reactor& reactor, std::string path,
                                                       FileDeviceOptions options);

}  // namespace cairn::media
