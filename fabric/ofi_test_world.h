// What the tests of libfabric share: a service, a client and a server on one reactor.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>

#include "fabric/ofi_client.h"
#include "fabric/ofi_door.h"
#include "fabric/stream_server.h"
#include "fabric/testing.h"
#include "runtime/io.h"

namespace cairn::fabric {

inline constexpr Token kSecret{1, 2, 3, 4};

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
  Task<void> stop(Duration patience) { return server->close(patience); }
  World& world;
  Echo echo{world.reactor};
  std::unique_ptr<StreamServer> server;
  Address address;
  std::string events;
};

/// An address that is free, of this process alone.
inline Address anywhere(const std::string& provider, const std::string& what) {
  const std::string where =
      provider == kShmProvider ? what + "-" + std::to_string(getpid()) : "127.0.0.1:0";
  return *parse_address("ofi+" + provider + "://" + where);
}

}  // namespace cairn::fabric
