#include "cmd/embed/client_graph.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/report.h"
#include "client/system.h"
#include "runtime/io.h"

namespace cairn::embed {

namespace {

constexpr fabric::Endpoint kEngine = {.rank = 0};
/// A server that leaves closes the door on whoever comes; the next one opens it.
constexpr int kMeetsMax = 200;
constexpr Duration kMeetAgain = 10 * kMillisecond;
constexpr Duration kConnectPatience = 10 * kSecond;

uint64_t fresh_session() {
  uint64_t session = 0;
  while (session == 0) session = system_random().next();
  return session;
}

/// CAIRN_RECONNECT_GRACE: seconds that calls wait for a server that went away.
Duration reconnect_grace(Duration usual) {
  const char* text = std::getenv("CAIRN_RECONNECT_GRACE");
  if (text == nullptr) return usual;
  const std::string_view given(text);
  uint32_t seconds = 0;
  const auto parsed = std::from_chars(given.data(), given.data() + given.size(), seconds);
  if (parsed.ec == std::errc() && parsed.ptr == given.data() + given.size() && seconds > 0) {
    return seconds * kSecond;
  }
  report(Severity::warning, "CAIRN_RECONNECT_GRACE: '" + std::string(given) +
                                "' is no number of seconds above 0; using " +
                                std::to_string(usual / kSecond));
  return usual;
}

}  // namespace

ClientGraph::ClientGraph()
    : reactor_(
          std::make_unique<Reactor>(system_clock(), system_random(), make_client_backend())) {}

Result<void> ClientGraph::start(fabric::StreamTransport::Connector connector,
                                const fabric::Token& token) {
  const uint64_t session = fresh_session();
  transport_ = std::make_unique<fabric::StreamTransport>(
      *reactor_, fabric::StreamClientOptions{.session = session, .token = token},
      std::move(connector));
  client::RpcOptions options = client::served_rpc_options();
  options.session = session;
  options.reconnect_grace_ns = reconnect_grace(options.reconnect_grace_ns);
  rpc_ = std::make_unique<client::Rpc>(*reactor_, *transport_, options);
  context_ = std::make_unique<Context>(*reactor_);
  return context_->run(meet());
}

Result<std::shared_ptr<ClientGraph>> ClientGraph::open(const std::string& home, bool start) {
  std::shared_ptr<ClientGraph> graph(new ClientGraph);
  graph->door_ = std::make_unique<HomeDoor>(*graph->reactor_, home, start);
  TRY(started, graph->start([door = graph->door_.get()](fabric::Endpoint) { return door->enter(); },
                            {}));
  return graph;
}

namespace {

/// By value: the caller's list may be gone before the task ends.
Task<Result<Socket>> connect_to_any(Reactor& reactor, std::vector<Address> addresses) {
  Result<Socket> socket = fail(Errc::unreachable, "home: no address");
  for (const Address& address : addresses) {
    socket = co_await connect_to(reactor, address, kConnectPatience);
    if (socket) break;
  }
  // Whatever kept it from connecting: nothing was done, and the next attempt may do better.
  if (!socket && socket.error().code() == Errc::timed_out) {
    co_return fail(Errc::unreachable, "home: its server does not answer");
  }
  co_return socket;
}

}  // namespace

Result<std::shared_ptr<ClientGraph>> ClientGraph::open_at(std::vector<Address> addresses,
                                                          const fabric::Token& token) {
  std::shared_ptr<ClientGraph> graph(new ClientGraph);
  Reactor& reactor = *graph->reactor_;
  TRY(started, graph->start(
                   [&reactor, list = std::move(addresses)](fabric::Endpoint) {
                     return connect_to_any(reactor, list);
                   },
                   token));
  return graph;
}

Task<Result<void>> ClientGraph::meet() {
  for (int i = 0;; ++i) {
    const auto reply = co_await transport_->meet(kEngine);
    if (reply) co_return Result<void>{};
    const Errc code = reply.error().code();
    const bool leaving = code == Errc::unreachable || code == Errc::shutdown;
    if (!leaving || i == kMeetsMax) co_return fail(reply.error());
    co_await reactor_->sleep(kMeetAgain);
  }
}

void ClientGraph::close() {
  if (!context_) return;
  context_->run(transport_->close());
  context_.reset();  // from here no other thread is inside
  rpc_.reset();
  transport_.reset();
  door_.reset();
  reactor_.reset();
}

ClientGraph::~ClientGraph() { close(); }

std::unique_ptr<client::System> make_system(std::shared_ptr<ClientGraph> graph) {
  client::SystemParts parts;
  parts.context = &graph->context();
  parts.rpc = &graph->rpc();
  parts.service = kEngine;
  parts.shutdown = [held = graph.get()]() -> Result<void> {
    held->close();
    return {};
  };
  parts.graph = std::move(graph);
  return client::make_system(std::move(parts));
}

}  // namespace cairn::embed
