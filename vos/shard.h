// Shard: the part of one pool on one target; the versioned object store proper. It gives
// containers, objects, dkeys, akeys, single values and arrays their meaning on top of index::Store.
// Home: the shard's reactor (checked: runtime/at_home.h); every member that returns a Task
// suspends. Borrowed keys and buffers must live until the task ends. Rules: store.md; keys and
// values: docs/formats/keys.md, docs/formats/values.md.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "index/store.h"
#include "model/ids.h"
#include "model/io.h"
#include "model/worm_policy.h"
#include "runtime/at_home.h"
#include "runtime/reactor.h"
#include "vos/flatten.h"
#include "vos/loss.h"
#include "vos/operation.h"
#include "vos/transaction.h"

namespace cairn::vos {

struct FetchRequest {
  ObjectPath object;
  ByteView dkey;
  model::Iods iods;
  uint64_t flags = 0;
  model::Epoch epoch = model::kEpochMax;  // newest; else as Shard says of reads at an epoch
  bool transactional = false;             // as Shard says of transactional reads
};

/// Some objects of a container, in key order.
struct ListedObjects {
  std::vector<model::ObjectId> oids;
  Bytes position;  // goes on from here; survives restarts
  bool eof = false;
};

/// Some object shards of a container, in key order.
struct ObjectShards {
  std::vector<ObjectPath> objects;
  Bytes position;  // goes on from here; survives restarts
  bool eof = false;
};

/// Something that differs between two snapshots.
struct Difference {
  enum class Change : uint8_t { added, removed, changed };  // older -> newer
  model::ObjectId oid;
  uint32_t shard = 0;
  Bytes dkey, akey;  // as the caller gave them; a dkey that changed has one entry for each akey
  Change change = Change::changed;
};
struct Differences {
  std::vector<Difference> differences;
  Bytes position;
  bool eof = false;
};

/// Snapshots of one container.
inline constexpr size_t kSnapshotsMax = 4096;
/// By which the clocks of clients and engines may differ.
inline constexpr Duration kClockSkewMax = kSecond;
/// A lease covers the reads of this long, so that few log writes are made for leases alone.
inline constexpr Duration kReadLease = kSecond;
/// A freeze ends by itself after this.
inline constexpr Duration kFreezeMax = kSecond;

struct ShardUsage {
  uint64_t data_total = 0, data_free = 0;  // bytes of the data blob
  uint64_t meta_total = 0, meta_free = 0;  // bytes of the meta blob
  uint64_t meta_used = 0;                  // bytes of live pages
};

struct ShardOptions {
  index::StoreOptions store;
  bool reclaim = true;  // false: what large punches left behind is not removed in the background
};

class Shard {
 public:
  struct State;

  /// Makes an empty shard on blank blobs; durable on return.
  static Task<Result<std::unique_ptr<Shard>>> create(Reactor& reactor, index::StoreDevices devices,
                                                     Uuid pool, ShardOptions options);
  /// @error format_invalid, format_newer, checksum, io  as index::Store::open
  static Task<Result<std::unique_ptr<Shard>>> open(Reactor& reactor, index::StoreDevices devices,
                                                   Uuid pool, ShardOptions options);
  ~Shard();
  /// Refuses new operations, waits for those inside, checkpoints. Call before destruction.
  Task<Result<void>> close();

  /// Registers a client session: later operations of a session that the shard does not know are
  /// answered with Errc::unknown ("outcome unknown"), never executed a second time.
  void open_session(uint64_t session);

