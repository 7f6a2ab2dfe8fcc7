// What an Engine holds. Internal to engine/. Home: the engine's reactor.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/decide.h"
#include "engine/engine.h"
#include "engine/resends.h"
#include "wire/codec.h"

namespace cairn::engine {

struct Engine::State {
  State(Reactor& reactor, EngineOptions options)
      : reactor(reactor),
        options(options),
        gate(reactor),
        handles(reactor, options.hears_of_handles),
        resends(reactor),
        seat{.rank = options.rank,
             .core = options.core,
             .map = {.targets = options.target_count, .cores = options.cores}},
        decider(reactor, seat),
        peers_left(reactor) {}

  Result<void> admit(const wire::Header& header) const;
  Task<Result<void>> serve(wire::Request& request, wire::Reply& reply);
  Task<Result<void>> serve_object(Gate::Hold hold, wire::Request& request, wire::Reply& reply);
  Task<void> serve_once(wire::Request& request, wire::Reply& reply);
  bool fetch_at_once(wire::Request& request, wire::Reply& reply);
  Task<fabric::Message> serve_decoded(std::unique_ptr<wire::DecodedRequest> decoded,
                                      size_t head_bytes);
  void start_reply(const wire::Request& request, wire::Reply& reply) const;

  Reactor& reactor;
  EngineOptions options;
  Gate gate;
  ControlHandler control;
  PoolShards shards_of(const Uuid& pool) const;
  struct PoolShard {
    Uuid pool;
    uint32_t target;
    vos::Shard* shard;
    std::unique_ptr<Scrubber> scrubber;
    std::unique_ptr<Flattener> flattener;
  };
  // Flattening: engine_flatten.cc.
  /// Null: it is being removed. Good as long as the shard is used.
  Flattener* flattener_of(const vos::Shard& shard) const;
  Task<Result<void>> flatten(Gate::Hold hold, HandleTable::Use use, wire::Request& request,
                             wire::Reply& reply);
  void note_read(const vos::Shard& shard, const wire::Request& request);
  void watch_reads();
  bool watches_reads = false;     // some flattener does
  std::vector<PoolShard> shards;  // looked up when handles open
  std::map<Uuid, model::ScrubPolicy> scrubs;
  uint64_t requests = 0;  // for objects, so far
  HandleTable handles;
  Resends resends;
  const Seat seat;
  Decider decider;
  bool serving = true;

  // What other engines have to do with it: engine_peers.cc.
  struct PoolPeers {
    PoolPlaces places;
    size_t inside = 0;       // tasks on its shards without a handle
    bool watched = false;    // a task waits for outcomes
  };
  class PeerUse;
  Task<Result<bool>> resolve(Uuid pool);
  Task<Result<PeerReply>> serve_peer(Gate::Hold hold, PeerRequest request);
  static Task<void> watch(std::weak_ptr<State*> alive, Reactor& reactor, Uuid pool);
  void watch_later(const Uuid& pool);
  std::map<Uuid, PoolPeers> pools;
  WaitList peers_left;
  /// Watchers that outlast this object in the reactor's timers look here first.
  std::shared_ptr<State*> alive = std::make_shared<State*>(this);
};

}  // namespace cairn::engine
