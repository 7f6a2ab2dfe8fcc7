// Small messages beside large ones over bare Unix sockets: what a process that serves both, with no
// store behind it, makes of the same processors. Linux only.
#pragma once

#include <sys/types.h>

#include <memory>

#include "bench/client_process.h"

namespace cairn::bench {

/// A server with a processor of its own, a client that echoes and one that streams on another one.
class BareBeside {
 public:
  /// @param reading  the stream goes to the client; else to the server
  explicit BareBeside(bool reading);
  /// Ends the processes.
  ~BareBeside();
  BareBeside(const BareBeside&) = delete;
  BareBeside& operator=(const BareBeside&) = delete;

  /// Echoes for so long while the stream runs. @returns the 99th percentile, in microseconds
  double p99_us(double seconds);

 private:
  int echo_[2] = {-1, -1};  // server, client
  int stream_[2] = {-1, -1};
  pid_t server_ = -1;
  std::unique_ptr<ClientProcess> echoes_, streams_;
};

}  // namespace cairn::bench
