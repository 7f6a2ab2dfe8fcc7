#include "bench/bare_beside.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "bench/harness.h"
#include "bench/served_home.h"

namespace cairn::bench {

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kStep = 128 << 10;     // as Socket moves at once
constexpr size_t kEchoBytes = 300;      // as a fetch of 64 B and its answer
constexpr int kInFlight = 8;            // as make_stream()
constexpr double kSpinSeconds = 50e-6;  // as Reactor spins

void make_pair(int (&fds)[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    die("no sockets for the bare peer");
  }
  const int wide = kMiB;
  for (const int fd : fds) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wide, sizeof wide);
}

/// Looks again and again for some time, then sleeps.
void wait_for(pollfd* fds, nfds_t count) {
  const double begin = now_seconds();
  while (poll(fds, count, 0) == 0) {
    if (now_seconds() - begin > kSpinSeconds) {
      poll(fds, count, -1);
      return;
    }
    sched_yield();
  }
}
void wait_for(int fd, short events) {
  pollfd one{fd, events, 0};
  wait_for(&one, 1);
}

/// All of it, waiting as long as it takes. @returns false  the other end is gone
bool move_all(int fd, char* data, size_t bytes, bool in) {
  while (bytes != 0) {
    const size_t step = std::min(bytes, kStep);
    const ssize_t moved = in ? recv(fd, data, step, 0) : send(fd, data, step, MSG_NOSIGNAL);
    if (moved > 0) {
      data += moved;
      bytes -= static_cast<size_t>(moved);
    } else if (moved == 0 || (errno != EAGAIN && errno != EINTR)) {
      return false;
    } else {
      wait_for(fd, in ? POLLIN : POLLOUT);
    }
  }
  return true;
}

/// Serves both until the streaming end closes: an echo, then one step of the stream.
[[noreturn]] void serve(int echo, int stream, bool reading) {
  std::vector<char> memory(kMiB);
  char message[kEchoBytes];
  size_t owed = 0;  // reading: bytes of the stream; else those that have come of the present MiB
  for (;;) {
    pollfd fds[2] = {{echo, POLLIN, 0}, {stream, POLLIN, 0}};
    if (reading && owed != 0) fds[1].events |= POLLOUT;
    wait_for(fds, 2);
    const ssize_t got = recv(echo, message, sizeof message, 0);
    if (got == 0) _exit(0);
    if (got > 0 && !move_all(echo, message, static_cast<size_t>(got), false)) _exit(0);
    if (reading) {
      for (ssize_t asked = 1; asked > 0;) {
        asked = recv(stream, message, 1, 0);
        if (asked > 0) owed += kMiB;
        if (asked == 0) _exit(0);
      }
      const ssize_t sent =
          owed == 0 ? 0 : send(stream, memory.data(), std::min(kStep, owed), MSG_NOSIGNAL);
      if (sent > 0) owed -= static_cast<size_t>(sent);
    } else {
      const ssize_t came = recv(stream, memory.data(), std::min(kStep, kMiB - owed), 0);
      if (came == 0) _exit(0);
      if (came > 0) owed += static_cast<size_t>(came);
      if (owed == kMiB && !move_all(stream, message, 1, false)) _exit(0);
      owed %= kMiB;
    }
  }
}

struct Echoes final : ClientWork {
  explicit Echoes(int socket) : fd(socket) {}
  Stretch run(double seconds) override {
    Stretch out;
    char message[kEchoBytes] = {};
    const double begin = now_seconds();
    for (double now = begin; now - begin < seconds;) {
      if (!move_all(fd, message, sizeof message, false) ||
          !move_all(fd, message, sizeof message, true)) {
        ++out.failures;
        break;
      }
      const double end = now_seconds();
      out.latencies_ns.push_back(static_cast<uint32_t>((end - now) * 1e9));
      now = end;
    }
    out.seconds = now_seconds() - begin;
    return out;
  }
  const int fd;
};

struct Streams final : ClientWork {
  Streams(int socket, bool into_client) : fd(socket), reading(into_client), memory(kMiB) {}
  Stretch run(double seconds) override {
    Stretch out;
    char mark = 0;
    const double begin = now_seconds();
    bool alive = true;
    for (int i = 0; reading && i < kInFlight; ++i) alive = alive && move_all(fd, &mark, 1, false);
    while (alive && now_seconds() - begin < seconds) {
      alive = move_all(fd, memory.data(), kMiB, reading) && move_all(fd, &mark, 1, !reading);
      out.latencies_ns.push_back(0);
    }
    // What is still owed.
    for (int i = 0; reading && alive && i < kInFlight; ++i) {
      alive = move_all(fd, memory.data(), kMiB, true);
    }
    out.seconds = now_seconds() - begin;
    if (!alive) ++out.failures;
    return out;
  }
  const int fd;
  const bool reading;
  std::vector<char> memory;
};

}  // namespace

BareBeside::BareBeside(bool reading) {
  make_pair(echo_);
  make_pair(stream_);
  echoes_ = std::make_unique<ClientProcess>([&] { return std::make_unique<Echoes>(echo_[1]); });
  streams_ = std::make_unique<ClientProcess>(
      [&] { return std::make_unique<Streams>(stream_[1], reading); });
  server_ = fork();
  if (server_ < 0) die("no process for the bare peer");
  if (server_ == 0) serve(echo_[0], stream_[0], reading);
  pin(server_, 0);
  pin(echoes_->id(), 1);
  pin(streams_->id(), 1);
  (void)echoes_->wait_ready();
  (void)streams_->wait_ready();
}

BareBeside::~BareBeside() {
  echoes_.reset();
  streams_.reset();
  kill(server_, SIGKILL);
  waitpid(server_, nullptr, 0);
  for (const int fd : {echo_[0], echo_[1], stream_[0], stream_[1]}) close(fd);
}

double BareBeside::p99_us(double seconds) {
  streams_->start(seconds * 1.2);
  usleep(static_cast<useconds_t>(seconds * 0.1 * 1e6));
  echoes_->start(seconds);
  const std::vector<Stretch> done{echoes_->finish()};
  const Stretch streamed = streams_->finish();
  if (done[0].failures + streamed.failures != 0) die("the bare peer has failed");
  return quantile_us(done, 0.99);
}

}  // namespace cairn::bench
