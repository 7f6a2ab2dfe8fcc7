// Both ends of libfabric against each other over tcp;ofi_rxm and over shared memory, peers that are
// killed, and the engine's end against bytes that nobody well-meaning sends.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/crc32c.h"
#include "fabric/ofi_client.h"
#include "fabric/ofi_door.h"
#include "fabric/ofi_endpoint.h"
#include "fabric/stream_server.h"
#include "runtime/io.h"

namespace cairn::fabric {
namespace {

/// Text in, text out. `room`: what the caller expects to get.
struct TextCall final : Call {
  std::string question, answer;
  uint64_t room = 0;
  Duration wait = 0;
  void retry_after(Duration w) override { wait = w; }
  void* request() override { return nullptr; }
  void* reply() override { return nullptr; }
  uint64_t payload_bytes() const override { return std::max<uint64_t>(question.size(), room); }
  Result<void> encode_request(Bytes& out) override {
    const ByteView bytes = as_bytes(question);
    out.insert(out.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<void> decode_reply(ByteView bytes) override {
    answer = as_chars(bytes);
    return {};
  }
};

/// Answers with what it got and "!"; "hang" waits until it is let go, "mute" gets no answer,
/// "big N" gets N bytes.
struct Echo final : Service {
  explicit Echo(Reactor& reactor) : go(reactor) {}
  Task<Result<void>> serve(void*, void*) override { co_return fail(Errc::misc, "by reference"); }
  Task<Bytes> serve_bytes(Bytes request) override {
    ++served;
    std::string text(as_chars(request));
    if (text == "hang") {
      ++hanging;
      while (!let_go) co_await go.wait();
    }
    if (text == "mute") co_return Bytes{};
    if (text.starts_with("big ")) text.assign(std::stoul(text.substr(4)), 'b');
    text += "!";
    const ByteView bytes = as_bytes(text);
    co_return Bytes(bytes.begin(), bytes.end());
  }
  WaitList go;
  bool let_go = false;
  int served = 0, hanging = 0;
};

constexpr Token kSecret{1, 2, 3, 4};

/// A process's own end: a reactor, and what runs on it.
struct World {
  Reactor reactor{system_clock(), system_random(), make_client_backend()};

  /// Drives the reactor until the task has ended.
  void run(Task<void> task) {
    bool done = false;
    reactor.spawn(finish(std::move(task), done));
    while (!done) {
      if (!reactor.turn()) reactor.idle(kSecond);
    }
  }
  static Task<void> finish(Task<void> task, bool& done) {
    co_await std::move(task);
    done = true;
  }
  void run_for(Duration duration) {
    run([](Reactor& r, Duration d) -> Task<void> { co_await r.sleep(d); }(reactor, duration));
  }
  bool run_until(const std::function<bool()>& done, Duration limit = 60 * kSecond) {
    const Instant end = reactor.clock().now() + limit;
    while (!done() && reactor.clock().now() < end) {
      if (!reactor.turn()) reactor.idle(kMillisecond);
    }
    return done();
  }
};

struct Outcome {
  Errc code = Errc::misc;
  std::string answer;
  bool done = false;
  Duration wait = 0;
};

/// A client of one engine.
struct Client {
  Client(World& world, Address at, OfiClientOptions options)
      : world(world), transport(world.reactor, options, [&world, at](Endpoint) {
          return connect_door(world.reactor, at, kSecond);
        }) {}
  Task<void> ask(std::string question, uint64_t room, Duration limit, Outcome& out) {
    TextCall call;
    call.question = std::move(question);
    call.room = room;
    const Instant deadline = limit == kNever ? kNever : world.reactor.clock().now() + limit;
    const auto outcome = co_await transport.call({.rank = rank}, call, deadline);
    out = {outcome ? Errc::ok : outcome.error().code(), call.answer, true, call.wait};
    if (!outcome) what = outcome.error().what();
  }
  Outcome ask_now(const std::string& question, uint64_t room = 0, Duration limit = 60 * kSecond) {
    Outcome out;
    world.run(ask(question, room, limit, out));
    return out;
  }
  void ask_later(const std::string& question, uint64_t room, Duration limit, Outcome& out) {
    world.reactor.spawn(ask(question, room, limit, out));
  }
  World& world;
  OfiTransport transport;
  uint32_t rank = 0;
  std::string what;  // of the last error
};

/// An engine at one address.
struct Server {
  Server(World& world, StreamServerOptions options, const Address& at) : world(world) {
    options.token = kSecret;
    server = std::make_unique<StreamServer>(
        world.reactor, echo, options,
        StreamServer::Hooks{
            .session = [this](uint64_t session, bool here,
                              bool) { events += (here ? "+" : "-") + std::to_string(session); },
            .leave = {}});
    const auto taken = server->listen(at);
    EXPECT_TRUE(taken) << (taken ? "" : taken.error().what());
    if (taken) address = *taken;
  }
  Task<void> stop(Duration patience) {
    co_await server->close(patience);
    ::unlink(address.provider == kShmProvider ? door_address(address).host.c_str() : "");
  }
  World& world;
  Echo echo{world.reactor};
  std::unique_ptr<StreamServer> server;
  Address address;
  std::string events;
};

class OfiTest : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override {
    if (server_) {
      server_->echo.let_go = true;
      server_->echo.go.wake_all();
    }
    if (client_) world_.run(client_->transport.close());
    client_.reset();
    stop_server(kSecond);
  }
  static std::string provider() { return GetParam(); }
  static bool shm() { return provider() == kShmProvider; }
  static Address anywhere() {
    const std::string where = shm() ? "test-" + std::to_string(getpid()) : "127.0.0.1:0";
    return *parse_address("ofi+" + provider() + "://" + where);
  }
  void start_server(StreamServerOptions options = {}) {
    server_ = std::make_unique<Server>(world_, options, address_);
    address_ = server_->address;
  }
  void stop_server(Duration patience) {
    if (server_) world_.run(server_->stop(patience));
    server_.reset();
  }
  void start_client(OfiClientOptions options = {}) {
    if (options.token == Token{}) options.token = kSecret;
    client_ = std::make_unique<Client>(world_, address_, options);
  }
  void end_client() {
    world_.run(client_->transport.close());
    client_.reset();
  }

  World world_;
  Address address_ = anywhere();
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Providers, OfiTest, ::testing::Values("tcp;ofi_rxm", "shm"),
                         [](const auto& info) {
                           return std::string(info.param) == "shm" ? "shm" : "tcp";
                         });

TEST_P(OfiTest, Small_and_large_calls_go_both_ways) {
  // Goal: each way of a body and of an answer. Method: short, over the length of a message with
  // and without room for the answer, many megabytes, no answer at all.
  start_server();
  start_client();
  EXPECT_EQ(client_->ask_now("hello").answer, "hello!") << client_->what;
  const std::string large(5u << 20, 'x');
  EXPECT_TRUE(client_->ask_now(large).answer == large + "!");
  EXPECT_TRUE(client_->ask_now("big 100000", 100000).answer == std::string(100000, 'b') + "!");
  EXPECT_TRUE(client_->ask_now("big 3000000").answer == std::string(3'000'000, 'b') + "!");
  EXPECT_EQ(client_->ask_now("mute").code, Errc::timed_out);
  for (size_t bytes = kOfiMessageBytesMax - 100; bytes < kOfiMessageBytesMax + 10; ++bytes) {
    const std::string text(bytes, 'e');
    EXPECT_TRUE(client_->ask_now(text).answer == text + "!");
  }
  EXPECT_EQ(client_->transport.connects(), 1u);
  EXPECT_EQ(server_->server->counts().malformed, 0u);
}

TEST_P(OfiTest, Many_calls_at_once_all_get_their_own_answer) {
  // Goal: answers find their calls, and the client keeps to what the engine takes. Method: 400
  // calls of different sizes before the first answer, 32 at a time.
  start_server({.calls_max = 32});
  start_client();
  std::vector<Outcome> out(400);
  const auto question = [](size_t i) { return std::to_string(i) + std::string(i * 97, 'q'); };
  for (size_t i = 0; i < out.size(); ++i) client_->ask_later(question(i), 0, kNever, out[i]);
  EXPECT_TRUE(world_.run_until(
      [&] { return std::ranges::all_of(out, [](const Outcome& o) { return o.done; }); }));
  for (size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(out[i].answer == question(i) + "!");
  EXPECT_EQ(server_->server->counts().malformed, 0u);
}

TEST_P(OfiTest, Answers_come_in_any_order_and_a_deadline_ends_a_call) {
  // Goal: a call that hangs holds up nobody, ends in time, and its late answer touches nothing.
  start_server();
  start_client();
  Outcome slow;
  client_->ask_later("hang", 0, 50 * kMillisecond, slow);
  EXPECT_TRUE(world_.run_until([&] { return server_->echo.hanging == 1; }));
  EXPECT_EQ(client_->ask_now("fast").answer, "fast!");
  EXPECT_TRUE(world_.run_until([&] { return slow.done; }));
  EXPECT_EQ(slow.code, Errc::timed_out);
  server_->echo.let_go = true;
  server_->echo.go.wake_all();
  EXPECT_EQ(client_->ask_now("next").answer, "next!");
  EXPECT_EQ(client_->transport.connects(), 1u);
}

}  // namespace
}  // namespace cairn::fabric
