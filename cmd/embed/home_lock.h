// HomeLock: at most one process has a home open. An open-file-description lock on the file `lock`,
// whose text names the holder: "pid N\nhost NAME\nboot ID\nmode embed|server\n". The kernel drops
// it with the last descriptor, so a crash leaves nothing behind; forked children close theirs at
// once and hold nothing.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace cairn::embed {

/// How the holder of a home uses it: for itself alone, or for whoever connects.
enum class HomeUse { embed, server };

struct HomeHolder {
  std::string pid, host;  // as the lock file says
  HomeUse use = HomeUse::embed;
};

class HomeLock {
 public:
  /// @error busy     another process holds it; nothing was reported: see report_holder()
  /// @error no_perm, no_space, io  the file cannot be made or written; one line on stderr
  static Result<HomeLock> take(const std::string& home, HomeUse use);
  /// Who holds it now; nullopt: nobody. May be outdated at once.
  static std::optional<HomeHolder> holder(const std::string& home);
  HomeLock() = default;
  HomeLock(HomeLock&& other) noexcept;
  HomeLock& operator=(HomeLock&& other) noexcept;
  ~HomeLock();

 private:
  explicit HomeLock(int fd);
  int fd_ = -1;
  int pid_ = 0;   // of the process that took it: a forked copy lets go of nothing
};

/// Sends the signal to the process that holds a lock, if it is on this machine. @returns whether it
/// was sent
bool signal_holder(const HomeHolder& holder, int which);

/// One line on stderr: who has the home, and the way out.
void report_holder(const std::string& home, const HomeHolder& holder);

}  // namespace cairn::embed
