#include "service/service_testing.h"

namespace cairn::service {
namespace {

class SnapshotServiceTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    pool_ = pool();
    ASSERT_TRUE(create_cont(pool_, "c"));
    cont_ = open_cont(pool_, "c")->handle;
  }
  Result<wire::ControlReply> create() { return of_cont(wire::Op::snap_create, cont_); }
  Result<wire::ControlReply> destroy(model::Epoch epoch) {
    return call({.op = wire::Op::snap_destroy, .cont_handle = cont_, .epoch = epoch});
  }
  std::vector<model::Epoch> listed() {
    const auto reply = of_cont(wire::Op::snap_list, cont_);
    EXPECT_TRUE(reply);
    std::vector<model::Epoch> out;
    for (const auto& snapshot : reply->snapshots) out.push_back(snapshot.epoch);
    return out;
  }
  std::vector<model::Epoch> on_shards() { return {host_.held[1].begin(), host_.held[1].end()}; }
  void open_again() {
    pool_ = connect("tank")->handle;
    cont_ = open_cont(pool_, "c")->handle;
  }

  /// Runs `change` and notes what config store and shards held at its step `name`; then goes on
  /// from there, as after a crash.
  template <class Change>
  void crash_at(std::string name, Change change) {
    std::optional<std::map<std::string, ConfigEntry>> entries;
    auto held = host_.held;
    options_.at_step = [&](const char* step) {
      if (step != name) return;
      entries = config_.entries;
      held = host_.held;
    };
    restart();
    open_again();
    change();
    ASSERT_TRUE(entries.has_value()) << name;
    stop();
    options_.at_step = {};
    config_.entries = *entries;
    host_.held = held;
    start();
    open_again();
  }

  uint64_t pool_ = 0, cont_ = 0;
};

TEST_F(SnapshotServiceTest, Snapshots_are_made_listed_counted_and_destroyed) {
  // Goal: the life of snapshots; epochs above every shard's clock. Three, one goes.
  host_.newest = model::kEpochMax / 4;  // a shard far ahead of the service
  const model::Epoch first = create()->first, second = create()->first, third = create()->first;
  EXPECT_GT(first, model::kEpochMax / 4);
  EXPECT_EQ(listed(), (std::vector<model::Epoch>{first, second, third}));
  EXPECT_EQ(on_shards(), listed());
  EXPECT_EQ(code(destroy(second)), Errc::ok);
  EXPECT_EQ(code(destroy(second)), Errc::nonexistent);
  EXPECT_EQ(code(destroy(0)), Errc::nonexistent);
  restart();
  open_again();
  EXPECT_EQ(listed(), (std::vector<model::Epoch>{first, third}));
  EXPECT_EQ(on_shards(), listed());
  const auto info = of_cont(wire::Op::cont_query, cont_);
  EXPECT_EQ(info->conts.at(0).snapshot_count, 2u);
  EXPECT_EQ(info->conts.at(0).last_snapshot, third);
  EXPECT_GT(create()->first, third);
}

Task<void> take_snapshot(Service& service, uint64_t cont, Errc& into) {
  const wire::ControlRequest request{.op = wire::Op::snap_create, .cont_handle = cont};
  const auto done = co_await service.handle({.session = 77}, wire::proto_encode(request));
  into = done ? Errc::ok : done.error().code();
}

TEST_F(SnapshotServiceTest, A_handle_may_be_closed_while_engines_are_waited_for) {
  // Goal: the request ends with an error, and touches nothing that is gone. Method: close the
  // container while a snapshot waits for engines.
  Errc ended = Errc::ok;
  host_.slow = &world_.reactor();
  world_.reactor().spawn(take_snapshot(*service_, cont_, ended));
  ASSERT_TRUE(of_cont(wire::Op::cont_close, cont_));
  world_.run_for(kSecond);
  host_.slow = nullptr;
  EXPECT_EQ(ended, Errc::no_handle);
  EXPECT_TRUE(on_shards().empty());
}

TEST_F(SnapshotServiceTest, A_pass_over_a_container_is_begun_on_the_engines_for_who_may_write) {
  const auto ask = [this](uint64_t handle, model::Epoch epoch) {
    return code(call({.op = wire::Op::cont_aggregate, .cont_handle = handle, .epoch = epoch}));
  };
  EXPECT_EQ(ask(cont_, 0), Errc::ok);
  EXPECT_EQ(ask(cont_, 77), Errc::ok);
  EXPECT_EQ(host_.aggregated, (std::vector<std::pair<uint32_t, model::Epoch>>{{1, 0}, {1, 77}}));
  EXPECT_EQ(ask(cont_, model::kEpochMax), Errc::invalid);
  EXPECT_EQ(ask(cont_ + 100, 0), Errc::no_handle);
  EXPECT_EQ(ask(open_cont(pool_, "c", kReadOnly)->handle, 0), Errc::no_perm);
  host_.away = true;
  EXPECT_EQ(ask(cont_, 0), Errc::unreachable);
  EXPECT_EQ(host_.aggregated.size(), 2u);
}

