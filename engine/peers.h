// Peers: what the engines of a system ask each other about transactions that concern several of
// them (decide.h). Whoever builds the process connects them: by reference in one process, by
// messages between two. Home: the asking engine's reactor.
#pragma once

#include "base/result.h"
#include "base/uuid.h"
#include "model/ids.h"
#include "runtime/task.h"
#include "vos/transaction.h"
#include "wire/message.h"

namespace cairn::engine {

/// Numbers are part of wire/engine_admin.proto.
enum class PeerVerb : uint32_t {
  none = 0,
  draw = 1,     // an epoch above all that its shards of the pool have issued
  prepare = 2,  // `body`, on all of its targets or on none
  commit = 3,   // what it holds prepared; nothing is fine
  abort = 4,    // the same; no prepare() at `epoch` or below comes through any more
  outcome = 5,  // of a transaction that the asked engine decides: is it still open?
};

struct PeerRequest {
  PeerVerb verb = PeerVerb::none;
  Uuid pool;
  vos::TxId id;
  model::Epoch epoch = 0;     // prepare: of the transaction; abort: the newest that was prepared
  uint32_t container = 0;     // prepare
  wire::ObjectTransact* body = nullptr;  // prepare: what concerns the asked engine; borrowed, and
                                         // left as it was
};
struct PeerReply {
  model::Epoch epoch = 0;  // draw
  bool open = false;       // outcome: not decided, or not known to everybody; false: it happened
};

class Peers {
 public:
  virtual ~Peers() = default;
  /// Every verb may be repeated.
  /// @error unreachable  the engine is away, or does not serve the pool yet
  /// @error timed_out    it may or may not have done it   Others: what vos::Shard says
  virtual Task<Result<PeerReply>> ask(uint32_t rank, PeerRequest request) = 0;
};

}  // namespace cairn::engine
