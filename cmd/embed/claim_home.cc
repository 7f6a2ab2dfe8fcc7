#include "cmd/embed/claim_home.h"

#include "cmd/embed/home_door.h"
#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/random.h"

namespace cairn::embed {

namespace {

/// How often a holder may change between two looks before it is named.
constexpr int kClaimsMax = 20;
/// Between two tries to take the lock of a server that is on its way out: less than a client needs
/// to start the next one.
constexpr Duration kTryAgain = kMillisecond / 4;
constexpr Duration kAskAgain = 200 * kMillisecond;
constexpr Duration kTakeoverPatience = 60 * kSecond;

bool served(const std::optional<HomeHolder>& holder) {
  return holder && holder->use == HomeUse::server;
}

/// Takes the lock from one server after the other until it is ours.
Task<Result<HomeLock>> take_over(Reactor& reactor, HomeDoor& door, HomeUse use) {
  const Instant give_up = reactor.clock().now() + kTakeoverPatience;
  for (Instant ask_at = 0;;) {
    auto lock = HomeLock::take(door.home(), use);
    const Instant now = reactor.clock().now();
    if (lock || lock.error().code() != Errc::busy || now > give_up) co_return lock;
    if (now >= ask_at && served(HomeLock::holder(door.home()))) {
      // Whatever it says: it goes, or the lock tells.
      [[maybe_unused]] const auto reply = co_await door.ask(fabric::Purpose::leave);
      ask_at = reactor.clock().now() + kAskAgain;
      continue;
    }
    co_await reactor.sleep(kTryAgain);
  }
}

}  // namespace

Result<HomeLock> claim_home(const std::string& home, HomeUse use, Takeover takeover) {
  for (int i = 0;; ++i) {
    auto lock = HomeLock::take(home, use);
    if (lock || lock.error().code() != Errc::busy) return lock;
    const auto holder = HomeLock::holder(home);
    if (!holder && i < kClaimsMax) continue;
    if (served(holder) && takeover == Takeover::always) {
      Reactor reactor(system_clock(), system_random(), make_client_backend());
      Context context(reactor);
      HomeDoor door(reactor, home, false);
      return context.run(take_over(reactor, door, use));
    }
    if (use == HomeUse::server && served(holder)) return lock;
    if (served(holder) && i < kClaimsMax && dismiss_server(home, false)) continue;
    if (holder) report_holder(home, *holder);
    return lock;
  }
}

}  // namespace cairn::embed
