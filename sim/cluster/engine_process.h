// EngineProcess: one engine of a simulated cluster with its machine: the first one (rank 0) has the
// services, as cmd/engine/home_server, the others are members, as cmd/engine/member_server. What
// those two get from files, sockets and the operating system comes from Machine, Network and Stage
// here; all else is the product's own. Home: the stage.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "cmd/embed/admin_server.h"
#include "cmd/embed/engine_fleet.h"
#include "cmd/embed/member_keeper.h"
#include "service/embedded_config_store.h"
#include "sim/cluster/machine.h"
#include "sim/cluster/network.h"

namespace cairn::sim {

/// What all engines of a cluster know.
struct ClusterShape {
  Uuid system;
  uint32_t engines = 3;
  uint32_t targets = 1;  // of each
  /// As those of the programs: how long sessions without a connection are kept, and members without
  /// a server.
  Duration session_grace = 30 * kSecond;
  Duration member_grace = 30 * kSecond;
};

class EngineProcess : public Process {
 public:
  EngineProcess(Stage& stage, Network& network, const ClusterShape& shape, uint32_t rank);
  ~EngineProcess() override { CHECK(!is_running()); }

  uint32_t rank() const { return rank_; }
  Machine& machine() { return machine_; }
  /// Not before that time. Running already: nothing.
  void start();
  void stay_down_until(Instant when) { down_until_ = when; }
  bool may_start() { return stage().now() >= down_until_; }
  /// Ends the run, wherever it is. `power`: the machine loses what its disks have not flushed.
  void kill(bool power);

 protected:
  virtual void build() = 0;
  virtual void drop() = 0;
  std::unique_ptr<embed::LocalEngine> make_engine();
  std::unique_ptr<embed::AdminLink> make_link();

  Network& network_;
  const ClusterShape shape_;

 private:
  const uint32_t rank_;
  Machine machine_;
  Instant down_until_ = 0;
};

class MemberProcess final : public EngineProcess {
 public:
  using EngineProcess::EngineProcess;
  /// Ends in order: answers what is under way, closes its shards.
  void leave();

 private:
  struct Run {
    std::unique_ptr<embed::AdminLink> link;
    std::unique_ptr<embed::RemotePeers> peers;
    std::unique_ptr<embed::LocalEngine> engine;
    std::unique_ptr<embed::AdminServer> admin;
    uint64_t service = 0;
    uint64_t generation = 0;
    bool leaving = false;
  };
  void build() override;
  void drop() override { run_.reset(); }
  void on_admin(uint64_t session, bool here);
  Task<void> watch_server(uint64_t generation);
  Task<void> go();

  std::unique_ptr<Run> run_;
};

/// With the services. `members` by rank, from 1.
class ServerProcess final : public EngineProcess {
 public:
  ServerProcess(Stage& stage, Network& network, const ClusterShape& shape,
                std::vector<MemberProcess*> members);

  /// Every engine serves, and nothing is left to be ended.
  bool is_whole() const;
  /// The first error that it could not start with, if any.
  const std::string& trouble() const { return trouble_; }

 private:
  class Launcher final : public embed::Launcher {
   public:
    explicit Launcher(MemberProcess& member) : member_(member) {}
    void launch() override {
      if (member_.may_start()) member_.start();
    }
    bool is_running() override { return member_.is_running(); }
    bool is_starting() override { return false; }
    void terminate() override {}
    void kill() override {}

   private:
    MemberProcess& member_;
  };
  struct Run {
    embed::Blobs config_blobs;
    std::unique_ptr<service::EmbeddedConfigStore> config;
    std::unique_ptr<embed::AdminLink> link;
    std::vector<std::unique_ptr<embed::RemoteShards>> remotes;
    std::unique_ptr<embed::RemotePeers> remote_peers;
    std::unique_ptr<embed::LocalEngine> engine;
    std::unique_ptr<embed::LocalPeers> peers;
    std::unique_ptr<embed::EngineFleet> fleet;
    std::unique_ptr<service::Service> service;
    std::unique_ptr<embed::AdminServer> admin;
    std::vector<std::unique_ptr<embed::MemberKeeper>> keepers;
    std::set<uint64_t> sessions;              // of clients that are connected
    std::map<uint64_t, uint64_t> departures;  // of sessions
    bool open = false;
  };
  void build() override;
  void drop() override { run_.reset(); }
  Task<void> open();
  Task<Result<void>> open_config();
  void make_service();
  void serve();
  Task<void> end_unless_back(uint64_t session, uint64_t departure);

  const std::vector<MemberProcess*> members_;
  std::vector<std::unique_ptr<Launcher>> launchers_;
  std::unique_ptr<Run> run_;
  std::string trouble_;
};

}  // namespace cairn::sim
