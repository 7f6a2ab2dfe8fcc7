// What libfabric's shared memory needs around it. Its regions hold spin locks that a process which
// is killed inside never gives back, and whoever asks for one then spins for ever. So each end of
// each connection has a region of its own: two processes share it, and when one is dead the other
// may break its locks. ShmGuard looks before the library is entered. Home: the endpoint's.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/random.h"

namespace cairn::fabric {

/// A name for a region of this process, which nobody can guess: the directory is everybody's.
std::string fresh_shm_name(Random& random);
/// Removes regions that processes of this user left behind when they were killed.
void sweep_shm_regions();

class ShmGuard {
 public:
  ShmGuard() = default;
  ~ShmGuard();
  ShmGuard(const ShmGuard&) = delete;
  ShmGuard& operator=(const ShmGuard&) = delete;

  /// Watches the region of an endpoint of this name (as its fi_getname() says). Once for each end.
  /// @param library_version  as fi_version() says: the place of the lock is known for 1.17
  /// @error not_supported  another version   @error nonexistent  there is no such region of this
  /// user or root
  Result<void> watch(ByteView name, uint32_t library_version);
  /// No lock is held at this moment, so the library may be entered.
  bool free() const;
  /// The other process is dead, or has been given up: takes the locks from it, and removes the
  /// files of the regions, which are still mapped.
  void break_locks();

 private:
  struct Region {
    void* memory = nullptr;
    std::string file;
  };
  std::vector<Region> regions_;  // at most two
};

}  // namespace cairn::fabric
