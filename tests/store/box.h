// Box: one shard on three simulated disks, made, opened and taken to the next era from what the
// disks hold; and what a reader can tell of its content, as a text to compare.
#pragma once

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "base/check.h"
#include "sim/world.h"
#include "vos/testing/model.h"

namespace cairn::tests::store {

using sim::SimDisk;
using vos::testing::Object;

/// What the blobs of a shard hold: wal, meta, data.
using Media = std::array<SimDisk::Sectors, 3>;

inline uint64_t env_number(const char* name, uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 0) : otherwise;
}
inline uint64_t test_seed() { return env_number("CAIRN_TEST_SEED", 20'261); }

class Box {
 public:
  explicit Box(uint64_t seed, const Media* media = nullptr) : world_(seed) {
    constexpr uint64_t kBytes[] = {512u << 10, 64u << 20, 8u << 20};
    constexpr const char* kNames[] = {"wal", "meta", "data"};
    for (size_t i = 0; i < 3; ++i) {
      world_.add_disk(kNames[i], kBytes[i]);
      if (media != nullptr) disk(i).restore((*media)[i]);
    }
    options.store.memory_bytes = 64u << 20;
  }
  ~Box() { end_era(); }

  sim::World& world() { return world_; }
  SimDisk& disk(size_t i) { return *world_.disks()[i]; }
  /// From now on one flush is enough for log and data, where data overwrites something.
  void share_cache() {
    world_.share_cache();
    disk(2).fill(1u << 20);
  }
  vos::Shard& shard() { return *shard_; }
  bool has_shard() const { return shard_ != nullptr; }

  Result<void> start(bool create) {
    auto done = world_.run(start_task(*this, create));
    CHECK(done.has_value());  // nobody cuts the power while this runs
    return std::move(*done);
  }
  template <class T>
  T run(Task<T> task) {
    auto done = world_.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  /// Frames of tasks go first: they refer to the shard.
  void end_era() {
    world_.end_era();
    shard_.reset();
  }
  /// What is durable now.
  Media durable() {
    Media media;
    for (size_t i = 0; i < 3; ++i) media[i] = disk(i).image().durable;
    return media;
  }

  vos::ShardOptions options;

 private:
  static Task<Result<void>> start_task(Box& box, bool create) {
    const index::StoreDevices devices{&box.disk(0), &box.disk(1), &box.disk(2)};
    Reactor& reactor = box.world_.reactor();
    CO_TRY(shard, create ? co_await vos::Shard::create(reactor, devices, {}, box.options)
                         : co_await vos::Shard::open(reactor, devices, {}, box.options));
    box.shard_ = std::move(shard);
    co_return Result<void>{};
  }

  std::unique_ptr<vos::Shard> shard_;
  sim::World world_;
};

}  // namespace cairn::tests::store
