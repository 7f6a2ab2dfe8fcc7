// OfiPort: the engine's end of libfabric at one address. The door, which StreamServer opens and
// greets at, hands each client over to serve(); calls come by messages, large requests are read
// from the client's memory when there is room for them, large answers are written to it, and only
// then is the client told. Home: the reactor given. Peers are hostile until proven otherwise: what
// is none of our messages costs its sender the door.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "fabric/ofi_endpoint.h"
#include "fabric/ofi_message.h"
#include "runtime/reactor.h"

namespace cairn::fabric {

class Stream;

/// What serves a client's calls and says how many it may have. Borrowed by OfiPort::serve().
class OfiCalls {
 public:
  /// The engine has too much to do to take a call. @returns milliseconds after which asking again
  /// may help, or 0
  virtual uint32_t turn_away() = 0;
  /// Waits until a message of `bytes` may be taken; release() ends that.
  virtual Task<void> admit(uint64_t bytes) = 0;
  virtual void release(uint64_t bytes) = 0;
  /// As Service::serve_bytes(), with `head_bytes` in front of the reply for the transport to fill.
  virtual Task<Bytes> serve(Bytes message, size_t head_bytes) = 0;
  /// The engine takes nothing new and answers what it has begun.
  virtual bool stopping() const = 0;
  /// The peer did what no peer of ours does.
  virtual void note_malformed() = 0;

 protected:
  ~OfiCalls() = default;
};

struct OfiPortOptions {
  Address address;            // numeric
  uint32_t calls_max = 1024;  // of one client, under way or waiting
  uint32_t message_bytes_max = 0;
  uint64_t answer_bytes_max = 0;  // of answers of one client that have not left
  Duration transfer_ns_max = 0;   // of remote memory access: then the client is given up
};

class OfiPort {
 public:
  /// @error invalid  the address of all interfaces   @error not_supported  as OfiEndpoint::open()
  static Result<std::unique_ptr<OfiPort>> open(Reactor& reactor, OfiPortOptions options);
  ~OfiPort();

  const Address& address() const { return options_.address; }
  /// The door is open. @param port  which was free to choose
  void set_open(uint16_t port) {
    options_.address.port = port;
    open_ = true;
  }

  /// One client, from its opening to the end of its door; then nothing is under way for it.
  Task<void> serve(std::shared_ptr<Stream> door, Bytes opening, OfiCalls& calls);
  size_t links() const { return links_.size(); }
  /// The engine is stopping: clients go when their answers have left.
  void stop();
  /// With no clients left. Before destruction.
  Task<void> close();

 private:
  struct Link;
  using LinkPtr = std::shared_ptr<Link>;
  OfiPort(Reactor& reactor, OfiPortOptions options)
      : reactor_(reactor), options_(std::move(options)) {}
  OfiEndpoint::Handler handler();
  Result<void> let_in(Link& link, const OfiOpen& opening);
  Task<void> read_door(LinkPtr link);
  Task<void> drain(Link& link);
  void on_message(ByteView message);
  bool take(const LinkPtr& link, const OfiHead& head, ByteView body);
  bool take_call(const LinkPtr& link, const OfiHead& head, ByteView body);
  bool take_waiting(const LinkPtr& link, const OfiHead& head);
  bool takes_no_answers(const Link& link) const;
  Task<void> answer(LinkPtr link, OfiHead head, Bytes body);
  Task<void> serve_call(Link& link, OfiHead head, Bytes body);
  Task<void> give(Link& link, OfiHead head, Bytes reply);
  Task<void> write_answer(LinkPtr link, OfiHead head, Bytes reply);
  Task<void> write_far(Link& link, OfiHead head, Bytes reply);
  uint64_t begin_transfer(Link& link);
  Task<void> watch_transfers(uint64_t number);

  Reactor& reactor_;
  OfiPortOptions options_;
  std::unique_ptr<OfiEndpoint> shared_;          // of all clients; shared memory: none
  std::unordered_map<uint64_t, LinkPtr> links_;  // by their numbers
  bool open_ = false;  // the door is this one's
  uint64_t last_transfer_ = 0;
  /// Watchers that outlast this object in the reactor's timers look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cairn::fabric
