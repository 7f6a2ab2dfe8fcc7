// HomeLock: at most one process has a home open. An open-file-description lock on the file `lock`,
// whose text names the holder: "pid N\nhost NAME\nboot ID\n". The kernel drops it with the last
// descriptor, so a crash leaves nothing behind; forked children close theirs at once and hold
// nothing.
#pragma once

#include <string>

#include "base/result.h"

namespace cairn::embed {

class HomeLock {
 public:
  /// @error busy     another process holds it; one line on stderr names it and the way out
  /// @error no_perm, no_space, io  the file cannot be made or written; one line on stderr
  static Result<HomeLock> take(const std::string& home);
  HomeLock() = default;
  HomeLock(HomeLock&& other) noexcept;
  HomeLock& operator=(HomeLock&& other) noexcept;
  ~HomeLock();

 private:
  explicit HomeLock(int fd);
  int fd_ = -1;
  int pid_ = 0;   // of the process that took it: a forked copy lets go of nothing
};

}  // namespace cairn::embed
