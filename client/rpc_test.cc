#include "client/rpc.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "client/object_ops.h"
#include "fabric/inproc.h"
#include "runtime/jumping_testing.h"
#include "wire/codec.h"

namespace cairn::client {
namespace {

/// An engine that executes each sequence once, on one value, and remembers what it was sent.
struct FakeEngine final : fabric::Service {
  explicit FakeEngine(Reactor& reactor) : reactor(reactor) {}

  Task<Result<void>> serve(void* request, void* reply) override {
    return run(*static_cast<wire::Request*>(request), *static_cast<wire::Reply*>(reply));
  }
  Task<Bytes> serve_bytes(Bytes message) override {
    Bytes out;
    auto decoded = wire::decode_request(std::move(message));
    if (!decoded) co_return out;
    wire::Reply reply;
    const auto done = co_await run((*decoded)->request, reply);
    CHECK(done.has_value());
    wire::encode_reply((*decoded)->request, reply, out);
    if (damage_replies > 0 && damage_replies-- > 0) out.back() ^= std::byte{1};
    co_return out;
  }
  Task<Result<void>> run(wire::Request& request, wire::Reply& reply) {
    const wire::Header& header = request.header;
    headers.push_back(header);
    reply.header.session = header.session;
    reply.header.sequence = header.sequence;
    co_await reactor.yield();
    if (overloads > 0) {
      --overloads;
      reply.error = Error{Errc::overload, "busy"};
      co_return Result<void>{};
    }
    if (header.sequence == 0) {
      read(request, reply);
      co_return Result<void>{};
    }
    EXPECT_GE(header.sequence, acknowledged_below) << "an acknowledged sequence came again";
    acknowledged_below = std::max(acknowledged_below, header.acknowledged_below);
    const auto [done, fresh] = epochs.try_emplace(header.sequence, epochs.size() + 1);
    if (fresh && request.opcode() == wire::Opcode::update) ++value;
    if (request.opcode() == wire::Opcode::control) {
      reply.body = std::get<wire::Control>(request.body).body;
    }
    reply.header.epoch = done->second;
    co_return Result<void>{};
  }
  void read(wire::Request& request, wire::Reply& reply) const {
    if (request.opcode() == wire::Opcode::max_epoch) {
      reply.header.epoch = epochs.size();
    } else if (auto* const fetch = std::get_if<wire::ObjectFetch>(&request.body)) {
      std::memcpy(fetch->iods[0].buffer[0].data, &value, sizeof(value));
      reply.body = model::Fetched{.iods = {{.record_bytes = 8, .pieces = {{0, 8}}}}};
    } else {
      reply.error = Error{Errc::no_handle, "fake: closed"};
    }
  }

  Reactor& reactor;
  std::vector<wire::Header> headers;
  std::map<uint64_t, model::Epoch> epochs;
  uint64_t value = 0;
  uint64_t acknowledged_below = 0;
  int overloads = 0, damage_replies = 0;
};

struct World : JumpingWorld {
  explicit World(fabric::InprocOptions transport_options = {}, RpcOptions rpc_options = {})
      : JumpingWorld(5),
        transport(reactor, transport_options),
        rpc(reactor, transport, rpc_options) {
    transport.attach({.rank = 2}, engine);
  }
  ~World() {
    reactor.spawn(close(transport));
    while (step()) {
    }
  }
  static Task<void> close(fabric::InprocTransport& transport) { co_await transport.close(); }

  Task<Result<model::Epoch>> update() {
    return object_update(rpc, route, {.oid = {1, 2}, .dkey = as_bytes("d")}, {});
  }
  Task<Result<model::Fetched>> fetch(uint64_t& into) {
    model::Iods iods(1);
    iods[0].akey = as_bytes("a");
    iods[0].buffer = {{reinterpret_cast<std::byte*>(&into), sizeof(into)}};
    return object_fetch(rpc, route, {.oid = {1, 2}, .dkey = as_bytes("d")}, std::move(iods));
  }

