// The client: pools, containers and object I/O as seen by libdaos, libdfs and the tools. It reaches
// the store only through wire/ messages over a fabric transport; who is at the other end (this
// process or a server) is decided by `cmd`/`capi` when they make the System. Shows no wire, layout
// or fabric type. Home: every Task runs on context().reactor(). Any thread may call
// context().run(task) / start(task).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "model/flatten.h"
#include "model/ids.h"
#include "model/io.h"
#include "model/oclass.h"
#include "model/worm_policy.h"
#include "runtime/context.h"

namespace cairn::client {

class Pool;
class Container;
using PoolPtr = std::shared_ptr<Pool>;
using ContainerPtr = std::shared_ptr<Container>;

/// Property values by DAOS_PROP_* number: integers, strings, or raw bytes (ACLs, roots).
using PropValue = std::variant<uint64_t, std::string, Bytes>;
using Props = std::map<uint32_t, PropValue>;
/// User attributes: name (1..511 bytes) to value.
using Attrs = std::map<std::string, Bytes>;

struct PoolInfo {
  Uuid uuid;
  std::string label;
  uint32_t target_count = 1, engine_count = 1, disabled_count = 0, map_version = 1, leader = 0;
  uint64_t data_total = 0, data_free = 0;   // bytes, NVMe tier
  uint64_t meta_total = 0, meta_free = 0;   // bytes, SCM tier
  uint64_t meta_used = 0;                   // bytes of live index pages
  uint64_t memory_bytes = 0;                // budget of one shard; 0: the default
  Props props;                              // DAOS_PROP_PO_* that were set
  std::vector<uint32_t> ranks;              // of its engines, ascending
};

struct ContInfo {
  Uuid uuid;
  std::string label;                        // empty: none
  uint32_t handle_count = 0, snapshot_count = 0;
  model::Epoch last_snapshot = 0, open_time = 0, modify_time = 0;
  Props props;                              // DAOS_PROP_CO_* that were set
};

/// An engine: one rank.
struct EngineInfo {
  enum class State : uint8_t { joined, starting, away, await_format };
  uint32_t rank = 0;
  uint64_t incarnation = 0;             // another one after each start; 0: not known
  State state = State::away;
  uint32_t process = 0;                 // 0: not known
  std::vector<std::string> addresses;   // for other machines
  std::string host;                     // name of its machine; empty: that of the services
};

/// What became of a wish about an engine.
struct RankResult {
  uint32_t rank = 0;
  Errc error = Errc::ok;
  std::string text;                     // about the error
};

/// A device of the system, or the directory of a home without devices of its own.
struct DeviceSpace {
  std::string path, roles;                  // roles: some of "wal,meta,data"
  uint64_t total_bytes = 0, free_bytes = 0;
  uint32_t rank = 0;                        // of its engine
  Uuid uuid;
  bool directory = false;                   // blobs are files in it; else they share it
};

struct PoolCreateOptions {
  std::string label;                        // validated; see model/label.h
  uint64_t bytes = 0;                       // of metadata and data together; the log comes on top
  uint64_t meta_bytes = 0;                  // of these for metadata; 0: the usual share
  uint64_t memory_bytes = 0;                // budget of one shard; 0: as memory_ratio says
  uint32_t memory_ratio = 0;                // hundredths of a percent of the metadata; 0: default
  Props props;
  std::vector<uint32_t> ranks;              // where its shards are; none: on all engines
};

/// Access modes, the values of DAOS_PC_* and DAOS_COO_*.
enum class Access : uint32_t { read_only = 1, read_write = 2, exclusive = 4 };

class System {
 public:
  virtual ~System() = default;
  virtual Context& context() = 0;

