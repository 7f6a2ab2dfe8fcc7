// OfiTransport: the client's end of libfabric. For each engine a door connection, made at first use
// and again after it broke, tells who is there and whether it lives; calls go by messages and by
// remote memory access that the engine begins. Home: the reactor given. Invariants: as
// StreamTransport; and what an engine may write to is memory of this object's until it has answered
// or its endpoint is closed, never the caller's.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "fabric/hello.h"
#include "fabric/ofi_message.h"
#include "fabric/pending_call.h"
#include "runtime/reactor.h"
#include "runtime/socket.h"

namespace cairn::fabric {

struct OfiClientOptions {
  uint64_t session = 0;
  Uuid system;  // nil: the first engine that answers tells it
  Token token{};
  uint32_t message_bytes_max = 336u << 20;
  /// For the hellos and the opening to be answered.
  Duration hello_ns_max = 30 * kSecond;
};

/// A connection to the door of an engine.
struct OfiDoor {
  Socket socket;
  Address address;  // of the engine, as it was given, numeric
};
/// Connects to where an engine at an address of libfabric is met: a TCP port, or a Unix socket with
/// shared memory. @error no_perm  another user's engine has the name   @error as connect_to()
Task<Result<OfiDoor>> connect_door(Reactor& reactor, Address address, Duration timeout);

class OfiTransport final : public ConnectingTransport {
 public:
  /// Its error ends the calls that wait for it.
  using Connector = std::function<Task<Result<OfiDoor>>(Endpoint to)>;

  OfiTransport(Reactor& reactor, OfiClientOptions options, Connector connector);
  ~OfiTransport() override;

  Task<Result<void>> call(Endpoint to, Call& call, Instant deadline) override;
  /// @error as the connector; protocol, no_perm, nonexistent, shutdown  what the engine answered;
  /// not_supported  libfabric or its provider is missing, here or there
  Task<Result<void>> reach(Endpoint to) override;
  uint64_t connects() const { return connects_; }
  Task<void> close() override;

 private:
  struct Flight;
  struct Port;
  struct Connection;
  struct Peer;
  using ConnectionPtr = std::shared_ptr<Connection>;
  Task<Result<ConnectionPtr>> connection(Endpoint to);
  Task<Result<ConnectionPtr>> connect(Endpoint to);
  Task<Result<void>> open(ConnectionPtr c, const Address& address);
  Task<Result<OfiOpen>> exchange_names(Connection& c, const Address& address);
  Result<std::shared_ptr<Port>> port_for(const Address& address, const std::string& local_host);
  Task<void> read_door(ConnectionPtr c);
  Task<void> leave_port(ConnectionPtr c);
  Task<void> watch_hello(std::weak_ptr<Connection> connection);
  Task<bool> wait_for_room(Connection& c, PendingCall& pending);
  Result<void> launch(Connection& c, PendingCall& pending, uint64_t id);
  void on_message(Port& port, ByteView message);
  bool take(Connection& c, const OfiHead& head, ByteView body);
  bool take_waiting(Connection& c, Flight& flight, const OfiHead& head);
  void end_flight(Connection& c, uint64_t id, Result<void> outcome);
  Result<void> parse(PendingCall* pending, ByteView reply);
  Instant expire(Instant now);
  Peer& peer(Endpoint at);

  Reactor& reactor_;
  OfiClientOptions options_;
  Connector connector_;
  Gate gate_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<PendingCall*> pending_;           // on the frames of call()
  std::vector<std::weak_ptr<Port>> ports_;  // of networks: shared by their connections
  uint64_t next_id_ = 1;
  uint64_t connects_ = 0;
  bool closing_ = false;
  DeadlineWatch deadlines_;
};

}  // namespace cairn::fabric
