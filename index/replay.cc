// Replay: the log's records once more through the tree code (store.md rules 9, 10).
#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "index/logged.h"
#include "index/record_format.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr uint64_t kVerifyBytes = 1u << 20;

/// @error checksum  the extent lies outside of the blob
Result<void> check_inside(const StoreCore& core, media::Extent extent) {
  // In blocks: a hostile number must not wrap.
  if (extent.block + extent.count <= core.devices.data->size_bytes() / media::kBlockBytes) {
    return {};
  }
  return fail(Errc::checksum, "log: a record's data lies outside of the blob");
}

/// True if the blocks of `data` hold what its record says.
Task<Result<bool>> holds(CorePtr core, BatchData data) {
  CO_TRY(inside, check_inside(*core, data.extent));
  const uint64_t bytes = uint64_t{data.extent.count} * media::kBlockBytes;
  const uint64_t offset = data.extent.block * media::kBlockBytes;
  media::AlignedBuffer buffer(std::min(bytes, kVerifyBytes));
  uint32_t digest = 0;
  for (uint64_t at = 0; at < bytes; at += buffer.size()) {
    const ByteSpan part = buffer.span().first(std::min<uint64_t>(buffer.size(), bytes - at));
    CO_TRY(read, co_await core->devices.data->read(offset + at, part));
    for (size_t block = 0; block < part.size(); block += media::kBlockBytes) {
      std::byte crc[4];
      store_le32(crc, crc32c(part.subspan(block, media::kBlockBytes)));
      digest = crc32c(crc, digest);
    }
  }
  co_return digest == data.digest;
}

Task<Result<bool>> holds_all(CorePtr core, const std::vector<BatchData>& all) {
  for (const BatchData& data : all) {
    CO_TRY(here, co_await holds(core, data));
    if (here) continue;
    // Read again: one wrong read must not take back what was acknowledged.
    CO_TRY(after_all, co_await holds(core, data));
    if (!after_all) co_return false;
  }
  co_return true;
}

Task<Result<void>> prepare(CorePtr core, const Batch& batch) {
  for (;;) {
    const auto prepared = core->tree.prepare(batch);
    if (prepared) co_return Result<void>{};
    if (prepared.error().code() != Errc::page_absent) co_return prepared;
    Pager::State& s = core->pages();
    const Want want = std::exchange(s.want, Want::nothing);
    CO_TRY(waited, co_await wait_for_want(core, want, s.absent, s.wanted_pages));
  }
}

/// Applies the changes to the tree. A record whose worst case does not fit into memory (the tree
/// may have grown otherwise than it did before the crash, and memory may be less) goes change by
/// change: nobody looks at the tree meanwhile, and a crash only means to replay again.
Task<Result<void>> apply_changes(CorePtr core, const Batch& batch) {
  Result<void> ready = fail(Errc::no_memory, "replay: a record of many changes");
  if (batch.op_count() <= core->pages().frames_limit / 8) ready = co_await prepare(core, batch);
  if (ready) {
    core->tree.apply(batch);
    co_return ready;
  }
  if (ready.error().code() != Errc::no_memory) co_return ready;
  Batch one;
  for (const Batch::Op& op : batch.ops()) {
    one.clear();
    one.add(batch, op);
    CO_TRY(prepared, co_await prepare(core, one));
    core->tree.apply(one);
  }
  co_return Result<void>{};
}

// ---- read-ahead ----

constexpr size_t kWindowRecords = 256;
constexpr uint64_t kWindowBytes = 1u << 20;
constexpr size_t kLoadsMax = 64;  // pages of one round
constexpr int kRoundsMax = 16;    // one for each level of the tree, and then some

/// A record taken from the log, waiting for its turn.
struct Ahead {
  RecordHeader header;
  Batch batch;                        // without payloads
  std::vector<BatchData> beside;      // of its data
  std::vector<media::Extent> logged;  // the other data
  media::Lsn lsn = 0;
  uint64_t bytes = 0;
};

struct Window {
  std::vector<Ahead> records = std::vector<Ahead>(1);  // their buffers are used again
  size_t count = 0;
  uint64_t bytes = 0;
  bool cold = true;  // pages were missing lately: worth a look ahead
};

Task<void> load_ahead(CorePtr core, PageRef ref, std::shared_ptr<Join> join) {
  // What fails here fails again, and is reported, where the page is needed.
  const auto loaded = co_await load_page(core, ref);
  join->end(loaded);
}

/// A part of a window: as many changes as pages on probation stay in memory, or the first ones
/// would be gone again before their turn.
struct Slice {
  size_t begin = 0;
  size_t end = 0;
};

