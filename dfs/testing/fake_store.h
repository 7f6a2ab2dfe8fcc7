// A System of one pool in memory, with the semantics that vos/shard.h promises (conditions,
// extents, punches, positions), for tests that want no store below. Nothing is durable. Its seams:
// every operation gives way once, so that tasks interleave, and writes can be made to fail from the
// n-th on, as after a power cut.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "model/hlc.h"

namespace cairn::dfs::testing {

/// One value of an akey. `punched` values keep their key listed.
struct FakeValue {
  model::ValueType type = model::ValueType::none;
  uint64_t record_bytes = 0;
  Bytes single;
  std::map<uint64_t, Bytes> extents;  // first record -> records; disjoint
};

struct FakeObject {
  model::Epoch epoch = 0;    // newest change
  model::Epoch punched = 0;  // as a whole
  std::map<std::string, model::Epoch> changed;  // of each dkey, also of those that went
  std::map<std::string, std::map<std::string, FakeValue>> dkeys;
};

using FakeObjects = std::map<model::ObjectId, FakeObject>;
/// A whole copy of a container.
struct FakeSnapshot {
  FakeObjects objects;
  bool has_table = false;
};

/// What all handles of a container share.
struct FakeData {
  Uuid uuid;
  std::string label;
  client::Props props;
  client::Attrs attrs;
  uint64_t next_oid = 0;
  uint32_t handles = 0;
  FakeObjects objects;
  std::map<model::Epoch, FakeSnapshot> snapshots;
};

class FakeSystem final : public client::System {
  template <class T>
  static Task<Result<T>> refused() {
    co_return fail(Errc::not_supported, "fake: not administered");
  }

 public:
  /// Has one pool of that label.
  explicit FakeSystem(std::string pool_label = "tank");
  ~FakeSystem() override;

  Context& context() override { return *context_; }
  Reactor& reactor() { return *reactor_; }
  Task<Result<Uuid>> pool_create(client::PoolCreateOptions options) override;
  Task<Result<std::vector<client::PoolInfo>>> pool_list() override;
  Task<Result<std::vector<client::DeviceSpace>>> devices() override;
  Task<Result<std::vector<client::EngineInfo>>> engines() override;
  Task<Result<void>> pool_destroy(std::string pool, bool force) override;
  Task<Result<client::PoolPtr>> pool_connect(std::string pool, client::Access access) override;
  Task<Result<client::PoolPtr>> pool_attach(uint64_t handle_id) override;
  // Nothing of this folder administers.
  Task<Result<void>> pool_set_props(std::string, client::Props) override { return refused<void>(); }
  Task<Result<void>> pool_extend(std::string, std::vector<uint32_t>) override {
    return refused<void>();
  }
  Task<Result<std::vector<client::RankResult>>> set_running(std::vector<uint32_t>,
                                                            bool) override {
    return refused<std::vector<client::RankResult>>();
  }
  Task<Result<void>> storage_format(bool) override { return refused<void>(); }
  Uuid uuid() const override { return uuid_; }
  Result<void> shutdown() override { return {}; }

  /// Writes from now on that succeed; the next ones give Errc::io. Nullopt: all succeed.
  void cut_after(std::optional<uint64_t> writes) { writes_left_ = writes; }
  uint64_t writes() const { return writes_; }
  uint64_t reads() const { return reads_; }

  // For the classes below.
  client::PoolInfo info() const;
  /// Counts a write. @error io  the power is off
  Result<void> begin_write();
  void begin_read() { ++reads_; }
  model::Epoch next_epoch() { return hlc_.next(system_clock().wall_ns()); }
  /// A name for a place in a listing, and back.
  Bytes remember(std::string place);
  Result<std::string> recall(const Bytes& position) const;
  /// Null if there is none of that name or UUID.
  std::shared_ptr<FakeData> find(const std::string& container) const;
  std::vector<std::shared_ptr<FakeData>>& containers() { return containers_; }
  Uuid new_uuid();

 private:
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::string label_;
  Uuid uuid_;
  model::Hlc hlc_;
  std::optional<uint64_t> writes_left_;
  uint64_t writes_ = 0, reads_ = 0;
  std::vector<std::string> places_;
  std::vector<std::shared_ptr<FakeData>> containers_;
};

}  // namespace cairn::dfs::testing
