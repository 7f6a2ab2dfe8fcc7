// run_all: several tasks at once on one reactor, at most so many, and one answer for all.
// Home: the reactor's thread.
#pragma once

#include <coroutine>
#include <vector>

#include "base/result.h"
#include "runtime/reactor.h"

namespace cairn {

namespace detail {

struct RunAll {
  std::vector<Task<Result<void>>> tasks;
  std::vector<Result<void>> results;
  size_t next = 0;
  size_t running = 0;
  std::coroutine_handle<> waiter;
};

inline Task<void> run_all_worker(Reactor& reactor, RunAll& all) {
  while (all.next < all.tasks.size()) {
    const size_t index = all.next++;
    all.results[index] = co_await std::move(all.tasks[index]);
  }
  if (--all.running == 0 && all.waiter) reactor.schedule(all.waiter);
}

inline Task<Result<void>> run_many(Reactor& reactor, std::vector<Task<Result<void>>> tasks,
                                   size_t limit) {
  RunAll all;
  all.results.resize(tasks.size());
  all.tasks = std::move(tasks);
  all.running = std::min(limit, all.tasks.size());
  for (size_t i = 0, n = all.running; i < n; ++i) reactor.spawn(run_all_worker(reactor, all));
  struct Awaiter {
    RunAll& all;
    bool await_ready() const noexcept { return all.running == 0; }
    void await_suspend(std::coroutine_handle<> h) { all.waiter = h; }
    void await_resume() const noexcept {}
  };
  co_await Awaiter{all};
  for (const Result<void>& result : all.results) {
    if (!result) co_return result;
  }
  co_return Result<void>{};
}

}  // namespace detail

/// Runs all `tasks`, at most `limit` (> 0) at once, started in order, and waits for every one.
/// @returns the first error in the order of `tasks`
inline Task<Result<void>> run_all(Reactor& reactor, std::vector<Task<Result<void>>> tasks,
                                  size_t limit) {
  // One needs nobody to run it.
  if (tasks.size() == 1) return std::move(tasks[0]);
  return detail::run_many(reactor, std::move(tasks), limit);
}

}  // namespace cairn
