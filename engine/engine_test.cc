#include "engine/engine.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>

#include "engine/testing.h"
#include "wire/codec.h"
#include "wire/limits.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 0xABCDEF;

/// A client by hand: one handle, one dkey, values under akey "a".
struct Client {
  explicit Client(EngineWorld& world, bool writable = true, uint64_t session = kSession)
      : world(world), session(session) {
    auto added = world.engine.add_handle(
        {.pool = world.pool, .container = 1, .writable = writable, .session = session});
    EXPECT_TRUE(added.has_value());
    handle = *added;
  }

  wire::Request request(uint64_t sequence = 0) const {
    wire::Request r;
    r.header.handle = handle;
    r.header.session = session;
    r.header.sequence = sequence;
    r.header.acknowledged_below = acknowledged;
    return r;
  }
  wire::Request update(std::string& value, uint64_t flags = 0) {
    wire::Request r = request(++sequence);
    r.body = wire::ObjectUpdate{.object = {.oid = {1, 2}, .shard = 0},
                                .flags = flags,
                                .dkey = as_bytes("dkey"),
                                .iods = single_value(value)};
    return r;
  }
  wire::Request fetch(std::string& room) const {
    wire::Request r = request();
    r.body = wire::ObjectFetch{.object = {.oid = {1, 2}, .shard = 0},
                               .dkey = as_bytes("dkey"),
                               .iods = single_value(room)};
    return r;
  }
  wire::Reply serve(wire::Request& r) {
    wire::Reply reply;
    const auto served = world.run(world.engine.serve(&r, &reply));
    EXPECT_TRUE(served.has_value());
    return reply;
  }
  wire::Reply serve_by_bytes(const wire::Request& r) {
    Bytes message;
    EXPECT_TRUE(wire::encode_request(r, message).has_value());
    const Bytes answer = world.run(world.engine.serve_bytes(std::move(message)));
    wire::Reply reply;
    EXPECT_TRUE(wire::decode_reply(answer, r, reply).has_value());
    return reply;
  }

  EngineWorld& world;
  uint64_t session;
  wire::HandleRef handle;
  uint64_t sequence = 0;
  uint64_t acknowledged = 1;
};

TEST(Engine, A_value_written_by_reference_is_read_by_bytes_and_the_other_way_round) {
  // Goal: both ways in lead to one store. Method: write and read each way.
  EngineWorld world;
  Client client(world);
  std::string first = "first value";
  wire::Request update = client.update(first);
  const wire::Reply written = client.serve(update);
  EXPECT_EQ(written.error.code(), Errc::ok);
  EXPECT_GT(written.header.epoch, 0u);
  EXPECT_EQ(written.header.sender_rank, 3u);
  EXPECT_EQ(written.header.sender_incarnation, 8u);
  EXPECT_EQ(std::get<wire::ObjectUpdate>(update.body).iods.size(), 1u) << "the body is put back";

  std::string room(20, '#');
  const wire::Request fetch = client.fetch(room);
  const wire::Reply read = client.serve_by_bytes(fetch);
  ASSERT_EQ(read.error.code(), Errc::ok);
  EXPECT_EQ(std::get<model::Fetched>(read.body).iods[0].record_bytes, 11u);
  EXPECT_EQ(room, "first value#########");

  std::string second = "second";
  EXPECT_EQ(client.serve_by_bytes(client.update(second)).error.code(), Errc::ok);
  room.assign(20, '#');
  wire::Request again = client.fetch(room);
  EXPECT_EQ(client.serve(again).error.code(), Errc::ok);
  EXPECT_EQ(room, "second##############");
}

