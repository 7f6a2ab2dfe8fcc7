// BlobStore: a block device (or one large file) that holds many blobs, for homes whose pools do not
// live as files in a directory. A table of blobs and their 4 MiB units stands twice at both ends of
// the device; it changes by writing the next generation to the other slot, so a crash leaves the
// table before or after a change, never half of one. Home: the reactor given. Blobs share the
// device and must end before it; one table change runs at a time, others wait.
// Bytes: media/blob_table_format.h, docs/formats/devices.md.
#pragma once

#include <memory>

#include "media/blob_table_format.h"
#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::media {

struct BlobCreate {
  uint64_t bytes = 0;  // a positive multiple of kBlockBytes
  bool fill = false;   // every block is written once with zeros (logs); else the first and the last
                       // MiB are, so that nothing of an earlier blob is mistaken for this one's
};

struct BlobSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
};

class BlobStore {
 public:
  /// Who a device belongs to.
  struct Ids {
    Uuid device;
    Uuid owner;
  };

  /// Is there nothing but zeros where tables and usual file systems have their marks?
  static Task<Result<bool>> is_blank(Device& device);
  /// Makes an empty table; durable on return. What the device held is lost.
  /// @error no_space  too short for a table and one unit   @error io
  static Task<Result<std::unique_ptr<BlobStore>>> format(Reactor& reactor,
                                                         std::unique_ptr<Device> device, Ids ids);
  /// Reads the newest whole table.
  /// @error format_invalid  no table, or another owner's or another device's
  /// @error format_newer, checksum (no whole table), io
  static Task<Result<std::unique_ptr<BlobStore>>> open(Reactor& reactor,
                                                       std::unique_ptr<Device> device, Ids ids);

  /// Makes a blob, zeroed as asked; it is in the table, durably, when this completes.
  /// @error exists, no_space (nothing is left behind), io, invalid
  Task<Result<std::unique_ptr<Device>>> create(BlobId id, BlobCreate options);
  /// @error nonexistent
  Result<std::unique_ptr<Device>> open(BlobId id);
  /// Removes every blob of `owner` durably and tells the medium that the space is free. None is
  /// fine. Precondition: none of them is in use.
  Task<Result<void>> remove(Uuid owner);

  BlobSpace space() const;
  const BlobTable& table() const { return table_; }

 private:
  BlobStore(Reactor& reactor, std::unique_ptr<Device> device, BlobTable table);
  Result<std::vector<BlobRun>> allocate(uint64_t units) const;
  /// Writes `next` as the next generation; then it is the table. @error io, no_space
  Task<Result<void>> change(BlobTable next);
  Task<void> enter();
  void leave();

  Reactor& reactor_;
  std::unique_ptr<Device> device_;
  BlobTable table_;
  bool changing_ = false;
  WaitList changed_;
};

}  // namespace cairn::media
