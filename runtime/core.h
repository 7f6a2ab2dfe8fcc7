// Core: a reactor with a thread of its own that drives it until it is told to end, and run_on():
// how code of one reactor has something done on another one and goes on with the answer. What is
// handed over belongs to the other side until the answer comes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>

#include "base/result.h"
#include "runtime/at_home.h"
#include "runtime/reactor.h"

namespace cairn {

class Core {
 public:
  /// Returns when the thread drives its reactor. @error as make_io_backend(), no_memory
  static Result<std::unique_ptr<Core>> start();
  /// end({}), then ends the reactor. Those that hand over to each other are all ended first.
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  /// Its home is the core's thread: others may only post() to it, and run_on() it.
  Reactor& reactor();

  /// Has `last` called at home, which ends what needs the reactor, then ends the thread. No
  /// run_on() to or from it may be under way. Again: nothing. Any thread but its own.
  void end(std::move_only_function<void()> last);

 private:
  struct State;
  explicit Core(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What the answer of a run_on() goes before on the way back, and the work on the way there.
enum class Haste : uint8_t { plain, urgent };

namespace detail {

/// Of Task<T>.
template <class Made>
struct TaskValue;
template <class T>
struct TaskValue<Task<T>> {
  using Type = T;
};

template <class T, class Make>
struct Hop {
  Reactor& from;
  Reactor& to;
  Make& make;
  const Haste haste;
  std::conditional_t<std::is_void_v<T>, bool, std::optional<T>> value{};
  std::coroutine_handle<> waiter{};

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter = handle;
    to.post([this] {
      haste == Haste::urgent ? to.spawn_urgent(there(*this)) : to.spawn(there(*this));
    });
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) return std::move(*value);
  }

  static Task<void> there(Hop& hop) {
    if constexpr (std::is_void_v<T>) {
      co_await hop.make();
    } else {
      hop.value.emplace(co_await hop.make());
    }
    // The last touch: the waiter may go on at once.
    hop.from.post([&hop] {
      hop.haste == Haste::urgent ? hop.from.schedule_urgent(hop.waiter)
                                 : hop.from.schedule(hop.waiter);
    });
  }
};

}  // namespace detail

/// Runs the task that `make` returns on the reactor `to`, and returns its value here, on `from`.
/// `make` is called there, and stays here until the task has ended. Both reactors outlive it.
template <class Make, class T = typename detail::TaskValue<std::invoke_result_t<Make&>>::Type>
Task<T> run_on(Reactor& from, Reactor& to, Make make, Haste haste = Haste::plain) {
  DCHECK(!is_elsewhere(from));
  co_return co_await detail::Hop<T, Make>{from, to, make, haste};
}

}  // namespace cairn
