#include "fabric/ofi_server.h"

#include <map>

#include "base/report.h"
#include "fabric/ofi_door.h"
#include "fabric/stream.h"

namespace cairn::fabric {

namespace {

constexpr uint32_t kSharedReceives = 256;
constexpr uint32_t kOwnReceives = 32;
/// How often the last answers are looked after when the engine stops.
constexpr Duration kDrainLook = 2 * kMillisecond;

}  // namespace

/// A client that was let in.
struct OfiPort::Link {
  Link(Reactor& reactor, std::shared_ptr<Stream> door, OfiCalls& calls)
      : door(std::move(door)), calls(calls), changed(reactor) {}
  std::shared_ptr<Stream> door;
  OfiCalls& calls;  // outlives its calls
  std::unique_ptr<OfiEndpoint> own;
  OfiEndpoint* endpoint = nullptr;
  OfiEndpoint::Peer peer = 0;
  uint64_t number = 0, clients_number = 0;
  bool ring = false;  // the client wants bells
  bool ended = false;
  bool door_over = false;                       // its reader has returned
  bool watching = false;                        // its transfers
  std::map<uint64_t, Instant> transfers;        // under way: when each began
  uint32_t held = 0;                            // calls and writes whose tasks have not ended
  uint64_t answer_bytes = 0;                    // that have not left
  std::unordered_map<uint64_t, Bytes> waiting;  // answers without room, by id
  WaitList changed;

