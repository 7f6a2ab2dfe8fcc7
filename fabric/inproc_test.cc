#include "fabric/inproc.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace cairn::fabric {
namespace {

/// A reactor on a clock that jumps to the next timer when nothing is ready.
class TestClock final : public Clock {
 public:
  Instant now() override { return now_; }
  uint64_t wall_ns() override { return now_; }
  void advance_to(Instant at) { now_ = std::max(now_, at); }

 private:
  Instant now_ = 1;
};

struct World {
  TestClock clock;
  SeededRandom random{1};
  Reactor reactor{clock, random, nullptr};

  void run_until_idle() {
    for (;;) {
      while (reactor.turn()) {
      }
      if (reactor.next_timer() == kNever) return;
      clock.advance_to(reactor.next_timer());
    }
  }
};

/// Requests and replies are numbers; the service doubles.
struct NumberCall final : Call {
  uint64_t question = 0, answer = 0;
  void* request() override { return &question; }
  void* reply() override { return &answer; }
  Result<void> encode_request(Bytes& out) override {
    if (question == 13) return fail(Errc::record_too_big, "test: refused");
    const ByteView bytes = view_of(&question, sizeof(question));
    out.assign(bytes.begin(), bytes.end());
    return {};
  }
  Result<void> decode_reply(ByteView bytes) override {
    if (bytes.size() != sizeof(answer)) return fail(Errc::format_invalid, "test: bad reply");
    std::memcpy(&answer, bytes.data(), sizeof(answer));
    return {};
  }
};

struct Doubler final : Service {
  explicit Doubler(Reactor& reactor) : reactor(reactor) {}
  Task<Result<void>> serve(void* request, void* reply) override {
    ++by_reference;
    co_await reactor.yield();
    *static_cast<uint64_t*>(reply) = 2 * *static_cast<uint64_t*>(request);
    co_return Result<void>{};
  }
  Task<Bytes> serve_bytes(Bytes request) override {
    ++by_bytes;
    if (delay > 0) co_await reactor.sleep(delay);
    uint64_t number = 0;
    std::memcpy(&number, request.data(), sizeof(number));
    if (silent) co_return Bytes{};
    number *= 2;
    const ByteView bytes = view_of(&number, sizeof(number));
    co_return Bytes(bytes.begin(), bytes.end());
  }
  Reactor& reactor;
  Duration delay = 0;
  bool silent = false;
  int by_reference = 0, by_bytes = 0;
};

struct Caller {
  World& world;
  InprocTransport& transport;
  Result<void> outcome = fail(Errc::misc, "did not run");
  NumberCall call;

  Task<void> run(Endpoint to, uint64_t question, Duration limit) {
    call.question = question;
    const Instant deadline = limit == kNever ? kNever : world.clock.now() + limit;
    outcome = co_await transport.call(to, call, deadline);
  }
  Errc code() const { return outcome ? Errc::ok : outcome.error().code(); }
};

Task<void> close(InprocTransport& transport) { co_await transport.close(); }

TEST(Inproc, A_call_hands_the_objects_over_by_reference) {
  // Goal: no bytes by default. Method: count what the service was asked in which way.
  World world;
  Doubler doubler(world.reactor);
  InprocTransport transport(world.reactor, {});
  transport.attach({.rank = 4}, doubler);
  Caller caller{world, transport};
  world.reactor.spawn(caller.run({.rank = 4}, 21, kNever));
  world.run_until_idle();
  EXPECT_EQ(caller.code(), Errc::ok);
  EXPECT_EQ(caller.call.answer, 42u);
  EXPECT_EQ(doubler.by_reference, 1);
  EXPECT_EQ(doubler.by_bytes, 0);
}

TEST(Inproc, Nobody_at_the_endpoint_is_unreachable) {
  // Goal: a clear error, at once. Method: call an unknown rank, and one that was detached.
  World world;
  Doubler doubler(world.reactor);
  InprocTransport transport(world.reactor, {});
  transport.attach({.rank = 0}, doubler);
  transport.detach({.rank = 0});
  Caller caller{world, transport};
  world.reactor.spawn(caller.run({.rank = 0}, 1, kNever));
  world.run_until_idle();
  EXPECT_EQ(caller.code(), Errc::unreachable);
}

TEST(Inproc, In_test_mode_every_message_crosses_as_bytes) {
  // Goal: the encoded way gives the same answer. Method: encode without loss; an unencodable
  // request fails before it is sent.
  World world;
  Doubler doubler(world.reactor);
  InprocTransport transport(world.reactor, {.encode = true});
  transport.attach({}, doubler);
  Caller caller{world, transport};
  world.reactor.spawn(caller.run({}, 21, kNever));
  Caller refused{world, transport};
  world.reactor.spawn(refused.run({}, 13, kNever));
  world.run_until_idle();
  EXPECT_EQ(caller.code(), Errc::ok);
  EXPECT_EQ(caller.call.answer, 42u);
  EXPECT_EQ(refused.code(), Errc::record_too_big);
  EXPECT_EQ(doubler.by_bytes, 1);
  world.reactor.spawn(close(transport));
  world.run_until_idle();
}

TEST(Inproc, Delays_stay_within_their_limit) {
  // Goal: delay_max bounds each way. Method: virtual time of many calls.
  World world;
  Doubler doubler(world.reactor);
  InprocTransport transport(world.reactor, {.delay_max = kMillisecond, .seed = 7});
  transport.attach({}, doubler);
  Duration longest = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    Caller caller{world, transport};
    const Instant begin = world.clock.now();
    world.reactor.spawn(caller.run({}, i + 100, kNever));
    world.run_until_idle();
    EXPECT_EQ(caller.call.answer, 2 * (i + 100));
    longest = std::max(longest, world.clock.now() - begin);
  }
  EXPECT_LE(longest, 2 * kMillisecond);
  EXPECT_GT(longest, kMillisecond);
}

