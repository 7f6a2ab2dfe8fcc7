#include "cmd/embed/service_link.h"

#include "cmd/embed/connect_any.h"
#include "fabric/stream_client.h"

namespace cairn::embed {

namespace {

constexpr Duration kConnectPatience = 2 * kSecond;
constexpr Duration kAttempt = 5 * kSecond;
constexpr Duration kTotal = 20 * kSecond;
constexpr Duration kGrace = kSecond;

}  // namespace

ServiceLink::ServiceLink(Reactor& reactor, std::vector<Address> services,
                         const fabric::Token& token) {
  const uint64_t session = client::random_session(reactor.random());
  transport_ = std::make_unique<fabric::StreamTransport>(
      reactor, fabric::StreamClientOptions{.session = session, .token = token},
      [&reactor, services = std::move(services)](fabric::Endpoint) {
        return connect_to_any<Socket>(reactor, services, connect_to, kConnectPatience);
      });
  rpc_ = std::make_unique<client::Rpc>(reactor, *transport_,
                                       client::RpcOptions{.session = session,
                                                          .attempt_ns = kAttempt,
                                                          .attempt_ns_max = kAttempt,
                                                          .total_ns = kTotal,
                                                          .reconnect_grace_ns = kGrace});
}

ServiceLink::~ServiceLink() = default;

Task<Result<wire::ControlReply>> ServiceLink::ask(wire::ControlRequest request) {
  const Bytes body = wire::proto_encode(request);
  CO_TRY(bytes, co_await rpc_->control({.rank = 0}, body));
  co_return wire::proto_decode<wire::ControlReply>(bytes);
}

Task<void> ServiceLink::close() { return transport_->close(); }

}  // namespace cairn::embed
