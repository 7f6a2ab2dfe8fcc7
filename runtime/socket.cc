#include "runtime/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

namespace cairn {
namespace detail {

SocketHandle::SocketHandle(SocketHandle&& other) noexcept
    : reactor_(other.reactor_), fd_(std::exchange(other.fd_, -1)), urgent_(other.urgent_) {
  CHECK(!other.in_busy_);
  CHECK(!other.out_busy_);
}

SocketHandle& SocketHandle::operator=(SocketHandle&& other) noexcept {
  if (this == &other) return *this;
  CHECK(!other.in_busy_);
  CHECK(!other.out_busy_);
  close();
  reactor_ = other.reactor_;
  fd_ = std::exchange(other.fd_, -1);
  urgent_ = other.urgent_;
  return *this;
}

void SocketHandle::shutdown() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

void SocketHandle::shutdown_reading() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RD);
}

void SocketHandle::close() {
  if (fd_ < 0) return;
  // Without a backend the reactor is at its end and has waited for what was under way. In a forked
  // child the parent's requests are none of ours, nor is the connection.
  IoBackend* const io = reactor_->io();
  if (io != nullptr && io->forget(fd_)) {
    CHECK(!in_busy_);
    CHECK(!out_busy_);
    // Some child may hold a copy; the peer shall hear of the end now.
    ::shutdown(fd_, SHUT_RDWR);
  }
  ::close(std::exchange(fd_, -1));
}

bool& SocketOp::busy() {
  const bool in = request_.op == IoRequest::Op::recv || request_.op == IoRequest::Op::accept;
  return in ? socket_.in_busy_ : socket_.out_busy_;
}

void SocketOp::await_suspend(std::coroutine_handle<> handle) {
  CHECK(!busy());
  busy() = true;
  handle_ = handle;
  request_.owner = this;
  request_.done = [](IoRequest& request) {
    SocketOp& op = *static_cast<SocketOp*>(request.owner);
    op.busy() = false;
    Reactor& reactor = op.socket_.reactor();
    op.socket_.urgent_ ? reactor.schedule_urgent(op.handle_) : reactor.schedule(op.handle_);
  };
  socket_.reactor().io()->submit(request_);
}

}  // namespace detail

namespace {

// The kernel copies while the reactor stands still: a small call shall not wait for a large one.
constexpr size_t kTransferBytesMax = 128u << 10;
constexpr int64_t kNoConnection = -1;  // an accept that has not ended, or whose result was taken
// How long a connect waits before it looks again, first and at most.
constexpr Duration kRetryFirst = kMillisecond;
constexpr Duration kRetryMax = 50 * kMillisecond;

/// A descriptor that is closed unless taken.
class OwnFd {
 public:
  explicit OwnFd(int fd) : fd_(fd) {}
  OwnFd(OwnFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnFd& operator=(OwnFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int take() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// An address as the kernel wants it; `dir` must stay open while it is used.
struct SocketName {
  sockaddr_storage bits{};
  socklen_t bytes = 0;
  OwnFd dir{-1};
  int error = 0;  // errno of opening `dir`
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&bits); }
  int family() const { return bits.ss_family; }
};

/// A path that does not fit goes by way of a descriptor of its directory.
Result<SocketName> unix_name(const std::string& path) {
  SocketName name;
  auto& un = *reinterpret_cast<sockaddr_un*>(&name.bits);
  un.sun_family = AF_UNIX;
  name.bytes = sizeof un;
  if (path.size() < sizeof un.sun_path) {
    path.copy(un.sun_path, path.size());
    return name;
  }
  const size_t slash = path.rfind('/');
  const std::string last = path.substr(slash + 1);
  if (last.size() > kSocketNameBytesMax) {
    return fail(Errc::invalid,
                "socket: the last part of a long Unix path has more than 80 bytes; choose a "
                "shorter name or path");
  }
  name.dir = OwnFd(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (name.dir.get() < 0) name.error = errno;
  const int length = snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/%s",
                              std::max(name.dir.get(), 0), last.c_str());
  CHECK(length > 0);
  CHECK(static_cast<size_t>(length) < sizeof un.sun_path);
  return name;
}

Result<SocketName> tcp_name(const Address& address) {
  SocketName name;
  auto& four = *reinterpret_cast<sockaddr_in*>(&name.bits);
  auto& six = *reinterpret_cast<sockaddr_in6*>(&name.bits);
  if (inet_pton(AF_INET, address.host.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(address.port);
    name.bytes = sizeof four;
  } else if (inet_pton(AF_INET6, address.host.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(address.port);
    name.bytes = sizeof six;
  } else {
    return fail(Errc::invalid, "socket: the host is not a numeric address; resolve it first");
  }
  return name;
}

Result<SocketName> name_of(const Address& address) {
  if (address.kind == Address::Kind::ofi) {
    return fail(Errc::invalid, "socket: an address of libfabric is none of a socket");
  }
  return address.kind == Address::Kind::tcp ? tcp_name(address) : unix_name(address.host);
}

bool set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

void set_tcp_options(int fd) {
  // None of them is refused on a TCP socket, and without them it works too.
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveCount);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
}

Error listen_error(int code) {
  switch (code) {
    case EADDRINUSE:
      return {Errc::busy, "listen: the address is taken"};
    case EACCES:
    case EPERM:
    case EROFS:
      return {Errc::no_perm, "listen: this user may not take the address"};
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
      return {Errc::nonexistent, "listen: the socket's directory does not exist"};
    case EADDRNOTAVAIL:
      return {Errc::nonexistent, "listen: the address is not of this machine"};
    default:
      return {Errc::io, "listen: the kernel refuses a socket (descriptors, memory)"};
  }
}

/// Returns 0 or errno.
int begin_listening(int fd, SocketName& name) {
  if (name.family() == AF_UNIX) {
    // The file gets the mode of the socket, so that there is no moment with another one.
    if (fchmod(fd, 0600) != 0) return errno;
  } else {
    if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return errno;
    const bool six = name.family() == AF_INET6;
    if (six && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) return errno;
    set_tcp_options(fd);  // what it accepts inherits them
  }
  if (::bind(fd, name.get(), name.bytes) != 0) return errno;
  return ::listen(fd, kListenBacklog) == 0 ? 0 : errno;
}

/// The port of the socket's own end; 0 if it has none.
uint16_t own_port(int fd) {
  sockaddr_storage bits{};
  socklen_t bytes = sizeof bits;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bits), &bytes) != 0) return 0;
  if (bits.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(bits).sin_port);
  if (bits.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6&>(bits).sin6_port);
  return 0;
}