  /// Writes or punches values of one dkey, all or nothing. Durable when it completes.
  /// @returns the epoch at which it became visible (the first one, for a resend)
  /// @error exists, nonexistent  a condition failed     @error no_perm  the akey holds the other
  /// value type,
  ///        or two iods name one akey     @error invalid  malformed, or another record size than
  ///        stored
  /// @error key_too_big, record_too_big  @error no_space  nothing was written
  /// @error tx_restart  the given epoch is at or below the write floor
  /// @error io  the shard has stopped     @error overload  resend when more is acknowledged
  Task<Result<model::Epoch>> update(const UpdateRequest& request);
  /// Removes; absent things are fine without cond::kPunch. Errors as update().
  Task<Result<model::Epoch>> punch(const PunchRequest& request);
  /// Reads into the iods' buffers; only the reported pieces are touched. A failed condition or a
  /// short buffer is in Fetched::status. @error checksum  the medium gave other bytes than were
  /// written
  Task<Result<model::Fetched>> fetch(const FetchRequest& request);
  /// The same as a plain call, where nothing has to be waited for: all that it looks at is in
  /// memory and durable. @returns false  something has: ask fetch(); `out` says nothing
  Result<bool> fetch_at_once(const FetchRequest& request, model::Fetched& out);
  /// Many fetches as one call, each as fetch() does it by itself (together they are no snapshot).
  /// The first error ends it. Where values are in memory, the waits of the CPU for the tree's pages
  /// overlap. `requests` are borrowed.
  Task<Result<std::vector<model::Fetched>>> fetch_many(std::span<const FetchRequest> requests);
  Task<Result<model::Listed>> list(const ObjectPath& object, const model::ListRequest& request,
                                   model::Epoch epoch = model::kEpochMax);
  /// A position for ListRequest::position from which a listing starts at `key` or the next one
  /// after it.
  Result<Bytes> position_of(const ObjectPath& object, model::ListRequest::What what, ByteView key);
  Task<Result<model::QueriedKey>> query_key(const ObjectPath& object,
                                            const model::QueryKeyRequest& request,
                                            model::Epoch epoch = model::kEpochMax);
  /// Newest epoch, at or below `epoch`, at which anything in the object changed; 0 if it was never
  /// written.
  Task<Result<model::Epoch>> max_epoch(const ObjectPath& object,
                                       model::Epoch epoch = model::kEpochMax);
  /// Objects of which anything is visible. @param position  of the previous answer, or empty
  /// @param count_max  above 0
  Task<Result<ListedObjects>> list_objects(ContNumber container, model::Epoch epoch, Bytes position,
                                           uint32_t count_max);
  /// Object shards that have anything in the newest state, visible or not, in key order: for passes
  /// over a container, one record looked at each. @param position  of the previous answer, or empty
  /// @param count_max  above 0   @error invalid  not such a position
  Task<Result<ObjectShards>> object_shards(ContNumber container, Bytes position,
                                           uint32_t count_max);
  /// Removes every record of the container, in slices. Idempotent; durable when it completes.
  Task<Result<void>> destroy_container(ContNumber container);

  // Transactional reads: fetches, listings and queries with `transactional` set and the epoch of
  // the transaction; 0, in its first read: the shard picks one, and the answer says which. They
  // answer tx_restart where anything in what is looked at is newer than that epoch, and in_progress
  // where an unresolved transaction is about to change it. What was looked at becomes a TxRead: the
  // akeys of a fetch (its dkey, if it has conditions on that), the object of a listing of dkeys,
  // the dkey of a listing of akeys, the akey of a listing of extents; of a query, the level above
  // the highest one asked for.

  /// Validates the reads, makes all changes at one epoch or none, and answers when they are
  /// durable. Exactly once, as update().
  /// @error tx_restart   something that was read has changed: restart with a new epoch
  /// @error in_progress  an unresolved transaction stands in the way, for longer than a moment
  /// @error invalid      too many ops or reads, or reads without an epoch
  /// @error no_space, no_memory, io, unknown  as update(). Nothing happened after any error but
  /// unknown.
  Task<Result<Transacted>> transact(const TransactRequest& request);

  // Transactions that span shards: prepare() on each with one epoch, then commit() or abort() on
  // each. Between the two, updates, punches and transactional reads of what is about to change
  // answer in_progress after a moment's wait; plain reads see what was before. All are durable on
  // return, and survive restarts.