  /// @error exists  the label is taken   @error no_space  the device is full
  /// @error invalid  label, size, property   @error no_memory  the budget is below the least
  virtual Task<Result<Uuid>> pool_create(PoolCreateOptions options) = 0;
  virtual Task<Result<std::vector<PoolInfo>>> pool_list() = 0;
  virtual Task<Result<std::vector<DeviceSpace>>> devices() = 0;
  /// The engines of the system, by rank.
  virtual Task<Result<std::vector<EngineInfo>>> engines() = 0;
  /// `pool` is a label or a UUID. @error nonexistent; busy  containers or handles remain and not
  /// `force`
  virtual Task<Result<void>> pool_destroy(std::string pool, bool force) = 0;
  /// Changes properties of a pool (the label too), whoever is connected.
  /// @error nonexistent; invalid  unknown, read only or out of range; exists  the label is taken
  virtual Task<Result<void>> pool_set_props(std::string pool, Props props) = 0;
  /// Engines join the pool; containers that are made from then on use them, too.
  /// @error nonexistent  no such pool or rank   @error busy  a rank that it has, or somebody else
  /// changes it   @error unreachable  an engine is away   @error no_space
  virtual Task<Result<void>> pool_extend(std::string pool, std::vector<uint32_t> ranks) = 0;
  /// Stops engines, which then stay away, or starts them. None: all.
  /// @error nonexistent  no such rank   @error not_supported  a home that nobody serves
  virtual Task<Result<std::vector<RankResult>>> set_running(std::vector<uint32_t> ranks,
                                                            bool run) = 0;
  /// Formats the storage of a system that waits for it. @param wipe  also what holds something
  /// @error already  it is formatted   Others: what keeps the storage from being formatted
  virtual Task<Result<void>> storage_format(bool wipe) = 0;
  /// @error nonexistent, busy (exclusive)
  virtual Task<Result<PoolPtr>> pool_connect(std::string pool, Access access) = 0;
  /// A handle on the connection of another process of the same system, which has told its
  /// Pool::handle_id(). With the same access; counted nowhere; ends with that connection, or by
  /// disconnect(), which leaves that connection alone.
  /// @error no_handle  unknown or closed there
  virtual Task<Result<PoolPtr>> pool_attach(uint64_t handle_id) = 0;
  /// Which system this is; nil where nobody asked.
  virtual Uuid uuid() const = 0;
  /// Waits for running operations, checkpoints, closes. Call once, from outside the reactor, last.
  virtual Result<void> shutdown() = 0;
};

/// A pool handle.
class Pool {
 public:
  virtual ~Pool() = default;
  virtual System& system() = 0;
  virtual const Uuid& uuid() const = 0;
  virtual Access access() const = 0;
  /// For System::pool_attach() in another process. Whoever knows it may use the connection.
  virtual uint64_t handle_id() const = 0;
  virtual Task<Result<PoolInfo>> query() = 0;
  /// @error busy  containers opened through it are still open
  virtual Task<Result<void>> disconnect() = 0;

  virtual Task<Result<Attrs>> attrs() = 0;
  virtual Task<Result<void>> set_attrs(Attrs attrs) = 0;
  virtual Task<Result<void>> delete_attrs(std::vector<std::string> names) = 0;

  /// An empty label makes a container without one. @error exists, invalid
  virtual Task<Result<Uuid>> cont_create(std::string label, Props props) = 0;
  virtual Task<Result<std::vector<ContInfo>>> cont_list() = 0;
  /// `cont` is a label or a UUID. @error nonexistent, busy
  virtual Task<Result<ContainerPtr>> cont_open(std::string cont, Access access) = 0;
  /// As System::pool_attach(), of an open container, by its Container::handle_id().
  /// @error no_handle  unknown or closed there   @error invalid  of another pool
  virtual Task<Result<ContainerPtr>> cont_attach(uint64_t handle_id) = 0;
  virtual Task<Result<void>> cont_destroy(std::string cont, bool force) = 0;
};

struct ObjectArgs {
  model::ObjectId oid;
  ByteView dkey;
  uint64_t flags = 0;      // model::cond
};

/// How a read sees a container.
struct ReadAt {
  model::Epoch epoch = model::kEpochMax;  // newest; a snapshot's; or any, as long as it is kept
  /// A version above the epoch is tx_restart. With kEpochMax the store picks the epoch.
  bool in_transaction = false;
  model::Epoch* chosen = nullptr;         // gets the epoch that was read at; borrowed
};

/// What a transaction has read. Borrows.
struct ReadRange {
  enum class Level : uint8_t { object, dkey, akey };
  model::ObjectId oid;
  Level level = Level::object;
  ByteView dkey, akey;                    // as far as the level goes
};

/// One change of a transaction; conditions are not looked at. Borrows.
struct Change {
  enum class Kind : uint8_t { update, punch_object, punch_dkey, punch_akeys };
  Kind kind = Kind::update;
  model::ObjectId oid;
  ByteView dkey;
  model::Iods iods;           // update
  std::vector<ByteView> akeys;            // punch_akeys
};

struct Changes {
  std::vector<Change> changes;
  model::Epoch read_epoch = 0;            // of all `reads`; 0: there are none
  std::vector<ReadRange> reads;
};

struct Snapshot {
  model::Epoch epoch = 0;
  bool has_table = false;                 // its object id table is whole
};

/// What a container's worm_* properties say, whether it is sealed, and what its flattening has come
/// to.
struct WormInfo {
  enum class SealState : uint8_t { none, sealing, sealed, unsealing };
  model::WormPolicy policy;  // its seal is set also while it is being sealed or unsealed
  SealState state = SealState::none;
  model::FlattenProgress progress;  // if it was asked for
  uint32_t targets_away = 0;        // of engines that could not be asked
};

/// Some objects of a container.
struct ObjectPage {
  std::vector<model::ObjectId> oids;
  Bytes position;
  bool eof = false;
};

/// What differs between two snapshots.
struct Difference {
  enum class Kind : uint8_t { added, removed, changed };  // from the older to the newer
  model::ObjectId oid;
  Bytes dkey, akey;
  Kind kind = Kind::changed;
};
struct DifferencePage {
  std::vector<Difference> differences;
  Bytes position;
  bool eof = false;
};

/// A container handle. Object operations need no open: identify the object by its id.
/// Every operation on a closed or evicted handle gives no_handle.
class Container {
 public:
  virtual ~Container() = default;
  virtual Pool& pool() = 0;
  virtual const Uuid& uuid() const = 0;
  virtual Access access() const = 0;
  /// For Pool::cont_attach() in another process. Whoever knows it may use the container.
  virtual uint64_t handle_id() const = 0;
  virtual bool is_open() const = 0;
  /// What the classes of its objects are judged by: the engines and targets of the placement
  /// generation that it was made in, which may be fewer than its pool has now.
  virtual model::PoolShape shape() const = 0;
  virtual Task<Result<void>> close() = 0;
  virtual Task<Result<ContInfo>> query() = 0;
  virtual Task<Result<void>> set_props(Props props) = 0;
  virtual Task<Result<Attrs>> attrs() = 0;
  virtual Task<Result<void>> set_attrs(Attrs attrs) = 0;
  virtual Task<Result<void>> delete_attrs(std::vector<std::string> names) = 0;
  /// The first of `count` numbers that nobody else gets; from 0 in a new container, never reused.
  virtual Task<Result<uint64_t>> alloc_oids(uint64_t count) = 0;

