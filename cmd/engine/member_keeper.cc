#include "cmd/engine/member_keeper.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/server_start.h"

namespace cairn::engine_program {

namespace {

constexpr Duration kLookAgain = 10 * kMillisecond;
/// After an engine that died, or did not get ready; doubled up to the second.
constexpr Duration kPauseMin = 100 * kMillisecond;
constexpr Duration kPauseMax = 10 * kSecond;
/// From the start of a process to its open door.
constexpr Duration kStartPatience = 20 * kSecond;
/// Removals that began while the engine came are looked at once more.
constexpr Duration kRemovalsAgain = 2 * kSecond;

}  // namespace

MemberKeeper::MemberKeeper(Reactor& reactor, embed::AdminLink& link, embed::RemoteShards& shards,
                           service::Service& service, KeeperOptions options,
                           std::function<bool()> may_serve)
    : reactor_(reactor),
      link_(link),
      shards_(shards),
      service_(service),
      options_(std::move(options)),
      may_serve_(std::move(may_serve)),
      gate_(reactor) {}

std::string MemberKeeper::directory() const {
  return embed::engine_directory(options_.home, shards_.rank());
}

bool MemberKeeper::is_running() const {
  return embed::HomeLock::holder(directory()).has_value();
}

void MemberKeeper::start() { reactor_.spawn(run()); }

void MemberKeeper::look_at_child() {
  int status = 0;
  if (child_ <= 0 || waitpid(child_, &status, WNOHANG) != child_) return;
  if (!stopping_) {
    report(Severity::warning,
           "engine " + std::to_string(shards_.rank()) + ", process " + std::to_string(child_) +
               (WIFSIGNALED(status) ? ": ended by signal " + std::to_string(WTERMSIG(status))
                                    : ": ended with status " +
                                          std::to_string(WEXITSTATUS(status))));
  }
  child_ = -1;
}

void MemberKeeper::launch() {
  look_at_child();
  if (child_ > 0 || is_running()) return;
  launched_ = reactor_.clock().now();
  const auto made = embed::make_directory(options_.home + "/engines");
  const auto own = embed::make_directory(directory());
  if (!made || !own) return;
  std::vector<std::string> words = {"--home", options_.home, "--member",
                                    std::to_string(shards_.rank())};
  words.insert(words.end(), options_.words.begin(), options_.words.end());
  const std::string log = options_.log.empty() ? directory() + "/server.log" : options_.log;
  const auto started =
      embed::start_program(options_.program, words, {.log = log, .env = options_.env});
  if (started) child_ = *started;
}

/// One life of the engine. @returns whether it came to serve
Task<bool> MemberKeeper::keep() {
  launch();
  const uint32_t rank = shards_.rank();
  const Instant give_up = reactor_.clock().now() + kStartPatience;
  Result<fabric::HelloReply> met = fail(Errc::unreachable, "engine: not started");
  while (may_go_on() && reactor_.clock().now() < give_up) {
    met = co_await link_.meet(rank);
    if (met) break;
    look_at_child();
    if (child_ < 0 && !is_running()) co_return false;
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
    report(Severity::warning, "engine " + std::to_string(rank) + ": cannot catch up: " +
                                  caught_up.error().what());
    co_return false;
  }
  while (!may_serve_() && may_go_on()) co_await reactor_.sleep(kLookAgain);
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
      co_await reactor_.sleep(kLookAgain);
      continue;
    }
    const Instant earliest = launched_ == 0 ? 0 : launched_ + options_.restart_pause_ns;
    while (may_go_on() && reactor_.clock().now() < earliest) co_await reactor_.sleep(kLookAgain);
    if (!may_go_on()) continue;
    const bool served = co_await keep();
    shards_.leave();
    if (!may_go_on()) continue;
    if (!options_.restart && !is_running()) {
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
    co_await reactor_.sleep(pause);
    pause = std::min(pause * 2, kPauseMax);
  }
}

/// Until it has let go of its directory, or the patience is over.
Task<void> MemberKeeper::ask_to_leave(Duration patience) {
  wire::AdminRequest leave;
  leave.verb = wire::AdminVerb::leave;
  // One that does not hear it ends by itself after its grace.
  if (is_running()) {
    [[maybe_unused]] const auto asked = co_await link_.ask(shards_.rank(), leave);
  }
  const Instant give_up = reactor_.clock().now() + patience;
  while (is_running() && reactor_.clock().now() < give_up) co_await reactor_.sleep(kLookAgain);
}

Task<Result<void>> MemberKeeper::halt(Duration patience) {
  wanted_ = false;
  shards_.set_stopped(true);
  co_await ask_to_leave(patience);
  look_at_child();
  if (is_running()) co_return fail(Errc::timed_out, "engine: it does not end");
  co_return Result<void>{};
}

Task<Result<void>> MemberKeeper::resume(Duration patience) {
  wanted_ = true;
  shards_.set_stopped(false);
  launched_ = 0;
  const Instant give_up = reactor_.clock().now() + patience;
  while (!shards_.serves() && may_go_on() && reactor_.clock().now() < give_up) {
    co_await reactor_.sleep(kLookAgain);
  }
  if (!shards_.serves()) co_return fail(Errc::unreachable, "engine: it does not come");
  co_return Result<void>{};
}

Task<void> MemberKeeper::stop(Duration patience) {
  stopping_ = true;
  co_await ask_to_leave(patience);
  if (child_ > 0 && is_running()) kill(child_, SIGTERM);
  co_await gate_.close();
  look_at_child();
}

}  // namespace cairn::engine_program
