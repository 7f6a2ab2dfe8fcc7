// Both ends of stream sockets against each other, and the engine's end against bytes that nobody
// well-meaning sends.
#include "fabric/testing_stream.h"

namespace cairn::fabric {
namespace {

TEST_F(StreamTest, A_call_is_answered_small_ones_and_large_ones_on_their_own_connections) {
  // Goal: both lanes work. Method: a short and a 5 MiB question; count connections.
  start_server();
  start_client();
  EXPECT_EQ(ask_now("hello").answer, "hello!");
  const std::string large(5u << 20, 'x');
  EXPECT_EQ(ask_now(large).answer, large + "!");
  EXPECT_EQ(ask_now("again").answer, "again!");
  EXPECT_EQ(server_->counts().connections, 2u);
  EXPECT_EQ(client_->connects(), 2u);
}

TEST_F(StreamTest, Many_calls_at_once_all_get_their_own_answer) {
  // Goal: answers find their calls. Method: 500 calls of different sizes before the first answer.
  start_server({.calls_max = 64});
  start_client();
  std::vector<Outcome> out(500);
  const auto question = [](size_t i) { return std::to_string(i) + std::string(i * 37, 'q'); };
  for (size_t i = 0; i < out.size(); ++i) ask_later(question(i), kNever, out[i]);
  run_until([&] { return std::ranges::all_of(out, [](const Outcome& o) { return o.done; }); });
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i].answer, question(i) + "!");
}

TEST_F(StreamTest, A_deadline_ends_a_call_and_its_late_answer_touches_nothing) {
  // Goal: timed_out, and the connection goes on. Method: a question that hangs, let go later.
  start_server();
  start_client();
  const Outcome out = ask_now("hang", 30 * kMillisecond);
  EXPECT_EQ(out.code, Errc::timed_out);
  echo_.let_go = true;
  echo_.go.wake_all();
  EXPECT_EQ(ask_now("next", kSecond).answer, "next!");
  run_for(20 * kMillisecond);
  EXPECT_EQ(client_->connects(), 1u);
  EXPECT_EQ(ask_now("mute", kSecond).code, Errc::timed_out) << "no answer is no wait for ever";
}

TEST_F(StreamTest, An_earlier_deadline_after_a_later_one_is_kept) {
  // Goal: the watcher looks early enough. Method: a long limit first, then a short one.
  start_server();
  start_client();
  Outcome slow, fast;
  ask_later("hang", 10 * kSecond, slow);
  ask_later("hang", 20 * kMillisecond, fast);
  run_until([&] { return fast.done; });
  EXPECT_EQ(fast.code, Errc::timed_out);
  EXPECT_FALSE(slow.done);
  echo_.let_go = true;
  echo_.go.wake_all();
  run_until([&] { return slow.done; });
  EXPECT_EQ(slow.answer, "hang!");
}

TEST_F(StreamTest, A_broken_connection_leaves_the_outcome_open_and_the_next_call_connects_again) {
  // Goal: timed_out for what was under way, then service as before. Method: a new server.
  start_server();
  start_client();
  Outcome out;
  ask_later("hang", kNever, out);
  run_until([&] { return echo_.hanging == 1; });
  // A server that dies: its connections go without an answer.
  reactor_.spawn(stop_server(0));
  run_until([&] { return out.done; });
  EXPECT_EQ(out.code, Errc::timed_out);
  echo_.let_go = true;
  echo_.go.wake_all();
  run_until([&] { return server_ == nullptr; });
  EXPECT_EQ(ask_now("nobody").code, Errc::unreachable);
  start_server();
  EXPECT_EQ(ask_now("back").answer, "back!");
}