TEST(Engine, Every_operation_reaches_the_shard) {
  // Goal: list, query, position, punch and max epoch are wired to what they say. Method: one value,
  // seen through each of them, then punched.
  EngineWorld world;
  Client client(world);
  std::string value = "v";
  wire::Request update = client.update(value);
  const model::Epoch epoch = client.serve(update).header.epoch;
  const wire::ObjectAddress object{.oid = {1, 2}, .shard = 0};

  wire::Request r = client.request();
  r.body = wire::ObjectList{.object = object, .request = {.count_max = 10, .bytes_max = 100}};
  wire::Reply reply = client.serve_by_bytes(r);
  ASSERT_EQ(reply.error.code(), Errc::ok);
  EXPECT_EQ(as_chars(std::get<model::Listed>(reply.body).keys), "dkey");

  r.body = wire::ObjectMaxEpoch{.object = object};
  EXPECT_EQ(client.serve_by_bytes(r).header.epoch, epoch);

  r.body = wire::ObjectPositionOf{
      .object = object, .what = model::ListRequest::What::dkeys, .key = as_bytes("dkey")};
  reply = client.serve_by_bytes(r);
  ASSERT_EQ(reply.error.code(), Errc::ok);
  EXPECT_FALSE(std::get<Bytes>(reply.body).empty());

  r.body = wire::ObjectQueryKey{
      .object = object,
      .request = {.want_recx = true, .dkey_bytes = as_bytes("dkey"), .akey_bytes = as_bytes("a")}};
  reply = client.serve_by_bytes(r);
  ASSERT_EQ(reply.error.code(), Errc::ok);
  EXPECT_FALSE(std::get<model::QueriedKey>(reply.body).found) << "a single value has no extents";

  wire::Request punch = client.request(++client.sequence);
  punch.body = wire::ObjectPunch{.object = object, .level = wire::PunchLevel::object};
  EXPECT_EQ(client.serve_by_bytes(punch).error.code(), Errc::ok);
  std::string room(4, '#');
  const wire::Request fetch = client.fetch(room);
  EXPECT_EQ(std::get<model::Fetched>(client.serve_by_bytes(fetch).body).iods[0].record_bytes, 0u);
}

TEST(Engine, An_update_that_comes_twice_happens_once) {
  // Goal: exactly once. Method: a conditional insert is sent three times with one sequence; each
  // answer is the first one. After it was acknowledged a late copy is refused, and changes nothing.
  EngineWorld world;
  Client client(world);
  std::string value = "once";
  const wire::Request insert = client.update(value, model::cond::kDkeyInsert);
  const wire::Reply first = client.serve_by_bytes(insert);
  ASSERT_EQ(first.error.code(), Errc::ok);
  for (int i = 0; i < 2; ++i) {
    const wire::Reply again = client.serve_by_bytes(insert);
    EXPECT_EQ(again.error.code(), Errc::ok);
    EXPECT_EQ(again.header.epoch, first.header.epoch);
  }
  client.acknowledged = 2;
  std::string other = "twice";
  EXPECT_EQ(client.serve_by_bytes(client.update(other)).error.code(), Errc::ok);
  EXPECT_EQ(client.serve_by_bytes(insert).error.code(), Errc::unknown);
  std::string room(5, '#');
  const wire::Request fetch = client.fetch(room);
  client.serve_by_bytes(fetch);
  EXPECT_EQ(room, "twice");
}

TEST(Engine, A_copy_of_what_was_refused_does_nothing) {
  // Goal: who was told that it exists does not make it later (found by simulated clusters, seed
  // 42). Method: a refused insert, a punch by somebody, the insert's copy; the sequences are not
  // acknowledged yet.
  EngineWorld world;
  Client client(world);
  std::string value = "first";
  ASSERT_EQ(client.serve_by_bytes(client.update(value)).error.code(), Errc::ok);
  std::string other = "other";
  const wire::Request insert = client.update(other, model::cond::kDkeyInsert);
  EXPECT_EQ(client.serve_by_bytes(insert).error.code(), Errc::exists);
  wire::Request punch = client.request();
  punch.header.sequence = ++client.sequence;
  punch.body = wire::ObjectPunch{.object = {.oid = {1, 2}, .shard = 0},
                                 .level = wire::PunchLevel::dkey,
                                 .dkey = as_bytes("dkey")};
  ASSERT_EQ(client.serve_by_bytes(punch).error.code(), Errc::ok);
  EXPECT_EQ(client.serve_by_bytes(insert).error.code(), Errc::exists);
  std::string room(5, '#');
  const wire::Request fetch = client.fetch(room);
  EXPECT_EQ(std::get<model::Fetched>(client.serve_by_bytes(fetch).body).iods[0].record_bytes, 0u);
}

