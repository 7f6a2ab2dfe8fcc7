// Faults: what goes wrong in a simulated cluster, when, and for how long. Each kind is counted: a
// run of some length in which one never occurred has proven less than it says. Home: the stage.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "sim/cluster/client_process.h"

namespace cairn::sim {

enum class Fault : uint8_t {
  kill_server,  // the process with the services
  kill_member,
  power_server,  // its machine: what was not flushed may be lost
  power_member,
  power_all,       // all machines at once
  restart_member,  // in order
  kill_client,
  cut_one_way,  // between two engines, one direction
  cut_two_ways,
  cut_engine,  // one from all other engines; clients still reach it
  cut_node,    // one from everybody
  cut_halves,  // engines and clients, into two groups
  cut_client,  // one client from one engine
  slow_paths,
  breaking_paths,  // connections break at messages
  duplicates,
  skew,
  disk_error,
  slow_disk,
  data_rot,  // bits flip on a machine's disks of data; later they are what they were
  page_rot,  // on those of metadata, too
  count
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::count);
const char* name_of(Fault fault);

class Faults {
 public:
  struct Parts {
    ServerProcess* server = nullptr;
    std::vector<MemberProcess*> members;
    std::vector<ClientProcess*> clients;
    Network* network = nullptr;
    Scope* scope = nullptr;
  };
  Faults(Stage& stage, Parts parts) : stage_(stage), parts_(std::move(parts)) {}

  /// Makes one happen now; it passes by itself some time later.
  void strike(Fault fault);
  void strike_any();
  /// Everything works again from now on; what was killed starts.
  void end_all();
  const std::array<uint64_t, kFaults>& counts() const { return counts_; }

 private:
  uint64_t dice(uint64_t sides) { return stage_.random().below(sides); }
  Duration a_while() { return kSecond / 2 + dice(20 * kSecond); }
  EngineProcess& engine(uint32_t rank);
  uint32_t engines() const { return static_cast<uint32_t>(1 + parts_.members.size()); }
  uint32_t any_engine() { return static_cast<uint32_t>(dice(engines())); }
  MemberProcess& any_member() { return *parts_.members[dice(parts_.members.size())]; }
  ClientProcess& any_client() { return *parts_.clients[dice(parts_.clients.size())]; }
  void take_down_soon(EngineProcess& engine, bool power);
  void take_down(EngineProcess& engine, bool power);
  void cut(std::vector<std::pair<NodeId, NodeId>> ways);
  void cut_between(const std::vector<NodeId>& some, const std::vector<NodeId>& others);
  void cut_something(Fault fault);
  void disturb(Fault fault);
  void weather(Weather weather);
  void break_disk();
  void rot(bool metadata);
  /// Runs `undo` after a while, unless end_all() comes before.
  void later(std::function<void()> undo);

  Stage& stage_;
  const Parts parts_;
  std::array<uint64_t, kFaults> counts_{};
  uint64_t era_ = 0;  // counts end_all()
};

}  // namespace cairn::sim
