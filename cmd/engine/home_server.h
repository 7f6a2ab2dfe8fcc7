// HomeServer: one home, served to other processes over its Unix socket. It has the services and the
// first engine, and keeps the processes of the others. It ends by itself some time
// after its last client, when it is asked to, or never. Home: the thread that runs it, except where
// a member says "any thread".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "cmd/embed/admin_server.h"
#include "cmd/embed/home_graph.h"
#include "cmd/embed/launch_file.h"
#include "cmd/engine/leaving.h"
#include "cmd/engine/process_launcher.h"
#include "fabric/stream_server.h"

namespace cairn::engine_program {

struct ServerOptions {
  std::string home;                   // empty: as client::HomeOptions::path
  std::vector<Address> listen;        // TCP addresses beside the home's socket
  bool take_over = false;             // from a server that has it now
  bool insecure = false;              // TCP clients need no token
  std::string launch_path;            // the file `launch`; empty: engines as the home says
  embed::LaunchFile launch;           // what it says
  uint32_t cores = 1;                 // embed::LocalEngineOptions::cores
  Duration linger_ns = 10 * kSecond;  // after the last client; kNever: stays
  /// How long handles of a client wait for it after the server's restart, or after a connection of
  /// another machine broke.
  Duration reconnect_grace_ns = 30 * kSecond;
};

class HomeServer final : public Leaving {
 public:
  /// Opens the home. Errors as embed::HomeGraph::open(); busy without a line: another server has
  /// it.
  static Result<std::unique_ptr<HomeServer>> open(ServerOptions options);

  /// Serves until it is time to go; then answers what is under way, checkpoints and closes.
  /// @param ready  called once when clients can connect
  /// @error  the socket cannot be made (a line on stderr); or what closing says
  Result<void> run(std::function<void()> ready);
  void leave() override;
  const std::string& home() const { return graph_->path(); }

 private:
  HomeServer() = default;
  Task<Result<void>> serve(std::function<void()> ready);
  Task<void> linger(uint64_t generation);
  /// @param departure  of the session, which it is about; 0: before this server began
  Task<void> end_unless_back(uint64_t session, uint64_t departure, Duration grace);
  void on_session(uint64_t session, bool here, bool local);
  Result<void> listen();
  void make_keepers();
  void make_keeper(uint32_t rank);
  std::vector<std::string> addresses_of(uint32_t rank) const;
  LauncherOptions launcher_options(uint32_t rank) const;
  Task<std::vector<wire::RankResult>> set_running(std::vector<uint32_t> ranks, bool run);
  Task<Result<void>> stop_first();
  Task<Result<void>> start_first();
  Task<void> finish_removals();
  Task<void> stop_members();
  void start_lingering();

  ServerOptions options_;
  std::shared_ptr<embed::HomeGraph> graph_;
  std::unique_ptr<embed::AdminServer> admin_;
  std::vector<std::unique_ptr<ProcessLauncher>> launchers_;    // of this machine's other engines
  std::vector<std::unique_ptr<embed::MemberKeeper>> keepers_;  // by rank, from 1 on
  std::unique_ptr<fabric::StreamServer> server_;
  std::unique_ptr<WaitList> leaving_changed_;
  bool leaving_ = false;
  bool serving_ = false;        // keepers have been started
  bool first_stopped_ = false;  // the engine of this process
  bool turning_ = false;        // set_running() is at work
  std::map<uint64_t, uint64_t> departures_;  // of sessions: how often each lost its connections
  uint64_t idle_generation_ = 0;  // counts changes between having clients and having none
};

}  // namespace cairn::engine_program
