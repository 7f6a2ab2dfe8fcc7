// Checkpoints (store.md rules 14, 15, 18): freeze, write what the root needs, wait for the log,
// switch the superblock, then give back what only the previous root needed.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/report.h"
#include "index/logged.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr size_t kBitmapWritesMax = 16;
constexpr double kReplayHurryNs = 1.6e9;  // between what begins a checkpoint and what stops updates

struct BitmapWrite {
  uint64_t page = 0;
  media::AlignedBuffer bytes;
};

/// A frozen state on its way to the medium.
struct Frozen {
  Superblock next;
  std::vector<uint64_t> dirty;
  std::vector<BitmapWrite> bitmaps;
  bool data_logged = false;
};

/// A page for what stood at `old` until now. What a superblock names may be no page at all.
Result<PageRef> place(Pager::State& pages, PageRef old) {
  TRY(page, pages.take_bitmap_page());
  const uint64_t before = old.page_number();
  if (before >= pages.first_page && before < pages.page_end && pages.space.is_owned(before)) {
    TRY(freed, pages.space.free({old.page_number(), 1}, pages.generation));
  }
  return PageRef::make(page, pages.generation);
}

/// The bitmap of pages on its way: which chunks changed, and where each of them goes.
struct ChunkWriter {
  media::Space& space;
  std::vector<PageRef>& refs;
  std::vector<size_t> chunks{};
  std::vector<bool> placed = std::vector<bool>(refs.size());

  /// Gives each chunk that changed since the last look a page. Returns true if there was one.
  Result<bool> look(Pager::State& pages);
  void save(uint32_t generation, std::vector<BitmapWrite>& out);
};

Result<bool> ChunkWriter::look(Pager::State& pages) {
  bool any = false;
  for (const size_t chunk : space.take_dirty(kChunkBytes)) {
    if (placed[chunk]) continue;
    any = placed[chunk] = true;
    chunks.push_back(chunk);
    TRY(ref, place(pages, refs[chunk]));
    refs[chunk] = ref;
  }
  return any;
}

void ChunkWriter::save(uint32_t generation, std::vector<BitmapWrite>& out) {
  for (const size_t chunk : chunks) {
    BitmapWrite write{refs[chunk].page_number(), media::AlignedBuffer(kPageBytes)};
    space.save_chunk(chunk, write.bytes.span().subspan(sizeof(BitmapHeader)));
    seal_bitmap(write.bytes.span(), PageKind::page_bitmap, refs[chunk], generation, chunk);
    out.push_back(std::move(write));
  }
}

/// The bitmaps of blocks are dirty pages like those of the tree; what names them is written here.
Result<void> save_directories(StoreCore& core, Frozen& frozen) {
  Pager::State& pages = core.pages();
  Superblock& next = frozen.next;
  if (next.version == kVersionWithoutDirectories) {
    next.version = kSuperblockVersion;
    next.data_chunks.clear();
    next.data_directories.resize(directory_ref_count(next.data_blocks));
    core.data.mark_all();
  }
  for (const uint64_t directory : core.data.take_dirty()) {
    for (uint64_t copy = 0; copy < kDirectoryCopies; ++copy) {
      PageRef& ref = next.data_directories[directory * kDirectoryCopies + copy];
      TRY(placed, place(pages, ref));
      ref = placed;
      BitmapWrite write{ref.page_number(), media::AlignedBuffer(kPageBytes)};
      core.data.save_directory(directory, write.bytes.span().subspan(sizeof(BitmapHeader)));
      seal_bitmap(write.bytes.span(), PageKind::block_directory, ref, pages.generation, directory);
      frozen.bitmaps.push_back(std::move(write));
    }
  }
  return {};
}

