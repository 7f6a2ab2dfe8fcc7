// Containers' worm_* properties and seals: what engines are told and when, engines that are away or
// fail, and kills at every step.
#include "service/props.h"
#include "service/service_testing.h"

namespace cairn::service {
namespace {

using model::WormPolicy;
using wire::Op;
using wire::SealState;

constexpr uint32_t kNumber = 1;  // of the container

class WormServiceTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    pool_ = pool();
    ASSERT_TRUE(create_cont(pool_, "c"));
    open();
  }
  void open() {
    const auto cont = open_cont(pool_, "c");
    ASSERT_TRUE(cont);
    cont_ = cont->handle;
  }
  /// Handles end with the process.
  void reopen() {
    pool_ = connect("tank")->handle;
    open();
  }
  Errc seal(std::string by = "me@here") {
    return code(call({.op = Op::cont_seal, .name = std::move(by), .cont_handle = cont_}));
  }
  Errc unseal() { return code(of_cont(Op::cont_unseal, cont_)); }
  wire::WormReply worm() {
    const auto reply = call({.op = Op::cont_worm, .cont_handle = cont_, .count = 1});
    CHECK(reply.has_value());
    return reply->worm;
  }
  Errc set(uint32_t number, uint64_t value) {
    return code(call({.op = Op::cont_set_props,
                      .cont_handle = cont_,
                      .props = {{.number = number, .integer = value}}}));
  }
  std::vector<wire::Prop> props() { return of_cont(Op::cont_query, cont_)->conts[0].props; }
  bool host_sealed() { return host_.worms[kNumber].seal.is_set(); }
  bool catch_up(FakeHost& engine) {
    const auto done = world_.run(service_->catch_up(engine));
    return done && *done;
  }
  void finish_decided() { world_.run(then_true(service_->finish_removals())); }
  static Task<bool> then_true(Task<void> task) {
    co_await std::move(task);
    co_return true;
  }
  FakeHost late() {
    FakeHost engine;
    engine.pools = host_.pools;
    return engine;
  }

  uint64_t pool_ = 0, cont_ = 0;
};

