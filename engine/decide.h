// Transactions whose shards are on several targets, of one engine or of several: two phases over
// vos::Shard::prepare() and commit(). The engine of the lowest (rank, target) decides, and that
// target keeps the outcome. Each core of an engine counts as an engine of its own: the order of
// cores is that of their targets. Internal to engine/. Home: the core's reactor.
//
// The target that keeps the outcome is the first to prepare, and to commit; the last to abort; each
// before the others begin. So whatever a crash leaves, what others hold prepared was committed iff
// the first one does not hold it prepared any more, and nobody works on it (resolve(), and
// PeerVerb::outcome for those of other engines). An engine that was away when the outcome came asks
// for it; until it knows, what the transaction touches there waits.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>

#include "engine/handles.h"
#include "engine/peers.h"
#include "engine/seat.h"

namespace cairn::engine {

/// A transaction, cut by target of this core, by other core and by other engine. What the requests
/// borrow stays until the task ends.
struct WideTransaction {
  struct Part {
    uint32_t target = 0;
    vos::Shard* shard = nullptr;
    vos::TransactRequest request;
  };
  struct Away {
    uint32_t rank = 0;
    uint32_t core = 0;  // of this engine; 0 of another one
    wire::ObjectTransact body;
  };
  Uuid pool;
  vos::ContNumber container = 0;
  std::vector<Part> parts;  // one or more, ascending by target
  std::vector<Away> away;   // ascending, all above the own
  vos::Origin origin;       // all of it happens once
  model::Epoch read_epoch = 0;
};

/// Aborts that are remembered, so that a prepare() which they overtook does not come through.
inline constexpr size_t kFencesMax = 65'536;

/// Who has shards of a pool: all engines, and of this one the cores.
struct PoolPlaces {
  std::vector<uint32_t> ranks;
  std::vector<uint32_t> cores;
};

/// The target that keeps the outcome, and the rank of its engine.
uint32_t first_rank(vos::TxId id);
uint32_t first_target(vos::TxId id);

class Decider {
 public:
  Decider(Reactor& reactor, const Seat& seat) : reactor_(reactor), seat_(seat), changed_(reactor) {}

  /// Borrowed. Without them, transactions over several engines get not_supported.
  void set_peers(Peers* peers) { peers_ = peers; }
  /// The other cores of the engine, asked by number. Borrowed.
  void set_siblings(Peers* siblings) { siblings_ = siblings; }
  /// Told of pools where something may be left for resolve().
  void set_doubt_hook(std::function<void(const Uuid& pool)> hook) { on_doubt_ = std::move(hook); }

  /// Precondition: several parts, here or away.
  /// @error tx_restart, no_space, ...  as vos::Shard::transact(), on any of the shards: nothing was
  /// changed   @error io  a shard has stopped; the others' outcome is found at its next open
  /// @error unreachable  an engine is away; the same request again finds out what was done
  Task<Result<vos::Transacted>> decide(WideTransaction& tx);

  /// Ends what a crash cut, or somebody's absence left.
  /// @returns false: some outcome is not known yet; ask again later
  /// @error io, no_memory  of one of them; the others were looked at all the same
  Task<Result<bool>> resolve(Uuid pool, PoolShards shards, PoolPlaces places);

  /// Another engine asks. `shards`: of the pool, which stay until the task ends.
  /// @error as Peers::ask()
  Task<Result<PeerReply>> serve(PeerRequest request, PoolShards shards);

 private:
  class Busy;
  struct Standing {
    vos::TxId id;
    model::Epoch epoch = 0;
    std::vector<uint32_t> targets;  // ascending
  };
  Task<Result<model::Epoch>> decide_fresh(WideTransaction& tx, vos::TxId id);
  Task<Result<model::Epoch>> prepare_or_drop(WideTransaction& tx, vos::TxId id);
  Task<Result<model::Epoch>> draw_epoch(WideTransaction& tx);
  Task<Result<void>> prepare_all(WideTransaction& tx, vos::TxId id);
  Task<Result<void>> prepare_away(WideTransaction& tx, size_t index, vos::TxId id);
  Task<Result<void>> abort_all(WideTransaction& tx, vos::TxId id);
  Task<Result<void>> commit_others(WideTransaction& tx, vos::TxId id);
  Task<Result<vos::Transacted>> tell_others(WideTransaction& tx, vos::TxId id, model::Epoch epoch);
  Peers* way_to(uint32_t rank) const { return rank == seat_.rank ? siblings_ : peers_; }
  Task<Result<PeerReply>> ask(uint32_t rank, uint32_t core, PeerRequest request);
  Task<Result<void>> tell(uint32_t rank, uint32_t core, PeerRequest request);
  Task<Result<bool>> is_open_elsewhere(Uuid pool, vos::TxId id);
  static Standing look(const PoolShards& shards, vos::TxId id);
  Task<Result<bool>> is_open(PoolShards shards, vos::TxId id);
  Task<Result<bool>> resolve_one(Uuid pool, PoolShards shards, PoolPlaces places, vos::TxId id);
  Task<Result<bool>> drop_own(Uuid pool, PoolShards shards, PoolPlaces places, Standing standing);
  Task<Result<PeerReply>> serve_draw(PoolShards shards);
  Task<Result<PeerReply>> serve_prepare(PeerRequest request, PoolShards shards);
  Task<Result<PeerReply>> serve_end(PeerRequest request, PoolShards shards);
  Task<Result<PeerReply>> serve_outcome(PeerRequest request, PoolShards shards);
  void fence(vos::TxId id, model::Epoch epoch);

  Reactor& reactor_;
  const Seat seat_;
  Peers* peers_ = nullptr;
  Peers* siblings_ = nullptr;
  std::function<void(const Uuid&)> on_doubt_;
  std::set<vos::TxId> deciding_;          // by this core
  std::set<vos::TxId> busy_;              // of others, being prepared or ended here
  WaitList changed_;                      // busy_ lost one
  std::map<vos::TxId, model::Epoch> fences_;
  std::deque<vos::TxId> fence_order_;
};

}  // namespace cairn::engine
