// Stream sockets as coroutines see them: Socket, Listener, connect_to(). Home: the thread that
// drives the reactor; a reactor with an I/O backend (io.h, which says how a socket behaves).
// Sockets end before their reactor, or with its frames.
#pragma once

#include <sys/types.h>

#include <coroutine>

#include "base/check.h"
#include "base/result.h"
#include "runtime/address.h"
#include "runtime/io.h"
#include "runtime/reactor.h"
#include "runtime/task.h"

namespace cairn {

class Socket;

/// Connections that wait for an accept; the kernel may allow fewer.
inline constexpr int kListenBacklog = 1024;
/// TCP: a peer that has said nothing for this long is asked whether it lives,
inline constexpr int kKeepaliveIdleSeconds = 10;
/// again after each of these,
inline constexpr int kKeepaliveIntervalSeconds = 5;
/// and the connection fails (ETIMEDOUT) after so many questions, 30 s in all,
inline constexpr int kKeepaliveCount = 4;
/// as it does when sent bytes stay unacknowledged for this long.
inline constexpr int kUserTimeoutMs = 30'000;
static_assert((kKeepaliveIdleSeconds + kKeepaliveIntervalSeconds * kKeepaliveCount) * 1000 ==
              kUserTimeoutMs);

namespace detail {

/// Owns a descriptor and knows what is under way on it.
class SocketHandle {
 public:
  SocketHandle(Reactor& reactor, int fd) : reactor_(&reactor), fd_(fd) {}
  SocketHandle(SocketHandle&& other) noexcept;
  SocketHandle& operator=(SocketHandle&& other) noexcept;
  ~SocketHandle() { close(); }

  Reactor& reactor() const { return *reactor_; }
  int fd() const { return fd_; }
  void set_urgent() { urgent_ = true; }
  void shutdown();
  void shutdown_reading();
  void close();

 private:
  friend class SocketOp;
  friend class cairn::Socket;
  Reactor* reactor_;
  int fd_;
  bool urgent_ = false;    // who waits for it goes before others
  bool in_busy_ = false;   // a recv or accept is under way
  bool out_busy_ = false;  // a send or connect is
};

/// `co_await` of one request; must not move while it is under way, nor may the socket.
class SocketOp {
 public:
  SocketOp(SocketHandle& socket, IoRequest request) : socket_(socket), request_(request) {}
  SocketOp(const SocketOp&) = delete;
  SocketOp& operator=(const SocketOp&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  /// The request's result.
  int64_t await_resume() const noexcept { return request_.result; }

 protected:
  SocketHandle& socket_;
  IoRequest request_;

 private:
  bool& busy();
  std::coroutine_handle<> handle_;
};

}  // namespace detail

/// Who stands at the other end of a Unix socket, as the kernel saw it connect or listen.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// One connection. At most one recv and one send at a time (checked); it must not move meanwhile.
/// TCP sockets send at once (TCP_NODELAY) and notice a dead peer within the times above.
/// Fork: a child may destroy its copy, which leaves the parent's connection as it is; it must not
/// call shutdown().
class Socket {
 public:
  /// Takes over a connected, blocking, close-on-exec stream socket.
  Socket(Reactor& reactor, int fd) : handle_(reactor, fd) {}

