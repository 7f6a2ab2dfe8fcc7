#include "runtime/socket_poller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "runtime/io_backends.h"

namespace cairn {
namespace {

using Op = IoRequest::Op;
constexpr int kEventsMax = 64;  // in one system call
// An accept or a connect that must wait; no errno of theirs that ends one.
constexpr int64_t kMustWait = INT64_MIN;

bool is_in(const IoRequest& r) {
  return r.op == Op::recv || r.op == Op::accept || r.op == Op::readable;
}
// Needs O_NONBLOCK: there is no flag for the one call.
bool needs_nonblocking(const IoRequest& r) { return r.op == Op::accept || r.op == Op::connect; }

bool make_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

int64_t begin_connect(IoRequest& r) {
  if (connect(r.fd, reinterpret_cast<const sockaddr*>(r.data), r.bytes) == 0) return 0;
  if (errno != EINPROGRESS && errno != EINTR) return -errno;
  r.moved = 1;
  return kMustWait;
}

int64_t attempt_once(IoRequest& r) {
  int64_t rc = -1;
  switch (r.op) {
    case Op::recv:
      rc = recv(r.fd, r.data, r.bytes, MSG_DONTWAIT);
      break;
    case Op::send:
      rc = send(r.fd, r.data, r.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
      break;
    case Op::accept:
      rc = accept4(r.fd, nullptr, nullptr, SOCK_CLOEXEC);
      break;
    case Op::connect: {
      if (r.moved == 0) return begin_connect(r);
      const int64_t outcome = connect_outcome(r.fd);
      return outcome == -EAGAIN ? kMustWait : outcome;
    }
    case Op::readable: {
      pollfd look{r.fd, POLLIN, 0};
      rc = poll(&look, 1, 0);
      if (rc == 0) return kMustWait;
      if (rc > 0) return 0;
      break;
    }
    default:
      CHECK(!"not an operation of sockets");
  }
  if (rc >= 0) return rc;
  return errno == EAGAIN || errno == EWOULDBLOCK ? kMustWait : -errno;
}

}  // namespace

int64_t connect_outcome(int fd) {
  int error = 0;
  socklen_t bytes = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) return -errno;
  if (error != 0) return -error;
  sockaddr_storage peer;
  bytes = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &bytes) == 0) return 0;
  return errno == ENOTCONN ? -EAGAIN : -errno;
}

SocketPoller::SocketPoller() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {}

SocketPoller::~SocketPoller() {
  if (epoll_fd_ >= 0) close(epoll_fd_);
}

SocketPoller::Socket& SocketPoller::socket_of(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(std::max(index + 1, sockets_.size() * 2));
  return sockets_[index];
}

bool SocketPoller::attempt(Socket& socket, IoRequest& request) {
  int64_t outcome = -EINTR;
  while (outcome == -EINTR) outcome = attempt_once(request);
  // A Unix listener that was shut down says EAGAIN to who does not wait, EINVAL to who does.
  if (outcome == kMustWait && request.op == Op::accept && socket.hung_up) outcome = -EINVAL;
  if (outcome == kMustWait) return false;
  request.result = outcome;
  if (request.op == Op::recv) {
    const bool short_read = outcome > 0 && outcome < request.bytes;
    socket.emptied = short_read && (socket.interest & EPOLLIN) != 0 && !socket.ending;
  }
  return true;
}

bool SocketPoller::start(IoRequest& request) {
  if (request.fd < 0) {
    request.result = -EBADF;
    return true;
  }
  Socket& socket = socket_of(request.fd);
  if (needs_nonblocking(request) && !socket.nonblocking) {
    if (!make_nonblocking(request.fd)) {
      request.result = -errno;
      return true;
    }
    socket.nonblocking = true;
  }
  const bool nothing = request.op == Op::recv && socket.emptied;
  if (!nothing && attempt(socket, request)) return true;
  request.result = park(socket, request);
  return request.result != 0;
}

int SocketPoller::park(Socket& socket, IoRequest& request) {
  IoRequest*& place = is_in(request) ? socket.in : socket.out;
  CHECK(place == nullptr);
  // Errors and hang-ups are reported in any case. News that came since the attempt are reported
  // when the interest is new; else they wait in the epoll already.
  const uint32_t wanted = is_in(request) ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
  const uint32_t interest = socket.interest | wanted | EPOLLET;
  // A descriptor that stands for others tells of an edge only to who asks after it: ask each time.
  const int rc = request.op == Op::readable ? tell_epoll(socket, request.fd, interest)
                                            : set_interest(socket, request.fd, interest);
  if (rc != 0) return rc;
  place = &request;
  ++parked_;
  return 0;
}

int SocketPoller::set_interest(Socket& socket, int fd, uint32_t interest) {
  return interest == socket.interest ? 0 : tell_epoll(socket, fd, interest);
}

int SocketPoller::tell_epoll(Socket& socket, int fd, uint32_t interest) {
  if (epoll_fd_ < 0) return -EMFILE;
  epoll_event event{};
  event.events = interest;
  event.data.fd = fd;
  if (epoll_ctl(epoll_fd_, socket.interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0) {
    return -errno;
  }
  socket.interest = interest;
  return 0;
}

void SocketPoller::poll(std::vector<IoRequest*>& ended) {
  events_.store(false, std::memory_order_relaxed);
  if (epoll_fd_ < 0) return;
  epoll_event events[kEventsMax];
  // One round: what is left makes the next sleep end at once.
  const int count = epoll_wait(epoll_fd_, events, kEventsMax, 0);
  for (int i = 0; i < count; ++i) take_event(events[i].data.fd, events[i].events, ended);
}

void SocketPoller::take_event(int fd, uint32_t event, std::vector<IoRequest*>& ended) {
  Socket& socket = socket_of(fd);
  if ((event & EPOLLHUP) != 0) socket.hung_up = true;
  if ((event & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0) socket.ending = true;
  if ((event & ~uint32_t{EPOLLOUT}) != 0) socket.emptied = false;
  const bool broken = (event & (EPOLLERR | EPOLLHUP)) != 0;
  if (broken || (event & (EPOLLIN | EPOLLRDHUP)) != 0) retry(socket, socket.in, ended);
  if (socket.out == nullptr && (event & EPOLLOUT) != 0) {
    // A Unix socket reports room each time the peer takes something: nobody asks now.
    set_interest(socket, fd, socket.interest & ~uint32_t{EPOLLOUT});
  } else if (broken || (event & EPOLLOUT) != 0) {
    retry(socket, socket.out, ended);
  }
}

void SocketPoller::retry(Socket& socket, IoRequest*& parked, std::vector<IoRequest*>& ended) {
  if (parked == nullptr || !attempt(socket, *parked)) return;
  ended.push_back(parked);
  parked = nullptr;
  --parked_;
}

bool SocketPoller::unpark(IoRequest& request) {
  Socket& socket = socket_of(request.fd);
  if (socket.in != &request) return false;
  socket.in = nullptr;
  --parked_;
  return true;
}

void SocketPoller::forget(int fd) {
  if (fd < 0 || static_cast<size_t>(fd) >= sockets_.size()) return;
  Socket& socket = sockets_[static_cast<size_t>(fd)];
  CHECK(socket.in == nullptr);
  CHECK(socket.out == nullptr);
  if (socket.interest != 0) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  socket = {};
}

}  // namespace cairn
