#include "fabric/ofi_endpoint.h"

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace cairn::fabric {

namespace {

/// How long the library is asked without a pause after it had something: about a round trip. After
/// so many such spins in a row for nothing only every kSpinProbe-th time.
constexpr Duration kSpin = 60 * kMicrosecond;
constexpr uint32_t kSpinsFailedMax = 4;
constexpr uint32_t kSpinProbe = 16;
/// Then, where it has no descriptor, the first pause, doubled up to the last one.
constexpr Duration kPauseMin = 50 * kMicrosecond;
constexpr Duration kPauseMax = kMillisecond;
/// Where it has one, it tells of everything but of the making of connections.
constexpr Duration kPauseWithFd = 5 * kMillisecond;
/// So long after a peer was added or a bell rang.
constexpr Duration kAfterPeer = 5 * kSecond;
constexpr Duration kAfterBell = 2 * kMillisecond;
constexpr size_t kCompletionsAtOnce = 16;
constexpr int kPollsAtOnce = 4;
constexpr size_t kQueueEntries = 4096;
constexpr size_t kPeersGuess = 64;
/// One transfer of remote memory access.
constexpr size_t kTransferBytesMax = 1u << 30;
constexpr int kKeyAttempts = 8;
/// For a peer to leave a lock in shared memory; one that is dead never does.
constexpr Duration kLockPatience = 50 * kMillisecond;
constexpr Duration kLockLook = kMillisecond;

template <class Fid>
void close_fid(Fid*& fid) {
  if (fid != nullptr) fi_close(&fid->fid);
  fid = nullptr;
}

}  // namespace

struct OfiEndpoint::Parts {
  fid_fabric* fabric = nullptr;
  fid_domain* domain = nullptr;
  fid_av* av = nullptr;
  fid_cq* cq = nullptr;
  fid_ep* ep = nullptr;
  fid_mr* receive_region = nullptr;

  Parts() = default;
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    close_fid(receive_region);
    close_fid(ep);
    close_fid(cq);
    close_fid(av);
    close_fid(domain);
    close_fid(fabric);
  }
};

/// Whoever waits for an operation, on the frame of its task.
struct OfiEndpoint::Wait {
  Operation* operation = nullptr;
  bool over = false;
  int error = 0;
  Bytes memory = {};
  std::coroutine_handle<> waiter = nullptr;

  Wait() = default;
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  ~Wait();
  bool await_ready() const noexcept { return over; }
  void await_suspend(std::coroutine_handle<> h) noexcept { waiter = h; }
  void await_resume() const noexcept {}
};

struct OfiEndpoint::Operation {
  enum class Kind : uint8_t { receive, send, read, write };
  fi_context2 context = {};  // first: the library gives back its address
  Kind kind = Kind::send;
  Peer peer = 0;
  Bytes memory = {};
  std::byte* buffer = nullptr;  // of a receive
  size_t begin = 0;             // of `memory`: what goes
  size_t moved = 0;
  size_t chunk = 0;  // of the transfer that is under way
  OfiRemote at = {};
  fid_mr* local = nullptr;
  bool posted = false;
  Wait* wait = nullptr;
  Operations::iterator self = {};

  size_t rest() const { return memory.size() - begin - moved; }
  std::byte* next() { return memory.data() + begin + moved; }
  /// Its task need not wait any longer.
  void tell(Reactor& reactor, int error) {
    if (wait == nullptr) return;
    Wait& w = *std::exchange(wait, nullptr);
    w.operation = nullptr;
    w.over = true;
    w.error = error;
    if (error == 0) w.memory = std::move(memory);
    if (w.waiter) reactor.schedule(std::exchange(w.waiter, nullptr));
  }
};

OfiEndpoint::Wait::~Wait() {
  if (operation != nullptr) operation->wait = nullptr;
}

OfiEndpoint::Region::~Region() {
  if (region_ != nullptr && pid_ == getpid()) fi_close(&region_->fid);
}

