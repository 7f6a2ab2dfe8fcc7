// Service: the control plane of a home: pools, their containers, handles, properties and
// attributes. State that must survive is in the ConfigStore, one commit per change. Handles belong
// to the session that made them and are in memory; a server (`keep_handles`) also has a record of
// each, and one of each answer that may be asked for again, so that its clients notice no restart.
// A pool or container that is going has a tombstone first; start() finishes what a crash cut.
// Requests: wire/control.proto. Home: the reactor given.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "model/hlc.h"
#include "runtime/reactor.h"
#include "service/config_store.h"
#include "service/machine_host.h"
#include "service/records.h"
#include "service/shard_host.h"

namespace cairn::service {

struct ServiceOptions {
  uint32_t domain_count = 1;   // for redundancy to count on: 1 until it is built
  Targets targets{{}};         // new pools have a shard on each
  bool read_only = false;      // whatever changes something is refused with no_perm
  /// Handles and answers outlive the process; else start() erases what an earlier one left. Without
  /// effect on a home that is read only.
  bool keep_handles = false;
  /// Stops (or starts again) these engines and says for each how that went. Empty: a home without a
  /// server has nothing to stop.
  std::function<Task<std::vector<wire::RankResult>>(std::vector<uint32_t> ranks, bool run)>
      set_running = {};
  /// Other machines with engines of the system (borrowed). Null: there are none, and none can join.
  MachineHost* machines = nullptr;
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

  /// Removes half-made pools, finishes destroys, opens every pool, restores kept handles. A pool
  /// whose shard cannot be opened is reported on stderr and refuses connections with that error;
  /// the others work.
  /// @error io, checksum, format_newer  the ConfigStore cannot be read
  Task<Result<void>> start();
  /// Answers one encoded ControlRequest with an encoded ControlReply. Where handles are kept, a
  /// request that was executed before is answered as it was then, also after a restart.
  /// @error what the operation says; protocol  not a request that this version knows
  /// @error unknown   a resend of a session that has ended   @error no_handle  it ends just now
  /// @error overload  kDoneMax answers of the session were not acknowledged
  Task<Result<Bytes>> handle(Origin origin, Bytes request);
  /// For a client process that is gone: waits for its requests inside, closes its handles and what
  /// was attached to them, forgets its answers. Idempotent.
  Task<void> end_session(uint64_t session);
  /// Sessions of which something was restored, ascending. Who does not come back must be ended.
  std::vector<uint64_t> sessions() const;
  /// Refuses new requests, waits for those inside.
  Task<void> stop();

  // Engines that come while the service runs: catch_up.cc.
  /// Brings an engine that has come (back) to where the others are: opens its pools, ends what it
  /// has missed, gives it the handles. Then it may serve.
  /// @error unreachable  it has gone again   Others: it, or the ConfigStore, cannot be used
  Task<Result<void>> catch_up(ShardHost& engine);
  /// Ends removals of pools and containers, and rollbacks, that some engine was away for. What
  /// fails is tried the next time.
  Task<void> finish_removals();

  /// Every pool in the ConfigStore, for `check`.
  Task<Result<std::vector<Uuid>>> pools();

 private:
  /// `owner`: of an attached handle, the one that it is a copy of and ends with; else 0. Attached
  /// ones count nowhere: their owner does.
  struct PoolHandle {
    uint64_t session = 0, owner = 0;
    Uuid pool;
    uint32_t access = 0;
    bool evicted = false;
    const Uuid& opened() const { return pool; }
  };
  struct ContHandle {
    uint64_t session = 0, owner = 0, pool_handle = 0;
    Uuid pool, cont;
    uint32_t number = 0, access = 0;
    wire::HandleRef io;
    bool evicted = false;
    const Uuid& opened() const { return cont; }
  };
  /// Handles of a pool or container in the tables that count: neither attached nor evicted.
  /// Thousands of clients open one at once, so nobody counts them each time.
  struct Openers {
    uint32_t all = 0, exclusive = 0;
  };
  /// After a handle has entered the table; before it leaves it, or is evicted.
  void count_in(const auto& handle) {
    if (handle.owner == 0 && !handle.evicted) count(handle.opened(), handle.access, true);
  }
  void count_out(const auto& handle) {
    if (handle.owner == 0 && !handle.evicted) count(handle.opened(), handle.access, false);
  }
  void count(const Uuid& opened, uint32_t access, bool in);
  /// @error busy  others have it open, or one exclusively
  Result<void> check_exclusive(const Uuid& opened, uint32_t access) const;
  Openers openers_of(const Uuid& opened) const;
  /// Handles that are no longer in the tables.
  struct Closing {
    std::map<uint64_t, PoolHandle> pools;
    std::map<uint64_t, ContHandle> conts;
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
  struct Request : wire::ControlRequest {
    Origin origin;
  };
  using Reply = wire::ControlReply;

