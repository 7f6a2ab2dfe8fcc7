#include "fabric/ofi_client.h"

#include <unistd.h>

#include <algorithm>

#include "fabric/ofi_door.h"
#include "fabric/ofi_endpoint.h"
#include "fabric/shared_connection.h"
#include "fabric/stream.h"

namespace cairn::fabric {

namespace {

constexpr uint32_t kReceives = 64;
constexpr int kLastLooks = 5;
constexpr Duration kLastLook = kMillisecond;
/// What an answer has beside the payload: heads and checksums.
constexpr uint64_t kRoomBeside = 4096;
constexpr uint64_t kRoomShare = 16;
constexpr size_t kInlineMax = kOfiMessageBytesMax - kOfiHeadBytes;

uint64_t fresh_number(Reactor& reactor) {
  uint64_t number = 0;
  while (number == 0) number = reactor.random().next();
  return number;
}

}  // namespace

/// What the engine was told of and has not answered. It stays when its caller has gone.
struct OfiTransport::Flight {
  PendingCall* pending = nullptr;  // null: its time was over
  std::shared_ptr<Bytes> body;     // head and body of a far call
  OfiEndpoint::Region body_region;
  std::shared_ptr<std::byte[]> room;
  uint32_t room_bytes = 0;
  OfiEndpoint::Region room_region;
  bool asked = false;  // for an answer that waits
};

/// An endpoint and who is reached by it.
struct OfiTransport::Port {
  std::unique_ptr<OfiEndpoint> endpoint;
  std::string provider, local_host;
  std::unordered_map<uint64_t, Connection*> connections;  // by their numbers
};

struct OfiTransport::Connection {
  Connection(Reactor& reactor, Socket socket, uint32_t bytes_max)
      : stream(std::make_shared<Stream>(reactor, std::move(socket), bytes_max)), room(reactor) {}
  std::shared_ptr<Stream> stream;
  HelloReply reply;
  std::shared_ptr<Port> port;
  OfiEndpoint::Peer peer = 0;
  uint64_t number = 0, engines_number = 0;
  bool ring = false;  // the engine wants bells
  bool open = false;
  std::unordered_map<uint64_t, Flight> flights;  // by id
  WaitList room;                                 // for one more flight

