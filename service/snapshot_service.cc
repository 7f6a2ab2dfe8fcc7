// Snapshots: a record per snapshot; the shards hold it before the record is committed, and lose it
// after the record is gone. So a crash leaves at most snapshots on shards that no record knows;
// start_snapshots() removes them. A rollback is decided by a note in the container's record, made
// when all shards hold the container (docs/decisions/0015-rollback-over-shards.md).
#include <algorithm>

#include "base/report.h"
#include "service/snap_lock.h"

namespace cairn::service {
namespace {

constexpr int kSnapTriesMax = 3;
/// Between two attempts to hold a container.
constexpr Duration kHoldPause = 300 * kMillisecond;
/// A rollback or seal that an engine could not do, though it was there.
constexpr Duration kUnendedRetry = 30 * kSecond;

}  // namespace

Task<Service::SnapLock> Service::lock_snapshots(Uuid cont) {
  while (!snapping_.insert(cont).second) co_await snapped_.wait();
  co_return SnapLock(*this, cont);
}

Task<Result<std::vector<wire::SnapReply>>> Service::load_snapshots(Uuid pool, Uuid cont) {
  const std::string prefix = snaps_prefix(pool, cont);
  CO_TRY(entries, co_await config_.range(prefix));
  std::vector<wire::SnapReply> out;
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<SnapRecord>(entry.value));
    const std::string_view digits = std::string_view(entry.key).substr(prefix.size());
    const auto epoch = parse_digits(digits);
    if (!epoch) co_return fail(Errc::checksum, "config store: a key that names no snapshot");
    out.push_back({.epoch = *epoch, .has_table = record.has_table});
  }
  co_return out;
}

/// A failure leaves at worst what start_snapshots() removes.
Task<void> Service::drop_from_shards(ShardHost& host, Uuid pool, uint32_t container,
                                     model::Epoch epoch) {
  const auto dropped = co_await host.remove_snapshot(pool, container, epoch);
  if (dropped) co_return;
  report(Severity::warning,
         std::string("snapshot: its space is freed later: ") + dropped.error().what());
}

/// Freezes the container on all shards and adds the snapshot to them.
Task<Result<model::Epoch>> Service::try_snap_on_shards(Uuid pool, uint32_t container) {
  const auto newest = co_await host_.freeze_container(pool, container);
  if (!newest) {
    co_await host_.unfreeze_container(pool, container, 0);
    co_return fail(newest.error());
  }
  step("snap.create.frozen");
  hlc_.advance(*newest);
  const model::Epoch epoch = next_epoch();
  const auto added = co_await host_.add_snapshot(pool, container, epoch);
  if (!added) {
    co_await host_.unfreeze_container(pool, container, 0);
    co_await drop_from_shards(host_, pool, container, epoch);
    co_return fail(added.error());
  }
  co_return epoch;
}

/// A freeze that ended before its snapshot came changed nothing, nor did a transaction in between:
/// begins anew.
Task<Result<model::Epoch>> Service::snap_on_shards(Uuid pool, uint32_t container) {
  for (int i = 0; i < kSnapTriesMax; ++i) {
    const auto epoch = co_await try_snap_on_shards(pool, container);
    if (epoch) co_return epoch;
    const Errc code = epoch.error().code();
    if (code != Errc::timed_out && code != Errc::busy) co_return epoch;
  }
  co_return fail(Errc::busy, "snapshot: the pool's shards are too slow now; try again");
}

Task<Result<Service::Reply>> Service::snap_create(const Request& request, ContHandle handle) {
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  CO_TRY(epoch, co_await snap_on_shards(handle.pool, cont.record.number));
  step("snap.create.added");
  ConfigTxn txn;
  txn.expect(snap_key(handle.pool, handle.cont, epoch), 0);
  txn.put(snap_key(handle.pool, handle.cont, epoch), wire::proto_encode(SnapRecord{}));
  const auto committed = co_await commit_in_cont(request, handle, std::move(txn), {.first = epoch});
  if (committed) co_return Reply{.first = epoch};
  // After an I/O error the record may be there: then the snapshot must be, too.
  if (committed.error().code() != Errc::io) {
    co_await drop_from_shards(host_, handle.pool, cont.record.number, epoch);
  }
  co_return fail(committed.error());
}

