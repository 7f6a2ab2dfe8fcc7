// simulate_clusters: simulated clusters from a seed until so many hours of them have passed, or one
// of them shows a problem. ./dev sim runs it on every core.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "sim/cluster/cluster.h"
#include "sim/cluster/scale.h"

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

/// How long it goes on: until both have passed; one cluster at least.
struct Length {
  double hours = 0;    // of simulated clusters
  double seconds = 0;  // of this program
};

/// 0: all is well.
int run(uint64_t seed, uint64_t step, Length length, sim::ClusterOptions options, bool marks) {
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
  } while (hours(totals.simulated) < length.hours || seconds_since(begin) < length.seconds);
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

void print(const char* what, const sim::Spread& spread) {
  std::printf("%-40s mean %.1f, most %.0f, variation %.4f\n", what, spread.mean, spread.max,
              spread.variation);
}

int show_scale(const sim::ScaleOptions& options) {
  const Instant begin = system_clock().now();
  const sim::ScaleReport report = sim::run_scale(options);
  std::printf("%u engines of %u targets, %u clients, seed %" PRIu64 ": hash %016" PRIx64
              ", %.0f s\n",
              options.engines, options.targets, options.clients, options.seed, report.hash,
              seconds_since(begin));
  std::printf("%-28s %10s %12s %10s %12s %10s %11s\n", "step", "seconds", "of clients", "MiB",
              "of engines", "MiB", "connections");
  for (const sim::ScaleStep& step : report.steps) {
    std::printf("%-28s %10.3f %12" PRIu64 " %10.2f %12" PRIu64 " %10.2f %11" PRIu64 "\n",
                step.name.c_str(), static_cast<double>(step.took) / kSecond, step.calls.messages,
                static_cast<double>(step.calls.bytes) / (1 << 20), step.admin.messages,
                static_cast<double>(step.admin.bytes) / (1 << 20), step.connections);
  }
  print("connections of a client", report.of_client);
  print("connections of an engine", report.of_engine);
  print("objects on a target", report.objects);
  print("bytes on a target", report.bytes);
  std::printf("%-40s %.4f\n", "variation of objects by chance alone", report.binomial);
  std::printf("%-40s %.4f\n", "of new objects on engines that joined", report.to_late);
  std::printf("memory: %.1f KiB an engine, %.1f KiB a client, %" PRIu64
              " bytes a client on an engine\n",
              static_cast<double>(report.engine_bytes) / 1024,
              static_cast<double>(report.client_bytes) / 1024, report.handle_bytes);
  for (const std::string& problem : report.problems) std::printf("PROBLEM: %s\n", problem.c_str());
  return report.problems.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulated clusters under faults, judged by their histories");
  uint64_t seed = 1, step = 1, fault_s = 30;
  Length length;
  double minutes = 10;
  bool marks = false, no_rollbacks = false;
  sim::ClusterOptions options;
  app.add_option("--seed", seed, "of the first cluster");
  app.add_option("--step", step, "from one seed to the next");
  app.add_option("--hours", length.hours, "of simulated clusters; at least one is run");
  app.add_option("--seconds", length.seconds, "that it takes, at least");
  app.add_option("--minutes", minutes, "of simulated time, of each");
  app.add_option("--engines", options.engines, "0: as the seed says");
  app.add_option("--fault-every", fault_s, "seconds; 0: no faults");
  app.add_flag("--marks", marks, "fail if some kind of fault or operation never occurred");
  app.add_flag("--no-rollbacks", no_rollbacks, "");
  app.add_flag("--no-pools{false}", options.pools, "none are made and destroyed");
  bool scale = false;
  sim::ScaleOptions large;
  app.add_flag("--scale", scale, "a large system instead, counted: with --engines and");
  app.add_option("--clients", large.clients, "");
  app.add_option("--late", large.late, "engines that join its pool later");
  CLI11_PARSE(app, argc, argv);
  setenv("CAIRN_LOG", "off", 0);
  if (scale) {
    large.seed = seed;
    if (options.engines != 0) large.engines = std::max(options.engines, 4u);
    large.late = std::clamp(large.late, 1u, large.engines - 3);
    return show_scale(large);
  }
  options.length = static_cast<Duration>(minutes * 60 * kSecond);
  options.fault_every = fault_s * kSecond;
  options.rollbacks = !no_rollbacks;
  return run(seed, step, length, options, marks);
}
