// Stream: one connection as frames. One task reads, any number post; what was posted goes out in
// that order, small frames joined into one transfer. Internal to fabric/. Home: the reactor given.
// Invariant: after a failure either way nothing more is read or sent; the reader learns it.
#pragma once

#include <deque>
#include <memory>

#include "base/buffer.h"
#include "fabric/stream_format.h"
#include "runtime/reactor.h"
#include "runtime/socket.h"

namespace cairn::fabric {

struct FrameHead {
  FrameKind kind = FrameKind::call;
  uint64_t id = 0;
  uint32_t bytes = 0;  // of the payload
};

/// Room that a frame's head takes at the front of what post() gets.
inline constexpr size_t kFrameHeadBytes = sizeof(FrameFormat);

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  /// Payloads over `bytes_max` are refused when their head is read.
  Stream(Reactor& reactor, Socket socket, uint32_t bytes_max);
  ~Stream();

  /// The next frame's head; then read_payload() must take what it announces.
  /// @error shutdown  the peer has closed between two frames
  /// @error io        the connection broke, or the peer closed inside a frame
  /// @error format_invalid, checksum  not a frame of ours   @error record_too_big  over `bytes_max`
  Task<Result<FrameHead>> read_head();
  /// Memory grows as bytes arrive, not with what the head says. @error io
  Task<Result<Buffer>> read_payload(uint32_t bytes);

  /// The same, and forgets it.
  Task<Result<void>> skip_payload(uint32_t bytes);

  /// Queues a frame: `frame` holds kFrameHeadBytes of room and the payload, whose end may be in
  /// `bulk`. After a failure it is dropped.
  void post(FrameKind kind, uint64_t id, Bytes frame, Buffer bulk = {});
  /// Queued and not sent yet.
  size_t unsent_bytes() const { return unsent_bytes_; }
  /// Nothing waits for its turn to be handed to the kernel.
  bool nothing_queued() const { return queue_.empty(); }
  /// Waits until all that was posted has left, or the connection has failed.
  Task<void> flush();

  bool broken() const { return broken_; }
  /// Ends the reading direction only: the reader returns soon, what was posted still goes out.
  void stop_reading();
  /// Ends both directions; tasks inside return soon. Idempotent.
  void shutdown();
  /// Waits until nothing is under way on the socket. The reader must have returned.
  Task<void> close();
  const Socket& socket() const { return socket_; }
  /// For large messages.
  void widen();
  /// For small ones: they need not wait for what takes long.
  void hurry();
  /// Of memory for what is received: some kilobytes while the peer says little or nothing.
  size_t buffer_bytes() const;

 private:
  struct Outgoing;
  Outgoing next_outgoing();
  Task<void> write();
  Task<bool> send_all(ByteView bytes);
  bool sends_at_once() const;
  bool send_at_once(Bytes& frame);
  /// At least `bytes` (at most the buffer's size) stand in the buffer on return.
  Task<Result<void>> fill(size_t bytes);
  size_t buffered() const { return end_ - begin_; }
  void choose_buffer();

  Reactor& reactor_;
  Socket socket_;
  const uint32_t bytes_max_;
  std::unique_ptr<std::byte[]> small_;
  Buffer large_;       // only while it is the one in use
  std::byte* buffer_;  // one of the two; read, not yet taken: [begin_, end_)
  size_t begin_ = 0, end_ = 0;
  bool filled_ = false;  // by the last transfer: more may wait in the socket
  struct Outgoing {
    Bytes frame;
    Buffer bulk;
    size_t size() const { return frame.size() + bulk.size(); }
  };
  std::deque<Outgoing> queue_;
  size_t unsent_bytes_ = 0;
  bool writing_ = false;
  bool hurries_ = false;
  bool broken_ = false;
  WaitList idle_;  // the writer has stopped
};

}  // namespace cairn::fabric