Task<Result<Service::Reply>> Service::snap_list(ContHandle handle) {
  CO_TRY(snapshots, co_await load_snapshots(handle.pool, handle.cont));
  Reply reply;
  reply.snapshots = std::move(snapshots);
  co_return reply;
}

Task<Result<Service::Reply>> Service::snap_destroy(const Request& request, ContHandle handle) {
  const model::Epoch epoch = request.epoch;
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  const std::string key = snap_key(handle.pool, handle.cont, epoch);
  CO_TRY(entry, co_await config_.get(key));
  if (!entry) co_return fail(Errc::nonexistent, "snapshot: none at that epoch");
  ConfigTxn txn;
  txn.expect(key, entry->modified).erase(key);
  CO_TRY(committed, co_await commit_in_cont(request, handle, std::move(txn), {}));
  step("snap.destroy.record");
  co_await drop_from_shards(host_, handle.pool, cont.record.number, epoch);
  co_return Reply{};
}

Task<Result<Service::Reply>> Service::snap_set_table(const Request& request, ContHandle handle) {
  const std::string key = snap_key(handle.pool, handle.cont, request.epoch);
  CO_TRY(entry, co_await config_.get(key));
  if (!entry) co_return fail(Errc::nonexistent, "snapshot: none at that epoch");
  CO_TRY(record, parse_record<SnapRecord>(entry->value));
  record.has_table = request.count != 0 ? 1 : 0;
  ConfigTxn txn;
  txn.expect(key, entry->modified).put(key, wire::proto_encode(record));
  CO_TRY(committed, co_await commit_in_cont(request, handle, std::move(txn), {}));
  co_return Reply{};
}

/// Nothing is written in the container any more, on any shard. @returns the epoch of the rollback
Task<Result<model::Epoch>> Service::try_hold(Uuid pool, uint32_t container, model::Epoch epoch) {
  const auto newest = co_await host_.hold_container(pool, container, epoch, next_epoch());
  if (!newest) {
    co_await host_.unfreeze_container(pool, container, next_epoch());
    co_return fail(newest.error());
  }
  hlc_.advance(*newest);
  co_return next_epoch();
}

/// Transactions that were in the way are over soon.
Task<Result<model::Epoch>> Service::hold_on_shards(Uuid pool, uint32_t container,
                                                   model::Epoch epoch) {
  for (int tries = 1;; ++tries) {
    const auto at = co_await try_hold(pool, container, epoch);
    if (at || at.error().code() != Errc::busy || tries == kSnapTriesMax) co_return at;
    co_await reactor_.sleep(kHoldPause);
  }
}

/// From its commit on the rollback happens, whoever dies.
Task<Result<void>> Service::decide_rollback(const Request& request, ContHandle handle,
                                            model::Epoch at) {
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
    cont.record.rollback = {.epoch = request.epoch,
                            .session = request.origin.session,
                            .sequence = request.origin.sequence,
                            .at = at};
    ConfigTxn txn;
    txn.expect(cont_key(handle.pool, handle.cont), cont.modified);
    txn.put(cont_key(handle.pool, handle.cont), wire::proto_encode(cont.record));
    const auto noted = co_await config_.commit(std::move(txn));
    if (noted) co_return Result<void>{};
    if (noted.error().code() != Errc::again) co_return fail(noted.error());
  }
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

/// Takes the note back and, with the same commit, keeps the answer of the request.
Task<Result<void>> Service::end_rollback(Uuid pool, Uuid uuid) {
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(cont, co_await load_cont(pool, uuid));
    const RollbackIntent intent = std::exchange(cont.record.rollback, {});
    if (intent.epoch == 0) co_return Result<void>{};
    Request request;
    // What has ended takes no answers any more.
    if (!ended_.contains(intent.session)) {
      request.origin = {.session = intent.session, .sequence = intent.sequence};
    }
    ConfigTxn txn;
    txn.expect(cont_key(pool, uuid), cont.modified);
    txn.put(cont_key(pool, uuid), wire::proto_encode(cont.record));
    const auto done = co_await commit_done(request, std::move(txn), {});
    if (done || done.error().code() != Errc::again) co_return done;
  }
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