  FakeEngine engine{reactor};
  fabric::InprocTransport transport;
  Rpc rpc;
  const ObjectRoute route{.endpoint = {.rank = 2},
                          .handle = {.index = 6, .generation = 7},
                          .target = 1,
                          .shard = 4,
                          .map_version = 8,
                          .placement_generation = 9};
};

TEST(Rpc, A_call_by_reference_carries_route_session_and_sequence) {
  // Goal: the header says who, where and which. Method: an update, a read, an update; look at the
  // headers.
  World w;
  EXPECT_EQ(*w.run(w.update()), 1u);
  uint64_t value = 0;
  ASSERT_TRUE(w.run(w.fetch(value)).has_value());
  EXPECT_EQ(value, 1u);
  EXPECT_EQ(*w.run(w.update()), 2u);
  ASSERT_EQ(w.engine.headers.size(), 3u);
  EXPECT_NE(w.rpc.session(), 0u);
  for (const wire::Header& h : w.engine.headers) {
    EXPECT_EQ(h.session, w.rpc.session());
    EXPECT_EQ(h.handle, (wire::HandleRef{6, 7}));
    EXPECT_EQ(h.target, 1u);
    EXPECT_EQ(h.map_version, 8u);
    EXPECT_EQ(h.placement_generation, 9u);
    EXPECT_EQ(h.flags, 0u);
  }
  EXPECT_EQ(w.engine.headers[0].sequence, 1u);
  EXPECT_EQ(w.engine.headers[0].acknowledged_below, 1u);
  EXPECT_EQ(w.engine.headers[1].sequence, 0u);
  EXPECT_EQ(w.engine.headers[2].sequence, 2u);
  EXPECT_EQ(w.engine.headers[2].acknowledged_below, 2u);
  EXPECT_EQ(w.engine.headers[2].hlc, 1u) << "the client tells what it has seen";
  EXPECT_EQ(w.rpc.observed(), 2u);
}

TEST(Rpc, What_is_under_way_is_not_acknowledged) {
  // Goal: acknowledged_below stays at the oldest call without an answer. Method: one call that the
  // engine keeps refusing as overloaded while others pass.
  World w({.encode = true}, lossy_rpc_options());
  w.engine.overloads = 1;
  std::optional<Result<model::Epoch>> slow;
  w.reactor.spawn(World::keep(w.update(), slow));
  while (w.engine.overloads > 0) ASSERT_TRUE(w.step());
  ASSERT_FALSE(slow.has_value());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(w.run(w.update()).has_value());
  ASSERT_FALSE(slow.has_value());
  EXPECT_EQ(w.engine.headers.back().acknowledged_below, 1u);
  while (!slow) ASSERT_TRUE(w.step());
  EXPECT_TRUE(slow->has_value());
  ASSERT_TRUE(w.run(w.update()).has_value());
  EXPECT_EQ(w.engine.headers.back().acknowledged_below, 5u);
  EXPECT_EQ(w.engine.value, 5u);
}

TEST(Rpc, Every_update_happens_once_however_many_messages_are_lost) {
  // Goal: exactly once under loss and delay. Method: 400 updates in waves of 8 with a fifth of the
  // messages lost; the engine counts executions, and finds no sequence below what was acknowledged.
  World w({.drop_chance = 0.2, .delay_max = kMillisecond, .seed = 11}, lossy_rpc_options());
  for (int wave = 0; wave < 50; ++wave) {
    std::optional<Result<model::Epoch>> outcomes[8];
    for (auto& outcome : outcomes) w.reactor.spawn(World::keep(w.update(), outcome));
    for (auto& outcome : outcomes) {
      while (!outcome) ASSERT_TRUE(w.step());
      EXPECT_TRUE(outcome->has_value());
    }
  }
  EXPECT_EQ(w.engine.value, 400u);
  EXPECT_GT(w.rpc.resends(), 50u);
  std::set<uint64_t> first_sends;
  for (const wire::Header& h : w.engine.headers) {
    if ((h.flags & wire::kFlagResend) == 0) {
      EXPECT_TRUE(first_sends.insert(h.sequence).second) << "a resend without its flag";
    }
    EXPECT_GT(h.remaining_ns, 0u);
    EXPECT_LE(h.remaining_ns, lossy_rpc_options().attempt_ns_max);
  }
}

TEST(Rpc, Reads_and_control_requests_survive_losses_too) {
  // Goal: every kind of call is repeated. Method: a third of the messages lost.
  World w({.drop_chance = 0.33, .seed = 12}, lossy_rpc_options());
  for (uint64_t i = 1; i <= 50; ++i) {
    ASSERT_TRUE(w.run(w.update()).has_value());
    uint64_t value = 0;
    ASSERT_TRUE(w.run(w.fetch(value)).has_value());
    EXPECT_EQ(value, i);
    const Bytes body{std::byte{1}, std::byte{2}};
    const auto answer = w.run(w.rpc.control({.rank = 2}, body));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(*answer, body);
    EXPECT_TRUE(w.run(object_max_epoch(w.rpc, w.route, {1, 2})).has_value());
  }
}

TEST(Rpc, A_damaged_answer_is_as_good_as_none) {
  // Goal: wrong bytes are never believed. Method: the engine's first two replies arrive damaged.
  World w({.encode = true}, lossy_rpc_options());
  w.engine.damage_replies = 2;
  uint64_t value = 77;
  ASSERT_TRUE(w.run(w.update()).has_value());
  ASSERT_TRUE(w.run(w.fetch(value)).has_value());
  EXPECT_EQ(value, 1u);
  EXPECT_EQ(w.rpc.resends(), 2u);
}

TEST(Rpc, Without_any_answer_the_outcome_is_unknown_in_time) {
  // Goal: timed_out after the total time, and the next call is not disturbed. Method: total loss.
  RpcOptions options = lossy_rpc_options();
  options.total_ns = kSecond;
  World w({.drop_chance = 1}, options);
  const Instant begin = w.clock.now();
  const auto outcome = w.run(w.update());
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), Errc::timed_out);
  EXPECT_GE(w.clock.now() - begin, kSecond);
  EXPECT_LT(w.clock.now() - begin, kSecond + 100 * kMillisecond);
}

