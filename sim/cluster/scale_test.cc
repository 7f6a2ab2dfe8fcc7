// A large system made small: what ./dev sim --scale counts must stay what it is.
#include "sim/cluster/scale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace cairn::sim {
namespace {

class ScaleTest : public testing::Test {
 protected:
  void SetUp() override { setenv("CAIRN_LOG", "off", 0); }
};

const ScaleStep& step(const ScaleReport& report, const std::string& name) {
  const auto found = std::ranges::find(report.steps, name, &ScaleStep::name);
  EXPECT_NE(found, report.steps.end()) << name;
  return *found;
}

TEST_F(ScaleTest, Messages_grow_as_they_may) {
  // Goal: nobody tells every engine of every client, and an extension moves nothing. Method: counts
  // of a system of 40 engines and 300 clients, all of which come at once.
  const ScaleOptions options{.engines = 40, .late = 4, .clients = 300};
  const ScaleReport report = run_scale(options);
  for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
  ASSERT_TRUE(report.problems.empty());
  // A few rounds of a question and an answer for each engine.
  EXPECT_LE(step(report, "clients open a container").admin.messages, 4u * 2 * options.engines);
  // Two requests of each client, and their answers.
  EXPECT_EQ(step(report, "clients open a container").calls.messages, 4u * options.clients);
  EXPECT_EQ(step(report, "clients write").admin.messages, 0u);
  EXPECT_EQ(step(report, "clients read after it").calls.messages,
            2u * options.objects * options.clients);
  EXPECT_EQ(step(report, "clients read after it").connections, 0u);
  // One that was killed: who was connected to it connects again, nobody else.
  EXPECT_LT(step(report, "clients read after that").connections, options.clients / 2);
  EXPECT_LE(report.of_client.mean, 1.0 + options.objects + 1);
}

TEST_F(ScaleTest, Placement_is_as_even_as_chance) {
  // Goal: targets are loaded evenly, and those that join get their part. Method: a million objects
  // over 36 targets; chance allows a deviation of a few percent of the variation itself.
  const ScaleReport report = run_scale({.engines = 40, .late = 4, .clients = 1});
  ASSERT_TRUE(report.problems.empty());
  EXPECT_NEAR(report.objects.variation, report.binomial, report.binomial * 0.5);
  EXPECT_NEAR(report.to_late, 4 / 40.0, 0.002);
}

}  // namespace
}  // namespace cairn::sim
