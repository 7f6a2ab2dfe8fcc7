#include "cmd/embed/engine_fleet.h"

#include <gtest/gtest.h>

#include "service/service_testing.h"
#include "sim/world.h"

namespace cairn::embed {
namespace {

constexpr uint32_t kEngines = 100;
constexpr Duration kAnswerAfter = kMillisecond;

/// An engine that answers after a while, and counts what it was asked.
class SlowEngine final : public service::FakeHost {
 public:
  explicit SlowEngine(Reactor& reactor) : reactor_(reactor) {}

  Task<Result<void>> share(service::Handles handles) override {
    ++messages;
    co_await reactor_.sleep(kAnswerAfter);
    if (away) co_return fail(Errc::unreachable, "away");
    for (const auto& [grant, handle] : handles) {
      if (handle.index == refused) co_return fail(Errc::exists, "taken");
      known.insert(handle.index);
    }
    co_return Result<void>{};
  }
  Task<Result<void>> settle_pool(Uuid) override {
    ++messages;
    co_await reactor_.sleep(kAnswerAfter);
    if (away) co_return fail(Errc::unreachable, "away");
    co_return Result<void>{};
  }

  uint32_t messages = 0;
  uint32_t refused = ~0u;
  bool away = false;
  std::set<uint32_t> known;

 private:
  Reactor& reactor_;
};

class EngineFleetTest : public testing::Test {
 protected:
  EngineFleetTest() {
    std::vector<service::ShardHost*> hosts;
    for (uint32_t rank = 0; rank < kEngines; ++rank) {
      engines_.push_back(std::make_unique<SlowEngine>(world_.reactor()));
      hosts.push_back(engines_.back().get());
    }
    fleet_ = std::make_unique<EngineFleet>(world_.reactor(), hosts, 1, nullptr);
  }
  Task<void> share_one(uint32_t index) {
    const auto shared = co_await fleet_->share({{{}, {.index = index, .generation = 1}}});
    outcomes_[index] = shared ? Errc::ok : shared.error().code();
  }
  /// That many handles at once.
  Task<bool> share_all(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) world_.reactor().spawn(share_one(i));
    while (outcomes_.size() < count) co_await world_.reactor().sleep(kMillisecond);
    co_return true;
  }
  Task<Result<void>> settle() { return fleet_->settle_pool({}); }

