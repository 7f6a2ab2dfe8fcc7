// A device that counts what reaches the one below it. Home: that of the device below.
#pragma once

#include <memory>
#include <vector>

#include "media/device.h"

namespace cairn::bench {

struct DeviceCounts {
  uint64_t reads = 0, writes = 0, durable_writes = 0, flushes = 0;
  uint64_t read_bytes = 0, written_bytes = 0;  // durable or not
};

/// What one request asked for.
struct DeviceSpan {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

class CountingDevice final : public media::Device {
 public:
  explicit CountingDevice(std::unique_ptr<media::Device> below) : below_(std::move(below)) {}
  const DeviceCounts& counts() const { return counts_; }
  /// Every read from now on goes there, too. Borrowed; null: no more.
  void record_reads(std::vector<DeviceSpan>* into) { recorded_ = into; }

  uint64_t size_bytes() const override { return below_->size_bytes(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    ++counts_.reads;
    counts_.read_bytes += into.size();
    if (recorded_ != nullptr) recorded_->push_back({offset, into.size()});
    return below_->read(offset, into);
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    ++counts_.writes;
    counts_.written_bytes += from.size();
    return below_->write(offset, from);
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    ++counts_.durable_writes;
    counts_.written_bytes += from.size();
    return below_->write_durable(offset, from);
  }
  Task<Result<void>> flush() override {
    ++counts_.flushes;
    return below_->flush();
  }
  Task<void> discard(uint64_t offset, uint64_t bytes) override {
    return below_->discard(offset, bytes);
  }
  bool wants_discard() const override { return below_->wants_discard(); }
  uint64_t flush_domain() const override { return below_->flush_domain(); }
  bool flush_covers(uint64_t offset, uint64_t bytes) override {
    return below_->flush_covers(offset, bytes);
  }

 private:
  std::unique_ptr<media::Device> below_;
  DeviceCounts counts_;
  std::vector<DeviceSpan>* recorded_ = nullptr;
};

}  // namespace cairn::bench
