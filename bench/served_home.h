// What the net cases need besides one client: a home that is served by processes of its own, seen
// from outside (processor time, memory, processors), and a bare echo to be measured beside.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace cairn::bench {

/// Every thread that the process has now runs on that processor only. No-op without the process.
void pin(pid_t process, unsigned processor);
/// Every thread of it may run everywhere again.
void unpin(pid_t process);
/// CPU seconds of a process so far, ended threads included.
double cpu_seconds_of(pid_t process);
/// Bytes of it that are in memory.
uint64_t resident_bytes_of(pid_t process);
/// Bytes of the kernel's own objects (Slab of /proc/meminfo) and of socket buffers.
uint64_t kernel_bytes();
/// A home with a pool and a container (if wanted), and the processes that serve it until this ends.
/// Clients of this process and of its children get there (environment); see Server::joined.
class ServedHome {
 public:
  struct Options {
    uint32_t engines = 1;
    uint32_t targets = 1;  // of each
    uint32_t cores = 0;    // that they are dealt over; 0: as the engine does it by itself
    bool tcp = false;      // clients come over TCP on loopback instead of the home's Unix sockets
    bool pool = true;      // else nothing is made: its engines have never done anything
  };
  ServedHome(const std::string& directory, Options options);
  ~ServedHome();
  ServedHome(const ServedHome&) = delete;
  ServedHome& operator=(const ServedHome&) = delete;

  /// The home's server first, then the other engines.
  const std::vector<pid_t>& engines() const { return engines_; }
  /// HOME/socket
  std::string socket_path() const { return home_ + "/socket"; }
  double cpu_seconds() const;
  uint64_t resident_bytes() const;

 private:
  void make_pool() const;
  static void make_container();

  const std::string home_;
  std::vector<pid_t> engines_;
};

/// A child that takes `take` bytes and gives `give`, again and again.
class BareEcho {
 public:
  struct Options {
    size_t take = 0, give = 0;
    bool tcp = false;  // loopback; else a pair of Unix sockets
    /// Both ends look so long before they sleep in poll(); 0: they wait in recv() at once.
    double spin_seconds = 30e-6;
  };
  explicit BareEcho(Options options);
  ~BareEcho();
  BareEcho(const BareEcho&) = delete;
  BareEcho& operator=(const BareEcho&) = delete;

  void round_trip();
  /// Takes and gives with `depth` round trips under way; per second.
  double pipelined(double seconds, size_t depth);
  pid_t child() const { return child_; }

 private:
  void serve(int fd) const;

  const Options options_;
  pid_t child_ = -1;
  int fd_ = -1;
  Bytes room_;
};

/// What our small messages are about: header, keys, descriptors.
inline constexpr size_t kRequestBytes = 320, kReplyBytes = 320;

}  // namespace cairn::bench
