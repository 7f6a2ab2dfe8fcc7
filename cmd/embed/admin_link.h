// AdminLink: a process of the system as the one who asks others (wire/engine_admin.proto): a
// connection to each engine of the home, made at first use, and exactly-once calls over it. Home:
// the reactor given.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/rpc.h"
#include "engine/peers.h"
#include "fabric/hello.h"
#include "fabric/transport.h"
#include "runtime/address.h"
#include "wire/engine_admin.h"

namespace cairn::embed {

/// The Unix socket of an engine.
std::string engine_socket(const std::string& home, uint32_t rank);

/// Under which watch() asks: what never ends must not hold up the acknowledgement of what does.
inline uint64_t watch_session(uint64_t session) { return session ^ 1; }

/// Where engines of other machines are. @error unreachable  nobody knows
using WhereIs = std::function<Task<Result<std::vector<Address>>>(uint32_t rank)>;

struct AdminLinkOptions {
  std::string home;
  Uuid system;
  /// Engines of this machine, reached by their sockets in the home: [first_rank, end_rank).
  uint32_t first_rank = 0, end_rank = UINT32_MAX;
  /// For the others, which are shown the secret. Empty: there are none.
  WhereIs where = {};
  fabric::Token secret{};
  /// How long a call waits for an engine that does not answer the door.
  Duration grace_ns = kSecond;
};

class AdminLink {
 public:
  /// Over the engines' sockets, or TCP to other machines.
  AdminLink(Reactor& reactor, AdminLinkOptions options);
  /// Over any transport, which `make` makes for the session that it is given.
  using MakeTransport =
      std::function<std::unique_ptr<fabric::ConnectingTransport>(uint64_t session)>;
  AdminLink(Reactor& reactor, AdminLinkOptions options, const MakeTransport& make);
  ~AdminLink();

  /// @error unreachable  the engine is away, or was, and what became of the request is not known
  /// @error stale_map    the engine is another incarnation than the request means
  /// @error no_perm      another server has joined it   Others: what the engine answers
  Task<Result<wire::AdminReply>> ask(uint32_t rank, wire::AdminRequest request);
  /// Connects if there is no connection. @error unreachable, no_perm, nonexistent, protocol
  Task<Result<void>> meet(uint32_t rank);
  /// Returns when the connection to the engine breaks, or cannot be made.
  Task<void> watch(uint32_t rank);
  /// Ends the calls under way, and refuses others. Before destruction. Idempotent.
  Task<void> close();

 private:
  const AdminLinkOptions options_;
  std::unique_ptr<fabric::ConnectingTransport> transport_;
  std::unique_ptr<client::Rpc> rpc_;
  std::unique_ptr<client::Rpc> watch_rpc_;  // its calls have no time limit and are not sent again
};

/// Asks the services' process, rank 0, where an engine is. `link` is borrowed.
Task<Result<std::vector<Address>>> locate(AdminLink& link, uint32_t rank);

/// Engines of other processes, as engines ask each other.
class RemotePeers final : public engine::Peers {
 public:
  explicit RemotePeers(AdminLink& link) : link_(link) {}
  Task<Result<engine::PeerReply>> ask(uint32_t rank, engine::PeerRequest request) override;

 private:
  AdminLink& link_;
};

}  // namespace cairn::embed
