#include "fabric/stream_server.h"

#include <unistd.h>

#include <algorithm>

#include "fabric/ofi_door.h"
#include "fabric/stream.h"

namespace cairn::fabric {

namespace {

/// After an accept that failed for want of descriptors or memory.
constexpr Duration kAcceptPause = 50 * kMillisecond;
constexpr Duration kHelloLook = kSecond;
constexpr uint32_t kHelloBytesMax = 4096;
/// A larger call is not urgent, whatever lane its connection was said to be of.
constexpr uint32_t kUrgentBytesMax = 64u << 10;
/// Of one connection's calls in a row, before others have their turn: four that are answered at
/// once, or sixteen that are only begun, each of which may hold room for its answer.
constexpr uint32_t kAnsweredCost = 4;
constexpr uint32_t kBegunCost = 1;
constexpr uint32_t kInARowMax = 16;
/// Of what busy peers are told.
constexpr Duration kRetryMin = kMillisecond;
constexpr Duration kRetryMax = kSecond;
/// The newest call's weight in the average.
constexpr Duration kAveraged = 16;

/// In the same time for all that is shown. A zero token is nobody's.
bool knows(const Token& shown, const Token& token) {
  unsigned differ = 0;
  for (size_t i = 0; i < token.size(); ++i) differ |= static_cast<unsigned>(shown[i] ^ token[i]);
  return differ == 0 && token != Token{};
}

}  // namespace

std::vector<Address> ways_in(const Address& taken) {
  if (taken.kind == Address::Kind::unix_path) return {};
  if (taken.kind == Address::Kind::tcp || taken.provider == kShmProvider) return {taken};
  return {taken, door_address(taken)};
}

struct StreamServer::Connection {
  Connection(Reactor& reactor, Socket socket, uint32_t bytes_max)
      : stream(std::make_shared<Stream>(reactor, std::move(socket), bytes_max)),
        local(stream->socket().peer_credentials().has_value()),
        accepted_at(reactor.clock().now()),
        left(reactor) {}
  std::shared_ptr<Stream> stream;
  const bool local;  // a Unix socket
  const Instant accepted_at;
  size_t place = 0;  // in connections_
  bool greeted = false;
  bool takes_busy = false;
  Lane lane = Lane::small;
  uint64_t session = 0;     // 0: none, or not for calls
  bool admin = false;       // of the system's own
  uint32_t calls = 0;       // under way
  uint64_t bytes = 0;       // of their messages
  OfiPort* port = nullptr;  // it is a door of this one
  bool in_door = false;     // and OfiPort has it
  WaitList left;            // a call has ended
};

/// The calls that come by libfabric are those of a door's connection.
class StreamServer::DoorCalls final : public OfiCalls {
 public:
  DoorCalls(StreamServer& server, Connection& connection)
      : server_(server), connection_(connection) {}
  uint32_t turn_away() override {
    return server_.has_too_much_to_do(connection_) ? server_.retry_ms() : 0;
  }
  Task<void> admit(uint64_t bytes) override {
    co_await server_.until_admitted(connection_, bytes);
    server_.admit(connection_, bytes);
  }
  void release(uint64_t bytes) override { server_.release(connection_, bytes); }
  Task<Bytes> serve(Bytes message, size_t head_bytes) override {
    ++server_.counts_.calls;
    const Instant begin = server_.reactor_.clock().now();
    Message reply = co_await server_.call_of(connection_, std::move(message), head_bytes);
    server_.note_call(begin);
    // One region of memory is written to the client.
    co_return std::move(reply).joined();
  }
  bool stopping() const override { return server_.stopping_; }
  void note_malformed() override { ++server_.counts_.malformed; }