  // Object I/O; semantics and errors as vos/shard.h; reads at an epoch that is not kept any more:
  // tx_restart. Iods, keys and buffers are borrowed until the
  // task ends. Writes through a read_only handle: no_perm.
  virtual Task<Result<model::Epoch>> update(ObjectArgs args, model::Iods iods) = 0;
  virtual Task<Result<model::Fetched>> fetch_at(ReadAt at, ObjectArgs args,
                                                model::Iods iods) = 0;
  /// A fetch of the newest state as a plain call, where it succeeds without waiting for anything
  /// (Context::at_once()). False: ask fetch(); `iods` are as they were. Only where
  /// fetches_at_once().
  virtual bool fetch_at_once(const ObjectArgs& args, model::Iods& iods, model::Fetched& out) {
    (void)args;
    (void)iods;
    (void)out;
    return false;
  }
  /// Whether fetch_at_once() is ever worth a try. Never changes; any thread.
  virtual bool fetches_at_once() const { return false; }
  virtual Task<Result<model::Epoch>> punch_object(model::ObjectId oid, uint64_t flags) = 0;
  virtual Task<Result<model::Epoch>> punch_dkey(ObjectArgs args) = 0;
  virtual Task<Result<model::Epoch>> punch_akeys(ObjectArgs args, std::vector<ByteView> akeys) = 0;
  virtual Task<Result<model::Listed>> list_at(ReadAt at, model::ObjectId oid,
                                              model::ListRequest request) = 0;
  /// A position from which a listing goes on at `key`, or the next one after it. Of dkeys of an
  /// object with several shards: at the key in its shard, then through the shards after that.
  virtual Task<Result<Bytes>> position_of(model::ObjectId oid, model::ListRequest::What what,
                                          ByteView key) = 0;
  /// Positions from which listings of dkeys go each through one shard of the object, and together
  /// through all of it: from its start, or (`first` not empty) from that key or the next one on.
  /// Within a part, integer and lexical dkeys ascend.
  virtual Task<Result<std::vector<Bytes>>> parts_of(model::ObjectId oid, ByteView first) = 0;
  virtual Task<Result<model::QueriedKey>> query_key_at(ReadAt at, model::ObjectId oid,
                                                       model::QueryKeyRequest request) = 0;
  virtual Task<Result<model::Epoch>> max_epoch_at(ReadAt at, model::ObjectId oid) = 0;
  /// Makes all changes, in their order and at one epoch, if nothing of what was read has changed
  /// since. Most programs use a Transaction (transaction.h).
  /// @error tx_restart  it has; nothing was changed
  /// @error not_supported  its shards are in several engines
  virtual Task<Result<model::Epoch>> transact(Changes changes) = 0;