OfiEndpoint::OfiEndpoint(Reactor& reactor, Handler handler)
    : reactor_(reactor),
      handler_(std::move(handler)),
      pid_(getpid()),
      parts_(std::make_unique<Parts>()),
      gate_(reactor),
      kick_(reactor) {}

OfiEndpoint::~OfiEndpoint() {
  if (pid_ != getpid()) {
    // The parent's: its files, its connections, its memory.
    (void)parts_.release();
    (void)choice_.info.release();
    return;
  }
  CHECK(!armed_);
  for (Operation& op : operations_) op.tell(reactor_, FI_ECANCELED);
  // First the endpoint, then what it may be using.
  for (Operation& op : operations_) close_fid(op.local);
  parts_.reset();
}

Result<std::unique_ptr<OfiEndpoint>> OfiEndpoint::open(Reactor& reactor, OfiEndpointOptions options,
                                                       Handler handler) {
  std::unique_ptr<OfiEndpoint> out(new OfiEndpoint(reactor, std::move(handler)));
  TRY(built, out->build(std::move(options)));
  reactor.spawn(out->progress());
  return out;
}

Result<void> OfiEndpoint::build(OfiEndpointOptions options) {
  const bool shm = options.address.provider == kShmProvider;
  if (shm) sweep_shm_regions();
  TRY(choice, choose_provider(options.address,
                              shm ? fresh_shm_name(reactor_.random()) : options.local_host));
  choice_ = std::move(choice);
  fi_info* const info = choice_.info.get();
  Parts& p = *parts_;
  constexpr Error kRefused = {Errc::not_supported,
                              "ofi: the provider makes no endpoint now: out of descriptors, locked "
                              "memory (ulimit -l) or queues"};
  if (choice_.library.fabric(info->fabric_attr, &p.fabric, nullptr) != 0 ||
      fi_domain(p.fabric, info, &p.domain, nullptr) != 0) {
    return fail(kRefused);
  }
  fi_av_attr av{};
  av.type = FI_AV_TABLE;
  av.count = kPeersGuess;
  if (fi_av_open(p.domain, &av, &p.av, nullptr) != 0) return fail(kRefused);
  TRY(queue, open_queue());
  if (fi_endpoint(p.domain, info, &p.ep, nullptr) != 0 || fi_ep_bind(p.ep, &p.av->fid, 0) != 0 ||
      fi_ep_bind(p.ep, &p.cq->fid, FI_TRANSMIT | FI_RECV) != 0 || fi_enable(p.ep) != 0) {
    return fail(kRefused);
  }
  size_t bytes = kOfiNameBytesMax;
  name_.resize(bytes);
  if (fi_getname(&p.ep->fid, name_.data(), &bytes) != 0 || bytes > kOfiNameBytesMax) {
    return fail(Errc::not_supported, "ofi: the provider does not tell the endpoint's name");
  }
  name_.resize(bytes);
  if (shm) {
    TRY(watched, guard_.watch(name_, choice_.library.version()));
  }
  return post_receives(options.receives);
}

Result<void> OfiEndpoint::open_queue() {
  fi_cq_attr attr{};
  attr.size = kQueueEntries;
  attr.format = FI_CQ_FORMAT_MSG;
  attr.wait_obj = FI_WAIT_FD;
  Parts& p = *parts_;
  if (fi_cq_open(p.domain, &attr, &p.cq, nullptr) == 0) {
    if (fi_control(&p.cq->fid, FI_GETWAIT, &wait_fd_) == 0) return {};
    wait_fd_ = -1;
    close_fid(p.cq);
  }
  p.cq = nullptr;
  attr.wait_obj = FI_WAIT_NONE;
  if (fi_cq_open(p.domain, &attr, &p.cq, nullptr) == 0) return {};
  return fail(Errc::not_supported, "ofi: the provider makes no completion queue");
}

