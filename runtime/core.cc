#include "runtime/core.h"

#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace cairn {

struct Core::State {
  void drive();
  void begin(Result<void> outcome);

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Result<void>> begun;  // guarded by the mutex
  std::unique_ptr<Reactor> reactor;   // made by the thread
  bool ending = false;                // home
  std::move_only_function<void()> last;
  std::thread thread;
};

void Core::State::begin(Result<void> outcome) {
  const std::lock_guard lock(mutex);
  begun = outcome;
  changed.notify_all();
}

/// The thread's whole life.
void Core::State::drive() {
  pthread_setname_np(pthread_self(), "cairn core");
  auto io = make_io_backend();
  if (!io) return begin(fail(io.error()));
  reactor = std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
  begin({});
  while (!ending) {
    if (!reactor->turn()) reactor->idle(kNever);
  }
  const Reactor::Visit visit(*reactor);
  if (last) last();
}

Core::Core(std::unique_ptr<State> state) : state_(std::move(state)) {}

Core::~Core() { end({}); }

Result<std::unique_ptr<Core>> Core::start() {
  auto state = std::make_unique<State>();
  State& s = *state;
  try {
    s.thread = std::thread([&s] { s.drive(); });
  } catch (const std::system_error&) {
    return fail(Errc::no_memory, "core: the system gives no more threads");
  }
  std::unique_lock lock(s.mutex);
  s.changed.wait(lock, [&s] { return s.begun.has_value(); });
  if (*s.begun) return std::unique_ptr<Core>(new Core(std::move(state)));
  const Error error = s.begun->error();
  lock.unlock();
  s.thread.join();
  return fail(error);
}

Reactor& Core::reactor() { return *state_->reactor; }

/// The reactor stays: whoever has posted something may not have returned from that yet.
void Core::end(std::move_only_function<void()> last) {
  State& s = *state_;
  if (!s.thread.joinable()) return;
  CHECK(s.thread.get_id() != std::this_thread::get_id());
  s.reactor->post([&s, last = std::move(last)]() mutable {
    s.last = std::move(last);
    s.ending = true;
  });
  s.thread.join();
}

}  // namespace cairn
