// Snapshots of a container: freezing, the table, and going back.
#include "vos/plan.h"

namespace cairn::vos {

namespace {

using Access = Closures::Access;

/// Ends a freeze that nobody ended. Must not know the shard, which may be gone by then.
Task<void> end_later(Reactor& reactor, std::shared_ptr<Closure> closure) {
  co_await reactor.sleep(kFreezeMax);
  if (!closure->over) closure->end();
}

Result<void> check_addition(Shard::State& state, ContNumber container, model::Epoch epoch) {
  const auto closure = state.closures.find(container, Access::write);
  if (closure == nullptr) {
    return fail(Errc::timed_out, "snapshot: the container is not frozen any more; begin again");
  }
  if (closure->rollback) return fail(Errc::busy, "snapshot: the container is being rolled back");
  if (epoch <= closure->answered) {
    return fail(Errc::invalid, "snapshot: its epoch is not above what the shard answered");
  }
  if (epoch > state.epoch_bound()) {
    return fail(Errc::invalid, "snapshot: its epoch is further in the future than clocks differ");
  }
  // What it writes has an epoch already, and would come to be seen by the snapshot later.
  if (state.unresolved.any(container)) {
    return fail(Errc::busy, "snapshot: a transaction waits for its outcome; begin again");
  }
  if (state.snapshots.of(container).size() >= kSnapshotsMax) {
    return fail(Errc::no_space, "snapshot: the container has 4,096; remove some");
  }
  return {};
}

struct Written {
  media::Lsn at = 0;
  model::Epoch epoch = 0;
};
/// Writes what a snapshot is from now on. A new one is checked in the step of its commit.
Task<Result<Written>> write_snapshot(Shard::State& state, ContNumber container, Snapshot snapshot,
                                     Origin origin = {}) {
  Bytes value;
  index::Batch batch;
  for (;;) {
    CO_TRY(admitted, co_await state.store->admit());
    if (snapshot.state == SnapshotState::alive) {
      CO_TRY(fine, check_addition(state, container, snapshot.epoch));
      // Everything issued from now on, to any container, lies above it.
      state.hlc.advance(snapshot.epoch);
    }
    const model::Epoch epoch = state.next_epoch();
    batch.clear();
    put_snapshot(value, epoch, snapshot.state);
    batch.put(snapshot_key(container, snapshot.epoch), value);
    const auto use = snapshot.state == SnapshotState::alive ? index::Pager::Use::update
                                                            : index::Pager::Use::removal;
    auto prepared = state.tree().prepare(batch, use);
    if (prepared) {
      const media::Lsn at = state.commit({origin.session, origin.sequence, epoch, 0, 0}, batch);
      state.snapshots.set(container, snapshot);
      co_return Written{at, epoch};
    }
    if (prepared.error().code() != Errc::page_absent) co_return fail(prepared.error());
    CO_TRY(loaded, co_await state.store->load_absent());
  }
}

bool has_newer(const Shard::State& state, ContNumber container, model::Epoch epoch, bool dying) {
  for (const Snapshot& s : state.snapshots.of(container)) {
    if (s.epoch > epoch && (s.state == SnapshotState::dying) == dying) return true;
  }
  return false;
}

Result<void> check_rollback(const Shard::State& state, ContNumber container, model::Epoch epoch) {
  if (!state.snapshots.is_alive(container, epoch)) {
    return fail(Errc::nonexistent, "rollback: no such snapshot");
  }
  if (has_newer(state, container, epoch, false)) {
    return fail(Errc::busy, "rollback: newer snapshots exist; remove them first");
  }
  return {};
}

}  // namespace

Task<Result<void>> wait_open(Shard::State& state, ContNumber container, Access access) {
  while (const auto closure = state.closures.of(container, access)) {
    if (closure->rollback && state.background_over) {
      const bool closing = state.gate.closed();
      co_return fail(closing ? Errc::shutdown : Errc::io,
                     "shard: the container's rollback goes on when the pool is opened again");
    }
    co_await closure->moved.wait();
  }
  co_return Result<void>{};
}

Task<Result<model::Epoch>> Shard::freeze_container(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  const auto old = state.closures.find(container, Access::write);
  if (old != nullptr && old->rollback) {
    co_return fail(Errc::busy, "snapshot: the container is being rolled back");
  }
  auto closure = std::make_shared<Closure>(state.reactor);
  closure->answered = state.hlc.last();
  state.closures.set(container, closure);
  state.reactor.spawn(end_later(state.reactor, closure));
  co_return closure->answered;
}

void Shard::unfreeze_container(ContNumber container) {
  const auto closure = state_->closures.find(container, Access::write);
  if (closure != nullptr && !closure->rollback) state_->closures.end(container);
}

Task<Result<void>> Shard::add_snapshot(ContNumber container, model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  if (state.snapshots.is_alive(container, epoch)) co_return co_await state.settle();
  CO_TRY(written, co_await write_snapshot(state, container, {epoch, SnapshotState::alive}));
  state.closures.end(container);
  co_return co_await state.store->durable(written.at);
}

Task<Result<void>> Shard::remove_snapshot(ContNumber container, model::Epoch epoch) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  const Snapshot* const found = state.snapshots.find(container, epoch);
  if (found == nullptr || found->state == SnapshotState::dying) co_return co_await state.settle();
  if (found->state == SnapshotState::restoring) {
    co_return fail(Errc::busy, "snapshot: the container is being rolled back to it");
  }
  CO_TRY(written, co_await write_snapshot(state, container, {epoch, SnapshotState::dying}));
  state.background_moved.wake_all();
  co_return co_await state.store->durable(written.at);
}

std::vector<model::Epoch> Shard::snapshots(ContNumber container) const {
  std::vector<model::Epoch> epochs;
  for (const Snapshot& s : state_->snapshots.of(container)) {
    if (s.state != SnapshotState::dying) epochs.push_back(s.epoch);
  }
  return epochs;
}

namespace {

/// From its record on, the rollback goes on by itself. @returns the record's epoch
Task<Result<model::Epoch>> begin_rollback(Shard::State& state, ContNumber container,
                                          model::Epoch epoch, Origin origin) {
  for (;;) {
    CO_TRY(open, co_await wait_open(state, container, Access::write));
    CO_TRY(fine, check_rollback(state, container, epoch));
    if (state.background_over) co_return fail(Errc::io, "rollback: the background work stopped");
    // What a dying newer one holds may belong to this one.
    if (!has_newer(state, container, epoch, true)) break;
    co_await state.background_moved.wait();
  }
  if (state.unresolved.any(container)) {
    co_return fail(Errc::busy, "rollback: transactions of the container wait for their outcome");
  }
  // Stamps go back with the records: whatever was read before counts as changed.
  state.punched.raise_all(state.newest);
  const auto closure = std::make_shared<Closure>(state.reactor);
  closure->rollback = true;
  state.closures.set(container, closure);
  const auto begun =
      co_await write_snapshot(state, container, {epoch, SnapshotState::restoring}, origin);
  if (!begun) {
    state.closures.end(container);
    co_return fail(begun.error());
  }
  state.background_moved.wake_all();
  co_return begun->epoch;
}

}  // namespace

Task<Result<void>> Shard::rollback(ContNumber container, model::Epoch epoch, Origin origin) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  CO_TRY(first, co_await begin_once(state, origin));
  if (!first) {
    const auto begun = co_await begin_rollback(state, container, epoch, origin);
    end_once(state, origin, begun);
    if (!begun) co_return fail(begun.error());
  }
  CO_TRY(done, co_await wait_open(state, container, Access::read));
  co_return co_await state.settle();
}

}  // namespace cairn::vos
