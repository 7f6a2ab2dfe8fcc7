// Writing and dropping what stands aside.
#include "vos/aside.h"

#include <algorithm>

#include "base/report.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

/// Records of one piece, and of one slice of a removal.
constexpr size_t kPieceRecords = 256;

bool is_short(const Error& error) {
  return error.code() == Errc::no_space || error.code() == Errc::no_memory;
}

struct Piece {
  index::Batch batch;
  size_t next = 0;      // the first record of the next piece
  uint64_t chunks = 0;  // of the entry, with those of this piece
};

/// The records from `from` on that one log record takes.
Piece make_piece(const Shard::State& state, const StandingTx& tx, const PendingRecords& pending,
                 size_t from, size_t records_max, TxState final_state) {
  Piece piece;
  const auto& records = pending.records();
  uint64_t bytes = 0;
  for (piece.next = from; piece.next < records.size(); ++piece.next) {
    const PendingRecord& record = records[piece.next];
    const size_t count = piece.next - from;
    bytes += 2 * record.key.size() + record.value.size() + 32;
    if (record.staged != nullptr) bytes += 18 * record.staged->published.size();
    if (count > 0 && (count == records_max || bytes > state.record_bytes_max / 2)) break;
    piece.batch.put(as_bytes(record.key), record.value);
    if (record.staged == nullptr) continue;
    for (const index::BatchData& data : record.staged->published) piece.batch.publish(data);
  }
  Bytes value;
  piece.chunks = tx.chunks;
  const std::span<const std::string> keys(tx.keys);
  for (size_t at = from; at < piece.next;) {
    at += put_entry_keys(value, tx.epoch, keys.subspan(at, piece.next - at));
    piece.batch.put(transaction_key(tx.id, ++piece.chunks), value);
  }
  const bool last = piece.next == records.size();
  if (last || from == 0) {
    put_entry_head(value, {tx.epoch, last ? final_state : TxState::staging});
    piece.batch.put(transaction_key(tx.id, 0), value);
  }
  return piece;
}

/// Prepares the tree for a batch that `make` gives, which is asked again after every wait, for
/// fewer records where memory or pages are short.
template <class Made, class Make>
Task<Result<Made>> make_ready(Shard::State& state, size_t records_max, index::Pager::Use use,
                              Make make) {
  CO_TRY(admitted, co_await state.store->admit());
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    Result<Made> made = make(records_max);
    Result<void> ready = made ? state.tree().prepare(made->batch, use) : fail(made.error());
    if (ready) co_return made;
    if (ready.error().code() == Errc::page_absent) {
      ready = co_await state.store->load_absent(attempt);
      if (ready) continue;
    }
    if (!is_short(ready.error()) || records_max == 1) co_return fail(ready.error());
    records_max = std::max<size_t>(1, records_max / 8);
    attempt.release();
  }
}

struct Removal {
  index::Batch batch;
  size_t left = 0;  // keys still to remove, from the front
};

/// Removes pending records from the back, with their blocks.
Result<Removal> plan_removal(Shard::State& state, const StandingTx& tx, size_t left, size_t max) {
  Removal removal;
  removal.left = left;
  uint64_t bytes = 0;
  for (; removal.left > 0 && left - removal.left < max && bytes < state.record_bytes_max / 2;
       --removal.left) {
    const ByteView key = as_bytes(tx.keys[removal.left - 1]);
    TRY(found, state.tree().get(key));
    if (!found) continue;
    TRY(parsed, parse_key(key));
    TRY(value, parse_value(parsed.kind, *found));
    if (value.form == Form::data) {
      TRY(data, parse_data(value));
      for (const media::Extent& run : data.runs) removal.batch.free(run);
      bytes += 14 * data.runs.size();
    }
    removal.batch.erase(key);
    bytes += key.size() + 8;
  }
  return removal;
}

}  // namespace

Result<void> stand_aside(Shard::State& state, TxId id, const PendingRecords& pending) {
  if (state.unresolved.count() >= kTxUnresolvedMax ||
      state.unresolved.record_count() + pending.records().size() > kPendingRecordsMax) {
    return fail(Errc::busy, "transaction: too many wait for their outcome; resolve some first");
  }
  StandingTx& tx = state.unresolved.add(id, pending.epoch(), TxState::staging);
  for (const PendingRecord& record : pending.records()) {
    const auto added = state.unresolved.add_key(tx, record.key);
    CHECK(added.has_value());  // we made the key
  }
  return {};
}

namespace {

Task<Result<void>> write_pieces(Shard::State& state, TxId id, const PendingRecords& pending,
                                TxState final_state, Origin origin) {
  const auto& records = pending.records();
  media::Lsn at = 0;
  for (size_t from = 0; from == 0 || from < records.size();) {
    StandingTx& tx = *state.unresolved.find(id);  // stays until we or drop_aside() are done
    auto piece = co_await make_ready<Piece>(
        state, kPieceRecords, index::Pager::Use::update, [&](size_t max) -> Result<Piece> {
          return make_piece(state, tx, pending, from, max, final_state);
        });
    if (!piece) {
      // What no piece has published goes back here, the rest with its records.
      for (size_t i = from; i < records.size(); ++i) {
        if (records[i].staged != nullptr) state.store->cancel_data(records[i].staged->data.runs);
      }
      co_return fail(piece.error());
    }
    const bool last = piece->next == records.size();
    if (last) {
      at = state.append({origin.session, origin.sequence, tx.epoch, 0, 0}, piece->batch);
      tx.state = final_state;
    } else {
      at = state.commit({0, 0, state.next_epoch(), 0, 0}, piece->batch);
    }
    tx.chunks = piece->chunks;
    std::vector<index::Store::DataWrite> writes;
    for (size_t i = from; i < piece->next; ++i) {
      if (records[i].staged == nullptr) continue;
      const auto& own = records[i].staged->writes;
      writes.insert(writes.end(), own.begin(), own.end());
    }
    from = piece->next;
    if (!writes.empty()) {
      CO_TRY(written, co_await state.store->write_data(at, std::move(writes)));
    }
    if (records.empty()) break;
  }
  co_return co_await state.store->durable(at);
}

}  // namespace

