// The parts of a shard that its operations share. Internal to vos/.
// Home: the shard's reactor.
#pragma once

#include <deque>
#include <optional>

#include "index/store.h"
#include "model/hlc.h"
#include "runtime/parallel.h"
#include "vos/markers.h"
#include "vos/sessions.h"
#include "vos/shard.h"

namespace cairn::vos {

/// In RecordHeader::kind: the record adds punch markers.
inline constexpr uint16_t kRecordAddsMarkers = 0x8000;

struct Shard::State {
  explicit State(Reactor& r) : reactor(r), gate(r), session_moved(r), background_moved(r) {}

  Reactor& reactor;
  std::unique_ptr<index::Store> store;
  Gate gate;
  model::Hlc hlc;
  /// Newest committed epoch. A live-only shard keeps nothing older, so it is the write floor too.
  model::Epoch newest = 0;
  /// Everything at or below is durable.
  model::Epoch newest_durable = 0;
  struct Undurable {
    media::Lsn lsn;
    model::Epoch epoch;
  };
  std::deque<Undurable> undurable;
  Sessions sessions;
  WaitList session_moved;
  Markers markers;
  WaitList background_moved;
  /// The number of markers that the newest checkpoint has on record, and whether replay met a
  /// record that adds some: what proves that a page that cannot be read held none.
  uint64_t markers_saved = 0;
  bool markers_replayed = false;
  bool reclaiming = false;
  bool background_over = false;
  /// Debug: every unpinned page leaves memory after each step.
  bool evicting = false;
  /// Largest log record of one operation: the ring must hold several.
  uint64_t record_bytes_max = 0;

  index::Tree& tree() { return store->tree(); }
  /// A caller's epoch must be above the write floor and not beyond the clock's bound: adopting one
  /// from the far future would shut out every write that follows.
  /// @error tx_restart  at or below the floor   @error invalid  beyond the bound
  Result<void> check_given_epoch(model::Epoch epoch) {
    constexpr uint64_t kClockBoundNs = kSecond;
    if (epoch <= newest) {
      return fail(Errc::tx_restart, "the epoch is at or below the write floor");
    }
    if (epoch > model::epoch_of_wall_ns(reactor.clock().wall_ns() + kClockBoundNs)) {
      return fail(Errc::invalid, "the epoch is further in the future than clocks may differ");
    }
    return {};
  }
  /// @error tx_restart  the shard no longer has what was visible then
  Result<void> check_read_epoch(model::Epoch epoch) const {
    if (epoch < newest) {
      return fail(Errc::tx_restart, "read: the epoch is older than what the shard keeps");
    }
    return {};
  }
  model::Epoch next_epoch() { return hlc.next(reactor.clock().wall_ns()); }

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

/// Removes what markers cover, in slices, until none is left or the shard closes.
Task<void> reclaim_marked(Shard::State& state);

}  // namespace cairn::vos