  sim::World world_{1};
  std::vector<std::unique_ptr<SlowEngine>> engines_;
  std::unique_ptr<EngineFleet> fleet_;
  std::map<uint32_t, Errc> outcomes_;
};

TEST_F(EngineFleetTest, Handles_that_come_together_go_in_few_messages) {
  // Goal: a thousand clients that open a container at once cost each engine a message, and every
  // engine knows every handle. Method: a thousand tasks.
  world_.run(share_all(1'000));
  for (const auto& engine : engines_) {
    EXPECT_EQ(engine->messages, 1u);
    EXPECT_EQ(engine->known.size(), 1'000u);
  }
  for (const auto& [index, code] : outcomes_) EXPECT_EQ(code, Errc::ok);
}

TEST_F(EngineFleetTest, A_round_has_a_limit_and_others_follow) {
  world_.run(share_all(10'000));
  for (const auto& engine : engines_) {
    EXPECT_EQ(engine->messages, 3u);
    EXPECT_EQ(engine->known.size(), 10'000u);
  }
}

TEST_F(EngineFleetTest, A_handle_that_one_engine_refuses_spoils_no_other) {
  // Goal: what an engine says of one handle concerns its opener alone. Method: one of fifty is
  // taken on one engine.
  engines_[60]->refused = 7;
  world_.run(share_all(50));
  for (const auto& [index, code] : outcomes_) {
    EXPECT_EQ(code, index == 7 ? Errc::exists : Errc::ok) << index;
  }
  for (const auto& engine : engines_) EXPECT_GE(engine->known.size(), 49u);
}

TEST_F(EngineFleetTest, A_refused_handle_of_a_full_round_is_found_in_few_messages) {
  // Goal: one handle that is refused does not make thousands wait for each other. Method: one of
  // 4,096: two messages for each time that a half of them is a half less, and the first one.
  for (auto& engine : engines_) engine->refused = 1'234;
  world_.run(share_all(4'096));
  for (const auto& [index, code] : outcomes_) {
    EXPECT_EQ(code, index == 1'234 ? Errc::exists : Errc::ok) << index;
  }
  for (const auto& engine : engines_) EXPECT_LE(engine->messages, 25u);
}

TEST_F(EngineFleetTest, An_engine_that_is_away_keeps_no_handle_from_the_others) {
  engines_[3]->away = true;
  world_.run(share_all(20));
  for (const auto& [index, code] : outcomes_) EXPECT_EQ(code, Errc::ok);
  EXPECT_EQ(engines_[99]->known.size(), 20u);
}

TEST_F(EngineFleetTest, Engines_are_asked_many_at_once) {
  // Goal: what concerns all engines takes the time of a few, not of all one after the other.
  // Method: a hundred that answer after a millisecond each.
  const Instant begin = world_.clock().now();
  EXPECT_TRUE(world_.run(settle())->has_value());
  EXPECT_LE(world_.clock().now() - begin, 5 * kAnswerAfter);
  engines_[42]->away = true;
  EXPECT_TRUE(world_.run(settle())->has_value());  // it catches up when it comes
}

TEST(EngineFleetPolicy, Of_scrubs_reaches_every_engine_that_can_hear_it) {
  // Goal: one that fails keeps the others from nothing, and its error is told; one that is away
  // hears of it when it comes. Method: one of each, before one that is well.
  sim::World world(1);
  service::FakeHost away, broken, well;
  away.away = true;
  broken.fail_scrub = true;
  EngineFleet fleet(world.reactor(), {&away, &broken, &well}, 1, {});
  const model::ScrubPolicy policy{.mode = model::ScrubMode::lazy, .frequency_s = 60};
  const auto told = world.run(fleet.set_scrub({}, policy));
  ASSERT_TRUE(told && !*told);
  EXPECT_EQ(told->error().code(), Errc::io);
  EXPECT_EQ(well.scrubs, std::vector{policy});
  broken.fail_scrub = false;
  EXPECT_TRUE(*world.run(fleet.set_scrub({}, policy)));
}

TEST(EngineFleetPolicy, Of_a_seal_reaches_every_engine_and_one_that_is_away_counts) {
  // Goal: a seal is there when all hold it; all that can be asked do. Method: an engine that is
  // away before one that is well; what they say of the flattening is summed up.
  sim::World world(1);
  service::FakeHost away, well;
  away.away = away.one_of_many = true;
  EngineFleet fleet(world.reactor(), {&away, &well}, 2, {});
  const model::WormPolicy policy{.compress = true, .seal = {7, "me@here"}};
  const auto told = world.run(fleet.set_worm({}, 1, policy, 1));
  ASSERT_TRUE(told && !*told);
  EXPECT_EQ(told->error().code(), Errc::unreachable);
  EXPECT_EQ(well.worms[1], policy);
  well.progress[1] = {.running = true, .flat = 3, .left = 1, .damaged = 2};
  const auto some = world.run(fleet.flatten_progress({}, 1));
  ASSERT_TRUE(some && *some);
  EXPECT_EQ((*some)->progress, well.progress[1]);
  EXPECT_EQ((*some)->targets_away, 2u);
  away.away = false;
  EXPECT_TRUE(*world.run(fleet.set_worm({}, 1, policy, 1)));
  away.progress[1] = well.progress[1];
  const auto all = world.run(fleet.flatten_progress({}, 1));
  EXPECT_EQ((*all)->progress.flat, 6u);
  EXPECT_EQ((*all)->targets_away, 0u);
}

TEST(EngineFleetPolicy, Of_an_engine_that_fails_is_told_before_one_that_is_away) {
  // Goal: who asks hears that an engine that is there may refuse changes still. Method: one that is
  // away before one whose transactions wait, before one that fails.
  sim::World world(1);
  service::FakeHost away, busy, broken;
  away.away = broken.fail_worm = true;
  busy.fail_drains = 1;
  EngineFleet fleet(world.reactor(), {&away, &busy, &broken}, 1, {});
  EXPECT_EQ(world.run(fleet.set_worm({}, 1, {}, 1))->error().code(), Errc::io);
  broken.fail_worm = false;
  busy.fail_drains = 1;
  EXPECT_EQ(world.run(fleet.set_worm({}, 1, {}, 1))->error().code(), Errc::busy);
  EXPECT_EQ(world.run(fleet.set_worm({}, 1, {}, 1))->error().code(), Errc::unreachable);
}

TEST(EngineFleetPolicy, An_engine_that_a_pool_is_extended_to_is_away_until_it_has_opened_it) {
  // Goal: what concerns a container meanwhile does not say that the container is gone. Method: the
  // second engine does not know the pool, while and after it is extended to it.
  sim::World world(1);
  service::FakeHost first, second;
  const Uuid pool{{7}};
  first.pools = second.pools = {pool};
  second.serves_only_its_pools = true;
  EngineFleet fleet(world.reactor(), {&first, &second}, 1, {});
  const service::Targets before = {{}}, after = {{}, {.rank = 1}};
  ASSERT_TRUE(*world.run(fleet.create_pool(pool, before, {})));
  second.pools.clear();
  EXPECT_EQ(world.run(fleet.extend_pool(pool, after, {}))->error().code(), Errc::nonexistent);
  EXPECT_EQ(world.run(fleet.freeze_container(pool, 1))->error().code(), Errc::unreachable);
  EXPECT_EQ(world.run(fleet.set_worm(pool, 1, {}, 1))->error().code(), Errc::unreachable);
  // Undone: the pool is what it was.
  EXPECT_FALSE(*world.run(fleet.extend_pool(pool, before, {})));
  EXPECT_TRUE(*world.run(fleet.freeze_container(pool, 1)));
  EXPECT_TRUE(*world.run(fleet.set_worm(pool, 1, {}, 1)));
}

}  // namespace
}  // namespace cairn::embed