  /// Awaitable: receives as many bytes as are there, 1 to `bytes`, waiting for the first.
  /// Bytes in one call are limited to 128 KiB, so that others have their turn in between.
  /// @returns bytes, 0 at the end of the stream (the peer closed, or shutdown()), or -errno
  detail::SocketOp recv(std::byte* data, size_t bytes);
  /// Awaitable: sends as many bytes as there is room for, 1 to `bytes`, waiting for room for the
  /// first. Raises no signal.
  /// @returns bytes, or -errno (EPIPE, ECONNRESET: the peer or shutdown() closed)
  detail::SocketOp send(const std::byte* data, size_t bytes);
  /// The same as a plain call, of all that there is room for now. No send is under way (checked).
  /// @returns bytes, 0 if there is no room, or -errno
  int64_t send_now(const std::byte* data, size_t bytes);
  /// Ends the connection in both directions, and soon what is under way. Idempotent.
  void shutdown() { handle_.shutdown(); }
  /// Ends a recv that is under way, and all later ones, with 0; what is sent still goes out.
  void shutdown_reading() { handle_.shutdown_reading(); }
  /// shutdown(), and the descriptor is gone; nothing is under way (checked). Idempotent. The
  /// destructor does it too. What was sent before still arrives, but TCP drops it if received bytes
  /// were left unread.
  void close() { handle_.close(); }
  bool is_open() const { return handle_.fd() >= 0; }

  /// A Unix socket takes up to `bytes` (as far as the system allows) before a sender must wait for
  /// the receiver. TCP finds that by itself.
  void widen(size_t bytes);
  /// From now on who waits for it goes before others that are ready (Reactor::schedule_urgent()).
  void set_urgent() { handle_.set_urgent(); }
  /// What has come and was not taken: as much as the next recv can give at once.
  size_t received_bytes() const;
  /// @error not_supported  it is not a Unix socket
  Result<PeerCredentials> peer_credentials() const;

  int fd() const { return handle_.fd(); }
  Reactor& reactor() const { return handle_.reactor(); }

 private:
  friend Task<Result<Socket>> connect_to(Reactor& reactor, Address address, Duration timeout);
  detail::SocketHandle handle_;
};

/// Takes connections. At most one accept at a time (checked); it must not move meanwhile.
class Listener {
 public:
  /// Unix: the file has mode 0600 less the umask; one that is there already must have been
  /// removed, and nobody removes this one. TCP: SO_REUSEADDR; port 0 takes any free port; [::]
  /// takes IPv6 only. Never waits.
  /// @error invalid      a host that is not numeric (resolve_blocking() first), or a Unix path too
  ///                     long for the kernel in its last part (kSocketNameBytesMax)
  /// @error busy         the port is taken, or there is a file of this name
  /// @error no_perm      the directory or the port is not for this user
  /// @error nonexistent  no such directory, or the host is not of this machine
  /// @error io           others
  static Result<Listener> open(Reactor& reactor, const Address& address);

  /// With the port that was taken.
  const Address& address() const { return address_; }

  class [[nodiscard]] Accept : public detail::SocketOp {
   public:
    using SocketOp::SocketOp;
    ~Accept();
    /// @error shutdown   shutdown() was called
    /// @error again      this connection had failed before it was taken: accept the next one
    /// @error no_memory  too many open files, or no memory: let time pass, then accept again
    /// @error io         others: the listener is of no more use
    Result<Socket> await_resume();
  };
  /// Awaitable: a connection.
  Accept accept();
  /// Takes no more connections; ends an accept that is under way. Idempotent.
  void shutdown() { handle_.shutdown(); }
  /// shutdown(), and the descriptor is gone; nothing is under way (checked). So does the
  /// destructor.
  void close() { handle_.close(); }
  int fd() const { return handle_.fd(); }

 private:
  Listener(detail::SocketHandle handle, Address address)
      : handle_(std::move(handle)), address_(std::move(address)) {}
  detail::SocketHandle handle_;
  Address address_;
};

/// Suspends until connected. Nothing stays under way after an error.
/// @error invalid      a host that is not numeric (resolve_blocking() first), port 0, or a Unix
///                     path too long for the kernel in its last part (kSocketNameBytesMax)
/// @error unreachable  nobody listens there, the socket's file is absent, there is no route
/// @error timed_out    no answer within `timeout` (kNever: as long as the kernel tries)
/// @error no_perm      the socket's file or a firewall rule refuses this user
/// @error io           others, such as too many open files
Task<Result<Socket>> connect_to(Reactor& reactor, Address address, Duration timeout);

}  // namespace cairn
