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
  /// What launch() has asked for, and nobody has done yet, is not done.
  virtual void cancel() {}
  /// Somebody has the engine's directory.
  virtual bool is_running() = 0;
  /// The process that launch() started, or one before it, may still come to run.
  virtual bool is_starting() = 0;
  /// Nobody can tell, for now, whether it runs or starts: the two above say no, and what is to be
  /// done is done when somebody can.
  virtual bool is_silent() { return false; }
  /// Asks the process to end that did not hear it from its server.
  virtual void terminate() = 0;
  /// Ends one that does not hear that either; what it has acknowledged is in its logs.
  virtual void kill() = 0;
};

struct KeeperOptions {
  bool restart = true;            // when it has died; else it stays away until resume()
  Duration restart_pause_ns = 0;  // least time from one start to the next
};

class MemberKeeper {
 public:
  /// All are borrowed.
  MemberKeeper(Reactor& reactor, AdminLink& link, RemoteShards& shards, service::Service& service,
               Launcher& launcher, KeeperOptions options = {});

  void start();
  /// Ends the engine and leaves it away. One that does not end in time is killed.
  /// @error timed_out  it does not end even so   @error unreachable  its machine is silent: it is
  /// ended when that is back
  Task<Result<void>> halt(Duration patience);
  /// Starts it again, also after it died and was not to be restarted, and waits until it serves.
  /// @error unreachable  it does not come
  Task<Result<void>> resume(Duration patience);
  /// As resume(), without waiting.
  void revive();
  /// Asks the engine to end, and waits until it has let go of its directory (or for so long).
  /// Before destruction; the link must be closed after it.
  Task<void> stop(Duration patience);
  /// Lets the engine be: it serves on, and waits for the next server. Before destruction, after the
  /// link was closed.
  Task<void> detach();

 private:
  Task<void> run();
  /// @returns when the engine is gone, or never was there
  Task<bool> keep();
  Task<void> finish_removals();
  Task<void> end_process(Duration patience);
  Task<void> wait_until_gone(Duration patience);
  bool is_gone() { return !launcher_.is_running() && !launcher_.is_starting(); }
  bool may_go_on() const { return wanted_ && !stopping_; }

  Reactor& reactor_;
  AdminLink& link_;
  RemoteShards& shards_;
  service::Service& service_;
  Launcher& launcher_;
  Gate gate_;
  const KeeperOptions options_;
  WaitList wanted_changed_;  // or stopping_
  bool stopping_ = false;
  bool hurry_ = false;    // ends a pause between two lives
  bool wanted_ = true;    // halt() and resume()
  Instant launched_ = 0;  // the last time; 0: never
};

}  // namespace cairn::embed
