// StreamServer: the engine's end of stream sockets. It accepts connections, greets them, hands each
// message to the Service and sends what it answers. Bounds what peers can make it hold: calls and
// bytes for each connection, and bytes in all; over them it stops reading, so that the peer's sends
// wait. Over the calls in all it says so (FrameKind::busy), and when to ask again.
// At an address of libfabric it is the door: clients are greeted and bounded as all others, their
// calls come by OfiPort.
// Home: the reactor given. Peers are hostile until proven otherwise: what is no frame ends the
// connection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "fabric/hello.h"
#include "fabric/ofi_server.h"
#include "fabric/transport.h"
#include "runtime/reactor.h"
#include "runtime/socket.h"

namespace cairn::fabric {

struct FrameHead;

struct StreamServerOptions {
  Uuid system;
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  /// Of the home; asked for on sockets that are not Unix sockets.
  Token token{};
  /// Of the system's own, for purpose admin over networks. Zero: that is for Unix sockets only.
  Token admin_token{};
  bool anybody = false;  // no token is asked for: whoever reaches the socket is a client
  bool stays = false;  // told to those who look
  uint32_t calls_max = 1024;                      // under way on one connection
  uint32_t bulk_calls_max = 64;                   // on one of the bulk lane
  uint64_t bytes_max = 64u << 20;                 // of their messages, on one connection
  uint64_t total_bytes_max = uint64_t{1} << 30;   // on all
  uint32_t total_calls_max = 16'384;              // on all; a connection without any has one more
  uint32_t message_bytes_max = 336u << 20;        // over wire/limits.h
  Duration hello_ns_max = 10 * kSecond;           // for the first frame of a connection
  /// Connections without one, over networks and over Unix sockets each; more are closed at once.
  uint32_t ungreeted_max = 1024;
  Duration transfer_ns_max = 120 * kSecond;       // libfabric: of one access to a peer's memory
};

/// For tests and metrics.
struct StreamServerCounts {
  uint64_t connections = 0, refused = 0, calls = 0, malformed = 0, busy = 0;
  uint64_t crowded = 0;  // of the connections, closed at once: too many had not greeted
};

/// How clients may reach what listen() has taken; a Unix socket is for those who know the home. The
/// door of a network of libfabric takes calls of streams, too.
std::vector<Address> ways_in(const Address& taken);

class StreamServer {
 public:
  struct Hooks {
    /// A client's process has its first connection, or has lost its last one. `local`: over a
    /// Unix socket, so that a lost connection means that the process ended or wanted it so.
    std::function<void(uint64_t session, bool here, bool local)> session;
    /// Somebody wants the process to end (leave_if_idle is asked only without clients).
    std::function<void()> leave;
    /// One of the system's own has its first connection of purpose admin, or has lost its last one.
    std::function<void(uint64_t session, bool here)> admin = {};
  };

  /// `service` is borrowed.
  StreamServer(Reactor& reactor, Service& service, StreamServerOptions options, Hooks hooks);
  ~StreamServer();

  /// Who serves the system's own (borrowed). Without it they are refused.
  void set_admin(Service& admin) { admin_ = &admin; }
  /// Accepts there from now on. @returns the address with the real port
  /// @error busy  the address is in use   @error not_supported  libfabric, or its provider, is
  /// missing or cannot do it   @error others as Listener::open()
  Result<Address> listen(const Address& at);
  /// Sessions with a connection for calls.
  size_t clients() const { return sessions_.size(); }
  bool has_client(uint64_t session) const { return sessions_.contains(session); }
  size_t connections() const { return connections_.size(); }
  const StreamServerCounts& counts() const { return counts_; }
  /// What all connections hold to receive into.
  size_t buffer_bytes() const;

  /// Accepts nothing more, reads no further requests, answers those under way, closes. Peers that
  /// do not take their answers are waited for `patience`. Once; before destruction.
  Task<void> close(Duration patience);

 private:
  struct Connection;
  class DoorCalls;
  using ConnectionPtr = std::shared_ptr<Connection>;
  struct Entrance {
    std::unique_ptr<Listener> listener;
    std::unique_ptr<OfiPort> port;  // of libfabric, behind it
  };
  Result<Address> listen_ofi(const Address& at);
  Task<void> accept_all(Listener& listener, OfiPort* port);
  Task<void> serve(ConnectionPtr connection);
  void forget(const Connection& c);
  Task<void> serve_calls(ConnectionPtr self);
  Task<bool> greet(Connection& c);
  HelloReply judge(const Connection& c, const Hello& hello) const;
  bool takes_no_answers(const Connection& c) const;
  bool is_full(const Connection& c, uint64_t bytes) const;
  Task<void> until_admitted(Connection& c, uint64_t bytes);
  void admit(Connection& c, uint64_t bytes);
  bool has_too_much_to_do(const Connection& c) const;
  Task<bool> turn_away(Connection& c, FrameHead head);
  uint32_t retry_ms();
  Task<Message> call_of(const Connection& c, Buffer message, size_t head_bytes);
  Task<void> serve_door(Connection& c, FrameHead head);
  Task<void> answer(ConnectionPtr connection, uint64_t id, uint64_t bytes, Task<Message> call);
  bool answer_at_once(ConnectionPtr connection, uint64_t id, Buffer message);
  void post_answer(Connection& c, uint64_t id, Message reply, uint64_t bytes);
  void note_call(Instant begin);
  void release(Connection& c, uint64_t bytes);
  void enter_session(Connection& c, uint64_t session);
  void leave_session(const Connection& c);
  void enter_admin(Connection& c, uint64_t session);
  void leave_admin(const Connection& c);
  Task<void> watch_hellos();
  Task<void> lose_patience(Duration patience);

  Reactor& reactor_;
  Service& service_;
  Service* admin_ = nullptr;
  const StreamServerOptions options_;
  Hooks hooks_;
  StreamServerCounts counts_;
  Gate gate_;
  std::vector<Entrance> entrances_;
  std::vector<ConnectionPtr> connections_;  // each knows its place
  uint32_t ungreeted_[2] = {};              // of them; [1]: over Unix sockets
  std::map<uint64_t, size_t> sessions_;  // with their number of connections
  std::map<uint64_t, size_t> admins_;    // the same, of the system's own
  uint64_t bytes_ = 0;                   // of messages under way
  uint32_t calls_ = 0;                   // under way
  Duration call_ns_ = 0;                 // what one takes, averaged
  WaitList released_;
  bool stopping_ = false;
  bool watching_ = false;
  /// Tasks that may outlast this object in the reactor's timers look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cairn::fabric
