// ShardHost: what the services ask of the engines that hold a pool's shards, of all of them or of
// one. unreachable: an engine is away; where nothing else is said, others may have done it.
// Siblings never include each other: whoever builds the process (cmd/embed, sim) implements this on
// its engines. Home: the services' reactor.
#pragma once

#include <utility>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "model/ids.h"
#include "model/scrub_policy.h"
#include "model/worm_policy.h"
#include "runtime/task.h"
#include "wire/control.h"
#include "wire/message.h"

namespace cairn::service {

/// Bytes of one shard's three blobs, and its memory budget (0: the host's default).
struct ShardSizes {
  uint64_t wal_bytes = 0, meta_bytes = 0, data_bytes = 0, memory_bytes = 0;
};

/// The targets of a pool, on all engines, none twice.
using Targets = std::vector<model::TargetId>;

/// Snapshots of a container, ascending.
struct HeldSnapshots {
  std::vector<model::Epoch> any;  // at least one shard holds it
  std::vector<model::Epoch> all;  // every shard does
  bool held = false;              // for a rollback, on at least one
};

struct ShardSpace {
  uint64_t data_total = 0, data_free = 0, meta_total = 0, meta_free = 0, meta_used = 0;
  uint32_t targets_away = 0;  // of engines that cannot be asked; not in the sums
};

struct ContProgress {
  model::FlattenProgress progress;
  uint32_t targets_away = 0;  // as in ShardSpace
};

/// A right to a container's objects.
struct Grant {
  Uuid pool;
  uint32_t container = 0;
  bool writable = false;
  uint64_t session = 0;    // of the client
};
/// What was granted, and the references that were given out for it.
using Handles = std::vector<std::pair<Grant, wire::HandleRef>>;

/// Who sent a request, and which of its requests that is.
struct Origin {
  uint64_t session = 0;             // of the client process; 0: none
  uint64_t sequence = 0;            // 0: a copy is not recognised
  uint64_t acknowledged_below = 0;  // answers to smaller sequences have arrived
  bool resend = false;              // may have been sent before
};

class ShardHost {
 public:
  virtual ~ShardHost() = default;
  /// Every engine of the pool (nil: of none), and of `more`, is there, or comes soon. For what
  /// needs all of them. @error unreachable
  virtual Task<Result<void>> ready(Uuid pool, Targets more) = 0;
  /// Makes the pool's shards, durable on return, and serves them. On error nothing remains, or what
  /// remove_pool() removes. @param sizes  of each shard   @error no_space, no_perm, io
  virtual Task<Result<void>> create_pool(Uuid pool, Targets targets, ShardSizes sizes) = 0;
  /// Makes the shards that are missing, on engines that have none of the pool, durable on return;
  /// serve_extension() with the same targets then serves them. What an earlier attempt made goes
  /// first: with the targets of before, the attempt is undone.
  /// @param targets  all that the pool will have, with those that it has
  /// @error no_space, no_perm, io   @error nonexistent  not served
  virtual Task<Result<void>> extend_pool(Uuid pool, Targets targets, ShardSizes sizes) = 0;
  /// Serves what extend_pool() has made, on a pool that is in use; engines that are away follow.
  virtual Task<Result<void>> serve_extension(Uuid pool, Targets targets,
                                             uint64_t memory_bytes) = 0;
  /// Opens the shards and serves them, all or none; those of an engine that is away follow when it
  /// comes. Idempotent on engines that have outlived an earlier process. @param memory_bytes  as in
  /// ShardSizes
  /// @error checksum, format_invalid, format_newer, io
  /// @error nonexistent  also: a target that no engine here has
  virtual Task<Result<void>> open_pool(Uuid pool, Targets targets, uint64_t memory_bytes) = 0;
  /// Ends transactions of the pool that a crash cut, as far as they can be; the rest follows in the
  /// background. Part of open_pool() on all engines; of one engine, when it has caught up.
  /// @error io
  virtual Task<Result<void>> settle_pool(Uuid pool) = 0;
  /// How the pool's shards are scrubbed from now on, until it is closed; engines that are away hear
  /// of it when they open it. Off at first.
  virtual Task<Result<void>> set_scrub(Uuid pool, model::ScrubPolicy policy) = 0;
  /// Ends service; the files stay. Not open: nothing to do.
  virtual Task<Result<void>> close_pool(Uuid pool) = 0;
  /// Ends service and removes the files. Idempotent; also after an incomplete create_pool().
  virtual Task<Result<void>> remove_pool(Uuid pool) = 0;
  /// Removes the container's records; durable when it completes. Idempotent.
  virtual Task<Result<void>> destroy_container(Uuid pool, uint32_t container) = 0;
  /// @error nonexistent  not served
  /// First step of a snapshot: on every shard of the pool, new writes of the container wait until
  /// add_snapshot() or until the shard gives up waiting for it. @returns the newest epoch issued
  virtual Task<Result<model::Epoch>> freeze_container(Uuid pool, uint32_t container) = 0;
  /// Ends a freeze or a hold, as far as engines can be asked.
  /// @param holds_over  holds with this number or a lower one come too late from now on
  virtual Task<void> unfreeze_container(Uuid pool, uint32_t container, uint64_t holds_over) = 0;
  /// Second step: the snapshot is durable on every shard, later writes get epochs above it, the
  /// freeze ends. On error some shards may hold it: remove_snapshot().
  /// @error timed_out  a freeze has ended before   @error no_space  too many snapshots
  virtual Task<Result<void>> add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) = 0;
  /// What only it needed is freed in the background. Idempotent; durable when it completes.
  virtual Task<Result<void>> remove_snapshot(Uuid pool, uint32_t container,
                                             model::Epoch epoch) = 0;
  /// @param holds_over  as unfreeze_container(); what is held stays so
  virtual Task<Result<HeldSnapshots>> snapshots(Uuid pool, uint32_t container,
                                                uint64_t holds_over) = 0;
  /// First step of a rollback to that snapshot, the container's newest one: on every shard of the
  /// pool, transactions have ended and new writes wait, until rollback() or unfreeze_container(),
  /// however long that takes; a restart of an engine ends it. After an error some shards may hold.
  /// @param number  above that of every hold before   @returns the newest epoch issued
  /// @error nonexistent, busy (a newer one exists, or transactions wait for their outcome, or it
  /// has come too late)
  virtual Task<Result<model::Epoch>> hold_container(Uuid pool, uint32_t container,
                                                    model::Epoch epoch, uint64_t number) = 0;
  /// Second step, when it is decided: makes the container what it was at that snapshot; operations
  /// on it wait meanwhile, on each shard until it is done there. Durable when it completes; a shard
  /// that has begun ends it at the next open after a crash. Of one `at` it happens once. On error
  /// all other engines have done it.
  /// @param at  above what hold_container() answered   @error nonexistent, busy, io
  virtual Task<Result<void>> rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                                      model::Epoch at) = 0;
  /// Begins a pass over the container on every shard of the pool, in the background: small extents
  /// become larger ones. All that can be asked begin. @param until  newer ones stay as they are; 0:
  /// what is written from now on   @error overload
  virtual Task<Result<void>> aggregate_container(Uuid pool, uint32_t container,
                                                 model::Epoch until) = 0;
  /// What the container's worm_* properties say from now on, durable on every shard of the pool
  /// when it completes. Where it seals, changes that come later are refused there, and transactions
  /// that were prepared before are over. Idempotent. All engines are told; on error the others hold
  /// it.
  /// @param order  grows with each change of the container; what comes with a lower one than an
  /// engine knows has been overtaken, and is refused. 0: it comes in its turn
  /// @error busy  again later: it holds it, but a transaction waits for its outcome; or its shards
  /// are not served yet, or a newer policy has come
  /// @error unreachable  only if no engine that could be asked said anything else
  virtual Task<Result<void>> set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                                      uint64_t order) = 0;
  /// Sums over the shards of what the flattening of the container has come to.
  virtual Task<Result<ContProgress>> flatten_progress(Uuid pool, uint32_t container) = 0;
  /// Sums over the shards. @error nonexistent  not served   @error unreachable
  virtual Task<Result<ShardSpace>> space(Uuid pool) = 0;
  /// All engines, by rank.
  virtual std::vector<wire::EngineInfo> engines() const = 0;
  /// Where blobs are, and what is free there; of engines that are away nothing.
  virtual Task<std::vector<wire::DeviceReply>> devices() = 0;

  /// A reference for a handle, valid on the engine that is in the services' process; then share().
  /// @error nonexistent  the pool is not served
  virtual Result<wire::HandleRef> grant(const Grant& grant) = 0;
  /// Object requests with these handles are served by all engines from now on; one that is away
  /// learns of them when it comes back. After an error: revoke() each.
  /// @error exists, invalid  not a reference that was granted beside the others
  virtual Task<Result<void>> share(Handles handles) = 0;
  /// Makes a reference that an earlier process granted valid again, on all engines. If the pool is
  /// not served, requests with it are refused, and nobody else gets it. Idempotent on engines that
  /// have outlived that process.
  /// @error exists, invalid  not a reference that was granted beside the others
  virtual Task<Result<void>> restore(Grant grant, wire::HandleRef handle) = 0;
  /// Makes these the handles that there are; others are closed, and those inside waited for.
  /// @error exists  an operation under way keeps the place of one; try again
  /// @param as_of_ns  wall time of the list: those that were granted later stay
  virtual Task<Result<void>> retain(Handles handles, uint64_t as_of_ns) = 0;
  /// Completes when operations under the handle have ended; later ones get no_handle.
  virtual Task<void> revoke(wire::HandleRef handle) = 0;
  /// Forgets what is kept for resends of the session, whose handles are revoked.
  virtual Task<void> end_session(uint64_t session) = 0;
};

}  // namespace cairn::service
