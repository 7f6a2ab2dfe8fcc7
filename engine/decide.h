// Transactions whose shards are on several targets of one engine, which decides about them: two
// phases over vos::Shard::prepare() and commit(). Internal to engine/. Home: the engine's reactor.
//
// The target with the lowest number keeps the outcome: it is the first to prepare, and to commit;
// the last to abort; each before the others begin. So whatever a crash leaves, what others hold
// prepared was committed iff the first one does not hold it prepared any more (`resolve`).
#pragma once

#include "engine/handles.h"

namespace cairn::engine {

/// A transaction, cut by target. What the requests borrow stays until the task ends.
struct WideTransaction {
  struct Part {
    uint32_t target = 0;
    vos::Shard* shard = nullptr;
    vos::TransactRequest request;
  };
  std::vector<Part> parts;  // two or more, ascending by target
  vos::Origin origin;       // all of it happens once
  model::Epoch read_epoch = 0;
};

/// @error tx_restart, no_space, ...  as vos::Shard::transact(), on any of the shards: nothing was
/// changed   @error io  a shard has stopped; the others' outcome is found at its next open
Task<Result<vos::Transacted>> decide(Reactor& reactor, WideTransaction& tx);

/// After all shards of a pool were opened, before anybody uses them: ends what a crash cut.
Task<Result<void>> resolve(PoolShards shards);

}  // namespace cairn::engine