  // The newest state.
  Task<Result<model::Fetched>> fetch(ObjectArgs args, model::Iods iods) {
    return fetch_at({}, args, std::move(iods));
  }
  Task<Result<model::Listed>> list(model::ObjectId oid, model::ListRequest request) {
    return list_at({}, oid, std::move(request));
  }
  Task<Result<model::QueriedKey>> query_key(model::ObjectId oid, model::QueryKeyRequest request) {
    return query_key_at({}, oid, request);
  }
  Task<Result<model::Epoch>> max_epoch(model::ObjectId oid) { return max_epoch_at({}, oid); }

  // Snapshots: one point of time over all shards. Changes through a read_only handle: no_perm.

  /// @returns its epoch; everything acknowledged before is in it, everything begun later is not
  /// @error busy  the store is too slow now   @error no_space  too many
  virtual Task<Result<model::Epoch>> snap_create() = 0;
  /// Ascending.
  virtual Task<Result<std::vector<Snapshot>>> snap_list() = 0;
  /// @error nonexistent
  virtual Task<Result<void>> snap_destroy(model::Epoch epoch) = 0;
  /// Notes that the snapshot's object id table is whole, or that it goes. @error nonexistent
  virtual Task<Result<void>> snap_set_table(model::Epoch epoch, bool whole) = 0;
  /// Makes the container what it was at its newest snapshot, which stays; others wait meanwhile.
  /// @error nonexistent   @error busy  a newer snapshot exists
  virtual Task<Result<void>> rollback(model::Epoch epoch) = 0;
  /// Objects of which anything is visible, each once. @param position  of the page before, or empty
  virtual Task<Result<ObjectPage>> list_objects(model::Epoch epoch, Bytes position,
                                                uint32_t count_max) = 0;
  /// Asks all shards to merge the small extents that are not newer than that epoch (0: that there
  /// are), in the background; completes when all have been asked.
  /// @error no_perm  the handle is read only   @error overload   @error unreachable  one was away
  virtual Task<Result<void>> aggregate(model::Epoch until) = 0;
  /// Flattens objects that are there to be read from now on, each on all of its shards. One that
  /// was not, or not everywhere, says why: that of the first shard that was not.
  /// @returns one entry for each, in their order
  /// @error no_perm  opened read only   Others: some may have been flattened; again is fine
  virtual Task<Result<std::vector<model::Flattened>>> flatten(std::vector<model::ObjectId> oids) {
    (void)oids;
    co_return fail(Errc::not_supported, "container: it has nothing to flatten");
  }
  /// Seals it: from now on every change is refused with no_perm, and its objects are flattened in
  /// the background. Completes when every shard holds it, durably. @param by  who does, USER@HOST
  /// @error already      it is sealed
  /// @error unreachable  an engine is away: nothing has happened; or went away meanwhile: it is
  ///                     sealed when that comes back, query_worm() shows how far it is
  /// @error busy         as the latter: a transaction prepared before waits for its outcome
  virtual Task<Result<void>> seal(std::string by) {
    (void)by;
    co_return fail(Errc::not_supported, "container: it cannot be sealed");
  }
  /// Lets it be changed again; engines that are away do so before they serve.
  /// @error already  it is not sealed
  virtual Task<Result<void>> unseal() {
    co_return fail(Errc::not_supported, "container: it cannot be sealed");
  }
  /// @param with_progress  asks all engines
  virtual Task<Result<WormInfo>> query_worm(bool with_progress) {
    (void)with_progress;
    co_return fail(Errc::not_supported, "container: it cannot be sealed");
  }
  /// Says that objects were written for the last time: each of their shards flattens them soon, in
  /// the background. Nothing is durable about it: a shard that is short of memory, or restarts,
  /// forgets it. Updates with model::cond::kFinal say it of their object. In a transaction: once it
  /// is committed. @error no_perm  opened read only   @error unreachable  some were not told
  virtual Task<Result<void>> note_final(std::vector<model::ObjectId> oids) {
    (void)oids;
    co_return fail(Errc::not_supported, "container: it has nothing to flatten");
  }
  /// The same, for a caller whose changes are durable and who waits for nothing else: whoever has
  /// not answered within a second is not told.
  virtual Task<void> hint_final(std::vector<model::ObjectId> oids) {
    (void)co_await note_final(std::move(oids));
  }
  /// What differs between two snapshots, by akey. @error nonexistent, invalid  (order)
  virtual Task<Result<DifferencePage>> snap_diff(model::Epoch older, model::Epoch newer,
                                                 Bytes position, uint32_t count_max) = 0;
};

}  // namespace cairn::client
