// Who is served first where many calls come at once, and what is answered before others run.
#include "fabric/testing_stream.h"

namespace cairn::fabric {
namespace {

constexpr uint64_t kLargeCalls = 8;

/// Large calls take a millisecond of the processor; a small one comes while the first is served.
struct BusyService final : Service {
  explicit BusyService(Clock& clock) : clock(clock) {}
  Task<Result<void>> serve(void*, void*) override { co_return fail(Errc::misc, "by reference"); }
  Task<Bytes> serve_bytes(Bytes request) override {
    seen.emplace_back(as_chars(request));
    if (seen.back() != "large") co_return request;
    if (seen.size() == 1) put(small, frame(FrameKind::call, 1, as_bytes(question)));
    for (const Instant end = clock.now() + kMillisecond; clock.now() < end;) {
    }
    co_return request;
  }
  Clock& clock;
  int small = -1;  // a connection
  std::string question = "small";
  std::vector<std::string> seen;
};

class StreamOrderTest : public StreamTest {
 protected:
  /// kLargeCalls large calls at once; with the first, busy.question on the small lane.
  void serve_beside_large(BusyService& busy);
};

TEST_F(StreamOrderTest, A_small_call_goes_before_large_ones_that_came_earlier) {
  // Goal: it waits for one step of what takes long, not for all; one that is not small does,
  // whatever lane it comes by. Method: eight large calls at once on their own lane, and what was
  // served after which.
  for (const size_t bytes : {size_t{5}, size_t{70'000}}) {
    BusyService busy(reactor_.clock());
    busy.question.resize(bytes, 's');
    serve_beside_large(busy);
    const auto place = std::ranges::find(busy.seen, busy.question) - busy.seen.begin();
    EXPECT_EQ(static_cast<uint64_t>(place), bytes == 5 ? 1 : kLargeCalls);
  }
}

void StreamOrderTest::serve_beside_large(BusyService& busy) {
  start_server_of(busy);
  const int large = raw();
  busy.small = raw();
  put(busy.small, hello_frame());
  put(large, hello_frame(Lane::bulk));
  run_until([&] { return server_->connections() == 2; });
  run_for(5 * kMillisecond);
  put(large, call_frames(kLargeCalls, "large"));
  run_until([&] { return busy.seen.size() == kLargeCalls + 1; });
  ::close(large);
  ::close(busy.small);
  run_until([&] { return server_->connections() == 0; });
  run(stop_server(0));
}

/// Answers at once, except what hangs.
struct QuickEcho final : Service {
  explicit QuickEcho(Reactor& reactor) : slow(reactor) {}
  Task<Result<void>> serve(void*, void*) override { co_return fail(Errc::misc, "by reference"); }
  Task<Bytes> serve_bytes(Bytes request) override { return slow.serve_bytes(std::move(request)); }
  Begun begin_message(Buffer request, size_t head_bytes) override {
    if (as_chars(request) == "hang") return Service::begin_message(std::move(request), head_bytes);
    ++at_once;
    if (on_call) on_call();
    Begun out;
    out.message.head.resize(head_bytes);
    const Bytes echoed = std::move(request).take_bytes();
    out.message.head.insert(out.message.head.end(), echoed.begin(), echoed.end());
    return out;
  }
  Echo slow;
  int at_once = 0;
  std::function<void()> on_call;
};

TEST_F(StreamOrderTest, What_waits_for_nothing_is_answered_at_once_beside_what_waits) {
  // Goal: both kinds on one connection, each with its own answer; a call that is large or comes by
  // the bulk lane is served as before. Method: one that hangs, others meanwhile, then let go.
  QuickEcho quick(reactor_);
  start_server_of(quick);
  start_client();
  Outcome waits;
  ask_later("hang", kNever, waits);
  for (int i = 0; i < 50; ++i) {
    const std::string question = std::to_string(i) + std::string(static_cast<size_t>(i) * 100, 'q');
    EXPECT_EQ(ask_now(question).answer, question);
  }
  EXPECT_EQ(quick.at_once, 50);
  EXPECT_FALSE(waits.done);
  EXPECT_EQ(ask_now(std::string(200'000, 'x')).answer, std::string(200'000, 'x') + "!");
  EXPECT_EQ(quick.at_once, 50);
  quick.slow.let_go = true;
  quick.slow.go.wake_all();
  run_until([&] { return waits.done; });
  EXPECT_EQ(waits.answer, "hang!");
  run(end());
}

TEST_F(StreamOrderTest, Answers_at_once_wait_in_order_where_the_peer_takes_none) {
  // Goal: no byte is lost or doubled where the socket takes a part of an answer only. Method: far
  // more answers than it takes, read later.
  QuickEcho quick(reactor_);
  start_server_of(quick);
  const int fd = raw();
  put(fd, hello_frame());
  constexpr uint64_t kCalls = 100;
  const std::string question(30'000, 'q');
  Bytes wanted;
  for (uint64_t id = 0; id < kCalls; ++id) {
    const Bytes answer = frame(FrameKind::answer, id, as_bytes(question));
    wanted.insert(wanted.end(), answer.begin(), answer.end());
    put(fd, frame(FrameKind::call, id, as_bytes(question)));
    run_until([&] { return quick.at_once == static_cast<int>(id) + 1; });
  }
  Bytes got;
  run_until([&] {
    char text[65'536];
    for (ssize_t n = 1; n > 0;) {
      n = ::recv(fd, text, sizeof(text), MSG_DONTWAIT);
      if (n > 0) got.insert(got.end(), as_bytes(text).data(), as_bytes(text).data() + n);
    }
    return got.size() >= wanted.size();
  });
  ASSERT_GE(got.size(), wanted.size());
  EXPECT_EQ(Bytes(got.end() - static_cast<ptrdiff_t>(wanted.size()), got.end()), wanted);
  ::close(fd);
  run(end());
}

TEST_F(StreamOrderTest, Who_is_answered_at_once_does_not_keep_others_from_their_turn) {
  // Goal: a connection with many calls in its buffer lets others run. Method: 200 calls in one
  // transfer; a task that only yields runs meanwhile.
  QuickEcho quick(reactor_);
  start_server_of(quick);
  const int fd = raw();
  put(fd, hello_frame());
  run_until([&] { return server_->connections() == 1; });
  run_for(5 * kMillisecond);
  int turns = 0, most = 0, begun_at = 0;
  bool stop = false;
  quick.on_call = [&] {
    if (begun_at != turns) begun_at = turns, most = 0;
    EXPECT_LE(++most, 80) << "in a row";
  };
  reactor_.spawn([](Reactor& reactor, int& turns, const bool& stop) -> Task<void> {
    while (!stop) {
      ++turns;
      co_await reactor.yield();
    }
  }(reactor_, turns, stop));
  put(fd, call_frames(200, "q"));
  run_until([&] { return quick.at_once == 200; });
  stop = true;
  reactor_.turn();
  ::close(fd);
  run(end());
}

TEST_F(StreamOrderTest, Calls_that_are_only_begun_are_few_at_once) {
  // Goal: a burst of calls that cannot be answered at once does not hold room for all of them.
  // Method: 200 in one transfer, none of which ends in its beginning.
  struct Begins final : Service {
    int begun = 0, ended = 0, most = 0;
    Task<Result<void>> serve(void*, void*) override { co_return fail(Errc::misc, "by reference"); }
    Task<Bytes> serve_bytes(Bytes request) override { co_return request; }
    Begun begin_message(Buffer, size_t head_bytes) override {
      most = std::max(most, ++begun - ended);
      return {.message = {}, .rest = end(head_bytes)};
    }
    Task<Message> end(size_t head_bytes) {
      ++ended;
      co_return Message{.head = Bytes(head_bytes), .bulk = {}};
    }
  } begins;
  start_server_of(begins);
  const int fd = raw();
  put(fd, hello_frame());
  run_until([&] { return server_->connections() == 1; });
  run_for(5 * kMillisecond);
  put(fd, call_frames(200, "q"));
  run_until([&] { return begins.ended == 200; });
  EXPECT_LE(begins.most, 16);
  ::close(fd);
  run(end());
}

}  // namespace
}  // namespace cairn::fabric
