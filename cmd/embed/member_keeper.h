// MemberKeeper: the home's server as the keeper of one engine in another process: starts it where
// there is none, joins it, has it catch up, lets it serve, and begins anew when it is gone. Home:
// the reactor given.
#pragma once

#include <functional>

#include "cmd/embed/remote_shards.h"
#include "service/service.h"

namespace cairn::embed {

/// How the engine's process is started and watched: the seam to the operating system.
class Launcher {
 public:
  virtual ~Launcher() = default;
  /// Starts the engine where none runs. Best effort: keep() looks what has become of it.
  virtual void launch() = 0;
  /// Somebody has the engine's directory.
  virtual bool is_running() = 0;
  /// The process that launch() started, or one before it, may still come to run.
  virtual bool is_starting() = 0;
  /// Asks the process to end that did not hear it from its server.
  virtual void terminate() = 0;
};

class MemberKeeper {
 public:
  /// All are borrowed. @param may_serve  asked until it says yes, before the engine serves
  MemberKeeper(Reactor& reactor, AdminLink& link, RemoteShards& shards, service::Service& service,
               Launcher& launcher, std::function<bool()> may_serve);

  void start();
  /// Asks the engine to end, and waits until it has let go of its directory (or for so long).
  /// Before destruction; the link must be closed after it.
  Task<void> stop(Duration patience);

 private:
  Task<void> run();
  /// @returns when the engine is gone, or never was there
  Task<bool> keep();
  Task<void> finish_removals();

  Reactor& reactor_;
  AdminLink& link_;
  RemoteShards& shards_;
  service::Service& service_;
  Launcher& launcher_;
  const std::function<bool()> may_serve_;
  Gate gate_;
  bool stopping_ = false;
};

}  // namespace cairn::embed
