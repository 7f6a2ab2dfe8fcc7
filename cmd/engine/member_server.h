// MemberServer: one engine of a home in a process of its own. It opens its directory, waits for the
// home's server to join it, and serves clients when that says so. When the server goes, it serves
// on and waits for the next one; after the grace it ends. Home: the thread that runs it, except
// where a member says "any thread".
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cmd/embed/admin_server.h"
#include "cmd/embed/remote_shards.h"
#include "cmd/engine/leaving.h"
#include "fabric/stream_server.h"
#include "runtime/context.h"

namespace cairn::engine_program {

struct MemberOptions {
  std::string home;             // empty: as client::HomeOptions::path
  uint32_t rank = 1;            // above 0
  std::vector<Address> listen;  // TCP addresses beside the engine's socket; port 0: any
  bool insecure = false;        // TCP clients need no token
  uint32_t cores = 1;           // embed::LocalEngineOptions::cores
  Duration grace_ns = 30 * kSecond;  // without a server of the home; kNever: it stays
};

class MemberServer final : public Leaving {
 public:
  /// @error nonexistent  the home has no engine of that rank   @error busy  another process serves
  /// it   Others: LocalEngine::open(). Each with a line on stderr.
  static Result<std::unique_ptr<MemberServer>> open(MemberOptions options);
  ~MemberServer() override;

  /// Serves until it is time to go; then answers what is under way, checkpoints and closes.
  /// @error  a socket cannot be made (a line on stderr); or what closing says
  Result<void> run();
  void leave() override;

 private:
  MemberServer() = default;
  Result<void> prepare(MemberOptions options);
  Result<void> find_services();
  Task<Result<std::vector<Address>>> where(uint32_t rank);
  void make_servers(const fabric::Token& token);
  Task<Result<void>> serve();
  Result<void> listen();
  Task<void> watch_server(uint64_t generation);
  void on_admin(uint64_t session, bool here);
  void go();

  MemberOptions options_;
  std::string directory_;
  embed::HomeFile file_;
  fabric::Token secret_{};         // of the system's own, over networks; zero: it has none
  std::vector<Address> services_;  // where they are on another machine
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<embed::AdminLink> link_;
  std::unique_ptr<embed::RemotePeers> peers_;
  std::unique_ptr<embed::LocalEngine> engine_;
  std::unique_ptr<embed::AdminServer> admin_;
  std::unique_ptr<fabric::StreamServer> server_;
  std::unique_ptr<WaitList> leaving_changed_;
  bool leaving_ = false;
  uint64_t service_ = 0;      // the session of the home's server; 0: it is away
  uint64_t generation_ = 0;   // counts its comings and goings
};

}  // namespace cairn::engine_program
