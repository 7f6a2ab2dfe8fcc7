#include "fabric/stream_client.h"

#include <unistd.h>

#include <unordered_map>

#include "base/endian.h"
#include "fabric/shared_connection.h"
#include "fabric/stream.h"

namespace cairn::fabric {

namespace {
/// Most messages without their payload.
constexpr size_t kMessageBytes = 512;
}  // namespace

struct StreamTransport::Connection {
  Connection(Reactor& reactor, Socket socket, uint32_t bytes_max)
      : stream(std::make_shared<Stream>(reactor, std::move(socket), bytes_max)) {}
  std::shared_ptr<Stream> stream;
  HelloReply reply;
  bool greeted = false;
  std::unordered_map<uint64_t, PendingCall*> pending;  // by id

  bool usable() const { return greeted && !stream->broken(); }
  void fail_all(Reactor& reactor, Error error) {
    for (const auto& [id, each] : pending) each->end(reactor, fail(error));
    pending.clear();
  }
};

struct StreamTransport::Peer {
  using Shared = SharedConnection<Connection>;
  Peer(Reactor& reactor, Endpoint at) : at(at), lanes{Shared(reactor), Shared(reactor)} {}
  const Endpoint at;
  std::array<Shared, kLanes> lanes;
};

StreamTransport::StreamTransport(Reactor& reactor, StreamClientOptions options, Connector connector)
    : reactor_(reactor),
      options_(options),
      connector_(std::move(connector)),
      gate_(reactor),
      deadlines_(reactor, [this](Instant now) { return expire(now); }) {}

StreamTransport::~StreamTransport() = default;

StreamTransport::Peer& StreamTransport::peer(Endpoint at) {
  for (const auto& each : peers_) {
    if (each->at == at) return *each;
  }
  return *peers_.emplace_back(std::make_unique<Peer>(reactor_, at));
}

Task<Result<StreamTransport::ConnectionPtr>> StreamTransport::connection(Endpoint to, Lane lane) {
  return peer(to).lanes[static_cast<size_t>(lane)].get(
      [this, to, lane] { return connect(to, lane); });
}

Task<Result<StreamTransport::ConnectionPtr>> StreamTransport::connect(Endpoint to, Lane lane) {
  CO_TRY(socket, co_await connector_(to));
  ++connects_;
  const auto c =
      std::make_shared<Connection>(reactor_, std::move(socket), options_.message_bytes_max);
  reactor_.spawn(watch_hello(c));
  auto reply = co_await enter(*c->stream, {.lane = lane,
                                           .purpose = options_.purpose,
                                           .system = options_.system,
                                           .rank = to.rank,
                                           .process = static_cast<uint32_t>(getpid()),
                                           .session = options_.session,
                                           .token = options_.token,
                                           .takes_busy = true});
  if (reply && closing_) reply = fail(Errc::shutdown, "fabric: closing");
  if (!reply) {
    co_await c->stream->close();
    co_return fail(reply.error());
  }
  lane == Lane::bulk ? c->stream->widen() : c->stream->hurry();
  c->reply = *reply;
  c->greeted = true;
  if (options_.system.is_nil()) options_.system = reply->system;
  reactor_.spawn(read_answers(c));
  co_return c;
}

Task<void> StreamTransport::watch_hello(std::weak_ptr<Connection> connection) {
  co_await reactor_.sleep(options_.hello_ns_max);
  // From here on this object may be gone.
  const ConnectionPtr c = connection.lock();
  if (c && !c->greeted) c->stream->shutdown();
}

Task<void> StreamTransport::read_answers(ConnectionPtr c) {
  const auto hold = gate_.enter();
  while (hold) {
    const auto head = co_await c->stream->read_head();
    if (!head || (head->kind != FrameKind::answer && head->kind != FrameKind::busy)) break;
    const auto payload = co_await c->stream->read_payload(head->bytes);
    const bool busy = head->kind == FrameKind::busy;
    if (!payload || (busy && payload->size() != sizeof(U32le))) break;
    const auto found = c->pending.find(head->id);
    if (found == c->pending.end()) continue;  // it came too late
    PendingCall& call = *found->second;
    c->pending.erase(found);
    if (busy) {
      call.call.retry_after(load_le32(payload->data()) * kMillisecond);
      call.end(reactor_, fail(Errc::overload, "fabric: the engine has too much to do"));
      continue;
    }
    call.end(reactor_, payload->empty() ? fail(Errc::timed_out, "fabric: the engine gave no answer")
                                        : call.call.decode_reply(*payload));
  }
  c->stream->shutdown();
  c->fail_all(reactor_, {Errc::timed_out, "fabric: the connection broke; the outcome is unknown"});
  co_await c->stream->close();
}

Task<Result<void>> StreamTransport::call(Endpoint to, Call& call, Instant deadline) {
  CO_TRY(hold, gate_.enter());
  const Lane lane = call.payload_bytes() >= options_.bulk_from ? Lane::bulk : Lane::small;
  ConnectionPtr c = peer(to).lanes[static_cast<size_t>(lane)].last();
  if (!c || !c->usable()) {
    CO_TRY(made, co_await connection(to, lane));
    c = std::move(made);
  }
  if (!c->usable()) {
    co_return fail(Errc::timed_out, "fabric: the connection broke before the call");
  }
  Message message;
  message.head.reserve(kMessageBytes + (lane == Lane::small ? call.payload_bytes() : 0));
  message.head.resize(kFrameHeadBytes);
  CO_TRY(encoded, call.encode_message(message));
  if (message.head.size() - kFrameHeadBytes + message.bulk.size() > c->reply.message_bytes_max) {
    co_return fail(Errc::record_too_big, "fabric: the engine takes no message of that size");
  }
  const uint64_t id = next_id_++;
  PendingCall pending{.call = call, .deadline = deadline};
  c->pending.emplace(id, &pending);
  c->stream->post(FrameKind::call, id, std::move(message.head), std::move(message.bulk));
  deadlines_.arm(deadline);
  co_await pending.wait();
  c->pending.erase(id);
  co_return pending.outcome;
}

Instant StreamTransport::expire(Instant now) {
  Instant next = kNever;
  for (const auto& each : peers_) {
    for (const auto& lane : each->lanes) {
      if (!lane.last()) continue;
      for (const auto& [id, call] : lane.last()->pending) {
        if (call->waits_at(reactor_, now)) next = std::min(next, call->deadline);
      }
    }
  }
  return next;
}

Task<Result<HelloReply>> StreamTransport::meet(Endpoint to) {
  CO_TRY(c, co_await connection(to, Lane::small));
  co_return c->reply;
}

Task<Result<void>> StreamTransport::reach(Endpoint to) {
  CO_TRY(reply, co_await meet(to));
  co_return Result<void>{};
}

Task<void> StreamTransport::close() {
  closing_ = true;
  for (const auto& each : peers_) {
    for (const auto& lane : each->lanes) {
      if (lane.last()) lane.last()->stream->shutdown();
    }
  }
  co_await gate_.close();
  deadlines_.stop();
}

}  // namespace cairn::fabric