Error connect_error(int code) {
  switch (code) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
      return {Errc::unreachable, "connect: nobody listens there"};
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
      return {Errc::unreachable, "connect: the socket's file is absent"};
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
      return {Errc::unreachable, "connect: there is no route to the host"};
    case ETIMEDOUT:
      return {Errc::timed_out, "connect: no answer in time"};
    case EACCES:
    case EPERM:
      return {Errc::no_perm, "connect: this user may not connect there"};
    default:
      return {Errc::io, "connect: the kernel refuses a socket (descriptors, memory)"};
  }
}

/// One connect under way, and when it must end. Shared with its watch, which may end later.
struct Attempt {
  int fd = -1;
  bool under_way = true;
  bool timed_out = false;
};

/// Ends the attempt at `deadline`. A reactor's timer cannot be taken back, so this looks at ever
/// longer intervals and outlives the attempt by no more than that took.
Task<void> watch(Reactor& reactor, std::shared_ptr<Attempt> attempt, Instant deadline) {
  for (Duration nap = kRetryFirst; attempt->under_way; nap *= 2) {
    const Instant now = reactor.clock().now();
    if (now < deadline) {
      nap = std::min(nap, deadline - now);
    } else {
      // Without effect on a connect that has not reached the kernel yet: so again, until it ends.
      attempt->timed_out = true;
      ::shutdown(attempt->fd, SHUT_RDWR);
      nap = kRetryFirst;
    }
    co_await reactor.sleep(nap);
  }
}

/// TCP finds a socket that connects to itself if nobody listens at a port that the kernel hands
/// out: both ends are then the same.
bool connected_to_itself(int fd) {
  sockaddr_storage ends[2] = {};
  socklen_t bytes = sizeof ends[0];
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&ends[0]), &bytes) != 0) return false;
  bytes = sizeof ends[1];
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&ends[1]), &bytes) != 0) return false;
  return std::memcmp(&ends[0], &ends[1], bytes) == 0;
}

/// A plain call: it waits only for room in the listener's queue, which no poll reports.
/// Returns 0 or errno.
Task<int> connect_unix(Reactor& reactor, int fd, SocketName& name, Instant deadline) {
  if (name.error != 0) co_return name.error;
  Duration nap = kRetryFirst;
  while (::connect(fd, name.get(), name.bytes) != 0) {
    if (errno != EAGAIN && errno != EINTR) co_return errno;
    const Instant now = reactor.clock().now();
    if (now >= deadline) co_return ETIMEDOUT;
    co_await reactor.sleep(std::min(nap, deadline - now));
    nap = std::min(nap * 2, kRetryMax);
  }
  const int flags = fcntl(fd, F_GETFL);
  co_return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 ? 0 : errno;
}

