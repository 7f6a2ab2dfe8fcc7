#include "engine/decide.h"

#include <algorithm>
#include <map>

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

// An id names the request and the first target, which resolve() asks.
constexpr unsigned kTargetBits = 16;

vos::TxId id_of(const WideTransaction& tx) {
  return {.high = tx.origin.session,
          .low = tx.origin.sequence << kTargetBits | tx.parts.front().target};
}
uint32_t first_target(vos::TxId id) { return static_cast<uint32_t>(id.low & 0xffff); }

/// Its outcome, where it counts as an error.
Result<void> error_of(const Result<vos::Transacted>& done) {
  if (!done) return fail(done.error());
  if (done->status != Errc::ok) return fail(done->status, done->what);
  return {};
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

/// The first one's turn, then that of all others.
Task<Result<void>> prepare_all(Reactor& reactor, WideTransaction& tx, vos::TxId id) {
  CO_TRY(first, co_await prepare_part(tx.parts.front(), id));
  std::vector<Task<Result<void>>> others;
  for (size_t i = 1; i < tx.parts.size(); ++i) others.push_back(prepare_part(tx.parts[i], id));
  co_return co_await run_all(reactor, std::move(others), kPartsAtOnceMax);
}

/// The others' turn, then that of the first one. Those that prepared nothing have nothing to drop.
Task<Result<void>> abort_all(Reactor& reactor, WideTransaction& tx, vos::TxId id) {
  std::vector<Task<Result<void>>> others;
  for (size_t i = 1; i < tx.parts.size(); ++i) {
    others.push_back(abort_part(*tx.parts[i].shard, id));
  }
  CO_TRY(dropped, co_await run_all(reactor, std::move(others), kPartsAtOnceMax));
  co_return co_await tx.parts.front().shard->abort(id);
}

/// Above all that its shards have issued, and that it has read. The one below is nobody's, either:
/// markers take it.
model::Epoch draw_epoch(const WideTransaction& tx) {
  model::Epoch newest = tx.read_epoch;
  for (const WideTransaction::Part& part : tx.parts) {
    newest = std::max(newest, part.shard->draw_epoch());
  }
  return newest + 2;
}

/// Prepared on all shards, or on none. Waits for others while it holds nothing, and not as long as
/// they do: two that met on two shards do not meet again. @returns the epoch
Task<Result<model::Epoch>> prepare_or_drop(Reactor& reactor, WideTransaction& tx, vos::TxId id) {
  int pauses = 0;
  for (int tries = 1;;) {
    const model::Epoch epoch = draw_epoch(tx);
    for (WideTransaction::Part& part : tx.parts) part.request.epoch = epoch;
    const auto prepared = co_await prepare_all(reactor, tx, id);
    if (prepared) co_return epoch;
    CO_TRY(dropped, co_await abort_all(reactor, tx, id));
    const Errc code = prepared.error().code();
    if (code == Errc::in_progress && pauses++ < kPausesMax) {
      co_await reactor.sleep(kPause * (1 + reactor.random().next() % 4));
      continue;
    }
    if (code == Errc::in_progress) {
      co_return fail(Errc::tx_restart, "transaction: others keep changing the same");
    }
    if (code != Errc::tx_restart || tries++ == kEpochsMax) co_return fail(prepared.error());
  }
}

Task<Result<model::Epoch>> decide_fresh(Reactor& reactor, WideTransaction& tx) {
  const vos::TxId id = id_of(tx);
  CO_TRY(epoch, co_await prepare_or_drop(reactor, tx, id));
  // From here it happens.
  CO_TRY(committed, co_await tx.parts.front().shard->commit(id, tx.origin));
  std::vector<Task<Result<void>>> others;
  for (size_t i = 1; i < tx.parts.size(); ++i) {
    others.push_back(commit_part(*tx.parts[i].shard, id));
  }
  CO_TRY(done, co_await run_all(reactor, std::move(others), kPartsAtOnceMax));
  co_return epoch;
}

}  // namespace

Task<Result<vos::Transacted>> decide(Reactor& reactor, WideTransaction& tx) {
  CHECK(tx.parts.size() > 1);
  if (tx.origin.session == 0 || tx.origin.sequence == 0) {
    co_return fail(Errc::invalid, "transaction: over several targets, without a session");
  }
  vos::Shard& first = *tx.parts.front().shard;
  CO_TRY(earlier, co_await first.begin_decision(tx.origin));
  if (earlier) co_return vos::Transacted{.epoch = *earlier};
  const auto done = co_await decide_fresh(reactor, tx);
  first.end_decision(tx.origin, done);
  if (!done) co_return fail(done.error());
  co_return vos::Transacted{.epoch = *done};
}

Task<Result<void>> resolve(PoolShards shards) {
  std::map<vos::TxId, std::vector<uint32_t>> holders;  // ascending
  for (uint32_t target = 0; target < shards.size(); ++target) {
    if (shards[target] == nullptr) continue;
    for (const vos::UnresolvedTx& tx : shards[target]->unresolved()) {
      holders[tx.id].push_back(target);
    }
  }
  for (const auto& [id, targets] : holders) {
    const bool aborted = targets.front() == first_target(id);
    for (size_t i = targets.size(); i-- > 0;) {
      vos::Shard& shard = *shards[targets[i]];
      CO_TRY(ended, aborted ? co_await shard.abort(id) : co_await shard.commit(id));
    }
  }
  co_return Result<void>{};
}

}  // namespace cairn::engine
