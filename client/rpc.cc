#include "client/rpc.h"

#include <algorithm>

#include "wire/codec.h"

namespace cairn::client {

namespace {

/// Pauses before an engine is asked again: each is twice the one before, up to kPauseMax.
constexpr Duration kPauseMin = kMillisecond;
constexpr Duration kPauseMax = 100 * kMillisecond;

struct Pauses {
  Reactor& reactor;
  Duration next = kPauseMin;

  /// @param hint  what the engine asked for; many clients got the same, so each makes its own of it
  Task<void> wait(Duration hint = 0) {
    const Duration own = hint == 0 ? 0 : hint / 2 + reactor.random().below(hint);
    const Duration pause = std::max(next, own);
    next = std::min(next * 2, kPauseMax);
    co_await reactor.sleep(pause);
  }
};

/// Of the buffers of an update or fetch.
uint64_t buffer_bytes(const model::Iods& iods) {
  uint64_t bytes = 0;
  for (const model::Iod& iod : iods) {
    for (const IoVec& vec : iod.buffer) bytes += vec.bytes;
  }
  return bytes;
}

}  // namespace

class WireCall final : public fabric::Call {
 public:
  WireCall(wire::Request& request, wire::Reply& reply) : request_(request), reply_(reply) {}
  void* request() override { return &request_; }
  void* reply() override { return &reply_; }
  Result<void> encode_request(Bytes& out) override { return wire::encode_request(request_, out); }
  Result<void> encode_message(fabric::Message& out) override {
    return wire::encode_request(request_, out.head, &out.bulk);
  }
  uint64_t payload_bytes() const override {
    if (const auto* update = std::get_if<wire::ObjectUpdate>(&request_.body)) {
      return buffer_bytes(update->iods);
    }
    if (const auto* fetch = std::get_if<wire::ObjectFetch>(&request_.body)) {
      return buffer_bytes(fetch->iods);
    }
    return 0;
  }
  Result<void> decode_reply(ByteView bytes) override {
    return wire::decode_reply(bytes, request_, reply_);
  }
  void retry_after(Duration wait) override { hint_ = wait; }
  /// What the engine asked for since the last look.
  Duration take_hint() { return std::exchange(hint_, 0); }

