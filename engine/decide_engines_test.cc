// Transactions over three engines, each of one target: outcomes, and engines that go at any step.
#include <gtest/gtest.h>

#include <functional>

#include "engine/testing.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 0xABCDEF;
constexpr uint32_t kEngines = 3;

wire::ObjectAddress at(uint32_t rank) {
  return {.oid = {rank + 1, uint64_t{1} << 32}, .shard = 0, .target = 0, .rank = rank};
}

/// The way between engines, where somebody may stand in it.
class Way final : public Peers {
 public:
  Task<Result<PeerReply>> ask(uint32_t rank, PeerRequest request) override {
    const int number = ++asked;
    if (number == cut_before) co_return fail(Errc::unreachable, "away");
    CHECK(rank < engines.size());
    auto done = co_await engines[rank]->serve_peer(request);
    if (number == cut_after) co_return fail(Errc::timed_out, "lost");
    co_return done;
  }
  std::vector<Engine*> engines;
  int asked = 0;
  int cut_before = 0;  // the ask that does not arrive
  int cut_after = 0;   // whose answer is lost
};

class DecideEnginesTest : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t rank = 0; rank < kEngines; ++rank) {
      auto made = world_.run(vos::Shard::create(
          world_.reactor, {&disks_[rank].wal, &disks_[rank].meta, &disks_[rank].data}, world_.pool,
          {}));
      ASSERT_TRUE(made);
      shards_.push_back(std::move(*made));
    }
    start();
  }
  void TearDown() override {
    stop();
    for (auto& shard : shards_) ASSERT_TRUE(world_.run(shard->close()));
  }
  /// Engines that know nothing of those before them but what the shards hold.
  void start() {
    way_ = std::make_unique<Way>();
    for (uint32_t rank = 0; rank < kEngines; ++rank) {
      engines_.push_back(
          std::make_unique<Engine>(world_.reactor, EngineOptions{.rank = rank}));
      Engine& engine = *engines_.back();
      engine.set_peers(way_.get());
      engine.set_ranks(world_.pool, {0, 1, 2});
      engine.add_shard(world_.pool, 0, *shards_[rank]);
      way_->engines.push_back(&engine);
      handles_.push_back(*engine.add_handle({.pool = world_.pool,
                                             .container = 1,
                                             .writable = true,
                                             .session = kSession,
                                             .spread = true}));
    }
  }
  void stop() {
    for (auto& engine : engines_) {
      world_.run_void(engine->stop());
      world_.run_void(engine->remove_shards(world_.pool));
    }
    engines_.clear();
    handles_.clear();
  }
  void restart() {
    stop();
    start();
    for (auto& engine : engines_) {
      EXPECT_TRUE(world_.run(engine->resolve_transactions(world_.pool)));
    }
  }
  wire::Reply serve(uint32_t rank, wire::Request& r) {
    r.header.handle = handles_[rank];
    r.header.session = kSession;
    r.header.acknowledged_below = 1;
    wire::Reply reply;
    EXPECT_TRUE(world_.run(engines_[rank]->serve(&r, &reply)));
    return reply;
  }
  std::string get(uint32_t rank) {
    std::string room(8, '#');
    wire::Request r;
    r.body =
        wire::ObjectFetch{.object = at(rank), .dkey = as_bytes("d"), .iods = single_value(room)};
    std::get<wire::ObjectFetch>(r.body).object.rank = 0;
    const wire::Reply reply = serve(rank, r);
    if (reply.error.code() != Errc::ok) return "error";
    room.resize(std::get<model::Fetched>(reply.body).iods.front().record_bytes);
    return room;
  }
  std::vector<std::string> get_all() { return {get(0), get(1), get(2)}; }
  static std::vector<std::string> all(const std::string& value) {
    return std::vector<std::string>(kEngines, value);
  }
  wire::Reply put_all(std::string value, uint64_t sequence, uint32_t asked = 0,
                      std::vector<wire::TransactRead> reads = {}, model::Epoch read_epoch = 0) {
    wire::Request r;
    r.header.sequence = sequence;
    wire::ObjectTransact body{.read_epoch = read_epoch, .reads = std::move(reads)};
    for (uint32_t rank = 0; rank < kEngines; ++rank) {
      body.ops.push_back(wire::ObjectUpdate{
          .object = at(rank), .dkey = as_bytes("d"), .iods = single_value(value)});
    }
    r.body = std::move(body);
    const wire::Reply reply = serve(asked, r);
    // What was taken apart is whole again.
    const auto& after = std::get<wire::ObjectTransact>(r.body);
    for (const auto& op : after.ops) EXPECT_EQ(std::get<wire::ObjectUpdate>(op).iods.size(), 1u);
    return reply;
  }
  /// A transaction over all engines, in the background.
  Task<void> put_later(Errc& into) {
    std::string value = "later";
    wire::Request r;
    r.header = {.handle = handles_[0], .session = kSession, .sequence = 9, .acknowledged_below = 1};
    wire::ObjectTransact body;
    for (uint32_t rank = 0; rank < kEngines; ++rank) {
      body.ops.push_back(wire::ObjectUpdate{
          .object = at(rank), .dkey = as_bytes("d"), .iods = single_value(value)});
    }
    r.body = std::move(body);
    wire::Reply reply;
    EXPECT_TRUE(co_await engines_[0]->serve(&r, &reply));
    into = reply.error.code();
  }
  Task<void> pause() { co_await world_.reactor.sleep(200 * kMillisecond); }
  size_t unresolved() const {
    size_t count = 0;
    for (const auto& shard : shards_) count += shard->unresolved().size();
    return count;
  }

  struct Disks {
    MemoryDevice wal{16u << 20}, meta{32u << 20}, data{32u << 20};
  };
  EngineWorld world_;
  Disks disks_[kEngines];
  std::vector<std::unique_ptr<vos::Shard>> shards_;
  std::unique_ptr<Way> way_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::vector<wire::HandleRef> handles_;
};

