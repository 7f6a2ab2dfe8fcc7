// simulate_clusters: simulated clusters from a seed until so many hours of them have passed, or one
// of them shows a problem. ./dev sim runs it on every core.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "sim/cluster/cluster.h"

namespace {

using namespace cairn;

struct Totals {
  Duration simulated = 0;
  sim::ClusterReport sum;
};

void add(Totals& totals, const sim::ClusterReport& report) {
  totals.simulated += report.simulated;
  sim::ClusterReport& sum = totals.sum;
  sum.operations += report.operations;
  sum.unknown += report.unknown;
  for (size_t i = 0; i < sim::kFaults; ++i) sum.faults[i] += report.faults[i];
  for (const auto& [name, count] : report.done) sum.done[name] += count;
  sum.longest_recovery = std::max(sum.longest_recovery, report.longest_recovery);
  sum.network.messages += report.network.messages;
  sum.network.overtaken += report.network.overtaken;
  sum.network.slow += report.network.slow;
  sum.network.held += report.network.held;
  sum.network.broken += report.network.broken;
  sum.network.duplicated += report.network.duplicated;
  sum.network.refused += report.network.refused;
  sum.network.late_answers += report.network.late_answers;
}

double seconds_since(Instant begin) {
  return static_cast<double>(system_clock().now() - begin) / kSecond;
}

double hours(Duration duration) { return static_cast<double>(duration) / (3'600.0 * kSecond); }

void print_marks(const sim::ClusterReport& sum) {
  std::printf("  longest recovery: %.1f s\n", static_cast<double>(sum.longest_recovery) / kSecond);
  for (size_t i = 0; i < sim::kFaults; ++i) {
    std::printf("  %-28s %" PRIu64 "\n", sim::name_of(static_cast<sim::Fault>(i)), sum.faults[i]);
  }
  for (const auto& [name, count] : sum.done)
    std::printf("  %-28s %" PRIu64 "\n", name.c_str(), count);
}

/// 0: all is well.
int run(uint64_t seed, uint64_t step, double hours_wanted, sim::ClusterOptions options,
        bool marks) {
  Totals totals;
  const Instant begin = system_clock().now();
  do {
    options.seed = seed;
    const Instant started = system_clock().now();
    const sim::ClusterReport report = sim::run_cluster(options);
    add(totals, report);
    std::printf("seed %" PRIu64 ": %u engines, %.0f s simulated in %.2f s, %" PRIu64
                " operations, %" PRIu64 " unknown, hash %016" PRIx64 "\n",
                seed, report.engines, static_cast<double>(report.simulated) / kSecond,
                seconds_since(started), report.operations, report.unknown, report.hash);
    for (const std::string& problem : report.problems)
      std::printf("PROBLEM: %s\n", problem.c_str());
    std::fflush(stdout);
    if (!report.problems.empty()) {
      std::printf("this one again: ./dev sim --clusters --seed %" PRIu64 " --hours 0\n", seed);
      return 1;
    }
    seed += step;
  } while (hours(totals.simulated) < hours_wanted);
  const double took = seconds_since(begin);
  std::printf(
      "%.2f cluster-hours in %.0f s (%.0f in an hour), %.1f operations a second\n",
      hours(totals.simulated), took, hours(totals.simulated) / took * 3'600,
      static_cast<double>(totals.sum.operations) * kSecond / static_cast<double>(totals.simulated));
  if (!marks) return 0;
  print_marks(totals.sum);
  const auto missing = sim::missing_marks(totals.sum);
  for (const std::string& each : missing)
    std::printf("PROBLEM: never occurred: %s\n", each.c_str());
  return missing.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulated clusters under faults, judged by their histories");
  uint64_t seed = 1, step = 1, fault_s = 30;
  double hours_wanted = 0, minutes = 10;
  bool marks = false, no_rollbacks = false;
  sim::ClusterOptions options;
  app.add_option("--seed", seed, "of the first cluster");
  app.add_option("--step", step, "from one seed to the next");
  app.add_option("--hours", hours_wanted, "of simulated clusters; at least one is run");
  app.add_option("--minutes", minutes, "of simulated time, of each");
  app.add_option("--engines", options.engines, "0: as the seed says");
  app.add_option("--fault-every", fault_s, "seconds; 0: no faults");
  app.add_flag("--marks", marks, "fail if some kind of fault or operation never occurred");
  app.add_flag("--no-rollbacks", no_rollbacks, "");
  CLI11_PARSE(app, argc, argv);
  setenv("CAIRN_LOG", "off", 0);
  options.length = static_cast<Duration>(minutes * 60 * kSecond);
  options.fault_every = fault_s * kSecond;
  options.rollbacks = !no_rollbacks;
  return run(seed, step, hours_wanted, options, marks);
}