  Task<Result<Reply>> dispatch(const Request& request);
  Task<Result<Reply>> dispatch_cont(const Request& request);

  // sessions.cc
  /// A request of a session that is being served.
  class Inside;
  Result<Inside> enter(Origin origin);
  bool keeps() const { return options_.keep_handles && !options_.read_only; }
  Task<Result<std::optional<Bytes>>> earlier_answer(Origin origin);
  Task<Result<void>> commit_done(const Request& request, ConfigTxn txn, Reply reply);
  Task<void> forget_done(uint64_t session);
  Task<Result<void>> start_done();
  void remember_ended(uint64_t session);

  // handles.cc
  uint64_t new_handle_id();
  Result<PoolHandle*> pool_handle(const Request& request);
  Result<ContHandle*> cont_handle(const Request& request, bool for_write);
  Grant grant_of(const ContHandle& handle) const;
  Result<uint64_t> add_cont_handle(ContHandle handle);
  Task<Result<void>> share_handle(uint64_t id);
  ConfigTxn put_handle(uint64_t id);
  Task<Result<Reply>> keep_handle(const Request& request, uint64_t id, Reply reply);
  Task<Result<Reply>> finish_handle(const Request& request, uint64_t id, Result<void> committed,
                                    Reply reply);
  void take(uint64_t id, Closing& into);
  void take_dependents(Closing& into);
  Closing take_session(uint64_t session);
  Task<Result<Reply>> close_handles(const Request& request, uint64_t id, Closing closing);
  Task<void> end_handles(Closing closing);
  Task<Result<Reply>> pool_attach(const Request& request);
  Task<Result<Reply>> cont_attach(const Request& request);
  Task<Result<void>> start_handles();
  /// False: nothing that could be restored.
  Task<Result<bool>> restore_pool(SessionKey key, HandleRecord record);
  Task<Result<bool>> restore_cont(SessionKey key, HandleRecord record);

  // machine_service.cc
  Task<Result<Reply>> machine_join(const Request& request);
  Task<Result<Reply>> machine_report(const Request& request);
  Task<Result<void>> start_machines();
  void admit(const Uuid& uuid, const MachineRecord& record);
  Result<MachineRecord> allot_ranks(const wire::Machine& machine, uint64_t next) const;
  Result<void> check_machine(const wire::Machine& machine) const;
  Task<Result<void>> join_once(wire::Machine machine);

  // pool_service.cc
  Task<Result<Reply>> pool_create(const Request& request);
  Task<Result<Reply>> build_pool(const Request& request, Uuid uuid, PoolRecord record);
  Task<Result<Reply>> pool_list();
  Task<Result<Reply>> pool_destroy(const Request& request);
  Task<Result<void>> check_pool_idle(HeldPool pool, bool force);
  Task<Result<void>> free_label(Uuid uuid);
  Task<Result<void>> finish_pool_destroy(Uuid uuid);
  Task<Result<Reply>> pool_connect(const Request& request);
  Task<Result<Reply>> pool_disconnect(const Request& request);
  Task<Result<Reply>> pool_query(const Request& request);
  Task<Result<HeldPool>> find_pool(std::string name);
  Task<Result<HeldPool>> load_pool(Uuid uuid);
  static wire::PoolMap map_of(const PoolRecord& record);
  wire::PoolMap told_map(const PoolRecord& record) const;
  static Targets targets_of(const PoolRecord& record);
  Task<wire::PoolReply> describe(HeldPool pool);
  uint32_t targets_away(const wire::PoolMap& map) const;
  Task<Result<void>> start_pool(HeldPool pool);
  Task<void> start_scrubs(ShardHost& host, Uuid pool);
  /// Notes whether an engine could open the pool.
  void note_opened(const Uuid& pool, const ShardHost& engine, const Result<void>& opened);
  /// @error why it could not be opened
  Result<void> check_whole(const Uuid& pool) const;
  Task<Result<void>> start_cont(Uuid pool, HeldCont cont);
  Task<Result<void>> erase_prefix(std::string prefix);
  Task<Result<void>> erase_keys(std::vector<std::string> keys);

