// Transactions that stand aside: their pending records and entry written, folded into the live
// range, or dropped. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <vector>

#include "vos/pending.h"
#include "vos/shard_state.h"

namespace cairn::vos {

/// Ids with this upper half are the shard's own: operations too large for one record.
inline constexpr uint64_t kOwnTxIds = ~uint64_t{0};

/// In the step that has planned it: takes the ranges of the records. `error` leaves nothing.
/// @error busy  too many stand aside
Result<void> stand_aside(Shard::State& state, TxId id, const PendingRecords& pending);

/// Writes the records and the entry, in as many pieces as the log wants; the last one gives the
/// transaction its state, and is recorded as `origin`'s operation. Data goes beside the pieces.
/// After an error the transaction is dropped; outcome open only after io.
/// @param pending  and its data: borrowed until the task ends
/// @error no_space, no_memory, io
Task<Result<void>> write_aside(Shard::State& state, TxId id, const PendingRecords& pending,
                               TxState final_state, Origin origin);

/// Makes a prepared transaction a committed one, recorded as `origin`'s operation; durable on
/// return. @error io, no_memory
Task<Result<void>> commit_aside(Shard::State& state, TxId id, Origin origin);

/// Folds a committed transaction in the background; nobody sees it before its end. Precondition:
/// that it is committed is durable.
void start_folding(Shard::State& state, TxId id);
/// Drops a transaction that is not committed, in slices; durable on return.
Task<Result<void>> drop_aside(Shard::State& state, TxId id);
/// Removes the entry and forgets the transaction, of which no record is left.
Task<Result<void>> erase_entry(Shard::State& state, TxId id);
/// After an open: folds what is committed, drops what was never promised.
void resume_standing(Shard::State& state);

/// Takes one record of an entry into the table: after an open, in key order.
/// @error checksum  malformed
Result<void> load_entry(Shard::State& state, ByteView key, ByteView value);

}  // namespace cairn::vos
