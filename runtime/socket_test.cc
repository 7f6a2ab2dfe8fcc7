#include "runtime/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "runtime/io_backends.h"

namespace cairn {
namespace {

struct Factory {
  const char* name;
  Result<std::unique_ptr<IoBackend>> (*make)();
};

constexpr Duration kPatience = 20 * kSecond;

template <class T>
Task<void> keep(Task<T> task, std::optional<T>& value) {
  value.emplace(co_await std::move(task));
}

class Sockets : public ::testing::TestWithParam<Factory> {
 protected:
  void SetUp() override {
    auto io = GetParam().make();
    if (!io) GTEST_SKIP() << io.error().what();
    reactor.emplace(system_clock(), random, std::move(*io));
    char path[] = "/tmp/cairn-socket-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    dir = path;
  }
  void TearDown() override {
    reactor.reset();
    if (!dir.empty()) std::filesystem::remove_all(dir);
  }
  template <class Done>
  bool drive(Done done, Duration max = kPatience) {
    const Instant end = system_clock().now() + max;
    while (!done()) {
      if (system_clock().now() > end) return false;
      if (!reactor->turn()) reactor->idle(10 * kMillisecond);
    }
    return true;
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor->spawn(keep(std::move(task), value));
    CHECK(drive([&] { return value.has_value(); }));
    return std::move(*value);
  }
  Address unix_address(const std::string& name = "s") {
    return {.kind = Address::Kind::unix_path, .host = dir + "/" + name, .port = 0};
  }
  static Address tcp_address(const char* host = "127.0.0.1") {
    return {.kind = Address::Kind::tcp, .host = host, .port = 0};
  }
  Listener listen(const Address& address) {
    auto listener = Listener::open(*reactor, address);
    if (!listener) ADD_FAILURE() << listener.error().what();
    CHECK(listener.has_value());
    return std::move(*listener);
  }

  SeededRandom random{1};
  std::optional<Reactor> reactor;
  std::string dir;
};

Task<int64_t> recv_some(Socket& socket, std::byte* data, size_t bytes) {
  co_return co_await socket.recv(data, bytes);
}
Task<int64_t> send_some(Socket& socket, const std::byte* data, size_t bytes) {
  co_return co_await socket.send(data, bytes);
}
Task<void> note_recv(Socket& socket, std::byte* data, size_t bytes, std::optional<int64_t>& got) {
  got = co_await socket.recv(data, bytes);
}
Task<void> note_accept(Listener& listener, std::optional<Result<Socket>>& got) {
  got.emplace(co_await listener.accept());
}

struct Pair {
  Socket client;
  Socket server;
};

/// Connects through `listener`.
Task<Result<Pair>> connect_pair(Reactor& reactor, Listener& listener) {
  CO_TRY(client, co_await connect_to(reactor, listener.address(), kPatience));
  CO_TRY(server, co_await listener.accept());
  co_return Pair{std::move(client), std::move(server)};
}

Task<bool> send_all(Socket& socket, const Bytes& out) {
  size_t sent = 0;
  while (sent < out.size()) {
    const int64_t moved = co_await socket.send(out.data() + sent, out.size() - sent);
    if (moved <= 0) co_return false;
    sent += static_cast<size_t>(moved);
  }
  co_return true;
}

/// Returns how many transfers it took; 0 after an error or a wrong byte.
Task<size_t> recv_all(Socket& socket, const Bytes& expected) {
  Bytes in(expected.size());
  size_t got = 0;
  size_t transfers = 0;
  while (got < in.size()) {
    const int64_t moved = co_await socket.recv(in.data() + got, in.size() - got);
    if (moved <= 0) co_return 0;
    got += static_cast<size_t>(moved);
    ++transfers;
  }
  co_return in == expected ? transfers : 0;
}

/// Sends back what comes until the peer closes.
Task<void> echo(Socket socket) {
  std::byte block[512];
  for (;;) {
    const int64_t got = co_await socket.recv(block, sizeof block);
    if (got <= 0) co_return;
    if (!co_await send_all(socket, Bytes(block, block + got))) co_return;
  }
}
Task<void> serve_echo(Reactor& reactor, Listener& listener) {
  for (;;) {
    auto socket = co_await listener.accept();
    if (!socket) co_return;
    reactor.spawn(echo(std::move(*socket)));
  }
}
Task<size_t> ask_echo(Reactor& reactor, Address address, Bytes question) {
  auto socket = co_await connect_to(reactor, std::move(address), kPatience);
  if (!socket) co_return 0;
  if (!co_await send_all(*socket, question)) co_return 0;
  co_return co_await recv_all(*socket, question);
}
Task<void> count_echo(Reactor& reactor, Address address, Bytes question, size_t& answered,
                      size_t& ended) {
  if (co_await ask_echo(reactor, std::move(address), std::move(question)) != 0) ++answered;
  ++ended;
}

Bytes pattern(size_t bytes, unsigned seed = 0) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 31 + (i >> 10) + seed);
  return out;
}

