// Scrubs on a schedule (engine/scrubber.h), on a clock that jumps.
#include "engine/scrubber.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "engine/testing.h"

namespace cairn::engine {
namespace {

using model::ScrubMode;
using model::ScrubPolicy;

constexpr uint64_t kDay = 86'400;

class ScrubberTest : public testing::Test {
 protected:
  void SetUp() override { setenv("CAIRN_LOG", "off", 1); }
  void TearDown() override { world_.run_void(scrubber_.stop()); }

  /// `count` values of 64 KiB.
  void fill(uint64_t count) {
    std::string value(64u << 10, 'v');
    for (uint64_t i = 0; i < count; ++i) {
      vos::UpdateRequest update{.object = {1, {i + 1, 0x0001'0001'0000'0000}, 0},
                                .dkey = as_bytes("d")};
      update.iods = single_value(value);
      ASSERT_TRUE(world_.run(world_.shard->update(update)));
    }
    ASSERT_TRUE(world_.run(world_.shard->checkpoint()));
  }
  static Task<void> pause(Reactor& reactor, Duration duration) { co_await reactor.sleep(duration); }
  void run_for(Duration duration) { world_.run_void(pause(world_.reactor, duration)); }
  void run_for_days(uint64_t days) { run_for(days * kDay * kSecond); }
  Scrubber::Facts facts() const { return scrubber_.facts(); }
  static ScrubPolicy daily(ScrubMode mode) { return {.mode = mode, .frequency_s = kDay}; }

  EngineWorld world_;
  uint64_t requests_ = 0;
  Scrubber scrubber_{world_.reactor, *world_.shard, "a shard", requests_};
};

TEST_F(ScrubberTest, Switched_off_it_costs_nothing) {
  // Goal: no task, no timer, no read. Method: count them, before a policy and under "off".
  fill(4);
  while (world_.reactor.turn()) {
  }
  const size_t tasks = world_.reactor.live_tasks();
  scrubber_.set_policy({.mode = ScrubMode::off, .frequency_s = 1});
  run_for_days(1);
  EXPECT_EQ(world_.reactor.live_tasks(), tasks);
  EXPECT_EQ(facts().pages, 0u);
}

TEST_F(ScrubberTest, A_lazy_pass_begins_at_rest_and_again_after_the_time_between_two) {
  fill(32);
  scrubber_.set_policy(daily(ScrubMode::lazy));
  run_for(kSecond);
  EXPECT_EQ(facts().passes, 1u);
  EXPECT_GE(facts().blocks, 32u * 16);
  EXPECT_EQ(facts().losses, 0u);
  run_for(kDay * kSecond - 2 * kSecond);
  EXPECT_EQ(facts().passes, 1u);
  run_for(3 * kSecond);
  EXPECT_EQ(facts().passes, 2u);
  run_for_days(10);
  EXPECT_EQ(facts().passes, 12u);
}

TEST_F(ScrubberTest, A_lazy_pass_stands_still_while_requests_come) {
  // Goal: foreground work goes first. Method: a request every 5 ms; then none.
  fill(64);
  scrubber_.set_policy(daily(ScrubMode::lazy));
  for (int i = 0; i < 400; ++i) {
    ++requests_;
    run_for(5 * kMillisecond);
  }
  EXPECT_EQ(facts().blocks, 0u);
  run_for(kSecond);
  EXPECT_EQ(facts().passes, 1u);
}

TEST_F(ScrubberTest, A_timed_pass_is_spread_over_the_time_and_minds_no_requests) {
  fill(256);  // 16 MiB: 64 slices
  scrubber_.set_policy(daily(ScrubMode::timed));
  uint64_t before = 0;
  for (int quarter = 1; quarter <= 3; ++quarter) {
    ++requests_;
    run_for(kDay * kSecond / 4);
    const uint64_t read = facts().blocks;
    EXPECT_EQ(facts().passes, 0u);
    EXPECT_NEAR(double(read - before), 256.0 * 16 / 4, 256) << quarter;
    before = read;
  }
  run_for_days(1);
  EXPECT_EQ(facts().passes, 1u);
}

TEST_F(ScrubberTest, A_change_of_the_policy_is_in_effect_at_once) {
  fill(256);
  scrubber_.set_policy({.mode = ScrubMode::timed, .frequency_s = 100 * kDay});
  run_for_days(10);
  const uint64_t read = facts().blocks;
  EXPECT_GT(read, 0u);
  EXPECT_LT(read, 1'000u);
  scrubber_.set_policy(daily(ScrubMode::lazy));
  run_for(kSecond);
  EXPECT_EQ(facts().passes, 1u) << "the pass goes on";
  EXPECT_LT(facts().blocks, 256u * 16 + 1'000) << "and does not begin anew";
  scrubber_.set_policy({.mode = ScrubMode::lazy, .frequency_s = 60});
  run_for(10 * kSecond);
  EXPECT_EQ(facts().passes, 2u);
  scrubber_.set_policy({.mode = ScrubMode::off});
  run_for_days(1);
  EXPECT_EQ(facts().passes, 2u);
  EXPECT_FALSE(facts().running);
  scrubber_.set_policy({.mode = ScrubMode::timed, .frequency_s = 1});
  run_for(60 * kSecond);
  EXPECT_GE(facts().passes, 5u);
}

TEST_F(ScrubberTest, Numbers_at_the_ends_of_their_ranges_do_no_harm) {
  fill(2);
  scrubber_.set_policy({.mode = ScrubMode::timed, .frequency_s = UINT64_MAX, .threshold = 1});
  run_for_days(3);
  EXPECT_EQ(facts().passes, 1u) << "all of it is in one slice, and the next one is far away";
  scrubber_.set_policy({.mode = ScrubMode::timed, .frequency_s = 0});
  run_for(60 * kSecond);
  EXPECT_GE(facts().passes, 5u);
  EXPECT_LE(facts().passes, 61u) << "at most one a second";
}

TEST_F(ScrubberTest, Damage_is_counted_in_each_pass_and_reads_find_it) {
  // Goal: what the medium has lost is found without being asked for. Method: one bit of one value.
  fill(16);
  auto& bytes = world_.data.bytes();
  const auto there = std::ranges::find(bytes, std::byte{'v'});
  ASSERT_NE(there, bytes.end());
  *there ^= std::byte{1};
  scrubber_.set_policy({.mode = ScrubMode::lazy, .frequency_s = kDay, .threshold = 1});
  run_for(kSecond);
  EXPECT_EQ(facts().passes, 1u);
  EXPECT_EQ(facts().losses, 1u);
  run_for_days(1);
  EXPECT_EQ(facts().losses, 2u);
}

TEST_F(ScrubberTest, After_an_error_the_next_pass_takes_its_time) {
  // Goal: a shard that has stopped is not told of every second for ever. Method: a damaged value,
  // which a stopped shard cannot look up once more; what is read shows that a pass has begun.
  fill(4);
  auto& bytes = world_.data.bytes();
  const auto there = std::ranges::find(bytes, std::byte{'v'});
  ASSERT_NE(there, bytes.end());
  *there ^= std::byte{1};
  world_.wal.broken = true;
  std::string value = "v";
  vos::UpdateRequest update{.object = {1, {9, 0x0001'0001'0000'0000}, 0}, .dkey = as_bytes("d")};
  update.iods = single_value(value);
  ASSERT_FALSE(world_.run(world_.shard->update(update)));
  scrubber_.set_policy({.mode = ScrubMode::timed, .frequency_s = 0});
  run_for(kSecond / 2);
  const uint64_t read = facts().pages;
  EXPECT_GT(read, 0u);
  EXPECT_EQ(facts().passes, 0u);
  EXPECT_FALSE(facts().running);
  run_for(300 * kSecond);
  EXPECT_EQ(facts().pages, read);
  run_for(400 * kSecond);
  EXPECT_GT(facts().pages, read);
}

TEST_F(ScrubberTest, It_stops_inside_a_pass_and_stays_so) {
  fill(256);
  scrubber_.set_policy(daily(ScrubMode::timed));
  run_for(kDay * kSecond / 2);
  EXPECT_TRUE(facts().running);
  world_.run_void(scrubber_.stop());
  EXPECT_FALSE(facts().running);
  scrubber_.set_policy(daily(ScrubMode::lazy));
  run_for_days(2);
  EXPECT_EQ(facts().passes, 0u);
}

TEST_F(ScrubberTest, A_process_that_is_killed_inside_a_pass_takes_it_along) {
  // Goal: a simulated kill destroys tasks and then what they stood on, and stops nothing before.
  // Method: a scrubber goes inside a pass; nothing of it moves any more.
  fill(64);
  {
    Scrubber killed(world_.reactor, *world_.shard, "a shard", requests_);
    killed.set_policy(daily(ScrubMode::timed));
    run_for(kDay * kSecond / 2);
    EXPECT_TRUE(killed.facts().running);
  }
  run_for_days(2);
}

TEST(EngineScrubs, A_policy_reaches_the_shards_of_the_pool_and_ends_with_them) {
  // Goal: through the engine, also for shards that are added later; removing a shard inside a pass
  // waits for it. Method: a shard that leaves the engine and comes back.
  setenv("CAIRN_LOG", "off", 1);
  EngineWorld world;
  world.engine.set_scrub(world.pool, {.mode = ScrubMode::timed, .frequency_s = kDay});
  for (int i = 0; i < 50; ++i) world.step();
  EXPECT_EQ(world.engine.scrub_facts(world.pool, 0)->passes, 1u);
  EXPECT_FALSE(world.engine.scrub_facts(world.pool, 1));
  world.run_void(world.engine.remove_shards(world.pool));
  world.engine.add_shard(world.pool, 0, *world.shard);
  for (int i = 0; i < 50; ++i) world.step();
  EXPECT_EQ(world.engine.scrub_facts(world.pool, 0)->passes, 0u) << "forgotten with the pool";
  world.engine.set_scrub(world.pool, {.mode = ScrubMode::lazy, .frequency_s = kDay});
  for (int i = 0; i < 50; ++i) world.step();
  EXPECT_EQ(world.engine.scrub_facts(world.pool, 0)->passes, 1u);
}

}  // namespace
}  // namespace cairn::engine
