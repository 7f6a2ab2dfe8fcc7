// The chunks of the data space between memory and medium: bitmaps are loaded where they are needed,
// what is late is settled, chunks are opened (index/data_space.h).
#include <string>
#include <utility>

#include "base/check.h"
#include "base/report.h"
#include "index/store_core.h"
#include "runtime/parallel.h"

namespace cairn::index {
namespace {

constexpr size_t kReadsMax = 16;
/// So many at once are settled, and after so many rounds more than it should take, nobody brings
/// new ones before it is done.
constexpr size_t kSettledAtOnce = 16;
constexpr size_t kFreeRounds = 4;

Result<void> check_place(const StoreCore& core, PageRef ref) {
  if (ref.page_number() >= core.pages().first_page && ref.page_number() < core.pages().page_end) {
    return {};
  }
  return fail(Errc::checksum, "superblock: a bitmap page lies outside of the blob");
}

Task<Result<void>> read_bitmap(CorePtr core, PageRef ref, uint64_t number) {
  CO_TRY(inside, check_place(*core, ref));
  media::AlignedBuffer page(kPageBytes);
  CO_TRY(read, co_await core->devices.meta->read(ref.page_number() * kPageBytes, page.span()));
  CO_TRY(content, open_bitmap(page.view(), PageKind::block_bitmap, ref, number));
  co_return core->data.load_bitmap(number, ref, content);
}

/// A page was asked for twice in vain: is it the page that is lost, and not the whole device that
/// answers nothing?
Task<bool> is_page_lost(CorePtr core, Errc code) {
  if (code == Errc::checksum) co_return true;
  if (code != Errc::io || core->is_stopped()) co_return false;
  media::AlignedBuffer elsewhere(kSuperblockUnit);
  const uint64_t offset = superblock_offset(core->meta_pages, core->super.generation, 0);
  const auto read = co_await core->devices.meta->read(offset, elsewhere.span());
  co_return read.has_value();
}

void report_lost(const char* what, uint64_t number, const Error& error) {
  report(Severity::error, std::string("store: ") + what + " " + std::to_string(number) +
                              " of the data blocks cannot be read, so none of its free blocks is "
                              "handed out: " +
                              error.what());
}

/// A bitmap of format 1.
Task<Result<void>> read_or_lose(CorePtr core, PageRef ref, uint64_t number, bool strict) {
  auto read = co_await read_bitmap(core, ref, number);
  if (!read) read = co_await read_bitmap(core, ref, number);
  if (read || strict) co_return read;
  const bool lost = co_await is_page_lost(core, read.error().code());
  if (!lost) co_return read;
  report_lost("bitmap", number, read.error());
  core->data.lose_unread(number, check_place(*core, ref) ? ref : PageRef{});
  co_return Result<void>{};
}

Task<Result<void>> read_copy(CorePtr core, PageRef ref, uint64_t directory, ByteSpan into) {
  CO_TRY(inside, check_place(*core, ref));
  CO_TRY(read, co_await core->devices.meta->read(ref.page_number() * kPageBytes, into));
  CO_TRY(whole, open_bitmap(into, PageKind::block_directory, ref, directory));
  co_return Result<void>{};
}

/// Any whole copy will do; if that is not the first, all are written anew with the next checkpoint.
/// @param strict  all of them must be whole
Task<Result<void>> read_directory(CorePtr core, uint64_t directory, bool strict) {
  const size_t at = directory * kDirectoryCopies;
  media::AlignedBuffer page(kPageBytes);
  Result<void> fault;
  bool loaded = false;
  for (uint64_t copy = 0; copy < kDirectoryCopies && (!loaded || strict); ++copy) {
    const PageRef ref = core->super.data_directories[at + copy];
    if (ref.is_null() && copy == 0) co_return Result<void>{};
    auto read = co_await read_copy(core, ref, directory, page.span());
    if (!read) read = co_await read_copy(core, ref, directory, page.span());
    if (read && !loaded) {
      read = core->data.load_directory(directory, page.view().subspan(sizeof(BitmapHeader)));
      loaded = read.has_value();
    }
    if (!read && strict) co_return read;
    if (!read) fault = read;
  }
  if (loaded && fault.has_value()) co_return Result<void>{};
  const bool lost = loaded || co_await is_page_lost(core, fault.error().code());
  if (!lost) co_return fault;
  if (loaded) {
    report(Severity::warning, "store: a copy of directory " + std::to_string(directory) +
                                  " of the data blocks cannot be read; the other one is used: " +
                                  fault.error().what());
    core->data.mark_directory(directory);
  } else {
    report_lost("directory", directory, fault.error());
    core->data.lose_directory(directory);
  }
  co_return Result<void>{};
}

Task<void> open_behind(CorePtr core) {
  // Whoever needs the chunk asks again, and is told the error.
  [[maybe_unused]] const auto opened = co_await open_wanted(core);
  core->opening = false;
  core->progress.wake_all();
}

Task<void> settle_behind(CorePtr core) {
  [[maybe_unused]] const auto settled = co_await settle_late(core, core->late_max / 4);
  core->settling = false;
  core->progress.wake_all();
}

}  // namespace

Task<Result<void>> load_space(CorePtr core, bool strict) {
  const Superblock& super = core->super;
  const bool directories = super.version != kVersionWithoutDirectories;
  std::vector<Task<Result<void>>> reads;
  for (uint64_t d = 0; directories && d < directory_count(super.data_blocks); ++d) {
    reads.push_back(read_directory(core, d, strict));
  }
  for (uint64_t number = 0; number < super.data_chunks.size(); ++number) {
    if (super.data_chunks[number].is_null()) continue;
    reads.push_back(read_or_lose(core, super.data_chunks[number], number, strict));
  }
  CO_TRY(read, co_await run_all(core->reactor, std::move(reads), kReadsMax));
  for (uint64_t number = 0; strict && number < core->data.chunk_count(); ++number) {
    const PageRef ref = core->data.chunk(number).bitmap;
    if (ref.is_null() || core->data.chunk(number).lost) continue;
    CO_TRY(whole, co_await load_page(core, ref, number));
  }
  co_return Result<void>{};
}

Task<Result<void>> load_chunk(CorePtr core, uint64_t number) {
  int failures = 0;
  while (!core->data.chunk(number).lost && !core->data.is_at_hand(number)) {
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    const PageRef ref = core->data.chunk(number).bitmap;
    if (core->pages().find(ref.page_number()) != nullptr) {
      core->data.lose(number, "its page is in use for something else");
      break;
    }
    const auto loaded = co_await load_page(core, ref, number);
    if (loaded || core->data.is_at_hand(number)) continue;
    if (core->is_stopped() || loaded.error().code() == Errc::no_memory) co_return loaded;
    if (++failures < 2) continue;
    const bool lost = co_await is_page_lost(core, loaded.error().code());
    if (!lost) co_return loaded;
    // Another task may have had better luck meanwhile.
    if (core->data.is_at_hand(number)) break;
    if (core->data.chunk(number).bitmap == ref) core->data.lose(number, loaded.error().what());
  }
  core->rebuild_ahead();
  co_return Result<void>{};
}

namespace {

Task<Result<void>> settle_chunk(CorePtr core, uint64_t number) {
  for (;;) {
    CO_TRY(loaded, co_await load_chunk(core, number));
    if (core->data.chunk(number).late == 0) co_return Result<void>{};
    if (!core->data.is_at_hand(number)) continue;
    const auto reserved = core->pager.reserve(1, Pager::Use::bitmap);
    if (reserved) break;
    if (reserved.error().code() != Errc::page_absent) co_return reserved;
    Pager::State& s = core->pages();
    const Want want = std::exchange(s.want, Want::nothing);
    CO_TRY(waited, co_await wait_for_want(core, want, s.absent, s.wanted_pages));
  }
  const auto settled = core->data.settle(number);
  if (!settled) core->data.lose(number, settled.error().what());
  core->rebuild_ahead();
  co_return Result<void>{};
}

}  // namespace

Task<Result<void>> settle_late(CorePtr core, size_t runs_left) {
  const size_t rounds_free = core->data.late_chunks(SIZE_MAX).size() / kSettledAtOnce + kFreeRounds;
  for (size_t round = 0; core->data.late_runs() > runs_left; ++round) {
    core->holds_updates = core->holds_updates || (runs_left == 0 && round >= rounds_free);
    std::vector<Task<Result<void>>> tasks;
    for (const uint64_t number : core->data.late_chunks(kSettledAtOnce)) {
      tasks.push_back(settle_chunk(core, number));
    }
    CO_TRY(settled, co_await run_all(core->reactor, std::move(tasks), kSettledAtOnce));
    core->progress.wake_all();
  }
  co_return Result<void>{};
}

Task<Result<void>> open_wanted(CorePtr core) {
  for (;;) {
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    if (core->closing) co_return Result<void>{};
    if (const auto number = core->data.wanted()) {
      CO_TRY(loaded, co_await load_chunk(core, *number));
      if (core->data.wanted() == number && core->data.is_at_hand(*number)) {
        core->data.open(*number);
      }
      continue;
    }
    if (!core->data.is_short() || core->data.try_again()) co_return Result<void>{};
    if (core->data.wanted()) continue;
    core->data.give_up();
    co_return Result<void>{};
  }
}

void StoreCore::open_ahead() {
  if (opening || closing || is_stopped() || !data.wanted()) return;
  opening = true;
  reactor.spawn(open_behind(shared_from_this()));
}

void StoreCore::settle_ahead() {
  if (settling || closing || is_stopped() || data.late_runs() <= late_max / 2) return;
  settling = true;
  reactor.spawn(settle_behind(shared_from_this()));
}

}  // namespace cairn::index