TEST_P(Sockets, What_is_sent_comes_back_over_every_kind_of_address) {
  // Goal: the whole way round. Method: an echo server over a Unix socket, IPv4 and IPv6.
  for (const Address& address : {unix_address(), tcp_address(), tcp_address("::1")}) {
    auto opened = Listener::open(*reactor, address);
    if (!opened && address.host == "::1") continue;  // a machine without IPv6
    ASSERT_TRUE(opened.has_value()) << opened.error().what();
    Listener listener = std::move(*opened);
    EXPECT_EQ(listener.address().port != 0, address.kind == Address::Kind::tcp);
    reactor->spawn(serve_echo(*reactor, listener));
    EXPECT_GT(run(ask_echo(*reactor, listener.address(), pattern(5000))), 0u);
    listener.shutdown();
    ASSERT_TRUE(drive([&] { return reactor->live_tasks() == 0; }));
  }
}

TEST_P(Sockets, Two_hundred_connections_at_once_each_get_their_answer) {
  // Goal: no limit shows, no wake is lost. Method: 200 clients of one echo server.
  constexpr size_t kCount = 200;
  for (const Address& address : {unix_address(), tcp_address()}) {
    Listener listener = listen(address);
    reactor->spawn(serve_echo(*reactor, listener));
    size_t answered = 0;
    size_t ended = 0;
    for (unsigned i = 0; i < kCount; ++i) {
      reactor->spawn(
          count_echo(*reactor, listener.address(), pattern(3000 + i, i), answered, ended));
    }
    ASSERT_TRUE(drive([&] { return ended == kCount; }));
    EXPECT_EQ(answered, kCount);
    listener.shutdown();
    ASSERT_TRUE(drive([&] { return reactor->live_tasks() == 0; }));
  }
}

TEST_P(Sockets, Megabytes_go_both_ways_in_short_transfers) {
  // Goal: no byte is lost where a transfer stops short. Method: 8 MiB each way at once, far more
  // than the buffers hold; the receivers compare.
  const Bytes there = pattern(8u << 20, 1);
  const Bytes back = pattern(8u << 20, 2);
  for (const Address& address : {unix_address(), tcp_address()}) {
    Listener listener = listen(address);
    auto pair = run(connect_pair(*reactor, listener));
    ASSERT_TRUE(pair.has_value()) << pair.error().what();
    std::optional<bool> sent[2];
    std::optional<size_t> got[2];
    reactor->spawn(keep(send_all(pair->client, there), sent[0]));
    reactor->spawn(keep(send_all(pair->server, back), sent[1]));
    reactor->spawn(keep(recv_all(pair->server, there), got[0]));
    reactor->spawn(keep(recv_all(pair->client, back), got[1]));
    ASSERT_TRUE(drive([&] { return sent[0] && sent[1] && got[0] && got[1]; }));
    EXPECT_TRUE(*sent[0]);
    EXPECT_TRUE(*sent[1]);
    EXPECT_GT(*got[0], 1u);
    EXPECT_GT(*got[1], 1u);
  }
}