TEST(Rpc, Refusals_and_absent_engines_are_reported_at_once) {
  // Goal: what a resend cannot mend is not repeated. Method: a refused listing, an unknown rank.
  World w({.encode = true}, lossy_rpc_options());
  const auto listed = w.run(object_list(w.rpc, w.route, {1, 2}, {.count_max = 1}));
  ASSERT_FALSE(listed.has_value());
  EXPECT_EQ(listed.error().code(), Errc::no_handle);
  const auto absent = w.run(w.rpc.control({.rank = 9}, {}));
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().code(), Errc::unreachable);
  EXPECT_EQ(w.rpc.resends(), 0u);
}

TEST(Rpc, An_overloaded_engine_is_asked_again_later) {
  // Goal: overload is waited out, with pauses. Method: five refusals, then service.
  World w({.encode = true}, lossy_rpc_options());
  w.engine.overloads = 5;
  const Instant begin = w.clock.now();
  EXPECT_TRUE(w.run(w.update()).has_value());
  EXPECT_GE(w.clock.now() - begin, 31 * kMillisecond);
  EXPECT_EQ(w.engine.value, 1u);
}

/// Refuses calls before anybody has seen them, and says when to come again.
struct BusyDoor final : fabric::Transport {
  BusyDoor(Reactor& reactor, FakeEngine& engine) : reactor(reactor), engine(engine) {}
  Task<Result<void>> call(fabric::Endpoint, fabric::Call& call, Instant) override {
    came_at.push_back(reactor.clock().now());
    if (refusals > 0) {
      --refusals;
      call.retry_after(hint);
      co_return fail(Errc::overload, "busy");
    }
    co_return co_await engine.serve(call.request(), call.reply());
  }
  Reactor& reactor;
  FakeEngine& engine;
  int refusals = 0;
  Duration hint = 0;
  std::vector<Instant> came_at;
};

TEST(Rpc, A_busy_engine_is_asked_again_when_it_said) {
  // Goal: its hint is kept, spread over half of it to one and a half; nothing was done, so nothing
  // is a resend; the deadline still ends it. Method: a transport that refuses.
  World w;
  BusyDoor door(w.reactor, w.engine);
  door.refusals = 3;
  door.hint = 400 * kMillisecond;
  Rpc rpc(w.reactor, door, served_rpc_options());
  const auto answer = w.run(rpc.control({.rank = 2}, {}));
  ASSERT_TRUE(answer.has_value());
  ASSERT_EQ(door.came_at.size(), 4u);
  for (size_t i = 1; i < door.came_at.size(); ++i) {
    EXPECT_GE(door.came_at[i] - door.came_at[i - 1], 200 * kMillisecond);
    EXPECT_LE(door.came_at[i] - door.came_at[i - 1], 601 * kMillisecond);
  }
  EXPECT_EQ(rpc.resends(), 0u);
  EXPECT_EQ(w.engine.headers.back().flags & wire::kFlagResend, 0u);

  door.refusals = 1'000'000;
  const Instant begin = w.clock.now();
  const auto refused = w.run(rpc.control({.rank = 2}, {}));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::overload);
  EXPECT_LE(w.clock.now() - begin, served_rpc_options().total_ns + kSecond);
}

TEST(Rpc, An_engine_that_is_away_is_waited_for_and_nothing_is_done_twice) {
  // Goal: a restart is no error. Method: nobody at the endpoint for a while, then the engine.
  World w({.encode = true}, served_rpc_options());
  w.transport.detach({.rank = 2});
  std::optional<Result<model::Epoch>> outcome;
  w.reactor.spawn(World::keep(w.update(), outcome));
  const Instant back = w.clock.now() + 5 * kSecond;
  while (w.clock.now() < back) ASSERT_TRUE(w.step());
  EXPECT_FALSE(outcome.has_value());
  w.transport.attach({.rank = 2}, w.engine);
  while (!outcome) ASSERT_TRUE(w.step());
  EXPECT_TRUE(outcome->has_value());
  EXPECT_EQ(w.engine.value, 1u);
  EXPECT_EQ(w.rpc.resends(), 0u) << "nothing was sent before";
}

TEST(Rpc, The_grace_of_an_engine_is_waited_for_once) {
  // Goal: the first call waits for the grace, later ones learn at once, until it is back. Method:
  // an absent engine, two calls, then the engine.
  RpcOptions options = served_rpc_options();
  options.reconnect_grace_ns = 2 * kSecond;
  World w({.encode = true}, options);
  w.transport.detach({.rank = 2});
  Instant begin = w.clock.now();
  auto outcome = w.run(w.update());
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), Errc::unreachable);
  EXPECT_GE(w.clock.now() - begin, 2 * kSecond);
  EXPECT_LT(w.clock.now() - begin, 3 * kSecond);
  begin = w.clock.now();
  EXPECT_FALSE(w.run(w.update()).has_value());
  EXPECT_LT(w.clock.now() - begin, 10 * kMillisecond);
  w.transport.attach({.rank = 2}, w.engine);
  EXPECT_TRUE(w.run(w.update()).has_value());
}

}  // namespace
}  // namespace cairn::client
