// Mount::atomically(): several entries changed at once. Internal to dfs/.
#pragma once

#include <algorithm>

#include "client/transaction.h"
#include "dfs/mount.h"

namespace cairn::dfs {

/// Conflicts with others before a call gives up, after more than a minute.
inline constexpr int kRestartsMax = 4096;
/// The first ones are tried again at once; then callers draw lots for who goes first.
inline constexpr int kRestartsAtOnce = 4;
inline constexpr Duration kRestartPauseMax = 32 * kMillisecond;

/// Runs `body` (a FsResult<T> task) in transactions of their own until nothing that it read has
/// been changed by others meanwhile; what it changes becomes visible at once, or, when it fails,
/// not at all. @error EAGAIN  others were faster each time
template <class T, class Body>
Task<FsResult<T>> Mount::atomically(Body body) {
  Reactor& reactor = container_->pool().system().context().reactor();
  Duration pause = 50 * kMicrosecond;
  for (int tries = 0; tries < kRestartsMax; ++tries) {
    if (tries >= kRestartsAtOnce) {
      co_await reactor.sleep(1 + reactor.random().below(pause));
      pause = std::min(2 * pause, kRestartPauseMax);
    }
    auto tx = std::make_shared<client::Transaction>(container_, client::TransactionOptions{});
    const client::ContainerPtr view = tx->container();
    FsResult<T> result = co_await body(*view);
    if (tx->state() == client::Transaction::State::failed) continue;
    if (!result) co_return result;
    const Result<void> committed = co_await tx->commit();
    if (committed) co_return result;
    if (committed.error().code() != Errc::tx_restart) co_return fail(committed.error());
  }
  co_return fs_fail(EAGAIN, "dfs: what a call changes keeps changing");
}

}  // namespace cairn::dfs
