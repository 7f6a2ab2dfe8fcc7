// Service: the control plane of a home: pools, their containers, handles, properties and
// attributes. State that must survive is in the ConfigStore, one commit per change; handles are in
// memory and end with the process. A pool or container that is going has a tombstone first; start()
// finishes what a crash cut. Requests: wire/control.proto. Home: the reactor given.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "model/hlc.h"
#include "runtime/reactor.h"
#include "service/config_store.h"
#include "service/records.h"
#include "service/shard_host.h"

namespace cairn::service {

struct ServiceOptions {
  uint32_t engine_count = 1;
  uint32_t target_count = 1;
  bool read_only = false;      // whatever changes something is refused with no_perm
  /// Called between the steps of what takes several commits, with the step's name; for crash tests.
  std::function<void(const char*)> at_step;
};

/// Meta and data together hold `bytes`; the log comes on top.
/// @error invalid  below the least size
Result<ShardSizes> shard_sizes(uint64_t bytes, uint64_t meta_bytes);
inline constexpr uint64_t kPoolBytesMin = 128ull << 20;

class Service {
 public:
  /// All are borrowed.
  Service(Reactor& reactor, ConfigStore& config, ShardHost& host, ServiceOptions options);
  ~Service();

  /// Removes half-made pools, finishes destroys, opens every pool. A pool whose shard cannot be
  /// opened is reported on stderr and refuses connections with that error; the others work.
  /// @error io, checksum, format_newer  the ConfigStore cannot be read
  Task<Result<void>> start();
  /// Answers one encoded ControlRequest with an encoded ControlReply. `session`: the client's.
  /// @error what the operation says; protocol  not a request that this version knows
  Task<Result<Bytes>> handle(uint64_t session, Bytes request);
  /// Refuses new requests, waits for those inside.
  Task<void> stop();

  /// Every pool in the ConfigStore, for `check`.
  Task<Result<std::vector<Uuid>>> pools();

 private:
  struct PoolHandle {
    Uuid pool;
    uint32_t access = 0;
    bool evicted = false;
  };
  struct ContHandle {
    uint64_t pool_handle = 0;
    Uuid pool, cont;
    uint32_t access = 0;
    wire::HandleRef io;
    bool evicted = false;
  };
  /// A record as read, with the revision that a change of it must expect.
  template <class R>
  struct Held {
    Uuid uuid;
    R record;
    Revision modified = 0;
  };
  using HeldPool = Held<PoolRecord>;
  using HeldCont = Held<ContRecord>;
  using Request = wire::ControlRequest;
  using Reply = wire::ControlReply;

  Task<Result<Reply>> dispatch(uint64_t session, const Request& request);
  Task<Result<Reply>> dispatch_cont(uint64_t session, const Request& request);

  // pool_service.cc
  Task<Result<Reply>> pool_create(const Request& request);
  Task<Result<void>> build_pool(Uuid uuid, PoolRecord record);
  Task<Result<Reply>> pool_list();
  Task<Result<Reply>> pool_destroy(const Request& request);
  Task<Result<void>> check_pool_idle(HeldPool pool, bool force);
  Task<Result<void>> finish_pool_destroy(Uuid uuid);
  Task<Result<Reply>> pool_connect(const Request& request);
  Result<Reply> pool_disconnect(const Request& request);
  Task<Result<Reply>> pool_query(const Request& request);
  Task<Result<HeldPool>> find_pool(std::string name);
  Task<Result<HeldPool>> load_pool(Uuid uuid);
  wire::PoolReply describe(const HeldPool& pool);
  Result<PoolHandle*> pool_handle(uint64_t id);
  Task<Result<void>> start_pool(HeldPool pool);
  Task<Result<void>> start_cont(Uuid pool, HeldCont cont);
  Task<Result<void>> erase_prefix(std::string prefix);

