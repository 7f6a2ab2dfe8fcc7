// OfiEndpoint: one reliable datagram endpoint of libfabric. Messages come to a handler; what is
// sent or moved by remote memory access is owned here until the library has done with it. Home: the
// reactor given, which also asks the library for progress: by its wait descriptor where it has one,
// else by a bell (wake()) and, while something is under way, by looking up to 20,000 times a
// second. Invariant: after close() the library touches no memory of this process any more.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "fabric/ofi_format.h"
#include "fabric/ofi_provider.h"
#include "fabric/ofi_shm.h"
#include "runtime/io.h"
#include "runtime/reactor.h"

struct fid_fabric;
struct fid_domain;
struct fid_av;
struct fid_cq;
struct fid_ep;
struct fid_mr;

namespace cairn::fabric {

/// Memory of a peer, as it was told of.
struct OfiRemote {
  uint64_t address = 0;
  uint64_t key = 0;
};

struct OfiEndpointOptions {
  Address address;         // says the provider
  std::string local_host;  // numeric; of no meaning with shared memory, cxi and efa
  uint32_t receives = 64;  // messages that may wait for this process
};

class OfiEndpoint {
 public:
  /// Each add_peer() makes one; two may have one name.
  using Peer = uint64_t;
  struct Handler {
    /// A message, which is gone when this returns.
    std::function<void(ByteView)> message;
    /// Something was begun that this peer must look after, which may be asleep.
    std::function<void(Peer)> begun;
  };

  /// @error not_supported  as choose_provider(), or the provider cannot make an endpoint now
  static Result<std::unique_ptr<OfiEndpoint>> open(Reactor& reactor, OfiEndpointOptions options,
                                                   Handler handler);
  ~OfiEndpoint();

  /// What peers need to reach it.
  const Bytes& name() const { return name_; }
  /// It has no descriptor to sleep on: peers call wake() by other means.
  bool needs_bell() const { return wait_fd_ < 0; }

  /// @error invalid  no name of this provider's   Shared memory: also as ShmGuard::watch()
  Result<Peer> add_peer(ByteView name);
  /// Ends with an error what is under way with it.
  void remove_peer(Peer peer);

  /// Queues a message of at most kOfiMessageBytesMax.
  void send(Peer to, Bytes message);
  /// @error io  the peer is gone, or has no such memory
  Task<Result<Bytes>> read(Peer from, OfiRemote at, uint32_t bytes);
  /// Writes `memory` from `offset` on; it stands in the peer's memory when the task ends.
  /// @error io  as read()
  Task<Result<void>> write(Peer to, OfiRemote at, Bytes memory, size_t offset);

  /// Memory that peers may read or write, as long as this object lives. Before the endpoint.
  class Region {
   public:
    Region() = default;
    Region(Region&& other) noexcept
        : remote_(other.remote_),
          region_(std::exchange(other.region_, nullptr)),
          pid_(other.pid_) {}
    Region& operator=(Region&& other) noexcept {
      std::swap(remote_, other.remote_);
      std::swap(region_, other.region_);
      std::swap(pid_, other.pid_);
      return *this;
    }
    ~Region();
    const OfiRemote& remote() const { return remote_; }

   private:
    friend class OfiEndpoint;
    OfiRemote remote_;
    fid_mr* region_ = nullptr;
    pid_t pid_ = 0;  // a forked child leaves it alone
  };
  /// @error no_memory  the provider cannot register more
  Result<Region> expose(ByteSpan memory);
  /// Keeps memory that a peer may still be writing to, although its region is gone, until the
  /// endpoint is.
  void keep(std::shared_ptr<void> memory) { kept_.push_back(std::move(memory)); }
  bool keeps_memory() const { return !kept_.empty(); }

  /// There may be news. While `attention` is held the library is asked by itself.
  void wake();
  void hold_attention() {
    if (attention_++ == 0) wake();
  }
  void release_attention() { --attention_; }

  /// Ends what is under way. Before destruction; not in a forked child, which leaves all as it is.
  Task<void> close();
  /// Something is under way with this peer.
  bool is_busy_with(Peer peer) const;
  /// Of messages that it has not taken yet.
  uint64_t sending_bytes(Peer peer) const;

 private:
  struct Operation;
  struct Wait;
  struct Parts;
  using Operations = std::list<Operation>;

  OfiEndpoint(Reactor& reactor, Handler handler);
  Result<void> build(OfiEndpointOptions options);
  Result<void> open_queue();
  Result<void> post_receives(uint32_t count);
  void post_receive(Operation& op);
  Task<void> progress();
  Task<void> tick(Duration after);
  size_t poll();
  size_t flush();
  bool may_enter() const;
  bool arm();
  Operation& add(Peer peer);
  void start(Operation& op);
  int attempt(Operation& op);
  int attempt_rma(Operation& op);
  void end(Operation& op, int error);
  void complete(Operation& op, size_t bytes, int error);
  void leave(Peer peer);
  bool has_posted(Peer peer) const;
  void* local_region(Operation& op);
  uint64_t fresh_key();

  Reactor& reactor_;
  Handler handler_;
  OfiChoice choice_;
  const pid_t pid_;
  std::unique_ptr<Parts> parts_;
  ShmGuard guard_;
  Bytes name_;
  Operations operations_;
  Operations receives_;
  std::deque<Operation*> unsent_;     // the library had no room for them
  std::vector<Operation*> unposted_;  // of receives_, the same
  std::map<Peer, uint64_t> peers_;    // as the library numbers them
  std::map<Peer, uint64_t> sending_;  // bytes of messages, while there are any
  Peer last_peer_ = 0;
  std::vector<Peer> departing_;  // removed, with operations under way
  std::vector<std::shared_ptr<void>> kept_;
  std::unique_ptr<std::byte[]> receive_memory_;
  Gate gate_;
  WaitList kick_;
  IoRequest readable_;
  int wait_fd_ = -1;
  bool armed_ = false;  // readable_ is under way
  bool ticking_ = false;
  bool closing_ = false;
  uint32_t attention_ = 0;
  Instant looked_until_ = 0;  // the library is asked by itself until then
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cairn::fabric