TEST(Engine, Copies_that_run_at_once_are_executed_once) {
  // Goal: a resend that overtakes a slow first copy does not run beside it. Method: five copies in
  // flight.
  EngineWorld world;
  Client client(world);
  std::string value = "once";
  const wire::Request insert = client.update(value, model::cond::kDkeyInsert);
  Bytes message;
  ASSERT_TRUE(wire::encode_request(insert, message).has_value());
  std::optional<Bytes> answers[5];
  for (auto& answer : answers) {
    world.reactor.spawn(EngineWorld::keep(world.engine.serve_bytes(message), answer));
  }
  for (auto& answer : answers) {
    while (!answer) ASSERT_TRUE(world.step());
    wire::Reply reply;
    ASSERT_TRUE(wire::decode_reply(*answer, insert, reply).has_value());
    EXPECT_EQ(reply.error.code(), Errc::ok);
  }
}

TEST(Engine, Rights_are_looked_up_on_every_request) {
  // Goal: no access without a handle, with a closed one, a foreign one, or beyond its right.
  // Method: each.
  EngineWorld world;
  Client writer(world);
  Client reader(world, false, 77);
  std::string value = "v", room(4, '#');
  wire::Request update = writer.update(value);
  EXPECT_EQ(writer.serve(update).error.code(), Errc::ok);

  wire::Request forbidden = reader.update(value);
  EXPECT_EQ(reader.serve(forbidden).error.code(), Errc::no_perm);
  wire::Request punch = reader.request(9);
  punch.body = wire::ObjectPunch{};
  EXPECT_EQ(reader.serve(punch).error.code(), Errc::no_perm);
  wire::Request allowed = reader.fetch(room);
  EXPECT_EQ(reader.serve(allowed).error.code(), Errc::ok);

  wire::Request stolen = writer.fetch(room);
  stolen.header.session = reader.session;
  EXPECT_EQ(writer.serve(stolen).error.code(), Errc::no_handle);
  wire::Request unknown = writer.fetch(room);
  unknown.header.handle.index = 99;
  EXPECT_EQ(writer.serve(unknown).error.code(), Errc::no_handle);
  wire::Request nobody = writer.fetch(room);
  nobody.header.handle = {};
  EXPECT_EQ(writer.serve(nobody).error.code(), Errc::no_handle);

  EXPECT_TRUE(world.run(world.engine.remove_handle(writer.handle)).has_value());
  wire::Request closed = writer.fetch(room);
  EXPECT_EQ(writer.serve(closed).error.code(), Errc::no_handle);
  EXPECT_FALSE(world.run(world.engine.remove_handle(writer.handle)).has_value());
  const Client next(world);
  EXPECT_EQ(next.handle.index, writer.handle.index) << "the slot is used again";
  EXPECT_EQ(writer.serve(closed).error.code(), Errc::no_handle);
}

TEST(Engine, Evicting_a_container_waits_for_who_is_inside) {
  // Goal: after eviction nothing of the container moves. Method: evict while an update is under
  // way.
  EngineWorld world;
  Client client(world);
  std::string value = "v";
  wire::Request update = client.update(value);
  wire::Reply reply;
  std::optional<Result<void>> served;
  world.reactor.spawn(EngineWorld::keep(world.engine.serve(&update, &reply), served));
  world.reactor.turn();
  world.run_void(world.engine.evict_container(world.pool, 1));
  EXPECT_TRUE(served.has_value());
  EXPECT_EQ(world.engine.handle_count(), 0u);
  EXPECT_EQ(client.serve(update).error.code(), Errc::no_handle);
}

