// The io_uring backend: files by the ring, sockets by epoll
// (docs/decisions/0011-sockets-by-epoll.md).
// The ring is a plain one, because different threads drive it, one at a time. wait() sleeps in
// ppoll() on both and on an event counter instead of in io_uring_enter(): that is safe beside the
// home thread, and a wake() does not depend on the thread that armed something.
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/check.h"
#include "runtime/io_backends.h"
#include "runtime/socket_poller.h"

namespace cairn {
namespace {

constexpr unsigned kRingEntries = 256;
// Reads that the device gets while others are still being prepared: it and the processor work at
// the same time. Fewer at once would cost more in system calls (and in notices to a host) than they
// gain: docs/benchmarks.md.
constexpr unsigned kReadsHeldMax = 16;
// Writes that go as one. More in one would gain little and hold up the first.
constexpr size_t kJoinedMax = 64;
constexpr uint64_t kJoinedBytesMax = 512u << 10;

/// Neighbouring writes under way as one request: many callers at once each bring a block, and their
/// blocks stand in a row. One durable write costs a disk as much as the next.
struct Joined {
  IoRequest* first = nullptr;  // chained by `next`
  uint64_t bytes = 0;
  std::vector<iovec> pieces;
};

bool can_join(const IoRequest& r) {
  using Op = IoRequest::Op;
  return (r.op == Op::write || r.op == Op::write_durable) && !r.alone && r.moved == 0;
}

/// How many requests from `first` on go as one.
size_t joined_count(const IoRequest& first) {
  if (!can_join(first)) return 1;
  size_t count = 1;
  uint64_t bytes = first.bytes;
  for (const IoRequest* last = &first; count < kJoinedMax; ++count) {
    const IoRequest* const r = last->next;
    if (r == nullptr || !can_join(*r) || r->op != first.op || r->fd != first.fd ||
        r->offset != last->offset + last->bytes || bytes + r->bytes > kJoinedBytesMax) {
      break;
    }
    bytes += r->bytes;
    last = r;
  }
  return count;
}

class UringBackend final : public IoBackend {
 public:
  UringBackend() : pid_(getpid()) {}

  /// Returns false if the kernel refuses.
  bool open(IoDrivers drivers) {
    if (drivers == IoDrivers::one) {
      io_uring_params params{};
      // The flag in the ring tells peeks that something has ended.
      params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
      open_ = io_uring_queue_init_params(kRingEntries, &ring_, &params) == 0;
    }
    // Before Linux 5.19 there is no such mode.
    if (!open_ && io_uring_queue_init(kRingEntries, &ring_, 0) != 0) return false;
    open_ = true;
    event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    // Without NODROP a full completion queue loses answers; any kernel of this decade has it.
    return event_fd_ >= 0 && (ring_.features & IORING_FEAT_NODROP) != 0;
  }

  ~UringBackend() override {
    if (open_ && getpid() == pid_) {
      while (in_flight_ != 0) {
        kick();
        if (reap() == 0 && in_flight_ != 0) wait(kSecond);
      }
    }
    if (event_fd_ >= 0) close(event_fd_);
    // In a forked child this only drops its own mapping and descriptor.
    if (open_) io_uring_queue_exit(&ring_);
  }

  const char* name() const override { return "uring"; }

  void submit(IoRequest& request) override {
    request.moved = request.retries = 0;
    request.alone = false;
    ++in_flight_;
    if (!is_socket_op(request.op)) {
      enqueue(request);
      if (request.op == IoRequest::Op::read && ++reads_held_ == kReadsHeldMax) kick();
    } else if (sockets_.start(request)) {
      ended_.push_back(&request);
      any_ended_.store(true, std::memory_order_relaxed);
    }
  }

  void kick() override {
    reads_held_ = 0;
    while (head_ != nullptr || staged_ != 0) {
      stage();
      const int rc = io_uring_submit(&ring_);
      if (rc < 0) {
        // EAGAIN, EBUSY: the kernel is short of memory or has answers for us; reap() tries again.
        CHECK(rc == -EAGAIN || rc == -EBUSY || rc == -EINTR || rc == -ENOMEM);
        break;
      }
      staged_ -= std::min(staged_, static_cast<unsigned>(rc));
      if (rc == 0) break;
    }
    backlog_.store(head_ != nullptr || staged_ != 0, std::memory_order_relaxed);
  }