  /// Nothing is to be sent to the client any more.
  bool gone() const { return ended || door->broken(); }
  OfiHead head(OfiKind kind, uint64_t id) const {
    return {.kind = kind, .connection = clients_number, .id = id};
  }
};

Result<std::unique_ptr<OfiPort>> OfiPort::open(Reactor& reactor, OfiPortOptions options) {
  std::unique_ptr<OfiPort> out(new OfiPort(reactor, std::move(options)));
  const Address& at = out->options_.address;
  if (at.host == "0.0.0.0" || at.host == "::") {
    return fail(Errc::invalid, "ofi: give the address of one interface, not that of all");
  }
  if (at.provider != kShmProvider) {
    TRY(endpoint, OfiEndpoint::open(
                      reactor, {.address = at, .local_host = at.host, .receives = kSharedReceives},
                      out->handler()));
    out->shared_ = std::move(endpoint);
    return out;
  }
  remove_dead_door(at);
  // Whether it works is to be known now, not when the first client comes.
  TRY(choice, choose_provider(at, fresh_shm_name(reactor.random())));
  return out;
}

OfiPort::~OfiPort() { CHECK(links_.empty()); }

OfiEndpoint::Handler OfiPort::handler() {
  return {.message = [this](ByteView message) { on_message(message); },
          .begun =
              [this](OfiEndpoint::Peer peer) {
                if (!shared_ || !shared_->needs_bell()) return;
                for (const auto& [number, link] : links_) {
                  if (link->peer == peer && link->ring) ring_bell(*link->door);
                }
              }};
}

/// Shared memory: an endpoint for this client alone (ofi_shm.h).
Result<void> OfiPort::let_in(Link& link, const OfiOpen& opening) {
  if (opening.status != Errc::ok || opening.provider != provider_index(options_.address.provider)) {
    return fail(Errc::protocol, "ofi: the client uses another provider");
  }
  if (!shared_) {
    Stream* const door = link.door.get();
    TRY(endpoint,
        OfiEndpoint::open(reactor_, {.address = options_.address, .receives = kOwnReceives},
                          {.message = [this](ByteView message) { on_message(message); },
                           .begun =
                               [door, ring = opening.ring](OfiEndpoint::Peer) {
                                 if (ring) ring_bell(*door);
                               }}));
    link.own = std::move(endpoint);
  }
  link.endpoint = link.own ? link.own.get() : shared_.get();
  TRY(peer, link.endpoint->add_peer(opening.name));
  link.peer = peer;
  link.ring = opening.ring;
  link.clients_number = opening.connection;
  while (link.number == 0 || links_.contains(link.number)) link.number = reactor_.random().next();
  return {};
}

Task<void> OfiPort::serve(std::shared_ptr<Stream> door, Bytes opening, OfiCalls& calls) {
  const auto link = std::make_shared<Link>(reactor_, std::move(door), calls);
  const auto open = decode_ofi_open(opening);
  OfiOpen reply{.provider = provider_index(options_.address.provider)};
  if (!open) calls.note_malformed();
  const Result<void> entered = open ? let_in(*link, *open) : fail(open.error());
  if (!entered) {
    report(Severity::warning,
           to_string(options_.address) + ": a client is refused: " + entered.error().what());
    reply.status = entered.error().code();
  } else {
    reply.ring = link->endpoint->needs_bell();
    reply.connection = link->number;
    reply.name = link->endpoint->name();
    links_.emplace(link->number, link);
  }
  link->door->post(FrameKind::ofi, 0, encode_ofi_open(reply, kFrameHeadBytes));
  if (!entered) co_await link->door->flush();
  reactor_.spawn(read_door(link));
  while (entered && !link->door_over && !calls.stopping()) co_await link->changed.wait();
  if (entered && calls.stopping()) co_await drain(*link);
  link->door->shutdown();
  while (!link->door_over) co_await link->changed.wait();
  links_.erase(link->number);
  link->ended = true;
  link->changed.wake_all();
  if (link->peer != 0) link->endpoint->remove_peer(link->peer);
  while (link->held != 0) co_await link->changed.wait();
  if (link->own) co_await link->own->close();
}

Task<void> OfiPort::read_door(LinkPtr link) {
  for (;;) {
    const auto head = co_await link->door->read_head();
    if (!head) break;
    if (head->kind != FrameKind::bell || head->bytes != 0) {
      link->calls.note_malformed();
      break;
    }
    if (link->endpoint != nullptr) link->endpoint->wake();
  }
  link->door->shutdown();
  link->door_over = true;
  link->changed.wake_all();
}

/// When the engine stops: until the last answers have left.
Task<void> OfiPort::drain(Link& link) {
  while (!link.door->broken() && (link.held != 0 || link.endpoint->is_busy_with(link.peer))) {
    co_await reactor_.sleep(kDrainLook);
  }
}

void OfiPort::on_message(ByteView message) {
  const auto head = decode_ofi_head(message);
  if (!head) return;  // from nobody who was let in
  const auto found = links_.find(head->connection);
  if (found == links_.end()) return;
  const LinkPtr link = found->second;
  if (take(link, *head, message.subspan(kOfiHeadBytes))) return;
  link->calls.note_malformed();
  link->door->shutdown();
}

bool OfiPort::take(const LinkPtr& link, const OfiHead& head, ByteView body) {
  switch (head.kind) {
    case OfiKind::call:
    case OfiKind::far_call:
      return take_call(link, head, body);
    case OfiKind::take:
      return take_waiting(link, head);
    case OfiKind::answer:
    case OfiKind::written:
    case OfiKind::waits:
    case OfiKind::busy:
      break;
  }
  return false;
}

bool OfiPort::take_call(const LinkPtr& link, const OfiHead& head, ByteView body) {
  if (link->calls.stopping()) return true;
  if (link->held >= options_.calls_max || head.body_bytes > options_.message_bytes_max) {
    return false;
  }
  if (const uint32_t wait_ms = link->calls.turn_away(); wait_ms != 0) {
    if (takes_no_answers(*link)) return false;
    OfiHead reply = link->head(OfiKind::busy, head.id);
    reply.wait_ms = wait_ms;
    link->endpoint->send(link->peer, encode_ofi_head(reply));
    return true;
  }
  ++link->held;
  link->endpoint->hold_attention();
  reactor_.spawn(answer(link, head, Bytes(body.begin(), body.end())));
  return true;
}

/// Small ones, that is: large ones are written when it has made room.
bool OfiPort::takes_no_answers(const Link& link) const {
  return link.endpoint->sending_bytes(link.peer) > options_.answer_bytes_max;
}

Task<void> OfiPort::answer(LinkPtr link, OfiHead head, Bytes body) {
  co_await serve_call(*link, head, std::move(body));
  link->endpoint->release_attention();
  --link->held;
  link->changed.wake_all();
}

Task<void> OfiPort::serve_call(Link& link, OfiHead head, Bytes body) {
  const uint64_t bytes = head.body_bytes;
  co_await link.calls.admit(bytes);
  if (head.kind == OfiKind::far_call && !link.gone()) {
    const uint64_t transfer = begin_transfer(link);
    auto read = co_await link.endpoint->read(
        link.peer, {.address = head.body_address, .key = head.body_key}, head.body_bytes);
    link.transfers.erase(transfer);
    if (!read) {
      link.calls.release(bytes);
      // There is no such memory, or the client is on its way out.
      link.door->shutdown();
      co_return;
    }
    body = std::move(*read);
  }
  // A peer that does not take its answers gets no more of them made.
  while (!link.gone() && link.answer_bytes > options_.answer_bytes_max) {
    co_await link.changed.wait();
  }
  while (!link.gone() && takes_no_answers(link)) co_await reactor_.sleep(kDrainLook);
  if (link.gone()) {
    link.calls.release(bytes);
    co_return;
  }
  Bytes reply = co_await link.calls.serve(std::move(body), kOfiHeadBytes);
  link.calls.release(bytes);
  if (!link.gone()) co_await give(link, head, std::move(reply));
}

/// With the message, into the room that the client made, or when it has made some.
Task<void> OfiPort::give(Link& link, OfiHead head, Bytes reply) {
  if (reply.empty()) reply.resize(kOfiHeadBytes);
  const size_t bytes = reply.size() - kOfiHeadBytes;
  if (reply.size() <= kOfiMessageBytesMax) {
    OfiHead out = link.head(OfiKind::answer, head.id);
    out.body_bytes = static_cast<uint32_t>(bytes);
    put_ofi_head(reply, out);
    link.endpoint->send(link.peer, std::move(reply));
    co_return;
  }
  link.answer_bytes += bytes;
  if (bytes <= head.room_bytes) {
    co_await write_far(link, head, std::move(reply));
    co_return;
  }
  OfiHead out = link.head(OfiKind::waits, head.id);
  out.body_bytes = static_cast<uint32_t>(bytes);
  if (!link.waiting.try_emplace(head.id, std::move(reply)).second) {
    link.answer_bytes -= bytes;  // two calls by one name
    link.calls.note_malformed();
    link.door->shutdown();
    co_return;
  }
  link.endpoint->send(link.peer, encode_ofi_head(out));
}

/// Completion before reply: the client is told when all of it stands in its memory.
Task<void> OfiPort::write_far(Link& link, OfiHead head, Bytes reply) {
  const size_t bytes = reply.size() - kOfiHeadBytes;
  const uint64_t transfer = begin_transfer(link);
  const auto written =
      co_await link.endpoint->write(link.peer, {.address = head.room_address, .key = head.room_key},
                                    std::move(reply), kOfiHeadBytes);
  link.transfers.erase(transfer);
  link.answer_bytes -= bytes;
  link.changed.wake_all();
  if (!written) {
    link.door->shutdown();
    co_return;
  }
  OfiHead out = link.head(OfiKind::written, head.id);
  out.body_bytes = static_cast<uint32_t>(bytes);
  if (!link.gone()) link.endpoint->send(link.peer, encode_ofi_head(out));
}

bool OfiPort::take_waiting(const LinkPtr& link, const OfiHead& head) {
  const auto found = link->waiting.find(head.id);
  if (found == link->waiting.end()) return false;
  Bytes reply = std::move(found->second);
  link->waiting.erase(found);
  const size_t bytes = reply.size() - kOfiHeadBytes;
  if (head.room_bytes < bytes) {
    link->answer_bytes -= bytes;
    link->changed.wake_all();
    return head.room_bytes == 0;  // nobody waits for it any more
  }
  ++link->held;
  link->endpoint->hold_attention();
  reactor_.spawn(write_answer(link, head, std::move(reply)));
  return true;
}

Task<void> OfiPort::write_answer(LinkPtr link, OfiHead head, Bytes reply) {
  co_await write_far(*link, head, std::move(reply));
  link->endpoint->release_attention();
  --link->held;
  link->changed.wake_all();
}

uint64_t OfiPort::begin_transfer(Link& link) {
  link.transfers.emplace(++last_transfer_, reactor_.clock().now());
  if (!std::exchange(link.watching, true)) reactor_.spawn(watch_transfers(link.number));
  return last_transfer_;
}

/// Not every provider says that there is no such memory, or that nobody is there. Runs only while
/// there are transfers.
Task<void> OfiPort::watch_transfers(uint64_t number) {
  const std::weak_ptr<bool> alive = alive_;
  Reactor& reactor = reactor_;
  const Duration limit = options_.transfer_ns_max;
  for (;;) {
    co_await reactor.sleep(limit / 4);
    if (alive.expired()) co_return;
    const auto found = links_.find(number);
    if (found == links_.end()) co_return;
    Link& link = *found->second;
    if (link.transfers.empty()) {
      link.watching = false;
      co_return;
    }
    if (reactor.clock().now() - link.transfers.begin()->second >= limit) {
      report(Severity::warning,
             to_string(options_.address) + ": a client's memory does not answer; it is given up");
      link.door->shutdown();
    }
  }
}

void OfiPort::stop() {
  for (const auto& [number, link] : links_) link->changed.wake_all();
}

Task<void> OfiPort::close() {
  if (open_) remove_door(options_.address);
  alive_.reset();
  if (shared_) co_await shared_->close();
}

}  // namespace cairn::fabric
