// Network: connections between simulated processes. What a process sees is what stream sockets show
// (fabric/stream_client.h, stream_server.h): calls on connections that are made at first use,
// break, and are made again; a refusal where nobody listens; sessions that come and go with their
// connections. Messages are bytes. The faults:
//   - a message takes a while, more over a slow path; calls of clients overtake each other, what
//     engines ask each other does not (one connection keeps the order);
//   - a path may be blocked, each way by itself: messages are held, and sent again when it opens;
//     where that lasts, both ends notice at some time and the connection breaks;
//   - a connection may break at any message, which then is lost (streams lose nothing otherwise);
//   - a request of a client may come twice, the second copy much later.
// A process that is gone breaks its connections; one whose machine lost its power says nothing.
// Calls that a broken connection leaves behind end with timed_out: their outcome is unknown. Home:
// the stage.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "fabric/pending_call.h"
#include "fabric/stream_format.h"
#include "sim/cluster/stage.h"

namespace cairn::sim {

/// A place in the network: engines by rank, then clients.
using NodeId = uint32_t;

/// What a process listens with.
struct Door {
  Process* process = nullptr;
  fabric::Service* calls = nullptr;
  fabric::Service* admin = nullptr;  // null: refused
  /// A session has its first connection, or has lost its last one.
  std::function<void(uint64_t session, bool here)> session = {};
  std::function<void(uint64_t session, bool here)> admin_session = {};
};

struct NetworkOptions {
  Duration delay_min = 30 * kMicrosecond;
  Duration delay_spread = 200 * kMicrosecond;
  /// Ends of a connection over a blocked path notice it after between one and two of these.
  Duration liveness = 3 * kSecond;
};

/// Faults that concern every path; in millionths, of each message.
struct Weather {
  uint32_t breaks = 0, duplicates = 0;
};

struct Traffic {
  uint64_t messages = 0, bytes = 0;
  void add(size_t more) { ++messages, bytes += more; }
};

struct NetworkCounts {
  uint64_t messages = 0, overtaken = 0, slow = 0, held = 0, broken = 0, duplicated = 0, refused = 0,
           late_answers = 0;
  uint64_t connections = 0;  // made
  Traffic calls, admin;      // requests and answers, of clients and of engines
};

class Network {
 public:
  Network(Stage& stage, uint32_t nodes, NetworkOptions options);

  void listen(NodeId at, Door door);
  /// Ends as that process ends. `silent`: as a machine without power.
  void process_ended(NodeId at, bool silent);

  void block(NodeId from, NodeId to);
  void open(NodeId from, NodeId to);
  void open_all();
  bool is_blocked(NodeId from, NodeId to) const { return path(from, to).blocked; }
  /// Messages take up to `extra` longer.
  void slow_down(NodeId from, NodeId to, Duration extra) { path(from, to).extra = extra; }
  void set_weather(Weather weather) { weather_ = weather; }
  const NetworkCounts& counts() const { return counts_; }
  uint32_t nodes() const { return nodes_; }
  /// Connections of clients that are up, by the engine and by the client's session.
  struct Held {
    std::map<NodeId, uint32_t> by_engine;
    std::map<uint64_t, uint32_t> by_session;
  };
  Held held() const;

 private:
  friend class SimTransport;
  struct Connection;
  using ConnectionPtr = std::shared_ptr<Connection>;
  using Delivery = std::move_only_function<void()>;
  struct Path {
    bool blocked = false;
    uint64_t blockings = 0;  // counts them
    Duration extra = 0;
    std::vector<Delivery> held;
  };
  struct Listening {
    Door door;
    bool open = false;
    bool dark = false;                            // its machine has no power
    std::map<uint64_t, size_t> sessions, admins;  // with their number of connections
  };
  struct Connecting;

  Path& path(NodeId from, NodeId to) { return paths_[from * nodes_ + to]; }
  const Path& path(NodeId from, NodeId to) const { return paths_[from * nodes_ + to]; }
  /// Brings something over, some time. `in_order`: not before this time, which is moved on.
  void send(NodeId from, NodeId to, Delivery deliver, Instant* in_order = nullptr);
  void arrive(NodeId from, NodeId to, Delivery deliver);
  bool chance(uint32_t millionths);
  Duration notice_after();

  // For SimTransport.
  void connect(std::shared_ptr<Connecting> attempt, ConnectionPtr c);
  void accept(const std::shared_ptr<Connecting>& attempt, const ConnectionPtr& c);
  void request(const ConnectionPtr& c, uint64_t id, Bytes bytes);
  void take_request(const ConnectionPtr& c, uint64_t id, Bytes bytes);
  void reply(const ConnectionPtr& c, uint64_t id, Bytes bytes);
  void take_reply(const ConnectionPtr& c, uint64_t id, const Bytes& bytes);
  static Task<void> serve(Network& network, ConnectionPtr c, uint64_t id, Bytes bytes);
  static Task<void> serve_copy(fabric::Service& service, Bytes bytes);

  /// One end hears that the connection has broken; then the other one will.
  void break_client_end(const ConnectionPtr& c);
  void break_server_end(const ConnectionPtr& c);
  void leave_session(const Connection& c);
  void notice_silence(NodeId a, NodeId b);
  void forget_dead();

  Stage& stage_;
  const uint32_t nodes_;
  const NetworkOptions options_;
  Weather weather_;
  NetworkCounts counts_;
  std::vector<Path> paths_;  // by sender and receiver
  std::vector<Listening> doors_;
  std::vector<ConnectionPtr> connections_;  // with an end that is up
  uint64_t next_id_ = 1;
};

struct SimTransportOptions {
  NodeId at = 0;
  uint64_t session = 0;
  fabric::Purpose purpose = fabric::Purpose::calls;
  /// For a connection over a blocked path.
  Duration connect_patience = 2 * kSecond;
};

/// One process's end of calls.
class SimTransport final : public fabric::ConnectingTransport {
 public:
  SimTransport(Network& network, Process& process, SimTransportOptions options);
  ~SimTransport() override;

  Task<Result<void>> call(fabric::Endpoint to, fabric::Call& call, Instant deadline) override;
  Task<Result<void>> reach(fabric::Endpoint to) override;
  Task<void> close() override;

 private:
  friend class Network;
  struct Peer;
  Task<Result<Network::ConnectionPtr>> connection(fabric::Endpoint to);
  void arm(Instant deadline);
  static Task<void> watch(Reactor& reactor, SimTransport& self, std::weak_ptr<bool> alive,
                          Instant until);
  void expire();

  Network& network_;
  Process& process_;
  const SimTransportOptions options_;
  Gate gate_;
  std::map<uint32_t, std::unique_ptr<Peer>> peers_;  // by rank
  Instant watched_until_ = kNever;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cairn::sim
