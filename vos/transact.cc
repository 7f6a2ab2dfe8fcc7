// Transactions that one shard decides: validate, plan through an overlay, commit one record.
#include "vos/transact.h"

#include <algorithm>

#include "vos/aside.h"
#include "vos/epoch_view.h"
#include "vos/flat_inflate.h"

namespace cairn::vos {

namespace {

/// Errors that lie in an operation, not in the shard or in other transactions.
bool is_of_operation(Errc code) {
  switch (code) {
    case Errc::exists:
    case Errc::nonexistent:
    case Errc::no_perm:
    case Errc::invalid:
    case Errc::key_too_big:
    case Errc::record_too_big:
      return true;
    default:
      return false;
  }
}

}  // namespace

Transaction::Transaction(Shard::State& s, const TransactRequest& r)
    : state(s), request(r), overlay(s.tree()) {
  changes.reserve(r.ops.size());
  for (const TxOp& op : r.ops) {
    Change& change = changes.emplace_back();
    if (const auto* update = std::get_if<UpdateRequest>(&op)) {
      change.update = std::make_unique<Update>(s, *update);
    } else {
      change.punch = std::make_unique<Punch>(s, std::get<PunchRequest>(op));
      change.punch->overlay = &overlay;
    }
  }
}

Result<void> Transaction::check() {
  if (request.ops.size() > kTxOpsMax || request.reads.size() > kTxReadsMax) {
    return fail(Errc::invalid, "transaction: too many operations or reads");
  }
  for (const TxRead& read : request.reads) {
    if (read.epoch == 0) return fail(Errc::invalid, "transaction: a read without its epoch");
    TRY(range, range_of(read));
    if (range) reads.push_back({*range, read.epoch});
  }
  for (failed_op = 0; failed_op < changes.size(); ++failed_op) {
    Change& change = changes[failed_op];
    TRY(checked, change.update ? change.update->check() : change.punch->check());
  }
  failed_op = Transacted::kNone;
  return {};
}

Result<void> Transaction::check_open() const {
  for (const Change& change : changes) {
    TRY(open, state.worm.check_open(change.container()));
  }
  return {};
}

Result<void> Transaction::stage_all() {
  for (const Change& change : changes) {
    if (!change.update) continue;
    TRY(staged, change.update->stage_all());
    change.update->make_all_checksums();
  }
  return {};
}

void Transaction::cancel_all(bool only_unused) {
  for (const Change& change : changes) {
    if (change.update) change.update->cancel_all(only_unused);
  }
}

Result<void> Transaction::validate() {
  for (const Read& read : reads) {
    // Its changes would come before what it has seen.
    if (request.epoch != 0 && read.epoch > request.epoch) {
      return fail(Errc::tx_restart, "transaction: it has read later than the epoch chosen for it");
    }
    TRY(unchanged, check_unchanged(state, read.range, read.epoch));
  }
  return {};
}

Result<void> Transaction::plan_changes() {
  overlay.clear();
  const View view(state.tree(), &overlay, model::kEpochMax);
  for (failed_op = 0; failed_op < changes.size(); ++failed_op) {
    const Change& change = changes[failed_op];
    if (const Key* const dkey = change.dkey_prefix()) {
      TRY(inflated, inflate(state, change.path(), dkey, overlay, cache));
    }
    Plan plan(state, change.path(), epoch, cache, view);
    TRY(planned, change.update ? change.update->plan_into(plan) : change.punch->plan_into(plan));
    overlay.absorb(plan.batch());
  }
  failed_op = Transacted::kNone;
  return {};
}

/// Before its changes stand aside. @returns the plan begins anew
Result<bool> Transaction::inflate_ahead_all() {
  bool any = false;
  for (const Change& change : changes) {
    const Key* const dkey = change.dkey_prefix();
    if (dkey == nullptr) continue;
    TRY(done, inflate_ahead(state, change.path(), dkey, cache));
    any = any || done;
  }
  return any;
}

std::vector<KeyRange> Transaction::ranges() const {
  std::vector<KeyRange> all;
  for (const Change& change : changes) {
    const auto of_one = change.update ? change.update->ranges() : change.punch->ranges();
    all.insert(all.end(), of_one.begin(), of_one.end());
  }
  return all;
}

PendingRecords Transaction::pending() const {
  PendingRecords pending(epoch);
  for (const Change& change : changes) {
    pending.next_op();
    if (change.update) {
      change.update->pend(pending);
    } else {
      change.punch->pend(pending);
    }
  }
  return pending;
}

void Transaction::mark_reads() {
  for (const Read& read : reads) state.read.raise(read.range, epoch);
}

Result<void> Transaction::plan() {
  too_large = false;
  failed_op = Transacted::kNone;
  TRY(open, check_open());
  const std::vector<KeyRange> changed = ranges();
  TRY(free, check_free(state, changed, Unresolved::Intent::change));
  TRY(valid, validate());
  if (request.epoch != 0) {
    epoch = request.epoch;
    TRY(dated, check_dated(state, changed, epoch));
    state.hlc.advance(epoch);
  } else {
    // Its markers say the epoch before, which so is nobody else's.
    state.next_epoch();
    epoch = state.next_epoch();
  }
  TRY(planned, plan_changes());
  const bool stands_aside = aside || overlay.bytes() > state.record_bytes_max;
  if (stands_aside && cache.lays()) {
    TRY(inflated, inflate_ahead_all());
    if (inflated) return plan();
  }
  if (aside) return {};
  if (overlay.bytes() > state.record_bytes_max) {
    too_large = true;
    return fail(Errc::no_space, "transaction: too many pieces for one log record");
  }
  batch.clear();
  overlay.emit(batch);
  const bool removes = std::all_of(changes.begin(), changes.end(),
                                   [](const Change& change) { return change.punch != nullptr; });
  auto ready =
      state.tree().prepare(batch, removes ? index::Pager::Use::removal : index::Pager::Use::update);
  if (ready || ready.error().code() != Errc::no_memory) return ready;
  too_large = true;
  return fail(Errc::no_space, "transaction: too many pieces for one step");
}

void Transaction::fill_own_blocks() {
  const auto fill = [&](uint64_t block, const index::Store::DataWrite& write) {
    if (block < write.extent.block || block >= write.extent.block + write.extent.count)
      return false;
    Bytes bytes((block - write.extent.block) * kDataBlockBytes + kDataBlockBytes);
    // The last block is filled up with zeros.
    const uint64_t there = std::min<uint64_t>(bytes.size(), total_bytes(write.pieces));
    IoVecCursor(write.pieces).copy_out(ByteSpan(bytes).first(there));
    cache.blocks[block].assign(bytes.end() - kDataBlockBytes, bytes.end());
    return true;
  };
  const auto is_own = [&](const BlockCache::Wanted& wanted) {
    for (const Change& change : changes) {
      if (!change.update) continue;
      for (const Staged* staged : change.update->staged()) {
        for (const index::Store::DataWrite& write : staged->writes) {
          if (fill(wanted.block, write)) return true;
        }
      }
    }
    return false;
  };
  std::erase_if(cache.wanted, is_own);
}

/// One that has to be waited for. What was read counts, too: a rollback that comes between would
/// take away what the transaction stands on.
std::optional<std::pair<ContNumber, Access>> Transaction::closed_container() {
  for (const Change& change : changes) {
    const ContNumber container = change.container();
    if (state.closures.of(container, kWrite) != nullptr) return std::pair(container, kWrite);
  }
  if (request.epoch == 0) return std::nullopt;
  const Access access = Access::read(request.epoch);
  for (const TxRead& read : request.reads) {
    const ContNumber container = read.object.container;
    if (state.closures.of(container, access) != nullptr) return std::pair(container, access);
  }
  return std::nullopt;
}

/// Plans until nothing is missing. Holds a read pin, so that blocks in the cache stay what they
/// were.
Task<Result<void>> Transaction::plan_loaded() {
  index::Store& store = *state.store;
  const auto pin = store.pin_reads();
  index::Store::Attempt attempt(store);
  Flats::Hold flats;
  Patience patience;
  for (;;) {
    if (const auto closed = closed_container()) {
      const auto [container, access] = *closed;
      const auto closure = state.closures.find(container, access);
      if (!request.may_wait && closure->kind == Closure::Kind::held) {
        co_return fail(Errc::in_progress, "transaction: the container is about to go back");
      }
      CO_TRY(open, co_await wait_open(state, container, access));
      continue;
    }
    auto planned = plan();
    if (!planned && planned.error().code() == Errc::in_progress) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(state, patience));
      continue;
    }
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    const bool blocks = !cache.wanted.empty();
    fill_own_blocks();
    if (!blocks) {
      CO_TRY(loaded, co_await load_absent(state, attempt, flats));
    } else if (!cache.wanted.empty()) {
      // The block may be of an update whose data is still on its way to the medium.
      CO_TRY(settled, co_await state.settle());
      CO_TRY(loaded, co_await fill_cache(store, cache));
    }
  }
}

