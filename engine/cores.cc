#include "engine/cores.h"

#include <algorithm>

#include "engine/decide.h"
#include "engine/transact.h"
#include "runtime/parallel.h"
#include "wire/peek.h"

namespace cairn::engine {

namespace {

/// A larger message does not go before others.
constexpr size_t kUrgentBytesMax = 64u << 10;

}  // namespace

/// The way from one core to the others. Home: that core's reactor.
class EngineCores::Siblings final : public Peers {
 public:
  Siblings(EngineCores& cores, Reactor& home) : cores_(cores), home_(home) {}
  Task<Result<PeerReply>> ask(uint32_t core, PeerRequest request) override {
    return cores_.ask(home_, core, request);
  }

 private:
  EngineCores& cores_;
  Reactor& home_;
};

/// The way from a core to other engines, by the first one. Home: the core's reactor.
class EngineCores::FarPeers final : public Peers {
 public:
  FarPeers(Reactor& home, Reactor& first, Peers& peers)
      : home_(home), first_(first), peers_(peers) {}
  Task<Result<PeerReply>> ask(uint32_t rank, PeerRequest request) override {
    return run_on(home_, first_, [this, rank, request] { return peers_.ask(rank, request); });
  }

 private:
  Reactor& home_;
  Reactor& first_;
  Peers& peers_;
};

/// Before all that is handed over later.
template <class Say>
void EngineCores::tell(const Member& member, Say say) {
  if (&member.reactor == &home_) return say(member.engine);
  member.reactor.post([&engine = member.engine, say] { say(engine); });
}

EngineCores::EngineCores(std::vector<Member> members, uint32_t rank, uint32_t target_count)
    : home_(members.at(0).reactor),
      members_(std::move(members)),
      rank_(rank),
      map_{.targets = target_count, .cores = static_cast<uint32_t>(members_.size())} {
  if (count() == 1) return;
  for (const Member& member : members_) {
    siblings_.push_back(std::make_unique<Siblings>(*this, member.reactor));
    tell(member, [way = siblings_.back().get()](Engine& engine) { engine.set_siblings(way); });
  }
}

EngineCores::~EngineCores() = default;

void EngineCores::set_peers(Peers* peers) {
  CHECK(peers_ == nullptr);
  CHECK(peers != nullptr);
  peers_ = peers;
  for (const Member& member : members_) {
    Peers* way = peers;
    if (&member.reactor != &home_) {
      far_.push_back(std::make_unique<FarPeers>(member.reactor, home_, *peers));
      way = far_.back().get();
    }
    tell(member, [way](Engine& engine) { engine.set_peers(way); });
  }
}

void EngineCores::set_serving(bool serving) {
  for (const Member& member : members_) {
    tell(member, [serving](Engine& engine) { engine.set_serving(serving); });
  }
}

void EngineCores::set_pool(const Uuid& pool, std::vector<uint32_t> cores) {
  if (cores.empty()) {
    pools_.erase(pool);
  } else {
    pools_[pool] = std::move(cores);
  }
}

Task<void> EngineCores::stop() {
  for (const Member& member : members_) {
    if (&member.reactor == &home_) {
      co_await member.engine.stop();
      continue;
    }
    co_await run_on(home_, member.reactor, [&member] { return member.engine.stop(); });
  }
}

Task<Result<void>> EngineCores::serve(void* request, void* reply) {
  const wire::Header& header = static_cast<wire::Request*>(request)->header;
  const bool is_control = static_cast<wire::Request*>(request)->opcode() == wire::Opcode::control;
  const uint32_t core = is_control ? 0 : map_.core_of(header.target);
  if (core == 0) return members_[0].engine.serve(request, reply);
  Engine& engine = members_[core].engine;
  return run_on(
      home_, members_[core].reactor,
      [&engine, request, reply] { return engine.serve(request, reply); }, Haste::urgent);
}

bool EngineCores::serve_at_once(void* request, void* reply) {
  if (map_.core_of(static_cast<wire::Request*>(request)->header.target) != 0) return false;
  return members_[0].engine.serve_at_once(request, reply);
}

Task<Bytes> EngineCores::serve_bytes(Bytes request) {
  fabric::Message out = co_await serve_message(std::move(request), 0);
  co_return std::move(out).joined();
}

/// What is no request gets the first core's answer.
Task<fabric::Message> EngineCores::serve_message(Buffer request, size_t head_bytes) {
  const uint32_t core = map_.core_of(wire::peek_target(request).value_or(0));
  if (core == 0) return members_[0].engine.serve_message(std::move(request), head_bytes);
  return hand_over(core, std::move(request), head_bytes);
}

fabric::Service::Begun EngineCores::begin_message(Buffer request, size_t head_bytes) {
  const uint32_t core = map_.core_of(wire::peek_target(request).value_or(0));
  if (core == 0) return members_[0].engine.begin_message(std::move(request), head_bytes);
  return {.message = {}, .rest = hand_over(core, std::move(request), head_bytes)};
}

Task<fabric::Message> EngineCores::hand_over(uint32_t core, Buffer request, size_t head_bytes) {
  const Haste haste = request.size() <= kUrgentBytesMax ? Haste::urgent : Haste::plain;
  Engine& engine = members_[core].engine;
  return run_on(
      home_, members_[core].reactor,
      [&engine, head_bytes, request = std::move(request)]() mutable {
        return engine.serve_message(std::move(request), head_bytes);
      },
      haste);
}

Task<Result<PeerReply>> EngineCores::ask(Reactor& from, uint32_t core, PeerRequest request) {
  CHECK(core < count());
  Engine& engine = members_[core].engine;
  if (&from == &members_[core].reactor) return engine.serve_peer(request);
  return run_on(
      from, members_[core].reactor, [&engine, request] { return engine.serve_peer(request); },
      Haste::urgent);
}

Task<Result<void>> EngineCores::ask_into(uint32_t core, PeerRequest request, PeerReply& sum) {
  CO_TRY(reply, co_await ask(home_, core, request));
  sum.epoch = std::max(sum.epoch, reply.epoch);
  sum.open = sum.open || reply.open;
  co_return Result<void>{};
}

Task<Result<PeerReply>> EngineCores::ask_all(std::vector<uint32_t> cores, PeerRequest request) {
  PeerReply sum;
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t core : cores) tasks.push_back(ask_into(core, request, sum));
  CO_TRY(done, co_await run_all(home_, std::move(tasks), cores.size()));
  co_return sum;
}

