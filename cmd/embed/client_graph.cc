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

Result<std::shared_ptr<ClientGraph>> ClientGraph::open(const std::string& home, bool start) {
  std::shared_ptr<ClientGraph> graph(new ClientGraph);
  graph->reactor_ =
      std::make_unique<Reactor>(system_clock(), system_random(), make_client_backend());
  Reactor& reactor = *graph->reactor_;
  graph->door_ = std::make_unique<HomeDoor>(reactor, home, start);
  const uint64_t session = fresh_session();
  graph->transport_ = std::make_unique<fabric::StreamTransport>(
      reactor, fabric::StreamClientOptions{.session = session},
      [door = graph->door_.get()](fabric::Endpoint) { return door->enter(); });
  client::RpcOptions options = client::served_rpc_options();
  options.session = session;
  options.reconnect_grace_ns = reconnect_grace(options.reconnect_grace_ns);
  graph->rpc_ = std::make_unique<client::Rpc>(reactor, *graph->transport_, options);
  graph->context_ = std::make_unique<Context>(reactor);
  TRY(met, graph->context_->run(graph->meet()));
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
