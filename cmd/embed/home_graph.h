// HomeGraph: everything that one process needs for a home, put together: lock, reactor, devices,
// config store, engines, transport, services and the client's end of calls. Members stand in the
// order in which they need each other; close() ends them from the top, outside the reactor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/home.h"
#include "client/rpc.h"
#include "cmd/embed/claim_home.h"
#include "cmd/embed/engine_fleet.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/machines.h"
#include "cmd/embed/remote_shards.h"
#include "fabric/inproc.h"
#include "runtime/context.h"
#include "service/embedded_config_store.h"
#include "service/service.h"

namespace cairn::embed {

struct GraphOptions {
  client::HomeOptions home;
  std::vector<client::HomeDevice> devices = {};   // for a home that is made now
  uint32_t targets = 1;                           // of each engine, as above
  uint32_t engines = 1;                           // as above
  HomeUse use = HomeUse::embed;
  bool apart = false;                             // only the first engine is here; the others are
                                                  // processes: remotes()
  bool joinable = false;                          // `apart`: other machines may join the system
                                                  // without being asked for anything
  Takeover takeover = Takeover::if_idle;
  uint32_t cores = 1;                             // LocalEngineOptions::cores
  bool keep_handles = false;                      // service::ServiceOptions::keep_handles
  /// service::ServiceOptions::set_running
  std::function<Task<std::vector<wire::RankResult>>(std::vector<uint32_t>, bool)> set_running = {};
  std::function<void(const char*)> at_step = {};  // service::ServiceOptions::at_step
};

class HomeGraph {
 public:
  /// Errors as client::open_home(); each has had its line on stderr.
  static Result<std::shared_ptr<HomeGraph>> open(GraphOptions options);
  ~HomeGraph();

  Context& context() { return *context_; }
  client::Rpc& rpc() { return *rpc_; }
  HomeShards& shards(uint32_t rank = 0) { return engines_.at(rank)->shards(); }
  service::EmbeddedConfigStore& config() { return *config_; }
  service::Service& service() { return *service_; }
  EngineFleet& fleet() { return *fleet_; }
  engine::Engine& engine(uint32_t rank = 0) { return engines_.at(rank)->engine(); }
  fabric::InprocTransport& transport() { return *transport_; }
  const Uuid& system() const { return file_.uuid; }
  uint64_t incarnation() const { return engines_.front()->incarnation(); }
  const BlobSource& storage() const { return engines_.front()->storage(); }
  uint32_t engine_count() const { return file_.engine_count; }
  LocalEngine& local_engine(uint32_t rank = 0) { return *engines_.at(rank); }
  /// The engines of other processes, by rank from 1 on; all of them are away at first. Empty unless
  /// `apart`. Those of other machines come last.
  const std::vector<std::unique_ptr<RemoteShards>>& remotes() const { return remotes_; }
  /// Null unless `apart`.
  Machines* machines() { return machines_.get(); }
  /// What the system's own show to each other over networks. Zero: nobody comes from there.
  const fabric::Token& secret() const { return secret_; }
  /// After it is there in remotes().
  void set_on_admitted(std::function<void(uint32_t rank)> admitted) {
    on_admitted_ = std::move(admitted);
  }
  /// The engine's machine has started anew.
  void set_on_restarted(std::function<void(uint32_t rank)> restarted) {
    on_restarted_ = std::move(restarted);
  }
  /// To other processes. Null unless `apart`.
  AdminLink* link() { return link_.get(); }
  const std::string& path() const { return path_; }
  /// Waits for running operations, checkpoints, closes. Idempotent. Outside the reactor.
  Result<void> close();

 private:
  HomeGraph() = default;
  Result<void> prepare(GraphOptions options);
  Task<Result<void>> start(GraphOptions options, bool fresh);
  Task<Result<void>> open_config(bool fresh, std::vector<client::HomeDevice> wishes);
  Task<Result<void>> open_engines(const GraphOptions& options);
  Result<void> make_link(bool joinable);
  void admit(uint32_t rank);
  void make_service(const GraphOptions& options);
  Task<Result<void>> finish();

  std::string path_;
  HomeFile file_;
  HomeLock lock_;
  std::unique_ptr<Reactor> reactor_;
  Blobs config_files_;
  std::unique_ptr<service::EmbeddedConfigStore> config_;
  fabric::Token secret_{};
  std::unique_ptr<Machines> machines_;
  std::function<void(uint32_t rank)> on_admitted_, on_restarted_;
  std::unique_ptr<AdminLink> link_;
  std::vector<std::unique_ptr<RemoteShards>> remotes_;
  std::unique_ptr<RemotePeers> remote_peers_;
  std::vector<std::unique_ptr<LocalEngine>> engines_;  // by rank
  std::unique_ptr<LocalPeers> peers_;
  std::unique_ptr<EngineFleet> fleet_;
  std::unique_ptr<service::Service> service_;
  std::unique_ptr<fabric::InprocTransport> transport_;
  std::unique_ptr<client::Rpc> rpc_;
  std::unique_ptr<Context> context_;
  bool closed_ = false;
};

/// The graph as a client sees it; shutdown() closes it.
std::unique_ptr<client::System> make_system(std::shared_ptr<HomeGraph> graph);

}  // namespace cairn::embed
