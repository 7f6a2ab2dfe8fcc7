#include "cmd/embed/client_graph.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/report.h"
#include "client/system.h"
#include "cmd/embed/admin_link.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_token.h"
#include "fabric/ofi_client.h"
#include "fabric/stream_client.h"
#include "runtime/io.h"
#include "wire/control.h"

namespace cairn::embed {

namespace {

constexpr fabric::Endpoint kEngine = {.rank = 0};
/// A server that leaves closes the door on whoever comes; the next one opens it.
constexpr int kMeetsMax = 200;
constexpr Duration kMeetAgain = 10 * kMillisecond;
constexpr Duration kConnectPatience = 10 * kSecond;

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

/// Of an engine of this machine.
bool is_here(const std::string& home, uint32_t rank) {
  const auto file = load_home(home);
  return !file || !*file || (*file)->has_rank(rank);
}

/// Of a home whose engines are not all on this machine; zero where it has none.
fabric::Token token_in(const std::string& home) {
  const std::string path = home + "/" + kTokenFile;
  if (access(path.c_str(), R_OK) != 0) return {};
  const auto token = read_token(path);
  return token ? *token : fabric::Token{};
}

/// Of an engine's address: where it listens on all interfaces, the server's own host will do.
Address reachable(Address engine, const Address& server) {
  if (engine.host == "0.0.0.0" || engine.host == "::") engine.host = server.host;
  return engine;
}

}  // namespace

ClientGraph::ClientGraph()
    : reactor_(std::make_unique<Reactor>(system_clock(), system_random(), make_client_backend())) {}

Result<void> ClientGraph::start(const MakeTransport& make) {
  const uint64_t session = client::random_session(system_random());
  transport_ = make(*reactor_, session);
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
  HomeDoor& door = *graph->door_;
  TRY(started, graph->start([held = graph.get(), &door](Reactor& reactor, uint64_t session) {
    return std::make_unique<fabric::StreamTransport>(
        reactor, fabric::StreamClientOptions{.session = session, .token = token_in(door.home())},
        [held, &door](fabric::Endpoint to) {
          return to.rank == 0 ? door.enter() : held->enter_engine(to.rank);
        });
  }));
  return graph;
}

/// An engine that is away is started by the home's server, if there is one.
Task<Result<Socket>> ClientGraph::enter_engine(uint32_t rank) {
  if (!is_here(door_->home(), rank)) {
    return connect_to_engine<Socket>(rank, {{.kind = Address::Kind::tcp}}, connect_to);
  }
  return enter_own_engine(rank);
}

Task<Result<Socket>> ClientGraph::enter_own_engine(uint32_t rank) {
  auto socket = co_await connect_to(*reactor_, {.host = engine_socket(door_->home(), rank)},
                                    kConnectPatience);
  if (socket || socket.error().code() != Errc::unreachable) co_return socket;
  CO_TRY(server, co_await door_->enter());
  co_return fail(Errc::unreachable, "home: one of its engines is away");
}

Result<std::shared_ptr<ClientGraph>> ClientGraph::open_at(std::vector<Address> addresses,
                                                          const fabric::Token& token) {
  std::shared_ptr<ClientGraph> graph(new ClientGraph);
  const bool ofi = !addresses.empty() && addresses.front().kind == Address::Kind::ofi;
  const auto make = ofi ? graph->make<fabric::OfiTransport, fabric::OfiClientOptions>(
                              std::move(addresses), token, fabric::connect_door)
                        : graph->make<fabric::StreamTransport, fabric::StreamClientOptions>(
                              std::move(addresses), token, connect_to);
  TRY(started, graph->start(make));
  return graph;
}

template <class Transport, class Options, class Connected>
ClientGraph::MakeTransport ClientGraph::make(std::vector<Address> servers,
                                             const fabric::Token& token,
                                             ConnectBy<Connected> connect) {
  return [this, servers = std::move(servers), token, connect](Reactor& reactor, uint64_t session) {
    return std::make_unique<Transport>(
        reactor, Options{.session = session, .token = token},
        [this, servers, connect](fabric::Endpoint to) {
          return to.rank == 0 ? connect_to_any(*reactor_, servers, connect, kConnectPatience)
                              : connect_to_engine(to.rank, servers, connect);
        });
  };
}

/// Where an engine is may have changed since the last time: the service is asked each time. Only
/// what is of the servers' own kind.
Task<Result<std::vector<Address>>> ClientGraph::addresses_of(uint32_t rank,
                                                             std::vector<Address> servers) {
  wire::ControlRequest request;
  request.op = wire::Op::system_query;
  CO_TRY(bytes, co_await rpc_->control(kEngine, wire::proto_encode(request)));
  CO_TRY(reply, wire::proto_decode<wire::ControlReply>(bytes));
  std::vector<Address> addresses;
  for (const wire::EngineInfo& engine : reply.engines) {
    if (engine.rank != rank || engine.state == wire::EngineState::away) continue;
    for (const std::string& text : engine.addresses) {
      const auto address = parse_address(text);
      if (!address) continue;
      for (const Address& server : servers) {
        if (address->kind != server.kind || address->provider != server.provider) continue;
        addresses.push_back(reachable(*address, server));
      }
    }
  }
  co_return addresses;
}

template <class Connected>
Task<Result<Connected>> ClientGraph::connect_to_engine(uint32_t rank, std::vector<Address> servers,
                                                       ConnectBy<Connected> connect) {
  CO_TRY(addresses, co_await addresses_of(rank, std::move(servers)));
  co_return co_await connect_to_any(*reactor_, std::move(addresses), connect, kConnectPatience);
}

Task<Result<void>> ClientGraph::meet() {
  for (int i = 0;; ++i) {
    const auto reply = co_await transport_->reach(kEngine);
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
