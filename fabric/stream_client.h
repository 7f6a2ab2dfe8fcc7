// StreamTransport: the client's end of stream sockets. One connection per engine and lane, made at
// first use and again after it broke; any number of calls under way on each. When a connection
// breaks, the outcome of its calls is unknown (timed_out): the layer above sends them again. Home:
// the reactor given. Invariant: an answer is parsed into its call's buffers only while the call
// waits; what comes later is dropped.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "fabric/hello.h"
#include "fabric/pending_call.h"
#include "runtime/reactor.h"
#include "runtime/socket.h"

namespace cairn::fabric {

struct StreamClientOptions {
  uint64_t session = 0;
  Purpose purpose = Purpose::calls;  // or admin
  Uuid system;  // nil: the first engine that answers tells it
  Token token{};
  uint64_t bulk_from = 32u << 10;  // payload of calls that take the bulk lane
  uint32_t message_bytes_max = 336u << 20;
  /// For a hello to be answered.
  Duration hello_ns_max = 30 * kSecond;
};

class StreamTransport final : public ConnectingTransport {
 public:
  /// Gives a connected socket. Its error ends the calls that wait for it.
  using Connector = std::function<Task<Result<Socket>>(Endpoint to)>;

  StreamTransport(Reactor& reactor, StreamClientOptions options, Connector connector);
  ~StreamTransport() override;

  Task<Result<void>> call(Endpoint to, Call& call, Instant deadline) override;
  /// Connects if there is no connection, and tells what the engine said of itself then.
  /// @error as the connector; protocol, no_perm, nonexistent, shutdown  what the engine answered
  Task<Result<HelloReply>> meet(Endpoint to);
  Task<Result<void>> reach(Endpoint to) override;
  /// How often a broken or absent connection was made.
  uint64_t connects() const { return connects_; }
  Task<void> close() override;

 private:
  struct Connection;
  struct Peer;
  using ConnectionPtr = std::shared_ptr<Connection>;
  Task<Result<ConnectionPtr>> connection(Endpoint to, Lane lane);
  Task<Result<ConnectionPtr>> connect(Endpoint to, Lane lane);
  Task<void> read_answers(ConnectionPtr c);
  Task<void> watch_hello(std::weak_ptr<Connection> connection);
  Instant expire(Instant now);
  Peer& peer(Endpoint at);

  Reactor& reactor_;
  StreamClientOptions options_;
  Connector connector_;
  Gate gate_;
  std::vector<std::unique_ptr<Peer>> peers_;
  uint64_t next_id_ = 1;
  uint64_t connects_ = 0;
  bool closing_ = false;
  DeadlineWatch deadlines_;
};

}  // namespace cairn::fabric
