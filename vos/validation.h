// Validation: may a transaction go on with what it has read, and an operation at the epoch that it
// was given? Internal to vos/. Home: the shard's reactor.
#pragma once

#include <vector>

#include "vos/shard_state.h"

namespace cairn::vos {

/// The range of one read. A key that cannot exist stands for nothing: nullopt, nothing to validate.
/// @error invalid  a level that is none
Result<std::optional<KeyRange>> range_of(const TxRead& read);

/// Does no other transaction stand in the way of ranges? @error in_progress
Result<void> check_free(Shard::State& state, std::span<const KeyRange> ranges,
                        Unresolved::Intent intent);
/// The same for a plain read, which passes by what is not committed; one at an epoch must not see
/// it appear later. @error in_progress
Result<void> check_free_to_read(Shard::State& state, const KeyRange& range, model::Epoch epoch);
/// The same for all of a container. @error in_progress
Result<void> check_free_to_read(Shard::State& state, ContNumber container, model::Epoch epoch);
/// How long an operation has waited for others.
struct Patience {
  int waits = 0;
};
/// After in_progress: waits for whoever stood in the way: to the end where that is folded or the
/// shard's own, a moment where others decide. @error in_progress  the moment is over
/// @error io, ...  what stood in the way cannot be folded
Task<Result<void>> wait_for_others(Shard::State& state, Patience& patience);

/// Has no transaction read ranges at or above `epoch`? @error tx_restart
Result<void> check_unread(Shard::State& state, std::span<const KeyRange> ranges,
                          model::Epoch epoch);
/// May a change of `ranges` have an epoch that was chosen elsewhere? @error tx_restart, page_absent
/// @error invalid  beyond the clocks' bound
Result<void> check_dated(Shard::State& state, std::span<const KeyRange> ranges, model::Epoch epoch);

/// Before an epoch is told to a reader that no log record has: from now on, also after a crash, no
/// change gets an epoch at or below it. Counts once the store has settled.
void cover_read(Shard::State& state, model::Epoch epoch);

/// The epoch at which a transaction reads: `asked`, or for 0 the newest one. From now on, also
/// after a crash, no change gets an epoch at or below it.
/// @error invalid  beyond the clocks' bound   @error io  the shard has stopped
Task<Result<model::Epoch>> read_epoch(Shard::State& state, model::Epoch asked);

/// Is all of `range` as it was at `epoch`? Then it stays so: notes that it was read.
/// @error tx_restart, in_progress, page_absent
Result<void> check_unchanged(Shard::State& state, const KeyRange& range, model::Epoch epoch);

}  // namespace cairn::vos