TEST_P(Sockets, A_peer_that_closed_gives_the_end_of_the_stream_and_an_error_to_senders) {
  // Goal: 0 from recv, then an error from send, and no signal (it would end this program). Method:
  // close the server's end, with a recv waiting.
  for (const Address& address : {unix_address(), tcp_address()}) {
    Listener listener = listen(address);
    auto pair = run(connect_pair(*reactor, listener));
    ASSERT_TRUE(pair.has_value());
    std::byte block[16] = {};
    std::optional<int64_t> got;
    reactor->spawn(note_recv(pair->client, block, sizeof block, got));
    ASSERT_FALSE(drive([&] { return got.has_value(); }, 20 * kMillisecond));
    pair->server.close();
    EXPECT_FALSE(pair->server.is_open());
    ASSERT_TRUE(drive([&] { return got.has_value(); }));
    EXPECT_EQ(*got, 0);
    EXPECT_EQ(run(recv_some(pair->client, block, sizeof block)), 0);
    int64_t sent = 1;
    for (int i = 0; i < 100 && sent > 0; ++i) {  // TCP may take some before it hears the reset
      sent = run(send_some(pair->client, block, sizeof block));
      if (sent > 0) usleep(1000);
    }
    EXPECT_TRUE(sent == -EPIPE || sent == -ECONNRESET) << sent;
  }
}

TEST_P(Sockets, A_plain_send_takes_what_there_is_room_for_and_waits_for_nothing) {
  // Goal: bytes, nothing while there is no room, an error once the peer has gone; waiting sends go
  // on behind it. Method: fill a connection that nobody reads, drain it, and close it.
  Listener listener = listen(unix_address());
  std::optional<Result<Socket>> accepted;
  reactor->spawn(note_accept(listener, accepted));
  auto made = run(connect_to(*reactor, listener.address(), kSecond));
  ASSERT_TRUE(made);
  ASSERT_TRUE(drive([&] { return accepted.has_value(); }));
  ASSERT_TRUE(*accepted);
  Socket& peer = **accepted;
  const Bytes bytes(64u << 10, std::byte{7});
  size_t sent = 0;
  int64_t last = 1;
  while (last > 0 && sent < (64u << 20)) {
    last = made->send_now(bytes.data(), bytes.size());
    if (last > 0) sent += static_cast<size_t>(last);
  }
  EXPECT_EQ(last, 0);
  EXPECT_GT(sent, 0u);
  Bytes got(1u << 20);
  for (size_t taken = 0; taken < sent;) {
    const int64_t some = run(recv_some(peer, got.data(), got.size()));
    ASSERT_GT(some, 0);
    taken += static_cast<size_t>(some);
  }
  EXPECT_EQ(run(send_some(*made, bytes.data(), 10)), 10);
  EXPECT_EQ(made->send_now(bytes.data(), 5), 5);
  peer.close();
  EXPECT_EQ(made->send_now(bytes.data(), 1), -EPIPE);
}

TEST_P(Sockets, A_shutdown_ends_what_is_under_way) {
  // Goal: the owner can end a waiting recv, send and accept. Method: let each wait, then shut down.
  for (const Address& address : {unix_address(), tcp_address()}) {
    Listener listener = listen(address);
    auto pair = run(connect_pair(*reactor, listener));
    ASSERT_TRUE(pair.has_value());
    std::byte block[16];
    std::optional<int64_t> got;
    std::optional<bool> sent;
    std::optional<Result<Socket>> accepted;
    const Bytes much = pattern(64u << 20);
    reactor->spawn(note_recv(pair->client, block, sizeof block, got));
    reactor->spawn(keep(send_all(pair->client, much), sent));
    reactor->spawn(note_accept(listener, accepted));
    ASSERT_FALSE(drive([&] { return got || sent || accepted; }, 50 * kMillisecond));
    pair->client.shutdown();
    listener.shutdown();
    ASSERT_TRUE(drive([&] { return got && sent && accepted; }));
    EXPECT_LE(*got, 0);
    EXPECT_FALSE(*sent);
    ASSERT_FALSE(accepted->has_value());
    EXPECT_EQ(accepted->error().code(), Errc::shutdown);
    pair->client.shutdown();
    EXPECT_EQ(reactor->io()->in_flight(), 0u);
  }
}

