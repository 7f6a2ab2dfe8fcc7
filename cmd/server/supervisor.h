// Supervisor: daos_server at work: formats (or waits for dmg to ask for it), starts the process
// that has the system's services and its first engine, and starts it again when it dies. That
// process keeps the other engines (cmd/engine). With services on another machine it is the process
// that does what they say with the engines here. Blocks; one thread; signals are blocked by the
// caller.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "cmd/embed/home_format.h"
#include "cmd/embed/launch_file.h"
#include "cmd/server/config.h"
#include "cmd/server/replica.h"

namespace cairn::server {

struct SupervisorOptions {
  ServerConfig config;
  bool auto_format = false;
  sigset_t signals;  // blocked: SIGTERM, SIGINT, SIGHUP, SIGCHLD
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options) : options_(std::move(options)) {}
  /// Returns when it was told to go, or the services were asked to. Errors have had their line.
  Result<void> run();

 private:
  Result<bool> format();
  Result<bool> wait_for_services();
  Result<void> make_home(const std::optional<embed::HomeFile>& found, bool wipe);
  Result<void> prepare();
  Result<void> check_interfaces();
  bool start_services();
  bool start_machine();
  bool told_to_leave();
  bool launch();
  bool wait_for_child(int* status);
  void stop_child();
  void leave();
  bool pause_before_restart();
  void tell(const std::string& line) const;

  SupervisorOptions options_;
  std::string program_, launch_path_;
  std::optional<ServicePlace> services_;  // nullopt: in the process that this one starts
  embed::LaunchFile launch_;
  std::string listen_;  // tcp:HOST:PORT of the system
  pid_t child_ = -1;
  int64_t started_ms_ = 0;
  int64_t pause_ms_ = 0;
  bool leaving_ = false;
};

}  // namespace cairn::server