TEST(Engine, Removing_a_shard_closes_its_handles) {
  // Goal: a pool can leave. Method: remove it; requests and new handles are refused, others live
  // on.
  EngineWorld world;
  Client client(world);
  world.run_void(world.engine.remove_shards(world.pool));
  EXPECT_EQ(world.engine.shard(world.pool, 0), nullptr);
  EXPECT_EQ(world.engine.handle_count(), 0u);
  const auto added = world.engine.add_handle({.pool = world.pool, .container = 1});
  ASSERT_FALSE(added.has_value());
  EXPECT_EQ(added.error().code(), Errc::nonexistent);
}

TEST(Engine, Requests_for_somebody_else_are_refused) {
  // Goal: misdirected messages do no harm. Method: another target, incarnation, and a transaction.
  EngineWorld world;
  Client client(world);
  std::string room(4, '#');
  wire::Request r = client.fetch(room);
  r.header.target = 1;
  EXPECT_EQ(client.serve(r).error.code(), Errc::nonexistent);
  r = client.fetch(room);
  r.header.target_incarnation = 7;
  EXPECT_EQ(client.serve(r).error.code(), Errc::stale_map);
  std::string value = "v";
  r = client.update(value);
  r.header.transaction_lo = 1;
  EXPECT_EQ(client.serve(r).error.code(), Errc::not_supported);
}

/// Counts, and answers with the count.
struct Counter {
  int calls = 0;
  static Task<Result<Bytes>> answer(Counter& self, ControlCall call) {
    ++self.calls;
    if (call.body.empty()) co_return fail(Errc::exists, "taken");
    co_return Bytes{static_cast<std::byte>(self.calls)};
  }
};

TEST(Engine, A_control_request_is_answered_once_and_the_answer_is_kept) {
  // Goal: a lost reply does not create twice. Method: resend; then acknowledge and send a late
  // copy.
  EngineWorld world;
  Client client(world);
  Counter counter;
  wire::Request r = client.request(1);
  r.body = wire::Control{.body = {std::byte{1}}};
  EXPECT_EQ(client.serve_by_bytes(r).error.code(), Errc::not_supported) << "no handler yet";
  world.engine.end_session(kSession);
  world.engine.set_control(
      [&counter](ControlCall call) { return Counter::answer(counter, std::move(call)); });
  for (int i = 0; i < 3; ++i) {
    const wire::Reply reply = client.serve_by_bytes(r);
    ASSERT_EQ(reply.error.code(), Errc::ok);
    EXPECT_EQ(std::get<Bytes>(reply.body), Bytes{std::byte{1}});
  }
  EXPECT_EQ(counter.calls, 1);
  client.acknowledged = 2;
  wire::Request failing = client.request(2);
  failing.body = wire::Control{};
  EXPECT_EQ(client.serve_by_bytes(failing).error.code(), Errc::exists);
  EXPECT_EQ(client.serve_by_bytes(failing).error.code(), Errc::exists);
  EXPECT_EQ(counter.calls, 2);
  EXPECT_EQ(client.serve_by_bytes(r).error.code(), Errc::unknown);
  EXPECT_EQ(counter.calls, 2);
  EXPECT_EQ(client.serve(r).error.code(), Errc::ok) << "by reference nothing comes twice";
}

