#include "sim/cluster/network.h"

#include <algorithm>
#include <optional>

namespace cairn::sim {

struct Network::Connection {
  NodeId client = 0, server = 0;
  uint64_t session = 0;
  bool admin = false;
  uint64_t number = 0;
  bool client_up = true;
  bool server_up = false;
  Process* process = nullptr;                          // the client's, while its end is up
  std::map<uint64_t, fabric::PendingCall*> pending;  // the same
  uint32_t calls = 0;                                  // at the server
  Instant requests_until = 0, replies_until = 0;       // of those that keep their order
};

struct Network::Connecting {
  explicit Connecting(Reactor& reactor) : changed(reactor) {}
  WaitList changed;
  std::optional<Result<void>> outcome;
  void end(Result<void> how) {
    if (outcome) return;
    outcome = how;
    changed.wake_all();
  }
};

Network::Network(Stage& stage, uint32_t nodes, NetworkOptions options)
    : stage_(stage), nodes_(nodes), options_(options), paths_(nodes * nodes), doors_(nodes) {}

bool Network::chance(uint32_t millionths) {
  return millionths != 0 && stage_.random().below(1'000'000) < millionths;
}

Duration Network::notice_after() {
  return options_.liveness + stage_.random().below(options_.liveness);
}

void Network::listen(NodeId at, Door door) { doors_[at] = {.door = std::move(door), .open = true}; }

void Network::send(NodeId from, NodeId to, Delivery deliver, Instant* in_order) {
  const Path& way = path(from, to);
  Duration delay = options_.delay_min + stage_.random().below(options_.delay_spread);
  if (way.extra != 0 && from != to) {
    delay += stage_.random().below(way.extra);
    ++counts_.slow;
  }
  Instant at = stage_.now() + delay;
  if (in_order != nullptr) at = *in_order = std::max(at, *in_order + 1);
  ++counts_.messages;
  stage_.at(at, [this, from, to, deliver = std::move(deliver)]() mutable {
    arrive(from, to, std::move(deliver));
  });
}

void Network::arrive(NodeId from, NodeId to, Delivery deliver) {
  if (path(from, to).blocked) {
    ++counts_.held;
    path(from, to).held.push_back(std::move(deliver));
    return;
  }
  if (doors_[to].dark) return;
  deliver();
}

void Network::block(NodeId from, NodeId to) {
  Path& way = path(from, to);
  if (from == to || std::exchange(way.blocked, true)) return;
  const uint64_t number = ++way.blockings;
  stage_.after(options_.liveness, [this, from, to, number] {
    const Path& now = path(from, to);
    if (now.blocked && now.blockings == number) notice_silence(from, to);
  });
}

/// Whoever hears nothing any more, or gets no acknowledgements, gives up: both.
void Network::notice_silence(NodeId a, NodeId b) {
  for (const ConnectionPtr& c : connections_) {
    const bool between = (c->client == a && c->server == b) || (c->client == b && c->server == a);
    if (!between) continue;
    stage_.after(stage_.random().below(options_.liveness), [this, c] { break_client_end(c); });
    stage_.after(stage_.random().below(options_.liveness), [this, c] { break_server_end(c); });
  }
}

void Network::open(NodeId from, NodeId to) {
  Path& way = path(from, to);
  if (!std::exchange(way.blocked, false)) return;
  std::vector<Delivery> held = std::exchange(way.held, {});
  Instant at = stage_.now() + options_.delay_min;
  for (Delivery& deliver : held) {
    at += 1 + stage_.random().below(options_.delay_spread);
    stage_.at(at, [this, from, to, deliver = std::move(deliver)]() mutable {
      arrive(from, to, std::move(deliver));
    });
  }
}

void Network::open_all() {
  for (NodeId from = 0; from < nodes_; ++from) {
    for (NodeId to = 0; to < nodes_; ++to) {
      open(from, to);
      path(from, to).extra = 0;
    }
  }
}

void Network::connect(std::shared_ptr<Connecting> attempt, ConnectionPtr c) {
  connections_.push_back(c);
  send(c->client, c->server, [this, attempt, c] { accept(attempt, c); });
}

void Network::accept(const std::shared_ptr<Connecting>& attempt, const ConnectionPtr& c) {
  Listening& listening = doors_[c->server];
  const bool takes = listening.open && (!c->admin || listening.door.admin != nullptr);
  if (!takes) {
    ++counts_.refused;
    send(c->server, c->client,
         [attempt] { attempt->end(fail(Errc::unreachable, "network: nobody listens there")); });
    return;
  }
  if (!c->client_up) return;  // it did not wait for so long
  c->server_up = true;
  ++counts_.connections;
  auto& sessions = c->admin ? listening.admins : listening.sessions;
  const auto& hook = c->admin ? listening.door.admin_session : listening.door.session;
  if (++sessions[c->session] == 1 && hook) hook(c->session, true);
  send(c->server, c->client, [attempt] { attempt->end({}); }, &c->replies_until);
}

void Network::request(const ConnectionPtr& c, uint64_t id, Bytes bytes) {
  if (chance(weather_.breaks)) {
    ++counts_.broken;
    break_client_end(c);
    return;
  }
  if (!c->admin && chance(weather_.duplicates)) {
    const uint64_t life =
        doors_[c->server].door.process != nullptr ? doors_[c->server].door.process->life() : 0;
    stage_.after(stage_.random().below(2 * kSecond), [this, c, life, bytes] {
      const Listening& there = doors_[c->server];
      if (!there.open || there.door.process->life() != life) return;
      if (path(c->client, c->server).blocked) return;
      ++counts_.duplicated;
      there.door.process->reactor().spawn(serve_copy(*there.door.calls, bytes));
    });
  }
  (c->admin ? counts_.admin : counts_.calls).add(bytes.size());
  const bool overtakes = !c->admin;
  if (overtakes && c->requests_until > stage_.now()) ++counts_.overtaken;
  send(
      c->client, c->server,
      [this, c, id, bytes = std::move(bytes)]() mutable { take_request(c, id, std::move(bytes)); },
      overtakes ? nullptr : &c->requests_until);
  if (overtakes) c->requests_until = stage_.now() + options_.delay_min + options_.delay_spread;
}

void Network::take_request(const ConnectionPtr& c, uint64_t id, Bytes bytes) {
  Trace& trace = stage_.trace();
  trace.add(stage_.now());
  trace.add((uint64_t{c->client} << 32) | c->server);
  trace.add(c->number);
  trace.add(ByteView(bytes));
  if (!c->server_up) {
    send(c->server, c->client, [this, c] { break_client_end(c); });
    return;
  }
  ++c->calls;
  doors_[c->server].door.process->reactor().spawn(serve(*this, c, id, std::move(bytes)));
}

Task<void> Network::serve(Network& network, ConnectionPtr c, uint64_t id, Bytes bytes) {
  const Door& door = network.doors_[c->server].door;
  fabric::Service& service = c->admin ? *door.admin : *door.calls;
  Bytes answer = co_await service.serve_bytes(std::move(bytes));
  network.reply(c, id, std::move(answer));
}

Task<void> Network::serve_copy(fabric::Service& service, Bytes bytes) {
  [[maybe_unused]] const Bytes answer = co_await service.serve_bytes(std::move(bytes));
}

void Network::reply(const ConnectionPtr& c, uint64_t id, Bytes bytes) {
  --c->calls;
  if (!c->server_up) {
    // As a stream server: a client has left when its last call has ended.
    if (!c->admin && c->calls == 0) leave_session(*c);
    return;
  }
  if (chance(weather_.breaks)) {
    ++counts_.broken;
    break_server_end(c);
    return;
  }
  (c->admin ? counts_.admin : counts_.calls).add(bytes.size());
  send(
      c->server, c->client, [this, c, id, bytes = std::move(bytes)] { take_reply(c, id, bytes); },
      c->admin ? &c->replies_until : nullptr);
}

void Network::take_reply(const ConnectionPtr& c, uint64_t id, const Bytes& bytes) {
  Trace& trace = stage_.trace();
  trace.add(stage_.now());
  trace.add((uint64_t{c->server} << 32) | c->client);
  trace.add(ByteView(bytes));
  const auto found = c->pending.find(id);
  if (found == c->pending.end()) {
    ++counts_.late_answers;
    return;
  }
  fabric::PendingCall& call = *found->second;
  c->pending.erase(found);
  call.end(c->process->reactor(), bytes.empty()
                                      ? fail(Errc::timed_out, "network: the engine gave no answer")
                                      : call.call.decode_reply(bytes));
}

void Network::break_client_end(const ConnectionPtr& c) {
  if (!std::exchange(c->client_up, false)) return;
  for (const auto& [id, call] : c->pending) {
    call->end(c->process->reactor(),
              fail(Errc::timed_out, "network: the connection broke; the outcome is unknown"));
  }
  c->pending.clear();
  c->process = nullptr;
  if (c->server_up) send(c->client, c->server, [this, c] { break_server_end(c); });
  forget_dead();
}

void Network::break_server_end(const ConnectionPtr& c) {
  if (!std::exchange(c->server_up, false)) return;
  if (c->admin || c->calls == 0) leave_session(*c);
  if (c->client_up) send(c->server, c->client, [this, c] { break_client_end(c); });
  forget_dead();
}

void Network::leave_session(const Connection& c) {
  Listening& listening = doors_[c.server];
  auto& sessions = c.admin ? listening.admins : listening.sessions;
  const auto& hook = c.admin ? listening.door.admin_session : listening.door.session;
  const auto found = sessions.find(c.session);
  if (found == sessions.end() || --found->second != 0) return;
  sessions.erase(found);
  if (hook) hook(c.session, false);
}

Network::Held Network::held() const {
  Held out;
  for (const ConnectionPtr& c : connections_) {
    if (c->admin || !c->client_up || !c->server_up) continue;
    ++out.by_engine[c->server];
    ++out.by_session[c->session];
  }
  return out;
}

void Network::forget_dead() {
  std::erase_if(connections_,
                [](const ConnectionPtr& c) { return !c->client_up && !c->server_up; });
}

void Network::process_ended(NodeId at, bool silent) {
  doors_[at] = {.dark = silent};
  const auto tell = [this, silent](NodeId from, NodeId to, auto what) {
    if (silent) {
      stage_.after(notice_after(), what);
    } else {
      send(from, to, what);
    }
  };
  const std::vector<ConnectionPtr> all = connections_;
  for (const ConnectionPtr& c : all) {
    if (c->client == at && std::exchange(c->client_up, false)) {
      c->pending.clear();
      c->process = nullptr;
      tell(c->client, c->server, [this, c] { break_server_end(c); });
    }
    if (c->server == at && std::exchange(c->server_up, false)) {
      tell(c->server, c->client, [this, c] { break_client_end(c); });
    }
  }
  forget_dead();
}

// The client's end.

struct SimTransport::Peer {
  explicit Peer(Reactor& reactor) : changed(reactor) {}
  Network::ConnectionPtr connection;
  bool connecting = false;
  Result<void> outcome = {};  // of the last attempt
  WaitList changed;
};

SimTransport::SimTransport(Network& network, Process& process, SimTransportOptions options)
    : network_(network), process_(process), options_(options), gate_(process.reactor()) {}

SimTransport::~SimTransport() = default;

namespace {

Task<void> give_up_later(Reactor& reactor, Duration patience, std::function<void()> give_up) {
  co_await reactor.sleep(patience);
  give_up();
}

}  // namespace

/// One attempt serves all who wait for it.
Task<Result<Network::ConnectionPtr>> SimTransport::connection(fabric::Endpoint to) {
  Reactor& reactor = process_.reactor();
  auto& slot = peers_[to.rank];
  if (!slot) slot = std::make_unique<Peer>(reactor);
  Peer& peer = *slot;
  if (peer.connection && peer.connection->client_up) co_return peer.connection;
  if (peer.connecting) {
    while (peer.connecting) co_await peer.changed.wait();
    if (!peer.outcome) co_return fail(peer.outcome.error());
    co_return peer.connection;
  }
  peer.connecting = true;
  const auto attempt = std::make_shared<Network::Connecting>(reactor);
  const auto c = std::make_shared<Network::Connection>();
  c->client = options_.at;
  c->server = to.rank;
  c->session = options_.session;
  c->admin = options_.purpose == fabric::Purpose::admin;
  c->process = &process_;
  c->number = network_.next_id_++;
  network_.connect(attempt, c);
  reactor.spawn(give_up_later(reactor, options_.connect_patience, [attempt] {
    attempt->end(fail(Errc::unreachable, "network: no answer to a wish to connect"));
  }));
  while (!attempt->outcome) co_await attempt->changed.wait();
  peer.connecting = false;
  peer.outcome = *attempt->outcome;
  if (peer.outcome && !c->client_up) {
    peer.outcome = fail(Errc::unreachable, "network: the connection broke at once");
  }
  if (peer.outcome) {
    peer.connection = c;
  } else {
    network_.break_client_end(c);
  }
  peer.changed.wake_all();
  if (!peer.outcome) co_return fail(peer.outcome.error());
  co_return c;
}

Task<Result<void>> SimTransport::call(fabric::Endpoint to, fabric::Call& call, Instant deadline) {
  CO_TRY(hold, gate_.enter());
  CO_TRY(c, co_await connection(to));
  if (!c->client_up) co_return fail(Errc::timed_out, "network: broke before the call");
  Bytes bytes;
  CO_TRY(encoded, call.encode_request(bytes));
  const uint64_t id = network_.next_id_++;
  fabric::PendingCall pending{.call = call, .deadline = deadline};
  c->pending.emplace(id, &pending);
  network_.request(c, id, std::move(bytes));
  if (deadline != kNever) arm(deadline);
  co_await pending.wait();
  c->pending.erase(id);
  co_return pending.outcome;
}

Task<Result<void>> SimTransport::reach(fabric::Endpoint to) {
  CO_TRY(hold, gate_.enter());
  CO_TRY(c, co_await connection(to));
  co_return Result<void>{};
}

/// Makes sure that somebody looks at `deadline`. A watcher sleeps until the earliest one it knew.
void SimTransport::arm(Instant deadline) {
  if (watched_until_ != kNever && watched_until_ <= deadline) return;
  watched_until_ = deadline;
  process_.reactor().spawn(watch(process_.reactor(), *this, alive_, deadline));
}

Task<void> SimTransport::watch(Reactor& reactor, SimTransport& self, std::weak_ptr<bool> alive,
                               Instant until) {
  const Instant now = reactor.clock().now();
  if (until > now) co_await reactor.sleep(until - now);
  if (alive.expired() || self.watched_until_ != until) co_return;
  self.watched_until_ = kNever;
  self.expire();
}

void SimTransport::expire() {
  const Instant now = process_.reactor().clock().now();
  Instant next = kNever;
  for (const auto& [rank, peer] : peers_) {
    if (!peer->connection) continue;
    for (const auto& [id, call] : peer->connection->pending) {
      if (call->over || call->deadline == kNever) continue;
      if (call->deadline <= now) {
        call->end(process_.reactor(), fail(Errc::timed_out, "network: no answer in time"));
      } else {
        next = std::min(next, call->deadline);
      }
    }
  }
  if (next != kNever) arm(next);
}

Task<void> SimTransport::close() {
  for (const auto& [rank, peer] : peers_) {
    if (peer->connection) network_.break_client_end(peer->connection);
  }
  co_await gate_.close();
  alive_.reset();
}

}  // namespace cairn::sim
