// Objects that are flattened in the background (engine/flattener.h), on a clock that jumps.
#include "engine/flattener.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "engine/read_sketch.h"
#include "engine/testing.h"
#include "model/hlc.h"

namespace cairn::engine {
namespace {

using model::FlattenOutcome;
using model::FlattenProgress;
using model::WormPolicy;

/// Drives a reactor of its own, which always has something to do.
struct Driver : JumpingWorld {
  void step() { CHECK(JumpingWorld::step()); }
};

uint64_t skipped(const FlattenProgress& progress, FlattenOutcome outcome) {
  return progress.skipped[static_cast<size_t>(outcome)];
}

class FlattenerTest : public testing::Test {
 protected:
  void SetUp() override { setenv("CAIRN_LOG", "off", 1); }
  void TearDown() override { world_.run_void(flattener_.stop()); }

  static vos::ObjectPath path(uint64_t n, vos::ContNumber container = 1, uint32_t shard = 0) {
    return {container, {n, 0x0001'0001'0000'0000}, shard};
  }
  vos::Shard& shard() { return *world_.shard; }
  Result<model::Epoch> put(const vos::ObjectPath& object, std::string value = "value",
                           const std::string& dkey = "d") {
    vos::UpdateRequest update{.object = object, .dkey = as_bytes(dkey)};
    update.iods = single_value(value);
    return world_.run(shard().update(update));
  }
  void fill(uint64_t first, uint64_t count, vos::ContNumber container = 1) {
    for (uint64_t n = first; n < first + count; ++n) ASSERT_TRUE(put(path(n, container)));
  }
  bool is_flat(const vos::ObjectPath& object) { return *world_.run(shard().is_flat(object)); }
  uint64_t flat_among(uint64_t first, uint64_t count, vos::ContNumber container = 1) {
    uint64_t flat = 0;
    for (uint64_t n = first; n < first + count; ++n) flat += is_flat(path(n, container));
    return flat;
  }
  vos::FlatUsage usage(vos::ContNumber container = 1) {
    return *world_.run(shard().flat_usage(container));
  }
  static Task<void> pause(Reactor& reactor, Duration duration) { co_await reactor.sleep(duration); }
  void run_for(Duration duration) { world_.run_void(pause(world_.reactor, duration)); }
  /// Others are at work: a request every 5 ms.
  void run_busy(Duration duration) {
    for (Duration spent = 0; spent < duration; spent += 5 * kMillisecond) {
      ++requests_;
      run_for(5 * kMillisecond);
    }
  }
  void seal(vos::ContNumber container = 1) {
    policies_[container].seal = {.epoch = 1, .by = "somebody@here"};
    flattener_.policy_changed(container);
  }
  FlattenProgress progress(vos::ContNumber container = 1) const {
    return flattener_.progress(container);
  }
  Flattener::Facts facts() const { return flattener_.facts(); }
  Flattener::PolicyOf policy_of() {
    return [this](vos::ContNumber container) {
      const auto found = policies_.find(container);
      return found == policies_.end() ? WormPolicy{} : found->second;
    };
  }
  model::Epoch snapshot() {
    const auto answered = world_.run(shard().freeze_container(1));
    CHECK(answered.has_value());
    CHECK(world_.run(shard().add_snapshot(1, *answered + 1)).has_value());
    return *answered + 1;
  }

  EngineWorld world_;
  uint64_t requests_ = 0;
  std::map<vos::ContNumber, WormPolicy> policies_;
  Flattener flattener_{world_.reactor, *world_.shard, "a shard", requests_, policy_of()};
};

TEST_F(FlattenerTest, Without_hints_and_policies_it_costs_nothing) {
  fill(0, 4);
  while (world_.reactor.turn()) {
  }
  const size_t tasks = world_.reactor.live_tasks();
  flattener_.policy_changed(1);
  run_for(86'400 * kSecond);
  EXPECT_EQ(world_.reactor.live_tasks(), tasks);
  EXPECT_FALSE(flattener_.watches_reads());
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(flat_among(0, 4), 0u);
}

TEST_F(FlattenerTest, Final_objects_are_flattened_together_after_a_moment) {
  // Goal: objects that become final one by one share blocks. Method: 100 hints, some of them twice,
  // and of two containers; extents counted. Then nothing is left that runs.
  fill(0, 100);
  fill(0, 10, 2);
  while (world_.reactor.turn()) {
  }
  const size_t tasks = world_.reactor.live_tasks();
  for (uint64_t n = 0; n < 100; ++n) {
    flattener_.note_final(path(n));
    if (n % 3 == 0) flattener_.note_final(path(n));
    if (n < 10) flattener_.note_final(path(n, 2));
  }
  EXPECT_EQ(flat_among(0, 100), 0u) << "not at once";
  run_for(300 * kMillisecond);
  EXPECT_EQ(flat_among(0, 100), 100u);
  EXPECT_EQ(flat_among(0, 10, 2), 10u);
  EXPECT_EQ(usage().extents, 1u);
  EXPECT_EQ(usage(2).extents, 1u);
  EXPECT_EQ(facts().flattened, 110u);
  EXPECT_EQ(facts().hints, 144u);
  EXPECT_EQ(facts().hints_waiting, 0u);
  run_for(kSecond);
  EXPECT_EQ(world_.reactor.live_tasks(), tasks);
}

TEST_F(FlattenerTest, What_cannot_be_flattened_now_is_tried_again_some_times) {
  // Goal: pending is no answer for ever. Method: a prepared transaction that changes the object,
  // committed before or after the last try.
  for (const bool in_time : {true, false}) {
    const vos::ObjectPath object = path(in_time ? 1 : 2);
    ASSERT_TRUE(put(object));
    std::string value = "more";
    vos::TransactRequest tx;
    vos::UpdateRequest update{.object = object, .dkey = as_bytes("e")};
    update.iods = single_value(value);
    tx.ops.push_back(std::move(update));
    const vos::TxId id{.high = 7, .low = in_time ? 1u : 2u};
    tx.epoch = shard().draw_epoch();
    ASSERT_TRUE(world_.run(shard().prepare(id, tx)));
    flattener_.note_final(object);
    run_for(kSecond);
    EXPECT_FALSE(is_flat(object));
    if (!in_time) run_for(60 * kSecond);
    EXPECT_EQ(facts().hints_waiting, in_time ? 1u : 0u);
    ASSERT_TRUE(world_.run(shard().commit(id)));
    run_for(60 * kSecond);
    EXPECT_EQ(is_flat(object), in_time);
    EXPECT_EQ(facts().hints_dropped, in_time ? 0u : 1u);
  }
}

TEST_F(FlattenerTest, Too_many_hints_cost_the_oldest) {
  const uint64_t more = 100;
  ASSERT_TRUE(put(path(kFinalHintsMax + more)));
  ASSERT_TRUE(put(path(0)));
  for (uint64_t n = 0; n <= kFinalHintsMax + more; ++n) flattener_.note_final(path(n));
  EXPECT_EQ(facts().hints_waiting, kFinalHintsMax);
  EXPECT_EQ(facts().hints_dropped, more + 1);
  run_for(10 * kSecond);
  EXPECT_EQ(facts().hints_waiting, 0u);
  EXPECT_TRUE(is_flat(path(kFinalHintsMax + more)));
  EXPECT_FALSE(is_flat(path(0)));
}

TEST_F(FlattenerTest, Hints_wait_for_others_to_rest_but_not_for_ever) {
  fill(0, 200);
  run_busy(100 * kMillisecond);
  for (uint64_t n = 0; n < 200; ++n) flattener_.note_final(path(n));
  run_busy(800 * kMillisecond);
  EXPECT_EQ(flat_among(0, 200), 0u);
  run_busy(kSecond);
  EXPECT_EQ(flat_among(0, 200), 200u);
}

TEST_F(FlattenerTest, More_hints_than_can_wait_are_worked_off_beside_requests) {
  // Goal: who writes final objects without a rest loses no hints. Method: twice as many as can
  // wait, 100 every 5 ms.
  fill(0, 50);
  for (uint64_t n = 0; n < 2 * kFinalHintsMax; ++n) {
    flattener_.note_final(path(n));
    if (n % 100 != 0) continue;
    ++requests_;
    run_for(5 * kMillisecond);
  }
  run_busy(10 * kSecond);
  EXPECT_EQ(facts().hints_dropped, 0u);
  EXPECT_EQ(facts().hints_waiting, 0u);
  EXPECT_EQ(flat_among(0, 50), 50u);
}

TEST_F(FlattenerTest, All_of_a_sealed_container_becomes_flat_or_says_why) {
  // Goal: issue 5, way in 3. Method: small objects, one with too many keys, several shards of one;
  // another container stays as it is. The progress ends where the pass does.
  fill(0, 700);
  fill(0, 5, 2);
  for (int i = 0; i < 1'030; ++i) ASSERT_TRUE(put(path(800), "v", "key" + std::to_string(i)));
  for (uint32_t s = 1; s < 4; ++s) ASSERT_TRUE(put(path(5, 1, s)));
  seal();
  EXPECT_TRUE(progress().running);
  uint64_t most_left = 0;
  for (int i = 0; i < 10'000 && progress().running; ++i) {
    world_.step();
    most_left = std::max(most_left, progress().left);
    EXPECT_LE(progress().flat + progress().left, 704u);
  }
  EXPECT_EQ(most_left, 704u);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(progress().flat, 703u);
  EXPECT_EQ(progress().left, 0u);
  EXPECT_EQ(skipped(progress(), FlattenOutcome::too_many), 1u);
  EXPECT_EQ(flat_among(0, 700), 700u);
  EXPECT_TRUE(is_flat(path(5, 1, 3)));
  EXPECT_EQ(flat_among(0, 5, 2), 0u);
  EXPECT_EQ(facts().passes, 1u);
  run_for(86'400 * kSecond);
  EXPECT_EQ(facts().passes, 1u) << "nothing changes in a sealed container";
}

TEST_F(FlattenerTest, A_pass_goes_on_beside_requests_and_at_full_speed_without) {
  fill(0, 640);
  run_busy(100 * kMillisecond);
  seal();
  run_busy(kSecond);
  EXPECT_GT(progress().left, 300u);
  EXPECT_TRUE(progress().running);
  run_busy(4 * kSecond);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(progress().flat, 640u);
  fill(0, 640, 2);
  run_for(100 * kMillisecond);
  seal(2);
  run_for(100 * kMillisecond);
  EXPECT_EQ(progress(2).flat, 640u);
}

TEST_F(FlattenerTest, What_a_transaction_holds_is_looked_at_again_until_it_is_over) {
  fill(0, 10);
  std::string value = "more";
  vos::TransactRequest tx;
  vos::UpdateRequest update{.object = path(3), .dkey = as_bytes("e")};
  update.iods = single_value(value);
  tx.ops.push_back(std::move(update));
  tx.epoch = shard().draw_epoch();
  ASSERT_TRUE(world_.run(shard().prepare({.high = 7, .low = 7}, tx)));
  seal();
  run_for(200 * kSecond);
  EXPECT_TRUE(progress().running);
  EXPECT_EQ(progress().flat, 9u);
  EXPECT_EQ(progress().left, 1u);
  ASSERT_TRUE(world_.run(shard().commit({.high = 7, .low = 7})));
  run_for(61 * kSecond);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(progress().flat, 10u);
  EXPECT_EQ(progress().left, 0u);
}

TEST_F(FlattenerTest, What_a_snapshot_keeps_is_skipped_until_it_is_gone) {
  fill(0, 10);
  const model::Epoch epoch = snapshot();
  ASSERT_TRUE(put(path(4), "newer", "other"));
  seal();
  run_for(10 * kSecond);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(progress().flat, 9u);
  EXPECT_EQ(skipped(progress(), FlattenOutcome::snapshot), 1u);
  ASSERT_TRUE(world_.run(shard().remove_snapshot(1, epoch)));
  run_for(2 * 3'600 * kSecond);
  EXPECT_EQ(progress().flat, 10u);
  EXPECT_EQ(skipped(progress(), FlattenOutcome::snapshot), 0u);
  EXPECT_TRUE(is_flat(path(4)));
}

TEST_F(FlattenerTest, Unsealing_ends_a_pass_and_sealing_again_begins_another) {
  fill(0, 2'000);
  seal();
  for (int i = 0; i < 20'000 && progress().flat < 300; ++i) world_.step();
  policies_.erase(1);
  flattener_.policy_changed(1);
  run_for(10 * kSecond);
  EXPECT_FALSE(progress().running);
  const uint64_t flat = flat_among(0, 2'000);
  EXPECT_GE(flat, 300u);
  EXPECT_LT(flat, 2'000u);
  seal();
  run_for(10 * kSecond);
  EXPECT_EQ(progress().flat, 2'000u);
  EXPECT_EQ(facts().flattened, 2'000u) << "what was flat was passed by";
}

TEST_F(FlattenerTest, A_container_that_is_destroyed_during_a_pass_takes_it_along) {
  fill(0, 2'000);
  seal();
  for (int i = 0; i < 20'000 && progress().flat < 300; ++i) world_.step();
  ASSERT_TRUE(world_.run(shard().destroy_container(1)));
  run_for(10 * kSecond);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(facts().errors, 0u);
  EXPECT_EQ(usage().extents, 0u);
  const auto checked = world_.run(shard().check(true));
  ASSERT_TRUE(checked);
  EXPECT_TRUE(checked->problems.empty());
  EXPECT_EQ(checked->records, 0u);
}

TEST_F(FlattenerTest, A_container_that_is_gone_is_searched_for_nothing) {
  fill(0, 10);
  policies_[1].cold_after_s = 400;
  flattener_.policy_changed(1);
  run_for(kSecond);
  ASSERT_EQ(facts().passes, 1u);
  ASSERT_TRUE(world_.run(shard().destroy_container(1)));
  policies_.clear();  // as the shard does
  while (world_.reactor.turn()) {
  }
  run_for(3'600 * kSecond);
  EXPECT_EQ(facts().passes, 1u);
  EXPECT_FALSE(flattener_.watches_reads());
}

TEST_F(FlattenerTest, What_did_not_change_for_long_and_is_read_seldom_is_cold) {
  // Goal: way in 4. Method: old objects, one of which is changed and one of which is read all the
  // time; both get cold in the end.
  fill(0, 100);
  run_for(1'000 * kSecond);
  ASSERT_TRUE(put(path(7), "newer"));
  policies_[1].cold_after_s = 500;
  flattener_.policy_changed(1);
  ASSERT_TRUE(flattener_.watches_reads());
  for (int i = 0; i < 20; ++i) flattener_.note_read(path(8).oid);
  flattener_.note_read(path(9).oid);
  run_for(kSecond);
  EXPECT_EQ(flat_among(0, 100), 98u);
  EXPECT_FALSE(is_flat(path(7)));
  EXPECT_FALSE(is_flat(path(8)));
  EXPECT_EQ(progress().flat, 98u);
  EXPECT_EQ(progress().left, 2u);
  EXPECT_FALSE(progress().running);
  for (int minute = 0; minute < 5; ++minute) {
    for (int i = 0; i < 20; ++i) flattener_.note_read(path(8).oid);
    run_for(60 * kSecond);
  }
  EXPECT_EQ(flat_among(0, 100), 98u);
  run_for(600 * kSecond);
  EXPECT_EQ(flat_among(0, 100), 100u);
  EXPECT_EQ(progress().left, 0u);
  EXPECT_GE(facts().passes, 7u);
  policies_.clear();
  flattener_.policy_changed(1);
  EXPECT_FALSE(flattener_.watches_reads());
}

TEST_F(FlattenerTest, Changed_limits_of_a_sealed_container_are_tried_and_others_go_on) {
  ASSERT_TRUE(put(path(1), std::string(3'000, 'v')));
  fill(2, 9);
  policies_[1].object_bytes_max = 2'000;
  seal();
  run_for(kSecond);
  EXPECT_EQ(progress().flat, 9u);
  EXPECT_EQ(skipped(progress(), FlattenOutcome::too_large), 1u);
  flattener_.policy_changed(1);
  run_for(kSecond);
  EXPECT_EQ(facts().passes, 1u) << "nothing has changed";
  policies_[1].object_bytes_max = UINT64_MAX;
  flattener_.policy_changed(1);
  run_for(kSecond);
  EXPECT_EQ(progress().flat, 10u);
  EXPECT_EQ(skipped(progress(), FlattenOutcome::too_large), 0u);
}

TEST_F(FlattenerTest, Numbers_at_the_ends_of_their_ranges_do_no_harm) {
  fill(0, 3);
  policies_[1] = {
      .inline_bytes_max = UINT64_MAX, .object_bytes_max = UINT64_MAX, .cold_after_s = UINT64_MAX};
  flattener_.policy_changed(1);
  policies_[2] = {.inline_bytes_max = 0, .object_bytes_max = 0, .cold_after_s = 1};
  flattener_.policy_changed(2);
  run_for(7 * 86'400 * kSecond);
  EXPECT_EQ(flat_among(0, 3), 0u);
  EXPECT_EQ(facts().errors, 0u);
}

TEST_F(FlattenerTest, What_the_medium_has_lost_keeps_no_others_from_it) {
  // Goal: one bad object does not end a pass. Method: files of 6,000 bytes, which their buffers
  // get; one bit of one of them.
  for (uint64_t n = 0; n < 40; ++n) {
    std::string bytes(6'000, n == 13 ? 'X' : 'v');
    vos::UpdateRequest update{.object = path(n), .dkey = as_bytes("d")};
    update.iods = single_value(bytes);
    update.iods[0].type = model::ValueType::array;
    update.iods[0].record_bytes = 1;
    update.iods[0].recxs = {{0, bytes.size()}};
    ASSERT_TRUE(world_.run(shard().update(update)));
  }
  ASSERT_TRUE(world_.run(shard().checkpoint()));
  auto& bytes = world_.data.bytes();
  const auto there = std::search_n(bytes.begin(), bytes.end(), 100, std::byte{'X'});
  ASSERT_NE(there, bytes.end());
  *there ^= std::byte{1};
  seal();
  flattener_.note_final(path(13));
  run_for(10 * kSecond);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(progress().flat, 39u);
  EXPECT_EQ(progress().damaged, 1u);
  EXPECT_EQ(facts().errors, 0u);
}

TEST_F(FlattenerTest, A_full_disk_makes_it_wait_until_there_is_room) {
  fill(0, 20);
  uint64_t large = 0;
  while (put(path(1'000 + large), std::string(1u << 20, 'L'))) ++large;
  ASSERT_GT(large, 4u);
  uint64_t small = 0;
  while (put(path(2'000 + small), std::string(4'096, 's'))) ++small;
  seal();
  flattener_.note_final(path(1));
  run_for(60 * kSecond);
  EXPECT_GE(facts().errors, 2u);
  EXPECT_LE(facts().errors, 8u) << "each time it waits longer";
  EXPECT_TRUE(progress().running);
  for (uint64_t n = 0; n < large; ++n) {
    ASSERT_TRUE(world_.run(shard().punch({.object = path(1'000 + n)})));
  }
  run_for(1'200 * kSecond);
  EXPECT_FALSE(progress().running);
  EXPECT_EQ(flat_among(0, 20), 20u);
  EXPECT_EQ(progress().left, 0u);
}

TEST_F(FlattenerTest, A_shard_that_has_stopped_is_asked_seldom) {
  fill(0, 20);
  world_.wal.broken = true;
  ASSERT_FALSE(put(path(50)));
  seal();
  flattener_.note_final(path(1));
  run_for(3'600 * kSecond);
  EXPECT_EQ(facts().flattened, 0u);
  EXPECT_GE(facts().errors, 5u);
  EXPECT_LE(facts().errors, 16u);
  EXPECT_EQ(progress().damaged, 0u);
}

TEST_F(FlattenerTest, It_stops_inside_a_slice_and_stays_so) {
  fill(0, 2'000);
  seal();
  for (int i = 0; i < 20'000 && progress().flat < 300; ++i) world_.step();
  world_.run_void(flattener_.stop());
  const uint64_t flat = flat_among(0, 2'000);
  EXPECT_LT(flat, 2'000u);
  flattener_.note_final(path(1'999));
  seal(2);
  run_for(60 * kSecond);
  EXPECT_EQ(flat_among(0, 2'000), flat);
}

TEST_F(FlattenerTest, A_process_that_is_killed_inside_a_slice_takes_it_along) {
  fill(0, 2'000);
  seal();
  {
    Flattener killed(world_.reactor, shard(), "a shard", requests_, policy_of());
    killed.policy_changed(1);
    killed.note_final(path(1'000));
    for (int i = 0; i < 20'000 && killed.progress(1).flat < 300; ++i) world_.step();
  }
  run_for(10 * kSecond);
  EXPECT_EQ(progress().flat, 2'000u);
}

TEST_F(FlattenerTest, Power_lost_inside_a_pass_leaves_objects_whole_and_another_goes_on) {
  // Goal: crash at any point. Method: the blobs as they are at many steps of a pass, opened as
  // another shard with a flattener of its own; every object read, everything checked.
  fill(0, 600);
  seal();
  size_t steps = 0, cuts = 0;
  for (; progress().running; ++steps) {
    if (steps % 3 == 0) {
      ++cuts;
      MemoryDevice wal(0), meta(0), data(0);
      wal.bytes() = world_.wal.bytes();
      meta.bytes() = world_.meta.bytes();
      data.bytes() = world_.data.bytes();
      Driver driver;
      auto opened =
          driver.run(vos::Shard::open(driver.reactor, {&wal, &meta, &data}, world_.pool, {}));
      ASSERT_TRUE(opened) << opened.error().what();
      uint64_t requests = 0;
      Flattener again(driver.reactor, **opened, "a shard", requests, policy_of());
      again.policy_changed(1);
      driver.run_void(pause(driver.reactor, 10 * kSecond));
      EXPECT_EQ(again.progress(1).flat, 600u) << "step " << steps;
      const auto checked = driver.run((*opened)->check(true));
      ASSERT_TRUE(checked);
      EXPECT_TRUE(checked->problems.empty());
      driver.run_void(again.stop());
      ASSERT_TRUE(driver.run((*opened)->close()));
    }
    ASSERT_TRUE(world_.step());
  }
  EXPECT_GE(cuts, 3u);
}

TEST_F(FlattenerTest, It_stops_at_once_where_a_rollback_is_awaited) {
  // Goal: a shutdown does not wait for a rollback. Method: a container that is held, with hints and
  // a pass, which go on when the hold ends; held again, the flattener stops.
  fill(0, 20);
  const model::Epoch epoch = snapshot();
  policies_[1].cold_after_s = 60;
  ASSERT_TRUE(world_.run(shard().hold_container(1, epoch, 1)));
  EXPECT_TRUE(shard().is_shut(1));
  flattener_.policy_changed(1);
  flattener_.note_final(path(1));
  run_for(kSecond);
  EXPECT_EQ(facts().flattened, 0u);
  EXPECT_EQ(facts().errors, 0u);
  const auto direct = world_.run(shard().flatten({path(2)}, {.waits = false}));
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->front().outcome, FlattenOutcome::pending);
  shard().unfreeze_container(1);
  run_for(10 * kSecond);
  EXPECT_TRUE(is_flat(path(1)));

  ASSERT_TRUE(world_.run(shard().hold_container(1, epoch, 2)));
  flattener_.note_final(path(3));
  for (int i = 0; i < 100 && facts().hints_waiting != 0; ++i) world_.step();
  const Instant begin = world_.clock.now();
  world_.run_void(flattener_.stop());
  EXPECT_LE(world_.clock.now() - begin, 100 * kMillisecond);
  shard().unfreeze_container(1);
}

TEST_F(FlattenerTest, Thousands_of_policies_at_once_start_one_task) {
  while (world_.reactor.turn()) {
  }
  const size_t tasks = world_.reactor.live_tasks();
  for (vos::ContNumber container = 1; container <= 5'000; ++container) {
    policies_[container] = {.cold_after_s = 60, .seal = {1, "somebody@here"}};
    flattener_.policy_changed(container);
    flattener_.policy_changed(container);
  }
  EXPECT_EQ(world_.reactor.live_tasks(), tasks + 1);
  EXPECT_TRUE(flattener_.watches_reads());
  run_for(60 * kSecond);
  EXPECT_EQ(facts().passes, 5'000u);
  for (vos::ContNumber container = 1; container <= 5'000; ++container) {
    policies_.erase(container);
    EXPECT_TRUE(flattener_.watches_reads());
    flattener_.policy_changed(container);
  }
  EXPECT_FALSE(flattener_.watches_reads());
}

TEST(ReadSketchTest, Counts_are_never_too_low_and_fade) {
  ReadSketch sketch;
  sketch.age_to(5 * kSecond);
  for (uint64_t n = 0; n < 1'000; ++n) {
    for (uint64_t i = 0; i < n % 20; ++i) sketch.note({n, 1});
  }
  uint64_t exact = 0;
  for (uint64_t n = 0; n < 1'000; ++n) {
    EXPECT_GE(sketch.reads({n, 1}), n % 20);
    exact += sketch.reads({n, 1}) == n % 20;
  }
  EXPECT_GT(exact, 990u);
  sketch.age_to(5 * kSecond + ReadSketch::kHalfLife);
  EXPECT_GE(sketch.reads({19, 1}), 9u);
  EXPECT_LE(sketch.reads({19, 1}), 12u);
  for (int i = 0; i < 1'000; ++i) sketch.note({19, 1});
  EXPECT_EQ(sketch.reads({19, 1}), 255u);
  sketch.age_to(100 * ReadSketch::kHalfLife);
  EXPECT_EQ(sketch.reads({19, 1}), 0u);
  sketch.age_to(0);
}

}  // namespace
}  // namespace cairn::engine
