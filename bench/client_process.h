// Clients that are processes of their own: children of this one, each with libdaos and connections
// of its own, which measure for a time when they are told to, all at once.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn::bench {

/// What one process did in one stretch of time.
struct Stretch {
  double seconds = 0;
  uint64_t failures = 0;
  std::vector<uint32_t> latencies_ns;  // of each operation that did not fail

  double rate() const { return static_cast<double>(latencies_ns.size()) / seconds; }
};

/// That part of all operations took at most so many microseconds; 0 if there were none.
double quantile_us(const std::vector<Stretch>& stretches, double part);

/// In the child, from its start to its end.
struct ClientWork {
  virtual ~ClientWork() = default;
  virtual Stretch run(double seconds) = 0;
};

class ClientProcess {
 public:
  /// Forks; the child makes its work and says so. Not while this process has libdaos.
  explicit ClientProcess(const std::function<std::unique_ptr<ClientWork>()>& make);
  /// Tells the child to end and waits for it. Dies if it has failed.
  ~ClientProcess();
  ClientProcess(const ClientProcess&) = delete;
  ClientProcess& operator=(const ClientProcess&) = delete;

  /// Until its work is made. @returns seconds that this took the child
  double wait_ready();
  void start(double seconds);
  Stretch finish();
  pid_t id() const { return child_; }

 private:
  pid_t child_ = -1;
  int fd_ = -1;
};

/// Processes that do the same.
class ClientProcesses {
 public:
  /// `make` gets the number of the process.
  ClientProcesses(size_t count, const std::function<std::unique_ptr<ClientWork>(size_t)>& make);
  /// All at once, for `seconds`.
  std::vector<Stretch> run(double seconds);
  /// What making their work took each, in seconds.
  const std::vector<double>& ready_seconds() const { return ready_seconds_; }
  double cpu_seconds() const;

 private:
  std::vector<std::unique_ptr<ClientProcess>> all_;
  std::vector<double> ready_seconds_;
};

/// Fetches of random ones of `keys` values of 64 bytes of the object that fill_values() makes, one
/// after the other. Made only when it has fetched `first` values.
struct FetchWork {
  std::string directory;  // of a ServedHome
  uint64_t keys = 0;
  uint64_t first = 1;
  bool all_targets = false;  // the object lies on all; else on one
  uint64_t seed = 1;
};
std::unique_ptr<ClientWork> make_fetches(const FetchWork& work);
void fill_values(const FetchWork& work);

/// Transfers of 1 MiB, 8 in flight; each counts as an operation, without a latency that means
/// anything.
std::unique_ptr<ClientWork> make_stream(const std::string& directory, bool reading);

/// Connects and does nothing.
std::unique_ptr<ClientWork> make_idle(const std::string& directory);

}  // namespace cairn::bench