TEST_F(StreamTest, Close_lets_answers_out_first) {
  // Goal: what was begun is answered. Method: close while a call hangs, then let it go.
  start_server();
  start_client();
  Outcome out;
  ask_later("hang", kNever, out);
  run_until([&] { return echo_.hanging == 1; });
  reactor_.spawn(stop_server(5 * kSecond));
  run_for(20 * kMillisecond);
  EXPECT_FALSE(out.done);
  echo_.let_go = true;
  echo_.go.wake_all();
  run_until([&] { return out.done; });
  EXPECT_EQ(out.answer, "hang!");
  run_until([&] { return server_ == nullptr; });
}

TEST_F(StreamTest, Sessions_come_with_their_first_connection_and_go_with_their_last) {
  // Goal: the hooks tell who is there. Method: both lanes of one session, closed together.
  start_server();
  start_client({.session = 7});
  ask_now("small");
  ask_now(std::string(100'000, 'l'));
  EXPECT_EQ(events_, "+7");
  EXPECT_EQ(server_->clients(), 1u);
  run(client_->close());
  client_.reset();
  run_until([&] { return server_->connections() == 0; });
  EXPECT_EQ(events_, "+7-7");
}

TEST_F(StreamTest, A_hello_can_look_and_ask_to_leave) {
  // Goal: purposes. Method: look; leave_if_idle with and without a client; leave.
  start_server({.rank = 3, .incarnation = 99});
  const auto ask = [this](Purpose purpose) {
    Result<HelloReply> reply = fail(Errc::misc, "did not run");
    run(say_hello(purpose, reply));
    return reply;
  };
  const auto look = ask(Purpose::look);
  ASSERT_TRUE(look);
  EXPECT_EQ(look->rank, 3u);
  EXPECT_EQ(look->incarnation, 99u);
  EXPECT_EQ(look->process, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(look->clients, 0u);
  EXPECT_EQ(events_, "");
  client_ = std::make_unique<StreamTransport>(
      reactor_, StreamClientOptions{.session = 5},
      [this](Endpoint) { return connect_to(reactor_, address_, kSecond); });
  run([](StreamTransport& c) -> Task<void> {
    EXPECT_TRUE(co_await c.meet({.rank = 3}));
  }(*client_));
  EXPECT_EQ(ask(Purpose::leave_if_idle)->status, Errc::busy);
  EXPECT_EQ(events_, "+5");
  EXPECT_EQ(ask(Purpose::leave)->status, Errc::ok);
  run_until([&] { return events_ == "+5 leave"; });
}

TEST_F(StreamTest, Another_system_or_rank_is_refused) {
  // Goal: errors that say so. Method: expectations that do not fit.
  const Uuid system{{1, 2, 3}};
  start_server({.system = system, .rank = 0});
  start_client({.system = Uuid{{9}}});
  EXPECT_EQ(ask_now("x").code, Errc::protocol);
  run(client_->close());
  start_client({.system = system});
  EXPECT_EQ(ask_now("x").code, Errc::ok);
  TextCall call;
  Errc code = Errc::ok;
  run([](StreamTransport& c, TextCall& t, Errc& out) -> Task<void> {
    const auto outcome = co_await c.call({.rank = 4}, t, kNever);
    out = outcome ? Errc::ok : outcome.error().code();
  }(*client_, call, code));
  EXPECT_EQ(code, Errc::nonexistent);
}

TEST_F(StreamTest, Tcp_needs_the_token) {
  // Goal: no stranger over TCP. Method: without a token, with a wrong one, with the right one, and
  // against a server that has none.
  const Token secret{1, 2, 3, 4};
  for (const Token& servers : {secret, Token{}}) {
    server_ = std::make_unique<StreamServer>(reactor_, echo_, StreamServerOptions{.token = servers},
                                             StreamServer::Hooks{});
    const auto at = server_->listen(*parse_address("tcp:127.0.0.1:0"));
    ASSERT_TRUE(at);
    address_ = *at;
    for (const Token& clients : {Token{}, Token{1, 2, 3}, secret}) {
      start_client({.token = clients});
      const bool fits = clients == secret && servers == secret;
      EXPECT_EQ(ask_now("x").code, fits ? Errc::ok : Errc::no_perm);
      run(client_->close());
      client_.reset();
    }
    run(stop_server(0));
  }
}

TEST_F(StreamTest, Admin_over_tcp_needs_the_secret) {
  // Goal: a client's right, even that of anybody, is none to speak for the system itself; the
  // system's secret is, and makes nobody a client. Method: each kind of token for each purpose.
  const Token client{1}, secret{2};
  for (const bool anybody : {false, true}) {
    for (const Token& own : {secret, Token{}}) {
      Echo admin(reactor_);
      server_ = std::make_unique<StreamServer>(
          reactor_, echo_,
          StreamServerOptions{.token = client, .admin_token = own, .anybody = anybody},
          StreamServer::Hooks{});
      server_->set_admin(admin);
      const auto at = server_->listen(*parse_address("tcp:127.0.0.1:0"));
      ASSERT_TRUE(at);
      address_ = *at;
      for (const Token& shown : {Token{}, client, secret}) {
        for (const Purpose purpose : {Purpose::calls, Purpose::admin}) {
          start_client({.session = 5, .purpose = purpose, .token = shown});
          const bool fits = purpose == Purpose::admin ? shown == secret && own == secret
                                                      : anybody || shown == client;
          EXPECT_EQ(ask_now("x").code, fits ? Errc::ok : Errc::no_perm);
          run(client_->close());
          client_.reset();
        }
      }
      run(stop_server(0));
    }
  }
}

TEST_F(StreamTest, What_is_no_frame_ends_the_connection_and_nothing_else) {
  // Goal: hostile bytes cost their sender the connection. Method: each kind of wrong start, and
  // after a right hello each kind of wrong frame; a client is served throughout.
  start_server();
  start_client();
  const Bytes hello = hello_frame();
  Bytes other_version = encode_hello({});
  other_version[0] = std::byte{9};
  Bytes flipped = frame(FrameKind::call, 1, as_bytes("abc"));
  flipped[9] ^= std::byte{1};
  Bytes flags = frame(FrameKind::call, 1, {});
  FrameFormat huge{};
  huge.magic = kFrameMagic;
  huge.kind = static_cast<uint16_t>(FrameKind::call);
  huge.bytes = 0xFFFFFFF0;
  huge.checksum = crc32c(view_of(&huge, offsetof(FrameFormat, checksum)));
  const std::vector<Bytes> starts = {
      Bytes(200, std::byte{'G'}), frame(FrameKind::call, 1, as_bytes("early")),
      frame(FrameKind::hello, 0, as_bytes("short")), frame(FrameKind::hello, 0, other_version),
      frame(FrameKind::hello, 0, Bytes(5000)), flipped};
  for (const Bytes& start : starts) {
    const int fd = raw();
    put(fd, start);
    EXPECT_TRUE(closed(fd));
    ::close(fd);
    EXPECT_EQ(ask_now("alive").answer, "alive!");
  }
  const std::vector<Bytes> later = {
      Bytes(100, std::byte{7}), frame(FrameKind::answer, 1, {}), hello, flipped,
      Bytes(view_of(&huge, sizeof(huge)).begin(), view_of(&huge, sizeof(huge)).end())};
  for (const Bytes& bad : later) {
    const int fd = raw();
    put(fd, hello);
    put(fd, bad);
    EXPECT_TRUE(closed(fd));
    ::close(fd);
    EXPECT_EQ(ask_now("alive").answer, "alive!");
  }
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(StreamTest, A_peer_that_says_nothing_is_sent_away) {
  // Goal: half-open peers do not pile up. Method: connect, wait over the time for a hello.
  start_server({.hello_ns_max = 50 * kMillisecond});
  const int fd = raw();
  run_until([&] { return server_->connections() == 1; });
  EXPECT_TRUE(closed(fd));
  ::close(fd);
  run_until([&] { return server_->connections() == 0; });
}

TEST_F(StreamTest, Of_those_who_say_nothing_only_so_many_are_let_wait) {
  // Goal: strangers cannot make a server hold more and more. Method: four places; four who say
  // nothing and three more; one of the four leaves, one says who it is, others take their places.
  start_server({.ungreeted_max = 4});
  std::vector<int> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(raw());
  run_until([&] { return server_->connections() == 4; });
  for (int i = 0; i < 3; ++i) {
    const int fd = raw();
    EXPECT_TRUE(closed(fd));
    ::close(fd);
  }
  EXPECT_EQ(server_->counts().crowded, 3u);
  EXPECT_EQ(server_->connections(), 4u);

  ::close(silent[1]);
  run_until([&] { return server_->connections() == 3; });
  put(silent[0], hello_frame());
  start_client();
  EXPECT_EQ(ask_now("hello").answer, "hello!") << "there is a place";
  for (int i = 0; i < 2; ++i) silent.push_back(raw());
  run_until([&] { return server_->connections() == 6; });
  const int late = raw();
  EXPECT_TRUE(closed(late));
  EXPECT_EQ(server_->counts().crowded, 4u);
  EXPECT_EQ(ask_now("again").answer, "again!") << "who has greeted stays";
  ::close(late);
  for (const size_t i : {0, 2, 3, 4, 5}) ::close(silent[i]);
  run_until([&] { return server_->connections() == 1; });
}

TEST_F(StreamTest, Strangers_of_a_network_do_not_keep_out_who_knows_the_home) {
  // Goal: the Unix socket has places of its own. Method: all places of TCP are taken.
  start_server({.ungreeted_max = 2});
  const auto at = server_->listen(*parse_address("tcp:127.0.0.1:0"));
  ASSERT_TRUE(at);
  std::vector<Result<Socket>> silent;
  const auto connect = [&] {
    run([](Reactor& reactor, Address to, std::vector<Result<Socket>>& out) -> Task<void> {
      out.push_back(co_await connect_to(reactor, to, kSecond));
    }(reactor_, *at, silent));
    ASSERT_TRUE(silent.back());
  };
  for (int i = 0; i < 3; ++i) connect();
  run_until([&] { return server_->counts().crowded == 1; });
  start_client();
  EXPECT_EQ(ask_now("hello").answer, "hello!");
  EXPECT_EQ(server_->connections(), 3u);
  EXPECT_EQ(server_->counts().crowded, 1u);
  silent.clear();
  run_until([&] { return server_->connections() == 1; });
}

TEST_F(StreamTest, Connections_that_wait_hold_little_whatever_came_before) {
  // Goal: ten thousand idle clients cost an engine some kilobytes each. Method: 40 connections ask
  // many small questions at once, then one of 60 kB; another one stops inside a frame.
  constexpr size_t kCount = 40, kQuestions = 300, kIdleBytesMax = 8192;
  start_server();
  Bytes many = hello_frame();
  for (uint64_t id = 0; id < kQuestions; ++id) {
    const Bytes one = frame(FrameKind::call, id, Bytes(200, std::byte{'q'}));
    many.insert(many.end(), one.begin(), one.end());
  }
  ASSERT_GT(many.size(), 2 * kIdleBytesMax);
  const Bytes large = frame(FrameKind::call, kQuestions, Bytes(60'000, std::byte{'l'}));
  std::vector<int> fds;
  const auto all_hold_little = [&](size_t served) {
    run_until([&] { return echo_.served == static_cast<int>(served); });
    run_for(5 * kMillisecond);
    EXPECT_LE(server_->buffer_bytes(), kCount * kIdleBytesMax);
  };
  for (size_t i = 0; i < kCount; ++i) put(fds.emplace_back(raw()), many);
  all_hold_little(kCount * kQuestions);
  for (const int fd : fds) put(fd, large);
  all_hold_little(kCount * (kQuestions + 1));
  put(fds[0], ByteView(many).subspan(many.size() - 40 * 224, 40 * 224 - 1));
  all_hold_little(kCount * (kQuestions + 1) + 39);
  EXPECT_EQ(server_->connections(), kCount);
  for (const int fd : fds) ::close(fd);
  run_until([&] { return server_->connections() == 0; });
}

TEST_F(StreamTest, A_peer_that_does_not_read_is_held_back_and_others_are_served) {
  // Goal: bounded memory. Method: 200 questions with answers of a megabyte, none read.
  start_server({.bytes_max = 4u << 20});
  start_client();
  const int fd = raw();
  put(fd, hello_frame());
  for (uint64_t i = 0; i < 200; ++i) put(fd, frame(FrameKind::call, i, as_bytes("big")));
  run_for(100 * kMillisecond);
  EXPECT_LT(echo_.served, 20);
  EXPECT_EQ(ask_now("other").answer, "other!");
  ::close(fd);
  run_until([&] { return server_->connections() == 1; });
}

TEST_F(StreamTest, An_engine_with_too_much_to_do_says_so_and_when_to_come_again) {
  // Goal: calls beyond the limit are refused at once, small and large, with a hint that follows
  // what calls take; a connection without calls may always have one; a client that does not know
  // of this is not refused. Method: two calls that hang, more calls, another connection.
  start_server({.total_calls_max = 2});
  start_client();
  Outcome first, second;
  ask_later("hang", kNever, first);
  ask_later("hang", kNever, second);
  run_until([&] { return echo_.hanging == 2; });
  Outcome refused = ask_now("third");
  EXPECT_EQ(refused.code, Errc::overload);
  EXPECT_EQ(refused.wait, kMillisecond) << "nothing is known yet";
  // On a connection of its own, which has no call yet, the first large one goes through.
  EXPECT_EQ(ask_now(std::string(100'000, 'x')).code, Errc::ok);
  Outcome large;
  ask_later(std::string(200'000, 'y'), kNever, large);
  run_until([&] { return large.done; });
  EXPECT_EQ(large.code, Errc::ok);
  EXPECT_EQ(server_->counts().busy, 1u);

  // An older client, on a connection that has a call under way.
  const int fd = raw();
  put(fd, hello_frame());
  put(fd, frame(FrameKind::call, 1, as_bytes("hang")));
  run_until([&] { return echo_.hanging == 3; });
  put(fd, frame(FrameKind::call, 2, as_bytes("more")));
  run_until([&] { return echo_.served == 6; });
  EXPECT_EQ(server_->counts().busy, 1u);

  run_for(200 * kMillisecond);
  echo_.let_go = true;
  echo_.go.wake_all();
  run_until([&] { return first.done && second.done; });
  echo_.let_go = false;
  Outcome third, fourth;
  ask_later("hang", kNever, third);
  ask_later("hang", kNever, fourth);
  run_until([&] { return echo_.hanging == 5; });
  refused = ask_now("once more");
  EXPECT_EQ(refused.code, Errc::overload);
  EXPECT_GT(refused.wait, 5 * kMillisecond);
  EXPECT_LE(refused.wait, kSecond);
  ::close(fd);
  echo_.let_go = true;
  echo_.go.wake_all();
  run_until([&] { return third.done && fourth.done; });
}

TEST_F(StreamTest, A_peer_that_says_busy_in_another_way_is_no_engine) {
  // Goal: hostile answers end the connection. Method: the client meets a listener of the test's own
  // that greets well and then says busy with seven bytes.
  auto listener = Listener::open(reactor_, address_);
  ASSERT_TRUE(listener);
  bool served = false;
  reactor_.spawn([](Listener& l, Reactor& reactor, bool& served) -> Task<void> {
    auto socket = co_await l.accept();
    CHECK(socket.has_value());
    const auto stream = std::make_shared<Stream>(reactor, std::move(*socket), 4096u);
    const auto hello = co_await stream->read_head();
    CHECK(hello.has_value());
    CHECK((co_await stream->read_payload(hello->bytes)).has_value());
    Bytes out(kFrameHeadBytes);
    const Bytes reply = encode_hello_reply({.calls_max = 8, .message_bytes_max = 4096});
    out.insert(out.end(), reply.begin(), reply.end());
    stream->post(FrameKind::hello, 0, std::move(out));
    const auto call = co_await stream->read_head();
    CHECK(call.has_value());
    CHECK((co_await stream->read_payload(call->bytes)).has_value());
    stream->post(FrameKind::busy, call->id, Bytes(kFrameHeadBytes + 7));
    co_await stream->flush();
    CHECK(!(co_await stream->read_head()).has_value());
    co_await stream->close();
    served = true;
  }(*listener, reactor_, served));
  start_client();
  EXPECT_EQ(ask_now("x").code, Errc::timed_out);
  run_until([&] { return served; });
}

TEST_F(StreamTest, Random_changes_of_good_bytes_never_hurt) {
  // Goal: as above, wider. Method: a hello and calls with flipped bytes, cut anywhere.
  start_server();
  start_client();
  SeededRandom random(11);
  for (int i = 0; i < 300; ++i) {
    Bytes bytes = frame(FrameKind::hello, 0, encode_hello({.session = 1}));
    for (uint64_t id = 0; id < 3; ++id) {
      const Bytes call = frame(FrameKind::call, id, as_bytes("call"));
      bytes.insert(bytes.end(), call.begin(), call.end());
    }
    for (uint64_t flips = random.below(4); flips > 0; --flips) {
      bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1 << random.below(8));
    }
    bytes.resize(random.below(bytes.size() + 1));
    const int fd = raw();
    put(fd, bytes);
    for (int turns = 0; turns < 5; ++turns) reactor_.turn();
    ::close(fd);
  }
  EXPECT_EQ(ask_now("alive").answer, "alive!");
  run_until([&] { return server_->connections() == 1; });
}

TEST(Hello, Golden_bytes_and_refusals) {
  // Goal: the format stays. Method: recorded bytes; wrong lengths, versions, values.
  const Bytes hello = encode_hello({.lane = Lane::bulk, .purpose = Purpose::leave, .process = 7});
  ASSERT_EQ(hello.size(), 80u);
  EXPECT_EQ(hello[0], std::byte{1});
  EXPECT_EQ(hello[2], std::byte{1});
  EXPECT_EQ(hello[4], std::byte{3});
  EXPECT_EQ(hello[32], std::byte{0xFF});
  EXPECT_EQ(hello[36], std::byte{7});
  EXPECT_EQ(decode_hello(hello)->purpose, Purpose::leave);
  EXPECT_EQ(decode_hello(ByteView(hello).first(79)).error().code(), Errc::format_invalid);
  Bytes bad = hello;
  bad[0] = std::byte{2};
  EXPECT_EQ(decode_hello(bad).error().code(), Errc::protocol);
  bad = hello;
  bad[2] = std::byte{9};
  EXPECT_EQ(decode_hello(bad).error().code(), Errc::protocol);
  const Bytes reply = encode_hello_reply({.status = Errc::busy, .clients = 3, .stays = true});
  ASSERT_EQ(reply.size(), 64u);
  EXPECT_EQ(decode_hello_reply(reply)->status, Errc::busy);
  EXPECT_EQ(decode_hello_reply(reply)->clients, 3u);
  EXPECT_TRUE(decode_hello_reply(reply)->stays);
  bad = reply;
  bad[60] = std::byte{2};
  EXPECT_EQ(decode_hello_reply(bad).error().code(), Errc::protocol);
}

}  // namespace
}  // namespace cairn::fabric
