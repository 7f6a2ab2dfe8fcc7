// The io_uring backend. The ring is a plain one, because different threads drive it, one at a time.
// wait() sleeps in ppoll() on the ring and on an event counter instead of in io_uring_enter(): that
// is safe beside the home thread, and a wake() does not depend on the thread that armed something.
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "runtime/io_backends.h"

namespace cairn {
namespace {

constexpr unsigned kRingEntries = 256;

class UringBackend final : public IoBackend {
 public:
  UringBackend() : pid_(getpid()) {}

  /// Returns false if the kernel refuses.
  bool open() {
    io_uring_params params{};
    if (io_uring_queue_init_params(kRingEntries, &ring_, &params) != 0) return false;
    open_ = true;
    event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    // Without NODROP a full completion queue loses answers; any kernel of this decade has it.
    return event_fd_ >= 0 && (params.features & IORING_FEAT_NODROP) != 0;
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
    ++in_flight_;
    enqueue(request);
  }

  void kick() override {
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

  size_t in_flight() const override { return in_flight_; }

  size_t reap() override {
    if (head_ != nullptr || staged_ != 0) kick();
    if (woken_.load(std::memory_order_relaxed) && woken_.exchange(false)) {
      uint64_t count;
      [[maybe_unused]] const ssize_t got = read(event_fd_, &count, sizeof count);
    }
    if (in_flight_ == 0) return 0;
    if (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) io_uring_get_events(&ring_);
    size_t finished = 0;
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
      auto* request = static_cast<IoRequest*>(io_uring_cqe_get_data(cqe));
      const int64_t outcome = cqe->res;
      io_uring_cqe_seen(&ring_, cqe);
      if (io_retry(*request, outcome)) {
        enqueue(*request);
        continue;
      }
      --in_flight_;
      ++finished;
      request->done(*request);
    }
    return finished;
  }

  void wait(Duration max) override {
    if (backlog_.load(std::memory_order_relaxed)) max = std::min(max, kMillisecond);
    pollfd fds[2] = {{ring_.ring_fd, POLLIN, 0}, {event_fd_, POLLIN, 0}};
    timespec limit{static_cast<time_t>(max / kSecond), static_cast<long>(max % kSecond)};
    // The event counter is left alone: this thread may not be the one that the wake is for.
    ppoll(fds, 2, max == kNever ? nullptr : &limit, nullptr);
  }

  void wake() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = write(event_fd_, &one, sizeof one);
    woken_.store(true, std::memory_order_release);  // after the write, so that reap() finds it
  }

 private:
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
      head_ = request.next;
      prepare(sqe, request);
      io_uring_sqe_set_data(sqe, &request);
      ++staged_;
    }
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
    }
  }

  const pid_t pid_;
  io_uring ring_{};
  bool open_ = false;
  int event_fd_ = -1;
  IoRequest* head_ = nullptr;  // submitted, not yet in the ring
  IoRequest* tail_ = nullptr;
  unsigned staged_ = 0;  // in the ring, not yet given to the kernel
  size_t in_flight_ = 0;
  std::atomic<bool> woken_{false};
  std::atomic<bool> backlog_{false};  // the kernel refused some for now: try again soon
};

}  // namespace

Result<std::unique_ptr<IoBackend>> make_uring_backend() {
  auto backend = std::make_unique<UringBackend>();
  if (!backend->open()) {
    return fail(Errc::not_supported,
                "io_uring is refused by the kernel; unset CAIRN_IO or set CAIRN_IO=threads");
  }
  return std::unique_ptr<IoBackend>(std::move(backend));
}

}  // namespace cairn