Slice next_slice(const StoreCore& core, const Window& window, size_t begin) {
  Slice slice{begin, begin};
  size_t changes = 0;
  do {
    changes += window.records[slice.end++].batch.op_count();
  } while (slice.end < window.count && changes < core.pages().replacement.probation_max() * 3 / 4);
  return slice;
}

/// The pages that the look-ups of the slice miss now; one level of the tree further with each
/// round.
std::vector<PageRef> missing_pages(StoreCore& core, const Window& window, Slice slice) {
  std::vector<PageRef> missing;
  Pager::State& s = core.pages();
  const size_t limit = std::min(kLoadsMax, s.replacement.probation_max() * 3 / 4);
  for (size_t i = slice.begin; i < slice.end; ++i) {
    const Batch& batch = window.records[i].batch;
    for (const Batch::Op& op : batch.ops()) {
      const ByteView keys[] = {batch.key(op), batch.value(op)};
      const size_t count = op.kind == Batch::Op::Kind::move ? 2 : 1;
      for (const ByteView key : std::span(keys, count)) {
        if (core.tree.get(key) || s.want != Want::page) continue;
        s.want = Want::nothing;
        if (std::find(missing.begin(), missing.end(), s.absent) != missing.end()) continue;
        missing.push_back(s.absent);
        if (missing.size() == limit) return missing;
      }
    }
  }
  return missing;
}

Task<void> read_ahead(CorePtr core, const Window& window, Slice slice) {
  for (int round = 0; round < kRoundsMax; ++round) {
    const std::vector<PageRef> missing = missing_pages(*core, window, slice);
    if (missing.empty()) co_return;
    auto join = std::make_shared<Join>(core->reactor);
    join->pending = missing.size();
    for (const PageRef ref : missing) core->reactor.spawn(load_ahead(core, ref, join));
    while (join->pending != 0) co_await join->ended.wait();
    if (!join->result) co_return;
  }
}

/// Tells data in the record from data beside it.
void sort_data(Ahead& ahead) {
  ahead.beside.clear();
  ahead.logged.clear();
  for (size_t i = 0; i < ahead.batch.data().size(); ++i) {
    const BatchData& data = ahead.batch.data()[i];
    if (data.payload.empty()) {
      ahead.beside.push_back(data);
    } else {
      ahead.logged.push_back(data.extent);
      ahead.batch.set_payload(i, {});  // borrowed from the reader
    }
  }
}

/// What a record says of blocks.
/// @param complete  the highest that the log carries
Result<void> apply_space(StoreCore& core, const Ahead& record, media::Lsn complete,
                         LoggedBlocks& logged) {
  for (const BatchData& data : record.batch.data()) {
    TRY(adopted, core.data.adopt(data.extent));
  }
  for (const media::Extent& extent : record.logged) logged.add(extent, record.lsn);
  for (const media::Extent& extent : record.batch.freed()) {
    TRY(inside, check_inside(core, extent));
    core.free_data(extent, record.lsn);
    logged.forget(extent);
  }
  // A later record may own the blocks again only where the log says that this one was complete. The
  // others wait for a log write that says so (rule 10), or another replay would miss their data.
  if (!record.batch.freed().empty()) core.data.release(complete);
  ++core.records_since;
  return {};
}

/// Takes log writes until the window is full. An empty window: the end.
Task<Result<void>> fill_window(media::WalReader& reader, Window& window) {
  window.count = 0;
  window.bytes = 0;
  while (window.count < kWindowRecords && window.bytes < kWindowBytes) {
    CO_TRY(batch, co_await reader.next());
    if (!batch) break;
    for (size_t i = 0; i < batch->records.size(); ++i) {
      if (window.count == window.records.size()) window.records.emplace_back();
      Ahead& ahead = window.records[window.count++];
      CO_TRY(header, parse_record(batch->records[i], ahead.batch));
      ahead.header = header;
      sort_data(ahead);
      ahead.lsn = batch->lsns[i];
      ahead.bytes = batch->records[i].size();
      window.bytes += ahead.bytes;
    }
  }
  co_return Result<void>{};
}

/// Changes of blocks, and what else follows a record's changes of the tree.
Result<void> end_record(StoreCore& core, const Ahead& record, media::Lsn complete,
                        LoggedBlocks& logged) {
  TRY(applied, apply_space(core, record, complete, logged));
  Pager::State& s = core.pages();
  if (s.frames_used > s.frames_target) s.evict(s.frames_target);
  core.keep_clean();
  ++core.replayed_records;
  core.replayed_bytes += record.bytes;
  return {};
}

