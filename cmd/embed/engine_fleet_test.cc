// What goes to every engine of a pool, on engines that only remember.
#include "cmd/embed/engine_fleet.h"

#include "service/service_testing.h"

namespace cairn::embed {
namespace {

TEST(EngineFleetTest, A_policy_of_scrubs_reaches_every_engine_that_can_hear_it) {
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

}  // namespace
}  // namespace cairn::embed
