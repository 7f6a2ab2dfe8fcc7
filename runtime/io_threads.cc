// The thread pool backend: plain system calls on a few threads.
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "runtime/io_backends.h"

namespace cairn {
namespace {

int64_t attempt(const IoRequest& r) {
  using Op = IoRequest::Op;
  iovec iov{io_rest_data(r), io_rest_bytes(r)};
  const auto offset = static_cast<off_t>(io_rest_offset(r));
  int64_t rc = -1;
  switch (r.op) {
    case Op::read: rc = preadv2(r.fd, &iov, 1, offset, 0); break;
    case Op::write: rc = pwritev2(r.fd, &iov, 1, offset, 0); break;
    case Op::write_durable: rc = pwritev2(r.fd, &iov, 1, offset, RWF_DSYNC); break;
    case Op::flush: rc = fdatasync(r.fd); break;
    case Op::punch_hole:
      rc = fallocate(r.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, r.bytes);
      break;
  }
  return rc < 0 ? -errno : rc;
}

class ThreadBackend final : public IoBackend {
 public:
  explicit ThreadBackend(unsigned threads) : pid_(getpid()), state_(new State), count_(threads) {}

  ~ThreadBackend() override {
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

  const char* name() const override { return "threads"; }

  void submit(IoRequest& request) override {
    request.moved = request.retries = 0;
    ++in_flight_;
    if (state_->threads.empty()) start();
    {
      std::lock_guard lock(state_->mutex);
      state_->queue.push_back(&request);
    }
    state_->work.notify_one();
  }

  void kick() override {}
  size_t in_flight() const override { return in_flight_; }

  size_t reap() override {
    if (!state_->news.load(std::memory_order_acquire)) return 0;
    {
      std::lock_guard lock(state_->mutex);
      state_->news.store(false, std::memory_order_relaxed);
      state_->woken = false;
      reaped_.swap(state_->done);
    }
    const size_t count = reaped_.size();
    in_flight_ -= count;
    for (IoRequest* request : reaped_) request->done(*request);
    reaped_.clear();
    return count;
  }

  void wait(Duration max) override {
    State& s = *state_;
    std::unique_lock lock(s.mutex);
    const auto ready = [&s] { return s.woken || !s.done.empty(); };
    ++s.waiting;
    if (max == kNever) {
      s.answer.wait(lock, ready);
    } else {
      s.answer.wait_for(lock, std::chrono::nanoseconds(max), ready);
    }
    --s.waiting;
  }

  void wake() override {
    std::lock_guard lock(state_->mutex);
    state_->woken = true;
    state_->news.store(true, std::memory_order_release);
    state_->answer.notify_all();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable work;    // for the threads
    std::condition_variable answer;  // for wait()
    std::deque<IoRequest*> queue;
    std::vector<IoRequest*> done;
    std::atomic<bool> news{false};  // `done` is not empty, or `woken`
    unsigned waiting = 0;
    bool woken = false;
    bool stop = false;
    std::vector<std::thread> threads;
  };

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
      s->done.push_back(request);
      s->news.store(true, std::memory_order_release);
      if (s->waiting != 0) s->answer.notify_all();
    }
  }

  const pid_t pid_;
  std::unique_ptr<State> state_;
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