TEST_F(DecideEnginesTest, Changes_on_three_engines_come_together_and_once) {
  // Goal: one outcome; a copy is answered, not executed, also by the next engine. Method: resend it
  // after something newer was written; restart in between.
  ASSERT_EQ(put_all("one", 5).error.code(), Errc::ok);
  EXPECT_EQ(get_all(), all("one"));
  ASSERT_EQ(put_all("two", 6).error.code(), Errc::ok);
  EXPECT_EQ(put_all("one", 5).error.code(), Errc::ok);
  EXPECT_EQ(get_all(), all("two"));
  restart();
  EXPECT_EQ(put_all("one", 5).error.code(), Errc::ok);
  EXPECT_EQ(get_all(), all("two"));
  EXPECT_EQ(unresolved(), 0u);
}

TEST_F(DecideEnginesTest, Only_the_lowest_engine_decides) {
  // Goal: nobody decides about what a lower engine takes part in. Method: ask the second one; ask
  // without a way to others.
  EXPECT_EQ(put_all("no", 5, 1).error.code(), Errc::stale_map);
  engines_[0]->set_peers(nullptr);
  EXPECT_EQ(put_all("no", 6).error.code(), Errc::not_supported);
  EXPECT_EQ(get_all(), all(""));
}

TEST_F(DecideEnginesTest, What_was_read_on_one_engine_protects_all_of_it) {
  // Goal: a change of what was read, wherever, stops the whole transaction. Method: read at an
  // epoch, change it, commit.
  const model::Epoch before = put_all("one", 5).header.epoch;
  ASSERT_NE(before, 0u);
  uint64_t sequence = 10;
  for (uint32_t rank = 0; rank < kEngines; ++rank) {
    ASSERT_EQ(put_all("two", ++sequence).error.code(), Errc::ok);
    const std::vector<wire::TransactRead> reads{
        {.object = at(rank), .level = wire::ReadLevel::dkey, .dkey = as_bytes("d")}};
    EXPECT_EQ(put_all("no", ++sequence, 0, reads, before).error.code(), Errc::tx_restart);
    EXPECT_EQ(get_all(), all("two"));
  }
  EXPECT_EQ(unresolved(), 0u);
}

TEST_F(DecideEnginesTest, Whoever_goes_at_whichever_step_it_is_all_or_nothing) {
  // Goal: no step of the protocol is a point where a lost message, followed by a restart of all
  // engines, splits a transaction; what was told to have happened has. Method: cut each message
  // between engines once, before it arrives and after; then the same request again.
  uint64_t sequence = 100;
  for (const bool after : {false, true}) {
    for (int step = 1; step <= 8; ++step) {
      ASSERT_EQ(put_all("old", ++sequence).error.code(), Errc::ok);
      way_->asked = 0;
      (after ? way_->cut_after : way_->cut_before) = step;
      const uint64_t tried = ++sequence;
      const wire::Reply reply = put_all("new", tried);
      const bool told = reply.error.code() == Errc::ok;
      restart();
      EXPECT_EQ(unresolved(), 0u) << step << after;
      const auto now = get_all();
      EXPECT_TRUE(now == all("old") || now == all("new")) << step << after;
      if (told) EXPECT_EQ(now, all("new")) << step << after;
      ASSERT_EQ(put_all("new", tried).error.code(), Errc::ok) << step << after;
      EXPECT_EQ(get_all(), all("new"));
    }
  }
}

