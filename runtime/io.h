// File I/O below the device seam: requests go in, completions come out on the reactor that owns the
// backend. Two implementations: io_uring, and a small thread pool where the kernel refuses io_uring.
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/clock.h"

namespace cairn {

/// One request; owned by the caller and unmoved until `done` was called.
struct IoRequest {
  enum class Op : uint8_t { read, write, write_durable, flush, punch_hole };
  Op op = Op::read;
  int fd = -1;
  std::byte* data = nullptr;
  uint32_t bytes = 0;
  uint64_t offset = 0;
  /// Bytes transferred, or -errno.
  int64_t result = 0;
  void (*done)(IoRequest&) = nullptr;
  void* owner = nullptr;
  IoRequest* next = nullptr;  // for the backend
};

/// Home: the thread that drives the reactor, except wake().
class IoBackend {
 public:
  virtual ~IoBackend() = default;
  virtual const char* name() const = 0;
  /// Takes the request; it starts at the latest at the next reap() or wait().
  virtual void submit(IoRequest& request) = 0;
  /// Calls `done` of every finished request; returns how many. Never blocks.
  virtual size_t reap() = 0;
  /// Blocks until a request finished, wake() was called, or `max` passed. May return early.
  virtual void wait(Duration max) = 0;
  /// Ends a wait(). Any thread.
  virtual void wake() = 0;
};

/// io_uring, or the thread pool if the kernel refuses it (one line on stderr says so, once a process).
/// CAIRN_IO=uring|threads forces one; forcing uring where it is refused is an error.
Result<std::unique_ptr<IoBackend>> make_io_backend();

}  // namespace cairn