Task<Result<void>> Transaction::plan_patiently() {
  auto ready = co_await plan_loaded();
  // What large values in buffers need may have been freed just before.
  for (int tries = 0; tries < kStageTriesMax && !ready && !too_large && cache.lays() &&
                      ready.error().code() == Errc::no_space && state.store->waits_for_blocks();
       ++tries) {
    CO_TRY(admitted, co_await state.store->admit());
    ready = co_await plan_loaded();
  }
  co_return ready;
}

Task<Result<void>> Transaction::stage_admitted() {
  uint64_t bytes = 0;
  for (const Change& change : changes) {
    if (change.update) bytes += payload_bytes(change.update->request);
  }
  room.release();
  if (bytes > kInlineBytesMax) {
    auto now = state.write_room.take_now(bytes);
    room = now ? std::move(*now) : co_await state.write_room.take(bytes);
  }
  CO_TRY(admitted, co_await state.store->admit());
  auto staged = stage_all();
  // Blocks that were freed last are waited for by admit().
  for (int tries = 0; tries < kStageTriesMax && !staged &&
                      staged.error().code() == Errc::no_space && state.store->waits_for_blocks();
       ++tries) {
    cancel_all(false);
    CO_TRY(again, co_await state.store->admit());
    staged = stage_all();
  }
  // That it is sealed counts more than that there was no room.
  if (!staged) {
    CO_TRY(open, check_open());
  }
  co_return staged;
}

