#include "cmd/engine/process_launcher.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/server_start.h"

namespace cairn::engine_program {

LauncherOptions launcher_of(const embed::LaunchFile& launch, const std::string& path,
                            uint32_t rank) {
  const embed::EngineLaunch engine = launch.of(rank);
  LauncherOptions out{.rank = rank,
                      .words = {"--launch", path},
                      .env = engine.env,
                      .unset = engine.unset,
                      .log = engine.log};
  if (!engine.level.empty()) out.env.push_back("CAIRN_LOG=" + engine.level);
  return out;
}

ProcessLauncher::~ProcessLauncher() {
  ends_ = true;
  look_at_child();
}

std::string ProcessLauncher::directory() const {
  return embed::engine_directory(options_.home, options_.rank);
}

bool ProcessLauncher::is_running() { return embed::HomeLock::holder(directory()).has_value(); }

void ProcessLauncher::look_at_child() {
  int status = 0;
  if (child_ <= 0 || waitpid(child_, &status, WNOHANG) != child_) return;
  if (!ends_) {
    report(
        Severity::warning,
        "engine " + std::to_string(options_.rank) + ", process " + std::to_string(child_) +
            (WIFSIGNALED(status) ? ": ended by signal " + std::to_string(WTERMSIG(status))
                                 : ": ended with status " + std::to_string(WEXITSTATUS(status))));
  }
  child_ = -1;
}

void ProcessLauncher::launch() {
  look_at_child();
  if (child_ > 0 || is_running()) return;
  const auto made = embed::make_directory(options_.home + "/engines");
  const auto own = embed::make_directory(directory());
  if (!made || !own) return;
  std::vector<std::string> words = {"--home", options_.home, "--member",
                                    std::to_string(options_.rank)};
  words.insert(words.end(), options_.words.begin(), options_.words.end());
  const std::string log = options_.log.empty() ? directory() + "/server.log" : options_.log;
  const auto started =
      embed::start_program(options_.program, words,
                           {.log = log, .env = options_.env, .unset = options_.unset});
  ends_ = false;
  if (started) child_ = *started;
}

bool ProcessLauncher::is_starting() {
  look_at_child();
  return child_ > 0;
}

void ProcessLauncher::signal(int which) {
  ends_ = true;
  if (is_starting()) {
    ::kill(child_, which);
  } else if (const auto holder = embed::HomeLock::holder(directory())) {
    embed::signal_holder(*holder, which);
  }
}

void ProcessLauncher::terminate() { signal(SIGTERM); }

void ProcessLauncher::kill() { signal(SIGKILL); }

}  // namespace cairn::engine_program
