// Engines that are away, and that come back.
#include "service/props.h"
#include "service/service_testing.h"

namespace cairn::service {
namespace {

class CatchUpTest : public ServiceTest {
 protected:
  /// What is not in the records any more is not on shards, either.
  bool catch_up(FakeHost& engine) {
    const auto done = world_.run(service_->catch_up(engine));
    return done && *done;
  }
  void finish_removals() { world_.run(then_true(service_->finish_removals())); }
  static Task<bool> then_true(Task<void> task) {
    co_await std::move(task);
    co_return true;
  }
};

TEST_F(CatchUpTest, A_pool_is_not_begun_while_an_engine_is_away) {
  // Goal: nothing is left of it, also not its label. Method: away, then back.
  host_.away = true;
  EXPECT_EQ(code(create_pool("tank")), Errc::unreachable);
  EXPECT_TRUE(host_.made_on.empty());
  EXPECT_TRUE(config_.entries.empty());
  host_.away = false;
  EXPECT_TRUE(create_pool("tank"));
}

TEST_F(CatchUpTest, What_was_destroyed_meanwhile_goes_when_the_engine_is_back) {
  // Goal: the tombstone stays until every engine has done it. Method: destroy while away; look at
  // records; finish.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  host_.away = true;
  ASSERT_TRUE(destroy_cont(handle, "c", false));
  EXPECT_EQ(code(open_cont(handle, "c")), Errc::nonexistent);
  EXPECT_TRUE(host_.destroyed.empty());
  finish_removals();
  EXPECT_TRUE(host_.destroyed.empty());
  host_.away = false;
  finish_removals();
  EXPECT_EQ(host_.destroyed, std::vector<uint32_t>{1});
  finish_removals();
  EXPECT_EQ(host_.destroyed.size(), 1u);

  host_.away = true;
  ASSERT_TRUE(destroy_pool("tank", true));
  EXPECT_EQ(host_.pools.size(), 1u);
  host_.away = false;
  finish_removals();
  EXPECT_TRUE(host_.pools.empty());
  EXPECT_TRUE(config_.entries.empty());
}

TEST_F(CatchUpTest, A_pool_that_an_engine_could_not_open_is_whole_when_it_can) {
  // Goal: an error of a disk that has passed is forgotten; meanwhile nobody begins what needs every
  // shard (found by simulated clusters, seeds 20 and 262). Method: an engine without the pool's
  // files comes, then comes again with them.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const auto cont = open_cont(handle, "c");
  ASSERT_TRUE(cont);
  FakeHost late;
  ASSERT_TRUE(catch_up(late));
  EXPECT_EQ(code(connect("tank")), Errc::nonexistent);
  EXPECT_EQ(code(of_cont(wire::Op::snap_create, cont->handle)), Errc::nonexistent);
  EXPECT_EQ(code(open_cont(handle, "c")), Errc::nonexistent);
  EXPECT_TRUE(host_.held.empty());
  late.pools = host_.pools;
  ASSERT_TRUE(catch_up(late));
  EXPECT_EQ(code(connect("tank")), Errc::ok);
  EXPECT_EQ(code(of_cont(wire::Op::snap_create, cont->handle)), Errc::ok);
}

TEST_F(CatchUpTest, An_engine_that_comes_gets_pools_and_handles_and_loses_snapshots) {
  // Goal: it is as the records say. Method: an engine that holds a snapshot too many and knows no
  // handle.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const auto cont = open_cont(handle, "c");
  ASSERT_TRUE(cont);
  FakeHost late;
  late.pools = host_.pools;
  late.held[1].insert(5);
  ASSERT_TRUE(catch_up(late));
  EXPECT_EQ(late.opened_on, host_.made_on);
  EXPECT_TRUE(late.held[1].empty());
  ASSERT_EQ(late.retained.size(), 1u);
  EXPECT_EQ(late.retained[0].second, (wire::HandleRef{cont->io_index, cont->io_generation}));
  EXPECT_EQ(late.retained[0].first.container, 1u);
  EXPECT_EQ(late.retained[0].first.session, 77u);
  ASSERT_TRUE(of_cont(wire::Op::cont_close, cont->handle));
  ASSERT_TRUE(catch_up(late));
  EXPECT_TRUE(late.retained.empty());
}

Task<void> set_lazy(Service& service) {
  const wire::ControlRequest request{.op = wire::Op::pool_set_props,
                                     .name = "tank",
                                     .props = {{.number = prop::kPoolScrubMode, .integer = 1}}};
  const auto bytes = co_await service.handle({.session = 77}, wire::proto_encode(request));
  EXPECT_TRUE(bytes.has_value());
}

TEST_F(CatchUpTest, A_policy_that_changes_while_an_engine_comes_is_the_one_it_keeps) {
  // Goal: what was read before the change does not win. Method: a change that comes while the old
  // policy is on its way to the engine.
  pool();
  FakeHost late;
  late.pools = host_.pools;
  late.at_scrub = [this] { return set_lazy(*service_); };
  ASSERT_TRUE(catch_up(late));
  ASSERT_FALSE(host_.scrubs.empty());
  EXPECT_EQ(host_.scrubs.back().mode, model::ScrubMode::lazy);
  ASSERT_EQ(late.scrubs.size(), 2u);
  EXPECT_EQ(late.scrubs.front().mode, model::ScrubMode::off);
  EXPECT_EQ(late.scrubs.back().mode, model::ScrubMode::lazy);
}

Task<void> close(Service& service, uint64_t handle) {
  const wire::ControlRequest request{.op = wire::Op::cont_close, .cont_handle = handle};
  const auto bytes = co_await service.handle({.session = 77}, wire::proto_encode(request));
  EXPECT_TRUE(bytes.has_value());
}

Task<void> disconnect(Service& service, uint64_t pool_handle) {
  const wire::ControlRequest request{.op = wire::Op::pool_disconnect, .pool_handle = pool_handle};
  const auto bytes = co_await service.handle({.session = 77}, wire::proto_encode(request));
  EXPECT_TRUE(bytes.has_value());
}

TEST_F(CatchUpTest, A_handle_that_is_closed_while_an_engine_comes_is_closed_there) {
  // Goal: nobody keeps a right on that engine. Method: the closing reaches it before it has made
  // the handle, which it makes all the same.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const auto stays = open_cont(handle, "c"), goes = open_cont(handle, "c");
  ASSERT_TRUE(stays && goes);
  FakeHost late;
  late.pools = host_.pools;
  const uint64_t closing = goes->handle;
  late.at_retain = [this, closing] { return close(*service_, closing); };
  ASSERT_TRUE(catch_up(late));
  EXPECT_EQ(late.retained.size(), 2u);
  EXPECT_EQ(late.revoked, std::vector<uint32_t>{goes->io_index});
}

TEST_F(CatchUpTest, An_engine_that_cannot_open_a_pool_makes_it_refuse_new_users) {
  // Goal: no pool is used in part. Method: an engine without its files.
  pool();
  FakeHost late;
  ASSERT_TRUE(catch_up(late));
  EXPECT_EQ(code(connect("tank")), Errc::nonexistent);
}

TEST_F(CatchUpTest, A_handle_that_an_engine_refuses_is_not_there) {
  // Goal: nobody gets a handle that is not valid everywhere. Method: sharing fails; then it works.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  host_.fail_share = true;
  EXPECT_EQ(code(open_cont(handle, "c")), Errc::exists);
  EXPECT_EQ(host_.revoked.size(), 1u);
  host_.fail_share = false;
  ASSERT_TRUE(open_cont(handle, "c"));
  EXPECT_EQ(host_.shared.size(), 1u);
}

Task<void> destroy(Service& service, uint64_t pool_handle) {
  const wire::ControlRequest request{
      .op = wire::Op::cont_destroy, .name = "c", .force = true, .pool_handle = pool_handle};
  const auto bytes = co_await service.handle({.session = 77}, wire::proto_encode(request));
  EXPECT_TRUE(bytes.has_value());
}

TEST_F(CatchUpTest, A_handle_that_is_evicted_while_it_waits_to_be_shared_is_revoked_after_that) {
  // Goal: nobody keeps a right on an engine. Method: the container is destroyed before the engines
  // hear of the handle; then the same where one of them refuses it.
  const uint64_t handle = pool();
  for (const bool refused : {false, true}) {
    ASSERT_TRUE(create_cont(handle, "c"));
    host_.fail_share = refused;
    host_.at_share = [this, handle] { return destroy(*service_, handle); };
    EXPECT_FALSE(open_cont(handle, "c"));
    EXPECT_TRUE(host_.open_handles.empty());
    host_.at_share = nullptr;
  }
}

TEST_F(CatchUpTest, A_handle_that_is_closed_while_engines_refuse_it_is_revoked_after_that) {
  // Goal: those that did not refuse it do not keep it. Method: another session opens it through a
  // copy of a connection that its owner closes meanwhile.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const auto copy = call_as({.session = 78}, {.op = wire::Op::pool_attach, .pool_handle = handle});
  ASSERT_TRUE(copy);
  host_.fail_share = true;
  host_.at_share = [this, handle] { return disconnect(*service_, handle); };
  EXPECT_FALSE(
      call_as({.session = 78},
              {.op = wire::Op::cont_open, .name = "c", .access = 2, .pool_handle = copy->handle}));
  EXPECT_TRUE(host_.open_handles.empty());
}

/// A container with a snapshot, on two engines.
class RollbackTest : public CatchUpTest {
 protected:
  void SetUp() override {
    CatchUpTest::SetUp();
    options_.targets = {{0, 0}, {1, 0}};
    options_.keep_handles = true;
    restart();
    const uint64_t handle = pool();
    ASSERT_TRUE(create_cont(handle, "c"));
    const auto cont = open_cont(handle, "c");
    ASSERT_TRUE(cont);
    cont_ = cont->handle;
    const auto snap = of_cont(wire::Op::snap_create, cont_);
    ASSERT_TRUE(snap);
    epoch_ = snap->first;
  }
  Errc roll_back(uint64_t sequence) {
    return code(call_as({.session = 77, .sequence = sequence},
                        {.op = wire::Op::snap_rollback, .cont_handle = cont_, .epoch = epoch_}));
  }
  /// Is one noted as under way?
  bool noted() {
    for (const auto& [key, entry] : config_.entries) {
      const auto record = parse_record<ContRecord>(entry.value);
      if (key.find("/conts/") == std::string::npos || !record) continue;
      if (record->rollback.epoch != 0) return true;
    }
    return false;
  }
  uint64_t cont_ = 0;
  model::Epoch epoch_ = 0;
};

TEST_F(RollbackTest, What_cannot_be_held_everywhere_is_held_nowhere) {
  // Goal: a rollback that is not decided leaves nothing, wherever it stops. Method: transactions in
  // the way, once and always; an engine that is away; a record that cannot be written.
  host_.fail_holds = 1;
  EXPECT_EQ(roll_back(1), Errc::ok);
  EXPECT_EQ(host_.rolled_back.size(), 1u);
  host_.fail_holds = 1000;
  EXPECT_EQ(roll_back(2), Errc::busy);
  EXPECT_TRUE(host_.holding.empty());
  host_.fail_holds = 0;
  host_.away = true;
  EXPECT_EQ(roll_back(3), Errc::unreachable);
  host_.away = false;
  config_.commits_left = 1;  // the first one of it, which takes the note
  config_.fail_commits = true;
  EXPECT_EQ(roll_back(4), Errc::no_space);
  config_.fail_commits = false;
  config_.commits_left = 0;
  EXPECT_TRUE(host_.holding.empty());
  EXPECT_FALSE(noted());
  EXPECT_EQ(host_.rolled_back.size(), 1u);
}

TEST_F(RollbackTest, What_is_decided_is_done_by_an_engine_before_it_serves) {
  // Goal: never undone on some engines alone, and once on each. Method: the engines go between
  // the note and its execution; one comes back and catches up; then all are asked.
  options_.at_step = [this](const char* name) {
    if (std::string_view(name) == "snap.rollback.noted") host_.away = true;
  };
  stop();
  start();
  EXPECT_EQ(roll_back(5), Errc::unreachable);
  EXPECT_TRUE(noted());
  EXPECT_EQ(host_.holding.size(), 1u) << "what engines hold they hold until they are told";
  options_.at_step = {};
  restart();
  EXPECT_TRUE(noted());
  FakeHost late = host_;
  late.away = false;
  ASSERT_TRUE(catch_up(late));
  EXPECT_EQ(late.rolled_back.size(), 1u);
  EXPECT_TRUE(late.holding.empty());
  finish_removals();
  EXPECT_TRUE(noted()) << "another one is still away";
  host_.away = false;
  finish_removals();
  EXPECT_FALSE(noted());
  EXPECT_EQ(host_.rolled_back, late.rolled_back);
  EXPECT_EQ(host_.ats, late.ats);
  EXPECT_EQ(roll_back(5), Errc::ok) << "the same request, answered";
  EXPECT_EQ(host_.rolled_back.size(), 1u);
}

TEST_F(RollbackTest, Another_change_of_snapshots_ends_what_is_decided_first) {
  // Goal: no snapshot comes or goes under a rollback; the same request is not done twice. Method:
  // shards that fail after the decision; then each change.
  host_.fail_rollback = true;
  EXPECT_EQ(roll_back(5), Errc::no_space);
  EXPECT_TRUE(noted());
  EXPECT_EQ(code(of_cont(wire::Op::snap_create, cont_)), Errc::no_space);
  EXPECT_EQ(code(call({.op = wire::Op::snap_destroy, .cont_handle = cont_, .epoch = epoch_})),
            Errc::no_space);
  EXPECT_EQ(roll_back(5), Errc::no_space);
  host_.fail_rollback = false;
  EXPECT_EQ(roll_back(5), Errc::ok);
  EXPECT_EQ(host_.rolled_back.size(), 1u);
  EXPECT_FALSE(noted());
  EXPECT_EQ(roll_back(6), Errc::ok);
  EXPECT_EQ(host_.rolled_back.size(), 2u);
}

TEST_F(RollbackTest, What_an_engine_holds_for_a_service_that_died_is_let_go) {
  // Goal: writes go on. Method: die before the decision; the engine has outlived it.
  options_.at_step = [this](const char* name) {
    if (std::string_view(name) == "snap.rollback.held") config_.fail_commits = true;
  };
  stop();
  start();
  FakeHost before = host_;
  before.holding = {1};
  EXPECT_EQ(roll_back(5), Errc::no_space);
  config_.fail_commits = false;
  options_.at_step = {};
  ASSERT_TRUE(catch_up(before));
  EXPECT_TRUE(before.holding.empty());
  EXPECT_TRUE(before.rolled_back.empty());
  EXPECT_GT(before.holds_refused, 0u);
}

}  // namespace
}  // namespace cairn::service