 private:
  StreamServer& server_;
  Connection& connection_;
};

StreamServer::StreamServer(Reactor& reactor, Service& service, StreamServerOptions options,
                           Hooks hooks)
    : reactor_(reactor),
      service_(service),
      options_(options),
      hooks_(std::move(hooks)),
      gate_(reactor),
      released_(reactor) {}

StreamServer::~StreamServer() { CHECK(connections_.empty()); }

size_t StreamServer::buffer_bytes() const {
  size_t sum = 0;
  for (const ConnectionPtr& c : connections_) sum += c->stream->buffer_bytes();
  return sum;
}

Result<Address> StreamServer::listen(const Address& at) {
  if (at.kind == Address::Kind::ofi) return listen_ofi(at);
  TRY(listener, Listener::open(reactor_, at));
  entrances_.push_back({std::make_unique<Listener>(std::move(listener)), nullptr});
  reactor_.spawn(accept_all(*entrances_.back().listener, nullptr));
  return entrances_.back().listener->address();
}

Result<Address> StreamServer::listen_ofi(const Address& at) {
  TRY(port, OfiPort::open(reactor_, {.address = at,
                                     .calls_max = options_.calls_max,
                                     .message_bytes_max = options_.message_bytes_max,
                                     .answer_bytes_max = options_.bytes_max,
                                     .transfer_ns_max = options_.transfer_ns_max}));
  auto listener = Listener::open(reactor_, door_address(at));
  if (listener) port->set_open(listener->address().port);
  // From here close() is to close it.
  entrances_.push_back(
      {listener ? std::make_unique<Listener>(std::move(*listener)) : nullptr, std::move(port)});
  if (!listener) return fail(listener.error());
  reactor_.spawn(accept_all(*entrances_.back().listener, entrances_.back().port.get()));
  return entrances_.back().port->address();
}

Task<void> StreamServer::accept_all(Listener& listener, OfiPort* port) {
  const auto hold = gate_.enter();
  if (!hold) co_return;
  while (!stopping_) {
    auto socket = co_await listener.accept();
    if (stopping_) break;
    if (!socket) {
      // The next one may do better; where descriptors or memory are short, later.
      if (socket.error().code() != Errc::again) co_await reactor_.sleep(kAcceptPause);
      continue;
    }
    ++counts_.connections;
    // Those of a network must not keep out who knows the home.
    uint32_t& ungreeted = ungreeted_[socket->peer_credentials().has_value()];
    if (ungreeted >= options_.ungreeted_max) {
      ++counts_.crowded;
      continue;  // which closes it
    }
    ++ungreeted;
    const auto connection =
        std::make_shared<Connection>(reactor_, std::move(*socket), options_.message_bytes_max);
    connection->port = port;
    connection->place = connections_.size();
    connections_.push_back(connection);
    reactor_.spawn(serve(connection));
    if (!std::exchange(watching_, true)) reactor_.spawn(watch_hellos());
  }
}

Task<void> StreamServer::serve(ConnectionPtr connection) {
  const auto hold = gate_.enter();
  Connection& c = *connection;
  if (hold && co_await greet(c)) co_await serve_calls(connection);
  // Calls of the system's own may wait for just that.
  if (c.admin) leave_admin(c);
  // Answers under way find the stream broken, unless close() lets them out first.
  while (c.calls != 0) co_await c.left.wait();
  if (stopping_) co_await c.stream->flush();
  co_await c.stream->close();
  if (c.session != 0 && !c.admin) leave_session(c);
  forget(c);
}

void StreamServer::forget(const Connection& c) {
  if (!c.greeted) --ungreeted_[c.local];
  CHECK(connections_[c.place].get() == &c);
  connections_.back()->place = c.place;
  std::swap(connections_[c.place], connections_.back());
  connections_.pop_back();
}

Task<bool> StreamServer::greet(Connection& c) {
  const auto head = co_await c.stream->read_head();
  if (!head || head->kind != FrameKind::hello || head->bytes > kHelloBytesMax) {
    ++counts_.malformed;
    co_return false;
  }
  const auto payload = co_await c.stream->read_payload(head->bytes);
  if (!payload) co_return false;
  const auto hello = decode_hello(*payload);
  HelloReply reply;
  if (hello) {
    reply = judge(c, *hello);
  } else {
    ++counts_.malformed;
    reply.status = hello.error().code();
  }
  const bool fine = reply.status == Errc::ok;
  const bool is_admin = fine && hello->purpose == Purpose::admin;
  const bool stays = is_admin || (fine && hello->purpose == Purpose::calls);
  c.greeted = true;
  --ungreeted_[c.local];
  if (fine) c.lane = hello->lane;
  c.lane == Lane::bulk ? c.stream->widen() : c.stream->hurry();
  if (fine) c.takes_busy = hello->takes_busy;
  if (is_admin) {
    enter_admin(c, hello->session);
  } else if (stays && hello->session != 0) {
    enter_session(c, hello->session);
  }
  reply.clients = static_cast<uint32_t>(sessions_.size());
  Bytes frame(kFrameHeadBytes);
  const Bytes encoded = encode_hello_reply(reply);
  frame.insert(frame.end(), encoded.begin(), encoded.end());
  c.stream->post(FrameKind::hello, 0, std::move(frame));
  if (stays) co_return true;
  if (!fine) ++counts_.refused;
  co_await c.stream->flush();
  const bool leaves =
      fine && (hello->purpose == Purpose::leave || hello->purpose == Purpose::leave_if_idle);
  if (leaves && hooks_.leave) hooks_.leave();
  co_return false;
}

HelloReply StreamServer::judge(const Connection& c, const Hello& hello) const {
  HelloReply out{.status = Errc::ok,
                 .system = options_.system,
                 .rank = options_.rank,
                 .process = static_cast<uint32_t>(getpid()),
                 .incarnation = options_.incarnation,
                 .calls_max = options_.calls_max,
                 .message_bytes_max = options_.message_bytes_max,
                 .stays = options_.stays};
  const auto peer = c.stream->socket().peer_credentials();
  const bool is_own = c.local || knows(hello.token, options_.admin_token);
  const bool known = peer ? peer->uid == geteuid() || peer->uid == 0
                          : options_.anybody || knows(hello.token, options_.token) ||
                                (hello.purpose == Purpose::admin && is_own);
  if (!known) {
    // Nothing of this engine is told to strangers.
    return {.status = Errc::no_perm};
  }
  if (stopping_) {
    out.status = Errc::shutdown;
  } else if (!hello.system.is_nil() && hello.system != options_.system) {
    out.status = Errc::protocol;
  } else if (hello.rank != kAnyRank && hello.rank != options_.rank) {
    out.status = Errc::nonexistent;
  } else if (hello.purpose == Purpose::admin && (!is_own || admin_ == nullptr)) {
    // A client's token is not enough for what may do anything to an engine.
    out.status = Errc::no_perm;
  } else if (hello.purpose == Purpose::leave_if_idle && !sessions_.empty()) {
    out.status = Errc::busy;
  }
  return out;
}

Task<void> StreamServer::serve_calls(ConnectionPtr self) {
  Connection& c = *self;
  uint32_t in_a_row = 0;
  while (!stopping_) {
    const auto head = co_await c.stream->read_head();
    if (!head) {
      if (head.error().code() != Errc::shutdown && head.error().code() != Errc::io) {
        ++counts_.malformed;
      }
      break;
    }
    if (head->kind == FrameKind::ofi && c.port != nullptr && c.calls == 0) {
      co_await serve_door(c, *head);
      break;
    }
    if (head->kind != FrameKind::call) {
      ++counts_.malformed;
      break;
    }
    if (has_too_much_to_do(c)) {
      if (!co_await turn_away(c, *head)) break;
      continue;
    }
    if (is_full(c, head->bytes)) co_await until_admitted(c, head->bytes);
    admit(c, head->bytes);
    auto message = co_await c.stream->read_payload(head->bytes);
    if (!message || stopping_) {
      release(c, head->bytes);
      break;
    }
    ++counts_.calls;
    const bool urgent = c.lane != Lane::bulk && head->bytes <= kUrgentBytesMax;
    if (!urgent || c.admin || takes_no_answers(c)) {
      auto answered =
          answer(self, head->id, head->bytes, call_of(c, std::move(*message), kFrameHeadBytes));
      urgent ? reactor_.spawn_urgent(std::move(answered)) : reactor_.spawn(std::move(answered));
    } else {
      const bool answered = answer_at_once(self, head->id, std::move(*message));
      in_a_row += answered ? kAnsweredCost : kBegunCost;
      if (in_a_row >= kInARowMax) {
        in_a_row = 0;
        co_await reactor_.yield_behind();
      }
    }
  }
  if (!stopping_) c.stream->shutdown();
}

Task<void> StreamServer::serve_door(Connection& c, FrameHead head) {
  if (head.bytes > kDoorBytesMax) {
    ++counts_.malformed;
    co_return;
  }
  auto opening = co_await c.stream->read_payload(head.bytes);
  if (!opening) co_return;
  DoorCalls calls(*this, c);
  c.in_door = true;
  co_await c.port->serve(c.stream, std::move(*opening).take_bytes(), calls);
}

bool StreamServer::has_too_much_to_do(const Connection& c) const {
  return c.takes_busy && !c.admin && c.calls != 0 && calls_ >= options_.total_calls_max;
}

/// False: the connection has ended.
Task<bool> StreamServer::turn_away(Connection& c, FrameHead head) {
  if (!co_await c.stream->skip_payload(head.bytes)) co_return false;
  if (c.stream->unsent_bytes() > options_.bytes_max) co_await c.stream->flush();
  const U32le wait = retry_ms();
  Bytes frame(kFrameHeadBytes);
  const ByteView bytes = view_of(&wait, sizeof(wait));
  frame.insert(frame.end(), bytes.begin(), bytes.end());
  c.stream->post(FrameKind::busy, head.id, std::move(frame));
  co_return !c.stream->broken();
}

/// What a peer that is turned away is told.
uint32_t StreamServer::retry_ms() {
  ++counts_.busy;
  return static_cast<uint32_t>(std::clamp(call_ns_, kRetryMin, kRetryMax) / kMillisecond);
}

/// The connection may not have one more call under way. One alone may always go.
bool StreamServer::is_full(const Connection& c, uint64_t bytes) const {
  const uint32_t calls_max = c.lane == Lane::bulk ? options_.bulk_calls_max : options_.calls_max;
  return c.calls >= calls_max || (c.calls != 0 && c.bytes + bytes > options_.bytes_max) ||
         (bytes_ != 0 && bytes_ + bytes > options_.total_bytes_max) || takes_no_answers(c);
}

/// Then no more of them are made.
bool StreamServer::takes_no_answers(const Connection& c) const {
  return c.stream->unsent_bytes() > options_.bytes_max;
}

Task<void> StreamServer::until_admitted(Connection& c, uint64_t bytes) {
  while (is_full(c, bytes) && !c.stream->broken() && !stopping_) {
    if (takes_no_answers(c)) {
      co_await c.stream->flush();
    } else {
      co_await released_.wait();
    }
  }
}

void StreamServer::admit(Connection& c, uint64_t bytes) {
  ++c.calls;
  ++calls_;
  c.bytes += bytes;
  bytes_ += bytes;
}

void StreamServer::release(Connection& c, uint64_t bytes) {
  --c.calls;
  --calls_;
  c.bytes -= bytes;
  bytes_ -= bytes;
  c.left.wake_all();
  released_.wake_all();
}

/// @param bytes  of the question  @param call  makes the answer; it may have begun
Task<void> StreamServer::answer(ConnectionPtr connection, uint64_t id, uint64_t bytes,
                                Task<Message> call) {
  while (takes_no_answers(*connection)) co_await connection->stream->flush();
  const Instant begin = reactor_.clock().now();
  Message reply = co_await std::move(call);
  note_call(begin);
  post_answer(*connection, id, std::move(reply), bytes);
}

/// Answers before it returns what waits for nothing. False: the rest was spawned.
bool StreamServer::answer_at_once(ConnectionPtr connection, uint64_t id, Buffer message) {
  const uint64_t bytes = message.size();
  const Instant begin = reactor_.clock().now();
  Service::Begun begun = service_.begin_message(std::move(message), kFrameHeadBytes);
  if (begun.rest.valid()) {
    reactor_.spawn_urgent(answer(std::move(connection), id, bytes, std::move(begun.rest)));
    return false;
  }
  note_call(begin);
  post_answer(*connection, id, std::move(begun.message), bytes);
  return true;
}

void StreamServer::post_answer(Connection& c, uint64_t id, Message reply, uint64_t bytes) {
  if (reply.head.empty()) reply.head.resize(kFrameHeadBytes);
  c.stream->post(FrameKind::answer, id, std::move(reply.head), std::move(reply.bulk));
  release(c, bytes);
}

Task<Message> StreamServer::call_of(const Connection& c, Buffer message, size_t head_bytes) {
  Service& service = c.admin ? *admin_ : service_;
  return service.serve_message(std::move(message), head_bytes);
}

void StreamServer::note_call(Instant begin) {
  const Duration took = reactor_.clock().now() - begin;
  call_ns_ = call_ns_ - call_ns_ / kAveraged + took / kAveraged;
}

void StreamServer::enter_session(Connection& c, uint64_t session) {
  c.session = session;
  if (++sessions_[session] == 1 && hooks_.session) hooks_.session(session, true, c.local);
}

void StreamServer::leave_session(const Connection& c) {
  const auto found = sessions_.find(c.session);
  CHECK(found != sessions_.end());
  if (--found->second != 0) return;
  sessions_.erase(found);
  if (hooks_.session) hooks_.session(c.session, false, c.local);
}

void StreamServer::enter_admin(Connection& c, uint64_t session) {
  c.admin = true;
  c.session = session;
  if (++admins_[session] == 1 && hooks_.admin) hooks_.admin(session, true);
}

void StreamServer::leave_admin(const Connection& c) {
  const auto found = admins_.find(c.session);
  CHECK(found != admins_.end());
  if (--found->second != 0) return;
  admins_.erase(found);
  if (hooks_.admin) hooks_.admin(c.session, false);
}

/// Ends connections that do not say who they are. Runs only while there are such.
Task<void> StreamServer::watch_hellos() {
  const std::weak_ptr<bool> alive = alive_;
  Reactor& reactor = reactor_;
  for (bool some = true; some;) {
    co_await reactor.sleep(kHelloLook);
    if (alive.expired()) co_return;
    some = false;
    const Instant now = reactor.clock().now();
    for (const ConnectionPtr& c : connections_) {
      if (c->greeted) continue;
      some = true;
      if (now - c->accepted_at >= options_.hello_ns_max) c->stream->shutdown();
    }
  }
  watching_ = false;
}

Task<void> StreamServer::lose_patience(Duration patience) {
  const std::weak_ptr<bool> alive = alive_;
  Reactor& reactor = reactor_;
  co_await reactor.sleep(patience);
  if (alive.expired()) co_return;
  for (const ConnectionPtr& c : connections_) c->stream->shutdown();
}

Task<void> StreamServer::close(Duration patience) {
  stopping_ = true;
  for (const Entrance& each : entrances_) {
    if (each.listener) each.listener->shutdown();
  }
  for (const ConnectionPtr& c : connections_) {
    // Readers wait for bytes that nobody takes any more; answers still go out. A door's bells are
    // about those.
    if (!c->in_door) c->stream->stop_reading();
  }
  for (const Entrance& each : entrances_) {
    if (each.port) each.port->stop();
  }
  released_.wake_all();
  if (!connections_.empty()) reactor_.spawn(lose_patience(patience));
  co_await gate_.close();
  for (const Entrance& each : entrances_) {
    if (each.port) co_await each.port->close();
  }
  alive_.reset();
  entrances_.clear();
}

}  // namespace cairn::fabric