/// Returns 0 or errno.
Task<int> connect_tcp(Reactor& reactor, detail::SocketHandle& socket, SocketName& name,
                      Instant deadline) {
  set_tcp_options(socket.fd());
  auto attempt = std::make_shared<Attempt>(Attempt{.fd = socket.fd()});
  if (deadline != kNever) reactor.spawn(watch(reactor, attempt, deadline));
  const int64_t result =
      co_await detail::SocketOp(socket, {.op = IoRequest::Op::connect,
                                         .fd = socket.fd(),
                                         .data = reinterpret_cast<std::byte*>(name.get()),
                                         .bytes = name.bytes});
  attempt->under_way = false;
  if (attempt->timed_out) co_return ETIMEDOUT;
  if (result < 0) co_return static_cast<int>(-result);
  co_return connected_to_itself(socket.fd()) ? ECONNREFUSED : 0;
}

}  // namespace

detail::SocketOp Socket::recv(std::byte* data, size_t bytes) {
  CHECK(bytes > 0);
  return {handle_,
          {.op = IoRequest::Op::recv,
           .fd = handle_.fd(),
           .data = data,
           .bytes = static_cast<uint32_t>(std::min(bytes, kTransferBytesMax))}};
}

detail::SocketOp Socket::send(const std::byte* data, size_t bytes) {
  CHECK(bytes > 0);
  return {handle_,
          {.op = IoRequest::Op::send,
           .fd = handle_.fd(),
           .data = const_cast<std::byte*>(data),
           .bytes = static_cast<uint32_t>(std::min(bytes, kTransferBytesMax))}};
}

namespace {
bool is_unix(int fd) {
  int domain = 0;
  socklen_t bytes = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 && domain == AF_UNIX;
}
}  // namespace

int64_t Socket::send_now(const std::byte* data, size_t bytes) {
  CHECK(!handle_.out_busy_);
  for (;;) {
    const ssize_t sent = ::send(fd(), data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return -errno;
  }
}

void Socket::widen(size_t bytes) {
  const int wanted = static_cast<int>(std::min<size_t>(bytes, INT32_MAX));
  if (is_unix(fd())) setsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
}

size_t Socket::received_bytes() const {
  int bytes = 0;
  return ::ioctl(fd(), FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

Result<PeerCredentials> Socket::peer_credentials() const {
  ucred found{};
  if (!is_unix(fd())) {
    return fail(Errc::not_supported, "socket: only a Unix socket knows its peer's credentials");
  }
  socklen_t bytes = sizeof found;
  if (getsockopt(fd(), SOL_SOCKET, SO_PEERCRED, &found, &bytes) != 0) {
    return fail(Errc::io, "socket: the kernel does not tell the peer's credentials");
  }
  return PeerCredentials{.pid = found.pid, .uid = found.uid, .gid = found.gid};
}

Result<Listener> Listener::open(Reactor& reactor, const Address& address) {
  TRY(name, name_of(address));
  if (name.error != 0) return fail(listen_error(name.error));
  const int fd = ::socket(name.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(listen_error(errno));
  OwnFd own(fd);
  const int error = begin_listening(fd, name);
  if (error != 0) return fail(listen_error(error));
  Address taken = address;
  if (address.kind == Address::Kind::tcp) taken.port = own_port(fd);
  return Listener(detail::SocketHandle(reactor, own.take()), std::move(taken));
}

Listener::Accept Listener::accept() {
  return {handle_, {.op = IoRequest::Op::accept, .fd = handle_.fd(), .result = kNoConnection}};
}

Listener::Accept::~Accept() {
  // The frame went before it could take the connection.
  if (request_.result >= 0) ::close(static_cast<int>(request_.result));
}

Result<Socket> Listener::Accept::await_resume() {
  const int64_t result = std::exchange(request_.result, kNoConnection);
  if (result >= 0) return Socket(socket_.reactor(), static_cast<int>(result));
  switch (-result) {
    case EINVAL:
    case EBADF:
      return fail(Errc::shutdown, "accept: the listener was shut down");
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return fail(Errc::no_memory, "accept: no descriptor or memory for a connection");
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
      return fail(Errc::again, "accept: the connection failed before it was taken");
    default:
      return fail(Errc::io, "accept: the kernel refuses to accept");
  }
}

Task<Result<Socket>> connect_to(Reactor& reactor, Address address, Duration timeout) {
  CO_TRY(name, name_of(address));
  const bool tcp = address.kind == Address::Kind::tcp;
  if (tcp && address.port == 0) co_return fail(Errc::invalid, "connect: port 0 is no port");
  const Instant begin = reactor.clock().now();
  const Instant deadline = timeout < kNever - begin ? begin + timeout : kNever;
  const int kind = SOCK_STREAM | SOCK_CLOEXEC | (tcp ? 0 : SOCK_NONBLOCK);
  const int fd = ::socket(name.family(), kind, 0);
  if (fd < 0) co_return fail(connect_error(errno));
  Socket socket(reactor, fd);
  const int error = tcp ? co_await connect_tcp(reactor, socket.handle_, name, deadline)
                        : co_await connect_unix(reactor, fd, name, deadline);
  if (error != 0) co_return fail(connect_error(error));
  co_return std::move(socket);
}

}  // namespace cairn
