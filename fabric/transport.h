// The transport seam: calls to engines, whoever they are and wherever. It knows no message: in
// process a call hands over two objects by reference, elsewhere they travel as bytes that the ends
// make and parse. Home: the reactor that the transport was made with; everything that returns a
// Task suspends.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/result.h"
#include "runtime/clock.h"
#include "runtime/task.h"

namespace cairn::fabric {

/// Who serves a call.
struct Endpoint {
  uint32_t rank = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// A message in two runs of bytes: a large payload need not be copied behind the rest.
struct Message {
  Bytes head;
  Buffer bulk;

  /// In one run: the bulk is copied.
  Bytes joined() && {
    const ByteView end = bulk;
    head.insert(head.end(), end.begin(), end.end());
    return std::move(head);
  }
};

/// The sender's half of a call. Borrowed by the transport until its task ends; after that the
/// transport touches neither it nor any buffer that it names, however late an answer comes.
class Call {
 public:
  /// Objects for a receiver in the same process; both ends agree on their types (engines:
  /// wire::Request and wire::Reply).
  virtual void* request() = 0;
  virtual void* reply() = 0;
  /// Appends the request, payload included. @error record_too_big  over the limits of a message
  virtual Result<void> encode_request(Bytes& out) = 0;
  /// The same; a large payload may go to `out.bulk`.
  virtual Result<void> encode_message(Message& out) { return encode_request(out.head); }
  /// About how many bytes of payload go and come: large calls have a connection of their own.
  virtual uint64_t payload_bytes() const { return 0; }
  /// Parses an answer into reply() and the caller's buffers.
  /// @error checksum, protocol, format_invalid  not a whole answer to this request
  virtual Result<void> decode_reply(ByteView bytes) = 0;
  /// The engine took no notice of the call, which ends with `overload`: asking again may help after
  /// `wait`.
  virtual void retry_after(Duration wait) { (void)wait; }

 protected:
  ~Call() = default;
};

/// The receiver of calls.
class Service {
 public:
  virtual ~Service() = default;
  /// Serves by reference; the outcome is in *reply. @error shutdown  stopping, nothing was done
  virtual Task<Result<void>> serve(void* request, void* reply) = 0;
  /// The same as a plain call, where it succeeds without waiting for anything. False: ask serve();
  /// *request is as it was.
  virtual bool serve_at_once(void* request, void* reply) {
    (void)request;
    (void)reply;
    return false;
  }
  /// Serves a request in bytes, which may be hostile. Returns the reply in bytes; empty: none is
  /// due.
  virtual Task<Bytes> serve_bytes(Bytes request) = 0;
  /// The same with `head_bytes` in front of the reply that the transport fills itself, so that it
  /// need not copy. An empty head: none is due.
  virtual Task<Message> serve_message(Buffer request, size_t head_bytes);
  /// serve_message() that was begun.
  struct Begun {
    Message message;     // the answer, unless
    Task<Message> rest;  // this is valid: then it makes it
  };
  /// The same, begun by a plain call: what waits for nothing is answered on return.
  virtual Begun begin_message(Buffer request, size_t head_bytes);
};

class Transport {
 public:
  virtual ~Transport() = default;
  /// Sends and waits for the answer until `deadline` (kNever: as long as it takes).
  /// @error timed_out    the outcome is unknown: send the same sequence again
  /// @error unreachable  nobody is there; nothing was done
  /// @error overload     the engine has too much to do; nothing was done
  /// @error checksum, protocol, format_invalid  the answer was damaged: as timed_out
  virtual Task<Result<void>> call(Endpoint to, Call& call, Instant deadline) = 0;
  /// The same as a plain call, where the receiver is in this process and succeeds without waiting
  /// for anything. False: nothing was done that call() would not do again.
  virtual bool call_at_once(Endpoint to, Call& call) {
    (void)to;
    (void)call;
    return false;
  }
};

/// A transport with connections, made at first use and again after they broke.
class ConnectingTransport : public Transport {
 public:
  /// Connects if there is no connection. @error unreachable  nobody is there   Others: as the
  /// engine answers
  virtual Task<Result<void>> reach(Endpoint to) = 0;
  /// Closes every connection. With no calls left, before destruction.
  virtual Task<void> close() = 0;
};

}  // namespace cairn::fabric