  /// Validates as transact(), and promises that commit() will not fail for a reason that lies in
  /// the transaction. A resend of a prepared one answers as the first copy.
  /// @error tx_restart  also: something newer than the given epoch was written or read here
  /// @error busy        kTxUnresolvedMax wait for their outcome: resolve some
  /// @error already     it was committed   Others as transact()
  Task<Result<Transacted>> prepare(TxId id, const TransactRequest& request);
  /// Makes a prepared transaction visible, all of it at once. Again is fine while the shard
  /// remembers it. With an `origin` that begin_decision() noted, the commit is that request's
  /// answer. @error nonexistent  no such transaction: never prepared, or over   @error io
  Task<Result<void>> commit(TxId id, Origin origin = {});
  /// Drops a prepared transaction; one that is not there is fine.
  /// @error no_perm  it was committed   @error io
  Task<Result<void>> abort(TxId id);
  /// Prepared ones that wait for commit() or abort(), by id.
  std::vector<UnresolvedTx> unresolved() const;
  /// For who decides about a transaction of several shards, on the one that keeps its outcome: as
  /// update() recognises copies of a request. @returns the epoch of the one that was committed
  /// before; nothing: go on, then end_decision(), and commit() with this origin before it
  /// @error unknown  the session was forgotten
  Task<Result<std::optional<model::Epoch>>> begin_decision(Origin origin);
  /// @param outcome  the epoch of what was committed; after an error a copy may run
  void end_decision(Origin origin, const Result<model::Epoch>& outcome);
  /// For the epoch of such a transaction: one above all that this shard has issued.
  model::Epoch draw_epoch();

  // Reads at an epoch. kEpochMax is what is newest. A snapshot's epoch always answers; any other
  // one answers tx_restart when something that was visible then may have been given back.

  // Snapshots. One that spans shards takes two steps: every shard freezes, the epoch is chosen
  // above all answers, every shard adds it. The owner knows which ones exist: what a shard has
  // beyond that is removed when the pool is opened.

  /// Makes new writes of the container wait, until add_snapshot(), unfreeze_container() or for
  /// kFreezeMax. Freezing again begins anew. Plain reads go on.
  /// @returns the newest epoch issued: what is written later is above it
  Task<Result<model::Epoch>> freeze_container(ContNumber container);
  /// Ends a freeze or a hold.
  void unfreeze_container(ContNumber container);
  /// What is visible now stays readable at `epoch`, which must be above every answer; later writes
  /// are above it. Ends the freeze. Durable on return. Adding it again is fine.
  /// @error timed_out  the freeze has ended: nothing has happened; begin again
  /// @error invalid    the epoch is not above this shard's answer, or beyond the clocks' bound
  /// @error busy       a prepared transaction of the container is not over, or a rollback is under
  ///                   way: begin again
  /// @error no_space   kSnapshotsMax exist; remove some
  Task<Result<void>> add_snapshot(ContNumber container, model::Epoch epoch);
  /// Gives up a snapshot; an absent one is fine. Durable on return; the space comes back in the
  /// background. @error busy  a rollback to it is under way
  Task<Result<void>> remove_snapshot(ContNumber container, model::Epoch epoch);
  /// Epochs of the living snapshots, ascending.
  std::vector<model::Epoch> snapshots(ContNumber container) const;
  /// What differs between two snapshots, by akey, in key order. @param position  as list_objects()
  /// @error nonexistent  one of them is not there   @error invalid  `older` is not below `newer`
  Task<Result<Differences>> diff_snapshots(ContNumber container, model::Epoch older,
                                           model::Epoch newer, Bytes position, uint32_t count_max);

  // A rollback that spans shards: every shard holds the container, somebody decides, every shard
  // goes back. Nothing is written between the two, so that what several shards have done together
  // is undone on all of them or on none (docs/decisions/0015-rollback-over-shards.md).

  /// Makes new writes of the container wait, and reads at epochs above the answer, until rollback()
  /// or unfreeze_container(), however long that takes, and waits until its transactions are over;
  /// prepare() is refused where it must not wait. Operations that have waited for some seconds get
  /// `unreachable`. A restart ends it. Again is fine.
  /// @param epoch   of the snapshot
  /// @param number  above that of every hold before it
  /// @returns the newest epoch issued
  /// @error nonexistent  no such snapshot   @error busy  not held: a newer snapshot exists, or
  /// transactions wait for their outcome for too long, or it was ended meanwhile or comes too late
  Task<Result<model::Epoch>> hold_container(ContNumber container, model::Epoch epoch,
                                            uint64_t number);
  bool is_held(ContNumber container) const;
  /// Waits the container for a rollback, decided or not?
  bool is_shut(ContNumber container) const;
  /// Holds with this number or a lower one that come from now on come too late.
  void refuse_holds(uint64_t number);
  /// Makes the container what it was at the snapshot, which stays. In slices; operations on the
  /// container wait meanwhile, and an open after a crash ends what was begun. Newest epochs of
  /// objects go back, too. Durable on return, and open again.
  /// @param at  names it: above every answer of hold_container(); one that was begun before is
  ///            waited for and changes nothing, also after a restart. 0: another one
  /// @error nonexistent  no such snapshot   @error busy  a newer snapshot exists: remove it first;
  /// or transactions wait for their outcome: resolve them   @error io, no_space, no_memory  with
  /// `at`: the container is held until another call
  Task<Result<void>> rollback(ContNumber container, model::Epoch epoch, model::Epoch at = 0);

