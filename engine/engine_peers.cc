// What an engine has to do with the other engines of its pools: their questions, and outcomes that
// it waits for.
#include "engine/engine_state.h"

namespace cairn::engine {

namespace {
/// Between two looks at transactions whose outcome another engine knows, or is about to tell.
constexpr Duration kLookAgain = 500 * kMillisecond;
}  // namespace

/// Somebody without a handle is on a pool's shards.
class Engine::State::PeerUse {
 public:
  PeerUse(State& state, const Uuid& pool) : state_(state), pool_(pool) {
    ++state.pools[pool].inside;
  }
  PeerUse(const PeerUse&) = delete;
  PeerUse& operator=(const PeerUse&) = delete;
  ~PeerUse() {
    if (--state_.pools[pool_].inside == 0) state_.peers_left.wake_all();
  }

 private:
  State& state_;
  const Uuid pool_;
};

void Engine::set_peers(Peers* peers) { state_->decider.set_peers(peers); }

void Engine::set_siblings(Peers* siblings) { state_->decider.set_siblings(siblings); }

void Engine::set_ranks(const Uuid& pool, std::vector<uint32_t> ranks, std::vector<uint32_t> cores) {
  state_->pools[pool].places = {.ranks = std::move(ranks), .cores = std::move(cores)};
}

Task<Result<bool>> Engine::State::resolve(Uuid pool) {
  const PeerUse use(*this, pool);
  co_return co_await decider.resolve(pool, shards_of(pool), pools[pool].places);
}

Task<Result<void>> Engine::resolve_transactions(Uuid pool) {
  State& s = *state_;
  CO_TRY(hold, s.gate.enter());
  CO_TRY(all, co_await s.resolve(pool));
  if (!all) s.watch_later(pool);
  co_return Result<void>{};
}

void Engine::State::watch_later(const Uuid& pool) {
  const auto found = pools.find(pool);
  if (found == pools.end() || std::exchange(found->second.watched, true)) return;
  reactor.spawn(watch(alive, reactor, pool));
}

/// Looks now and then until nothing is left.
Task<void> Engine::State::watch(std::weak_ptr<State*> alive, Reactor& reactor, Uuid pool) {
  for (bool more = true; more;) {
    co_await reactor.sleep(kLookAgain);
    const auto held = alive.lock();
    if (!held) co_return;
    State& s = **held;
    const auto hold = s.gate.enter();
    if (!hold || !s.pools.contains(pool) || s.shards_of(pool).empty()) co_return;
    const auto all = co_await s.resolve(pool);
    // What failed may pass: others wait for what these hold.
    more = !all || !*all;
    if (!more && s.pools.contains(pool)) s.pools[pool].watched = false;
  }
}

Task<Result<PeerReply>> Engine::State::serve_peer(Gate::Hold, PeerRequest request) {
  const PoolShards found = shards_of(request.pool);
  // Before it serves, a rollback that it has missed may still have to be done.
  const bool too_early = request.verb == PeerVerb::prepare && !serving;
  if (found.empty() || too_early) {
    co_return fail(Errc::unreachable, "engine: it does not serve that pool yet");
  }
  const PeerUse use(*this, request.pool);
  co_return co_await decider.serve(request, found);
}

Task<Result<PeerReply>> Engine::serve_peer(PeerRequest request) {
  CO_TRY(hold, state_->gate.enter());
  co_return co_await state_->serve_peer(std::move(hold), request);
}

}  // namespace cairn::engine