TEST_F(SnapshotServiceTest, A_failed_shard_fails_the_snapshot_and_nothing_is_left) {
  // Goal: all shards or none. Method: each step fails; a failing clean-up is repeated at the next
  // start.
  host_.fail_freeze = true;
  EXPECT_EQ(code(create()), Errc::io);
  host_.fail_freeze = false;
  host_.fail_adds = 3;
  EXPECT_EQ(code(create()), Errc::busy);
  EXPECT_EQ(on_shards(), std::vector<model::Epoch>{});
  EXPECT_TRUE(host_.frozen.empty());
  config_.fail_commits = true;
  EXPECT_EQ(code(create()), Errc::no_space);
  EXPECT_EQ(on_shards(), std::vector<model::Epoch>{});
  host_.fail_remove = true;
  EXPECT_EQ(code(create()), Errc::no_space);
  EXPECT_EQ(on_shards().size(), 1u);
  config_.fail_commits = false;
  host_.fail_remove = false;
  EXPECT_EQ(listed(), std::vector<model::Epoch>{});
  restart();
  open_again();
  EXPECT_EQ(on_shards(), std::vector<model::Epoch>{});
  EXPECT_EQ(code(create()), Errc::ok);
}

TEST_F(SnapshotServiceTest, A_freeze_that_ended_too_early_begins_anew) {
  // Goal: a slow moment is no failure. Method: two of three tries are too late.
  host_.fail_adds = 2;
  const auto made = create();
  ASSERT_TRUE(made);
  EXPECT_EQ(on_shards(), std::vector<model::Epoch>{made->first});
  EXPECT_EQ(listed(), on_shards());
}

TEST_F(SnapshotServiceTest, A_rollback_goes_to_the_newest_snapshot_only) {
  // Goal: refusals leave everything; tables count as gone before the shards begin. Method: unknown,
  // older, newest.
  const auto rollback = [&](model::Epoch epoch) {
    return code(call({.op = wire::Op::snap_rollback, .cont_handle = cont_, .epoch = epoch}));
  };
  const model::Epoch older = create()->first, newest = create()->first;
  ASSERT_TRUE(call({.op = wire::Op::snap_set_table, .cont_handle = cont_, .count = 1,
                    .epoch = older}));
  EXPECT_EQ(rollback(newest + 1), Errc::nonexistent);
  EXPECT_EQ(rollback(older), Errc::busy);
  EXPECT_TRUE(host_.rolled_back.empty());
  EXPECT_EQ(rollback(newest), Errc::ok);
  ASSERT_EQ(host_.rolled_back.size(), 1u);
  EXPECT_EQ(host_.rolled_back[0], std::pair(1u, newest));
  EXPECT_EQ(listed(), (std::vector<model::Epoch>{older, newest}));
  EXPECT_EQ(of_cont(wire::Op::snap_list, cont_)->snapshots.at(0).has_table, 0u);
}

TEST_F(SnapshotServiceTest, A_rollback_over_targets_is_ended_after_a_crash) {
  // Goal: what some targets may have done, all do at the next start, as the same rollback. Method:
  // crash after the note, with a pool of two targets, of which none has done it, and then all.
  options_.targets = {{0, 0}, {0, 1}};
  restart();
  ASSERT_TRUE(create_pool("two", 2 * kPoolBytes));
  pool_ = connect("two")->handle;
  ASSERT_TRUE(create_cont(pool_, "c"));
  cont_ = open_cont(pool_, "c")->handle;
  const model::Epoch epoch = create()->first;
  std::optional<std::map<std::string, ConfigEntry>> entries;
  options_.at_step = [&](const char* step) {
    if (std::string_view(step) == "snap.rollback.noted") entries = config_.entries;
  };
  stop();
  start();
  pool_ = connect("two")->handle;
  cont_ = open_cont(pool_, "c")->handle;
  const auto go = [&] {
    return code(call({.op = wire::Op::snap_rollback, .cont_handle = cont_, .epoch = epoch}));
  };
  EXPECT_EQ(go(), Errc::ok);
  ASSERT_TRUE(entries.has_value());
  stop();
  host_.rolled_back.clear();
  start();  // it was ended: no note is left
  EXPECT_TRUE(host_.rolled_back.empty());
  stop();
  host_.ats.clear();
  options_.at_step = {};
  config_.entries = *entries;
  start();
  ASSERT_EQ(host_.rolled_back.size(), 1u);
  EXPECT_EQ(host_.rolled_back[0].second, epoch);
  restart();
  EXPECT_EQ(host_.rolled_back.size(), 1u);
  stop();
  config_.entries = *entries;
  start();
  EXPECT_EQ(host_.rolled_back.size(), 1u) << "what others have written since would be lost";
}