 private:
  wire::Request& request_;
  wire::Reply& reply_;
  Duration hint_ = 0;
};

uint64_t random_session(Random& random) {
  uint64_t session = 0;
  while (session == 0) session = random.next();
  return session;
}

namespace {

bool changes_something(wire::Opcode opcode) {
  return opcode == wire::Opcode::update || opcode == wire::Opcode::punch ||
         opcode == wire::Opcode::transact || opcode == wire::Opcode::control;
}

/// The answer was lost or damaged; the server may or may not have acted.
bool outcome_open(Errc code) {
  return code == Errc::timed_out || code == Errc::checksum || code == Errc::protocol ||
         code == Errc::format_invalid;
}

/// The services say that an engine is away: they have waited for it.
bool is_service_answer(const wire::Request& request, const Result<void>& outcome,
                       const wire::Reply& reply) {
  return outcome && request.opcode() == wire::Opcode::control &&
         reply.error.code() == Errc::unreachable;
}

}  // namespace

RpcOptions lossy_rpc_options() {
  return {.attempt_ns = 20 * kMillisecond, .attempt_ns_max = kSecond, .total_ns = 60 * kSecond};
}

RpcOptions served_rpc_options() {
  return {.attempt_ns = 60 * kSecond,
          .attempt_ns_max = 120 * kSecond,
          .total_ns = 300 * kSecond,
          .reconnect_grace_ns = 30 * kSecond};
}

Rpc::Rpc(Reactor& reactor, fabric::Transport& transport, RpcOptions options)
    : reactor_(reactor),
      transport_(transport),
      options_(options),
      session_(options.session != 0 ? options.session : random_session(reactor.random())) {}

Rpc::~Rpc() = default;

void Rpc::start_sequence(wire::Request& request) {
  wire::Header& header = request.header;
  header.system = options_.system;
  header.session = session_;
  header.hlc = observed_;
  header.sequence = 0;
  if (changes_something(request.opcode())) {
    header.sequence = next_sequence_++;
    ended_.push_back(0);
  }
  header.acknowledged_below = acknowledged_below_;
}

void Rpc::end_sequence(uint64_t sequence) {
  if (sequence == 0) return;
  CHECK(sequence >= acknowledged_below_ && sequence - acknowledged_below_ < ended_.size());
  ended_[sequence - acknowledged_below_] = 1;
  while (!ended_.empty() && ended_.front() != 0) {
    ended_.pop_front();
    ++acknowledged_below_;
  }
}

Task<Result<void>> Rpc::call(fabric::Endpoint to, wire::Request& request, wire::Reply& reply) {
  start_sequence(request);
  WireCall wire_call(request, reply);
  Result<void> outcome;
  if (options_.attempt_ns == kNever) {
    outcome = co_await transport_.call(to, wire_call, kNever);
  } else {
    outcome = co_await send(to, request, wire_call);
  }
  // After timed_out a late copy may still be on its way. The sequence counts as ended all the same:
  // what is acknowledged is never executed again, so such a copy is refused.
  end_sequence(request.header.sequence);
  if (!outcome) co_return outcome;
  observed_ = std::max({observed_, reply.header.hlc, reply.header.epoch});
  if (reply.error.code() != Errc::ok) co_return fail(reply.error);
  co_return outcome;
}

Task<Result<void>> Rpc::call_once(fabric::Endpoint to, wire::Request& request, wire::Reply& reply,
                                  Instant deadline) {
  DCHECK(!changes_something(request.opcode()));
  // A call by reference lends its request until it is answered.
  if (options_.attempt_ns == kNever) co_return co_await call(to, request, reply);
  start_sequence(request);
  const Instant now = reactor_.clock().now();
  if (now >= deadline) co_return fail(Errc::timed_out, "rpc: no time left for a hint");
  request.header.remaining_ns = deadline - now;
  WireCall wire_call(request, reply);
  CO_TRY(called, co_await transport_.call(to, wire_call, deadline));
  observed_ = std::max({observed_, reply.header.hlc, reply.header.epoch});
  if (reply.error.code() != Errc::ok) co_return fail(reply.error);
  co_return Result<void>{};
}

bool Rpc::call_at_once(fabric::Endpoint to, wire::Request& request, wire::Reply& reply) {
  DCHECK(!changes_something(request.opcode()));
  if (!calls_at_once()) return false;
  start_sequence(request);
  WireCall wire_call(request, reply);
  if (!transport_.call_at_once(to, wire_call)) return false;
  observed_ = std::max({observed_, reply.header.hlc, reply.header.epoch});
  return true;
}

Task<Result<void>> Rpc::send(fabric::Endpoint to, wire::Request& request, WireCall& call) {
  Clock& clock = reactor_.clock();
  const Instant give_up = clock.now() + options_.total_ns;
  Duration attempt_ns = options_.attempt_ns;
  Pauses pauses{reactor_};
  Instant refused_since = kNever;
  for (;;) {
    const Instant deadline = std::min(give_up, clock.now() + attempt_ns);
    request.header.remaining_ns = deadline - std::min(deadline, clock.now());
    request.header.acknowledged_below = acknowledged_below_;
    Result<void> outcome = co_await transport_.call(to, call, deadline);
    const auto& reply = *static_cast<wire::Reply*>(call.reply());
    const Instant now = clock.now();
    if (engine_away(outcome, reply) && !is_service_answer(request, outcome, reply)) {
      // One that answers is there: what it waits for is this call's alone.
      if (outcome && refused_since == kNever) refused_since = now;
      const Instant since =
          outcome ? refused_since : away_since_.try_emplace(to.rank, now).first->second;
      if (now - since >= options_.reconnect_grace_ns || now >= give_up) {
        co_return after_grace(request, outcome);
      }
      co_await pauses.wait();
      continue;  // nothing was done: not a resend
    }
    away_since_.erase(to.rank);
    const Errc refused = outcome ? reply.error.code() : outcome.error().code();
    if (refused == Errc::overload) {
      if (now + pauses.next >= give_up) co_return outcome;
      co_await pauses.wait(call.take_hint());
      if (!outcome) continue;  // not a resend
    } else if (outcome || !outcome_open(refused)) {
      co_return outcome;
    } else if (now >= give_up) {
      co_return fail(Errc::timed_out, "rpc: no answer in time; whether it was done is unknown");
    } else if (now < deadline) {
      co_await pauses.wait();  // not the time: a connection broke, and may break again
    }
    ++resends_;
    request.header.flags |= wire::kFlagResend;
    attempt_ns = std::min(attempt_ns * 2, options_.attempt_ns_max);
  }
}

/// Nobody is there, or who is there is about to leave and did nothing.
bool Rpc::engine_away(const Result<void>& outcome, const wire::Reply& reply) const {
  if (options_.reconnect_grace_ns == 0) return false;
  const Errc code = outcome ? reply.error.code() : outcome.error().code();
  return code == Errc::unreachable || code == Errc::shutdown;
}

/// What a caller learns about an engine that did not come back.
Result<void> Rpc::after_grace(const wire::Request& request, const Result<void>& outcome) {
  const bool resent = (request.header.flags & wire::kFlagResend) != 0;
  if (resent && request.header.sequence != 0) {
    return fail(Errc::timed_out,
                "rpc: the engine went away and did not come back in time; whether it was done is "
                "unknown");
  }
  if (!outcome) return outcome;
  return fail(Errc::unreachable, "rpc: the engine is stopping and no other came in time");
}

Task<Result<Bytes>> Rpc::control(fabric::Endpoint to, Bytes body) {
  wire::Request request;
  wire::Reply reply;
  request.body = wire::Control{.body = std::move(body)};
  CO_TRY(called, co_await call(to, request, reply));
  Bytes* const answer = std::get_if<Bytes>(&reply.body);
  if (answer == nullptr) co_return fail(Errc::protocol, "rpc: an answer of another kind");
  co_return std::move(*answer);
}

}  // namespace cairn::client