TEST_P(Sockets, A_connect_to_nobody_says_so) {
  // Goal: the errors of connect_to(). Method: an absent path, a file that nobody listens on, a
  // closed port, what is no address to connect to.
  const auto code = [&](Address address, Duration timeout = kPatience) {
    auto socket = run(connect_to(*reactor, std::move(address), timeout));
    return socket ? Errc::ok : socket.error().code();
  };
  EXPECT_EQ(code(unix_address("absent")), Errc::unreachable);
  EXPECT_EQ(code(unix_address("no-dir/" + std::string(70, 'x'))), Errc::unreachable);
  Address tcp = tcp_address();
  {
    Listener on_file = listen(unix_address());
    Listener on_port = listen(tcp);
    tcp = on_port.address();
    EXPECT_EQ(Listener::open(*reactor, unix_address()).error().code(), Errc::busy);
    EXPECT_EQ(Listener::open(*reactor, tcp).error().code(), Errc::busy);
  }
  EXPECT_EQ(code(unix_address()), Errc::unreachable) << "the file is still there";
  EXPECT_EQ(code(tcp), Errc::unreachable);
  EXPECT_EQ(code(tcp_address()), Errc::invalid) << "port 0";
  EXPECT_EQ(code({.kind = Address::Kind::tcp, .host = "localhost", .port = 80}), Errc::invalid);
  EXPECT_EQ(Listener::open(*reactor, unix_address("absent/s")).error().code(), Errc::nonexistent);
  EXPECT_EQ(reactor->io()->in_flight(), 0u);
}

TEST_P(Sockets, A_connect_without_an_answer_times_out) {
  // Goal: the time limit holds. Method: listeners whose queue is full, so that the kernel does not
  // answer.
  for (const Address& address : {unix_address(), tcp_address()}) {
    Listener listener = listen(address);
    ASSERT_EQ(::listen(listener.fd(), 0), 0);
    std::vector<Socket> filling;
    Errc code = Errc::ok;
    for (int i = 0; i < 10 && code == Errc::ok; ++i) {
      const Instant begin = system_clock().now();
      auto socket = run(connect_to(*reactor, listener.address(), 300 * kMillisecond));
      if (socket) {
        filling.push_back(std::move(*socket));
        continue;
      }
      code = socket.error().code();
      const Duration took = system_clock().now() - begin;
      EXPECT_GE(took, 290 * kMillisecond);
      EXPECT_LE(took, 5 * kSecond);
    }
    EXPECT_EQ(code, Errc::timed_out);
    EXPECT_EQ(reactor->io()->in_flight(), 0u);
  }
  auto socket = run(connect_to(*reactor, listen(tcp_address()).address(), 0));
  EXPECT_TRUE(socket || socket.error().code() == Errc::timed_out ||
              socket.error().code() == Errc::unreachable);
}

TEST_P(Sockets, Unix_paths_longer_than_the_kernels_work) {
  // Goal: no limit of 107 bytes. Method: a deep directory; a name too long even so.
  std::string deep = "deep";
  while (deep.size() < 300) deep += "/" + std::string(40, 'd');
  std::filesystem::create_directories(dir + "/" + deep);
  const Address address = unix_address(deep + "/" + std::string(kSocketNameBytesMax, 'n'));
  Listener listener = listen(address);
  auto pair = run(connect_pair(*reactor, listener));
  ASSERT_TRUE(pair.has_value()) << pair.error().what();
  EXPECT_TRUE(std::filesystem::is_socket(address.host));
  const Address longer = unix_address(deep + "/" + std::string(kSocketNameBytesMax + 1, 'n'));
  EXPECT_EQ(Listener::open(*reactor, longer).error().code(), Errc::invalid);
  const auto refused = run(connect_to(*reactor, longer, kPatience));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::invalid);
}

int option(const Socket& socket, int level, int name) {
  int value = -1;
  socklen_t bytes = sizeof value;
  getsockopt(socket.fd(), level, name, &value, &bytes);
  return value;
}

