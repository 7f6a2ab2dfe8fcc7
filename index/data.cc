// Data beside the log: extents on their way to the medium, and freed ones on their way back
// (store.md rules 10, 11).
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/report.h"
#include "index/logged.h"
#include "index/store_core.h"

namespace cairn::index {

struct Store::DataJob {
  explicit DataJob(Reactor& reactor) : join(reactor) {}
  Join join;
};

namespace {

constexpr uint64_t kGatherBytes = 1u << 20;

/// Copies the pieces from a position on; zeros behind their end.
struct Gather {
  const IoVecs& pieces;
  size_t piece = 0;
  size_t used = 0;

  void take(ByteSpan into) {
    size_t at = 0;
    while (at < into.size() && piece < pieces.size()) {
      const size_t bytes = std::min(into.size() - at, pieces[piece].bytes - used);
      if (bytes != 0) std::memcpy(into.data() + at, pieces[piece].data + used, bytes);
      at += bytes;
      used += bytes;
      if (used != pieces[piece].bytes) continue;
      ++piece;
      used = 0;
    }
    if (at < into.size()) std::memset(into.data() + at, 0, into.size() - at);
  }
};

/// @param plain  the log flushes it
Task<Result<void>> write_extent(CorePtr core, Store::DataWrite write, bool plain) {
  media::Device& device = *core->devices.data;
  const auto write_part = plain ? &media::Device::write : &media::Device::write_durable;
  const uint64_t bytes = uint64_t{write.extent.count} * media::kBlockBytes;
  const uint64_t offset = write.extent.block * media::kBlockBytes;
  if (!core->behind.idle()) co_await pass_waiting(core, write.extent);
  if (write.pieces.size() == 1 && write.pieces[0].bytes == bytes &&
      reinterpret_cast<uintptr_t>(write.pieces[0].data) % media::kBlockBytes == 0) {
    co_return co_await (device.*write_part)(offset, {write.pieces[0].data, bytes});
  }
  Gather gather{write.pieces};
  media::AlignedBuffer buffer(std::min(bytes, kGatherBytes));
  for (uint64_t at = 0; at < bytes; at += buffer.size()) {
    const ByteSpan part = buffer.span().first(std::min<uint64_t>(buffer.size(), bytes - at));
    gather.take(part);
    CO_TRY(done, co_await (device.*write_part)(offset + at, part));
  }
  co_return Result<void>{};
}

Task<void> write_one_of(CorePtr core, Store::DataWrite write, bool plain, Store::DataJobPtr job) {
  auto done = co_await write_extent(core, std::move(write), plain);
  job->join.end(done);
}

}  // namespace

// The commit that publishes an extent comes later than this and asks once more whether a flush
// covers it: what was so stays so, and a flush too many does no harm.
Store::DataJobPtr start_extents(CorePtr core, std::vector<Store::DataWrite> writes, bool flushed) {
  auto job = std::make_shared<Store::DataJob>(core->reactor);
  job->join.pending = writes.size();
  for (auto& write : writes) {
    const bool plain = flushed && core->flush_covers(write.extent);
    core->reactor.spawn(write_one_of(core, std::move(write), plain, job));
  }
  return job;
}

Task<Result<void>> finish_extents(CorePtr core, Store::DataJobPtr job) {
  while (job->join.pending != 0) co_await job->join.ended.wait();
  if (!job->join.result) core->stop();
  co_return job->join.result;
}

Task<Result<void>> write_extents(CorePtr core, media::Lsn position,
                                 std::vector<Store::DataWrite> writes) {
  Result<void> result;
  const media::Wal::Data kind = core->wal->data_of(position);
  const bool flushed = kind == media::Wal::Data::flushed;
  if (kind == media::Wal::Data::logged) {
    result = co_await write_logged_extents(core, std::move(writes));
  } else if (writes.size() == 1) {
    const bool plain = flushed && core->flush_covers(writes[0].extent);
    result = co_await write_extent(core, std::move(writes[0]), plain);
  } else {
    result = co_await finish_extents(core, start_extents(core, std::move(writes), flushed));
  }
  core->wal->data_done(position, result.has_value());
  if (!result) core->stop();
  co_return result;
}

// A block that is told to the device is held meanwhile, so nobody writes it before the device has
// forgotten what it held. It was reusable before: no replay and no reader misses its bytes, as they
// would not miss them after another one's write (store.md rule 10).
namespace {

/// Told at once.
constexpr uint64_t kTrimUnitsMax = 64;
/// Between two such.
constexpr Duration kTrimPause = 10 * kMillisecond;
constexpr uint64_t kTrimLooksMax = 65'536;

Task<void> trim_one(CorePtr core, media::Extent run) {
  core->data.hold(run);
  // Data of a former owner that is still on its way there must not come later.
  co_await pass_waiting(core, run);
  co_await core->devices.data->discard(run.block * media::kBlockBytes,
                                       uint64_t{run.count} * media::kBlockBytes);
  core->data.let_go(run);
  core->trimmed_blocks += run.count;
  core->progress.wake_all();
}

bool any_lost(const DataSpace& data, uint64_t first, uint64_t last) {
  bool lost = false;
  for (uint64_t c = first; c <= last; ++c) lost = lost || data.chunk(c).lost;
  return lost;
}

media::TrimList::LookAt look_for_trim(StoreCore& core) {
  return [&data = core.data](media::Extent unit) {
    using Look = media::TrimList::Look;
    if (data.knows(unit)) return data.is_free(unit) ? Look::free : Look::taken;
    const bool lost =
        any_lost(data, unit.block / kChunkBits, (unit.block + unit.count - 1) / kChunkBits);
    return lost ? Look::taken : Look::unknown;
  };
}

/// The bitmaps that tell whether the unit is free.
Task<void> load_for_trim(CorePtr core, media::Extent unit) {
  const uint64_t last = (unit.block + unit.count - 1) / kChunkBits;
  core->trim_loads = true;
  for (uint64_t number = unit.block / kChunkBits; number <= last && !core->closing; ++number) {
    // An error is told to whoever needs the chunk for more than this.
    const auto loaded = co_await load_chunk(core, number);
    if (!loaded) break;
  }
  core->trim_loads = false;
  core->progress.wake_all();
}

/// Ends where it would only look on: with what frees blocks, or ends their shortage, it begins
/// anew.
Task<void> trim_now_and_then(std::weak_ptr<StoreCore> alive, Reactor& reactor, Duration pause) {
  for (;; pause = std::min(pause, kTrimPause)) {
    co_await reactor.sleep(pause);
    const auto core = alive.lock();
    if (!core) co_return;
    const bool over = core->closing || core->is_stopped() || core->trim.empty();
    // What is wanted again soon need not be told.
    const uint64_t units = core->data.usage().available() / 8 / core->trim.unit_blocks();
    if (over || units == 0 || core->data_short_at != 0) {
      core->trim_waits = false;
      co_return;
    }
    const auto run =
        core->trim.take(look_for_trim(*core), std::min(units, kTrimUnitsMax), kTrimLooksMax);
    if (run) {
      co_await trim_one(core, *run);
    } else if (const auto unit = core->trim.next()) {
      co_await load_for_trim(core, *unit);
    }
  }
}

void start_trim(StoreCore& core) {
  if (core.trim.empty() || std::exchange(core.trim_waits, true)) return;
  core.reactor.spawn(
      trim_now_and_then(core.weak_from_this(), core.reactor, core.options.trim_after));
}

}  // namespace

void StoreCore::note_trim(const std::vector<media::Extent>& released) {
  if (!devices.data->wants_discard()) return;
  for (const media::Extent& extent : released) trim.note(extent);
  start_trim(*this);
}

void StoreCore::free_data(media::Extent extent, media::Lsn lsn) {
  if (data.free(extent, lsn)) {
    freed_at = lsn;
    return;
  }
  report(Severity::error, "store: a record gave back blocks " + std::to_string(extent.block) +
                              " to " + std::to_string(extent.block + extent.count - 1) +
                              ", which nobody owned; cairn check tells more");
}

Task<Result<void>> wait_for_blocks(CorePtr core) {
  while (core->data.usage().held != 0 && !core->is_stopped()) co_await core->progress.wait();
  // Others who are short meanwhile wait for the same.
  const media::Lsn freed_at = core->data_short_at;
  CO_TRY(freed, co_await core->wal->durable(freed_at));
  core->wal->record_complete(freed_at);
  const media::WalStart end = core->wal->seal();
  CO_TRY(recorded, co_await core->wal->durable(end.position));
  core->release_data();
  core->data_short_at = 0;
  start_trim(*core);
  co_return Result<void>{};
}

}  // namespace cairn::index
