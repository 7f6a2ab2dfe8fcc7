// Where free blocks are looked for: at the cursor, in the chunk that is best to go to, in any open
// one. A chunk with a fair part free is used before untouched ones, because a file system charges
// for a file's untouched blocks.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "index/data_space.h"

namespace cairn::index {
namespace {

/// So much of a chunk is worth going there before untouched ones are used.
constexpr uint32_t kFairShare = 4;
/// So much must have become free before the cursor goes back: less than a quarter of what is used
/// is not worth it.
constexpr uint64_t kTurnBlocksMin = 4096;
/// The next chunk is opened when less than this part of the current one is free.
constexpr uint32_t kAheadShare = 16;
/// How often a chunk is opened for one that is short.
constexpr uint8_t kTriesMax = 2;

}  // namespace

uint64_t DataSpace::to_hand_out() const {
  const uint64_t available = usage_.available();
  return available > usage_.held ? available - usage_.held : 0;
}

uint32_t DataSpace::free_of(uint64_t number) const {
  const Chunk& chunk = chunks_[number];
  return chunk.lost ? 0 : blocks_of(number) - chunk.used - chunk.out;
}

uint32_t DataSpace::run_bound(uint64_t number) const {
  const OpenChunk* const open = open_of(number);
  if (open != nullptr) return open->run_max();
  return std::min(chunks_[number].run_max, free_of(number));
}

bool DataSpace::is_untouched(uint64_t number) const {
  const Chunk& chunk = chunks_[number];
  return chunk.bitmap.is_null() && chunk.used == 0 && chunk.out == 0 && !chunk.lost;
}

// ---- open chunks ----

OpenChunk* DataSpace::open_of(uint64_t number) {
  return const_cast<OpenChunk*>(std::as_const(*this).open_of(number));
}

const OpenChunk* DataSpace::open_of(uint64_t number) const {
  if (!chunks_[number].open) return nullptr;
  const auto found = std::ranges::find(open_, number, &OpenChunk::number);
  CHECK(found != open_.end());
  return &*found;
}

/// The one with the fewest free blocks, except the current one.
OpenChunk* DataSpace::least_open() {
  OpenChunk* least = nullptr;
  for (OpenChunk& open : open_) {
    if (open.number() == current_) continue;
    if (least == nullptr || open.free() < least->free()) least = &open;
  }
  return least;
}

void DataSpace::close(uint64_t number) {
  Chunk& chunk = chunks_[number];
  if (!chunk.open) return;
  chunk.run_max = open_of(number)->run_max();
  chunk.open = false;
  std::erase_if(open_, [number](const OpenChunk& open) { return open.number() == number; });
}

void DataSpace::open(uint64_t number) {
  Chunk& chunk = chunks_[number];
  CHECK(!chunk.lost);
  if (!chunk.open) {
    CHECK(is_at_hand(number));
    if (open_.size() == open_max_) close(least_open()->number());
    open_.emplace_back(number, blocks_of(number), taken(number), chunk.run_max);
    chunk.open = true;
  }
  if (wanted_ != number) return;
  if (is_short() && chunk.tries++ == 0) tried_.push_back(number);
  wanted_.reset();
  if (std::exchange(go_there_, false)) go_to(number);
}

void DataSpace::go_to(uint64_t number) {
  open(number);
  current_ = number;
  cursor_ = number * kChunkBits;
  looked_ahead_ = false;
}

void DataSpace::begin() {
  const auto first = choose(1);
  if (!first) return;
  if (is_at_hand(*first)) return go_to(*first);
  wanted_ = first;
  go_there_ = true;
}

// ---- the search ----

/// Where to go from the current chunk: one with a fair part free, an untouched one, or the one that
/// promises the longest run.
std::optional<uint64_t> DataSpace::choose(uint32_t count) const {
  std::optional<uint64_t> untouched, longest;
  uint32_t longest_run = 0;
  for (uint64_t number = 0; number < chunk_count(); ++number) {
    if (chunks_[number].lost || (number == current_ && chunks_[number].open)) continue;
    if (is_untouched(number)) {
      if (!untouched) untouched = number;
      continue;
    }
    const uint32_t run = run_bound(number);
    if (run >= count && free_of(number) >= blocks_of(number) / kFairShare) return number;
    // Of two that promise the same, one that is open costs nothing.
    if (run > longest_run || (run == longest_run && run != 0 && chunks_[number].open)) {
      longest = number;
      longest_run = run;
    }
  }
  if (untouched) return untouched;
  if (longest && chunks_[*longest].open && longest_run < count) return std::nullopt;
  return longest;
}

std::optional<media::Extent> DataSpace::find_at_cursor(uint32_t count) {
  const OpenChunk* const open = open_of(current_);
  if (open == nullptr) return std::nullopt;
  const uint64_t base = current_ * kChunkBits;
  const ChunkRun run = open->find_from(static_cast<uint32_t>(cursor_ - base), count);
  if (run.count < count) return std::nullopt;
  return media::Extent{base + run.begin, run.count};
}

/// In any open chunk, or in an untouched one.
media::Extent DataSpace::find_open(uint32_t count) {
  media::Extent best;
  for (OpenChunk& open : open_) {
    const ChunkRun run = open.find(count);
    if (run.count > best.count) best = {open.number() * kChunkBits + run.begin, run.count};
    if (best.count == count) return best;
  }
  for (uint64_t number = 0; number < chunk_count(); ++number) {
    if (chunks_[number].open || !is_untouched(number) || blocks_of(number) <= best.count) continue;
    go_to(number);
    return {number * kChunkBits, std::min(count, blocks_of(number))};
  }
  return best;
}

/// A run of `count` blocks, or a shorter one.
media::Extent DataSpace::find(uint32_t count) {
  turn_back();
  if (const auto run = find_at_cursor(count)) return *run;
  const auto next = wanted_ ? std::nullopt : choose(count);
  if (next && (chunks_[*next].open || chunks_[*next].bitmap.is_null())) {
    go_to(*next);
    if (const auto run = find_at_cursor(count)) return *run;
  } else if (next) {
    wanted_ = next;
  }
  return find_open(count);
}

/// Before untouched blocks are used: is there enough elsewhere?
void DataSpace::turn_back() {
  const OpenChunk* const at = open_of(current_);
  if (at == nullptr || cursor_ - current_ * kChunkBits < at->frontier() ||
      given_back_ < std::max(kTurnBlocksMin, (usage_.total - usage_.available()) / 4)) {
    return;
  }
  given_back_ = 0;
  uint64_t to = current_;
  for (uint64_t number = 0; number < chunk_count(); ++number) {
    const OpenChunk* const open = open_of(number);
    const bool touched = open != nullptr || !chunks_[number].bitmap.is_null();
    const uint32_t holes = open != nullptr ? open->holes() : touched ? free_of(number) : 0;
    if (chunks_[number].lost || holes == 0 || holes < blocks_of(number) / 8) continue;
    to = number;
    break;
  }
  if (chunks_[to].open) {
    go_to(to);
  } else if (!wanted_) {
    wanted_ = to;
    go_there_ = true;
  }
}

/// The next chunk's bitmap is loaded before this one is used up.
void DataSpace::look_ahead() {
  const OpenChunk* const open = open_of(current_);
  if (looked_ahead_ || wanted_ || open == nullptr || open->free() > open->blocks() / kAheadShare) {
    return;
  }
  looked_ahead_ = true;
  const auto next = choose(1);
  if (next && !chunks_[*next].open && !is_untouched(*next)) wanted_ = next;
}

void DataSpace::hand_out(media::Extent run) {
  const uint64_t number = run.block / kChunkBits;
  const Part part{number, run.block, run.block + run.count};
  open_of(number)->take(part.from(), part.to());
  put_out(part);
  usage_.reserved += run.count;
  if (current_ != number) looked_ahead_ = false;
  current_ = number;
  cursor_ = part.end;
}

Result<std::vector<media::Extent>> DataSpace::reserve(uint64_t count, size_t runs_max) {
  CHECK(count > 0);
  std::vector<media::Extent> runs;
  uint64_t left = count;
  while (left > 0 && to_hand_out() >= left) {
    const media::Extent run = find(static_cast<uint32_t>(std::min(left, kChunkBits)));
    if (run.count == 0) break;
    const bool adjoins = !runs.empty() && runs.back().block + runs.back().count == run.block &&
                         runs.back().count <= UINT32_MAX - run.count;
    if (!adjoins && runs.size() == runs_max) break;
    hand_out(run);
    left -= run.count;
    if (adjoins) {
      runs.back().count += run.count;
    } else {
      runs.push_back(run);
    }
  }
  if (left == 0) {
    look_ahead();
    return runs;
  }
  const uint64_t hopeless = hopeless_;
  for (const media::Extent& run : runs) cancel(run);
  hopeless_ = hopeless;
  if (wanted_ && to_hand_out() >= count && count < hopeless_) {
    short_count_ = count;
    short_runs_ = runs_max;
  }
  return fail(Errc::no_space, "space: full, or too fragmented");
}

bool DataSpace::try_again() {
  if (short_count_ == 0) return true;
  const uint64_t current = current_, cursor = cursor_;
  const auto runs = reserve(short_count_, short_runs_);
  if (!runs) {
    // Once to learn what it has, once more for that. Where the open ones are too few for all that
    // is asked for, each would bring back another for ever.
    if (wanted_ && chunks_[*wanted_].tries >= kTriesMax) {
      hopeless_ = short_count_;
      wanted_.reset();
      go_there_ = false;
    }
    return false;
  }
  for (const media::Extent& run : *runs) cancel(run);
  if (chunks_[current].open) {
    current_ = current;
    cursor_ = cursor;
  }
  give_up();
  return true;
}

void DataSpace::give_up() {
  short_count_ = 0;
  for (const uint64_t number : tried_) chunks_[number].tries = 0;
  tried_.clear();
}

}  // namespace cairn::index
