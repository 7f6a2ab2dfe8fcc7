// Both ends of stream sockets on one reactor, for tests; and connections that say what they like.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/crc32c.h"
#include "fabric/stream.h"
#include "fabric/stream_client.h"
#include "fabric/stream_server.h"
#include "fabric/testing.h"
#include "runtime/io.h"

namespace cairn::fabric {

class StreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cairn-stream.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    address_ = Address{.host = folder_ + "/socket"};
  }
  void TearDown() override {
    run(end());
    ::unlink((folder_ + "/socket").c_str());
    ::rmdir(folder_.c_str());
  }

  void start_server(StreamServerOptions options = {}) {
    server_ = std::make_unique<StreamServer>(
        reactor_, echo_, options,
        StreamServer::Hooks{
            .session = [this](uint64_t session, bool here,
                              bool) { events_ += (here ? "+" : "-") + std::to_string(session); },
            .leave = [this] { events_ += " leave"; }});
    ASSERT_TRUE(server_->listen(address_));
  }
  /// Instead of the echo; its sessions are nobody's business.
  void start_server_of(Service& service) {
    server_ = std::make_unique<StreamServer>(reactor_, service, StreamServerOptions{},
                                             StreamServer::Hooks{});
    ASSERT_TRUE(server_->listen(address_));
  }
  void start_client(StreamClientOptions options = {}) {
    client_ = std::make_unique<StreamTransport>(
        reactor_, options, [this](Endpoint) { return connect_to(reactor_, address_, kSecond); });
  }
  Task<void> stop_server(Duration patience) {
    if (server_) co_await server_->close(patience);
    server_.reset();
    ::unlink((folder_ + "/socket").c_str());
  }
  Task<void> end() {
    echo_.let_go = true;
    echo_.go.wake_all();
    if (client_) co_await client_->close();
    client_.reset();
    co_await stop_server(kSecond);
  }

  /// Drives the reactor until the task has ended.
  void run(Task<void> task) {
    bool done = false;
    reactor_.spawn(finish(std::move(task), done));
    while (!done) {
      if (!reactor_.turn()) reactor_.idle(kSecond);
    }
  }
  static Task<void> finish(Task<void> task, bool& done) {
    co_await std::move(task);
    done = true;
  }
  void run_for(Duration duration) {
    run([](Reactor& reactor, Duration d) -> Task<void> { co_await reactor.sleep(d); }(reactor_,
                                                                                      duration));
  }

  struct Outcome {
    Errc code = Errc::misc;
    std::string answer;
    bool done = false;
    Duration wait = 0;
  };
  Task<void> ask(std::string question, Duration limit, Outcome& out) {
    TextCall call;
    call.question = std::move(question);
    const Instant deadline = limit == kNever ? kNever : reactor_.clock().now() + limit;
    const auto outcome = co_await client_->call({.rank = 0}, call, deadline);
    out = {outcome ? Errc::ok : outcome.error().code(), call.answer, true, call.wait};
  }
  Outcome ask_now(const std::string& question, Duration limit = kNever) {
    Outcome out;
    run(ask(question, limit, out));
    return out;
  }
  void ask_later(const std::string& question, Duration limit, Outcome& out) {
    reactor_.spawn(ask(question, limit, out));
  }
  Task<void> say_hello(Purpose purpose, Result<HelloReply>& out) {
    auto socket = co_await connect_to(reactor_, address_, kSecond);
    if (socket) out = co_await greet_once(reactor_, std::move(*socket), {.purpose = purpose});
  }
  void run_until(const std::function<bool()>& done) {
    for (int i = 0; i < 5000 && !done(); ++i) {
      if (!reactor_.turn()) reactor_.idle(kMillisecond);
    }
    EXPECT_TRUE(done());
  }

  /// A connection that says what it likes.
  int raw() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strcpy(name.sun_path, (folder_ + "/socket").c_str());
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    return fd;
  }
  /// Whether the server has ended the connection, after reading what it says.
  bool closed(int fd) {
    for (int i = 0; i < 2000; ++i) {
      char text[4096];
      const ssize_t got = ::recv(fd, text, sizeof(text), MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
      if (!reactor_.turn()) reactor_.idle(kMillisecond);
    }
    return false;
  }

  Reactor reactor_{system_clock(), system_random(), make_client_backend()};
  Echo echo_{reactor_};
  std::string folder_;
  Address address_;
  std::string events_;
  std::unique_ptr<StreamServer> server_;
  std::unique_ptr<StreamTransport> client_;
};

inline Bytes frame(FrameKind kind, uint64_t id, ByteView payload) {
  FrameFormat f{};
  f.magic = kFrameMagic;
  f.kind = static_cast<uint16_t>(kind);
  f.id = id;
  f.bytes = static_cast<uint32_t>(payload.size());
  f.checksum = crc32c(view_of(&f, offsetof(FrameFormat, checksum)));
  const ByteView head = view_of(&f, sizeof(f));
  Bytes out(head.begin(), head.end());
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

inline void put(int fd, ByteView bytes) {
  [[maybe_unused]] const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

/// A connection of this lane, with nothing asked.
inline Bytes hello_frame(Lane lane = Lane::small) {
  return frame(FrameKind::hello, 0, encode_hello({.lane = lane}));
}

/// Calls 0 to `count` with the same text, in a row.
inline Bytes call_frames(uint64_t count, const std::string& text) {
  Bytes out;
  for (uint64_t id = 0; id < count; ++id) {
    const Bytes one = frame(FrameKind::call, id, as_bytes(text));
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

}  // namespace cairn::fabric
