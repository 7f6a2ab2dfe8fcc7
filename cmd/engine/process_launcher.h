// ProcessLauncher: the process of another engine of the home, as this process's child. One that an
// earlier server has left behind is nobody's child; it is found by the lock of its directory.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cmd/embed/launch_file.h"
#include "cmd/embed/member_keeper.h"

namespace cairn::engine_program {

struct LauncherOptions {
  std::string home;
  uint32_t rank = 0;
  std::string program;             // daos_engine
  std::vector<std::string> words;  // of its command line, beside home and rank
  std::vector<std::string> env;    // NAME=VALUE, beside this process's
  std::vector<std::string> unset;  // NAME
  std::string log;                 // empty: server.log in its directory
};

/// What the file `launch` says about an engine.
LauncherOptions launcher_of(const embed::LaunchFile& launch, const std::string& path,
                            uint32_t rank);

class ProcessLauncher final : public embed::Launcher {
 public:
  explicit ProcessLauncher(LauncherOptions options) : options_(std::move(options)) {}
  ~ProcessLauncher() override;

  void launch() override;
  bool is_running() override;
  bool is_starting() override;
  void terminate() override;
  void kill() override;

 private:
  std::string directory() const;
  void look_at_child();
  void signal(int which);

  const LauncherOptions options_;
  pid_t child_ = -1;
  bool ends_ = false;  // it was asked to
};

}  // namespace cairn::engine_program
