// ClientGraph: what a process needs to use a home that another process serves: a reactor without
// I/O of its own, the transport, the client's end of calls. Members stand in the order in which
// they need each other.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/home.h"
#include "client/rpc.h"
#include "cmd/embed/connect_any.h"
#include "cmd/embed/home_door.h"
#include "fabric/hello.h"
#include "fabric/transport.h"
#include "runtime/context.h"

namespace cairn::embed {

class ClientGraph {
 public:
  /// Connects, and starts the server if `start` and there is none. @error as HomeDoor::enter()
  static Result<std::shared_ptr<ClientGraph>> open(const std::string& home, bool start);
  /// Connects over TCP, or by libfabric if the addresses are of that kind, to the first that
  /// answers. @error unreachable, no_perm, timed_out; not_supported: libfabric or its provider is
  /// missing, here or there
  static Result<std::shared_ptr<ClientGraph>> open_at(std::vector<Address> addresses,
                                                      const fabric::Token& token);
  ~ClientGraph();

  Context& context() { return *context_; }
  client::Rpc& rpc() { return *rpc_; }
  /// Closes the connections. Idempotent. Outside the reactor.
  void close();

 private:
  ClientGraph();
  using MakeTransport =
      std::function<std::unique_ptr<fabric::ConnectingTransport>(Reactor& reactor,
                                                                 uint64_t session)>;
  Result<void> start(const MakeTransport& make);
  template <class Transport, class Options, class Connected>
  MakeTransport make(std::vector<Address> servers, const fabric::Token& token,
                     ConnectBy<Connected> connect);
  Task<Result<Socket>> enter_engine(uint32_t rank);
  Task<Result<Socket>> enter_own_engine(uint32_t rank);
  Task<Result<void>> meet();
  Task<Result<std::vector<Address>>> addresses_of(uint32_t rank, std::vector<Address> servers);
  template <class Connected>
  Task<Result<Connected>> connect_to_engine(uint32_t rank, std::vector<Address> servers,
                                            ConnectBy<Connected> connect);

  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<HomeDoor> door_;
  std::unique_ptr<fabric::ConnectingTransport> transport_;
  std::unique_ptr<client::Rpc> rpc_;
  std::unique_ptr<Context> context_;
};

/// The served home as a client sees it; shutdown() closes the connections.
std::unique_ptr<client::System> make_system(std::shared_ptr<ClientGraph> graph);

}  // namespace cairn::embed
