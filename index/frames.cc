// Pages between memory and medium: loads, write-back, eviction.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr size_t kWritersMin = 8;
constexpr size_t kWritersMax = 32;
constexpr size_t kRunPagesMax = 16;  // adjacent pages in one device write
/// Store.md rule 18: what the log may have to wait behind.
constexpr size_t kPagesInFlightMax = 128;
static_assert(kWritersMin * kRunPagesMax == kPagesInFlightMax);
static_assert(kPagesInFlightMax * kPageBytes == 2u << 20);
/// Pages of one write-back: a share of memory, so that those who wait for it do not wait long.
size_t write_back_pages(const Pager::State& s) {
  return std::clamp<size_t>(s.frames_target / 16, 8, 128);
}

/// One write_pages() call, shared by its writers.
struct WriteJob {
  explicit WriteJob(Reactor& reactor) : join(reactor) {}
  std::vector<uint64_t> pages;  // ascending
  size_t next = 0;
  uint32_t generation_max = 0;
  bool paced = false;  // the log goes first
  size_t writers = 0;
  size_t run_pages_max = 0;

  /// Few long runs go by few writers, many single pages by many.
  void share_out();
  Join join;
};

void WriteJob::share_out() {
  size_t runs = 0;
  for (size_t i = 0; i < pages.size(); ++i) {
    if (i == 0 || pages[i] != pages[i - 1] + 1) ++runs;
  }
  // Beside updates that use the log, few.
  writers = paced ? kWritersMin : std::clamp(runs, kWritersMin, kWritersMax);
  run_pages_max = kPagesInFlightMax / writers;
  writers = std::min(writers, pages.size());
}

/// The slot of a page that this job still has to write.
Slot* slot_to_write(StoreCore& core, const WriteJob& job, uint64_t page) {
  Slot* slot = core.pages().find(page);
  if (slot == nullptr || !slot->dirty || slot->writing) return nullptr;
  return slot->birth <= job.generation_max ? slot : nullptr;
}

/// Takes the next run of adjacent pages into `buffer`.
std::vector<Slot*> take_run(StoreCore& core, WriteJob& job, media::AlignedBuffer& buffer) {
  std::vector<Slot*> run;
  while (job.next < job.pages.size() && run.size() < job.run_pages_max) {
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
  auto buffer = media::AlignedBuffer::uninitialised(
      std::min(job->run_pages_max, job->pages.size()) * kPageBytes);
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
    // Before anybody can evict one of them and find its older form on the medium.
    if (!result) core->stop();
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
  job->share_out();
  job->join.pending = job->writers;
  for (size_t i = 0; i < job->writers; ++i) core->reactor.spawn(writer(core, job));
  while (job->join.pending != 0) co_await job->join.ended.wait();
  if (!job->join.result) core->stop();  // where the log had: others are told
  co_return job->join.result;
}

Task<Result<void>> write_back(CorePtr core, size_t count) {
  Pager::State& s = core->pages();
  if (s.write_backs != 0) {
    co_await wait_for_progress(core);
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    co_return Result<void>{};
  }
  // Pages of a frozen generation are the checkpoint's: it must know when they are on the medium.
  const uint32_t generation = s.generation;
  std::vector<uint64_t> chosen = s.choose_dirty(count, generation);
  // Before that the hook, or late bitmaps, may need frames themselves.
  if (chosen.empty() && core->is_frozen) {
    co_await core->progress.wait();
    co_return Result<void>{};
  }
  ++s.write_backs;
  auto written = co_await write_pages(core, std::move(chosen), generation);
  --(generation == s.generation ? s.write_backs : s.write_backs_frozen);
  core->progress.wake_all();
  co_return written;
}

namespace {

Task<void> clean(CorePtr core) {
  while (core->pages().is_too_dirty() && !core->is_stopped()) {
    // An error stops the store; whoever waits for frames tells it.
    const auto written = co_await write_back(core, write_back_pages(core->pages()));
    if (!written) break;
  }
  core->cleaning = false;
  core->progress.wake_all();
}

}  // namespace

void StoreCore::keep_clean() {
  if (cleaning || closing || is_stopped() || !pages().is_too_dirty()) return;
  cleaning = true;
  reactor.spawn(clean(shared_from_this()));
}

Task<Result<void>> make_frames(CorePtr core, size_t free) {
  Pager::State& s = core->pages();
  if (free > s.frames_limit / 2) {
    co_return fail(Errc::no_memory, "store: one step changes too many pages; raise memory_bytes");
  }
  const size_t target = s.frames_limit - free;
  for (;;) {
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    if (s.frames_used > target) s.evict(target);
    if (s.frames_used <= target) co_return Result<void>{};
    if (s.dirty_count == 0 && s.writes_in_flight == 0) {
      if (core->loading.empty() && core->pinned_pages == 0) {
        co_return fail(Errc::no_memory,
                       "store: every page in memory is in use; raise memory_bytes");
      }
      co_await core->progress.wait();
      continue;
    }
    CO_TRY(written, co_await write_back(core, write_back_pages(s)));
  }
}

namespace {

/// The page's bytes into `slot`, checked.
Task<Result<void>> read_page(CorePtr core, PageRef ref, Slot* slot, std::optional<uint64_t> chunk) {
  const Instant begin = core->reactor.clock().now();
  CO_TRY(read, co_await core->devices.meta->read(ref.page_number() * kPageBytes, slot->span()));
  const auto took = static_cast<double>(core->reactor.clock().now() - begin);
  core->load_ns += (took - core->load_ns) / 16;
  if (chunk) co_return core->data.check_bitmap(*chunk, slot->view());
  CO_TRY(whole, check_page(slot->view(), ref));
  if (core->pages().validator == nullptr) co_return Result<void>{};
  co_return core->pages().validator(slot->view());
}

/// One that fails fails again where the page is needed, and is reported there.
Task<void> load_beside(CorePtr core, PageRef ref) {
  [[maybe_unused]] const auto loaded = co_await load_page(core, ref);
  --core->loads_ahead;
  core->progress.wake_all();
}

}  // namespace

void StoreCore::load_ahead(const std::vector<PageRef>& refs) {
  Pager::State& s = pages();
  const size_t most = std::min(kLoadsAheadMax, s.replacement.probation_max() / 4);
  for (const PageRef ref : refs) {
    if (loads_ahead >= most || !s.has_room_to_load()) return;
    if (s.find(ref.page_number()) != nullptr || loading.contains(ref.page_number())) continue;
    ++loads_ahead;
    reactor.spawn(load_beside(shared_from_this(), ref));
  }
}

Task<Result<void>> load_page(CorePtr core, PageRef ref, std::optional<uint64_t> chunk) {
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
  if (s.frames_used >= s.frames_target) s.evict(s.frames_target - 1);
  core->keep_clean();
  if (!s.has_room_to_load()) {
    CO_TRY(made, co_await make_frames(core, s.headroom() / 2 + 1));
    // The world moved: from the start, once there is room.
    co_return Result<void>{};
  }
  core->loading.insert(page);
  ++core->page_loads;
  Slot* slot = s.take_slot();
  const auto loaded = co_await read_page(core, ref, slot, chunk);
  if (loaded) {
    slot->bitmap = chunk.has_value();
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
