// Transactions as messages: cut by engine and target into what shards take. Internal to engine/.
// Plain calls.
#pragma once

#include <vector>

#include "engine/decide.h"

namespace cairn::engine {

/// A transaction that is cut. What its parts took out of the message goes back with give_back().
struct CutTransaction {
  WideTransaction tx;
  std::vector<size_t> part_of_op;  // parts of this engine first, then the others'
};

/// What engine `rank` has to do with it. @param shards  of the pool, by target
/// @error nonexistent  the pool has no shard on one of the targets
/// @error stale_map    an engine with a lower rank would have to decide
/// @error invalid      nothing to do here
Result<CutTransaction> cut_transaction(wire::ObjectTransact& body, uint32_t rank,
                                       const PoolShards& shards, vos::ContNumber container);
/// The sender may need its vectors again.
void give_back(CutTransaction& from, wire::ObjectTransact& to);

}  // namespace cairn::engine
