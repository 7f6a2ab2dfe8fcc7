#include "cmd/embed/member_keeper.h"

#include <algorithm>

#include "base/report.h"

namespace cairn::embed {

namespace {

constexpr Duration kLookAgain = 10 * kMillisecond;
/// After an engine that died, or did not get ready; doubled up to the second.
constexpr Duration kPauseMin = 100 * kMillisecond;
constexpr Duration kPauseMax = 10 * kSecond;
/// From the start of a process to its open door.
constexpr Duration kStartPatience = 20 * kSecond;
/// Between a signal and the next measure.
constexpr Duration kSignalPatience = 5 * kSecond;
/// Removals that began while the engine came are looked at once more.
constexpr Duration kRemovalsAgain = 2 * kSecond;

}  // namespace

MemberKeeper::MemberKeeper(Reactor& reactor, AdminLink& link, RemoteShards& shards,
                           service::Service& service, Launcher& launcher, KeeperOptions options)
    : reactor_(reactor),
      link_(link),
      shards_(shards),
      service_(service),
      launcher_(launcher),
      gate_(reactor),
      options_(options),
      wanted_changed_(reactor) {}

void MemberKeeper::start() { reactor_.spawn(run()); }

/// One life of the engine. @returns whether it came to serve
Task<bool> MemberKeeper::keep() {
  // The connection of an engine that dies ends before its process does: without restarts the second
  // life is only the same process's.
  if (options_.restart || launched_ == 0) launcher_.launch();
  launched_ = reactor_.clock().now();
  const uint32_t rank = shards_.rank();
  const Instant give_up = reactor_.clock().now() + kStartPatience;
  Result<void> met = fail(Errc::unreachable, "engine: not started");
  while (may_go_on() && reactor_.clock().now() < give_up) {
    met = co_await link_.meet(rank);
    if (met) break;
    if (!launcher_.is_starting() && !launcher_.is_running()) co_return false;
    co_await reactor_.sleep(kLookAgain);
  }
  if (!met || !may_go_on()) co_return false;
  wire::AdminRequest join;
  join.verb = wire::AdminVerb::join;
  const auto joined = co_await link_.ask(rank, join);
  if (!joined || joined->rank != rank) co_return false;
  shards_.come(*joined);
  const auto caught_up = co_await service_.catch_up(shards_);
  if (!caught_up) {
    report(Severity::warning,
           "engine " + std::to_string(rank) + ": cannot catch up: " + caught_up.error().what());
    co_return false;
  }
  wire::AdminRequest serve;
  serve.verb = wire::AdminVerb::serve;
  serve.incarnation = joined->incarnation;
  if (!co_await link_.ask(rank, serve)) co_return false;
  shards_.serve();
  reactor_.spawn(finish_removals());
  co_await link_.watch(rank);
  co_return true;
}

Task<void> MemberKeeper::finish_removals() {
  const auto hold = gate_.enter();
  if (!hold) co_return;
  co_await service_.finish_removals();
  const Instant again = reactor_.clock().now() + kRemovalsAgain;
  while (!stopping_ && reactor_.clock().now() < again) co_await reactor_.sleep(kPauseMin);
  if (!stopping_) co_await service_.finish_removals();
}

Task<void> MemberKeeper::run() {
  const auto hold = gate_.enter();
  if (!hold) co_return;
  Duration pause = kPauseMin;
  while (!stopping_) {
    if (!wanted_) {
      co_await wanted_changed_.wait();
      continue;
    }
    const bool early = launched_ != 0 && !launcher_.is_running() &&
                       reactor_.clock().now() < launched_ + options_.restart_pause_ns;
    if (early) {
      co_await reactor_.sleep(kLookAgain);
      continue;
    }
    const bool served = co_await keep();
    shards_.leave();
    if (!may_go_on()) continue;
    if (!options_.restart && is_gone() && !launcher_.is_silent()) {
      report(Severity::error, "engine " + std::to_string(shards_.rank()) +
                                  ": is not started again; dmg system start does that");
      wanted_ = false;
      shards_.set_stopped(true);
      continue;
    }
    if (served) {
      pause = kPauseMin;
      continue;
    }
    const Instant until = reactor_.clock().now() + pause;
    hurry_ = false;
    while (!hurry_ && reactor_.clock().now() < until) co_await reactor_.sleep(kPauseMin);
    pause = hurry_ ? kPauseMin : std::min(pause * 2, kPauseMax);
  }
}

namespace {

/// Nobody waits for the answer: a process that hangs gives none.
Task<void> ask_to_leave(AdminLink& link, uint32_t rank) {
  wire::AdminRequest leave;
  leave.verb = wire::AdminVerb::leave;
  [[maybe_unused]] const auto asked = co_await link.ask(rank, std::move(leave));
}

}  // namespace

Task<void> MemberKeeper::wait_until_gone(Duration patience) {
  const Instant give_up = reactor_.clock().now() + patience;
  while (!is_gone() && reactor_.clock().now() < give_up) co_await reactor_.sleep(kLookAgain);
}

/// By a word, by a signal, by force.
Task<void> MemberKeeper::end_process(Duration patience) {
  launcher_.cancel();
  // One that has joined runs, whatever its machine has said before.
  if (launcher_.is_running() || shards_.is_there()) {
    reactor_.spawn(ask_to_leave(link_, shards_.rank()));
  }
  co_await wait_until_gone(patience);
  if (is_gone()) co_return;
  launcher_.terminate();
  co_await wait_until_gone(kSignalPatience);
  if (is_gone()) co_return;
  launcher_.kill();
  co_await wait_until_gone(kSignalPatience);
}

Task<Result<void>> MemberKeeper::halt(Duration patience) {
  wanted_ = false;
  shards_.set_stopped(true);
  if (launcher_.is_silent()) {
    launcher_.terminate();  // in place of what it was to do before
    co_return fail(Errc::unreachable,
                   "engine: its machine is silent; it is ended when that is back");
  }
  co_await end_process(patience);
  if (!is_gone()) co_return fail(Errc::timed_out, "engine: it does not end");
  co_return Result<void>{};
}

void MemberKeeper::revive() {
  wanted_ = true;
  shards_.set_stopped(false);
  launched_ = 0;
  hurry_ = true;
  wanted_changed_.wake_all();
}

Task<Result<void>> MemberKeeper::resume(Duration patience) {
  revive();
  const Instant give_up = reactor_.clock().now() + patience;
  while (!shards_.serves() && may_go_on() && reactor_.clock().now() < give_up) {
    co_await reactor_.sleep(kLookAgain);
  }
  if (!shards_.serves()) co_return fail(Errc::unreachable, "engine: it does not come");
  co_return Result<void>{};
}

Task<void> MemberKeeper::detach() {
  stopping_ = hurry_ = true;
  wanted_changed_.wake_all();
  co_await gate_.close();
}

Task<void> MemberKeeper::stop(Duration patience) {
  stopping_ = hurry_ = true;
  wanted_changed_.wake_all();
  co_await end_process(patience);
  co_await gate_.close();
}

}  // namespace cairn::embed