  void cancel(IoRequest& request) override {
    CHECK(request.op == IoRequest::Op::readable);
    if (request.fd < 0 || !sockets_.unpark(request)) return;
    request.result = -ECANCELED;
    ended_.push_back(&request);
    any_ended_.store(true, std::memory_order_relaxed);
  }

  size_t in_flight() const override { return in_flight_; }

  size_t reap() override {
    if (head_ != nullptr || staged_ != 0) kick();
    if (woken_.load(std::memory_order_relaxed) && woken_.exchange(false)) {
      uint64_t count;
      [[maybe_unused]] const ssize_t got = read(event_fd_, &count, sizeof count);
    }
    if (in_flight_ == 0 && !sockets_.wants_poll()) return 0;
    if (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) io_uring_get_events(&ring_);
    size_t finished = 0;
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
      const uint64_t data = io_uring_cqe_get_data64(cqe);
      const int64_t outcome = cqe->res;
      io_uring_cqe_seen(&ring_, cqe);
      finished += (data & kJoinedTag) != 0
                      ? end_joined(*reinterpret_cast<Joined*>(data & ~kJoinedTag), outcome)
                      : end(*reinterpret_cast<IoRequest*>(data), outcome);
    }
    if (head_ != nullptr) kick();  // to be tried again; nobody else may have a reason to
    return finished + reap_sockets();
  }

  void wait(Duration max) override {
    if (any_ended_.load(std::memory_order_relaxed)) return;
    if (backlog_.load(std::memory_order_relaxed)) max = std::min(max, kMillisecond);
    pollfd fds[3] = {
        {ring_.ring_fd, POLLIN, 0}, {event_fd_, POLLIN, 0}, {sockets_.fd(), POLLIN, 0}};
    timespec limit{static_cast<time_t>(max / kSecond), static_cast<long>(max % kSecond)};
    ppoll(fds, 3, max == kNever ? nullptr : &limit, nullptr);
    // The events stay for the home thread: each comes only once.
    if (fds[2].revents != 0) sockets_.note_events();
    // The event counter is left alone: this thread may not be the one that the wake is for. But
    // reap() is to empty it now: the waker may have lost its processor to us before it could say
    // so, and until it gets it back every wait() would end at once.
    if ((fds[1].revents & POLLIN) != 0) woken_.store(true, std::memory_order_release);
  }

  void wake() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = write(event_fd_, &one, sizeof one);
    woken_.store(true, std::memory_order_release);  // after the write, so that reap() finds it
  }

  bool forget(int fd) override {
    if (getpid() != pid_) return false;  // the epoll is the parent's too
    sockets_.forget(fd);
    return true;
  }

 private:
  static constexpr uint64_t kJoinedTag = 1;
  static_assert(alignof(Joined) > kJoinedTag);
  static_assert(alignof(IoRequest) > kJoinedTag);

  /// One attempt has ended; returns how many requests have.
  size_t end(IoRequest& request, int64_t outcome) {
    if (io_retry(request, outcome)) {
      enqueue(request);
      return 0;
    }
    --in_flight_;
    request.done(request);
    return 1;
  }
  size_t reap_sockets() {
    if (sockets_.wants_poll()) sockets_.poll(ended_);
    if (ended_.empty()) return 0;
    reaped_.swap(ended_);
    any_ended_.store(false, std::memory_order_relaxed);
    const size_t count = reaped_.size();
    in_flight_ -= count;
    for (IoRequest* request : reaped_) request->done(*request);
    reaped_.clear();
    return count;
  }
  /// After anything but a whole write each request is tried alone and gets its own outcome.
  size_t end_joined(Joined& joined, int64_t outcome) {
    const bool whole = outcome >= 0 && static_cast<uint64_t>(outcome) == joined.bytes;
    IoRequest* request = joined.first;
    spare_.emplace_back(&joined);
    size_t finished = 0;
    while (request != nullptr) {
      IoRequest& r = *request;
      request = r.next;  // `done` may be its end
      if (whole) {
        finished += end(r, r.bytes);
      } else {
        r.alone = true;
        enqueue(r);
      }
    }
    return finished;
  }