Result<void> OfiEndpoint::post_receives(uint32_t count) {
  const size_t bytes = size_t{count} * kOfiMessageBytesMax;
  receive_memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
  if (choice_.local_memory && fi_mr_reg(parts_->domain, receive_memory_.get(), bytes, FI_RECV, 0,
                                        fresh_key(), 0, &parts_->receive_region, nullptr) != 0) {
    return fail(Errc::no_memory, "ofi: the provider registers no memory: look at ulimit -l");
  }
  for (uint32_t i = 0; i < count; ++i) {
    Operation& op = receives_.emplace_back();
    op.kind = Operation::Kind::receive;
    op.buffer = receive_memory_.get() + size_t{i} * kOfiMessageBytesMax;
    post_receive(op);
  }
  return {};
}

void OfiEndpoint::post_receive(Operation& op) {
  void* const local =
      parts_->receive_region != nullptr ? fi_mr_desc(parts_->receive_region) : nullptr;
  const auto rc = may_enter() ? fi_recv(parts_->ep, op.buffer, kOfiMessageBytesMax, local,
                                        FI_ADDR_UNSPEC, &op.context)
                              : -FI_EAGAIN;
  if (rc != 0) unposted_.push_back(&op);
}

bool OfiEndpoint::may_enter() const { return !choice_.shm || guard_.free(); }

uint64_t OfiEndpoint::fresh_key() {
  const size_t bytes = choice_.info->domain_attr->mr_key_size;
  const uint64_t mask = bytes >= sizeof(uint64_t) ? ~uint64_t{0} : (uint64_t{1} << 8 * bytes) - 1;
  return reactor_.random().next() & mask;
}

Result<OfiEndpoint::Peer> OfiEndpoint::add_peer(ByteView name) {
  // Only the last byte of a name in text may be zero, and is.
  if (name.empty() || name.size() > kOfiNameBytesMax ||
      (choice_.shm && std::ranges::find(name, std::byte{0}) != name.end() - 1) ||
      (!choice_.shm && name.size() != name_.size())) {
    return fail(Errc::invalid, "ofi: the peer's name is none of this provider's");
  }
  if (choice_.shm) {
    TRY(watched, guard_.watch(name, choice_.library.version()));
  }
  fi_addr_t peer = FI_ADDR_UNSPEC;
  if (fi_av_insert(parts_->av, name.data(), 1, &peer, 0, nullptr) != 1) {
    return fail(Errc::invalid, "ofi: the provider does not take the peer's name");
  }
  looked_until_ = reactor_.clock().now() + kAfterPeer;
  kick_.wake_all();
  peers_.emplace(++last_peer_, peer);
  return last_peer_;
}

bool OfiEndpoint::has_posted(Peer peer) const {
  return std::ranges::any_of(operations_,
                             [peer](const Operation& op) { return op.posted && op.peer == peer; });
}

void OfiEndpoint::remove_peer(Peer peer) {
  for (auto at = operations_.begin(); at != operations_.end();) {
    Operation& op = *at++;
    if (op.peer != peer) continue;
    op.tell(reactor_, FI_ECONNRESET);
    if (!op.posted) end(op, FI_ECONNRESET);
  }
  if (has_posted(peer)) {
    departing_.push_back(peer);
  } else {
    leave(peer);
  }
}

uint64_t OfiEndpoint::sending_bytes(Peer peer) const {
  const auto found = sending_.find(peer);
  return found == sending_.end() ? 0 : found->second;
}

bool OfiEndpoint::is_busy_with(Peer peer) const {
  return std::ranges::any_of(operations_, [peer](const Operation& op) { return op.peer == peer; });
}

/// Shared memory has one peer, whose region is not entered any more: the endpoint goes with it.
void OfiEndpoint::leave(Peer peer) {
  const auto found = peers_.find(peer);
  fi_addr_t address = found->second;
  peers_.erase(found);
  const bool shared =
      std::ranges::any_of(peers_, [address](const auto& each) { return each.second == address; });
  if (!choice_.shm && !shared) fi_av_remove(parts_->av, &address, 1, 0);
}