namespace {
Task<Result<PeerReply>> not_served() {
  co_return fail(Errc::unreachable, "engine: it does not serve that pool yet");
}
}  // namespace

Task<Result<PeerReply>> EngineCores::serve_peer(PeerRequest request) {
  const auto found = pools_.find(request.pool);
  if (count() == 1) return ask(home_, 0, request);
  // While a pool is opened some cores serve it already and others do not: an abort that one has
  // heard of would be taken for the engine's.
  if (found == pools_.end()) return not_served();
  switch (request.verb) {
    case PeerVerb::draw:
    case PeerVerb::commit:
    case PeerVerb::abort:
      return ask_all(found->second, request);
    case PeerVerb::prepare:
      return prepare(request);
    case PeerVerb::outcome:
    case PeerVerb::none:
      break;
  }
  const Seat here{.rank = rank_, .map = map_};
  return ask(home_, here.core_of(first_rank(request.id), first_target(request.id)), request);
}

/// Where one of them refuses, the others drop it.
Task<Result<PeerReply>> EngineCores::prepare(PeerRequest request) {
  if (request.body == nullptr) co_return fail(Errc::invalid, "transaction: without a part");
  CoreParts cut = cut_by_core(*request.body, rank_, map_);
  PeerReply sum;
  std::vector<uint32_t> cores;
  std::vector<Task<Result<void>>> tasks;
  for (auto& [core, part] : cut.parts) {
    PeerRequest one = request;
    one.body = &part;
    cores.push_back(core);
    tasks.push_back(ask_into(core, one, sum));
  }
  if (tasks.empty()) co_return fail(Errc::invalid, "transaction: of nothing");
  const auto done = co_await run_all(home_, std::move(tasks), cores.size());
  give_back(cut, *request.body);
  if (done) co_return sum;
  if (cores.size() > 1) {
    // What cannot be dropped now is dropped when the decider says so.
    [[maybe_unused]] const auto dropped = co_await ask_all(
        std::move(cores),
        {.verb = PeerVerb::abort, .pool = request.pool, .id = request.id, .epoch = request.epoch});
  }
  co_return fail(done.error());
}

}  // namespace cairn::engine
