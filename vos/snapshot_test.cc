// Snapshots, rule by rule (store.md 3, 4, 8, 20, 21), on simulated disks.
#include <gtest/gtest.h>

#include "vos/key_format.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

class SnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override { start(true); }

  void start(bool create) {
    const auto started = rig_.start(create);
    ASSERT_TRUE(started && started->has_value()) << started->error().what();
  }
  void restart(bool cleanly) {
    if (cleanly) {
      ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    } else {
      rig_.next_era();
    }
    start(false);
  }
  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }

  Result<model::Epoch> put(const std::string& dkey, const std::string& akey, Bytes value) {
    UpdateRequest r{.object = path_, .dkey = as_bytes(dkey)};
    r.iods.push_back(
        {as_bytes(akey), ValueType::single, value.size(), 0, {}, scattered(value), false});
    return run(shard().update(r));
  }
  Result<model::Epoch> put_array(const std::string& dkey, uint64_t first, Bytes bytes) {
    UpdateRequest r{.object = path_, .dkey = as_bytes(dkey)};
    r.iods.push_back({as_bytes(kArray), ValueType::array, 1, 0, {{first, bytes.size()}},
                      scattered(bytes), false});
    return run(shard().update(r));
  }
  /// Records that a punch does not remove at once.
  void put_many(const std::string& dkey, size_t count) {
    UpdateRequest r{.object = path_, .dkey = as_bytes(dkey)};
    Bytes one(1, std::byte{7});
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back("n" + std::to_string(i));
    for (const std::string& name : names) {
      r.iods.push_back({as_bytes(name), ValueType::single, 1, 0, {}, scattered(one), false});
    }
    ASSERT_TRUE(run(shard().update(r)));
  }
  /// Empty: nothing is there.
  Result<Bytes> get(const std::string& dkey, const std::string& akey,
                    model::Epoch epoch = model::kEpochMax) {
    Bytes room(50'000, std::byte{0xEE});
    FetchRequest r{.object = path_, .dkey = as_bytes(dkey), .epoch = epoch};
    r.iods.push_back({as_bytes(akey), ValueType::single, 0, 0, {}, scattered(room), false});
    TRY(fetched, run(shard().fetch(r)));
    room.resize(fetched.iods[0].record_bytes);
    return room;
  }
  Result<model::Listed> extents(const std::string& dkey, model::Epoch epoch) {
    return run(shard().list(path_,
                            {.what = model::ListRequest::What::recxs,
                             .dkey = as_bytes(dkey),
                             .akey = as_bytes(kArray),
                             .count_max = 100},
                            epoch));
  }
  size_t dkeys(model::Epoch epoch = model::kEpochMax) {
    const auto listed =
        run(shard().list(path_, {.count_max = 1000, .bytes_max = 100'000}, epoch));
    CHECK(listed.has_value());
    return listed->lengths.size();
  }
  Result<model::Epoch> snapshot(ContNumber container = 1) {
    TRY(answered, run(shard().freeze_container(container)));
    TRY(added, run(shard().add_snapshot(container, answered + 1)));
    return answered + 1;
  }
  uint64_t blocks_used() { return shard().store().stats().data.used; }
  void reclaimed() { run(reclaimed_of(shard())); }
  static Task<bool> reclaimed_of(Shard& shard) {
    co_await shard.reclaimed();
    co_return true;
  }
  static Bytes filled(size_t count, int byte) { return Bytes(count, std::byte(byte)); }

  static constexpr const char* kArray = "array";
  Rig rig_{test_seed(), {}, {.wal = 2u << 20, .data = 16u << 20}};
  ObjectPath path_{1, {7, 0x0001'0001'0000'0000}, 0};
};

TEST_F(SnapshotTest, A_snapshot_keeps_what_an_overwrite_a_trim_and_a_punch_take_away) {
  // Store rule 3. Goal: each way to end a version. Method: one of each, read on both sides, over
  // restarts.
  ASSERT_TRUE(put("d", "inline", filled(100, 1)));
  ASSERT_TRUE(put("d", "blocks", filled(9'000, 2)));
  ASSERT_TRUE(put_array("d", 0, filled(20'000, 3)));
  ASSERT_TRUE(put("gone", "x", filled(5, 4)));
  const auto s = snapshot();
  ASSERT_TRUE(s) << s.error().what();
  ASSERT_TRUE(put("d", "inline", filled(50, 9)));
  ASSERT_TRUE(put("d", "blocks", {}));
  ASSERT_TRUE(put_array("d", 6'000, filled(5'000, 9)));
  ASSERT_TRUE(run(shard().punch(
      {.object = path_, .level = PunchRequest::Level::dkey, .dkey = as_bytes("gone")})));
  for (const int restarts : {0, 1, 2}) {
    SCOPED_TRACE(restarts);
    EXPECT_EQ(*get("d", "inline"), filled(50, 9));
    EXPECT_EQ(*get("d", "inline", *s), filled(100, 1));
    EXPECT_EQ(*get("d", "blocks"), Bytes{});
    EXPECT_EQ(*get("d", "blocks", *s), filled(9'000, 2));
    EXPECT_EQ(*get("gone", "x"), Bytes{});
    EXPECT_EQ(*get("gone", "x", *s), filled(5, 4));
    EXPECT_EQ(dkeys(), 1u);
    EXPECT_EQ(dkeys(*s), 2u);
    // The write was one extent, and is one at the snapshot though its middle was cut out.
    const auto then = extents("d", *s);
    ASSERT_TRUE(then);
    ASSERT_EQ(then->recxs.size(), 1u);
    EXPECT_EQ(then->recxs[0], (model::Recx{0, 20'000}));
    EXPECT_EQ(extents("d", model::kEpochMax)->recxs.size(), 3u);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart(restarts == 0));
  }
}

TEST_F(SnapshotTest, A_version_that_no_snapshot_sees_is_gone_with_what_ended_it) {
  // Store rule 3. Goal: no pile-up beside snapshots: only what one of them sees is kept. Method:
  // many overwrites after a snapshot; blocks are counted.
  ASSERT_TRUE(put("d", "a", filled(9'000, 1)));
  const auto s = snapshot();
  ASSERT_TRUE(s);
  for (int i = 2; i < 20; ++i) ASSERT_TRUE(put("d", "a", filled(9'000, i)));
  EXPECT_EQ(blocks_used(), 6u);  // three for the newest, three for the snapshot's
  ASSERT_TRUE(run(shard().remove_snapshot(1, *s)));
  reclaimed();
  EXPECT_EQ(blocks_used(), 3u);
  EXPECT_EQ(*get("d", "a"), filled(9'000, 19));
  EXPECT_EQ(get("d", "a", *s).error().code(), Errc::tx_restart);
}

TEST_F(SnapshotTest, Giving_up_a_snapshot_keeps_what_an_older_one_needs) {
  // Store rule 3: a slot's versions move on or go. Method: three snapshots with a version each, one
  // that two of them share; the middle one goes first, over a restart.
  ASSERT_TRUE(put("d", "old", filled(5'000, 1)));
  ASSERT_TRUE(put("d", "a", filled(5'000, 1)));
  const auto first = snapshot();
  ASSERT_TRUE(put("d", "a", filled(5'000, 2)));
  const auto second = snapshot();
  ASSERT_TRUE(put("d", "a", filled(5'000, 3)));
  ASSERT_TRUE(put("d", "old", filled(5'000, 3)));
  const auto third = snapshot();
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(blocks_used(), 10u);
  ASSERT_TRUE(run(shard().remove_snapshot(1, *second)));
  ASSERT_NO_FATAL_FAILURE(restart(false));
  reclaimed();
  EXPECT_EQ(blocks_used(), 8u);
  EXPECT_EQ(shard().snapshots(1), (std::vector<model::Epoch>{*first, *third}));
  EXPECT_EQ(*get("d", "a", *first), filled(5'000, 1));
  EXPECT_EQ(*get("d", "old", *first), filled(5'000, 1));
  EXPECT_EQ(*get("d", "a", *third), filled(5'000, 3));
  ASSERT_TRUE(run(shard().remove_snapshot(1, *first)));
  ASSERT_TRUE(run(shard().remove_snapshot(1, *third)));
  reclaimed();
  EXPECT_EQ(blocks_used(), 4u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(SnapshotTest, A_level_punched_twice_with_a_snapshot_between_hides_what_each_punch_covers) {
  // Store rule 4. Goal: markers with several epochs. Method: more records than a punch removes at
  // once, twice, with a snapshot before, between and after; read before and after the background
  // pass.
  const auto punch = [&] {
    ASSERT_TRUE(run(shard().punch(
        {.object = path_, .level = PunchRequest::Level::dkey, .dkey = as_bytes("d")})));
  };
  ASSERT_NO_FATAL_FAILURE(put_many("d", 150));
  const auto before = snapshot();
  ASSERT_NO_FATAL_FAILURE(punch());
  ASSERT_NO_FATAL_FAILURE(put_many("d", 140));
  const auto between = snapshot();
  ASSERT_NO_FATAL_FAILURE(punch());
  const auto after = snapshot();
  ASSERT_TRUE(put("d", "n0", filled(1, 8)));
  ASSERT_TRUE(before && between && after);
  for (const int pass : {0, 1, 2}) {
    SCOPED_TRACE(pass);
    EXPECT_EQ(*get("d", "n149", *before), filled(1, 7));
    EXPECT_EQ(*get("d", "n149", *between), Bytes{});
    EXPECT_EQ(*get("d", "n139", *between), filled(1, 7));
    EXPECT_EQ(*get("d", "n139", *after), Bytes{});
    EXPECT_EQ(*get("d", "n0", *between), filled(1, 7));
    EXPECT_EQ(*get("d", "n0"), filled(1, 8));
    EXPECT_EQ(dkeys(*before), 1u);
    EXPECT_EQ(dkeys(*after), 0u);
    if (pass == 0) {
      reclaimed();
    } else {
      ASSERT_NO_FATAL_FAILURE(restart(pass == 1));
    }
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  }
}

TEST_F(SnapshotTest, After_an_open_no_epoch_is_at_or_below_one_that_a_snapshot_took) {
  // Store rules 8 and 23. Goal: a snapshot's epoch is issued: it may run ahead of the clock, and
  // nothing may be written at or below it, also after a crash.
  ASSERT_TRUE(put("x", "x", filled(1, 1)));
  const auto answered = run(shard().freeze_container(1));
  ASSERT_TRUE(answered);
  const model::Epoch ahead = *answered + (model::Epoch{900'000'000} << 4);  // 0.9 s
  ASSERT_TRUE(run(shard().add_snapshot(1, ahead)));
  ASSERT_NO_FATAL_FAILURE(restart(false));
  const auto written = put("d", "a", filled(1, 1));
  ASSERT_TRUE(written);
  EXPECT_GT(*written, ahead);
  EXPECT_EQ(*get("d", "a", ahead), Bytes{});
}

TEST_F(SnapshotTest, A_read_at_an_epoch_is_exact_or_refused) {
  // Store rule 20. Goal: an epoch that is no snapshot answers as long as nothing that was visible
  // has ended. Method: read at an epoch before and after an overwrite, beside an unrelated dkey;
  // after an open everything older is refused.
  const auto first = put("d", "a", filled(10, 1));
  ASSERT_TRUE(first);
  ASSERT_TRUE(put("other", "a", filled(10, 2)));
  EXPECT_EQ(*get("d", "a", *first), filled(10, 1));
  EXPECT_EQ(*get("other", "a", *first), Bytes{});
  const auto second = put("d", "a", filled(10, 3));
  ASSERT_TRUE(second);
  EXPECT_EQ(get("d", "a", *first).error().code(), Errc::tx_restart);
  EXPECT_EQ(*get("d", "a", *second), filled(10, 3));
  EXPECT_EQ(*get("other", "a", *first), Bytes{}) << "nothing of this dkey has ended";
  const auto listed = run(shard().list(path_, {.count_max = 9, .bytes_max = 99}, *first));
  EXPECT_EQ(listed.error().code(), Errc::tx_restart) << "something of the object has ended";
  ASSERT_NO_FATAL_FAILURE(restart(true));
  EXPECT_EQ(get("other", "a", *first).error().code(), Errc::tx_restart);
  const auto third = put("d", "b", filled(10, 3));
  EXPECT_EQ(*get("d", "b", *third), filled(10, 3));
}

Task<Result<model::Epoch>> delayed(Shard& shard, UpdateRequest request, bool& done) {
  auto epoch = co_await shard.update(request);
  done = true;
  co_return epoch;
}

TEST_F(SnapshotTest, A_frozen_container_makes_writes_wait_and_thaws_by_itself) {
  // Store rule 21. Goal: step one of a snapshot, with and without step two.
  const auto answered = run(shard().freeze_container(1));
  ASSERT_TRUE(answered);
  Bytes byte = filled(1, 1);
  UpdateRequest r{.object = path_, .dkey = as_bytes("d")};
  r.iods.push_back({as_bytes("a"), ValueType::single, 1, 0, {}, scattered(byte), false});
  bool done = false;
  std::optional<Result<model::Epoch>> result;
  struct Keep {
    static Task<void> it(Task<Result<model::Epoch>> task,
                         std::optional<Result<model::Epoch>>& into) {
      into.emplace(co_await std::move(task));
    }
  };
  rig_.world.reactor().spawn(Keep::it(delayed(shard(), r, done), result));
  rig_.world.run_for(kSecond / 2);
  EXPECT_FALSE(done) << "a write went on in a frozen container";
  EXPECT_EQ(*get("d", "a"), Bytes{}) << "reads go on";
  UpdateRequest elsewhere = r;
  elsewhere.object.container = 2;
  EXPECT_TRUE(run(shard().update(elsewhere))) << "other containers go on";
  rig_.world.run_for(kSecond);
  ASSERT_TRUE(done && result && result->has_value());
  const auto late = run(shard().add_snapshot(1, *answered + 1));
  EXPECT_EQ(late.error().code(), Errc::timed_out);
  EXPECT_TRUE(shard().snapshots(1).empty());
  // An epoch that the shard has issued already is refused, and the freeze goes on.
  const auto again = run(shard().freeze_container(1));
  EXPECT_EQ(run(shard().add_snapshot(1, *again)).error().code(), Errc::invalid);
  EXPECT_TRUE(run(shard().add_snapshot(1, *again + 1)));
  EXPECT_TRUE(run(shard().add_snapshot(1, *again + 1))) << "adding it again is fine";
  EXPECT_TRUE(run(shard().update(r)));
  EXPECT_EQ(shard().snapshots(1).size(), 1u);
  EXPECT_TRUE(shard().snapshots(2).empty());
}

TEST_F(SnapshotTest, A_container_takes_no_more_snapshots_than_the_table_holds) {
  // Goal: the limit is an error with a way out, not a crash. Method: one more than 4,096.
  for (size_t i = 0; i < kSnapshotsMax; ++i) ASSERT_TRUE(snapshot()) << i;
  EXPECT_EQ(snapshot().error().code(), Errc::no_space);
  const model::Epoch oldest = shard().snapshots(1).front();
  ASSERT_TRUE(run(shard().remove_snapshot(1, oldest)));
  reclaimed();
  ASSERT_NO_FATAL_FAILURE(restart(true));
  EXPECT_EQ(shard().snapshots(1).size(), kSnapshotsMax - 1);
  EXPECT_TRUE(snapshot());
}

TEST_F(SnapshotTest, A_rollback_brings_back_what_was_there_and_gives_the_rest_back) {
  // Goal: rollback with trims, markers and a dying newer snapshot. Method: blocks are counted.
  ASSERT_TRUE(put("d", "a", filled(9'000, 1)));
  ASSERT_TRUE(put_array("d", 0, filled(20'000, 2)));
  ASSERT_NO_FATAL_FAILURE(put_many("many", 200));
  const uint64_t blocks = blocks_used();
  const auto s = snapshot();
  ASSERT_TRUE(put("d", "a", filled(100, 3)));
  ASSERT_TRUE(put_array("d", 4'096, filled(4'096, 3)));
  ASSERT_TRUE(put("new", "a", filled(50'000, 3)));
  ASSERT_TRUE(run(shard().punch(
      {.object = path_, .level = PunchRequest::Level::dkey, .dkey = as_bytes("many")})));
  const auto newer = snapshot();
  ASSERT_TRUE(s && newer);
  ASSERT_TRUE(put_array("d", 0, filled(30'000, 4)));
  EXPECT_EQ(run(shard().rollback(1, *s)).error().code(), Errc::busy);
  EXPECT_EQ(run(shard().rollback(1, *s + 1)).error().code(), Errc::nonexistent);
  ASSERT_TRUE(run(shard().remove_snapshot(1, *newer)));
  const auto done = run(shard().rollback(1, *s));
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_EQ(*get("d", "a"), filled(9'000, 1));
  EXPECT_EQ(*get("new", "a"), Bytes{});
  EXPECT_EQ(*get("many", "n199"), filled(1, 7));
  EXPECT_EQ(dkeys(), 2u);
  ASSERT_EQ(extents("d", model::kEpochMax)->recxs.size(), 1u);
  EXPECT_EQ(blocks_used(), blocks);
  ASSERT_NO_FATAL_FAILURE(restart(true));
  EXPECT_EQ(*get("d", "a", *s), filled(9'000, 1));
  EXPECT_EQ(dkeys(), 2u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  ASSERT_TRUE(put("d", "a", filled(1, 5)));
  EXPECT_EQ(*get("d", "a", *s), filled(9'000, 1)) << "the snapshot stays";
}

TEST_F(SnapshotTest, A_rollback_that_was_done_is_not_done_again_also_after_a_restart) {
  // Goal: of one epoch it happens once. Method: roll back, write, again; with a newer snapshot in
  // the way; from the log and from a checkpoint; one that failed is tried again, another counts.
  const auto s = snapshot();
  ASSERT_TRUE(s);
  const model::Epoch at = shard().draw_epoch();
  EXPECT_EQ(run(shard().rollback(1, *s + 1, at)).error().code(), Errc::nonexistent);
  ASSERT_TRUE(put("d", "a", filled(9, 9)));
  ASSERT_TRUE(run(shard().rollback(1, *s, at)));
  EXPECT_EQ(*get("d", "a"), Bytes{});
  const auto written = put("d", "a", filled(10, 1));
  ASSERT_TRUE(written);
  EXPECT_GT(*written, at);
  ASSERT_TRUE(run(shard().rollback(1, *s, at)));
  const auto newer = snapshot();
  ASSERT_TRUE(newer);
  for (const bool orderly : {false, true, true}) {
    ASSERT_NO_FATAL_FAILURE(restart(orderly));
    ASSERT_TRUE(run(shard().rollback(1, *s, at)));
    EXPECT_EQ(*get("d", "a"), filled(10, 1));
  }
  ASSERT_TRUE(run(shard().remove_snapshot(1, *newer)));
  ASSERT_TRUE(run(shard().rollback(1, *s, shard().draw_epoch())));
  EXPECT_EQ(*get("d", "a"), Bytes{});
}

Task<void> note(Task<Result<model::Epoch>> task, std::optional<Result<model::Epoch>>& into) {
  into = co_await std::move(task);
}
Task<void> note(Task<Result<model::Fetched>> task, std::optional<Result<model::Fetched>>& into) {
  into = co_await std::move(task);
}

TEST_F(SnapshotTest, A_held_container_takes_no_writes_until_it_goes_back_or_is_let_go) {
  // Goal: what shards have answered stays so, however long it takes to decide. Method: an update, a
  // plain read, reads at epochs below and above the answer; another container; then let go. A hold
  // that comes too late; one that is overtaken by a rollback.
  const auto first = put("d", "a", filled(5, 1));
  const auto s = snapshot();
  ASSERT_TRUE(first && s);
  EXPECT_EQ(run(shard().hold_container(1, *s + 1, 1)).error().code(), Errc::nonexistent);
  const auto answered = run(shard().hold_container(1, *s, 2));
  ASSERT_TRUE(answered);
  EXPECT_TRUE(shard().is_held(1));
  Bytes value = filled(5, 2), room(50);
  UpdateRequest update{.object = path_, .dkey = as_bytes("d")};
  update.iods.push_back({as_bytes("a"), ValueType::single, 5, 0, {}, scattered(value), false});
  FetchRequest later{
      .object = path_, .dkey = as_bytes("d"), .epoch = *answered + 1, .transactional = true};
  later.iods.push_back({as_bytes("a"), ValueType::single, 0, 0, {}, scattered(room), false});
  std::optional<Result<model::Epoch>> written;
  std::optional<Result<model::Fetched>> read;
  rig_.world.reactor().spawn(note(shard().update(update), written));
  rig_.world.reactor().spawn(note(shard().fetch(later), read));
  rig_.world.run_for(3 * kSecond);
  EXPECT_FALSE(written || read);
  EXPECT_EQ(*get("d", "a"), filled(5, 1));
  EXPECT_EQ(*get("d", "a", *s), filled(5, 1));
  EXPECT_EQ(run(shard().freeze_container(1)).error().code(), Errc::busy);
  rig_.world.run_for(4 * kSecond);
  ASSERT_TRUE(written && read) << "who waits for too long asks again";
  EXPECT_EQ(written->error().code(), Errc::unreachable);
  EXPECT_EQ(read->error().code(), Errc::unreachable);

  written.reset();
  rig_.world.reactor().spawn(note(shard().update(update), written));
  rig_.world.run_for(kSecond);
  EXPECT_FALSE(written);
  shard().refuse_holds(3);
  shard().unfreeze_container(1);
  rig_.world.run_for(kSecond);
  EXPECT_TRUE(written && *written);
  EXPECT_EQ(run(shard().hold_container(1, *s, 3)).error().code(), Errc::busy);
  EXPECT_FALSE(shard().is_held(1));

  written.reset();
  const auto again = run(shard().hold_container(1, *s, 4));
  ASSERT_TRUE(again);
  rig_.world.reactor().spawn(note(shard().update(update), written));
  rig_.world.run_for(kSecond);
  ASSERT_TRUE(run(shard().rollback(1, *s, *again + 5)));
  rig_.world.run_for(kSecond);
  ASSERT_TRUE(written && *written);
  EXPECT_GT(**written, *again + 5);
  EXPECT_EQ(*get("d", "a"), filled(5, 2));
  EXPECT_FALSE(shard().is_held(1));
}

TEST_F(SnapshotTest, A_full_shard_reads_removes_and_recovers) {
  // Goal: no way into a full shard that has no way out. Method: fill the blocks under a snapshot,
  // so that removals give nothing back; then give the snapshot up.
  int written = 0;
  Result<model::Epoch> last = model::Epoch{0};
  const auto s0 = snapshot();
  for (; last; ++written) last = put("k" + std::to_string(written), "a", filled(40'000, 1));
  EXPECT_EQ(last.error().code(), Errc::no_space);
  const auto s = snapshot();
  ASSERT_TRUE(s0 && s) << "a snapshot needs no blocks";
  for (int i = 0; i < written - 1; ++i) {
    ASSERT_TRUE(run(shard().punch({.object = path_,
                                   .level = PunchRequest::Level::dkey,
                                   .dkey = as_bytes("k" + std::to_string(i))})));
  }
  EXPECT_EQ(put("again", "a", filled(40'000, 2)).error().code(), Errc::no_space);
  EXPECT_EQ(*get("k0", "a", *s), filled(40'000, 1));
  EXPECT_EQ(dkeys(), 0u);
  EXPECT_EQ(dkeys(*s), static_cast<size_t>(written - 1));
  ASSERT_TRUE(run(shard().remove_snapshot(1, *s)));
  reclaimed();
  EXPECT_EQ(blocks_used(), 0u);
  EXPECT_TRUE(put("again", "a", filled(40'000, 2)));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

}  // namespace
}  // namespace cairn::vos::testing