OfiEndpoint::Operation& OfiEndpoint::add(Peer peer) {
  Operation& op = operations_.emplace_back();
  op.self = std::prev(operations_.end());
  op.peer = peer;
  return op;
}

void OfiEndpoint::send(Peer to, Bytes message) {
  CHECK(message.size() <= kOfiMessageBytesMax);
  Operation& op = add(to);
  op.memory = std::move(message);
  sending_[to] += op.memory.size();
  start(op);
}

Task<Result<Bytes>> OfiEndpoint::read(Peer from, OfiRemote at, uint32_t bytes) {
  Wait wait;
  Operation& op = add(from);
  op.kind = Operation::Kind::read;
  op.at = at;
  op.memory.resize(bytes);
  op.wait = &wait;
  wait.operation = &op;
  start(op);
  co_await wait;
  if (wait.error != 0) co_return fail(Errc::io, "ofi: the peer's memory could not be read");
  co_return std::move(wait.memory);
}

Task<Result<void>> OfiEndpoint::write(Peer to, OfiRemote at, Bytes memory, size_t offset) {
  Wait wait;
  Operation& op = add(to);
  op.kind = Operation::Kind::write;
  op.at = at;
  op.memory = std::move(memory);
  op.begin = offset;
  op.wait = &wait;
  wait.operation = &op;
  start(op);
  co_await wait;
  if (wait.error != 0) co_return fail(Errc::io, "ofi: the peer's memory could not be written");
  co_return Result<void>{};
}

void OfiEndpoint::start(Operation& op) {
  // A task that was on its way when its peer left.
  const bool left = !peers_.contains(op.peer) ||
                    std::ranges::find(departing_, op.peer) != departing_.end();
  const int rc = closing_ ? FI_ECANCELED : left ? FI_ECONNRESET : attempt(op);
  if (rc == FI_EAGAIN) {
    unsent_.push_back(&op);
  } else if (rc != 0) {
    end(op, rc);
  }
  kick_.wake_all();
}

/// @returns 0, FI_EAGAIN, or another error of the library's
int OfiEndpoint::attempt(Operation& op) {
  if (!may_enter()) return FI_EAGAIN;
  int rc = 0;
  if (op.kind == Operation::Kind::send) {
    rc = static_cast<int>(fi_send(parts_->ep, op.memory.data(), op.memory.size(), local_region(op),
                                  peers_.at(op.peer), &op.context));
  } else {
    rc = attempt_rma(op);
  }
  if (rc != 0) return -rc;
  op.posted = true;
  if (handler_.begun) handler_.begun(op.peer);
  return 0;
}

int OfiEndpoint::attempt_rma(Operation& op) {
  op.chunk = std::min({op.rest(), kTransferBytesMax, choice_.info->ep_attr->max_msg_size});
  iovec local{op.next(), op.chunk};
  void* desc = local_region(op);
  fi_rma_iov remote{.addr = op.at.address + op.moved, .len = op.chunk, .key = op.at.key};
  fi_msg_rma message{};
  message.msg_iov = &local;
  message.desc = &desc;
  message.iov_count = 1;
  message.addr = peers_.at(op.peer);
  message.rma_iov = &remote;
  message.rma_iov_count = 1;
  message.context = &op.context;
  const auto rc = op.kind == Operation::Kind::read
                      ? fi_readmsg(parts_->ep, &message, FI_COMPLETION)
                      : fi_writemsg(parts_->ep, &message, FI_COMPLETION | FI_DELIVERY_COMPLETE);
  return static_cast<int>(rc);
}

/// What the library wants to know of an operation's own memory.
void* OfiEndpoint::local_region(Operation& op) {
  if (!choice_.local_memory) return nullptr;
  if (op.local == nullptr &&
      fi_mr_reg(parts_->domain, op.memory.data(), op.memory.size(), FI_SEND | FI_READ | FI_WRITE, 0,
                fresh_key(), 0, &op.local, nullptr) != 0) {
    return nullptr;
  }
  return fi_mr_desc(op.local);
}