/// The plain step between two generations.
Result<Frozen> freeze(StoreCore& core) {
  Pager::State& pages = core.pages();
  Frozen frozen;
  frozen.next = core.super;
  frozen.next.generation = pages.generation;
  frozen.next.root = core.pager.root();
  frozen.next.epoch_highest = core.stamp.epoch_highest;
  frozen.next.read_lease = core.stamp.read_lease;
  const media::WalStart start = core.wal->seal();
  frozen.next.log_position = start.position;
  frozen.next.log_predecessor = start.predecessor;

  frozen.data_logged = std::exchange(core.data_logged, false);
  core.pages_before = pages.born.size();
  core.records_before = std::exchange(core.records_since, 0);
  pages.publish_born();
  TRY(saved, save_directories(core, frozen));
  ChunkWriter page{pages.space, frozen.next.page_chunks};
  // Placing a chunk changes the page bitmap itself; each chunk is placed once, so this ends.
  for (;;) {
    TRY(more, page.look(pages));
    if (!more) break;
  }
  page.save(pages.generation, frozen.bitmaps);
  frozen.dirty = pages.next_generation();
  return frozen;
}

struct BitmapJob {
  explicit BitmapJob(Reactor& reactor) : join(reactor) {}
  std::vector<BitmapWrite> writes;
  size_t next = 0;
  Join join;
};

Task<void> bitmap_writer(CorePtr core, std::shared_ptr<BitmapJob> job) {
  Result<void> result;
  while (result && job->next < job->writes.size()) {
    const BitmapWrite& write = job->writes[job->next++];
    result = co_await core->devices.meta->write(write.page * kPageBytes, write.bytes.view());
  }
  job->join.end(result);
}

Task<Result<void>> write_bitmaps(CorePtr core, std::vector<BitmapWrite> writes) {
  auto job = std::make_shared<BitmapJob>(core->reactor);
  job->writes = std::move(writes);
  job->join.pending = std::min(kBitmapWritesMax, job->writes.size());
  for (size_t i = job->join.pending; i > 0; --i) core->reactor.spawn(bitmap_writer(core, job));
  while (job->join.pending != 0) co_await job->join.ended.wait();
  co_return job->join.result;
}

bool nothing_changed(StoreCore& core) {
  const Pager::State& pages = core.pages();
  return pages.born.empty() && core.records_since == 0 && core.pager.root() == core.super.root &&
         core.wal->used_bytes() == 0 && !core.data.is_dirty();
}

Task<Result<void>> write_frozen(CorePtr core, Frozen frozen) {
  // Write-backs begun before the freeze write pages of this root, too; one that changed meanwhile
  // is dirty again and has to be written once more, after that.
  while (core->pages().write_backs_frozen != 0 && !core->is_stopped())
    co_await core->progress.wait();
  CO_TRY(pages, co_await write_pages(core, std::move(frozen.dirty), frozen.next.generation));
  CO_TRY(bitmaps, co_await write_bitmaps(core, std::move(frozen.bitmaps)));
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  CO_TRY(flushed, co_await core->devices.meta->flush());
  CO_TRY(logged, co_await core->wal->durable(frozen.next.log_position));
  // From here on their blocks alone have what the log carries.
  if (frozen.data_logged) {
    CO_TRY(written, co_await write_behind_all(core));
    CO_TRY(kept, co_await core->devices.data->flush());
  }
  CO_TRY(switched, co_await write_superblock(core, frozen.next));

  core->super = std::move(frozen.next);
  core->wal->trim(core->super.log_position);
  core->pages().space.release(core->super.generation);
  core->records_before = core->pages_before = 0;
  co_return Result<void>{};
}

Task<Result<void>> run(CorePtr core) {
  if (core->before_checkpoint) {
    core->hook_running = true;
    core->progress.wake_all();  // those who wait for frames may write some back now
    auto hooked = co_await core->before_checkpoint();
    core->hook_running = false;
    if (!hooked) co_return hooked;
  }
  while (core->data.late_runs() != 0 && !core->is_stopped()) {
    CO_TRY(settled, co_await settle_late(core, 0));
  }
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  if (nothing_changed(*core)) co_return Result<void>{};
  auto frozen = freeze(*core);
  if (!frozen) co_return fail(frozen.error());
  core->is_frozen = true;
  if (std::exchange(core->holds_updates, false)) core->progress.wake_all();
  co_return co_await write_frozen(core, std::move(*frozen));
}

