// MemberKeeper: the home's server as the keeper of one engine in another process: starts it where
// there is none, joins it, has it catch up, lets it serve, and begins anew when it is gone. Home:
// the reactor given.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "cmd/embed/remote_shards.h"
#include "service/service.h"

namespace cairn::engine_program {

struct KeeperOptions {
  std::string home;
  std::string program;              // daos_engine
  std::vector<std::string> words;   // of its command line, beside home and rank
  std::vector<std::string> env;     // NAME=VALUE, beside this process's
  std::string log;                  // empty: server.log in its directory
  bool restart = true;              // when it has died; else it stays away until resume()
  Duration restart_pause_ns = 0;    // least time from one start to the next
};

class MemberKeeper {
 public:
  /// All are borrowed. @param may_serve  asked until it says yes, before the engine serves
  MemberKeeper(Reactor& reactor, embed::AdminLink& link, embed::RemoteShards& shards,
               service::Service& service, KeeperOptions options, std::function<bool()> may_serve);

  void start();
  /// Ends the engine and leaves it away. @error timed_out  it does not let go of its directory
  Task<Result<void>> halt(Duration patience);
  /// Starts it again, also after it died and was not to be restarted, and waits until it serves.
  /// @error unreachable  it does not come
  Task<Result<void>> resume(Duration patience);
  /// Asks the engine to end, and waits until it has let go of its directory (or for so long).
  /// Before destruction; the link must be closed after it.
  Task<void> stop(Duration patience);

 private:
  Task<void> run();
  Task<void> ask_to_leave(Duration patience);
  /// @returns when the engine is gone, or never was there
  Task<bool> keep();
  Task<void> finish_removals();
  void launch();
  void look_at_child();
  bool is_running() const;
  bool may_go_on() const { return wanted_ && !stopping_; }
  std::string directory() const;

  Reactor& reactor_;
  embed::AdminLink& link_;
  embed::RemoteShards& shards_;
  service::Service& service_;
  const KeeperOptions options_;
  const std::function<bool()> may_serve_;
  Gate gate_;
  pid_t child_ = -1;
  bool stopping_ = false;
  bool wanted_ = true;      // halt() and resume()
  Instant launched_ = 0;    // the last time; 0: never
};

}  // namespace cairn::engine_program