void OfiEndpoint::end(Operation& op, int error) {
  std::erase(unsent_, &op);
  op.tell(reactor_, error);
  close_fid(op.local);
  const Peer peer = op.peer;
  if (op.kind == Operation::Kind::send) {
    const auto sent = sending_.find(peer);
    sent->second -= op.memory.size();
    if (sent->second == 0) sending_.erase(sent);
  }
  operations_.erase(op.self);
  const auto gone = std::ranges::find(departing_, peer);
  if (gone == departing_.end() || has_posted(peer)) return;
  departing_.erase(gone);
  leave(peer);
}

void OfiEndpoint::complete(Operation& op, size_t bytes, int error) {
  if (op.kind == Operation::Kind::receive) {
    if (error == 0 && bytes <= kOfiMessageBytesMax) handler_.message({op.buffer, bytes});
    if (!closing_) post_receive(op);
    return;
  }
  op.posted = false;
  const bool moves = op.kind != Operation::Kind::send;
  if (error == 0 && moves) {
    op.moved += op.chunk;
    // Nobody waits for the rest of what was given up.
    if (op.rest() != 0 && op.wait != nullptr) return start(op);
  }
  end(op, error);
}

/// Asks the library once. Returns how much has ended.
size_t OfiEndpoint::poll() {
  fi_cq_msg_entry entries[kCompletionsAtOnce];
  const auto got = fi_cq_read(parts_->cq, entries, kCompletionsAtOnce);
  if (got > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      if (entries[i].op_context == nullptr) continue;
      complete(*static_cast<Operation*>(entries[i].op_context), entries[i].len, 0);
    }
    return static_cast<size_t>(got);
  }
  if (got != -FI_EAVAIL) return 0;
  fi_cq_err_entry failed{};
  if (fi_cq_readerr(parts_->cq, &failed, 0) <= 0) return 0;
  if (failed.op_context != nullptr) {
    complete(*static_cast<Operation*>(failed.op_context), 0, failed.err != 0 ? failed.err : FI_EIO);
  }
  return 1;
}

/// Tries again what found no room. One peer that takes nothing holds up no other.
size_t OfiEndpoint::flush() {
  size_t begun = 0;
  for (Operation* const op : std::exchange(unposted_, {})) post_receive(*op);
  std::vector<Peer> full;
  const std::vector<Operation*> all(unsent_.begin(), unsent_.end());
  for (Operation* const op : all) {
    if (std::ranges::find(full, op->peer) != full.end()) continue;
    const int rc = attempt(*op);
    if (rc == FI_EAGAIN) {
      full.push_back(op->peer);
      continue;
    }
    std::erase(unsent_, op);
    if (rc != 0) end(*op, rc);
    ++begun;
  }
  return begun;
}

Task<void> OfiEndpoint::progress() {
  const auto hold = gate_.enter();
  Duration pause = kPauseMin;
  Instant spin_until = 0;
  uint32_t spins_failed = 0;
  bool spinning = false;
  while (!closing_) {
    size_t moved = 0;
    for (int i = 0; i < kPollsAtOnce && may_enter() && !closing_; ++i) {
      const size_t ended = poll();
      moved += ended;
      if (ended == 0) break;
    }
    if (!unsent_.empty() || !unposted_.empty()) moved += flush();
    const Instant now = reactor_.clock().now();
    if (moved != 0) {
      if (spinning) spins_failed = 0;
      const bool pays = spins_failed < kSpinsFailedMax || spins_failed % kSpinProbe == 0;
      spin_until = pays ? now + kSpin : 0;
      if (!pays) ++spins_failed;
      spinning = false;
      pause = kPauseMin;
      co_await reactor_.yield();
      continue;
    }
    if (now < spin_until) {
      spinning = true;
      co_await reactor_.yield();
      continue;
    }
    if (std::exchange(spinning, false)) ++spins_failed;
    if (attention_ != 0 || !operations_.empty() || now < looked_until_) {
      if (!std::exchange(ticking_, true)) {
        reactor_.spawn(tick(needs_bell() ? pause : kPauseWithFd));
        pause = std::min(pause * 2, kPauseMax);
      }
    }
    if (!needs_bell() && !arm()) {
      co_await reactor_.yield();
      continue;
    }
    co_await kick_.wait();
  }
}

