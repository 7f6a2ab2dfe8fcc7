// File and socket I/O below the device seam: requests go in, completions come out on the reactor
// that owns the backend. Two implementations: io_uring for files, and a small thread pool where the
// kernel refuses it, and in clients. Sockets go by epoll in both.
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/clock.h"

namespace cairn {

/// One request; owned by the caller and unmoved until `done` was called.
struct IoRequest {
  enum class Op : uint8_t {
    read,
    write,
    write_durable,
    flush,
    punch_hole,
    // Of stream sockets, see below.
    recv,
    send,
    accept,
    connect,
    readable,
  };
  Op op = Op::read;
  int fd = -1;
  /// connect: the sockaddr, `bytes` long.
  std::byte* data = nullptr;
  uint32_t bytes = 0;
  uint64_t offset = 0;
  /// Bytes transferred, a new descriptor (accept), 0 (connect, readable), or -errno.
  int64_t result = 0;
  void (*done)(IoRequest&) = nullptr;
  void* owner = nullptr;
  // For the backend.
  IoRequest* next = nullptr;
  // Bytes done by earlier short transfers; connect: 1 = begun, its outcome is awaited.
  uint32_t moved = 0;
  uint32_t retries = 0;
  bool alone = false;  // not to be joined with others
};
inline bool is_socket_op(IoRequest::Op op) { return op >= IoRequest::Op::recv; }

/// Files: short transfers, EINTR, EAGAIN and ECANCELED are repeated inside; `result` is all of
/// `bytes`, or fewer at the end of the file (a read) or on a full file system (a write), or -errno.
/// Writes that were submitted one after another and continue each other in the file may reach it as
/// one.
///
/// Sockets: recv and send are one transfer of as many bytes as go now, at least one, and are never
/// continued inside; 0 from recv is the end of the stream. They wait as long as it takes, through
/// EINTR, EAGAIN and ECANCELED, and raise no signal. accept gives a blocking, close-on-exec
/// descriptor. At most one recv or accept and one send or connect is under way on a socket.
/// Sockets stay with one backend, which may make them non-blocking. shutdown(fd, SHUT_RDWR) ends
/// what is under way soon, with an error or 0, also an accept. A connect to a Unix socket whose
/// queue is full is not such: it gives -EAGAIN or waits, so Unix sockets are connected by a plain
/// call on a non-blocking descriptor.
///
/// readable waits until any descriptor that can be polled has something to read, and takes nothing.
/// It counts as a recv of that descriptor.
///
/// The destructor waits for what is under way: shut sockets down before.
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
  /// Ends a readable that may be waiting, with -ECANCELED, at the next reap(). Home thread.
  virtual void cancel(IoRequest& request) = 0;
  /// Requests taken and not yet given back by reap().
  virtual size_t in_flight() const = 0;
  /// Blocks until a request finished, wake() was called, or `max` passed (kNever: no limit). May
  /// return early. Any thread, also beside the home thread; starts nothing, so kick() before it.
  virtual void wait(Duration max) = 0;
  /// Ends every wait() in progress, or the next one, until a reap() takes that back. Any thread. So
  /// what a wake() tells must be looked for between reap() and wait().
  virtual void wake() = 0;
  /// Before a socket is closed; nothing is under way on it. Closing alone would not do: a forked
  /// child may hold a copy. Returns false in such a child, whose copy has nothing to do with what
  /// is under way in the parent.
  virtual bool forget(int fd) = 0;
};

/// Which threads kick(), reap() and wait().
enum class IoDrivers {
  any,  // now this one, now that one: whoever waits
  one,  // as a rule always the same. The kernel then ends requests when that thread enters it next
        // instead of interrupting it (no interrupt between processors, more ends at once); what it
        // has submitted may reach another thread that waits a clock tick late.
};

/// io_uring, or the thread pool if the kernel refuses it (one line on stderr says so, once a
/// process). CAIRN_IO=uring|threads forces one. Fork: a child may destroy its copy; that neither
/// waits nor touches the parent's requests.
/// @error not_supported  CAIRN_IO=uring where the kernel refuses it; unset it or use threads
/// @error invalid        CAIRN_IO holds another word
Result<std::unique_ptr<IoBackend>> make_io_backend(IoDrivers drivers = IoDrivers::any);

/// For a process that only talks to servers, and may fork: epoll for sockets, no io_uring, and
/// threads only from the first file request on. Fork: as above.
std::unique_ptr<IoBackend> make_client_backend();

}  // namespace cairn