TEST(Inproc, Lost_messages_end_at_the_deadline_and_are_counted) {
  // Goal: requests and replies are lost at about the chance given, and the caller hears timed_out
  // then and not before. Method: half of the messages, virtual time.
  World world;
  Doubler doubler(world.reactor);
  InprocTransport transport(world.reactor, {.drop_chance = 0.5, .seed = 3});
  transport.attach({}, doubler);
  int timed_out = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    Caller caller{world, transport};
    const Instant begin = world.clock.now();
    world.reactor.spawn(caller.run({}, i + 100, 10 * kMillisecond));
    world.run_until_idle();
    if (caller.outcome) {
      EXPECT_EQ(caller.call.answer, 2 * (i + 100));
      continue;
    }
    ++timed_out;
    EXPECT_EQ(caller.code(), Errc::timed_out);
    EXPECT_EQ(caller.call.answer, 0u);
    EXPECT_GE(world.clock.now() - begin, 10 * kMillisecond);
  }
  EXPECT_NEAR(timed_out, 750, 60);
  EXPECT_NEAR(static_cast<double>(transport.counts().requests_lost), 500, 60);
  EXPECT_NEAR(static_cast<double>(transport.counts().replies_lost), 250, 60);
  EXPECT_EQ(static_cast<uint64_t>(doubler.by_bytes), 1000 - transport.counts().requests_lost);
}

TEST(Inproc, A_late_reply_never_touches_the_call_that_gave_up) {
  // Goal: nothing is written to a returned buffer. Method: a service slower than the deadline; the
  // call's memory is gone when the reply arrives (the address sanitizer watches).
  World world;
  Doubler doubler(world.reactor);
  doubler.delay = 50 * kMillisecond;
  InprocTransport transport(world.reactor, {.encode = true});
  transport.attach({}, doubler);
  {
    auto caller = std::make_unique<Caller>(world, transport);
    world.reactor.spawn(caller->run({}, 21, 10 * kMillisecond));
    while (caller->code() == Errc::misc) {
      if (!world.reactor.turn()) world.clock.advance_to(world.reactor.next_timer());
    }
    EXPECT_EQ(caller->code(), Errc::timed_out);
  }
  world.reactor.spawn(close(transport));
  world.run_until_idle();
  EXPECT_EQ(transport.counts().replies_late, 1u);
}

TEST(Inproc, Without_a_deadline_a_missing_answer_ends_the_call) {
  // Goal: no call hangs for ever. Method: a service that does not answer, and total loss.
  World world;
  Doubler doubler(world.reactor);
  doubler.silent = true;
  InprocTransport mute(world.reactor, {.encode = true});
  mute.attach({}, doubler);
  Caller first{world, mute};
  world.reactor.spawn(first.run({}, 1, kNever));
  InprocTransport lossy(world.reactor, {.drop_chance = 1});
  lossy.attach({}, doubler);
  Caller second{world, lossy};
  world.reactor.spawn(second.run({}, 1, kNever));
  world.run_until_idle();
  EXPECT_EQ(first.code(), Errc::timed_out);
  EXPECT_EQ(second.code(), Errc::timed_out);
}

TEST(Inproc, The_same_seed_loses_the_same_messages) {
  // Goal: a failing run can be repeated. Method: two runs, outcome by outcome.
  std::string outcomes[2];
  for (std::string& run : outcomes) {
    World world;
    Doubler doubler(world.reactor);
    InprocTransport transport(world.reactor,
                              {.drop_chance = 0.3, .delay_max = kMillisecond, .seed = 99});
    transport.attach({}, doubler);
    for (uint64_t i = 0; i < 100; ++i) {
      Caller caller{world, transport};
      world.reactor.spawn(caller.run({}, i + 100, 5 * kMillisecond));
      world.run_until_idle();
      run += caller.outcome ? 'a' : 't';
    }
  }
  EXPECT_EQ(outcomes[0], outcomes[1]);
}

}  // namespace
}  // namespace cairn::fabric
