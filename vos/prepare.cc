// Transactions whose outcome others decide: prepare, commit, abort.
#include "vos/aside.h"
#include "vos/transact.h"

namespace cairn::vos {

namespace {

/// @returns the epoch
Task<Result<model::Epoch>> run_prepare(Transaction& tx, TxId id) {
  Shard::State& state = tx.state;
  CO_TRY(checked, tx.check());
  auto ready = co_await tx.stage_admitted();
  if (ready) ready = co_await tx.plan_patiently();
  // In the step of the plan: whoever comes later meets the transaction.
  std::optional<PendingRecords> pending;
  if (ready && state.unresolved.find(id) != nullptr) {
    ready = fail(Errc::in_progress, "transaction: another copy of it is being prepared");
  }
  if (ready) {
    pending.emplace(tx.pending());
    ready = stand_aside(state, id, *pending);
  }
  if (!ready) {
    tx.cancel_all(false);
    CO_TRY(settled, co_await state.settle());
    co_return fail(ready.error());
  }
  tx.mark_reads();
  CO_TRY(written, co_await write_aside(state, id, *pending, TxState::prepared, {}));
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return tx.epoch;
}

}  // namespace

Task<Result<Transacted>> Shard::prepare(TxId id, const TransactRequest& request) {
  CO_TRY(hold, state_->gate.enter());
  if (id == TxId{} || id.high == kOwnTxIds) {
    co_return fail(Errc::invalid, "transaction: an id that clients do not draw");
  }
  if (const StandingTx* tx = state_->unresolved.find(id); tx != nullptr) {
    if (tx->state == TxState::committed) {
      co_return fail(Errc::already, "transaction: it was committed");
    }
    if (tx->state == TxState::staging) {
      co_return fail(Errc::in_progress, "transaction: another copy of it is on its way");
    }
    const model::Epoch epoch = tx->epoch;
    CO_TRY(settled, co_await state_->settle());
    co_return Transacted{.epoch = epoch};
  }
  Transaction tx(*state_, request);
  tx.aside = true;
  const auto done = co_await run_prepare(tx, id);
  co_return tx.outcome(done);
}

Task<Result<std::optional<model::Epoch>>> Shard::begin_decision(Origin origin) {
  CO_TRY(hold, state_->gate.enter());
  co_return co_await begin_once(*state_, origin);
}

void Shard::end_decision(Origin origin, const Result<model::Epoch>& outcome) {
  end_once(*state_, origin, outcome);
}

model::Epoch Shard::draw_epoch() { return state_->next_epoch(); }

Task<Result<void>> Shard::commit(TxId id, Origin origin) {
  CO_TRY(hold, state_->gate.enter());
  const StandingTx* tx = state_->unresolved.find(id);
  if (tx == nullptr || (tx->resolving && tx->state != TxState::committed)) {
    co_return fail(Errc::nonexistent, "transaction: not known, or over");
  }
  if (tx->state == TxState::staging) {
    co_return fail(Errc::in_progress, "transaction: it is still being prepared");
  }
  if (tx->state == TxState::committed) co_return co_await state_->settle();
  co_return co_await commit_aside(*state_, id, origin);
}

Task<Result<void>> Shard::abort(TxId id) {
  CO_TRY(hold, state_->gate.enter());
  const StandingTx* tx = state_->unresolved.find(id);
  if (tx == nullptr) co_return co_await state_->settle();
  if (tx->state == TxState::committed) {
    co_return fail(Errc::no_perm, "transaction: it was committed");
  }
  if (tx->resolving || tx->state == TxState::staging) {
    co_return fail(Errc::in_progress, "transaction: it is being prepared or dropped");
  }
  co_return co_await drop_aside(*state_, id);
}

std::vector<UnresolvedTx> Shard::unresolved() const {
  std::vector<UnresolvedTx> list;
  for (const auto& [id, tx] : state_->unresolved.all()) {
    if (tx.state == TxState::prepared) list.push_back({id, tx.epoch});
  }
  return list;
}

}  // namespace cairn::vos
