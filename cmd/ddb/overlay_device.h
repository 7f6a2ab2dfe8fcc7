// OverlayDevice: a device whose writes stay in memory: the file below is read and never changed. So
// a shard can be opened, its log replayed and all of it looked at, and nothing of it moves.
// Home: the reactor of the device below, which outlives it.
#pragma once

#include <map>

#include "media/device.h"

namespace cairn::ddb {

class OverlayDevice final : public media::Device {
 public:
  explicit OverlayDevice(media::Device& below) : below_(below) {}

  uint64_t size_bytes() const override { return below_.size_bytes(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override;
  Task<Result<void>> write(uint64_t offset, ByteView from) override;
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override;
  Task<Result<void>> flush() override;
  Task<void> discard(uint64_t offset, uint64_t bytes) override;

 private:
  media::Device& below_;
  std::map<uint64_t, Bytes> blocks_;  // by number; what was written
};

}  // namespace cairn::ddb