Task<void> checkpoint_task(CorePtr core) {
  core->checkpoint_begin = core->wal->appended();
  auto result = co_await run(core);
  const uint64_t log_bytes = core->wal->appended() - core->checkpoint_begin;
  core->checkpoint_log_bytes = std::max(log_bytes, core->checkpoint_log_bytes / 2);
  if (!result) {
    if (!core->is_stopped()) report(Severity::error, "store: a checkpoint failed; the shard stops");
    core->stop();
  }
  core->checkpoint_running = core->is_frozen = core->holds_updates = false;
  ++core->checkpoints_ended;
  core->look_at_log();
  core->progress.wake_all();
}

}  // namespace

Task<void> wait_for_progress(CorePtr core) {
  ++core->checkpoint_waiters;
  co_await core->progress.wait();
  --core->checkpoint_waiters;
}

Task<void> let_log_go_first(CorePtr core, double done) {
  constexpr double kRoomShare = 0.5;  // of what the log has left; a slow device needs the rest
  constexpr Duration kPause = 200 * kMicrosecond;
  constexpr int kPausesMax = 2'500;
  // Between a group's answers and what its clients do next the log is idle for a moment, too.
  constexpr int kIdlePauses = 5;
  media::Lsn seen = core->wal->appended();
  int idle_pauses = 0;
  for (int pauses = 0; pauses < kPausesMax; ++pauses) {
    const bool moved = !core->wal->idle() || core->wal->appended() != seen;
    idle_pauses = moved ? 0 : idle_pauses + 1;
    seen = core->wal->appended();
    const Pager::State& s = core->pages();
    const bool hurried = core->is_stopped() || core->checkpoint_waiters != 0 || s.log_tight ||
                         s.dropped_count > s.frames_limit / 8 || idle_pauses > kIdlePauses ||
                         core->predicted_replay_ns() > kReplayHurryNs;
    if (hurried) co_return;
    const auto room = static_cast<double>(core->wal->ring_bytes() / 8 * 7 - core->log_limit());
    const auto came = static_cast<double>(core->wal->appended() - core->checkpoint_begin);
    if (done <= came / (room * kRoomShare)) co_return;
    co_await core->reactor.sleep(kPause);
  }
}

Task<Result<void>> write_superblock(CorePtr core, const Superblock& next) {
  const Bytes bytes = encode_superblock(next);
  media::AlignedBuffer from(bytes.size());
  std::memcpy(from.data(), bytes.data(), bytes.size());
  const uint32_t generation = next.generation;
  media::Device& meta = *core->devices.meta;
  for (uint64_t copy = 0; copy < kSuperblockCopies; ++copy) {
    const uint64_t offset = superblock_offset(core->meta_pages, generation, copy);
    CO_TRY(written, co_await meta.write(offset, from.view()));
  }
  CO_TRY(flushed, co_await meta.flush());
  media::AlignedBuffer into(bytes.size());
  for (uint64_t copy = 0; copy < kSuperblockCopies; ++copy) {
    const uint64_t offset = superblock_offset(core->meta_pages, generation, copy);
    CO_TRY(read, co_await meta.read(offset, into.span()));
    if (std::memcmp(into.data(), from.data(), bytes.size()) != 0) {
      co_return fail(Errc::io,
                     "superblock: it reads back otherwise than written; replace the device");
    }
  }
  co_return Result<void>{};
}

void StoreCore::start_checkpoint() {
  if (checkpoint_running || is_stopped() || !wal) return;
  checkpoint_running = true;
  ++checkpoints_begun;
  reactor.spawn(checkpoint_task(shared_from_this()));
}

Task<Result<void>> checkpoint_now(CorePtr core) {
  // One that runs already may have frozen an older state.
  while (core->checkpoint_running) co_await wait_for_progress(core);
  core->start_checkpoint();
  const uint64_t wanted = core->checkpoints_begun;
  while (core->checkpoints_ended < wanted && !core->is_stopped()) co_await wait_for_progress(core);
  while (core->checkpoint_running) co_await wait_for_progress(core);
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  co_return Result<void>{};
}

}  // namespace cairn::index
