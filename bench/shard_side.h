// Our side of the store cases: one shard on files, in process, driven by the calling thread.
#pragma once

#include <memory>
#include <string>

#include "bench/counting_device.h"
#include "bench/harness.h"
#include "runtime/context.h"
#include "vos/shard.h"

namespace cairn::bench {

class ShardSide {
 public:
  explicit ShardSide(const std::string& directory, uint64_t wal_bytes = 256u << 20,
                     uint64_t meta_bytes = 1u << 30, uint64_t data_bytes = 4ull << 30);
  ~ShardSide();

  Context& context() { return *context_; }
  Reactor& reactor() { return *reactor_; }
  vos::Shard& shard() { return *shard_; }
  /// Runs `count` tasks made by `make(i)`, all in flight at once.
  void run_all_at_once(size_t count, const std::function<Task<Result<void>>(size_t)>& make);

  /// Requests to the three devices since this call, for each operation of ours, as JSON members.
  /// Peers' rounds make none, so the difference over a whole case is ours.
  Extra device_requests();

  static vos::ObjectPath object(uint64_t number);

 private:
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<CountingDevice> wal_, meta_, data_;
  std::unique_ptr<vos::Shard> shard_;
};

}  // namespace cairn::bench
