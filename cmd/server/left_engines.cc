#include "cmd/server/left_engines.h"

#include <signal.h>
#include <time.h>

#include <algorithm>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/local_engine.h"

namespace cairn::server {

namespace {

constexpr int kLooksMax = 600;    // of kLook: a minute
constexpr int kNamelessMax = 10;  // a second
constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};

/// By the next server's services or keeper: then it is theirs to end.
bool is_kept(const std::string& home) { return embed::HomeLock::holder(home).has_value(); }

/// The process that is told first, and no other that comes after it.
void end_engine(const std::string& home, uint32_t rank) {
  const std::string directory = embed::engine_directory(home, rank);
  const std::string name = "engine " + std::to_string(rank) + ", process ";
  std::string told;
  for (int looks = 0;; ++looks, nanosleep(&kLook, nullptr)) {
    const auto holder = embed::HomeLock::holder(directory);
    if (!holder || is_kept(home) || (!told.empty() && holder->pid != told)) return;
    // One that has just started has not said yet who it is; one on another host is not ours.
    if (told.empty() && embed::signal_holder(*holder, SIGTERM)) {
      told = holder->pid;
      report(Severity::info, name + told + ": was left without its keeper; it is asked to end");
    } else if (looks >= (told.empty() ? kNamelessMax : kLooksMax)) {
      const bool killed = !told.empty() && embed::signal_holder(*holder, SIGKILL);
      report(Severity::warning,
             name + holder->pid +
                 (killed ? ": does not end; it is killed" : ": is left without a server"));
      return;
    }
  }
}

}  // namespace

void end_engines_left(const std::string& home) {
  const auto found = embed::find_home(home);
  if (!found) return;
  // An engine 0 is the services' process, which holds the home.
  for (uint32_t rank = std::max(found->file.first_rank, 1u); rank < found->file.end_rank();
       ++rank) {
    end_engine(home, rank);
  }
}

}  // namespace cairn::server