  void enqueue(IoRequest& request) {
    request.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &request;
    tail_ = &request;
  }

  /// Moves requests into the submission ring while it has room.
  void stage() {
    while (head_ != nullptr) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      if (sqe == nullptr) return;
      IoRequest& request = *head_;
      const size_t count = joined_count(request);
      if (count == 1) {
        head_ = request.next;
        prepare(sqe, request);
        io_uring_sqe_set_data(sqe, &request);
      } else {
        Joined& joined = take_joined(count);
        prepare_joined(sqe, joined);
        io_uring_sqe_set_data64(sqe, reinterpret_cast<uintptr_t>(&joined) | kJoinedTag);
      }
      ++staged_;
    }
  }

  /// Takes `count` requests from the head of the queue.
  Joined& take_joined(size_t count) {
    if (spare_.empty()) spare_.push_back(std::make_unique<Joined>());
    Joined& joined = *spare_.back().release();  // the kernel's until end_joined()
    spare_.pop_back();
    joined.first = head_;
    joined.bytes = 0;
    joined.pieces.clear();
    for (IoRequest* last = nullptr; count > 0; --count) {
      if (last != nullptr) last->next = head_;
      last = head_;
      head_ = last->next;
      last->next = nullptr;
      joined.pieces.push_back({last->data, last->bytes});
      joined.bytes += last->bytes;
    }
    return joined;
  }

  static void prepare_joined(io_uring_sqe* sqe, const Joined& joined) {
    const IoRequest& first = *joined.first;
    io_uring_prep_writev(sqe, first.fd, joined.pieces.data(),
                         static_cast<unsigned>(joined.pieces.size()), first.offset);
    if (first.op == IoRequest::Op::write_durable) sqe->rw_flags = RWF_DSYNC;
  }

  static void prepare(io_uring_sqe* sqe, const IoRequest& r) {
    using Op = IoRequest::Op;
    switch (r.op) {
      case Op::read:
        io_uring_prep_read(sqe, r.fd, io_rest_data(r), io_rest_bytes(r), io_rest_offset(r));
        break;
      case Op::write:
      case Op::write_durable:
        io_uring_prep_write(sqe, r.fd, io_rest_data(r), io_rest_bytes(r), io_rest_offset(r));
        if (r.op == Op::write_durable) sqe->rw_flags = RWF_DSYNC;
        break;
      case Op::flush:
        io_uring_prep_fsync(sqe, r.fd, IORING_FSYNC_DATASYNC);
        break;
      case Op::punch_hole:
        io_uring_prep_fallocate(sqe, r.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                static_cast<off_t>(r.offset), static_cast<off_t>(r.bytes));
        break;
      case Op::recv:
      case Op::send:
      case Op::accept:
      case Op::connect:
      case Op::readable:
        CHECK(!"sockets are not for the ring");
    }
  }

  const pid_t pid_;
  io_uring ring_{};
  bool open_ = false;
  int event_fd_ = -1;
  IoRequest* head_ = nullptr;  // submitted, not yet in the ring
  IoRequest* tail_ = nullptr;
  unsigned reads_held_ = 0;  // submitted since the last kick
  unsigned staged_ = 0;  // in the ring, not yet given to the kernel
  size_t in_flight_ = 0;
  std::vector<std::unique_ptr<Joined>> spare_;
  SocketPoller sockets_;
  std::vector<IoRequest*> ended_;  // of sockets, to be told at the next reap()
  std::vector<IoRequest*> reaped_;
  std::atomic<bool> any_ended_{false};
  std::atomic<bool> woken_{false};
  std::atomic<bool> backlog_{false};  // the kernel refused some for now: try again soon
};

}  // namespace

Result<std::unique_ptr<IoBackend>> make_uring_backend(IoDrivers drivers) {
  auto backend = std::make_unique<UringBackend>();
  if (!backend->open(drivers)) {
    return fail(Errc::not_supported,
                "io_uring is refused by the kernel; unset CAIRN_IO or set CAIRN_IO=threads");
  }
  return std::unique_ptr<IoBackend>(std::move(backend));
}

}  // namespace cairn