  bool usable() const { return open && !stream->broken(); }
  size_t flights_max() const { return std::max(reply.calls_max, 1u); }
  OfiHead head(OfiKind kind, uint64_t id) const {
    return {.kind = kind, .connection = engines_number, .id = id};
  }
};

struct OfiTransport::Peer {
  Peer(Reactor& reactor, Endpoint at) : at(at), connection(reactor) {}
  const Endpoint at;
  SharedConnection<Connection> connection;
};

OfiTransport::OfiTransport(Reactor& reactor, OfiClientOptions options, Connector connector)
    : reactor_(reactor),
      options_(options),
      connector_(std::move(connector)),
      gate_(reactor),
      deadlines_(reactor, [this](Instant now) { return expire(now); }) {}

OfiTransport::~OfiTransport() = default;

OfiTransport::Peer& OfiTransport::peer(Endpoint at) {
  for (const auto& each : peers_) {
    if (each->at == at) return *each;
  }
  return *peers_.emplace_back(std::make_unique<Peer>(reactor_, at));
}

Task<Result<OfiTransport::ConnectionPtr>> OfiTransport::connection(Endpoint to) {
  return peer(to).connection.get([this, to] { return connect(to); });
}

Task<Result<OfiTransport::ConnectionPtr>> OfiTransport::connect(Endpoint to) {
  CO_TRY(door, co_await connector_(to));
  ++connects_;
  const auto c = std::make_shared<Connection>(reactor_, std::move(door.socket), kDoorBytesMax);
  reactor_.spawn(watch_hello(c));
  auto reply = co_await enter(*c->stream, {.purpose = Purpose::calls,
                                           .system = options_.system,
                                           .rank = to.rank,
                                           .process = static_cast<uint32_t>(getpid()),
                                           .session = options_.session,
                                           .token = options_.token,
                                           .takes_busy = true});
  Result<void> opened = reply ? Result<void>{} : fail(reply.error());
  if (opened) c->reply = *reply;
  if (opened) opened = co_await open(c, door.address);
  if (opened && closing_) opened = fail(Errc::shutdown, "fabric: closing");
  if (!opened) {
    co_await leave_port(c);
    co_await c->stream->close();
    co_return fail(opened.error());
  }
  c->open = true;
  if (options_.system.is_nil()) options_.system = reply->system;
  reactor_.spawn(read_door(c));
  co_return c;
}

Task<Result<void>> OfiTransport::open(ConnectionPtr c, const Address& address) {
  CO_TRY(port, port_for(address, local_host(c->stream->socket())));
  c->port = port;
  c->number = fresh_number(reactor_);
  port->connections.emplace(c->number, c.get());
  CO_TRY(theirs, co_await exchange_names(*c, address));
  CO_TRY(peer, port->endpoint->add_peer(theirs.name));
  c->peer = peer;
  c->engines_number = theirs.connection;
  c->ring = theirs.ring;
  co_return Result<void>{};
}

Task<Result<OfiOpen>> OfiTransport::exchange_names(Connection& c, const Address& address) {
  const OfiEndpoint& endpoint = *c.port->endpoint;
  c.stream->post(FrameKind::ofi, 0,
                 encode_ofi_open({.ring = endpoint.needs_bell(),
                                  .provider = provider_index(address.provider),
                                  .connection = c.number,
                                  .name = endpoint.name()},
                                 kFrameHeadBytes));
  const auto head = co_await c.stream->read_head();
  if (!head || head->kind != FrameKind::ofi) {
    co_return fail(Errc::not_supported,
                   "ofi: there is no engine of libfabric at this address: see what it listens at");
  }
  CO_TRY(payload, co_await c.stream->read_payload(head->bytes));
  CO_TRY(theirs, decode_ofi_open(payload));
  if (theirs.status != Errc::ok) {
    co_return fail(theirs.status,
                   "ofi: the engine's provider refuses the connection; its log "
                   "says why");
  }
  if (theirs.provider != provider_index(address.provider)) {
    co_return fail(Errc::protocol, "ofi: the engine uses another provider at this address");
  }
  co_return theirs;
}

/// Connections of one network share an endpoint, which costs tens of megabytes; with shared memory
/// each has its own (ofi_shm.h). One that had to keep memory takes nobody new.
Result<std::shared_ptr<OfiTransport::Port>> OfiTransport::port_for(const Address& address,
                                                                   const std::string& local_host) {
  std::erase_if(ports_, [](const auto& each) { return each.expired(); });
  for (const auto& each : ports_) {
    const auto port = each.lock();
    if (port->provider == address.provider && port->local_host == local_host &&
        !port->endpoint->keeps_memory()) {
      return port;
    }
  }
  const auto port = std::make_shared<Port>();
  port->provider = address.provider;
  port->local_host = local_host;
  Port* const raw = port.get();
  TRY(endpoint, OfiEndpoint::open(
                    reactor_, {.address = address, .local_host = local_host, .receives = kReceives},
                    {.message = [this, raw](ByteView message) { on_message(*raw, message); },
                     .begun =
                         [raw](OfiEndpoint::Peer peer) {
                           for (const auto& [number, c] : raw->connections) {
                             if (c->peer == peer && c->ring) ring_bell(*c->stream);
                           }
                         }}));
  port->endpoint = std::move(endpoint);
  if (address.provider != kShmProvider) ports_.push_back(port);
  return port;
}

Task<void> OfiTransport::watch_hello(std::weak_ptr<Connection> connection) {
  co_await reactor_.sleep(options_.hello_ns_max);
  // From here on this object may be gone.
  const ConnectionPtr c = connection.lock();
  if (c && !c->open) c->stream->shutdown();
}

/// The door says nothing but that there is news, until it ends.
Task<void> OfiTransport::read_door(ConnectionPtr c) {
  const auto hold = gate_.enter();
  bool in_order = false;
  while (hold) {
    const auto head = co_await c->stream->read_head();
    in_order = !head && head.error().code() == Errc::shutdown;
    if (!head || head->kind != FrameKind::bell || head->bytes != 0) break;
    c->port->endpoint->wake();
  }
  // An engine that stops lets its last answers out before it closes the door: they may be in the
  // queue that nobody has asked yet.
  for (int i = 0; i < kLastLooks && in_order && !closing_ && !c->flights.empty(); ++i) {
    c->port->endpoint->wake();
    co_await reactor_.sleep(kLastLook);
  }
  c->stream->shutdown();
  c->open = false;
  for (auto& [id, flight] : c->flights) {
    if (flight.pending == nullptr) continue;
    flight.pending->end(
        reactor_, fail(Errc::timed_out, "fabric: the connection broke; the outcome is unknown"));
  }
  c->room.wake_all();
  co_await leave_port(c);
  co_await c->stream->close();
}

/// The engine may still be writing: what it was told of stays until the endpoint is closed.
Task<void> OfiTransport::leave_port(ConnectionPtr c) {
  const std::shared_ptr<Port> port = std::exchange(c->port, nullptr);
  if (!port) co_return;
  port->connections.erase(c->number);
  if (c->peer != 0) port->endpoint->remove_peer(c->peer);
  for (auto& [id, flight] : c->flights) {
    port->endpoint->release_attention();
    if (flight.body) port->endpoint->keep(flight.body);
    if (flight.room) port->endpoint->keep(flight.room);
  }
  c->flights.clear();
  if (!port->connections.empty()) co_return;
  std::erase_if(ports_, [&port](const auto& each) { return each.lock() == port; });
  co_await port->endpoint->close();
}

Task<Result<void>> OfiTransport::call(Endpoint to, Call& call, Instant deadline) {
  CO_TRY(hold, gate_.enter());
  CO_TRY(c, co_await connection(to));
  PendingCall pending{.call = call, .deadline = deadline};
  pending_.push_back(&pending);
  deadlines_.arm(deadline);
  if (co_await wait_for_room(*c, pending)) {
    const uint64_t id = next_id_++;
    const auto launched = launch(*c, pending, id);
    if (!launched) {
      pending.end(reactor_, launched);
    } else {
      co_await pending.wait();
      const auto flight = c->flights.find(id);
      if (flight != c->flights.end()) flight->second.pending = nullptr;
    }
  }
  std::erase(pending_, &pending);
  co_return pending.outcome;
}

/// False: the call has ended.
Task<bool> OfiTransport::wait_for_room(Connection& c, PendingCall& pending) {
  while (!pending.over && c.usable() && c.flights.size() >= c.flights_max()) {
    co_await c.room.wait();
  }
  if (!c.usable()) {
    pending.end(reactor_, fail(Errc::timed_out, "fabric: the connection broke before the call"));
  }
  co_return !pending.over;
}

Result<void> OfiTransport::launch(Connection& c, PendingCall& pending, uint64_t id) {
  OfiEndpoint& endpoint = *c.port->endpoint;
  const uint64_t payload = pending.call.payload_bytes();
  auto message = std::make_shared<Bytes>(kOfiHeadBytes);
  TRY(encoded, pending.call.encode_request(*message));
  const size_t body_bytes = message->size() - kOfiHeadBytes;
  if (body_bytes > c.reply.message_bytes_max) {
    return fail(Errc::record_too_big, "fabric: the engine takes no message of that size");
  }
  Flight flight{.pending = &pending};
  const bool far = body_bytes > kInlineMax;
  OfiHead head = c.head(far ? OfiKind::far_call : OfiKind::call, id);
  head.body_bytes = static_cast<uint32_t>(body_bytes);
  if (far) {
    TRY(region, endpoint.expose(ByteSpan(*message).subspan(kOfiHeadBytes)));
    head.body_address = region.remote().address;
    head.body_key = region.remote().key;
    flight.body = message;
    flight.body_region = std::move(region);
  }
  // The payload does not go with the request, so it comes with the answer.
  const uint64_t room_bytes = payload + payload / kRoomShare + kRoomBeside;
  if (payload > kInlineMax && body_bytes < payload && room_bytes <= options_.message_bytes_max) {
    flight.room = std::make_shared_for_overwrite<std::byte[]>(room_bytes);
    flight.room_bytes = static_cast<uint32_t>(room_bytes);
    TRY(region, endpoint.expose({flight.room.get(), room_bytes}));
    head.room_bytes = flight.room_bytes;
    head.room_address = region.remote().address;
    head.room_key = region.remote().key;
    flight.room_region = std::move(region);
  }
  c.flights.emplace(id, std::move(flight));
  endpoint.hold_attention();
  if (far) {
    endpoint.send(c.peer, encode_ofi_head(head));
  } else {
    put_ofi_head(*message, head);
    endpoint.send(c.peer, std::move(*message));
  }
  return {};
}

void OfiTransport::on_message(Port& port, ByteView message) {
  const auto head = decode_ofi_head(message);
  if (!head) return;  // nobody of ours; what it was for ends by its deadline
  const auto found = port.connections.find(head->connection);
  if (found == port.connections.end() || !found->second->open) return;
  Connection& c = *found->second;
  // An engine that answers what was not asked is none.
  if (!take(c, *head, message.subspan(kOfiHeadBytes))) c.stream->shutdown();
}

bool OfiTransport::take(Connection& c, const OfiHead& head, ByteView body) {
  const auto found = c.flights.find(head.id);
  if (found == c.flights.end()) return head.kind >= OfiKind::answer && head.kind != OfiKind::take;
  Flight& flight = found->second;
  switch (head.kind) {
    case OfiKind::answer:
      end_flight(c, head.id, parse(flight.pending, body));
      return true;
    case OfiKind::written:
      if (head.body_bytes > flight.room_bytes) return false;
      end_flight(c, head.id, parse(flight.pending, {flight.room.get(), head.body_bytes}));
      return true;
    case OfiKind::waits:
      return take_waiting(c, flight, head);
    case OfiKind::busy:
      if (flight.pending != nullptr) {
        flight.pending->call.retry_after(head.wait_ms * kMillisecond);
      }
      end_flight(c, head.id, fail(Errc::overload, "fabric: the engine has too much to do"));
      return true;
    case OfiKind::call:
    case OfiKind::far_call:
    case OfiKind::take:
      break;
  }
  return false;
}

/// The answer is longer than the room that was made for it.
bool OfiTransport::take_waiting(Connection& c, Flight& flight, const OfiHead& head) {
  if (flight.asked || head.body_bytes <= flight.room_bytes ||
      head.body_bytes > options_.message_bytes_max) {
    return false;
  }
  OfiEndpoint& endpoint = *c.port->endpoint;
  OfiHead reply = c.head(OfiKind::take, head.id);
  if (flight.pending != nullptr) {
    flight.room_region = {};
    flight.room = std::make_shared_for_overwrite<std::byte[]>(head.body_bytes);
    flight.room_bytes = head.body_bytes;
    auto region = endpoint.expose({flight.room.get(), head.body_bytes});
    if (!region) return false;
    reply.room_bytes = head.body_bytes;
    reply.room_address = region->remote().address;
    reply.room_key = region->remote().key;
    flight.room_region = std::move(*region);
    flight.asked = true;
  }
  endpoint.send(c.peer, encode_ofi_head(reply));
  if (flight.pending == nullptr) end_flight(c, head.id, {});
  return true;
}

Result<void> OfiTransport::parse(PendingCall* pending, ByteView reply) {
  if (pending == nullptr || pending->over) return {};
  if (reply.empty()) return fail(Errc::timed_out, "fabric: the engine gave no answer");
  return pending->call.decode_reply(reply);
}

void OfiTransport::end_flight(Connection& c, uint64_t id, Result<void> outcome) {
  const auto found = c.flights.find(id);
  if (found->second.pending != nullptr) found->second.pending->end(reactor_, outcome);
  c.flights.erase(found);
  c.port->endpoint->release_attention();
  c.room.wake_all();
}

Instant OfiTransport::expire(Instant now) {
  Instant next = kNever;
  for (PendingCall* const each : pending_) {
    if (each->waits_at(reactor_, now)) next = std::min(next, each->deadline);
  }
  for (const auto& each : peers_) {
    if (each->connection.last()) each->connection.last()->room.wake_all();
  }
  return next;
}

Task<Result<void>> OfiTransport::reach(Endpoint to) {
  CO_TRY(c, co_await connection(to));
  co_return Result<void>{};
}

Task<void> OfiTransport::close() {
  closing_ = true;
  for (const auto& each : peers_) {
    if (each->connection.last()) each->connection.last()->stream->shutdown();
  }
  co_await gate_.close();
  deadlines_.stop();
}

}  // namespace cairn::fabric
