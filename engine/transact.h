// Transactions as messages: cut by engine, core and target into what shards take. Internal to
// engine/. Plain calls.
#pragma once

#include <map>
#include <vector>

#include "engine/decide.h"

namespace cairn::engine {

/// A transaction that is cut. What its parts took out of the message goes back with give_back().
struct CutTransaction {
  WideTransaction tx;
  std::vector<size_t> part_of_op;  // parts of this core first, then the others'
};

/// What the core there has to do with it. @param shards  of the pool, by target
/// @error nonexistent  the pool has no shard on one of the targets
/// @error stale_map    an engine with a lower rank, or a lower core, would have to decide
/// @error invalid      nothing to do here
Result<CutTransaction> cut_transaction(wire::ObjectTransact& body, const Seat& here,
                                       const PoolShards& shards, vos::ContNumber container);
/// The sender may need its vectors again.
void give_back(CutTransaction& from, wire::ObjectTransact& to);

/// What concerns one engine, cut by core.
struct CoreParts {
  std::map<uint32_t, wire::ObjectTransact> parts;  // by core
  std::vector<uint32_t> core_of_op;
};
/// Each part may be refused where it goes: whose target is none of this engine goes to core 0.
CoreParts cut_by_core(wire::ObjectTransact& body, uint32_t rank, const CoreMap& map);
void give_back(CoreParts& from, wire::ObjectTransact& to);

}  // namespace cairn::engine