void Transaction::committed() {
  bool marked = false;
  for (const Change& change : changes) {
    if (change.update) change.update->note_small();
    if (!change.punch) continue;
    for (const KeyRange& range : change.punch->ranges()) state.punched.raise(range, epoch);
    for (size_t i = 0; i < change.punch->markers_added; ++i) {
      state.markers.add(change.punch->path.object());
      marked = true;
    }
  }
  if (marked) state.background_moved.wake_all();
}

uint16_t Transaction::record_kind() const {
  const bool marks = std::any_of(changes.begin(), changes.end(), [](const Change& change) {
    return change.punch != nullptr && change.punch->markers_added > 0;
  });
  return marks ? kRecordAddsMarkers : uint16_t{0};
}

std::vector<index::Store::DataWrite> Transaction::writes() const {
  std::vector<index::Store::DataWrite> writes;
  for (const Change& change : changes) {
    if (!change.update) continue;
    for (const Staged* s : change.update->used) {
      writes.insert(writes.end(), s->writes.begin(), s->writes.end());
    }
  }
  return writes;
}

namespace {

/// In the step of a plan that was too large for one record, as an update's.
Task<Result<model::Epoch>> run_in_pieces(Transaction& tx) {
  Shard::State& state = tx.state;
  const TxId id{kOwnTxIds, tx.epoch};
  const PendingRecords pending = tx.pending();
  if (auto stands = stand_aside(state, id, pending); !stands) {
    tx.cancel_all(false);
    co_return fail(stands.error());
  }
  tx.mark_reads();
  CO_TRY(written, co_await write_aside(state, id, pending, TxState::committed, tx.request.origin));
  start_folding(state, id);
  co_return tx.epoch;
}

/// @returns the epoch
Task<Result<model::Epoch>> run_transaction(Transaction& tx) {
  Shard::State& state = tx.state;
  CO_TRY(checked, tx.check());
  auto ready = co_await tx.stage_admitted();
  if (ready) ready = co_await tx.plan_patiently();
  if (!ready && tx.too_large) co_return co_await run_in_pieces(tx);
  if (!ready) {
    tx.cancel_all(false);
    CO_TRY(settled, co_await state.settle());
    co_return fail(ready.error());
  }
  const Origin& origin = tx.request.origin;
  // A punch of what is not there is a change, too: what others decide must not come before it.
  if (tx.changes.empty() && origin.session == 0) {
    tx.mark_reads();
    cover_read(state, tx.epoch);
    CO_TRY(settled, co_await state.settle());
    co_return tx.epoch;
  }
  const media::Lsn at =
      state.commit({origin.session, origin.sequence, tx.epoch, 0, tx.record_kind()}, tx.batch);
  tx.committed();
  tx.mark_reads();
  tx.cancel_all(true);
  auto writes = tx.writes();
  if (!writes.empty()) {
    CO_TRY(written, co_await state.store->write_data(at, std::move(writes)));
  }
  CO_TRY(durable, co_await state.store->durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return tx.epoch;
}

}  // namespace

Result<Transacted> Transaction::outcome(const Result<model::Epoch>& done) const {
  if (done) return Transacted{.epoch = *done};
  if (failed_op != Transacted::kNone && is_of_operation(done.error().code())) {
    return Transacted{
        .status = done.error().code(), .failed_op = failed_op, .what = done.error().what()};
  }
  return fail(done.error());
}

Task<Result<Transacted>> Shard::transact(const TransactRequest& request) {
  CO_TRY(hold, state_->gate.enter());
  if (request.epoch != 0) {
    co_return fail(Errc::invalid, "transaction: only prepare() takes an epoch");
  }
  CO_TRY(first, co_await begin_once(*state_, request.origin));
  if (first) co_return Transacted{.epoch = *first};
  Transaction tx(*state_, request);
  const auto done = co_await run_transaction(tx);
  end_once(*state_, request.origin, done);
  co_return tx.outcome(done);
}

}  // namespace cairn::vos