  // cont_service.cc
  Task<Result<Reply>> cont_create(const Request& request);
  Task<Result<Reply>> cont_create_once(Uuid pool, const Request& request, Uuid uuid);
  Task<Result<Reply>> cont_list(const Request& request);
  Task<Result<Reply>> cont_open(uint64_t session, const Request& request);
  Task<Result<void>> touch_open_time(Uuid pool, Uuid cont);
  Task<Result<Reply>> cont_destroy(const Request& request);
  Task<Result<void>> finish_cont_destroy(Uuid pool, Uuid cont, ContRecord record);
  Task<Result<Reply>> cont_close(const Request& request);
  Task<Result<Reply>> cont_query(const Request& request);
  Task<Result<Reply>> cont_set_props(const Request& request);
  Task<Result<Reply>> cont_set_props_once(ContHandle handle, const Request& request);
  Task<Result<Reply>> alloc_oids(const Request& request);
  Task<Result<void>> reserve_oids(Uuid pool, Uuid cont, uint64_t count);
  Task<Result<HeldCont>> find_cont(Uuid pool, std::string name);
  Task<Result<HeldCont>> load_cont(Uuid pool, Uuid uuid);
  Task<Result<wire::ContReply>> describe_cont(Uuid pool, HeldCont cont);
  Result<ContHandle*> cont_handle(uint64_t id, bool for_write);
  Result<void> check_exclusive(const Uuid& pool, const Uuid& cont, uint32_t access) const;
  Task<void> evict_conts(Uuid pool, Uuid cont);

  // snapshot_service.cc
  /// One at a time works on a container's snapshots.
  class SnapLock;
  Task<SnapLock> lock_snapshots(Uuid cont);
  Task<Result<Reply>> dispatch_snapshots(const Request& request);
  Task<Result<Reply>> snap_create(ContHandle handle);
  Task<Result<model::Epoch>> snap_on_shards(Uuid pool, uint32_t container);
  Task<Result<model::Epoch>> try_snap_on_shards(Uuid pool, uint32_t container);
  Task<void> drop_from_shards(Uuid pool, uint32_t container, model::Epoch epoch);
  Task<Result<Reply>> snap_list(ContHandle handle);
  Task<Result<Reply>> snap_destroy(ContHandle handle, model::Epoch epoch);
  Task<Result<Reply>> snap_rollback(ContHandle handle, model::Epoch epoch);
  Task<Result<Reply>> snap_set_table(ContHandle handle, model::Epoch epoch, bool whole);
  Task<Result<std::vector<wire::SnapReply>>> load_snapshots(Uuid pool, Uuid cont);
  Task<Result<void>> start_snapshots(Uuid pool, HeldCont cont);

  // attr_service.cc
  Task<Result<Reply>> attrs(std::string prefix);
  Task<Result<void>> commit_in_cont(Uuid pool, Uuid cont, ConfigTxn changes);
  Task<Result<Reply>> dispatch_attrs(const Request& request);

  model::Epoch next_epoch() { return hlc_.next(reactor_.clock().wall_ns()); }
  void step(const char* name) {
    if (options_.at_step) options_.at_step(name);
  }

  /// [next, limit) is reserved durably and not handed out yet.
  struct OidRange {
    uint64_t next = 0, limit = 0;
  };
  Reactor& reactor_;
  ConfigStore& config_;
  ShardHost& host_;
  ServiceOptions options_;
  Gate gate_;
  model::Hlc hlc_;
  uint64_t next_handle_ = 1;
  std::map<uint64_t, PoolHandle> pool_handles_;
  std::map<uint64_t, ContHandle> cont_handles_;
  std::map<Uuid, Error> broken_;                      // pools that could not be opened
  std::set<Uuid> going_;                              // pools and containers being destroyed
  std::set<Uuid> snapping_;                           // containers whose snapshots change
  WaitList snapped_;                                  // snapping_ lost one
  std::map<std::pair<Uuid, Uuid>, OidRange> oids_;    // handed out by this process
};

/// How often a change is decided anew when others change the same record meanwhile.
inline constexpr int kTriesMax = 64;

}  // namespace cairn::service