TEST(Engine, A_restored_handle_is_the_old_one_and_nobody_gets_another_by_its_name) {
  // Goal: references survive an engine. Method: restore two into a fresh engine, one of them of a
  // pool that is not here; then fill the table around them, and try what cannot be restored.
  EngineWorld world;
  const HandleSpec spec{.pool = world.pool, .container = 4, .writable = true, .session = kSession};
  HandleSpec absent = spec;
  absent.pool.bytes[0] ^= 1;
  const wire::HandleRef kept{.index = 3, .generation = 99}, waiting{.index = 1, .generation = 7};
  const auto restore = [&](const HandleSpec& of, wire::HandleRef handle) {
    return world.run(world.engine.restore_handle(of, handle));
  };
  ASSERT_TRUE(restore(spec, kept));
  ASSERT_TRUE(restore(absent, waiting));
  EXPECT_TRUE(restore(spec, kept));
  EXPECT_EQ(restore(absent, kept).error().code(), Errc::exists);
  EXPECT_EQ(restore(spec, {.index = 3, .generation = 98}).error().code(), Errc::exists);
  EXPECT_EQ(restore(spec, {.index = 5}).error().code(), Errc::invalid);
  EXPECT_EQ(restore(spec, {.index = kHandlesMax, .generation = 1}).error().code(), Errc::invalid);
  std::set<uint32_t> indexes;
  for (int i = 0; i < 4; ++i) {
    const auto made = world.engine.add_handle(spec);
    ASSERT_TRUE(made);
    indexes.insert(made->index);
    EXPECT_NE(made->generation, 0u);
  }
  EXPECT_EQ(indexes, (std::set<uint32_t>{0, 2, 4, 5}));
  EXPECT_EQ(world.engine.handle_count(), 6u);
  Client client(world);
  std::string value = "v", room(4, '#');
  wire::Request update = client.update(value);
  update.header.handle = kept;
  EXPECT_EQ(client.serve(update).error.code(), Errc::ok);
  wire::Request fetch = client.fetch(room);
  fetch.header.handle = waiting;
  EXPECT_EQ(client.serve(fetch).error.code(), Errc::unreachable);
  ASSERT_TRUE(world.run(world.engine.remove_handle(waiting)));
  EXPECT_EQ(world.run(world.engine.remove_handle(waiting)).error().code(), Errc::no_handle);
}

/// Waits for a word.
struct Slow {
  explicit Slow(Reactor& reactor) : go(reactor) {}
  WaitList go;
  int calls = 0;
  static Task<Result<Bytes>> answer(Slow& self) {
    ++self.calls;
    co_await self.go.wait();
    co_return Bytes{};
  }
};

TEST(Engine, A_copy_that_waits_when_its_session_ends_is_not_executed) {
  // Goal: an ended session gets no second execution. Method: two copies under way, the session
  // ends, the first one goes on.
  EngineWorld world;
  Client client(world);
  Slow slow(world.reactor);
  world.engine.set_control([&slow](ControlCall) { return Slow::answer(slow); });
  wire::Request r = client.request(1);
  r.body = wire::Control{.body = {std::byte{1}}};
  Bytes message;
  ASSERT_TRUE(wire::encode_request(r, message));
  std::optional<Bytes> answers[2];
  for (auto& answer : answers) {
    world.reactor.spawn(EngineWorld::keep(world.engine.serve_bytes(message), answer));
  }
  while (world.reactor.turn()) {
  }
  EXPECT_EQ(slow.calls, 1);
  world.engine.end_session(kSession);
  slow.go.wake_all();
  while (!answers[0] || !answers[1]) ASSERT_TRUE(world.step());
  EXPECT_EQ(slow.calls, 1);
  wire::Reply reply;
  ASSERT_TRUE(wire::decode_reply(*answers[1], r, reply));
  EXPECT_EQ(reply.error.code(), Errc::unknown);
}

TEST(Engine, Hostile_bytes_are_answered_with_an_error_or_not_at_all) {
  // Goal: no bytes crash an engine. Method: garbage, a cut message, an unknown operation, a broken
  // body.
  EngineWorld world;
  Client client(world);
  EXPECT_TRUE(world.run(world.engine.serve_bytes({})).empty());
  EXPECT_TRUE(world.run(world.engine.serve_bytes(Bytes(500, std::byte{0x5A}))).empty());
  std::string value = "v";
  const wire::Request update = client.update(value);
  Bytes message;
  ASSERT_TRUE(wire::encode_request(update, message).has_value());
  for (size_t at = 0; at < message.size(); ++at) {
    Bytes bad = message;
    bad[at] ^= std::byte{0xFF};
    EXPECT_TRUE(world.run(world.engine.serve_bytes(bad)).empty()) << at;
  }
  message.resize(message.size() - 1);
  EXPECT_TRUE(world.run(world.engine.serve_bytes(message)).empty());
}

