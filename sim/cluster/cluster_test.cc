// Simulated clusters of a few fixed seeds, and of CAIRN_SEED.
#include "sim/cluster/cluster.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace cairn::sim {
namespace {

std::string text_of(const ClusterReport& report) {
  std::string out;
  for (const std::string& problem : report.problems) out += problem + "\n";
  return out;
}

class ClusterTest : public testing::Test {
 protected:
  void SetUp() override { setenv("CAIRN_LOG", "off", 1); }
};

TEST_F(ClusterTest, Without_faults_everything_works_and_outcomes_are_known) {
  const auto report =
      run_cluster({.seed = 1, .length = 60 * kSecond, .chapter = 60 * kSecond, .fault_every = 0});
  EXPECT_TRUE(report.problems.empty()) << text_of(report);
  EXPECT_EQ(report.unknown, 0u);
  EXPECT_GT(report.operations, 60u * 20);
}

TEST_F(ClusterTest, Two_runs_of_a_seed_are_one) {
  const ClusterOptions options{.seed = 7, .length = 120 * kSecond};
  const auto first = run_cluster(options);
  const auto second = run_cluster(options);
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(first.operations, second.operations);
  const auto other = run_cluster({.seed = 8, .length = 120 * kSecond});
  EXPECT_NE(first.hash, other.hash);
}

}  // namespace
}  // namespace cairn::sim
