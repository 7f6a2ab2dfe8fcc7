// Containers' worm_* properties and seals. The container's record says what its shards are to hold;
// they are told after it. A seal is decided by a note in the record, made while the container is
// frozen on all shards, and then told to all of them: from the note on it goes forward whatever
// dies, because some shards may refuse changes already, and who wants it undone can unseal. It is
// answered when every shard holds it; an engine that is away at the beginning refuses it, one that
// goes away in the middle has it done when it comes back, before it serves.
#include "base/report.h"
#include "service/props.h"
#include "service/snap_lock.h"
#include "wire/worm.h"

namespace cairn::service {

using wire::SealState;

namespace {
/// How often a seal waits for engines that have gone away while it was carried out.
constexpr int kSealTriesMax = 3;
}  // namespace

model::WormPolicy Service::policy_of(const ContRecord& record) {
  model::WormPolicy policy = worm_policy(record.props);
  if (record.seal.state == SealState::sealing || record.seal.state == SealState::sealed) {
    policy.seal = {.epoch = record.seal.epoch, .by = record.seal.by};
  }
  return policy;
}

Result<void> Service::check_unsealed(const ContRecord& record) {
  if (record.seal.state == SealState::none) return {};
  return fail(Errc::no_perm, "container: it is sealed; unseal it first");
}

/// Tells `host` what the record says by now. Under the container's lock: an older policy must not
/// come after a newer one. @error nonexistent  it was destroyed
Task<Result<void>> Service::tell_worm(ShardHost& host, Uuid pool, Uuid uuid) {
  CO_TRY(cont, co_await load_cont(pool, uuid));
  co_return co_await host.set_worm(pool, cont.record.number, policy_of(cont.record), cont.modified);
}

/// All engines, under the container's lock; what one of them fails at is tried again. One that is
/// away hears of it when it comes. @error not unreachable: why one that is there does not hold it
Task<Result<void>> Service::tell_worm_again(Uuid pool, Uuid uuid) {
  auto told = co_await tell_worm(host_, pool, uuid);
  if (!told && told.error().code() == Errc::unreachable) co_return Result<void>{};
  if (!told) remember_unended(pool, uuid);
  co_return told;
}

/// After a commit that has changed the properties. An engine that is away hears of them when it
/// comes.
Task<void> Service::tell_worm_alone(Uuid pool, Uuid uuid) {
  const SnapLock alone = co_await lock_snapshots(uuid);
  const auto told = co_await tell_worm_again(pool, uuid);
  if (told || told.error().code() == Errc::busy) co_return;
  if (told.error().code() == Errc::nonexistent) co_return;
  report(Severity::warning,
         "container " + to_string(uuid) +
             ": an engine does not hold its worm_* properties: " + told.error().what());
}

/// Shards that came with new engines.
Task<void> Service::tell_new_shards(Uuid pool) {
  const auto conts = co_await load_conts(pool);
  if (!conts) co_return;
  for (const HeldCont& cont : *conts) {
    if (cont.record.worm_told) co_await tell_worm_alone(pool, cont.uuid);
  }
}

Task<Result<Service::Reply>> Service::worm_query(const Request& request) {
  CO_TRY(handle, cont_handle(request, false));
  const ContHandle at = *handle;
  CO_TRY(cont, co_await load_cont(at.pool, at.cont));
  Reply reply;
  reply.worm.worm = wire::worm_of(worm_policy(cont.record.props));
  reply.worm.seal_state = cont.record.seal.state;
  // Also while it is being unsealed: some shards may still refuse changes.
  reply.worm.worm.sealed_at = cont.record.seal.epoch;
  reply.worm.worm.sealed_by = cont.record.seal.by;
  // Where nothing is flattened on its own, there is nothing to ask about.
  const bool flattens =
      reply.worm.seal_state != SealState::none || reply.worm.worm.cold_after_s != 0;
  if (request.count == 0 || !flattens) co_return reply;
  CO_TRY(found, co_await host_.flatten_progress(at.pool, at.number));
  reply.worm.progress = wire::progress_of(found.progress);
  reply.worm.targets_away = found.targets_away;
  co_return reply;
}

/// Whose answer goes with the end of it.
Service::Request Service::asker_of(const SealRecord& seal) const {
  Request request;
  // What has ended takes no answers any more.
  if (!ended_.contains(seal.session)) {
    request.origin = {.session = seal.session, .sequence = seal.sequence};
  }
  return request;
}

/// From its commit on it happens, whoever dies. A seal that is taken back before it is done has had
/// its turn, and is answered with the same commit: a copy of it must not begin anew.
Task<Result<void>> Service::decide_seal(const Request& request, ContHandle handle,
                                        SealRecord seal) {
  seal.session = request.origin.session;
  seal.sequence = request.origin.sequence;
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
    const SealRecord before = std::exchange(cont.record.seal, seal);
    const Request over = before.state == SealState::sealing ? asker_of(before) : Request{};
    cont.record.worm_told = true;
    ConfigTxn txn;
    txn.expect(cont_key(handle.pool, handle.cont), cont.modified);
    txn.put(cont_key(handle.pool, handle.cont), wire::proto_encode(cont.record));
    const auto noted = co_await commit_done(over, std::move(txn), {});
    if (noted) co_return Result<void>{};
    if (noted.error().code() != Errc::again) co_return fail(noted.error());
  }
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

/// Tells all engines. An engine that is away unseals when it comes, and nobody need wait for it; a
/// seal is there only when all hold it.
Task<Result<void>> Service::finish_seal(ShardHost& host, Uuid pool, HeldCont cont) {
  auto told = co_await tell_worm(host, pool, cont.uuid);
  const bool away = !told && told.error().code() == Errc::unreachable;
  if (away && cont.record.seal.state == SealState::unsealing) told = Result<void>{};
  if (told) co_return told;
  remember_unended(pool, cont.uuid);
  const Errc code = told.error().code();
  if (code != Errc::unreachable && code != Errc::busy) {
    report(Severity::error, "container " + to_string(cont.uuid) +
                                ": an engine cannot seal or unseal it: " + told.error().what());
  }
  co_return told;
}

/// It is done everywhere: says so and, with the same commit, keeps the answer of the request.
Task<Result<void>> Service::end_seal(Uuid pool, Uuid uuid) {
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(cont, co_await load_cont(pool, uuid));
    SealRecord& seal = cont.record.seal;
    if (!seal.is_under_way()) co_return Result<void>{};
    const Request request = asker_of(seal);
    if (seal.state == SealState::unsealing) {
      seal = {};
    } else {
      seal.state = SealState::sealed;
      seal.session = seal.sequence = 0;
    }
    ConfigTxn txn;
    txn.expect(cont_key(pool, uuid), cont.modified);
    txn.put(cont_key(pool, uuid), wire::proto_encode(cont.record));
    const auto done = co_await commit_done(request, std::move(txn), {});
    if (done || done.error().code() != Errc::again) co_return done;
  }
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

/// What is decided.
Task<Result<Service::Reply>> Service::carry_out_seal(ContHandle handle) {
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  const bool seals = cont.record.seal.state == SealState::sealing;
  CO_TRY(done, co_await finish_seal(host_, handle.pool, std::move(cont)));
  step(seals ? "cont.seal.shards" : "cont.unseal.shards");
  CO_TRY(ended, co_await end_seal(handle.pool, handle.cont));
  co_return Reply{};
}

/// @param noted  gets the epoch of the seal, once it is decided
Task<Result<Service::Reply>> Service::cont_seal(const Request& request, ContHandle handle,
                                                model::Epoch& noted) {
  if (request.name.empty()) co_return fail(Errc::invalid, "seal: nobody's name is given");
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  if (cont.record.seal.state == SealState::sealed) {
    co_return fail(Errc::already, "container: it is sealed already");
  }
  const uint32_t number = cont.record.number;
  const auto newest = co_await host_.freeze_container(handle.pool, number);
  if (!newest) {
    co_await host_.unfreeze_container(handle.pool, number, 0);
    co_return fail(newest.error());
  }
  step("cont.seal.frozen");
  hlc_.advance(*newest);
  const model::Epoch epoch = next_epoch();
  const auto decided = co_await decide_seal(
      request, handle,
      {.state = SealState::sealing, .epoch = epoch, .by = model::printable_name(request.name)});
  if (!decided) {
    // After an I/O error the note may be there: the freeze ends by itself.
    if (decided.error().code() != Errc::io) {
      co_await host_.unfreeze_container(handle.pool, number, 0);
    }
    co_return fail(decided.error());
  }
  noted = epoch;
  step("cont.seal.noted");
  co_return co_await carry_out_seal(handle);
}

Task<Result<Service::Reply>> Service::cont_unseal(const Request& request, ContHandle handle) {
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  SealRecord seal = cont.record.seal;
  if (seal.state == SealState::none) {
    // An engine may have failed at an earlier one, and refuses changes still.
    if (cont.record.worm_told) {
      CO_TRY(told, co_await tell_worm_again(handle.pool, handle.cont));
    }
    co_return fail(Errc::already, "container: it is not sealed");
  }
  seal.state = SealState::unsealing;
  CO_TRY(decided, co_await decide_seal(request, handle, std::move(seal)));
  step("cont.unseal.noted");
  co_return co_await carry_out_seal(handle);
}

/// One that was decided before ends first; that may be this one, of which a copy has come.
/// @param noted  0, or the epoch that this request has decided to seal at before an engine went
/// away
Task<Result<Service::Reply>> Service::change_seal(const Request& request, model::Epoch& noted) {
  CO_TRY(known, cont_handle(request, true));
  const ContHandle handle = *known;
  const SnapLock alone = co_await lock_snapshots(handle.cont);
  CO_TRY(still, cont_handle(request, true));
  if (going_.contains(handle.cont)) {
    co_return fail(Errc::nonexistent, "container: is being destroyed");
  }
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  const SealRecord before = cont.record.seal;
  const bool waits = before.state == SealState::sealing && before.epoch == noted;
  // It was there, though a newer unsealing may have taken it back: nothing begins anew.
  if (noted != 0 && !waits) co_return Reply{};
  const bool unseals = request.op == wire::Op::cont_unseal;
  // A seal that waits for an engine or a transaction need not be waited for to be taken back.
  if (before.is_under_way() && !(unseals && before.state == SealState::sealing)) {
    CO_TRY(ended, co_await carry_out_seal(handle));
    const Origin& origin = request.origin;
    const bool same = origin.session == before.session && origin.sequence == before.sequence;
    if (waits || (same && origin.sequence != 0)) co_return Reply{};
  }
  // Somebody else may have ended it while this one waited.
  CO_TRY(earlier, co_await earlier_answer(request.origin));
  if (earlier) {
    CO_TRY(reply, wire::proto_decode<Reply>(*earlier));
    co_return reply;
  }
  if (unseals) co_return co_await cont_unseal(request, handle);
  co_return co_await cont_seal(request, handle, noted);
}

/// What needs every engine waits for those that are away, without the lock that they need to catch
/// up.
Task<Result<Service::Reply>> Service::dispatch_worm(const Request& request) {
  if (request.op == wire::Op::cont_worm) co_return co_await worm_query(request);
  model::Epoch noted = 0;
  for (int tries = 1;; ++tries) {
    CO_TRY(known, cont_handle(request, true));
    // The handle may be closed while engines are waited for.
    const Uuid pool = known->pool;
    const bool seals = request.op == wire::Op::cont_seal;
    if (seals) {
      CO_TRY(there, co_await host_.ready(pool, {}));
      CO_TRY(whole, check_whole(pool));
    }
    auto reply = co_await change_seal(request, noted);
    const bool gone = !reply && reply.error().code() == Errc::unreachable;
    if (!gone || !seals || tries == kSealTriesMax) co_return reply;
  }
}

/// Brings the shards to what the record says; the other half of start_snapshots().
Task<Result<void>> Service::start_worm(ShardHost& host, Uuid pool, Uuid uuid) {
  if (options_.read_only) co_return Result<void>{};
  const auto cont = co_await load_cont(pool, uuid);
  if (!cont && cont.error().code() == Errc::nonexistent) co_return Result<void>{};
  if (!cont) co_return fail(cont.error());
  if (!cont->record.worm_told) co_return Result<void>{};
  const bool all = &host == &host_;
  const auto told = co_await tell_worm(host, pool, uuid);
  if (!told && told.error().code() == Errc::unreachable && !all) co_return told;
  const bool away = !told && told.error().code() == Errc::unreachable;
  const bool waits = !told && told.error().code() == Errc::busy;  // and holds it
  if (!told && !away && !waits) {
    report(Severity::warning,
           "container " + to_string(uuid) +
               ": an engine does not hold its worm_* properties: " + told.error().what());
  }
  if (!cont->record.seal.is_under_way()) {
    if (!told && !away) remember_unended(pool, uuid);
    co_return Result<void>{};
  }
  const bool enough = told || (away && cont->record.seal.state == SealState::unsealing);
  if (all && enough) co_return co_await end_seal(pool, uuid);
  remember_unended(pool, uuid);
  co_return Result<void>{};
}

}  // namespace cairn::service