Task<Result<void>> write_aside(Shard::State& state, TxId id, const PendingRecords& pending,
                               TxState final_state, Origin origin) {
  auto written = co_await write_pieces(state, id, pending, final_state, origin);
  if (written) co_return written;
  auto dropped = written;
  if (written.error().code() != Errc::io) dropped = co_await drop_aside(state, id);
  if (!dropped) {
    // Whoever waits for it waits in vain.
    state.unresolved.find(id)->failed = dropped.error().code();
    state.unresolved_moved.wake_all();
  }
  co_return written;
}

Task<Result<void>> commit_aside(Shard::State& state, TxId id, Origin origin) {
  struct Head {
    index::Batch batch;
  };
  const model::Epoch epoch = state.unresolved.find(id)->epoch;
  auto head =
      co_await make_ready<Head>(state, 1, index::Pager::Use::removal, [&](size_t) -> Result<Head> {
        Head made;
        Bytes value;
        put_entry_head(value, {epoch, TxState::committed});
        made.batch.put(transaction_key(id, 0), value);
        return made;
      });
  if (!head) co_return fail(head.error());
  // Another copy of the request may have been faster, or an abort.
  StandingTx* tx = state.unresolved.find(id);
  if (tx == nullptr || (tx->state != TxState::committed && tx->resolving)) {
    co_return fail(Errc::nonexistent, "transaction: not known, or over");
  }
  if (tx->state == TxState::committed) co_return co_await state.settle();
  const media::Lsn at =
      state.commit({origin.session, origin.sequence, state.next_epoch(), 0, 0}, head->batch);
  tx->state = TxState::committed;
  CO_TRY(durable, co_await state.store->durable(at));
  start_folding(state, id);
  co_return Result<void>{};
}

Task<Result<void>> erase_entry(Shard::State& state, TxId id) {
  struct Erasure {
    index::Batch batch;
    uint64_t first = 0;
  };
  // The head goes last.
  StandingTx& tx = *state.unresolved.find(id);
  for (uint64_t end = tx.chunks + 1; end > 0;) {
    auto erasure = co_await make_ready<Erasure>(state, kPieceRecords, index::Pager::Use::removal,
                                                [&](size_t max) -> Result<Erasure> {
                                                  Erasure made;
                                                  made.first = end - std::min<uint64_t>(end, max);
                                                  for (uint64_t c = made.first; c < end; ++c) {
                                                    made.batch.erase(transaction_key(id, c));
                                                  }
                                                  return made;
                                                });
    if (!erasure) co_return fail(erasure.error());
    end = erasure->first;
    state.commit({0, 0, state.next_epoch(), 0, 0}, erasure->batch);
  }
  state.unresolved.remove(id);
  state.unresolved_moved.wake_all();
  co_return Result<void>{};
}

Task<Result<void>> drop_aside(Shard::State& state, TxId id) {
  StandingTx& tx = *state.unresolved.find(id);
  tx.resolving = true;
  for (size_t left = tx.keys.size(); left > 0;) {
    auto removal = co_await make_ready<Removal>(
        state, kPieceRecords, index::Pager::Use::removal, [&](size_t max) -> Result<Removal> {
          TRY(made, plan_removal(state, tx, left, max));
          if (tx.state == TxState::prepared) {
            // From now on nobody may commit it: a part is missing.
            Bytes value;
            put_entry_head(value, {tx.epoch, TxState::staging});
            made.batch.put(transaction_key(id, 0), value);
          }
          return made;
        });
    if (!removal) {
      tx.resolving = false;
      co_return fail(removal.error());
    }
    left = removal->left;
    tx.state = TxState::staging;
    if (!removal->batch.empty()) {
      state.commit({0, 0, state.next_epoch(), 0, 0}, removal->batch);
    }
  }
  CO_TRY(erased, co_await erase_entry(state, id));
  co_return co_await state.settle();
}

namespace {

Task<void> drop_in_background(Shard::State& state, TxId id) {
  const auto dropped = co_await drop_aside(state, id);
  if (!dropped) {
    report(Severity::error,
           "shard: an unfinished transaction stays until the pool is opened again; " +
               std::string(dropped.error().what()));
  }
  --state.resolvers;
  state.background_moved.wake_all();
}

}  // namespace

void resume_standing(Shard::State& state) {
  for (const auto& [id, tx] : state.unresolved.all()) {
    if (tx.state == TxState::committed) start_folding(state, id);
    if (tx.state != TxState::staging) continue;
    ++state.resolvers;
    state.reactor.spawn(drop_in_background(state, id));
  }
}

Result<void> load_entry(Shard::State& state, ByteView key, ByteView value) {
  TRY(parsed, parse_transaction_key(key));
  StandingTx* tx = state.unresolved.find(parsed.id);
  if (parsed.chunk == 0) {
    TRY(head, parse_entry_head(value));
    if (tx == nullptr) state.unresolved.add(parsed.id, head.epoch, head.state);
    return {};
  }
  if (tx == nullptr) return fail(Errc::checksum, "entry: a transaction without its head");
  TRY(keys, parse_entry_keys(value));
  for (std::string& one : keys) {
    TRY(added, state.unresolved.add_key(*tx, std::move(one)));
  }
  tx->chunks = parsed.chunk;
  return {};
}

}  // namespace cairn::vos
