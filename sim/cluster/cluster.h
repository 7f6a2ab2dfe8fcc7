// Cluster: engines, clients and a network on one stage, put together, put under faults, and judged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/cluster/faults.h"

namespace cairn::sim {

struct ClusterOptions {
  uint64_t seed = 1;
  uint32_t engines = 0;                 // 0: 3 to 9, as the seed says
  uint32_t targets = 0;                 // of each; 0: 1 or 2
  Duration length = 600 * kSecond;      // of the simulated time under faults, about
  Duration chapter = 120 * kSecond;     // between two quiet moments
  Duration fault_every = 30 * kSecond;  // on the average; 0: none
  std::vector<Fault> only = {};         // empty: all kinds
  bool rollbacks = true;
  bool pools = true;  // are made and destroyed
};

struct ClusterReport {
  std::vector<std::string> problems;  // none: all is well
  uint64_t hash = 0;                  // of everything that happened
  uint32_t engines = 0;
  Duration simulated = 0;
  uint64_t operations = 0;  // that ended well
  uint64_t unknown = 0;     // whose outcome nobody learned
  std::array<uint64_t, kFaults> faults{};
  NetworkCounts network;
  std::map<std::string, uint64_t> done;   // operations by kind
  Duration longest_recovery = 0;          // from the end of all faults until everything works
};

ClusterReport run_cluster(const ClusterOptions& options);

/// Faults of every kind, messages of every fate: what has never occurred in a long run.
std::vector<std::string> missing_marks(const ClusterReport& report);

}  // namespace cairn::sim
