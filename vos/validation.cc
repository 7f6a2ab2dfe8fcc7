#include "vos/validation.h"

#include <algorithm>

#include "vos/aside.h"

namespace cairn::vos {

namespace {

/// A moment, for transactions that others decide.
constexpr int kWaitsMax = 10;
constexpr Duration kWait = kMillisecond;

}  // namespace

namespace {

std::unexpected<Error> met(Shard::State& state, const StandingTx& tx) {
  state.met = {tx.id, tx.failed, tx.state == TxState::committed || tx.id.high == kOwnTxIds};
  return fail(Errc::in_progress, "another transaction's outcome is awaited");
}

}  // namespace

Result<void> check_free(Shard::State& state, std::span<const KeyRange> ranges,
                        Unresolved::Intent intent) {
  if (state.unresolved.count() == 0) return {};
  for (const KeyRange& range : ranges) {
    const StandingTx* tx = state.unresolved.meets(range, intent);
    if (tx != nullptr) return met(state, *tx);
  }
  return {};
}

Result<void> check_free_to_read(Shard::State& state, const KeyRange& range, model::Epoch epoch) {
  if (state.unresolved.count() == 0) return {};
  const auto intent = epoch == model::kEpochMax ? Unresolved::Intent::read
                                                : Unresolved::Intent::change;
  const StandingTx* tx = state.unresolved.meets(range, intent);
  // Older than the transaction: it will not show there.
  if (tx == nullptr || (tx->epoch > epoch && state.unresolved.count() == 1)) return {};
  return met(state, *tx);
}

Result<void> check_free_to_read(Shard::State& state, ContNumber container, model::Epoch epoch) {
  if (state.unresolved.count() == 0) return {};
  const StandingTx* tx = state.unresolved.seen_at(container, epoch);
  if (tx != nullptr) return met(state, *tx);
  return {};
}

Task<Result<void>> wait_for_others(Shard::State& state, Patience& patience) {
  const Shard::State::Met met = state.met;
  if (met.failed != Errc::ok) {
    co_return fail(met.failed, "what a transaction changed here could not be folded");
  }
  if (met.ends_by_itself) {
    co_await state.unresolved_moved.wait();
    co_return Result<void>{};
  }
  if (patience.waits++ == kWaitsMax) {
    co_return fail(Errc::in_progress, "another transaction's outcome is awaited");
  }
  co_await state.reactor.sleep(kWait);
  co_return Result<void>{};
}

Result<void> check_unread(Shard::State& state, std::span<const KeyRange> ranges,
                          model::Epoch epoch) {
  for (const KeyRange& range : ranges) {
    if (state.read.newest(range) >= epoch) {
      return fail(Errc::tx_restart, "a transaction has read this at a newer epoch");
    }
  }
  return {};
}

Result<void> check_dated(Shard::State& state, std::span<const KeyRange> ranges,
                         model::Epoch epoch) {
  if (epoch > state.epoch_bound()) {
    return fail(Errc::invalid, "the epoch is further in the future than clocks may differ");
  }
  TRY(unread, check_unread(state, ranges, epoch));
  for (const KeyRange& range : ranges) {
    // A punch's marker says the epoch before.
    const auto snapshots = state.snapshots.of(load_be32(range.object.view().data()));
    if (!snapshots.empty() && epoch <= snapshots.back().epoch + 1) {
      return fail(Errc::tx_restart, "a snapshot is newer than the epoch");
    }
    const Key& prefix = range.prefix();
    TRY(stamp, state.tree().newest_stamp(prefix, after_prefix(prefix)));
    if (stamp >= epoch || state.punched.newest(range) >= epoch) {
      return fail(Errc::tx_restart, "something newer was written here");
    }
  }
  return {};
}

Result<std::optional<KeyRange>> range_of(const TxRead& read) {
  const KeyPath path(read.object);
  KeyRange range;
  range.object = path.object();
  if (read.level == TxRead::Level::object) return range;
  if (read.level != TxRead::Level::dkey && read.level != TxRead::Level::akey) {
    return fail(Errc::invalid, "transaction: a read of no level");
  }
  auto dkey = path.dkey(read.dkey);
  if (!dkey) return std::nullopt;
  range.level = Level::dkey;
  range.dkey = *dkey;
  if (read.level == TxRead::Level::dkey) return range;
  auto akey = path.akey(range.dkey, read.akey);
  if (!akey) return std::nullopt;
  range.level = Level::akey;
  range.akey = *akey;
  return range;
}

void cover_read(Shard::State& state, model::Epoch epoch) {
  if (epoch <= state.lease) return;
  // Not from `epoch` on: leases of shards that hear of each other would run ahead of all clocks.
  const uint64_t wall_ns = state.reactor.clock().wall_ns();
  state.lease = std::max(epoch, model::epoch_of_wall_ns(wall_ns + kReadLease));
  state.commit({0, 0, state.next_epoch(), 0, 0}, {});
}

Task<Result<model::Epoch>> read_epoch(Shard::State& state, model::Epoch asked) {
  // What is committed is in the log, so an epoch up to the newest one needs no lease.
  if (asked == 0) co_return std::max<model::Epoch>(state.newest, 1);
  if (asked <= state.newest) co_return asked;
  if (asked > state.epoch_bound()) {
    co_return fail(Errc::invalid, "the epoch is further in the future than clocks may differ");
  }
  state.hlc.advance(asked);
  cover_read(state, asked);
  CO_TRY(settled, co_await state.settle());
  co_return asked;
}

Result<void> check_unchanged(Shard::State& state, const KeyRange& range, model::Epoch epoch) {
  TRY(free, check_free(state, {&range, 1}, Unresolved::Intent::change));
  const Key& prefix = range.prefix();
  TRY(stamp, state.tree().newest_stamp(prefix, after_prefix(prefix)));
  if (stamp > epoch || state.punched.newest(range) > epoch) {
    return fail(Errc::tx_restart, "transaction: what it reads has changed since its epoch");
  }
  state.read.raise(range, epoch);
  return {};
}

}  // namespace cairn::vos
