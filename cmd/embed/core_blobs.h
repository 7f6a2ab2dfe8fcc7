// CoreBlobs: the blobs of a core of an engine that is not the first. They are made and found where
// their places are looked after, on the first core, and go on here. Home: the core's reactor.
#pragma once

#include "cmd/embed/blob_source.h"
#include "runtime/core.h"

namespace cairn::embed {

class CoreBlobs final : public BlobSource {
 public:
  /// `first`: at home on `first_home`, borrowed. Its devices can go to other reactors
  /// (media/portable_device.h).
  CoreBlobs(Reactor& home, Reactor& first_home, BlobSource& first)
      : home_(home), first_home_(first_home), first_(first) {}

  Task<Result<Blobs>> create(Uuid pool, uint32_t target, service::ShardSizes sizes) override;
  Task<Result<Blobs>> open(Uuid pool, uint32_t target) override;
  /// Nothing: the first core removes those of all cores, after them (core_shards.h).
  Task<Result<void>> remove(Uuid pool) override;
  /// None: they are the first core's.
  std::vector<client::DeviceSpace> devices() const override { return {}; }

 private:
  Reactor& home_;
  Reactor& first_home_;
  BlobSource& first_;
};

}  // namespace cairn::embed
