#include "cmd/embed/home_door.h"

#include <utility>

#include "base/report.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/server_start.h"
#include "runtime/context.h"
#include "runtime/io.h"

namespace cairn::embed {

namespace {

/// While another process's server gets ready, or an old one ends.
constexpr Duration kLookAgain = 5 * kMillisecond;
constexpr Duration kServerPatience = 60 * kSecond;
constexpr Duration kConnectPatience = 10 * kSecond;
/// After a server that died while it started, and how long such a one is tried again.
constexpr Duration kAfterDeath = 100 * kMillisecond;
constexpr Duration kDeathPatience = 15 * kSecond;
/// A lock whose holder has not written its name yet shows the one before.
constexpr int kHolderLooks = 10;

Address address_of(const std::string& home) { return {.host = socket_path(home)}; }

}  // namespace

HomeDoor::HomeDoor(Reactor& reactor, std::string home, bool start)
    : reactor_(reactor), home_(std::move(home)), start_(start) {}

Task<Result<Socket>> HomeDoor::enter() {
  const Instant begin = reactor_.clock().now();
  Instant first_death = kNever;
  for (int embed_seen = 0;;) {
    auto socket = co_await connect_to(reactor_, address_of(home_), kConnectPatience);
    if (socket || socket.error().code() != Errc::unreachable || !start_) co_return socket;
    const auto holder = HomeLock::holder(home_);
    if (holder && holder->use == HomeUse::embed && ++embed_seen >= kHolderLooks) {
      report_holder(home_, *holder);
      co_return fail(Errc::busy, "home: another process has it for itself");
    }
    if (reactor_.clock().now() - begin > kServerPatience) {
      report(Severity::error, home_ + ": its server" +
                                  (holder ? ", process " + holder->pid + "," : std::string()) +
                                  " does not get ready; see server.log there");
      co_return fail(Errc::busy, "home: its server does not get ready");
    }
    if (holder) {
      co_await reactor_.sleep(kLookAgain);
      continue;
    }
    if (program_.empty()) program_ = find_server_program();
    CO_TRY(started, start_server(program_, home_));
    if (started.outcome == StartOutcome::failed) {
      co_return fail(started.code, "home: its server cannot open it");
    }
    if (started.outcome == StartOutcome::ready) first_death = kNever;
    if (started.outcome == StartOutcome::died) {
      const Instant now = reactor_.clock().now();
      if (first_death == kNever) first_death = now;
      if (now - first_death > kDeathPatience) {
        report(Severity::error, home_ + ": its server (" + program_ + ") dies when it starts; set "
                                        "CAIRN_MODE=embed to use the home without one");
        co_return fail(Errc::misc, "home: its server dies when it starts");
      }
      co_await reactor_.sleep(kAfterDeath);
    }
    if (started.outcome == StartOutcome::occupied) co_await reactor_.sleep(kLookAgain);
  }
}

Task<Result<fabric::HelloReply>> HomeDoor::ask(fabric::Purpose purpose) {
  CO_TRY(socket, co_await connect_to(reactor_, address_of(home_), kConnectPatience));
  co_return co_await fabric::greet_once(reactor_, std::move(socket), {.purpose = purpose});
}

namespace {

/// Runs one question in a reactor of its own.
template <class Ask>
auto with_door(const std::string& home, Ask ask) {
  Reactor reactor(system_clock(), system_random(), make_client_backend());
  Context context(reactor);
  HomeDoor door(reactor, home, false);
  return context.run(ask(door, reactor));
}

Task<Result<void>> dismiss(HomeDoor& door, Reactor& reactor, bool in_any_case) {
  const auto reply = co_await door.ask(in_any_case ? fabric::Purpose::leave
                                                   : fabric::Purpose::leave_if_idle);
  if (!reply && reply.error().code() != Errc::unreachable) co_return fail(reply.error());
  if (reply && reply->status != Errc::ok) {
    co_return fail(reply->status, "home: its server has clients");
  }
  // No answer: there is none, or it is on its way out.
  const Instant begin = reactor.clock().now();
  for (;;) {
    const auto holder = HomeLock::holder(door.home());
    if (!holder || holder->use == HomeUse::embed) co_return Result<void>{};
    if (reactor.clock().now() - begin > kServerPatience) {
      co_return fail(Errc::busy, "home: its server does not end");
    }
    co_await reactor.sleep(kLookAgain);
  }
}

}  // namespace

Result<void> dismiss_server(const std::string& home, bool in_any_case) {
  const auto holder = HomeLock::holder(home);
  if (!holder || holder->use == HomeUse::embed) return {};
  return with_door(home, [in_any_case](HomeDoor& door, Reactor& reactor) {
    return dismiss(door, reactor, in_any_case);
  });
}

Result<fabric::HelloReply> look_at_server(const std::string& home) {
  return with_door(home, [](HomeDoor& door, Reactor&) { return door.ask(fabric::Purpose::look); });
}

}  // namespace cairn::embed