TEST_F(WormServiceTest, Properties_are_told_to_the_engines_and_shown) {
  EXPECT_TRUE(host_.told_worm.empty()) << "a container without any costs nothing";
  EXPECT_EQ(set(prop::kContWormInlineMax, 1'000), Errc::ok);
  EXPECT_EQ(set(prop::kContWormCompress, 1), Errc::ok);
  EXPECT_EQ(host_.worms[kNumber], (WormPolicy{.inline_bytes_max = 1'000, .compress = true}));
  const wire::Prop* const shown = find_prop(props(), prop::kContWormInlineMax);
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(set(prop::kContWormInlineMax, model::kWormInlineBytesMax + 1), Errc::invalid);
  EXPECT_EQ(set(prop::kContWormObjectMax, 1), Errc::invalid);
  EXPECT_EQ(set(prop::kContWormCompress, 2), Errc::invalid);
  EXPECT_EQ(code(call({.op = Op::cont_set_props,
                       .cont_handle = cont_,
                       .props = {{.number = prop::kContWormSealed, .text = "me"}}})),
            Errc::invalid)
      << "only by sealing";
  EXPECT_EQ(host_.worms[kNumber].inline_bytes_max, 1'000u);
  EXPECT_EQ(worm().worm.inline_bytes_max, 1'000u);

  ASSERT_TRUE(create_cont(pool_, "d", {{.number = prop::kContWormColdAfter, .integer = 60}}));
  EXPECT_EQ(host_.worms[2].cold_after_s, 60u) << "at creation, too";
}

TEST_F(WormServiceTest, A_seal_is_answered_when_all_hold_it_and_says_when_and_by_whom) {
  EXPECT_EQ(seal(""), Errc::invalid);
  EXPECT_EQ(unseal(), Errc::already);
  host_.newest = uint64_t{1} << 62;  // of an engine whose clock is ahead
  ASSERT_EQ(seal("me\n@here"), Errc::ok);
  EXPECT_TRUE(host_sealed());
  EXPECT_TRUE(host_.frozen.empty());
  EXPECT_GT(host_.worms[kNumber].seal.epoch, host_.newest) << "above all that was issued";
  host_.progress[kNumber] = {.running = true, .flat = 3, .left = 4};
  const wire::WormReply told = worm();
  EXPECT_EQ(told.seal_state, SealState::sealed);
  EXPECT_EQ(told.worm.sealed_by, "me?@here");
  EXPECT_EQ(told.worm.sealed_at, host_.worms[kNumber].seal.epoch);
  EXPECT_EQ(told.progress.left, 4u);
  const std::vector<wire::Prop> all = props();
  const wire::Prop* const shown = find_prop(all, prop::kContWormSealed);
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(*shown->text, model::seal_text(host_.worms[kNumber].seal));

  EXPECT_EQ(seal(), Errc::already);
  EXPECT_EQ(set(prop::kContWormCompress, 1), Errc::ok);
  EXPECT_TRUE(host_sealed()) << "other properties leave it";
  EXPECT_TRUE(of_cont(Op::snap_create, cont_)) << "a snapshot changes nothing";
  const auto snapshots = of_cont(Op::snap_list, cont_);
  EXPECT_EQ(
      code(call(
          {.op = Op::snap_rollback, .cont_handle = cont_, .epoch = snapshots->snapshots[0].epoch})),
      Errc::no_perm);
  ASSERT_EQ(unseal(), Errc::ok);
  EXPECT_FALSE(host_sealed());
  EXPECT_TRUE(host_.worms[kNumber].compress);
  EXPECT_EQ(worm().seal_state, SealState::none);
  EXPECT_TRUE(find_prop(props(), prop::kContWormSealed) == nullptr);
  ASSERT_EQ(seal(), Errc::ok);
  EXPECT_TRUE(destroy_cont(pool_, "c", true)) << "the pool's right";
  EXPECT_EQ(host_.destroyed, std::vector<uint32_t>{kNumber});
}

TEST_F(WormServiceTest, Only_who_may_write_seals) {
  const auto reader = open_cont(pool_, "c", 1);
  ASSERT_TRUE(reader);
  EXPECT_EQ(code(call({.op = Op::cont_seal, .name = "me@here", .cont_handle = reader->handle})),
            Errc::no_perm);
  EXPECT_EQ(code(of_cont(Op::cont_unseal, reader->handle)), Errc::no_perm);
  EXPECT_EQ(code(of_cont(Op::cont_worm, reader->handle)), Errc::ok);
  EXPECT_EQ(code(of_cont(Op::cont_worm, 4711)), Errc::no_handle);
}

TEST_F(WormServiceTest, Where_an_engine_is_away_nothing_is_sealed) {
  host_.away = true;
  EXPECT_EQ(seal(), Errc::unreachable);
  host_.away = false;
  EXPECT_EQ(worm().seal_state, SealState::none);
  host_.fail_freeze = true;
  EXPECT_EQ(seal(), Errc::io);
  host_.fail_freeze = false;
  EXPECT_EQ(worm().seal_state, SealState::none);
  config_.fail_commits = true;
  EXPECT_EQ(seal(), Errc::no_space);
  config_.fail_commits = false;
  EXPECT_EQ(worm().seal_state, SealState::none);
  EXPECT_TRUE(host_.frozen.empty());
  EXPECT_FALSE(host_sealed());
  EXPECT_EQ(seal(), Errc::ok);
}

Task<void> nothing() { co_return; }

Task<void> go_away(FakeHost& host) {
  host.away = true;
  co_return;
}

TEST_F(WormServiceTest, A_seal_that_an_engine_left_goes_on_when_it_is_back) {
  // Goal: decided is decided. Method: the engine goes when the note is made; it comes back; a
  // transaction that waits; a shard that has stopped.
  host_.at_worm = [this] { return go_away(host_); };
  EXPECT_EQ(seal(), Errc::unreachable);
  EXPECT_EQ(worm().seal_state, SealState::sealing);
  EXPECT_EQ(worm().targets_away, 1u);
  finish_decided();
  EXPECT_EQ(worm().seal_state, SealState::sealing);
  host_.away = false;
  finish_decided();
  EXPECT_EQ(worm().seal_state, SealState::sealed);
  EXPECT_TRUE(host_sealed());

  ASSERT_EQ(unseal(), Errc::ok);
  host_.fail_drains = 1;
  EXPECT_EQ(seal(), Errc::busy);
  EXPECT_EQ(worm().seal_state, SealState::sealing);
  EXPECT_EQ(seal(), Errc::already) << "which ended it";
  EXPECT_EQ(worm().seal_state, SealState::sealed);

  ASSERT_EQ(unseal(), Errc::ok);
  host_.fail_worm = true;
  EXPECT_EQ(seal(), Errc::io);
  EXPECT_EQ(worm().seal_state, SealState::sealing);
  host_.fail_worm = false;
  world_.run_for(40 * kSecond);
  EXPECT_EQ(worm().seal_state, SealState::sealed) << "now and then it is tried again";
}

TEST_F(WormServiceTest, A_seal_that_waits_can_be_taken_back) {
  host_.fail_drains = 1'000;
  EXPECT_EQ(seal(), Errc::busy);
  EXPECT_TRUE(host_sealed());
  host_.fail_drains = 0;
  ASSERT_EQ(unseal(), Errc::ok);
  EXPECT_EQ(worm().seal_state, SealState::none);
  EXPECT_FALSE(host_sealed());
  world_.run_for(40 * kSecond);
  EXPECT_FALSE(host_sealed());
}

TEST_F(WormServiceTest, An_engine_that_comes_holds_what_the_records_say_before_it_serves) {
  ASSERT_TRUE(create_cont(pool_, "plain"));
  ASSERT_EQ(set(prop::kContWormColdAfter, 60), Errc::ok);
  ASSERT_EQ(seal(), Errc::ok);
  FakeHost engine = late();
  bool sealed_before_handles = false;
  engine.at_retain = [&] {
    sealed_before_handles = engine.worms[kNumber].seal.is_set();
    return nothing();
  };
  ASSERT_TRUE(catch_up(engine));
  EXPECT_TRUE(sealed_before_handles);
  EXPECT_EQ(engine.worms[kNumber], host_.worms[kNumber]);
  EXPECT_EQ(engine.told_worm, std::vector<uint32_t>{kNumber}) << "one message for who has any";

  // One that was away while it was unsealed.
  host_.away = true;
  ASSERT_EQ(unseal(), Errc::ok) << "nobody need wait for it";
  EXPECT_EQ(worm().seal_state, SealState::none);
  host_.away = false;
  ASSERT_TRUE(catch_up(engine));
  EXPECT_FALSE(engine.worms[kNumber].seal.is_set());
  EXPECT_EQ(engine.worms[kNumber].cold_after_s, 60u);
  engine.away = true;
  EXPECT_FALSE(catch_up(engine));
}

TEST_F(WormServiceTest, What_was_decided_when_the_service_died_is_ended_at_its_start) {
  // Goal: never half. Method: a kill at every step and commit of a seal and of an unseal; what a
  // start makes of it is one or the other, on the engines as in the record.
  struct Point {
    std::string name;
    std::map<std::string, ConfigEntry> entries;
    FakeHost host;
  };
  std::vector<Point> points;
  bool noting = false;
  const auto note = [&](const char* name) {
    if (noting) points.push_back({name, config_.entries, host_});
  };
  options_.at_step = note;
  restart();
  reopen();
  config_.on_commit = [&] { note("commit"); };
  noting = true;
  ASSERT_EQ(seal(), Errc::ok);
  const size_t seals = points.size();
  ASSERT_EQ(unseal(), Errc::ok);
  noting = false;
  EXPECT_GE(seals, 4u);
  EXPECT_GE(points.size() - seals, 3u);
  for (size_t i = 0; i < points.size(); ++i) {
    SCOPED_TRACE(points[i].name + " " + std::to_string(i));
    stop();
    config_.entries = points[i].entries;
    host_ = points[i].host;
    start();
    reopen();
    const SealState state = worm().seal_state;
    EXPECT_TRUE(state == SealState::none || state == SealState::sealed);
    EXPECT_EQ(state == SealState::sealed, host_sealed());
    if (points[i].name == "cont.seal.frozen") EXPECT_EQ(state, SealState::none);
    if (points[i].name == "cont.seal.noted") EXPECT_EQ(state, SealState::sealed);
    if (points[i].name == "cont.unseal.noted") EXPECT_EQ(state, SealState::none);
    EXPECT_EQ(state == SealState::sealed ? unseal() : seal(), Errc::ok);
  }
}

TEST_F(WormServiceTest, Where_an_engine_is_away_at_the_start_a_seal_waits_for_it) {
  host_.at_worm = [this] { return go_away(host_); };
  EXPECT_EQ(seal(), Errc::unreachable);
  restart();
  host_.away = false;
  reopen();
  EXPECT_EQ(worm().seal_state, SealState::sealing);
  FakeHost engine = late();
  ASSERT_TRUE(catch_up(engine));
  EXPECT_TRUE(engine.worms[kNumber].seal.is_set());
  finish_decided();
  EXPECT_EQ(worm().seal_state, SealState::sealed);
  EXPECT_TRUE(host_sealed());
}

TEST_F(WormServiceTest, An_engine_that_fails_is_told_again) {
  // Goal: an engine that is there holds what the record says, in the end. Method: it fails at a
  // start, at a change of properties and, sealed, after the unsealing was answered.
  ASSERT_EQ(seal(), Errc::ok);
  host_.worms.clear();
  host_.fail_worm = true;
  restart();
  reopen();
  EXPECT_FALSE(host_sealed());
  host_.fail_worm = false;
  world_.run_for(40 * kSecond);
  EXPECT_TRUE(host_sealed());

  host_.fail_worm = true;
  EXPECT_EQ(set(prop::kContWormCompress, 1), Errc::ok);
  world_.run_for(100 * kSecond);
  host_.fail_worm = false;
  world_.run_for(40 * kSecond);
  EXPECT_TRUE(host_.worms[kNumber].compress);

  const WormPolicy sealed = host_.worms[kNumber];
  ASSERT_EQ(unseal(), Errc::ok);
  host_.worms[kNumber] = sealed;
  host_.fail_worm = true;
  EXPECT_EQ(unseal(), Errc::io) << "it refuses changes still";
  host_.fail_worm = false;
  EXPECT_EQ(unseal(), Errc::already);
  EXPECT_FALSE(host_sealed());
  const size_t told = host_.told_worm.size();
  world_.run_for(40 * kSecond);
  EXPECT_LE(host_.told_worm.size(), told + 1);
  world_.run_for(400 * kSecond);
  EXPECT_LE(host_.told_worm.size(), told + 1) << "what is told is not told for ever";
}

/// Once an engine has gone away.
Task<void> unseal_beside(Service& service, uint64_t handle, FakeHost& host) {
  if (!host.away) co_return;
  host.away = false;
  const wire::ControlRequest request{.op = Op::cont_unseal, .cont_handle = handle};
  const auto done = co_await service.handle({.session = 77}, wire::proto_encode(request));
  EXPECT_TRUE(done.has_value());
}

TEST_F(WormServiceTest, A_seal_that_was_taken_back_while_it_waited_does_not_begin_anew) {
  // Goal: an older wish does not undo a newer one. Method: the engine goes when the seal is noted;
  // while the seal waits for it somebody unseals.
  host_.at_worm = [this] { return go_away(host_); };
  host_.at_ready = [this] { return unseal_beside(*service_, cont_, host_); };
  EXPECT_EQ(seal(), Errc::ok) << "it had its turn";
  host_.at_ready = nullptr;
  EXPECT_EQ(worm().seal_state, SealState::none);
  EXPECT_FALSE(host_sealed());
  world_.run_for(40 * kSecond);
  EXPECT_FALSE(host_sealed());
}

TEST_F(WormServiceTest, A_copy_of_a_seal_that_was_taken_back_does_not_seal_again) {
  options_.keep_handles = true;
  restart();
  reopen();
  const wire::ControlRequest request{.op = Op::cont_seal, .name = "me@here", .cont_handle = cont_};
  host_.at_worm = [this] { return go_away(host_); };
  EXPECT_EQ(code(call_as({.session = 77, .sequence = 9}, request)), Errc::unreachable);
  host_.away = false;
  EXPECT_EQ(worm().seal_state, SealState::sealing);
  ASSERT_EQ(unseal(), Errc::ok);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(code(call_as({.session = 77, .sequence = 9, .resend = true}, request)), Errc::ok);
    EXPECT_EQ(worm().seal_state, SealState::none);
    EXPECT_FALSE(host_sealed());
    restart();
  }
}

Task<void> set_compress(Service& service, uint64_t handle) {
  const wire::ControlRequest request{.op = Op::cont_set_props,
                                     .cont_handle = handle,
                                     .props = {{.number = prop::kContWormCompress, .integer = 1}}};
  const auto done = co_await service.handle({.session = 77}, wire::proto_encode(request));
  EXPECT_TRUE(done.has_value());
}

Task<void> change_beside(Service& service, uint64_t handle, Reactor& reactor) {
  reactor.spawn(set_compress(service, handle));
  co_await reactor.sleep(10 * kMillisecond);
}

TEST_F(WormServiceTest, A_policy_on_its_way_is_not_overtaken_by_an_older_one) {
  // Goal: a change of other properties does not lift a seal. Method: it comes while the seal is on
  // its way to the engines.
  host_.at_worm = [this] { return change_beside(*service_, cont_, world_.reactor()); };
  ASSERT_EQ(seal(), Errc::ok);
  world_.run_for(kSecond);
  EXPECT_TRUE(host_sealed());
  EXPECT_TRUE(host_.worms[kNumber].compress);
  EXPECT_EQ(worm().seal_state, SealState::sealed);
}

TEST_F(WormServiceTest, Shards_of_new_engines_are_told) {
  options_.targets = {{}, {.rank = 1}};
  restart();
  pool_ = connect("tank")->handle;
  open();
  ASSERT_EQ(seal(), Errc::ok);
  host_.told_worm.clear();
  const wire::ControlRequest extension{
      .op = Op::pool_extend, .name = "tank", .targets = {{.rank = 1}}};
  // The pool was made with one target before the second one was there.
  const auto extended = call(extension);
  ASSERT_TRUE(extended) << extended.error().what();
  EXPECT_EQ(host_.told_worm, std::vector<uint32_t>{kNumber});
}

}  // namespace
}  // namespace cairn::service
