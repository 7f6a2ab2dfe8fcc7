#include "sim/cluster/machine.h"

namespace cairn::sim {

namespace {

constexpr service::ShardSizes kConfigSizes = {
    .wal_bytes = 16u << 20, .meta_bytes = 64u << 20, .data_bytes = 64u << 20};
/// A fault is aimed at one of the next requests.
constexpr uint64_t kRequestsAhead = 20;
/// Of a disk of data, and of metadata, at once: most of what is there is in use no more.
constexpr uint64_t kDataRotten = 200, kMetadataRotten = 10;

}  // namespace

/// One opening of a disk.
class Machine::Blob final : public media::Device {
 public:
  explicit Blob(std::shared_ptr<SimDisk> disk) : disk_(std::move(disk)) {}
  uint64_t size_bytes() const override { return disk_->size_bytes(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    return disk_->read(offset, into);
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    return disk_->write(offset, from);
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    return disk_->write_durable(offset, from);
  }
  Task<Result<void>> flush() override { return disk_->flush(); }
  uint64_t flush_domain() const override { return disk_->flush_domain(); }
  bool flush_covers(uint64_t offset, uint64_t bytes) override {
    return disk_->flush_covers(offset, bytes);
  }
  Task<void> discard(uint64_t offset, uint64_t bytes) override {
    return disk_->discard(offset, bytes);
  }
  bool wants_discard() const override { return disk_->wants_discard(); }

 private:
  const std::shared_ptr<SimDisk> disk_;
};

/// Names on disks are durable at once.
class Machine::Source final : public embed::BlobSource {
 public:
  Source(Machine& machine, Reactor& reactor) : machine_(machine), reactor_(reactor) {}

  Task<Result<embed::Blobs>> create(Uuid pool, uint32_t target,
                                    service::ShardSizes sizes) override {
    const Key key{pool, target};
    if (machine_.shards_.contains(key)) co_return fail(Errc::exists, "machine: blobs are there");
    const Triple& disks = machine_.shards_[key] =
        machine_.make(to_string(pool).substr(0, 4) + "." + std::to_string(target), sizes);
    co_return Machine::open(disks, reactor_);
  }
  Task<Result<embed::Blobs>> open(Uuid pool, uint32_t target) override {
    const auto found = machine_.shards_.find({pool, target});
    if (found == machine_.shards_.end()) co_return fail(Errc::nonexistent, "machine: no such blob");
    co_return Machine::open(found->second, reactor_);
  }
  Task<Result<void>> remove(Uuid pool) override {
    std::erase_if(machine_.shards_,
                  [&pool](const auto& entry) { return entry.first.first == pool; });
    co_return Result<void>{};
  }
  std::vector<client::DeviceSpace> devices() const override { return {}; }

 private:
  Machine& machine_;
  Reactor& reactor_;
};

Machine::Machine(std::string name, uint64_t seed) : name_(std::move(name)), random_(seed) {
  power_.delay_max = kUsualDelay;
}

Machine::Triple Machine::make(const std::string& name, const service::ShardSizes& sizes) {
  const auto disk = [&](const char* role, uint64_t bytes) {
    return std::make_shared<SimDisk>(power_, random_, name_ + "." + name + "." + role, bytes);
  };
  return {disk("wal", sizes.wal_bytes), disk("meta", sizes.meta_bytes),
          disk("data", sizes.data_bytes)};
}

embed::Blobs Machine::open(const Triple& disks, Reactor& reactor) {
  for (const auto& disk : {disks.wal, disks.meta, disks.data}) disk->attach(&reactor);
  return {std::make_unique<Blob>(disks.wal), std::make_unique<Blob>(disks.meta),
          std::make_unique<Blob>(disks.data)};
}

std::unique_ptr<embed::BlobSource> Machine::blobs(Reactor& reactor) {
  return std::make_unique<Source>(*this, reactor);
}

embed::Blobs Machine::config_blobs(Reactor& reactor, bool& fresh) {
  fresh = config_.wal == nullptr;
  if (fresh) config_ = make("config", kConfigSizes);
  return open(config_, reactor);
}

template <class Do>
void Machine::each(Do what) {
  const auto all = [&what](const Triple& disks) {
    for (const auto& disk : {disks.wal, disks.meta, disks.data}) {
      if (disk) what(*disk);
    }
  };
  for (const auto& [key, disks] : shards_) all(disks);
  all(config_);
}

// No data is rotten while a store opens: that of the last records proves that they were whole, and
// what does not prove itself is what the end has torn. Without a copy nobody can tell.

void Machine::settle_after_kill() {
  each([](SimDisk& disk) {
    disk.undo_rot();
    disk.settle_after_kill();
  });
}

void Machine::settle_after_power_cut() {
  each([](SimDisk& disk) {
    disk.undo_rot();
    disk.settle_after_cut();
  });
}

void Machine::fail_a_request(Random& random) {
  if (shards_.empty()) return;
  broken_ = true;
  auto at = shards_.begin();
  std::advance(at, static_cast<ptrdiff_t>(random.below(shards_.size())));
  const Triple& disks = at->second;
  const uint64_t nth = 1 + random.below(kRequestsAhead);
  switch (random.below(4)) {
    case 0:
      return disks.wal->fail(SimDisk::Op::write, nth, Errc::io);
    case 1:
      return disks.meta->fail(SimDisk::Op::write, nth, Errc::io);
    case 2:
      return disks.data->fail(SimDisk::Op::write, nth, Errc::io);
    default:
      return disks.meta->fail(SimDisk::Op::flush, 1, Errc::io);
  }
}

/// Not in logs: the last thing in a log that does not prove itself is what a power cut has torn,
/// and without a copy nobody can tell. Not in the services' store, whose machine is assumed to be
/// well.
void Machine::rot(Random& random, bool metadata) {
  for (const auto& [key, disks] : shards_) {
    for (uint64_t i = 0, n = 1 + random.below(kDataRotten); i < n; ++i) disks.data->rot();
    for (uint64_t i = 0, n = 1 + random.below(kMetadataRotten); metadata && i < n; ++i) {
      disks.meta->rot();
    }
  }
  // What a store has met of it, it may hold against the page for good.
  if (metadata) broken_ = true;
}

void Machine::heal() {
  each([](SimDisk& disk) {
    disk.heal();
    disk.undo_rot();
  });
}

}  // namespace cairn::sim
