#include "engine/decide.h"

#include <algorithm>

#include "engine/transact.h"
#include "model/limits.h"
#include "runtime/parallel.h"

namespace cairn::engine {

namespace {

/// Shards of one transaction that work at once.
constexpr size_t kPartsAtOnceMax = 32;
/// How often a transaction gets a newer epoch because others were faster on one of its shards.
constexpr int kEpochsMax = 3;
/// How often it lets others pass that are about to change the same, and for how long at least: they
/// need some writes to the media.
constexpr int kPausesMax = 500;
constexpr Duration kPause = 2 * kMillisecond;

// An id names the request and the first target, which keeps the outcome: its rank and its number in
// the engine.
constexpr unsigned kRankBits = 10;
constexpr unsigned kTargetBits = 8;
constexpr unsigned kPlaceBits = kRankBits + kTargetBits;
static_assert(model::kEnginesMax <= 1u << kRankBits);

bool stands_in(const vos::Shard& shard, vos::TxId id) {
  return std::ranges::any_of(shard.unresolved(),
                             [id](const vos::UnresolvedTx& tx) { return tx.id == id; });
}

/// Its outcome, where it counts as an error.
Result<void> error_of(const Result<vos::Transacted>& done) {
  if (!done) return fail(done.error());
  if (done->status != Errc::ok) return fail(done->status, done->what);
  return {};
}

/// Of what another engine was asked: whether it was done is not known, or it was not.
bool is_absence(Errc code) {
  return code == Errc::unreachable || code == Errc::timed_out || code == Errc::shutdown ||
         code == Errc::unknown || code == Errc::protocol || code == Errc::format_invalid ||
         code == Errc::stale_map || code == Errc::overload;
}

Task<Result<void>> prepare_part(WideTransaction::Part& part, vos::TxId id) {
  const auto done = co_await part.shard->prepare(id, part.request);
  co_return error_of(done);
}

Task<Result<void>> commit_part(vos::Shard& shard, vos::TxId id) {
  const auto done = co_await shard.commit(id);
  // Over: somebody has done it.
  if (!done && done.error().code() != Errc::nonexistent) co_return done;
  co_return Result<void>{};
}

Task<Result<void>> abort_part(vos::Shard& shard, vos::TxId id) { return shard.abort(id); }

}  // namespace

uint32_t first_rank(vos::TxId id) {
  return static_cast<uint32_t>(id.low >> kTargetBits & ((1u << kRankBits) - 1));
}
uint32_t first_target(vos::TxId id) {
  return static_cast<uint32_t>(id.low & ((1u << kTargetBits) - 1));
}

/// A transaction that one task works on; others wait.
class Decider::Busy {
 public:
  Busy(Decider& decider, std::set<vos::TxId>& where, vos::TxId id)
      : decider_(decider), where_(where), id_(id) {
    CHECK(where.insert(id).second);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() {
    where_.erase(id_);
    decider_.changed_.wake_all();
  }

 private:
  Decider& decider_;
  std::set<vos::TxId>& where_;
  const vos::TxId id_;
};

/// Precondition: there is a way.
Task<Result<PeerReply>> Decider::ask(uint32_t rank, uint32_t core, PeerRequest request) {
  return way_to(rank)->ask(rank == seat_.rank ? core : rank, request);
}

Task<Result<void>> Decider::tell(uint32_t rank, uint32_t core, PeerRequest request) {
  if (way_to(rank) == nullptr) {
    co_return fail(Errc::unreachable, "transaction: no way to other engines");
  }
  const auto done = co_await ask(rank, core, request);
  if (done) co_return Result<void>{};
  if (!is_absence(done.error().code())) co_return fail(done.error());
  co_return fail(Errc::unreachable, "transaction: one of its engines is away");
}

Task<Result<void>> Decider::prepare_away(WideTransaction& tx, size_t index, vos::TxId id) {
  WideTransaction::Away& away = tx.away[index];
  return tell(away.rank, away.core,
              {.verb = PeerVerb::prepare,
               .pool = tx.pool,
               .id = id,
               .epoch = tx.parts.front().request.epoch,
               .container = tx.container,
               .body = &away.body});
}

/// The first one's turn, then that of all others.
Task<Result<void>> Decider::prepare_all(WideTransaction& tx, vos::TxId id) {
  CO_TRY(first, co_await prepare_part(tx.parts.front(), id));
  // The first one waited where it had to; from here on others would wait for what it holds.
  for (size_t i = 1; i < tx.parts.size(); ++i) tx.parts[i].request.may_wait = false;
  std::vector<Task<Result<void>>> others;
  for (size_t i = 1; i < tx.parts.size(); ++i) others.push_back(prepare_part(tx.parts[i], id));
  for (size_t i = 0; i < tx.away.size(); ++i) others.push_back(prepare_away(tx, i, id));
  co_return co_await run_all(reactor_, std::move(others), kPartsAtOnceMax);
}

/// The others' turn, then that of the first one. Those that prepared nothing have nothing to drop.
Task<Result<void>> Decider::abort_all(WideTransaction& tx, vos::TxId id) {
  std::vector<Task<Result<void>>> others;
  for (size_t i = 1; i < tx.parts.size(); ++i) {
    others.push_back(abort_part(*tx.parts[i].shard, id));
  }
  for (const WideTransaction::Away& away : tx.away) {
    others.push_back(tell(away.rank, away.core,
                          {.verb = PeerVerb::abort,
                           .pool = tx.pool,
                           .id = id,
                           .epoch = tx.parts.front().request.epoch}));
  }
  CO_TRY(dropped, co_await run_all(reactor_, std::move(others), kPartsAtOnceMax));
  co_return co_await tx.parts.front().shard->abort(id);
}

Task<Result<void>> Decider::commit_others(WideTransaction& tx, vos::TxId id) {
  std::vector<Task<Result<void>>> others;
  for (size_t i = 1; i < tx.parts.size(); ++i) {
    others.push_back(commit_part(*tx.parts[i].shard, id));
  }
  for (const WideTransaction::Away& away : tx.away) {
    others.push_back(
        tell(away.rank, away.core, {.verb = PeerVerb::commit, .pool = tx.pool, .id = id}));
  }
  if (others.empty()) co_return Result<void>{};
  co_return co_await run_all(reactor_, std::move(others), kPartsAtOnceMax);
}

/// Above all that its shards have issued, and that it has read. The one below is nobody's, either:
/// markers take it.
Task<Result<model::Epoch>> Decider::draw_epoch(WideTransaction& tx) {
  model::Epoch newest = tx.read_epoch;
  for (const WideTransaction::Part& part : tx.parts) {
    newest = std::max(newest, part.shard->draw_epoch());
  }
  for (const WideTransaction::Away& away : tx.away) {
    const auto drawn =
        co_await ask(away.rank, away.core, {.verb = PeerVerb::draw, .pool = tx.pool});
    if (!drawn) co_return fail(Errc::unreachable, "transaction: one of its engines is away");
    newest = std::max(newest, drawn->epoch);
  }
  co_return newest + 2;
}

/// Prepared on all shards, or on none. Waits for others while it holds nothing, and not as long as
/// they do: two that met on two shards do not meet again. @returns the epoch
Task<Result<model::Epoch>> Decider::prepare_or_drop(WideTransaction& tx, vos::TxId id) {
  int pauses = 0;
  for (int tries = 1;;) {
    CO_TRY(epoch, co_await draw_epoch(tx));
    for (WideTransaction::Part& part : tx.parts) part.request.epoch = epoch;
    const auto prepared = co_await prepare_all(tx, id);
    if (prepared) co_return epoch;
    CO_TRY(dropped, co_await abort_all(tx, id));
    const Errc code = prepared.error().code();
    if (code == Errc::in_progress && pauses++ < kPausesMax) {
      co_await reactor_.sleep(kPause * (1 + reactor_.random().next() % 4));
      continue;
    }
    if (code == Errc::in_progress) {
      co_return fail(Errc::tx_restart, "transaction: others keep changing the same");
    }
    if (code != Errc::tx_restart || tries++ == kEpochsMax) co_return fail(prepared.error());
  }
}

/// @returns the epoch of what is committed on the first target, and so happens everywhere
Task<Result<model::Epoch>> Decider::decide_fresh(WideTransaction& tx, vos::TxId id) {
  vos::Shard& first = *tx.parts.front().shard;
  for (const vos::UnresolvedTx& standing : first.unresolved()) {
    if (standing.id != id) continue;
    // An attempt before this one could not reach everybody to drop it.
    tx.parts.front().request.epoch = standing.epoch;
    CO_TRY(dropped, co_await abort_all(tx, id));
    break;
  }
  CO_TRY(epoch, co_await prepare_or_drop(tx, id));
  // From here it happens.
  CO_TRY(committed, co_await first.commit(id, tx.origin));
  co_return epoch;
}

Task<Result<vos::Transacted>> Decider::decide(WideTransaction& tx) {
  CHECK(!tx.parts.empty());
  CHECK(tx.parts.size() + tx.away.size() > 1);
  if (tx.origin.session == 0 || tx.origin.sequence == 0) {
    co_return fail(Errc::invalid, "transaction: over several targets, without a session");
  }
  const auto unknown = [this](const auto& away) { return way_to(away.rank) == nullptr; };
  if (std::ranges::any_of(tx.away, unknown)) {
    co_return fail(Errc::not_supported, "transaction: this engine knows no others");
  }
  const uint64_t place = seat_.rank << kTargetBits | tx.parts.front().target;
  const vos::TxId id{.high = tx.origin.session, .low = tx.origin.sequence << kPlaceBits | place};
  vos::Shard& first = *tx.parts.front().shard;
  CO_TRY(earlier, co_await first.begin_decision(tx.origin));
  if (!earlier) {
    while (deciding_.contains(id)) co_await changed_.wait();
    const Busy deciding(*this, deciding_, id);
    const auto done = co_await decide_fresh(tx, id);
    first.end_decision(tx.origin, done);
    if (!done && on_doubt_) on_doubt_(tx.pool);
    if (!done) co_return fail(done.error());
    // Nobody takes it for cut before all of them show it.
    co_return co_await tell_others(tx, id, *done);
  }
  co_return co_await tell_others(tx, id, *earlier);
}

/// Nobody is told before all of them show it.
Task<Result<vos::Transacted>> Decider::tell_others(WideTransaction& tx, vos::TxId id,
                                                   model::Epoch epoch) {
  const auto told = co_await commit_others(tx, id);
  if (told) co_return vos::Transacted{.epoch = epoch};
  if (on_doubt_) on_doubt_(tx.pool);
  co_return fail(told.error());
}

/// What holds it prepared now.
Decider::Standing Decider::look(const PoolShards& shards, vos::TxId id) {
  Standing one{.id = id};
  for (uint32_t target = 0; target < shards.size(); ++target) {
    if (shards[target] == nullptr) continue;
    for (const vos::UnresolvedTx& tx : shards[target]->unresolved()) {
      if (tx.id != id) continue;
      one.epoch = std::max(one.epoch, tx.epoch);
      one.targets.push_back(target);
    }
  }
  return one;
}

/// Of a transaction that this core decides. What is told must last: the commit is made visible
/// before it is durable.
Task<Result<bool>> Decider::is_open(PoolShards shards, vos::TxId id) {
  vos::Shard& first = *shards[first_target(id)];
  if (deciding_.contains(id) || stands_in(first, id)) co_return true;
  CO_TRY(settled, co_await first.settled());
  co_return deciding_.contains(id) || stands_in(first, id);
}

Task<Result<bool>> Decider::resolve(Uuid pool, PoolShards shards, PoolPlaces places) {
  std::set<vos::TxId> standing;
  for (vos::Shard* const shard : shards) {
    if (shard == nullptr) continue;
    for (const vos::UnresolvedTx& tx : shard->unresolved()) standing.insert(tx.id);
  }
  bool all = true;
  Result<void> failed;
  for (const vos::TxId id : standing) {
    const auto ended = co_await resolve_one(pool, shards, places, id);
    if (!ended && failed) failed = fail(ended.error());
    all &= ended && *ended;
  }
  if (!failed) co_return fail(failed.error());
  co_return all;
}

/// Whoever cannot be asked may still say that it is.
Task<Result<bool>> Decider::is_open_elsewhere(Uuid pool, vos::TxId id) {
  const uint32_t rank = first_rank(id);
  if (way_to(rank) == nullptr) co_return true;
  const auto outcome = co_await ask(rank, seat_.core_of(rank, first_target(id)),
                                    {.verb = PeerVerb::outcome, .pool = pool, .id = id});
  co_return !outcome || outcome->open;
}

Task<Result<bool>> Decider::resolve_one(Uuid pool, PoolShards shards, PoolPlaces places,
                                        vos::TxId id) {
  // Others have been at work since the list was made, and are while somebody is asked.
  const Standing before = look(shards, id);
  if (before.targets.empty()) co_return true;
  if (deciding_.contains(id) || busy_.contains(id)) co_return false;
  const uint32_t target = first_target(id);
  if (!seat_.has(first_rank(id), target)) {
    CO_TRY(open, co_await is_open_elsewhere(pool, id));
    if (open) co_return false;
  } else if (before.targets.front() == target) {
    co_return co_await drop_own(pool, shards, places, before);
  } else if (target < shards.size() && shards[target] != nullptr) {
    CO_TRY(open, co_await is_open(shards, id));
    if (open) co_return false;
  }
  // The answer is about what was asked for.
  const Standing now = look(shards, id);
  if (now.targets.empty()) co_return true;
  if (busy_.contains(id) || deciding_.contains(id) || now.epoch != before.epoch) co_return false;
  const Busy busy(*this, busy_, id);
  for (size_t i = now.targets.size(); i-- > 0;) {
    CO_TRY(committed, co_await commit_part(*shards[now.targets[i]], id));
  }
  co_return true;
}

/// Nobody was told that it happened, and nobody may learn of its end before all others have
/// dropped it.
Task<Result<bool>> Decider::drop_own(Uuid pool, PoolShards shards, PoolPlaces places,
                                     Standing standing) {
  const vos::TxId id = standing.id;
  const Busy deciding(*this, deciding_, id);
  const PeerRequest abort{.verb = PeerVerb::abort, .pool = pool, .id = id, .epoch = standing.epoch};
  for (const uint32_t rank : places.ranks) {
    if (rank == seat_.rank) continue;
    const auto dropped = co_await tell(rank, 0, abort);
    if (!dropped) co_return false;
  }
  for (const uint32_t core : places.cores) {
    if (core == seat_.core) continue;
    const auto dropped = co_await tell(seat_.rank, core, abort);
    if (!dropped) co_return false;
  }
  for (size_t i = standing.targets.size(); i-- > 0;) {
    const auto ended = co_await shards[standing.targets[i]]->abort(id);
    if (!ended && ended.error().code() == Errc::in_progress) co_return false;
    if (!ended) co_return fail(ended.error());
  }
  co_return true;
}

void Decider::fence(vos::TxId id, model::Epoch epoch) {
  const auto [at, fresh] = fences_.try_emplace(id, epoch);
  at->second = std::max(at->second, epoch);
  if (!fresh) return;
  fence_order_.push_back(id);
  if (fence_order_.size() <= kFencesMax) return;
  fences_.erase(fence_order_.front());
  fence_order_.pop_front();
}

Task<Result<PeerReply>> Decider::serve(PeerRequest request, PoolShards shards) {
  switch (request.verb) {
    case PeerVerb::draw: return serve_draw(std::move(shards));
    case PeerVerb::prepare: return serve_prepare(request, std::move(shards));
    case PeerVerb::commit:
    case PeerVerb::abort: return serve_end(request, std::move(shards));
    case PeerVerb::outcome:
    case PeerVerb::none: break;
  }
  return serve_outcome(request, std::move(shards));
}

Task<Result<PeerReply>> Decider::serve_draw(PoolShards shards) {
  PeerReply reply;
  for (vos::Shard* const shard : shards) {
    if (shard != nullptr) reply.epoch = std::max(reply.epoch, shard->draw_epoch());
  }
  co_return reply;
}

Task<Result<PeerReply>> Decider::serve_prepare(PeerRequest request, PoolShards shards) {
  if (request.body == nullptr || request.epoch == 0 ||
      seat_.has(first_rank(request.id), first_target(request.id))) {
    co_return fail(Errc::invalid, "transaction: not what an engine asks another");
  }
  while (busy_.contains(request.id)) co_await changed_.wait();
  const Busy busy(*this, busy_, request.id);
  const auto fenced = fences_.find(request.id);
  if (fenced != fences_.end() && request.epoch <= fenced->second) {
    co_return fail(Errc::unknown, "transaction: it was dropped meanwhile");
  }
  CO_TRY(cut, cut_transaction(*request.body, seat_, shards, request.container));
  if (!cut.tx.away.empty()) {
    give_back(cut, *request.body);
    co_return fail(Errc::invalid, "transaction: not what an engine asks another");
  }
  std::vector<Task<Result<void>>> parts;
  for (WideTransaction::Part& part : cut.tx.parts) {
    part.request.epoch = request.epoch;
    part.request.may_wait = false;
    parts.push_back(prepare_part(part, request.id));
  }
  Result<void> done = co_await run_all(reactor_, std::move(parts), kPartsAtOnceMax);
  for (size_t i = 0; !done && i < cut.tx.parts.size(); ++i) {
    // What cannot be dropped now is dropped when the decider says so.
    [[maybe_unused]] const auto dropped = co_await cut.tx.parts[i].shard->abort(request.id);
  }
  give_back(cut, *request.body);
  if (on_doubt_) on_doubt_(request.pool);
  if (!done) co_return fail(done.error());
  co_return PeerReply{};
}

Task<Result<PeerReply>> Decider::serve_end(PeerRequest request, PoolShards shards) {
  while (busy_.contains(request.id)) co_await changed_.wait();
  const Busy busy(*this, busy_, request.id);
  const bool aborts = request.verb == PeerVerb::abort;
  if (aborts) fence(request.id, request.epoch);
  for (vos::Shard* const shard : shards) {
    if (shard == nullptr) continue;
    CO_TRY(done, aborts ? co_await shard->abort(request.id)
                        : co_await commit_part(*shard, request.id));
  }
  co_return PeerReply{};
}

Task<Result<PeerReply>> Decider::serve_outcome(PeerRequest request, PoolShards shards) {
  const uint32_t target = first_target(request.id);
  const bool mine = seat_.has(first_rank(request.id), target) && target < shards.size() &&
                    shards[target] != nullptr;
  if (request.verb != PeerVerb::outcome || !mine) {
    co_return fail(Errc::invalid, "transaction: not what an engine asks another");
  }
  CO_TRY(open, co_await is_open(shards, request.id));
  co_return PeerReply{.open = open};
}

}  // namespace cairn::engine
