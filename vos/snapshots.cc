// Snapshots of a container: freezing, the table, and going back.
#include "vos/plan.h"

namespace cairn::vos {

namespace {

/// An operation that meets a held container waits for so long, and its sender asks again.
constexpr Duration kHeldWaitMax = 5 * kSecond;
constexpr Duration kHeldLook = kSecond;
/// A hold waits for so long until the container's transactions are over, and looks so often.
constexpr Duration kDrainMax = 2 * kSecond;
constexpr Duration kDrainLook = kMillisecond;

/// Ends a freeze that nobody ended. Must not know the shard, which may be gone by then.
Task<void> end_later(Reactor& reactor, std::shared_ptr<Closure> closure) {
  co_await reactor.sleep(kFreezeMax);
  if (!closure->over) closure->end();
}

/// Whoever waits for a held container looks now and then how long that has been.
Task<void> look_again(Reactor& reactor, std::weak_ptr<Closure> held) {
  for (;;) {
    co_await reactor.sleep(kHeldLook);
    const auto closure = held.lock();
    if (closure == nullptr || closure->over) co_return;
    closure->moved.wake_all();
  }
}

std::shared_ptr<Closure> hold(Shard::State& state, ContNumber container, model::Epoch answered) {
  auto closure = std::make_shared<Closure>(state.reactor, Closure::Kind::held);
  closure->answered = answered;
  state.closures.set(container, closure);
  state.reactor.spawn(look_again(state.reactor, closure));
  return closure;
}

Result<void> check_addition(Shard::State& state, ContNumber container, model::Epoch epoch) {
  const auto closure = state.closures.find(container, kWrite);
  if (closure == nullptr) {
    return fail(Errc::timed_out, "snapshot: the container is not frozen any more; begin again");
  }
  if (closure->kind != Closure::Kind::frozen) {
    return fail(Errc::busy, "snapshot: the container is being rolled back");
  }
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
/// Writes what a snapshot is from now on. A new one is checked in the step of its commit, and gets
/// its stamp there.
Task<Result<Written>> write_snapshot(Shard::State& state, ContNumber container, Snapshot snapshot) {
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
    if (snapshot.state != SnapshotState::restoring) snapshot.stamp = epoch;
    batch.clear();
    put_snapshot(value, snapshot.stamp, snapshot.state);
    batch.put(snapshot_key(container, snapshot.epoch), value);
    const auto use = snapshot.state == SnapshotState::alive ? index::Pager::Use::update
                                                            : index::Pager::Use::removal;
    auto prepared = state.tree().prepare(batch, use);
    if (prepared) {
      const media::Lsn at = state.commit({0, 0, epoch, 0, 0}, batch);
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
  const Instant give_up = state.reactor.clock().now() + kHeldWaitMax;
  while (const auto closure = state.closures.of(container, access)) {
    const bool held = closure->kind == Closure::Kind::held;
    const bool closing = state.gate.closed();
    if (closure->kind != Closure::Kind::frozen && (state.background_over || (held && closing))) {
      co_return fail(closing ? Errc::shutdown : Errc::io,
                     "shard: the container's rollback goes on when the pool is opened again");
    }
    if (held && state.reactor.clock().now() >= give_up) {
      co_return fail(Errc::unreachable, "shard: the container waits for a rollback to be decided");
    }
    co_await closure->moved.wait();
  }
  co_return Result<void>{};
}

Task<Result<model::Epoch>> Shard::freeze_container(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  const auto old = state.closures.find(container, kWrite);
  if (old != nullptr && old->kind != Closure::Kind::frozen) {
    co_return fail(Errc::busy, "snapshot: the container is being rolled back");
  }
  auto closure = std::make_shared<Closure>(state.reactor, Closure::Kind::frozen);
  closure->answered = state.hlc.last();
  state.closures.set(container, closure);
  state.reactor.spawn(end_later(state.reactor, closure));
  co_return closure->answered;
}

void Shard::unfreeze_container(ContNumber container) {
  const auto closure = state_->closures.find(container, kWrite);
  if (closure == nullptr || closure->kind == Closure::Kind::rollback) return;
  state_->closures.end(container);
}

void Shard::refuse_holds(uint64_t number) {
  state_->holds_over = std::max(state_->holds_over, number);
}

bool Shard::is_held(ContNumber container) const {
  const auto closure = state_->closures.find(container, kWrite);
  return closure != nullptr && closure->kind == Closure::Kind::held;
}

bool Shard::is_shut(ContNumber container) const {
  const auto closure = state_->closures.find(container, kWrite);
  return closure != nullptr && closure->kind != Closure::Kind::frozen;
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

Task<Result<model::Epoch>> Shard::hold_container(ContNumber container, model::Epoch epoch,
                                                 uint64_t number) {
  CO_TRY(entered, state_->gate.enter());
  State& state = *state_;
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  if (number <= state.holds_over) {
    co_return fail(Errc::busy, "rollback: it was given up meanwhile; begin again");
  }
  if (state.background_over) co_return fail(Errc::io, "rollback: the background work stopped");
  CO_TRY(fine, check_rollback(state, container, epoch));
  const auto old = state.closures.find(container, kWrite);
  if (old != nullptr && old->kind == Closure::Kind::rollback) {
    co_return fail(Errc::busy, "rollback: another one is under way");
  }
  const auto closure = hold(state, container, state.hlc.last());
  const Instant give_up = state.reactor.clock().now() + kDrainMax;
  while (state.unresolved.any(container)) {
    if (state.reactor.clock().now() >= give_up || state.gate.closed()) {
      if (!closure->over) state.closures.end(container);
      co_return fail(Errc::busy, "rollback: transactions of the container wait for their outcome");
    }
    co_await state.reactor.sleep(kDrainLook);
  }
  if (closure->over) {
    co_return fail(Errc::busy, "rollback: it was given up meanwhile; begin again");
  }
  closure->answered = state.hlc.last();
  const model::Epoch answered = closure->answered;
  // What went before it stays, whatever happens to the shard.
  CO_TRY(settled, co_await state.settle());
  if (closure->over) {
    co_return fail(Errc::busy, "rollback: it was given up meanwhile; begin again");
  }
  co_return answered;
}

namespace {

/// Of one that was decided (at its epoch): it has begun here, or is over.
bool has_begun(const Shard::State& state, ContNumber container, model::Epoch epoch,
               model::Epoch at) {
  const Snapshot* const found = state.snapshots.find(container, epoch);
  return at != 0 && found != nullptr && found->stamp >= at;
}

enum class Way : uint8_t { begun, open, held };

/// Nothing stands in the way of the record, in this step: or another call has begun meanwhile. What
/// is decided holds the container from here on, also if it cannot begin: it is done later, and
/// nothing is written before.
Task<Result<Way>> make_way(Shard::State& state, ContNumber container, model::Epoch epoch,
                           model::Epoch at) {
  const Instant give_up = state.reactor.clock().now() + kDrainMax;
  for (;;) {
    if (has_begun(state, container, epoch, at)) co_return Way::begun;
    auto closure = state.closures.find(container, kWrite);
    if (closure != nullptr && closure->kind != Closure::Kind::held) {
      CO_TRY(open, co_await wait_open(state, container, kWrite));
      continue;
    }
    const auto fine = check_rollback(state, container, epoch);
    // What this shard has not got it cannot go back to later either.
    const bool possible = fine || fine.error().code() != Errc::nonexistent;
    if (closure == nullptr && at != 0 && possible) {
      closure = hold(state, container, state.hlc.last());
    }
    if (!fine) co_return fail(fine.error());
    if (state.background_over) co_return fail(Errc::io, "rollback: the background work stopped");
    if (state.unresolved.any(container)) {
      // What is over may still have to be folded or dropped.
      if (at == 0 || state.reactor.clock().now() >= give_up || state.gate.closed()) {
        co_return fail(Errc::busy,
                       "rollback: transactions of the container wait for their outcome");
      }
      co_await state.reactor.sleep(kDrainLook);
      continue;
    }
    // What a dying newer one holds may belong to this one.
    if (!has_newer(state, container, epoch, true)) {
      co_return closure != nullptr ? Way::held : Way::open;
    }
    co_await state.background_moved.wait();
  }
}

/// From its record on, the rollback goes on by itself.
Task<Result<void>> begin_rollback(Shard::State& state, ContNumber container, model::Epoch epoch,
                                  model::Epoch at) {
  CO_TRY(way, co_await make_way(state, container, epoch, at));
  if (way == Way::begun) co_return Result<void>{};
  const model::Epoch answered = state.hlc.last();
  state.hlc.advance(at);
  const model::Epoch stamp = at != 0 ? at : state.next_epoch();
  state.closures.set(container, std::make_shared<Closure>(state.reactor, Closure::Kind::rollback));
  const auto begun =
      co_await write_snapshot(state, container, {epoch, SnapshotState::restoring, stamp});
  if (!begun) {
    state.closures.end(container);
    if (way == Way::held) hold(state, container, answered);
    co_return fail(begun.error());
  }
  // Stamps go back with the records: whatever was read or told before counts as changed.
  state.punched.raise_all(begun->epoch);
  state.ended.raise_all(begun->epoch);
  state.background_moved.wake_all();
  co_return Result<void>{};
}

}  // namespace

Task<Result<void>> Shard::rollback(ContNumber container, model::Epoch epoch, model::Epoch at) {
  CO_TRY(entered, state_->gate.enter());
  State& state = *state_;
  // Whoever has decided has seen what is above all shards' answers: it is taken as it is.
  if (!has_begun(state, container, epoch, at)) {
    CO_TRY(begun, co_await begin_rollback(state, container, epoch, at));
  }
  CO_TRY(done, co_await wait_open(state, container, Access::read(model::kEpochMax)));
  co_return co_await state.settle();
}

}  // namespace cairn::vos
