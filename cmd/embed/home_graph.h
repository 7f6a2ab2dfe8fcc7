// HomeGraph: everything that one process needs for a home, put together: lock, reactor, devices,
// config store, engine, transport, services and the client's end of calls. Members stand in the
// order in which they need each other; close() ends them from the top, outside the reactor.
#pragma once

#include <memory>
#include <string>

#include "client/home.h"
#include "client/rpc.h"
#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/home_shards.h"
#include "fabric/inproc.h"
#include "runtime/context.h"
#include "service/embedded_config_store.h"
#include "service/service.h"

namespace cairn::embed {

struct GraphOptions {
  client::HomeOptions home;
  std::vector<client::HomeDevice> devices = {};   // for a home that is made now
  uint32_t targets = 1;                           // as above
  HomeUse use = HomeUse::embed;
  Takeover takeover = Takeover::if_idle;
  bool keep_handles = false;                      // service::ServiceOptions::keep_handles
  std::function<void(const char*)> at_step = {};  // service::ServiceOptions::at_step
};

class HomeGraph {
 public:
  /// Errors as client::open_home(); each has had its line on stderr.
  static Result<std::shared_ptr<HomeGraph>> open(GraphOptions options);
  ~HomeGraph();

  Context& context() { return *context_; }
  client::Rpc& rpc() { return *rpc_; }
  HomeShards& shards() { return *shards_; }
  service::EmbeddedConfigStore& config() { return *config_; }
  service::Service& service() { return *service_; }
  engine::Engine& engine() { return *engine_; }
  fabric::InprocTransport& transport() { return *transport_; }
  const Uuid& system() const { return file_.uuid; }
  uint64_t incarnation() const { return incarnation_; }
  const Storage& storage() const { return *storage_; }
  const std::string& path() const { return path_; }
  /// Waits for running operations, checkpoints, closes. Idempotent. Outside the reactor.
  Result<void> close();

 private:
  HomeGraph() = default;
  Result<void> prepare(GraphOptions options);
  Task<Result<void>> start(GraphOptions options, bool fresh);
  Task<Result<void>> open_config(bool fresh, std::vector<client::HomeDevice> wishes);
  Task<Result<void>> finish();

  std::string path_;
  HomeFile file_;
  HomeLock lock_;
  uint64_t incarnation_ = 0;
  std::unique_ptr<Reactor> reactor_;
  Blobs config_files_;
  std::unique_ptr<service::EmbeddedConfigStore> config_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<HomeShards> shards_;
  std::unique_ptr<service::Service> service_;
  std::unique_ptr<fabric::InprocTransport> transport_;
  std::unique_ptr<client::Rpc> rpc_;
  std::unique_ptr<Context> context_;
  bool closed_ = false;
};

/// The graph as a client sees it; shutdown() closes it.
std::unique_ptr<client::System> make_system(std::shared_ptr<HomeGraph> graph);

}  // namespace cairn::embed