  // pool_change.cc
  Task<Result<Reply>> pool_set_props(const Request& request);
  Task<Result<Reply>> pool_extend(const Request& request);
  Task<Result<void>> extend_shards(const Request& request, HeldPool pool);
  /// The targets of these ranks that pools may have. @error nonexistent  a rank that there is not
  Result<Targets> targets_at(const std::vector<wire::Target>& ranks) const;
  Task<Result<Reply>> set_running(const Request& request, bool run);

  // cont_service.cc
  Task<Result<Reply>> cont_create(const Request& request);
  Task<Result<Reply>> cont_create_once(Uuid pool, const Request& request, Uuid uuid);
  Task<Result<Reply>> cont_list(const Request& request);
  Task<Result<Reply>> cont_open(const Request& request);
  Task<Result<Reply>> answer_open(const Request& request, uint64_t id, HeldCont cont);
  Task<Result<void>> commit_open(const Request& request, uint64_t id, ContHandle handle,
                                 Reply reply);
  Task<Result<Reply>> cont_destroy(const Request& request);
  Task<Result<void>> finish_cont_destroy(Uuid pool, Uuid cont, ContRecord record);
  Task<Result<Reply>> cont_close(const Request& request);
  Task<Result<Reply>> cont_query(const Request& request);
  Task<Result<Reply>> cont_set_props(const Request& request);
  Task<Result<Reply>> cont_set_props_once(ContHandle handle, const Request& request);
  Task<Result<Reply>> alloc_oids(const Request& request);
  Task<Result<Reply>> cont_aggregate(const Request& request);
  Task<Result<void>> reserve_oids(Uuid pool, Uuid cont, uint64_t count);
  Task<Result<HeldCont>> find_cont(Uuid pool, std::string name);
  Task<Result<HeldCont>> load_cont(Uuid pool, Uuid uuid);
  Task<Result<wire::ContReply>> describe_cont(Uuid pool, HeldCont cont);
  Task<void> evict_conts(Uuid pool, Uuid cont);

  // snapshot_service.cc
  /// One at a time works on a container's snapshots.
  class SnapLock;
  Task<SnapLock> lock_snapshots(Uuid cont);
  Task<Result<Reply>> dispatch_snapshots(const Request& request);
  Task<Result<Reply>> change_snapshots(const Request& request);
  Task<Result<Reply>> snap_create(const Request& request, ContHandle handle);
  Task<Result<model::Epoch>> snap_on_shards(Uuid pool, uint32_t container);
  Task<Result<model::Epoch>> try_snap_on_shards(Uuid pool, uint32_t container);
  Task<void> drop_from_shards(ShardHost& host, Uuid pool, uint32_t container,
                              model::Epoch epoch);
  Task<Result<Reply>> snap_list(ContHandle handle);
  Task<Result<Reply>> snap_destroy(const Request& request, ContHandle handle);
  Task<Result<Reply>> snap_rollback(const Request& request, ContHandle handle);
  Task<Result<model::Epoch>> try_hold(Uuid pool, uint32_t container, model::Epoch epoch);
  Task<Result<model::Epoch>> hold_on_shards(Uuid pool, uint32_t container, model::Epoch epoch);
  Task<Result<void>> decide_rollback(const Request& request, ContHandle handle, model::Epoch at);
  Task<Result<void>> finish_rollback(ShardHost& host, Uuid pool, HeldCont cont);
  Task<Result<void>> end_rollback(Uuid pool, Uuid cont);
  Task<Result<bool>> resume_rollback(const Request& request, ContHandle handle);
  Task<Result<Reply>> snap_set_table(const Request& request, ContHandle handle);
  Task<Result<std::vector<wire::SnapReply>>> load_snapshots(Uuid pool, Uuid cont);
  void remember_unended(const Uuid& pool, const Uuid& cont);
  static Task<void> retry_unended(Reactor& reactor, std::weak_ptr<bool> alive, Service& service);
  Task<Result<void>> start_snapshots(ShardHost& host, Uuid pool, HeldCont cont);