/// One record. False: it and all behind it are given up, because its data is missing.
Task<Result<bool>> replay_record(CorePtr core, const Ahead& record, media::Lsn complete,
                                 LoggedBlocks& logged, ReplayHook& hook) {
  if (record.lsn > complete && !record.beside.empty()) {
    CO_TRY(here, co_await holds_all(core, record.beside));
    if (!here) co_return false;
  }
  for (const media::Extent& extent : record.logged) {
    CO_TRY(inside, check_inside(*core, extent));
  }
  if (hook) hook(record.header);
  CO_TRY(changed, co_await apply_changes(core, record.batch));
  CO_TRY(ended, end_record(*core, record, complete, logged));
  co_return true;
}

/// Records that go one after the other; their first keys were looked up side by side.
constexpr size_t kGroupRecords = 16;

struct Group {
  std::array<Tree::Way, kGroupRecords> ways;
  size_t begin = 0;
  size_t end = 0;

  /// A random look-up in a large tree mostly waits for memory, and those waits can overlap.
  void approach(Tree& tree, const Window& window, Slice slice);
};

void Group::approach(Tree& tree, const Window& window, Slice slice) {
  begin = end;
  end = std::min(slice.end, begin + kGroupRecords);
  const auto each = [&](auto&& look) {
    for (size_t i = begin; i < end; ++i) {
      const Batch& batch = window.records[i].batch;
      if (batch.op_count() != 0) look(batch.key(batch.ops().front()), ways[i - begin]);
    }
  };
  each([&](ByteView key, Tree::Way& way) { tree.approach(key, way); });
  each([&](ByteView key, const Tree::Way& way) { tree.approach_entry(key, way); });
}

/// The same as a plain call, for a record that waits for nothing. False: nothing has happened.
Result<bool> replay_at_once(StoreCore& core, const Ahead& record, media::Lsn complete,
                            LoggedBlocks& logged, ReplayHook& hook, Tree::Way& way) {
  if (!record.batch.data().empty() || record.batch.op_count() > core.pages().frames_limit / 8) {
    return false;
  }
  {
    const Tree::Near near(core.tree, way);
    if (!core.tree.prepare(record.batch)) return false;
    core.tree.apply(record.batch);
  }
  if (hook) hook(record.header);
  TRY(ended, end_record(core, record, complete, logged));
  return true;
}

/// The records of a slice. False: as of replay_record().
Task<Result<bool>> replay_slice(CorePtr core, const Window& window, Slice slice,
                                media::Lsn complete, LoggedBlocks& logged, ReplayHook& hook) {
  Group group;
  group.end = slice.begin;
  for (size_t i = slice.begin; i < slice.end; ++i) {
    if (i == group.end) group.approach(core->tree, window, slice);
    const Ahead& record = window.records[i];
    CO_TRY(done,
           replay_at_once(*core, record, complete, logged, hook, group.ways[i - group.begin]));
    if (!done) {
      CO_TRY(kept, co_await replay_record(core, record, complete, logged, hook));
      if (!kept) co_return false;
    }
    if (core->data.late_runs() > core->late_max) {
      CO_TRY(settled, co_await settle_late(core, core->late_max / 4));
    }
  }
  co_return true;
}

}  // namespace

Task<Result<ReplayResult>> replay(CorePtr core, media::WalReader& reader, ScannedLog log,
                                  ReplayHook hook) {
  const Instant begin = core->reactor.clock().now();
  ReplayResult result{log.summary, false};
  LoggedBlocks logged;
  Window window;
  while (!result.dropped) {
    CO_TRY(filled, co_await fill_window(reader, window));
    if (window.count == 0) break;
    const uint64_t loads = core->page_loads;
    for (Slice slice; slice.end < window.count && !result.dropped;) {
      slice = next_slice(*core, window, slice.end);
      if (window.cold) co_await read_ahead(core, window, slice);
      CO_TRY(kept, co_await replay_slice(core, window, slice, log.summary.complete, logged, hook));
      result.dropped = !kept;
    }
    window.cold = core->page_loads != loads;
  }
  CO_TRY(settled, co_await settle_late(core, 0));
  core->holds_updates = false;  // there are none yet
  if (!logged.empty()) {
    CO_TRY(written, co_await write_logged(core, log.start, logged));
    core->data_logged = true;
  }
  core->replay_ns = core->reactor.clock().now() - begin;
  co_return result;
}

}  // namespace cairn::index