TEST(Engine, Replies_leave_room_for_the_transports_head) {
  // Goal: the same reply behind the room that was asked for, large ones (which devices read into)
  // too; nothing where none is due. Method: values of 10 bytes and 100 KiB, fetched both ways.
  EngineWorld world;
  Client client(world);
  constexpr size_t kHead = 24;
  for (const size_t bytes : {size_t{10}, size_t{100'000}}) {
    std::string value(bytes, 'v');
    wire::Request update = client.update(value);
    ASSERT_EQ(client.serve(update).error.code(), Errc::ok);
    std::string room(bytes, '#');
    const wire::Request fetch = client.fetch(room);
    Bytes message;
    ASSERT_TRUE(wire::encode_request(fetch, message).has_value());
    fabric::Message parts = world.run(world.engine.serve_message(std::move(message), kHead));
    // What is large was not copied behind the head.
    EXPECT_EQ(parts.bulk.size(), bytes >= wire::kLargeBulkMin ? bytes : 0);
    const Bytes answer = std::move(parts).joined();
    ASSERT_GT(answer.size(), kHead + bytes);
    wire::Reply reply;
    ASSERT_TRUE(wire::decode_reply(ByteView(answer).subspan(kHead), fetch, reply).has_value());
    EXPECT_EQ(room, value);
  }
  EXPECT_TRUE(world.run(world.engine.serve_message(Bytes(500), kHead)).head.empty());
}

TEST(Engine, What_waits_for_nothing_is_answered_when_it_is_begun) {
  // Goal: a fetch from memory needs no task and gets the very answer of the long way; whatever else
  // comes gets a task, or at once what is due to bytes that are no request. Method: each kind.
  EngineWorld world;
  Client client(world);
  constexpr size_t kHead = 24;
  std::string value = "in memory", room(9, '#');
  wire::Request update = client.update(value);
  const auto bytes_of = [](const wire::Request& request) {
    Bytes message;
    EXPECT_TRUE(wire::encode_request(request, message).has_value());
    return message;
  };
  auto begun = world.engine.begin_message(bytes_of(update), kHead);
  ASSERT_TRUE(begun.rest.valid());
  EXPECT_GT(world.run(std::move(begun.rest)).head.size(), kHead);

  const wire::Request fetch = client.fetch(room);
  begun = world.engine.begin_message(bytes_of(fetch), kHead);
  ASSERT_FALSE(begun.rest.valid());
  wire::Reply reply;
  ASSERT_TRUE(
      wire::decode_reply(ByteView(begun.message.head).subspan(kHead), fetch, reply).has_value());
  EXPECT_EQ(room, value);
  wire::Request by_reference = client.fetch(room);
  Bytes long_way(kHead);
  wire::encode_reply(by_reference, client.serve(by_reference), long_way);
  EXPECT_EQ(begun.message.head, long_way);

  wire::Request numbered = client.fetch(room);
  numbered.header.sequence = 77;
  EXPECT_TRUE(world.engine.begin_message(bytes_of(numbered), kHead).rest.valid())
      << "what is done once is looked up first";
  wire::Request stranger = client.fetch(room);
  stranger.header.handle.generation ^= 1;
  EXPECT_TRUE(world.engine.begin_message(bytes_of(stranger), kHead).rest.valid());
  begun = world.engine.begin_message(Bytes(500), kHead);
  EXPECT_FALSE(begun.rest.valid());
  EXPECT_TRUE(begun.message.head.empty());
}

TEST(Engine, A_stopped_engine_refuses_with_shutdown) {
  // Goal: nothing starts while the process ends. Method: stop, then ask.
  EngineWorld world;
  Client client(world);
  world.run_void(world.engine.stop());
  std::string room(4, '#');
  wire::Request r = client.fetch(room);
  EXPECT_EQ(client.serve(r).error.code(), Errc::shutdown);
}

}  // namespace
}  // namespace cairn::engine
