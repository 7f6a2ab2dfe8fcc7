// Lost chunks of the data space come back: the tree is walked in slices beside everything else, and
// what its records own is in use (index/rebuilt_chunk.h, docs/decisions/0021).
#include <algorithm>
#include <string>
#include <utility>

#include "base/report.h"
#include "index/budget.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr size_t kSliceRecords = 256;
constexpr uint32_t kLeavesAhead = 4;
/// Before it is tried once more.
constexpr Duration kPause = 200 * kMillisecond;

bool is_over(const StoreCore& core) { return core.closing || core.is_stopped(); }

/// Records from `from` on, in one step. True: to the end.
/// @param from  becomes the last one that was met: to be met again does no harm
/// @error page_absent  and where else the way or a record is damaged
Result<bool> meet_some(StoreCore& core, Bytes& from) {
  Cursor cursor(core.tree, kLeavesAhead);
  TRY(sought, cursor.seek(from));
  for (size_t count = 0; cursor.valid(); ++count) {
    const ByteView key = cursor.key();
    from.assign(key.begin(), key.end());
    if (count == kSliceRecords) return false;
    TRY(claimed, core.options.claims(key, cursor.value()));
    for (const media::Extent& extent : claimed) core.data.note_owner(extent);
    TRY(moved, cursor.next());
  }
  return true;
}

/// Tries twice: a request may fail where the medium is fine.
Task<Result<void>> load_wanted(CorePtr core) {
  Pager::State& s = core->pages();
  core->load_ahead(std::exchange(s.ahead, {}));
  const Want want = std::exchange(s.want, Want::nothing);
  const PageRef ref = s.absent;
  const auto loaded = co_await wait_for_want(core, want, ref, s.wanted_pages);
  if (loaded || core->is_stopped()) co_return loaded;
  co_return co_await wait_for_want(core, want, ref, 1);
}

/// All records, while others change them.
Task<Result<void>> meet_all(CorePtr core) {
  Bytes from;
  while (!is_over(*core)) {
    const auto met = meet_some(*core, from);
    if (met && *met) co_return Result<void>{};
    if (met) {
      co_await core->reactor.yield_behind();
    } else if (met.error().code() == Errc::page_absent) {
      CO_TRY(loaded, co_await load_wanted(core));
    } else {
      co_return fail(met.error());
    }
  }
  co_return fail(Errc::shutdown, "store: closing");
}

/// A page for the new bitmap, and nobody on his way to the old one.
Task<Result<void>> make_room(CorePtr core, uint64_t number) {
  for (;;) {
    if (is_over(*core)) co_return fail(Errc::shutdown, "store: closing");
    if (core->loading.contains(core->data.chunk(number).bitmap.page_number())) {
      co_await core->progress.wait();
      continue;
    }
    const auto reserved = core->pager.reserve(1, Pager::Use::bitmap);
    if (reserved || reserved.error().code() != Errc::page_absent) co_return reserved;
    CO_TRY(loaded, co_await load_wanted(core));
  }
}

Task<Result<void>> rebuild_some(CorePtr core, std::vector<uint64_t> numbers) {
  for (const uint64_t number : numbers) core->data.begin_rebuild(number);
  CO_TRY(met, co_await meet_all(core));
  for (const uint64_t number : numbers) {
    CO_TRY(room, co_await make_room(core, number));
    if (!core->data.end_rebuild(number)) continue;
    ++core->rebuilt;
    core->progress.wake_all();
    report(Severity::warning, "store: the bitmap of blocks " + std::to_string(number * kChunkBits) +
                                  " and up was lost, and is made anew from what records own");
  }
  co_return Result<void>{};
}

Task<void> rebuild_behind(CorePtr core) {
  const size_t at_once = rebuilt_chunks(core->options.memory_bytes);
  while (!is_over(*core) && core->data.wants_rebuild()) {
    const uint64_t before = core->rebuilt;
    const auto done = co_await rebuild_some(core, core->data.rebuildable(at_once));
    const bool damaged =
        !done && (done.error().code() == Errc::checksum || done.error().code() == Errc::io);
    core->data.leave_rebuild(damaged);
    // What is in the way may pass.
    if (core->rebuilt == before && core->data.wants_rebuild() && !is_over(*core)) {
      co_await core->reactor.sleep(kPause);
    }
  }
  core->rebuilding = false;
  core->progress.wake_all();
}

}  // namespace

void StoreCore::rebuild_ahead() {
  if (rebuilding || !data.wants_rebuild() || options.claims == nullptr || !wal || closing ||
      is_stopped()) {
    return;
  }
  rebuilding = true;
  reactor.spawn(rebuild_behind(shared_from_this()));
}

Task<void> wait_for_rebuilt(CorePtr core) {
  const uint64_t before = core->rebuilt;
  while (core->rebuilding && core->rebuilt == before && !is_over(*core)) {
    co_await core->progress.wait();
  }
}

}  // namespace cairn::index
