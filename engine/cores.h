// EngineCores: an engine whose targets are dealt over several reactors, as the one Service that
// peers know. There is an Engine on each reactor with the shards, handles and resends of its
// targets; a request is handed over as it came to the core of its target, and its answer back, by
// whoever serves it there: nothing is copied, and each side touches only what is at home there.
// Control requests are the first core's. Home: the first core's reactor. With one core it only
// passes on.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/peers.h"
#include "runtime/core.h"

namespace cairn::engine {

class EngineCores final : public fabric::Service {
 public:
  /// Borrowed; the reactors outlive this object.
  struct Member {
    Reactor& reactor;
    Engine& engine;
  };
  /// @param members  by core; the first one's reactor is this object's home. Each was made with its
  ///                 number and how many there are. @param target_count  of the engine
  EngineCores(std::vector<Member> members, uint32_t rank, uint32_t target_count);
  ~EngineCores() override;

  size_t count() const { return members_.size(); }
  uint32_t core_of(uint32_t target) const { return map_.core_of(target); }

  /// As Engine::set_peers(), for all cores. They are asked from the first one. Before anything is
  /// served.
  void set_peers(Peers* peers);
  /// As Engine::set_serving(): what is handed over after it sees it.
  void set_serving(bool serving);
  /// The cores with shards of the pool, ascending; none: it is closed.
  void set_pool(const Uuid& pool, std::vector<uint32_t> cores);
  /// As Engine::serve_peer(), on all cores that it concerns: each of them does it, or (prepare)
  /// none.
  Task<Result<PeerReply>> serve_peer(PeerRequest request);
  /// As Engine::stop(), one after the other: transactions of lower cores need the higher ones.
  Task<void> stop();

  // fabric::Service
  Task<Result<void>> serve(void* request, void* reply) override;
  bool serve_at_once(void* request, void* reply) override;
  Task<Bytes> serve_bytes(Bytes request) override;
  Task<fabric::Message> serve_message(Buffer request, size_t head_bytes) override;
  Begun begin_message(Buffer request, size_t head_bytes) override;

 private:
  class Siblings;
  class FarPeers;
  template <class Say>
  void tell(const Member& member, Say say);
  Task<fabric::Message> hand_over(uint32_t core, Buffer request, size_t head_bytes);
  Task<Result<PeerReply>> ask(Reactor& from, uint32_t core, PeerRequest request);
  Task<Result<PeerReply>> ask_all(std::vector<uint32_t> cores, PeerRequest request);
  Task<Result<PeerReply>> prepare(PeerRequest request);
  Task<Result<void>> ask_into(uint32_t core, PeerRequest request, PeerReply& sum);

  Reactor& home_;
  const std::vector<Member> members_;
  const uint32_t rank_;
  const CoreMap map_;
  Peers* peers_ = nullptr;
  std::vector<std::unique_ptr<Siblings>> siblings_;  // of each core
  std::vector<std::unique_ptr<FarPeers>> far_;       // of each core but the first
  std::map<Uuid, std::vector<uint32_t>> pools_;
};

}  // namespace cairn::engine
