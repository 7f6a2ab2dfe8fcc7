// File I/O below the device seam: requests go in, completions come out on the reactor that owns the
// backend. Two implementations: io_uring, and a small thread pool where the kernel refuses
// io_uring.
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
  // For the backend.
  IoRequest* next = nullptr;
  uint32_t moved = 0;  // bytes done by earlier short transfers
  uint32_t retries = 0;
  bool alone = false;  // not to be joined with others
};

/// Short transfers, EINTR, EAGAIN and ECANCELED are repeated inside; `result` is all of `bytes`, or
/// fewer at the end of the file (a read) or on a full file system (a write), or -errno. Writes that
/// were submitted one after another and continue each other in the file may reach it as one.
/// Home: the thread that drives the reactor, except where a member says "any thread".
class IoBackend {
 public:
  virtual ~IoBackend() = default;
  virtual const char* name() const = 0;
  /// Takes the request; it starts at the latest at the next kick() or reap().
  virtual void submit(IoRequest& request) = 0;
  /// Calls `done` of every finished request; returns how many. Never blocks.
  virtual size_t reap() = 0;
  /// Starts everything submitted so far.
  virtual void kick() = 0;
  /// Requests taken and not yet given back by reap().
  virtual size_t in_flight() const = 0;
  /// Blocks until a request finished, wake() was called, or `max` passed (kNever: no limit). May
  /// return early. Any thread, also beside the home thread; starts nothing, so kick() before it.
  virtual void wait(Duration max) = 0;
  /// Ends every wait() in progress, or the next one, until a reap() takes that back. Any thread. So
  /// what a wake() tells must be looked for between reap() and wait().
  virtual void wake() = 0;
};

/// io_uring, or the thread pool if the kernel refuses it (one line on stderr says so, once a
/// process). CAIRN_IO=uring|threads forces one. Fork: a child may destroy its copy; that neither
/// waits nor touches the parent's requests.
/// @error not_supported  CAIRN_IO=uring where the kernel refuses it; unset it or use threads
/// @error invalid        CAIRN_IO holds another word
Result<std::unique_ptr<IoBackend>> make_io_backend();

}  // namespace cairn
