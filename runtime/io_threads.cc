// The thread pool backend: plain system calls on a few threads, and epoll for sockets. wait()
// sleeps in ppoll() on the epoll and on an event counter that the threads and wake() raise.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "runtime/io_backends.h"
#include "runtime/socket_poller.h"

namespace cairn {
namespace {

int64_t attempt(const IoRequest& r) {
  using Op = IoRequest::Op;
  iovec iov{io_rest_data(r), io_rest_bytes(r)};
  const auto offset = static_cast<off_t>(io_rest_offset(r));
  int64_t rc = -1;
  switch (r.op) {
    case Op::read:
      rc = preadv2(r.fd, &iov, 1, offset, 0);
      break;
    case Op::write:
      rc = pwritev2(r.fd, &iov, 1, offset, 0);
      break;
    case Op::write_durable:
      rc = pwritev2(r.fd, &iov, 1, offset, RWF_DSYNC);
      break;
    case Op::flush:
      rc = fdatasync(r.fd);
      break;
    case Op::punch_hole:
      rc = fallocate(r.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, r.bytes);
      break;
    case Op::recv:
    case Op::send:
    case Op::accept:
    case Op::connect:
    case Op::readable:
      CHECK(!"sockets are not for the threads");
  }
  return rc < 0 ? -errno : rc;
}

class ThreadBackend final : public IoBackend {
 public:
  explicit ThreadBackend(unsigned threads)
      : pid_(getpid()),
        state_(new State),
        event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        count_(threads) {
    state_->event_fd = event_fd_;
  }

  ~ThreadBackend() override {
    end();
    if (event_fd_ >= 0) close(event_fd_);
  }

  const char* name() const override { return "threads"; }

  void submit(IoRequest& request) override {
    request.moved = request.retries = 0;
    ++in_flight_;
    if (is_socket_op(request.op)) {
      if (!sockets_.start(request)) return;
      std::lock_guard lock(state_->mutex);
      state_->add_done(request);
      return;
    }
    if (state_->threads.empty()) start();
    {
      std::lock_guard lock(state_->mutex);
      state_->queue.push_back(&request);
    }
    state_->work.notify_one();
  }

  void cancel(IoRequest& request) override {
    CHECK(request.op == IoRequest::Op::readable);
    if (request.fd < 0 || !sockets_.unpark(request)) return;
    request.result = -ECANCELED;
    std::lock_guard lock(state_->mutex);
    state_->add_done(request);
  }

  void kick() override {}
  size_t in_flight() const override { return in_flight_; }

  size_t reap() override {
    if (state_->news.load(std::memory_order_acquire)) {
      std::lock_guard lock(state_->mutex);
      state_->news.store(false, std::memory_order_relaxed);
      state_->woken = false;
      reaped_.swap(state_->done);
      if (std::exchange(state_->raised, false)) {
        uint64_t count;
        [[maybe_unused]] const ssize_t got = read(event_fd_, &count, sizeof count);
      }
    }
    if (sockets_.wants_poll()) sockets_.poll(reaped_);
    const size_t count = reaped_.size();
    in_flight_ -= count;
    for (IoRequest* request : reaped_) request->done(*request);
    reaped_.clear();
    return count;
  }

  void wait(Duration max) override {
    State& s = *state_;
    {
      std::lock_guard lock(s.mutex);
      if (s.woken || !s.done.empty()) return;
      ++s.waiting;
    }
    // Without a counter or an epoll (no descriptors left) it must look for itself.
    if (event_fd_ < 0) max = std::min(max, kMillisecond);
    pollfd fds[2] = {{event_fd_, POLLIN, 0}, {sockets_.fd(), POLLIN, 0}};
    timespec limit{static_cast<time_t>(max / kSecond), static_cast<long>(max % kSecond)};
    ppoll(fds, 2, max == kNever ? nullptr : &limit, nullptr);
    // The events stay for the home thread: each comes only once.
    if (fds[1].revents != 0) sockets_.note_events();
    std::lock_guard lock(s.mutex);
    --s.waiting;
  }

  void wake() override {
    std::lock_guard lock(state_->mutex);
    state_->woken = true;
    state_->tell();
  }

  bool forget(int fd) override {
    if (getpid() != pid_) return false;  // the epoll is the parent's too
    sockets_.forget(fd);
    return true;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable work;  // for the threads
    std::deque<IoRequest*> queue;
    std::vector<IoRequest*> done;
    std::atomic<bool> news{false};  // `done` is not empty, or `woken`
    unsigned waiting = 0;
    int event_fd = -1;
    bool raised = false;  // the counter of `event_fd` is not zero
    bool woken = false;
    bool stop = false;
    std::vector<std::thread> threads;

    // All with `mutex` held.
    void add_done(IoRequest& request) {
      done.push_back(&request);
      tell();
    }
    /// Ends each wait() in progress; a later one looks before it sleeps.
    void tell() {
      news.store(true, std::memory_order_release);
      if (waiting == 0 || raised) return;
      const uint64_t one = 1;
      raised = write(event_fd, &one, sizeof one) > 0;
    }
  };

  /// Waits for what is under way and ends the threads.
  void end() {
    if (getpid() != pid_) {
      (void)state_.release();  // a forked child: the threads are not here, the locks may be held
      return;
    }
    while (in_flight_ != 0) {
      wait(kNever);
      reap();
    }
    {
      std::lock_guard lock(state_->mutex);
      state_->stop = true;
    }
    state_->work.notify_all();
    for (std::thread& thread : state_->threads) thread.join();
  }

  void start() {
    for (unsigned i = 0; i < count_; ++i) state_->threads.emplace_back(serve, state_.get());
  }

  static void serve(State* s) {
    std::unique_lock lock(s->mutex);
    for (;;) {
      s->work.wait(lock, [s] { return s->stop || !s->queue.empty(); });
      if (s->queue.empty()) return;
      IoRequest* request = s->queue.front();
      s->queue.pop_front();
      lock.unlock();
      while (io_retry(*request, attempt(*request))) {
      }
      lock.lock();
      s->add_done(*request);
    }
  }

  const pid_t pid_;
  std::unique_ptr<State> state_;
  const int event_fd_;
  SocketPoller sockets_;
  const unsigned count_;
  size_t in_flight_ = 0;
  std::vector<IoRequest*> reaped_;
};

}  // namespace

std::unique_ptr<IoBackend> make_thread_backend(unsigned threads) {
  CHECK(threads > 0);
  return std::make_unique<ThreadBackend>(threads);
}

}  // namespace cairn