  // worm_service.cc
  static model::WormPolicy policy_of(const ContRecord& record);
  static Result<void> check_unsealed(const ContRecord& record);
  Task<Result<Reply>> dispatch_worm(const Request& request);
  Task<Result<Reply>> worm_query(const Request& request);
  Request asker_of(const SealRecord& seal) const;
  Task<Result<Reply>> change_seal(const Request& request, model::Epoch& noted);
  Task<Result<Reply>> cont_seal(const Request& request, ContHandle handle, model::Epoch& noted);
  Task<Result<Reply>> cont_unseal(const Request& request, ContHandle handle);
  Task<Result<void>> decide_seal(const Request& request, ContHandle handle, SealRecord seal);
  Task<Result<Reply>> carry_out_seal(ContHandle handle);
  Task<Result<void>> finish_seal(ShardHost& host, Uuid pool, HeldCont cont);
  Task<Result<void>> end_seal(Uuid pool, Uuid cont);
  Task<Result<void>> tell_worm(ShardHost& host, Uuid pool, Uuid cont);
  Task<Result<void>> tell_worm_again(Uuid pool, Uuid cont);
  Task<void> tell_worm_alone(Uuid pool, Uuid cont);
  Task<Result<void>> start_worm(ShardHost& host, Uuid pool, Uuid cont);
  Task<void> tell_new_shards(Uuid pool);

  // catch_up.cc
  Task<Result<std::vector<HeldPool>>> load_pools();
  Task<Result<std::vector<HeldCont>>> load_conts(Uuid pool);
  Task<Result<void>> catch_up_pool(ShardHost& engine, HeldPool pool);
  Task<Result<void>> wait_until_made(HeldPool& pool);
  Task<void> end_decided();
  Task<void> end_decided_of(Uuid pool, Uuid cont);
  bool in_work(const Uuid& pool_or_cont) const {
    return going_.contains(pool_or_cont) || making_.contains(pool_or_cont);
  }

  // attr_service.cc
  Task<Result<Reply>> attrs(std::string prefix);
  Task<Result<void>> commit_in_cont(const Request& request, ContHandle handle, ConfigTxn changes,
                                    Reply reply);
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
  std::map<uint64_t, PoolHandle> pool_handles_;
  std::map<uint64_t, ContHandle> cont_handles_;
  std::map<Uuid, Openers> openers_;                   // of both, by pool and by container
  std::map<Uuid, std::map<uint32_t, Error>> broken_;  // pools that engines could not open
  std::set<Uuid> going_;                              // pools and containers being destroyed
  std::set<Uuid> making_;                             // pools being created
  std::map<Uuid, MachineRecord> machines_;
  /// Pools and containers: rollbacks and seals that are decided, and worm_* properties that an
  /// engine could not be told.
  std::set<std::pair<Uuid, Uuid>> unended_;
  bool retrying_ = false;  // retry_unended() is at work
  /// Tasks that may outlast this object in the reactor's timers look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::set<Uuid> snapping_;                           // containers whose snapshots change
  WaitList snapped_;                                  // snapping_ lost one
  std::map<std::pair<Uuid, Uuid>, OidRange> oids_;    // handed out by this process
  std::map<uint64_t, std::set<uint64_t>> done_;       // by session: sequences with a DoneRecord
  std::set<uint64_t> restored_;                       // sessions
  std::map<uint64_t, size_t> inside_;                 // requests of a session
  std::set<uint64_t> ending_;                         // sessions
  std::set<uint64_t> ended_;                          // the last kEndedMax of them ...
  std::deque<uint64_t> ended_order_;                  // ... in this order
  WaitList left_;                                     // inside_ or ending_ lost one
};

/// How often a change is decided anew when others change the same record meanwhile.
inline constexpr int kTriesMax = 64;
/// Keys that one commit erases.
inline constexpr size_t kEraseMax = 64;
/// Answers kept for one session. A client acknowledges them with its next request.
inline constexpr size_t kDoneMax = 16'384;
/// Ended sessions that are remembered, so that a late resend is not executed a second time.
inline constexpr size_t kEndedMax = 65'536;
/// Modes of handles.
inline constexpr uint32_t kReadOnly = 1, kReadWrite = 2, kExclusive = 4;

}  // namespace cairn::service
