// The harness of `./dev bench`: a case measures us and a peer in turns, in the same run, and prints
// one JSON line. Times alone say nothing on a shared machine; the ratio is the median over rounds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cairn::bench {

/// One round of one side: operations per second, or MiB/s.
using Side = std::function<double()>;

struct Peer {
  std::string name;
  Side run;
  /// Waits for work that `run` left behind, so that it takes nothing from the next side. Not in the
  /// time of `run`, but in what the peer used.
  std::function<void()> settle = {};
};

/// More JSON members of a line, for example "\"flushes\": 12"; given our count of operations.
using Extra = std::function<std::string(double operations)>;

struct Case {
  std::string name;  // area.operation.size.condition; stable
  std::string unit;
  /// Makes both sides; what they capture lives until the case ends.
  std::function<void(struct Run&)> body;
};

/// What a case works with.
struct Run {
  std::string directory;  // empty, on the disk under test; removed after the case
  int rounds = 5;
  bool smoke = false;    // a fraction of a second a side, to see that the case works
  bool alone = false;    // peers wait: for profiles of our side
  double seconds = 1.0;  // of one side in one round
  std::string name, unit;

  /// Runs ours and the peer in turns and prints the line. A round whose peer moved by more than 25
  /// % from the peer's median is left out of the ratio (and told in "rounds_dropped").
  /// Beside it stand what both sides used of CPU, memory allocations and disk for each operation.
  /// @param extra  gives more JSON members for so many operations of ours
  void compare(const Side& ours, const Peer& peer, const Extra& extra = {});
  /// As compare() with several peers, each in its turn of every round: a line for each, of the
  /// case's name for the first and with ".vs-" and the peer's name behind it for the others.
  void compare_all(const Side& ours, const std::vector<Peer>& peers, const Extra& extra = {});
  /// Prints a figure that has a fixed number to compare with.
  void report(double ours, const std::string& peer, double theirs, const std::string& extra = {});
  /// Prints a count that has nothing to be compared with; `part` goes behind the case's name.
  void report_count(const std::string& part, double ours, const std::string& unit_of_it,
                    const std::string& extra = {});
};

void add_store_cases(std::vector<Case>& cases);
void add_data_cases(std::vector<Case>& cases);
void add_store_time_cases(std::vector<Case>& cases);
void add_capacity_cases(std::vector<Case>& cases);
void add_memory_case(std::vector<Case>& cases);
void add_client_cases(std::vector<Case>& cases);
void add_net_cases(std::vector<Case>& cases);
void add_net_many_cases(std::vector<Case>& cases);
void add_file_cases(std::vector<Case>& cases);
void add_layout_cases(std::vector<Case>& cases);
void add_worm_cases(std::vector<Case>& cases);

/// Seconds since some start.
double now_seconds();
/// CPU seconds of this process.
double cpu_seconds();
[[noreturn]] void die(const std::string& what);

/// Calls `step` (which does `per_step` operations) until `seconds` have passed; operations per
/// second.
double rate_of(double seconds, uint64_t per_step, const std::function<void()>& step);

}  // namespace cairn::bench
