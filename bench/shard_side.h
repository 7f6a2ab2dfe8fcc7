// Our side of the store cases: one shard on files, in process, driven by the calling thread.
#pragma once

#include <memory>
#include <string>

#include "bench/counting_device.h"
#include "bench/harness.h"
#include "runtime/context.h"
#include "vos/shard.h"

namespace cairn::bench {

/// The blobs of a shard: those of a pool of 8 GiB, less half of its data.
struct ShardSizes {
  uint64_t wal_bytes = 512u << 20;
  uint64_t meta_bytes = 1u << 30;
  uint64_t data_bytes = 4ull << 30;
  uint64_t memory_bytes = 512u << 20;  // budget of the page cache
  std::string wal_directory;           // empty: that of the others
  bool checkpoints = true;
};

class ShardSide {
 public:
  explicit ShardSide(const std::string& directory, ShardSizes sizes = {});
  ~ShardSide();

  Context& context() { return *context_; }
  Reactor& reactor() { return *reactor_; }
  vos::Shard& shard() { return *shard_; }
  /// Runs `count` tasks made by `make(i)`, at most `depth` of them in flight at once.
  void run_many(size_t count, size_t depth, const std::function<Task<Result<void>>(size_t)>& make);
  /// Ends the side as a crash of the process would: nothing is written any more.
  void abandon();
  /// The same files once more, after abandon().
  void reopen();
  /// Makes a checkpoint and goes on with another budget and nothing in memory.
  void reopen_within(uint64_t memory_bytes);
  /// Of metadata, since the shard was made or opened.
  uint64_t pages_read() const { return meta_->counts().read_bytes / index::kPageBytes; }
  const DeviceCounts& data_counts() const { return data_->counts(); }
  /// What is read of data from now on, as CountingDevice::record_reads().
  void record_data_reads(std::vector<DeviceSpan>* into) { data_->record_reads(into); }
  std::string data_path() const { return directory_ + "/data"; }
  /// To and from all devices, since then.
  uint64_t bytes_moved() const;

  /// Requests to the three devices since this call, for each operation of ours, as JSON members.
  /// Peers' rounds make none, so the difference over a whole case is ours.
  Extra device_requests();

  static vos::ObjectPath object(uint64_t number);

 private:
  void open_devices(bool create);

  std::string directory_;
  ShardSizes sizes_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<CountingDevice> wal_, meta_, data_;
  std::unique_ptr<vos::Shard> shard_;
};

}  // namespace cairn::bench
