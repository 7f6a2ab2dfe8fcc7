// Engines that are away, and that come back.
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
  void end_rollbacks(bool give_up) { world_.run(then_true(service_->end_rollbacks(give_up))); }
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

Task<void> close(Service& service, uint64_t handle) {
  const wire::ControlRequest request{.op = wire::Op::cont_close, .cont_handle = handle};
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

TEST_F(CatchUpTest, A_rollback_that_a_crash_cut_waits_for_the_engines) {
  // Goal: it is ended before anybody may write, or given up aloud. Method: a note of one under way,
  // an engine that is away at the start.
  options_.targets = {{0, 0}, {1, 0}};
  options_.keep_handles = true;
  restart();
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const auto cont = open_cont(handle, "c");
  ASSERT_TRUE(cont);
  const auto snap = of_cont(wire::Op::snap_create, cont->handle);
  ASSERT_TRUE(snap);
  const auto note = [&](model::Epoch epoch) {
    for (auto& [key, entry] : config_.entries) {
      if (key.find("/conts/") == std::string::npos) continue;
      auto record = parse_record<ContRecord>(entry.value);
      ASSERT_TRUE(record);
      record->rollback = {.epoch = epoch, .session = 77, .sequence = 9};
      entry.value = wire::proto_encode(*record);
    }
  };
  note(snap->first);
  host_.away = true;
  restart();
  EXPECT_TRUE(service_->has_rollbacks());
  end_rollbacks(false);
  EXPECT_TRUE(service_->has_rollbacks());
  host_.away = false;
  end_rollbacks(false);
  EXPECT_FALSE(service_->has_rollbacks());
  EXPECT_EQ(host_.rolled_back.size(), 1u);

  note(snap->first);
  host_.away = true;
  restart();
  end_rollbacks(true);
  EXPECT_FALSE(service_->has_rollbacks());
  host_.away = false;
  restart();
  EXPECT_FALSE(service_->has_rollbacks());
  EXPECT_EQ(host_.rolled_back.size(), 1u);
}

}  // namespace
}  // namespace cairn::service
