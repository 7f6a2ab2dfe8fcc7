// Machine: the disks of one simulated engine, which outlive its process, and the blobs on them.
// Home: the stage; a blob's requests run on the process that opened it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cmd/embed/blob_source.h"
#include "sim/cluster/stage.h"
#include "sim/disk.h"

namespace cairn::sim {

class Machine {
 public:
  Machine(std::string name, uint64_t seed);

  /// Blobs for one run of a process. Outlives them.
  std::unique_ptr<embed::BlobSource> blobs(Reactor& reactor);
  /// The config store's, which are made at first use. @param fresh  set if they were
  embed::Blobs config_blobs(Reactor& reactor, bool& fresh);

  /// What became of requests under way and of what was not flushed, after the process's end.
  void settle_after_kill();
  void settle_after_power_cut();
  /// One of the next requests of one disk fails; the store on it stops.
  void fail_a_request(Random& random);
  /// Bits flip on the disks of data, or on those of metadata as well.
  void rot(Random& random, bool metadata);
  /// Requests succeed, and what has rotted is what it was.
  void heal();
  /// Did a request fail since the last look?
  bool take_broken() { return std::exchange(broken_, false); }
  /// Requests take up to so long.
  void set_delay(Duration delay_max) { power_.delay_max = delay_max; }
  static constexpr Duration kUsualDelay = 100 * kMicrosecond;

 private:
  class Blob;
  class Source;
  struct Triple {
    std::shared_ptr<SimDisk> wal, meta, data;
  };
  using Key = std::pair<Uuid, uint32_t>;  // pool and target
  Triple make(const std::string& name, const service::ShardSizes& sizes);
  static embed::Blobs open(const Triple& disks, Reactor& reactor);
  template <class Do>
  void each(Do what);

  const std::string name_;
  SeededRandom random_;
  Power power_;
  std::map<Key, Triple> shards_;
  Triple config_;
  bool broken_ = false;
};

}  // namespace cairn::sim
