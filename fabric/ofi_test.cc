// Both ends of libfabric against each other over tcp;ofi_rxm and over shared memory, peers that are
// killed, and the engine's end against bytes that nobody well-meaning sends.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/crc32c.h"
#include "fabric/ofi_door.h"
#include "fabric/ofi_endpoint.h"
#include "fabric/ofi_test_world.h"

namespace cairn::fabric {
namespace {

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
  Address address_ = anywhere(GetParam(), "test");
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

TEST_P(OfiTest, What_an_engine_writes_too_late_reaches_no_buffer_of_the_caller) {
  // Goal: a call that ended is left alone, and its room stays until the engine has answered.
  // Method: answers of megabytes whose time is over at any moment of the transfer; then all is well
  // still.
  start_server();
  start_client();
  for (int i = 0; i < 60; ++i) {
    const Outcome out =
        client_->ask_now("big 4000000", i % 2 == 0 ? 4'000'001 : 0, i * 100 * kMicrosecond);
    if (out.code == Errc::ok) {
      EXPECT_EQ(out.answer.size(), 4'000'001u);
    } else {
      EXPECT_EQ(out.code, Errc::timed_out);
      EXPECT_TRUE(out.answer.empty());
    }
  }
  EXPECT_TRUE(client_->ask_now("big 4000000").answer == std::string(4'000'000, 'b') + "!");
  EXPECT_EQ(client_->transport.connects(), 1u);
  EXPECT_EQ(server_->server->counts().malformed, 0u);
}

TEST_P(OfiTest, A_server_that_dies_leaves_the_outcome_open_and_the_next_one_is_met_again) {
  // Goal: as with streams. Method: a server closes its doors while a call hangs; nobody; a new one.
  start_server();
  start_client();
  Outcome out;
  client_->ask_later("hang", 0, kNever, out);
  EXPECT_TRUE(world_.run_until([&] { return server_->echo.hanging == 1; }));
  bool stopped = false;
  world_.reactor.spawn(World::finish(server_->stop(0), stopped));
  EXPECT_TRUE(world_.run_until([&] { return out.done; }));
  EXPECT_EQ(out.code, Errc::timed_out);
  server_->echo.let_go = true;
  server_->echo.go.wake_all();
  EXPECT_TRUE(world_.run_until([&] { return stopped; }));
  server_.reset();
  EXPECT_EQ(client_->ask_now("nobody").code, Errc::unreachable);
  start_server();
  EXPECT_EQ(client_->ask_now("back").answer, "back!") << client_->what;
}

TEST_P(OfiTest, Close_lets_answers_out_first) {
  // Goal: what was begun is answered, also with a large answer. Method: close while a call hangs.
  start_server();
  start_client();
  Outcome small, large;
  client_->ask_later("hang", 0, kNever, small);
  EXPECT_TRUE(world_.run_until([&] { return server_->echo.hanging == 1; }));
  client_->ask_later("big 2000000", 0, kNever, large);
  EXPECT_TRUE(world_.run_until([&] { return server_->echo.served == 2; }));
  bool stopped = false;
  world_.reactor.spawn(World::finish(server_->stop(20 * kSecond), stopped));
  world_.run_for(20 * kMillisecond);
  EXPECT_FALSE(small.done);
  server_->echo.let_go = true;
  server_->echo.go.wake_all();
  EXPECT_TRUE(world_.run_until([&] { return small.done && large.done && stopped; }));
  EXPECT_EQ(small.answer, "hang!");
  EXPECT_EQ(large.answer.size(), 2'000'001u);
  server_.reset();
}

TEST_P(OfiTest, Sessions_come_with_their_door_and_go_with_it) {
  start_server();
  start_client({.session = 7});
  EXPECT_EQ(client_->ask_now("x").code, Errc::ok);
  EXPECT_EQ(server_->events, "+7");
  end_client();
  EXPECT_TRUE(world_.run_until([&] { return server_->server->connections() == 0; }));
  EXPECT_EQ(server_->events, "+7-7");
}

TEST_P(OfiTest, Another_system_rank_or_token_is_refused) {
  // Goal: the rules of the hello are those of TCP. Method: expectations that do not fit. (Shared
  // memory needs no token: the same user stands at the door.)
  const Uuid system{{1, 2, 3}};
  start_server({.system = system, .rank = 0});
  start_client({.system = Uuid{{9}}});
  EXPECT_EQ(client_->ask_now("x").code, Errc::protocol);
  end_client();
  start_client({.system = system});
  EXPECT_EQ(client_->ask_now("x").code, Errc::ok);
  client_->rank = 4;
  EXPECT_EQ(client_->ask_now("x").code, Errc::nonexistent);
  end_client();
  start_client({.token = Token{9, 9}});
  EXPECT_EQ(client_->ask_now("x").code, shm() ? Errc::ok : Errc::no_perm);
}

TEST_P(OfiTest, An_engine_with_too_much_to_do_says_so_and_when_to_come_again) {
  start_server({.total_calls_max = 2});
  start_client();
  Outcome first, second;
  client_->ask_later("hang", 0, kNever, first);
  client_->ask_later("hang", 0, kNever, second);
  EXPECT_TRUE(world_.run_until([&] { return server_->echo.hanging == 2; }));
  const Outcome refused = client_->ask_now("third");
  EXPECT_EQ(refused.code, Errc::overload);
  EXPECT_EQ(refused.wait, kMillisecond) << "nothing is known yet";
  EXPECT_EQ(client_->ask_now(std::string(100'000, 'y')).code, Errc::overload) << "nothing is read";
  EXPECT_EQ(server_->server->counts().busy, 2u);
  server_->echo.let_go = true;
  server_->echo.go.wake_all();
  EXPECT_TRUE(world_.run_until([&] { return first.done && second.done; }));
  EXPECT_EQ(client_->ask_now("fourth").answer, "fourth!");
}

TEST_P(OfiTest, Large_requests_wait_for_room_in_the_engine) {
  // Goal: bounded memory. Method: 40 requests of a megabyte against an engine that takes four.
  start_server({.bytes_max = 4u << 20, .total_bytes_max = 4u << 20});
  start_client();
  std::vector<Outcome> out(40);
  for (Outcome& each : out) client_->ask_later(std::string(1u << 20, 'm'), 0, kNever, each);
  EXPECT_TRUE(world_.run_until(
      [&] { return std::ranges::all_of(out, [](const Outcome& o) { return o.done; }); }));
  for (const Outcome& each : out) EXPECT_EQ(each.answer.size(), (1u << 20) + 1);
}

/// A door of which the test says what it likes, and an endpoint.
struct Stranger {
  explicit Stranger(World& world) : world(world) {}
  /// @returns what the engine said of itself
  Task<void> come(Address at, bool& in) {
    auto door = co_await connect_door(world.reactor, at, kSecond);
    CHECK(door.has_value());
    stream = std::make_shared<Stream>(world.reactor, std::move(door->socket), kDoorBytesMax);
    const auto reply = co_await greet(*stream, {.session = 5, .token = kSecret});
    CHECK(reply.has_value());
    auto made = OfiEndpoint::open(
        world.reactor, {.address = at, .local_host = local_host(stream->socket()), .receives = 8},
        {.message = [this](ByteView bytes) { got.emplace_back(bytes.begin(), bytes.end()); },
         .begun = [this](OfiEndpoint::Peer) { ring_bell(*stream); }});
    CHECK(made.has_value());
    endpoint = std::move(*made);
    stream->post(FrameKind::ofi, 0,
                 encode_ofi_open({.ring = true,
                                  .provider = provider_index(at.provider),
                                  .connection = 77,
                                  .name = endpoint->name()},
                                 kFrameHeadBytes));
    const auto head = co_await stream->read_head();
    CHECK(head.has_value());
    auto payload = co_await stream->read_payload(head->bytes);
    const auto open = decode_ofi_open(*payload);
    CHECK(open.has_value());
    number = open->connection;
    const auto added = endpoint->add_peer(open->name);
    CHECK(added.has_value());
    peer = *added;
    world.reactor.spawn(read());
    in = true;
  }
  Task<void> read() {
    for (;;) {
      const auto head = co_await stream->read_head();
      if (!head || head->kind != FrameKind::bell) break;
      endpoint->wake();
    }
    ended = true;
  }
  Task<void> leave() {
    stream->shutdown();
    while (!ended) co_await world.reactor.sleep(kMillisecond);
    endpoint->remove_peer(peer);
    co_await endpoint->close();
    co_await stream->close();
  }
  World& world;
  std::shared_ptr<Stream> stream;
  std::unique_ptr<OfiEndpoint> endpoint;
  OfiEndpoint::Peer peer = 0;
  uint64_t number = 0;
  std::vector<Bytes> got;
  bool ended = false;
};

TEST_P(OfiTest, What_fits_no_kind_costs_its_sender_the_door_and_nothing_else) {
  // Goal: hostile heads. Method: after a right opening each kind of wrong message; a client is
  // served throughout. What cannot be read as ours at all is dropped: nobody knows who sent it.
  start_server({.transfer_ns_max = 2 * kSecond});
  start_client();
  const auto call = [](uint64_t number, OfiHead head, std::string_view body = {}) {
    head.connection = number;
    Bytes out = encode_ofi_head(head);
    const ByteView bytes = as_bytes(body);
    out.insert(out.end(), bytes.begin(), bytes.end());
    return out;
  };
  const std::vector<OfiHead> bad = {
      {.kind = OfiKind::answer, .id = 1},
      {.kind = OfiKind::busy, .id = 1, .wait_ms = 3},
      {.kind = OfiKind::written, .id = 1, .body_bytes = 9},
      {.kind = OfiKind::take, .id = 1, .room_bytes = 1u << 20, .room_address = 4096, .room_key = 1},
      {.kind = OfiKind::far_call, .id = 1, .body_bytes = 0xFFFFFFF0, .body_address = 4096},
      {.kind = OfiKind::far_call,
       .id = 1,
       .body_bytes = 1u << 20,
       .body_address = 4096,
       .body_key = 0x1234567},
  };
  for (const OfiHead& head : bad) {
    Stranger stranger(world_);
    bool in = false;
    world_.run(stranger.come(address_, in));
    stranger.endpoint->send(stranger.peer, call(stranger.number, head));
    EXPECT_TRUE(world_.run_until([&] { return stranger.ended; }, 20 * kSecond))
        << "kind " << static_cast<int>(head.kind) << " bytes " << head.body_bytes;
    world_.run(stranger.leave());
    EXPECT_EQ(client_->ask_now("alive").answer, "alive!") << client_->what;
  }
  // A room that is not there for an answer that does not fit a message.
  Stranger stranger(world_);
  bool in = false;
  world_.run(stranger.come(address_, in));
  const OfiHead room{.kind = OfiKind::call,
                     .id = 1,
                     .body_bytes = 10,
                     .room_bytes = 1u << 20,
                     .room_address = 4096,
                     .room_key = 99};
  stranger.endpoint->send(stranger.peer, call(stranger.number, room, "big 200000"));
  EXPECT_TRUE(world_.run_until([&] { return stranger.ended; }, 20 * kSecond));
  world_.run(stranger.leave());
  EXPECT_EQ(client_->ask_now("alive").answer, "alive!") << client_->what;
  EXPECT_TRUE(world_.run_until([&] { return server_->server->connections() == 1; }));
}

Task<void> write_to(OfiEndpoint& endpoint, OfiEndpoint::Peer peer, Errc& outcome) {
  const auto done =
      co_await endpoint.write(peer, {.address = 4096, .key = 1}, Bytes(100'000), kOfiHeadBytes);
  outcome = done ? Errc::ok : done.error().code();
}

TEST_P(OfiTest, An_operation_on_a_peer_that_has_left_ends_with_an_error) {
  // Goal: a task that was on its way when its peer left harms nobody. Method: the peer goes first.
  start_server();
  start_client();
  Stranger stranger(world_);
  bool in = false;
  world_.run(stranger.come(address_, in));
  stranger.endpoint->remove_peer(stranger.peer);
  stranger.endpoint->send(stranger.peer, Bytes(100));
  EXPECT_EQ(stranger.endpoint->sending_bytes(stranger.peer), 0u);
  Errc outcome = Errc::ok;
  world_.run(write_to(*stranger.endpoint, stranger.peer, outcome));
  EXPECT_EQ(outcome, Errc::io);
  stranger.stream->shutdown();
  EXPECT_TRUE(world_.run_until([&] { return stranger.ended; }));
  world_.run(stranger.endpoint->close());
  world_.run(stranger.stream->close());
  EXPECT_EQ(client_->ask_now("alive").answer, "alive!") << client_->what;
}

TEST_P(OfiTest, Random_changes_of_good_messages_never_hurt) {
  // Goal: as above, wider. Method: calls with flipped bytes, with and without a right checksum, cut
  // anywhere, from one endpoint after the other.
  start_server();
  start_client();
  SeededRandom random(11);
  for (int round = 0; round < 6; ++round) {
    Stranger stranger(world_);
    bool in = false;
    world_.run(stranger.come(address_, in));
    for (int i = 0; i < 60 && !stranger.ended; ++i) {
      Bytes bytes = encode_ofi_head({.kind = static_cast<OfiKind>(1 + random.below(7)),
                                     .connection = stranger.number,
                                     .id = random.below(4),
                                     .body_bytes = static_cast<uint32_t>(random.below(3)),
                                     .wait_ms = static_cast<uint32_t>(random.below(2))});
      bytes.resize(bytes.size() + random.below(3));
      for (uint64_t flips = random.below(3); flips > 0; --flips) {
        bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1 << random.below(8));
      }
      if (random.below(2) == 0 && bytes.size() >= kOfiHeadBytes) {
        const uint32_t sum = crc32c(ByteView(bytes).first(offsetof(OfiHeadFormat, checksum)));
        const U32le stored = sum;
        std::memcpy(bytes.data() + offsetof(OfiHeadFormat, checksum), &stored, sizeof(stored));
      }
      if (random.below(4) == 0) bytes.resize(1 + random.below(bytes.size()));
      stranger.endpoint->send(stranger.peer, std::move(bytes));
      world_.run_for(200 * kMicrosecond);
    }
    world_.run(stranger.leave());
  }
  EXPECT_EQ(client_->ask_now("alive").answer, "alive!") << client_->what;
  EXPECT_TRUE(world_.run_until([&] { return server_->server->connections() == 1; }));
}

TEST_P(OfiTest, An_idle_pair_uses_next_to_no_processor) {
  // Goal: nobody polls for nothing. Method: a connection that has worked, then two seconds of
  // nothing; processor time of this process, which is both ends.
  start_server();
  start_client();
  EXPECT_EQ(client_->ask_now("x").code, Errc::ok);
  world_.run_for(6 * kSecond);  // the making of connections is looked after for a while
  const auto used = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
  };
  const auto before = used();
  world_.run_for(2 * kSecond);
  const auto idle = used() - before;
  RecordProperty("idle_microseconds", std::to_string(idle));
  EXPECT_LT(idle, 100'000);
  EXPECT_EQ(client_->ask_now("awake").answer, "awake!");
}

TEST(OfiMessage, Golden_bytes_and_refusals) {
  // Goal: the format stays, and nothing else is read. Method: recorded bytes; every bit of a head
  // flipped, with the checksum as it was and set right.
  const OfiHead head{.kind = OfiKind::far_call,
                     .connection = 0x0102030405060708,
                     .id = 9,
                     .body_bytes = 0x100000,
                     .room_bytes = 0x200,
                     .body_address = 0x1000,
                     .body_key = 0x11,
                     .room_address = 0x2000,
                     .room_key = 0x22};
  const Bytes good = encode_ofi_head(head);
  ASSERT_EQ(good.size(), 72u);
  const uint8_t golden[] = {0x43, 0x52, 0x4E, 0x4F, 2, 0, 0, 0, 8, 7,    6, 5, 4, 3, 2, 1, 9,
                            0,    0,    0,    0,    0, 0, 0, 0, 0, 0x10, 0, 0, 2, 0, 0, 0, 0x10};
  EXPECT_EQ(std::memcmp(good.data(), golden, sizeof(golden)), 0);
  EXPECT_EQ(*decode_ofi_head(good), head);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(decode_ofi_head(bad)) << bit;
    if (bit / 8 >= offsetof(OfiHeadFormat, checksum)) continue;
    const U32le sum = crc32c(ByteView(bad).first(offsetof(OfiHeadFormat, checksum)));
    std::memcpy(bad.data() + offsetof(OfiHeadFormat, checksum), &sum, sizeof(sum));
    const auto read = decode_ofi_head(bad);
    const size_t at = bit / 8;
    const bool fixed = at < 8 || (at >= 64 && at < 68);  // magic, kind, flags, wait_ms
    if (fixed) {
      EXPECT_FALSE(read) << bit;
    } else if (read) {
      EXPECT_FALSE(*read == head);
      EXPECT_TRUE(encode_ofi_head(*read) == bad);
    }
  }
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    EXPECT_FALSE(decode_ofi_head(ByteView(good).first(bytes)));
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_ofi_head(longer));

  const Bytes open = encode_ofi_open(
      {.ring = true, .provider = 1, .connection = 5, .name = Bytes(3, std::byte{7})}, 0);
  const uint8_t opening[] = {1, 0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0,
                             0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 7, 7, 7};
  ASSERT_EQ(open.size(), sizeof(opening));
  EXPECT_EQ(std::memcmp(open.data(), opening, sizeof(opening)), 0);
  EXPECT_EQ(decode_ofi_open(open)->connection, 5u);
  for (size_t bytes = 0; bytes < open.size(); ++bytes) {
    EXPECT_FALSE(decode_ofi_open(ByteView(open).first(bytes)));
  }
  Bytes other = open;
  other[0] = std::byte{2};
  EXPECT_EQ(decode_ofi_open(other).error().code(), Errc::protocol);
  other = open;
  other[20] = std::byte{1};
  EXPECT_EQ(decode_ofi_open(other).error().code(), Errc::format_invalid);
}

TEST(OfiProvider, What_is_missing_is_named_and_what_is_tested_here_is_there) {
  // Goal: a refusal says which provider, what it lacks, and the way out; the two that are tested
  // here work. Method: all of them, on a machine without any device for the others.
  for (const std::string_view provider : kOfiProviders) {
    const bool shm = provider == kShmProvider;
    const auto at =
        parse_address("ofi+" + std::string(provider) + (shm ? "://x" : "://127.0.0.1:7077"));
    ASSERT_TRUE(at);
    const auto choice = choose_provider(*at, shm ? "cairn.ofi.test" : "127.0.0.1");
    if (shm || provider == "tcp;ofi_rxm") {
      EXPECT_TRUE(choice) << provider << ": " << (choice ? "" : choice.error().what());
      continue;
    }
    if (choice) continue;  // a machine that has such a device
    EXPECT_EQ(choice.error().code(), Errc::not_supported);
    const std::string_view what = choice.error().what();
    EXPECT_NE(what.find(provider.substr(0, provider.find(';'))), what.npos) << what;
    EXPECT_NE(what.find("use ofi+tcp;ofi_rxm"), what.npos) << what;
  }
}

TEST(OfiProvider, The_address_of_all_interfaces_is_refused_by_an_engine) {
  World world;
  Echo echo(world.reactor);
  StreamServer server(world.reactor, echo, {}, {});
  const auto taken = server.listen(*parse_address("ofi+tcp;ofi_rxm://0.0.0.0:0"));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Errc::invalid);
  world.run(server.close(0));
}

}  // namespace
}  // namespace cairn::fabric