/// Ends what is decided, on all engines: on those that have done it nothing happens, so others'
/// writes since then stay. An engine that is away does it before it serves, so nobody else need
/// wait for it, but the note stays until then.
Task<Result<void>> Service::finish_rollback(ShardHost& host, Uuid pool, HeldCont cont) {
  RollbackIntent& intent = cont.record.rollback;
  if (intent.at == 0) {
    // A note of an earlier version names no epoch; from here on it is one for all.
    intent.at = next_epoch();
    ConfigTxn txn;
    txn.expect(cont_key(pool, cont.uuid), cont.modified);
    txn.put(cont_key(pool, cont.uuid), wire::proto_encode(cont.record));
    CO_TRY(noted, co_await config_.commit(std::move(txn)));
  }
  const auto done = co_await host.rollback(pool, cont.record.number, intent.epoch, intent.at);
  if (done) co_return done;
  remember_unended(pool, cont.uuid);
  if (done.error().code() != Errc::unreachable) {
    report(Severity::error, "container " + to_string(cont.uuid) +
                                ": a rollback cannot be ended: " + done.error().what());
  }
  co_return done;
}

/// It is ended when an engine comes, or now and then.
void Service::remember_unended(const Uuid& pool, const Uuid& cont) {
  unended_.insert({pool, cont});
  if (std::exchange(retrying_, true)) return;
  reactor_.spawn(retry_unended(reactor_, alive_, *this));
}

Task<void> Service::retry_unended(Reactor& reactor, std::weak_ptr<bool> alive, Service& service) {
  for (;;) {
    co_await reactor.sleep(kUnendedRetry);
    if (alive.expired()) co_return;
    const auto hold = service.gate_.enter();
    if (!hold) co_return;
    co_await service.end_decided();
    if (!service.unended_.empty()) continue;
    service.retrying_ = false;
    co_return;
  }
}

/// Object id tables are objects of the container: those made after the snapshot go with the
/// rollback, so none counts as whole from before it on.
Task<Result<Service::Reply>> Service::snap_rollback(const Request& request, ContHandle handle) {
  const model::Epoch epoch = request.epoch;
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  CO_TRY(open, check_unsealed(cont.record));
  CO_TRY(known, co_await load_snapshots(handle.pool, handle.cont));
  if (std::ranges::find(known, epoch, &wire::SnapReply::epoch) == known.end()) {
    co_return fail(Errc::nonexistent, "snapshot: none at that epoch");
  }
  if (known.back().epoch != epoch) {
    co_return fail(Errc::busy, "snapshot: newer ones exist; destroy them before the rollback");
  }
  ConfigTxn txn;
  for (const wire::SnapReply& snapshot : known) {
    if (snapshot.has_table == 0) continue;
    txn.put(snap_key(handle.pool, handle.cont, snapshot.epoch),
            wire::proto_encode(SnapRecord{}));
  }
  const Request undecided;  // an answer goes with the last commit
  CO_TRY(prepared, co_await commit_in_cont(undecided, handle, std::move(txn), {}));
  step("snap.rollback.tables");
  CO_TRY(at, co_await hold_on_shards(handle.pool, cont.record.number, epoch));
  step("snap.rollback.held");
  const auto decided = co_await decide_rollback(request, handle, at);
  if (!decided) {
    // After an I/O error the note may be there: then nothing may be written before.
    if (decided.error().code() != Errc::io) {
      co_await host_.unfreeze_container(handle.pool, cont.record.number, next_epoch());
    }
    co_return fail(decided.error());
  }
  step("snap.rollback.noted");
  CO_TRY(noted, co_await load_cont(handle.pool, handle.cont));
  CO_TRY(done, co_await finish_rollback(host_, handle.pool, std::move(noted)));
  step("snap.rollback.shards");
  CO_TRY(ended, co_await end_rollback(handle.pool, handle.cont));
  co_return Reply{};
}

/// Of an earlier request, or of this one, which could not reach all engines then.
/// @returns whether it is this one, and done
Task<Result<bool>> Service::resume_rollback(const Request& request, ContHandle handle) {
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  const RollbackIntent intent = cont.record.rollback;
  if (intent.epoch == 0) co_return false;
  CO_TRY(done, co_await finish_rollback(host_, handle.pool, std::move(cont)));
  CO_TRY(ended, co_await end_rollback(handle.pool, handle.cont));
  const Origin& origin = request.origin;
  const bool same = origin.session == intent.session && origin.sequence == intent.sequence;
  co_return same&& origin.sequence != 0 && request.op == wire::Op::snap_rollback;
}

