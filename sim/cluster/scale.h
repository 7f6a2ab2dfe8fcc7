// Scale: a system of hundreds of engines and thousands of clients, without faults but for one
// engine that is killed, to count what grows with them: messages and bytes, connections, memory,
// how even placement is. The real engines, services and clients on one stage. Time is that of the
// simulated network: what processors take is not in it.
#pragma once

#include <string>
#include <vector>

#include "runtime/clock.h"
#include "sim/cluster/network.h"

namespace cairn::sim {

struct ScaleOptions {
  uint64_t seed = 1;
  uint32_t engines = 100;
  uint32_t targets = 1;      // of each
  uint32_t late = 10;        // engines that join the pool later
  uint32_t clients = 1'000;  // each as a process of its own: a session, connections
  uint32_t objects = 4;      // of each client, with one shard
};

/// What happened between two quiet moments.
struct ScaleStep {
  std::string name;
  Duration took = 0;
  Traffic calls;             // of clients
  Traffic admin;             // of the services and engines with each other
  uint64_t connections = 0;  // made
};

/// Many of one kind.
struct Spread {
  double mean = 0, max = 0;
  double variation = 0;  // standard deviation over mean
};

struct ScaleReport {
  std::vector<std::string> problems;  // none: all is well
  std::vector<ScaleStep> steps;
  uint64_t hash = 0;
  Spread of_client, of_engine;  // connections, when clients have worked
  uint64_t engine_bytes = 0;    // of memory, for each engine with its disks
  uint64_t client_bytes = 0;    // for each client, with what it has open
  uint64_t handle_bytes = 0;    // for each client on each engine
  Spread objects, bytes;        // over targets, of placed objects
  double binomial = 0;          // the variation that chance alone gives the objects
  double to_late = 0;           // part of what is made later on the engines that joined
};

ScaleReport run_scale(const ScaleOptions& options);

}  // namespace cairn::sim
