#include "fabric/inproc.h"

#include <algorithm>
#include <optional>

namespace cairn::fabric {

namespace {
/// How soon a watcher sees that its call has ended; it cannot be woken early.
constexpr Duration kWatchNsMax = kMillisecond;
}  // namespace

/// What the sender and the messages of one call share. The sender may be gone before they arrive.
struct InprocTransport::Flight {
  Flight(Reactor& reactor, Instant deadline) : changed(reactor), deadline(deadline) {}
  /// No answer will come: who waits without a deadline learns it now, others when their time is up.
  void lost() {
    if (deadline != kNever) return;
    over = true;
    changed.wake_all();
  }
  WaitList changed;
  const Instant deadline;
  std::optional<Bytes> answer;
  bool over = false;  // the sender has left, or its time was up
};

InprocTransport::InprocTransport(Reactor& reactor, InprocOptions options)
    : reactor_(reactor), options_(options), random_(options.seed), gate_(reactor) {
  if (options_.drop_chance > 0 || options_.delay_max > 0) options_.encode = true;
}

InprocTransport::~InprocTransport() = default;

void InprocTransport::attach(Endpoint at, Service& service) {
  CHECK(find(at) == nullptr);
  services_.push_back({at, &service});
}

void InprocTransport::detach(Endpoint at) {
  std::erase_if(services_, [at](const Attached& a) { return a.at == at; });
}

Service* InprocTransport::find(Endpoint at) const {
  for (const Attached& a : services_) {
    if (a.at == at) return a.service;
  }
  return nullptr;
}

bool InprocTransport::lose() {
  if (options_.drop_chance <= 0) return false;
  return static_cast<double>(random_.next() >> 11) * 0x1p-53 < options_.drop_chance;
}

Duration InprocTransport::delay() {
  return options_.delay_max == 0 ? 0 : random_.below(options_.delay_max + 1);
}

namespace {
Task<Result<void>> nobody() { co_return fail(Errc::unreachable, "fabric: no engine of that rank"); }
}  // namespace

Task<Result<void>> InprocTransport::call(Endpoint to, Call& call, Instant deadline) {
  Service* const service = find(to);
  if (service == nullptr) return nobody();
  ++counts_.calls;
  // Not a coroutine of its own: the receiver's task is the call.
  if (!options_.encode) return service->serve(call.request(), call.reply());
  return call_by_bytes(*service, call, deadline);
}

bool InprocTransport::call_at_once(Endpoint to, Call& call) {
  if (options_.encode) return false;
  Service* const service = find(to);
  if (service == nullptr || !service->serve_at_once(call.request(), call.reply())) return false;
  ++counts_.calls;
  return true;
}

Task<Result<void>> InprocTransport::call_by_bytes(Service& service, Call& call, Instant deadline) {
  CO_TRY(hold, gate_.enter());
  Bytes request;
  CO_TRY(encoded, call.encode_request(request));
  const auto flight = std::make_shared<Flight>(reactor_, deadline);
  if (lose()) {
    ++counts_.requests_lost;
    flight->lost();
  } else {
    reactor_.spawn(carry(flight, service, std::move(request)));
  }
  if (deadline != kNever) reactor_.spawn(watch(flight));
  while (!flight->answer && !flight->over) co_await flight->changed.wait();
  flight->over = true;
  if (!flight->answer) co_return fail(Errc::timed_out, "fabric: no answer in time");
  co_return call.decode_reply(*flight->answer);
}

Task<void> InprocTransport::carry(std::shared_ptr<Flight> flight, Service& service, Bytes request) {
  auto hold = gate_.enter();
  if (!hold) co_return;
  if (const Duration wait = delay(); wait > 0) co_await reactor_.sleep(wait);
  Bytes reply = co_await service.serve_bytes(std::move(request));
  if (const Duration wait = delay(); wait > 0) co_await reactor_.sleep(wait);
  if (reply.empty() || lose()) {
    ++counts_.replies_lost;
    flight->lost();
    co_return;
  }
  if (flight->over) {
    ++counts_.replies_late;
    co_return;
  }
  flight->answer = std::move(reply);
  flight->changed.wake_all();
}

Task<void> InprocTransport::watch(std::shared_ptr<Flight> flight) {
  auto hold = gate_.enter();
  if (!hold) co_return;
  while (!flight->over) {
    const Instant now = reactor_.clock().now();
    if (now >= flight->deadline) break;
    co_await reactor_.sleep(std::min(flight->deadline - now, kWatchNsMax));
  }
  if (flight->over || flight->answer) co_return;
  flight->over = true;
  flight->changed.wake_all();
}

Task<void> InprocTransport::close() { co_await gate_.close(); }

}  // namespace cairn::fabric
