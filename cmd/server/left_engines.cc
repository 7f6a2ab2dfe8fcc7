#include "cmd/server/left_engines.h"

#include <signal.h>
#include <time.h>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/local_engine.h"

namespace cairn::server {

namespace {

constexpr int kLooksMax = 600;    // a minute
constexpr int kNamelessMax = 10;  // a second
constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};

void end_engine(uint32_t rank, const std::string& directory) {
  bool told = false;
  for (int looks = 0;; ++looks) {
    const auto holder = embed::HomeLock::holder(directory);
    if (!holder) return;
    if (looks == kLooksMax) {
      const bool killed = embed::signal_holder(*holder, SIGKILL);
      report(Severity::warning,
             "engine " + std::to_string(rank) + ", process " + holder->pid +
                 (killed ? ": does not end; it is killed" : ": is left without a server"));
      return;
    }
    // One that has just started has not said yet who it is; one on another host is not ours.
    if (!told && embed::signal_holder(*holder, SIGTERM)) {
      told = true;
      report(Severity::info, "engine " + std::to_string(rank) + ", process " + holder->pid +
                                 ": was left without its keeper; it is asked to end");
    }
    if (!told && looks >= kNamelessMax) looks = kLooksMax - 1;
    nanosleep(&kLook, nullptr);
  }
}

}  // namespace

void end_engines_left(const std::string& home) {
  const auto found = embed::find_home(home);
  if (!found) return;
  const embed::HomeFile& file = found->file;
  for (uint32_t rank = file.first_rank; rank < file.end_rank(); ++rank) {
    end_engine(rank, embed::engine_directory(home, rank));
  }
}

}  // namespace cairn::server
