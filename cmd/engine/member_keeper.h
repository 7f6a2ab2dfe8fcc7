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
};

class MemberKeeper {
 public:
  /// All are borrowed. @param may_serve  asked until it says yes, before the engine serves
  MemberKeeper(Reactor& reactor, embed::AdminLink& link, embed::RemoteShards& shards,
               service::Service& service, KeeperOptions options, std::function<bool()> may_serve);

  void start();
  /// Asks the engine to end, and waits until it has let go of its directory (or for so long).
  /// Before destruction; the link must be closed after it.
  Task<void> stop(Duration patience);

 private:
  Task<void> run();
  /// @returns when the engine is gone, or never was there
  Task<bool> keep();
  Task<void> finish_removals();
  void launch();
  void look_at_child();
  bool is_running() const;
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
};

}  // namespace cairn::engine_program