TEST_F(DecideEnginesTest, What_an_engine_missed_it_learns_without_a_restart) {
  // Goal: outcomes that could not be told are asked for. Method: cut the commit to one engine; time
  // passes; the same request again says that it happened.
  ASSERT_EQ(put_all("old", 5).error.code(), Errc::ok);
  way_->asked = 0;
  way_->cut_before = 5;  // two draws, two prepares, then the first commit
  EXPECT_EQ(put_all("new", 6).error.code(), Errc::unreachable);
  EXPECT_EQ(unresolved(), 1u);
  while (unresolved() != 0) ASSERT_TRUE(world_.step());
  EXPECT_EQ(get_all(), all("new"));
  EXPECT_EQ(put_all("new", 6).error.code(), Errc::ok);
}

TEST_F(DecideEnginesTest, A_prepare_that_an_abort_overtook_does_nothing) {
  // Goal: a late message of a dropped transaction prepares nothing. Method: abort, then prepare at
  // the same epoch, then above it.
  std::string value = "late";
  wire::ObjectTransact body;
  body.ops.push_back(wire::ObjectUpdate{
      .object = at(1), .dkey = as_bytes("d"), .iods = single_value(value)});
  const vos::TxId id{.high = kSession, .low = uint64_t{9} << 18};
  const model::Epoch epoch = shards_[1]->draw_epoch() + 10;
  PeerRequest request{
      .verb = PeerVerb::abort, .pool = world_.pool, .id = id, .epoch = epoch, .container = 1};
  ASSERT_TRUE(world_.run(engines_[1]->serve_peer(request)));
  request.verb = PeerVerb::prepare;
  request.body = &body;
  EXPECT_EQ(world_.run(engines_[1]->serve_peer(request)).error().code(), Errc::unknown);
  EXPECT_EQ(unresolved(), 0u);
  request.epoch = epoch + 10;
  ASSERT_TRUE(world_.run(engines_[1]->serve_peer(request)));
  EXPECT_EQ(unresolved(), 1u);
  request.verb = PeerVerb::abort;
  ASSERT_TRUE(world_.run(engines_[1]->serve_peer(request)));
  EXPECT_EQ(unresolved(), 0u);
  request.pool = {};
  EXPECT_EQ(world_.run(engines_[1]->serve_peer(request)).error().code(), Errc::unreachable);
}

TEST_F(DecideEnginesTest, An_engine_that_does_not_serve_yet_prepares_nothing) {
  // Goal: what it has missed of a rollback comes before anything new. Method: it comes back, and
  // has not caught up.
  ASSERT_EQ(put_all("one", 1).error.code(), Errc::ok);
  engines_[2]->set_serving(false);
  EXPECT_EQ(put_all("two", 2).error.code(), Errc::unreachable);
  engines_[2]->set_serving(true);
  EXPECT_EQ(get_all(), all("one"));
  EXPECT_EQ(put_all("two", 2).error.code(), Errc::ok);
  EXPECT_EQ(get_all(), all("two"));
}

Task<void> hold(vos::Shard& shard, model::Epoch snapshot, model::Epoch& into) {
  const auto held = co_await shard.hold_container(1, snapshot, 1);
  EXPECT_TRUE(held);
  if (held) into = *held;
}

TEST_F(DecideEnginesTest, A_transaction_beside_a_rollback_is_undone_everywhere_or_nowhere) {
  // Goal: as it says (found by simulated clusters). Method: all shards hold, one goes back, and a
  // transaction comes before the others have; they go back one after the other.
  ASSERT_EQ(put_all("old", 1).error.code(), Errc::ok);
  model::Epoch snapshot = 0;
  for (auto& shard : shards_) {
    snapshot = std::max(snapshot, *world_.run(shard->freeze_container(1)) + 1);
  }
  for (auto& shard : shards_) ASSERT_TRUE(world_.run(shard->add_snapshot(1, snapshot)));
  ASSERT_EQ(put_all("newer", 2).error.code(), Errc::ok);
  model::Epoch back = 0;
  for (auto& shard : shards_) {
    model::Epoch answered = 0;
    world_.run_void(hold(*shard, snapshot, answered));
    back = std::max(back, answered + 1);
  }
  ASSERT_TRUE(world_.run(shards_[0]->rollback(1, snapshot, back)));
  Errc late = Errc::again;
  world_.reactor.spawn(put_later(late));
  world_.run_void(pause());
  EXPECT_EQ(late, Errc::again) << "it waits for the others";
  ASSERT_TRUE(world_.run(shards_[2]->rollback(1, snapshot, back)));
  ASSERT_TRUE(world_.run(shards_[1]->rollback(1, snapshot, back)));
  while (late == Errc::again) world_.run_void(pause());
  EXPECT_EQ(late, Errc::ok);
  EXPECT_EQ(get_all(), all("later"));
}

}  // namespace
}  // namespace cairn::engine