Task<void> OfiEndpoint::tick(Duration after) {
  const std::weak_ptr<bool> alive = alive_;
  co_await reactor_.sleep(after);
  if (alive.expired()) co_return;
  ticking_ = false;
  kick_.wake_all();
}

/// Sleeps on the library's descriptor. False: it has something already.
bool OfiEndpoint::arm() {
  if (armed_) return true;
  fid* const what[1] = {&parts_->cq->fid};
  fid** const list = const_cast<fid**>(what);
  if (fi_trywait(parts_->fabric, list, 1) != 0) return false;
  readable_ = {.op = IoRequest::Op::readable, .fd = wait_fd_, .owner = this};
  readable_.done = [](IoRequest& request) {
    OfiEndpoint& self = *static_cast<OfiEndpoint*>(request.owner);
    self.armed_ = false;
    self.kick_.wake_all();
  };
  armed_ = true;
  reactor_.io()->submit(readable_);
  return true;
}

void OfiEndpoint::wake() {
  if (closing_) return;
  looked_until_ = std::max(looked_until_, reactor_.clock().now() + kAfterBell);
  kick_.wake_all();
}

Result<OfiEndpoint::Region> OfiEndpoint::expose(ByteSpan memory) {
  Region out;
  Parts& p = *parts_;
  for (int i = 0;; ++i) {
    const uint64_t key = choice_.provider_keys ? 0 : fresh_key();
    const int rc = fi_mr_reg(p.domain, memory.data(), memory.size(),
                             FI_REMOTE_READ | FI_REMOTE_WRITE, 0, key, 0, &out.region_, nullptr);
    if (rc == 0) break;
    // Somebody has this key.
    if (rc == -FI_ENOKEY && i < kKeyAttempts) continue;
    return fail(Errc::no_memory,
                "ofi: the provider registers no more memory: look at ulimit -l, or use smaller "
                "calls");
  }
  out.pid_ = pid_;
  if (choice_.endpoint_regions &&
      (fi_mr_bind(out.region_, &p.ep->fid, 0) != 0 || fi_mr_enable(out.region_) != 0)) {
    return fail(Errc::no_memory, "ofi: the provider enables no more memory");
  }
  out.remote_.key = fi_mr_key(out.region_);
  if (out.remote_.key == FI_KEY_NOTAVAIL) {
    return fail(Errc::not_supported, "ofi: the provider's keys are longer than 64 bits");
  }
  if (choice_.virtual_addresses) {
    out.remote_.address = reinterpret_cast<uintptr_t>(memory.data());
  }
  return out;
}

Task<void> OfiEndpoint::close() {
  closing_ = true;
  for (Operation& op : operations_) op.tell(reactor_, FI_ECANCELED);
  if (armed_) reactor_.io()->cancel(readable_);
  kick_.wake_all();
  co_await gate_.close();
  while (armed_) co_await kick_.wait();
  if (wait_fd_ >= 0) reactor_.io()->forget(wait_fd_);
  if (choice_.shm) {
    const Instant until = reactor_.clock().now() + kLockPatience;
    while (!guard_.free() && reactor_.clock().now() < until) co_await reactor_.sleep(kLockLook);
    guard_.break_locks();
  }
  alive_.reset();
  for (Operation& op : operations_) close_fid(op.local);
  parts_.reset();
}

}  // namespace cairn::fabric
