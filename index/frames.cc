// Pages between memory and medium: loads, write-back, eviction.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr size_t kWritersMax = 8;
constexpr size_t kRunPagesMax = 16;  // adjacent pages in one device write
constexpr size_t kWriteBackPages = 256;

/// One write_pages() call, shared by its writers.
struct WriteJob {
  explicit WriteJob(Reactor& reactor) : join(reactor) {}
  std::vector<uint64_t> pages;  // ascending
  size_t next = 0;
  uint32_t generation_max = 0;
  bool paced = false;  // the log goes first
  Join join;
};

/// The slot of a page that this job still has to write.
Slot* slot_to_write(StoreCore& core, const WriteJob& job, uint64_t page) {
  Slot* slot = core.pages().find(page);
  if (slot == nullptr || !slot->dirty || slot->writing) return nullptr;
  return slot->birth <= job.generation_max ? slot : nullptr;
}

/// Takes the next run of adjacent pages into `buffer`.
std::vector<Slot*> take_run(StoreCore& core, WriteJob& job, media::AlignedBuffer& buffer) {
  std::vector<Slot*> run;
  while (job.next < job.pages.size() && run.size() < kRunPagesMax) {
    const uint64_t page = job.pages[job.next];
    if (!run.empty() && page != run.back()->ref.page_number() + 1) break;
    ++job.next;
    Slot* slot = slot_to_write(core, job, page);
    if (slot == nullptr) {
      if (run.empty()) continue;
      break;
    }
    const ByteSpan into = buffer.span().subspan(run.size() * kPageBytes, kPageBytes);
    std::memcpy(into.data(), slot->data, kPageBytes);
    seal_page(into);
    core.pages().write_begins(slot);
    run.push_back(slot);
  }
  return run;
}

Task<void> writer(CorePtr core, std::shared_ptr<WriteJob> job) {
  media::AlignedBuffer buffer(std::min(kRunPagesMax, job->pages.size()) * kPageBytes);
  Result<void> result;
  while (result && !core->is_stopped()) {
    if (job->paced) {
      co_await let_log_go_first(core, static_cast<double>(job->next) /
                                          static_cast<double>(job->pages.size()));
    }
    const std::vector<Slot*> run = take_run(*core, *job, buffer);
    if (run.empty()) break;
    const uint64_t offset = run.front()->ref.page_number() * kPageBytes;
    const ByteView bytes = buffer.view().first(run.size() * kPageBytes);
    result = co_await core->devices.meta->write(offset, bytes);
    for (Slot* slot : run) core->pages().write_ended(slot);
  }
  if (core->is_stopped() && result) result = fail(Errc::io, "store: stopped after a media error");
  job->join.end(result);
}

}  // namespace

Task<Result<void>> write_pages(CorePtr core, std::vector<uint64_t> pages, uint32_t generation_max) {
  auto job = std::make_shared<WriteJob>(core->reactor);
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  job->pages = std::move(pages);
  job->generation_max = generation_max;
  job->paced = generation_max < core->pages().generation;
  const size_t writers = std::min(kWritersMax, job->pages.size());
  job->join.pending = writers;
  for (size_t i = 0; i < writers; ++i) core->reactor.spawn(writer(core, job));
  while (job->join.pending != 0) co_await job->join.ended.wait();
  if (!job->join.result) core->stop();
  co_return job->join.result;
}

Task<Result<void>> write_back(CorePtr core, size_t count) {
  // The hook before a checkpoint may need frames itself; nothing is frozen yet.
  const bool freezing = core->checkpoint_running && !core->hook_running;
  if (freezing || core->write_backs != 0) {
    co_await wait_for_progress(core);
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    co_return Result<void>{};
  }
  std::vector<uint64_t> chosen;
  for (const Slot& slot : core->pages().slots) {
    if (chosen.size() == count) break;
    if (slot.used && slot.dirty && !slot.writing) chosen.push_back(slot.ref.page_number());
  }
  ++core->write_backs;
  auto written = co_await write_pages(core, std::move(chosen), core->pages().generation);
  --core->write_backs;
  core->progress.wake_all();
  co_return written;
}

Task<Result<void>> make_frames(CorePtr core, size_t free) {
  Pager::State& s = core->pages();
  if (free > s.frames_max / 2) {
    co_return fail(Errc::no_memory, "store: one step changes too many pages; raise memory_bytes");
  }
  const size_t target = s.frames_max + s.overcommit() / 2 - free;
  for (;;) {
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    if (s.frames_used > target) s.evict(target);
    if (s.frames_used <= target) co_return Result<void>{};
    if (s.dirty_count == 0 && s.writes_in_flight == 0) {
      co_return fail(Errc::no_memory, "store: every page in memory is in use; raise memory_bytes");
    }
    CO_TRY(written, co_await write_back(core, kWriteBackPages));
  }
}

Task<Result<void>> load_page(CorePtr core, PageRef ref) {
  Pager::State& s = core->pages();
  const uint64_t page = ref.page_number();
  if (core->loading.contains(page)) {
    while (core->loading.contains(page)) co_await core->progress.wait();
    co_return Result<void>{};
  }
  if (s.find(page) != nullptr) co_return Result<void>{};
  if (page < s.first_page || page >= s.page_end) {
    co_return fail(Errc::checksum, "page: a reference points outside of the blob");
  }
  if (s.frames_used >= s.frames_max) s.evict(s.frames_max - std::min<size_t>(s.frames_max, 16));
  if (s.frames_used >= s.frames_max + s.overcommit() / 2) {
    CO_TRY(made, co_await make_frames(core, 16));
    // The world moved: from the start, once there is room.
    co_return Result<void>{};
  }
  core->loading.insert(page);
  ++core->page_loads;
  Slot* slot = s.take_slot();
  const Instant begin = core->reactor.clock().now();
  auto loaded = co_await core->devices.meta->read(page * kPageBytes, slot->span());
  const auto took = static_cast<double>(core->reactor.clock().now() - begin);
  core->load_ns += (took - core->load_ns) / 16;
  if (loaded) loaded = check_page(slot->view(), ref);
  if (loaded && s.validator != nullptr) loaded = s.validator(slot->view());
  if (loaded) {
    s.install(slot, ref, slot->header().birth.get());
  } else {
    s.free_slot(slot);
  }
  core->loading.erase(page);
  core->progress.wake_all();
  co_return loaded;
}

Task<Result<void>> wait_for_want(CorePtr core, Want want, PageRef ref, size_t pages) {
  switch (want) {
    case Want::nothing:
      co_return Result<void>{};
    case Want::page:
      co_return co_await load_page(core, ref);
    case Want::frames:
      co_return co_await make_frames(core, pages);
    case Want::addresses:
    case Want::log:
      break;
  }
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  if (core->pages().wanted_urgent) {
    co_return fail(Errc::no_space, "store: no room for what a checkpoint or a replay has to add");
  }
  const uint64_t ended = core->checkpoints_ended;
  while (core->checkpoints_ended == ended && !core->is_stopped()) {
    if (want == Want::log && !core->pages().log_tight) break;
    core->start_checkpoint();
    co_await wait_for_progress(core);
  }
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  co_return Result<void>{};
}

}  // namespace cairn::index
