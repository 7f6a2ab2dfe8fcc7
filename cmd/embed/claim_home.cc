#include "cmd/embed/claim_home.h"

#include "cmd/embed/home_door.h"

namespace cairn::embed {

namespace {
/// How often a holder may change between two looks before it is named.
constexpr int kClaimsMax = 20;
}  // namespace

Result<HomeLock> claim_home(const std::string& home, HomeUse use) {
  for (int i = 0;; ++i) {
    auto lock = HomeLock::take(home, use);
    if (lock || lock.error().code() != Errc::busy) return lock;
    const auto holder = HomeLock::holder(home);
    if (!holder && i < kClaimsMax) continue;
    const bool served = holder && holder->use == HomeUse::server;
    if (use == HomeUse::server && served) return lock;
    if (use == HomeUse::embed && served && i < kClaimsMax && dismiss_server(home, false)) continue;
    if (holder) report_holder(home, *holder);
    return lock;
  }
}

}  // namespace cairn::embed
