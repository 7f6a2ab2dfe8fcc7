// BlobSource: the seam where an engine's blobs come from: files and devices (storage.h), or
// simulated disks. Home: the engine's reactor. Blobs must end before their source.
#pragma once

#include <memory>
#include <vector>

#include "client/client.h"
#include "index/store.h"
#include "media/device.h"
#include "runtime/task.h"
#include "service/shard_host.h"

namespace cairn::embed {

/// A shard's blobs, opened together.
struct Blobs {
  std::unique_ptr<media::Device> wal, meta, data;
  index::StoreDevices devices() const { return {wal.get(), meta.get(), data.get()}; }
};

class BlobSource {
 public:
  virtual ~BlobSource() = default;
  /// Makes the blobs of one shard; on error, what was made is left for remove().
  /// @error no_space, no_perm, io  a line on stderr names the device
  virtual Task<Result<Blobs>> create(Uuid pool, uint32_t target, service::ShardSizes sizes) = 0;
  /// @error nonexistent, io, ...  a line on stderr names the device
  virtual Task<Result<Blobs>> open(Uuid pool, uint32_t target) = 0;
  /// Removes every blob of the pool from every device. Idempotent.
  virtual Task<Result<void>> remove(Uuid pool) = 0;
  /// The devices and what is free on them, for people.
  virtual std::vector<client::DeviceSpace> devices() const = 0;
};

}  // namespace cairn::embed