TEST_P(Sockets, Have_their_options_and_know_their_peer) {
  // Goal: what the header promises of options, modes and credentials. Method: ask the kernel.
  Listener on_port = listen(tcp_address());
  auto tcp = run(connect_pair(*reactor, on_port));
  ASSERT_TRUE(tcp.has_value());
  for (const Socket* socket : {&tcp->client, &tcp->server}) {
    EXPECT_EQ(option(*socket, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option(*socket, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(*socket, IPPROTO_TCP, TCP_KEEPIDLE), kKeepaliveIdleSeconds);
    EXPECT_EQ(option(*socket, IPPROTO_TCP, TCP_KEEPINTVL), kKeepaliveIntervalSeconds);
    EXPECT_EQ(option(*socket, IPPROTO_TCP, TCP_KEEPCNT), kKeepaliveCount);
    EXPECT_EQ(option(*socket, IPPROTO_TCP, TCP_USER_TIMEOUT), kUserTimeoutMs);
    EXPECT_NE(fcntl(socket->fd(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(socket->peer_credentials().error().code(), Errc::not_supported);
  }
  Listener on_file = listen(unix_address());
  struct stat status{};
  ASSERT_EQ(stat(unix_address().host.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  auto local = run(connect_pair(*reactor, on_file));
  ASSERT_TRUE(local.has_value());
  const auto peer = local->server.peer_credentials();
  ASSERT_TRUE(peer.has_value());
  EXPECT_EQ(peer->pid, getpid());
  EXPECT_EQ(peer->uid, getuid());
  EXPECT_EQ(peer->gid, getgid());
}

TEST_P(Sockets, A_forked_child_destroys_its_copies_and_the_connection_stands) {
  // Goal: a child's copy is no part of the connection, also with a recv under way. Method: the
  // child destroys sockets, then the reactor with the waiting frame; the parent goes on.
  Listener listener = listen(tcp_address());
  auto pair = run(connect_pair(*reactor, listener));
  ASSERT_TRUE(pair.has_value());
  std::byte block[16] = {};
  std::optional<int64_t> got;
  reactor->spawn(note_recv(pair->client, block, sizeof block, got));
  ASSERT_FALSE(drive([&] { return got.has_value(); }, 5 * kMillisecond));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    pair->client.close();
    pair->server.close();
    listener.close();
    reactor.reset();
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_FALSE(drive([&] { return got.has_value(); }, 5 * kMillisecond));
  EXPECT_EQ(run(send_some(pair->server, block, 3)), 3);
  ASSERT_TRUE(drive([&] { return got.has_value(); }));
  EXPECT_EQ(*got, 3);
  EXPECT_TRUE(run(connect_pair(*reactor, listener)).has_value());
}

Task<void> accept_and_never_end(Reactor& reactor, Listener listener, size_t& accepted) {
  for (;;) {
    auto socket = co_await listener.accept();
    if (!socket) co_return;
    ++accepted;
    reactor.spawn(echo(std::move(*socket)));
  }
}

TEST_P(Sockets, A_reactor_ends_with_sockets_in_its_frames) {
  // Goal: frames that end with their reactor give back what they hold, also a connection that came
  // too late to be taken. Method: an accept and a recv under way when it ends, both ended by then;
  // count descriptors.
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = open_files();
  Listener listener = listen(unix_address());
  const Address address = listener.address();
  const int fd = listener.fd();
  size_t accepted = 0;
  reactor->spawn(accept_and_never_end(*reactor, std::move(listener), accepted));
  {
    auto client = run(connect_to(*reactor, address, kPatience));
    ASSERT_TRUE(client.has_value());
    ASSERT_TRUE(drive([&] { return accepted == 1; }));
    drive([] { return false; }, 5 * kMillisecond);  // the next accept and the recv are under way
    auto late = run(connect_to(*reactor, address, kPatience));
    ASSERT_TRUE(late.has_value());
  }
  ::shutdown(fd, SHUT_RDWR);
  reactor.reset();
  EXPECT_LT(open_files(), before);
}

INSTANTIATE_TEST_SUITE_P(Backends, Sockets,
                         ::testing::Values(Factory{"uring", [] { return make_uring_backend(); }},
                                           Factory{"client",
                                                   [] {
                                                     return Result<std::unique_ptr<IoBackend>>(
                                                         make_client_backend());
                                                   }}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace cairn