Task<Result<Service::Reply>> Service::change_snapshots(const Request& request) {
  CO_TRY(known, cont_handle(request, true));
  ContHandle handle = *known;
  const SnapLock alone = co_await lock_snapshots(handle.cont);
  CO_TRY(still, cont_handle(request, true));
  if (going_.contains(handle.cont)) {
    co_return fail(Errc::nonexistent, "container: is being destroyed");
  }
  CO_TRY(resumed, co_await resume_rollback(request, handle));
  if (resumed) co_return Reply{};
  // Somebody else may have ended it while this one waited for an engine.
  CO_TRY(earlier, co_await earlier_answer(request.origin));
  if (earlier) {
    CO_TRY(reply, wire::proto_decode<Reply>(*earlier));
    co_return reply;
  }
  switch (request.op) {
    case wire::Op::snap_create:
      co_return co_await snap_create(request, handle);
    case wire::Op::snap_destroy:
      co_return co_await snap_destroy(request, handle);
    case wire::Op::snap_rollback:
      co_return co_await snap_rollback(request, handle);
    default: break;
  }
  co_return co_await snap_set_table(request, handle);
}

/// What needs every engine waits for those that are away, without the lock that they need to catch
/// up. One that goes in between has it begun anew: a snapshot that was not made is dropped, and of
/// one origin a rollback happens once, and goes on where it is decided.
Task<Result<Service::Reply>> Service::dispatch_snapshots(const Request& request) {
  if (request.op == wire::Op::snap_list) {
    CO_TRY(known, cont_handle(request, false));
    co_return co_await snap_list(*known);
  }
  const bool needs_all =
      request.op == wire::Op::snap_create || request.op == wire::Op::snap_rollback;
  for (int tries = 1;; ++tries) {
    CO_TRY(known, cont_handle(request, true));
    // The handle may be closed while engines are waited for.
    const Uuid pool = known->pool;
    if (needs_all) {
      CO_TRY(there, co_await host_.ready(pool, {}));
      CO_TRY(whole, check_whole(pool));
    }
    auto reply = co_await change_snapshots(request);
    const bool gone = !reply && reply.error().code() == Errc::unreachable;
    if (!gone || !needs_all || tries == kSnapTriesMax) co_return reply;
  }
}

/// Brings the shards to what the records say: does a rollback that is decided, ends a hold of one
/// that is not, removes snapshots that no record knows.
Task<Result<void>> Service::start_snapshots(ShardHost& host, Uuid pool, HeldCont cont) {
  if (cont.record.rollback.epoch != 0 && !options_.read_only) {
    const bool all = &host == &host_;
    const auto done = co_await finish_rollback(host, pool, cont);
    if (!done && done.error().code() == Errc::unreachable && !all) co_return done;
    if (done && !all) remember_unended(pool, cont.uuid);
    if (done && all) {
      CO_TRY(ended, co_await end_rollback(pool, cont.uuid));
    }
  }
  CO_TRY(known, co_await load_snapshots(pool, cont.uuid));
  if (!known.empty()) hlc_.advance(known.back().epoch);
  const auto held = co_await host.snapshots(pool, cont.record.number, next_epoch());
  if (!held) {
    report(Severity::warning, "container " + to_string(cont.uuid) + ": its snapshots cannot be "
                              "read: " + held.error().what());
    co_return Result<void>{};
  }
  if (held->held && cont.record.rollback.epoch == 0) {
    co_await host.unfreeze_container(pool, cont.record.number, next_epoch());
  }
  for (const model::Epoch epoch : held->any) {
    if (std::ranges::find(known, epoch, &wire::SnapReply::epoch) != known.end()) continue;
    if (!options_.read_only) co_await drop_from_shards(host, pool, cont.record.number, epoch);
  }
  for (const wire::SnapReply& snapshot : known) {
    if (std::ranges::binary_search(held->all, snapshot.epoch)) continue;
    report(Severity::error, "container " + to_string(cont.uuid) + ": a snapshot is missing in the "
                            "pool's files; what was overwritten since then is lost");
  }
  co_return Result<void>{};
}

}  // namespace cairn::service
