// The parts of a shard that its operations share. Internal to vos/.
// Home: the shard's reactor.
#pragma once

#include <deque>
#include <optional>

#include "index/store.h"
#include "model/hlc.h"
#include "runtime/parallel.h"
#include "vos/epoch_table.h"
#include "vos/flats.h"
#include "vos/history.h"
#include "vos/io_room.h"
#include "vos/markers.h"
#include "vos/merge.h"
#include "vos/sessions.h"
#include "vos/shard.h"
#include "vos/unresolved.h"
#include "vos/worm.h"

namespace cairn::vos {

struct Update;

/// In RecordHeader::kind: the record adds punch markers.
inline constexpr uint16_t kRecordAddsMarkers = 0x8000;

struct Shard::State {
  explicit State(Reactor& r)
      : reactor(r),
        gate(r),
        session_moved(r),
        background_moved(r),
        unresolved_moved(r),
        merges_moved(r),
        read_room(r),
        write_room(r) {}

  Reactor& reactor;
  std::unique_ptr<index::Store> store;
  Gate gate;
  model::Hlc hlc;
  /// Newest committed epoch; the write floor too.
  model::Epoch newest = 0;
  /// Everything at or below is durable.
  model::Epoch newest_durable = 0;
  struct Undurable {
    media::Lsn lsn;
    model::Epoch epoch;
  };
  std::deque<Undurable> undurable;
  /// Punches: versions that ended and left no newer record in their range; and rollbacks.
  EpochTable punched;
  /// Transactions read, at this epoch: no change that a caller dates may come below it.
  EpochTable read;
  /// No change gets an epoch at or below it, also after a crash, once a log write has carried it.
  model::Epoch lease = 0;
  Sessions sessions;
  WaitList session_moved;
  Markers markers;
  Snapshots snapshots;
  Flats flats;
  WormPolicies worm;
  EndedVersions ended;
  Closures closures;
  uint64_t holds_over = 0;  // a hold with this number or a lower one comes too late
  WaitList background_moved;
  Unresolved unresolved;
  WaitList unresolved_moved;
  /// What the last in_progress was about.
  struct Met {
    TxId id;
    Errc failed = Errc::ok;
    bool ends_by_itself = false;
  };
  Met met;
  size_t resolvers = 0;  // tasks that fold or drop in the background
  /// The number of markers that the newest checkpoint has on record, and whether replay met a
  /// record that adds some: what proves that a page that cannot be read held none.
  uint64_t markers_saved = 0;
  bool markers_replayed = false;
  bool background_over = false;
  MergeQueue merges;
  WaitList merges_moved;
  bool merging = false;
  bool merges_over = false;
  uint64_t merges_failed = 0;    // akeys that stay as they are
  IoRoom read_room, write_room;  // for data under way
  int checks = 0;  // under way: nothing is merged meanwhile
  /// Debug: every unpinned page leaves memory after each step.
  bool evicting = false;
  /// Largest log record of one operation: the ring must hold several.
  uint64_t record_bytes_max = 0;
  /// Records that a change may take out of a flattened object at once: with what a snapshot keeps
  /// of them they have to fit one step.
  uint64_t inflated_records_max = 0;

  // Memory that plans hand on to each other, so that the usual one allocates nothing: a value being
  // built, of this step; and an empty batch.
  Bytes scratch;
  index::Batch spare_batch;
  /// After its commit. A large one's memory goes.
  void keep_batch(index::Batch batch) {
    constexpr size_t kRoomBytesMax = 64u << 10;
    batch.clear();
    if (batch.room_bytes() <= kRoomBytesMax) spare_batch = std::move(batch);
  }

  /// Updates that have let others run first, in order: each asks for the memory of one behind it.
  std::deque<Update*> approaching;

  index::Tree& tree() { return store->tree(); }
  /// Clocks may differ by kClockSkewMax, and a shard issues epochs up to its lease after a restart.
  model::Epoch epoch_bound() const {
    return model::epoch_of_wall_ns(reactor.clock().wall_ns() + kClockSkewMax + kReadLease);
  }
  /// A caller's epoch must be above the write floor and not beyond the clock's bound: adopting one
  /// from the far future would shut out every write that follows.
  /// @error tx_restart  at or below the floor   @error invalid  beyond the bound
  Result<void> check_given_epoch(model::Epoch epoch) {
    if (epoch <= newest) {
      return fail(Errc::tx_restart, "the epoch is at or below the write floor");
    }
    if (epoch > epoch_bound()) {
      return fail(Errc::invalid, "the epoch is further in the future than clocks may differ");
    }
    return {};
  }
  /// May `container` be read at `epoch`, where nothing ended after `ended`?
  /// @error tx_restart  what was visible then may have been given back
  Result<void> check_read_epoch(ContNumber container, model::Epoch epoch,
                                model::Epoch ended) const {
    if (epoch >= ended || snapshots.is_alive(container, epoch)) return {};
    return fail(Errc::tx_restart, "read: the epoch is older than what the shard keeps");
  }
  model::Epoch next_epoch() { return hlc.next(reactor.clock().wall_ns()); }

  /// As commit(), for what was dated some time ago: nobody has seen it yet.
  media::Lsn append(const index::RecordHeader& header, const index::Batch& batch);
  /// One plain step: appends, applies, and remembers what is not durable yet.
  media::Lsn commit(const index::RecordHeader& header, const index::Batch& batch);
  /// Is what was written at `epoch` durable? (Forgets what has become so.)
  bool is_durable(model::Epoch epoch);
  /// Waits until everything appended so far is durable (store.md rule 12). @error io
  Task<Result<void>> settle() { return store->durable(store->appended()); }
};

/// The first half of exactly-once execution (store.md rule 13): waits while a first copy runs.
/// @returns the epoch if the operation was done before (and is durable), nullopt if it must run
/// now; then
///          end_once() must follow
/// @error unknown  the session or the sequence was forgotten: never executed a second time
Task<Result<std::optional<model::Epoch>>> begin_once(Shard::State& state, Origin origin);
void end_once(Shard::State& state, Origin origin, const Result<model::Epoch>& outcome);

/// Waits until the container may be looked at, or written to. Costs nothing where it is; good until
/// the caller waits for something else.
/// @error io, shutdown  a rollback stopped half-way
/// @error unreachable   nobody says how a rollback over several shards was decided: ask again
Task<Result<void>> wait_open(Shard::State& state, ContNumber container, Access access);

/// What the shard does on its own, in slices, whenever there is something to do and until it
/// closes: removes what markers cover, empties the slots of snapshots that were given up, rolls
/// back.
Task<void> run_background(Shard::State& state);
/// Nothing is left for it.
inline bool background_idle(const Shard::State& state) {
  return state.background_over || (state.markers.total() == 0 && state.snapshots.busy() == 0);
}

/// Merges what `merges` names, until the shard closes.
Task<void> run_merges(Shard::State& state);

/// How far the removal of what markers cover is.
struct MarkerPosition {
  Key level = range_prefix(0, Range::marker);  // the markers of this level or of the next one
  model::Epoch until = 0;                      // their newest epoch when `next` was noted
  Key next;                                    // where to go on below it; empty: at its start
};
/// One slice. False: no marker is left at or after the position.
Task<Result<bool>> remove_marked(Shard::State& state, MarkerPosition& position);
/// One slice of what a snapshot that is not just alive needs.
Task<Result<void>> work_on_snapshot(Shard::State& state, Snapshots::Work work);

}  // namespace cairn::vos