  /// Merges the small extents of the container that the same snapshots see (docs/architecture.md,
  /// reclaim); the shard does so on its own where many were written. Durable on return.
  Task<Result<void>> aggregate_container(ContNumber container);
  /// The same in the background, beside what others do and at a pace that leaves them room; a
  /// restart ends it. Returns at once; again: one more follows.
  /// @param until  newer extents stay as they are; 0: what is written from now on
  /// @error overload  too many containers wait   @error io  the shard has stopped
  /// @error not_supported  the shard merges nothing
  Result<void> aggregate_later(ContNumber container, model::Epoch until);

  // Flattened objects (vos/flatten.h).

  /// Flattens objects that are there to be read from now on. Neighbours in one call share blocks:
  /// many a call are many times better than one. Each object goes by itself and is what it was or
  /// flat, whatever happens; its write floor is raised to the flattening. What is not flattened
  /// says why, which is no error. Durable on return.
  /// @returns one entry for each of `objects`, in their order
  /// @error invalid    too many objects, or limits beyond vos/flatten.h
  /// @error no_space, no_memory, io, checksum, unreachable   some may have been flattened; again is
  ///                   fine
  Task<Result<std::vector<Flattened>>> flatten(std::vector<ObjectPath> objects,
                                               FlattenOptions options);
  /// Is the object flat, whole or in part (docs/formats/flat.md)?
  Task<Result<bool>> is_flat(const ObjectPath& object);
  Task<Result<FlatUsage>> flat_usage(ContNumber container);
  /// Copies what lives in extents of the container that are mostly dead, or mostly empty, into
  /// fewer ones. The shard does so on its own where something died. Durable on return.
  Task<Result<void>> clean_flat(ContNumber container);

  // The worm_* properties of a container (vos/worm.h). While it is sealed, updates, punches and
  // transactions that are not prepared yet are refused with no_perm, and the error's text says when
  // and by whom it was sealed. Reads, snapshots, and whatever does not change what is read go on;
  // so does destroy_container(), with which the policy goes.

  /// Durable on return, and from then on no crash brings the policy of before back. Where it seals,
  /// every later epoch of the shard is above the seal's, and what stood aside has ended: what is
  /// read is final. The same again is fine. A seal counts before it is written, and on if it cannot
  /// be, until the shard is closed: who tells it at each open keeps it sealed whatever is damaged.
  /// @error invalid  container 0, limits beyond model/worm_policy.h, or a seal that is further in
  ///                 the future than clocks may differ
  /// @error busy     it is sealed, durably, but a transaction that was prepared before waits for
  ///                 its outcome for too long: again, when that is known
  /// @error no_space, no_memory, io
  Task<Result<void>> set_worm_policy(ContNumber container, model::WormPolicy policy);
  /// The default one if none was set. The reference is good until the policy is set.
  const model::WormPolicy& worm_policy(ContNumber container) const;
  /// Containers whose policy is not the default one, ascending.
  std::vector<ContNumber> worm_containers() const;

  /// Waits until all that was done so far is durable. @error io  the shard has stopped
  Task<Result<void>> settled();
  /// Makes a checkpoint now.
  Task<Result<void>> checkpoint();
  ShardUsage usage() const;
  index::Store& store();

  /// Waits until punches too large to be done at once have given their space back. For tests and
  /// tools.
  Task<void> reclaimed();

  /// Offline consistency check (no updates meanwhile): index::Store::check, plus every record's
  /// key and value parsed, extents of each akey disjoint, data checksums verified when
  /// `read_data`; and what is lost by it (vos/scrub.h, which also does this beside updates).
  Task<Result<CheckReport>> check(bool read_data);

 private:
  friend class Scrub;
  Shard();
  AtHome<State> state_;
};

}  // namespace cairn::vos