Task<void> come_and_finish(FakeHost& host, Service& service) {
  if (!std::exchange(host.away, false)) co_return;
  co_await service.finish_removals();
}

TEST_F(SnapshotServiceTest, A_rollback_that_another_one_ended_is_not_done_again) {
  // Goal: a request is executed once, also if it waits for an engine that has it done as it comes.
  // Method: the engine is away when it is decided, and comes while the request waits.
  options_.keep_handles = true;
  options_.at_step = [this](const char* step) {
    if (std::string_view(step) == "snap.rollback.noted") host_.away = true;
  };
  restart();
  open_again();
  const model::Epoch epoch = create()->first;
  host_.rolled_back.clear();
  host_.at_ready = [this] { return come_and_finish(host_, *service_); };
  const Origin origin{.session = 77, .sequence = 9};
  EXPECT_TRUE(
      call_as(origin, {.op = wire::Op::snap_rollback, .cont_handle = cont_, .epoch = epoch}));
  EXPECT_EQ(host_.rolled_back.size(), 1u) << "what others have written since would be lost";
}

TEST_F(SnapshotServiceTest, A_crash_inside_create_or_destroy_leaves_a_whole_snapshot_or_none) {
  // Goal: at every step. Method: config store and shards as they were at the step, started again.
  const model::Epoch kept = create()->first;
  const std::vector<model::Epoch> one{kept};
  for (const char* step : {"snap.create.frozen", "snap.create.added"}) {
    crash_at(step, [&] { EXPECT_TRUE(create()); });
    EXPECT_EQ(listed(), one) << step;
    EXPECT_EQ(on_shards(), one) << step;
  }
  const model::Epoch gone = create()->first;
  crash_at("snap.destroy.record", [&] { EXPECT_EQ(code(destroy(gone)), Errc::ok); });
  EXPECT_EQ(listed(), one);
  EXPECT_EQ(on_shards(), one);
  EXPECT_GT(create()->first, gone);
}

TEST_F(SnapshotServiceTest, A_destroyed_container_takes_its_snapshots_along) {
  // Goal: no record and nothing on a shard stays; numbers differ, so a new container has none.
  ASSERT_TRUE(create());
  ASSERT_EQ(code(destroy_cont(pool_, "c", true)), Errc::ok);
  EXPECT_TRUE(host_.held[1].empty());
  for (const auto& [key, entry] : config_.entries) EXPECT_EQ(key.find("/snap/"), key.npos) << key;
  EXPECT_EQ(code(create()), Errc::nonexistent);
  ASSERT_TRUE(create_cont(pool_, "c"));
  cont_ = open_cont(pool_, "c")->handle;
  EXPECT_EQ(listed(), std::vector<model::Epoch>{});
}

TEST_F(SnapshotServiceTest, Snapshots_need_a_writable_handle_and_home) {
  // Goal: who may only read may only list. Method: a read-only handle, then a read-only home with a
  // snapshot on a shard that no record knows.
  const model::Epoch epoch = create()->first;
  cont_ = open_cont(pool_, "c", 1)->handle;
  EXPECT_EQ(code(create()), Errc::no_perm);
  EXPECT_EQ(code(destroy(epoch)), Errc::no_perm);
  EXPECT_EQ(listed(), std::vector<model::Epoch>{epoch});
  cont_ = 999;
  EXPECT_EQ(code(create()), Errc::no_handle);
  host_.held[1].insert(5);
  options_.read_only = true;
  restart();
  open_again();
  EXPECT_EQ(code(create()), Errc::no_perm);
  EXPECT_EQ(listed(), std::vector<model::Epoch>{epoch});
  EXPECT_EQ(host_.held[1].size(), 2u);
}

TEST_F(SnapshotServiceTest, The_table_of_a_snapshot_is_noted_when_it_is_whole) {
  // Goal: the note is durable and goes. Method: set, restart, clear; none for an unknown snapshot.
  const model::Epoch epoch = create()->first;
  const auto set = [&](model::Epoch at, uint64_t whole) {
    return code(call({.op = wire::Op::snap_set_table, .cont_handle = cont_, .count = whole,
                      .epoch = at}));
  };
  const auto has_table = [&] {
    return of_cont(wire::Op::snap_list, cont_)->snapshots.at(0).has_table;
  };
  EXPECT_EQ(has_table(), 0u);
  EXPECT_EQ(set(epoch + 1, 1), Errc::nonexistent);
  EXPECT_EQ(set(epoch, 1), Errc::ok);
  restart();
  open_again();
  EXPECT_EQ(has_table(), 1u);
  EXPECT_EQ(set(epoch, 0), Errc::ok);
  EXPECT_EQ(has_table(), 0u);
}

}  // namespace
}  // namespace cairn::service
