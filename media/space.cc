#include "media/space.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"
#include "media/bits.h"

namespace cairn::media {

namespace {

// Changes are noted by this many words of the bitmap.
constexpr uint64_t kDirtyWords = 8;
// How far a run is measured when blocks come back; a longer one means "no limit known".
constexpr uint64_t kMeasuredRunMax = 4096;
// So much must have become free before the search begins again at the start: less than a quarter of
// what was ever used is not worth the look at all of it.
constexpr uint64_t kTurnBlocksMin = 4096;

}  // namespace

Space::Space(uint64_t block_count, uint64_t first_block)
    : run_max_(block_count),
      block_count_(block_count),
      first_block_(first_block),
      cursor_(first_block),
      frontier_(first_block) {
  CHECK(first_block <= block_count);
  const uint64_t words = (block_count + kWordBits - 1) / kWordBits;
  owned_.assign(words, 0);
  taken_.assign(words, 0);
  full_words_.assign((words + kWordBits - 1) / kWordBits, 0);
  dirty_units_.assign((words + kDirtyWords - 1) / kDirtyWords, false);
  usage_.total = block_count - first_block;
  set_taken(0, first_block, true);
  set_taken(block_count, words * kWordBits, true);
}

void Space::set_taken(uint64_t from, uint64_t to, bool value) {
  set_bits(taken_, from, to, value);
  for (uint64_t w = from / kWordBits; w * kWordBits < to; ++w) {
    set_bits(full_words_, w, w + 1, taken_[w] == ~uint64_t{0});
  }
}

void Space::mark_dirty(uint64_t from, uint64_t to) {
  constexpr uint64_t kUnitBits = kDirtyWords * kWordBits;
  for (uint64_t unit = from / kUnitBits; unit * kUnitBits < to; ++unit) {
    if (dirty_units_[unit]) continue;
    dirty_units_[unit] = true;
    dirty_list_.push_back(static_cast<uint32_t>(unit));
  }
}

// ---- looking for free runs ----

/// First free block in [from, to); `to` if there is none. Skips 4,096 taken blocks at a look.
uint64_t Space::find_free(uint64_t from, uint64_t to) const {
  if (from >= to) return to;
  const uint64_t in_word = std::min(to, round_up(from + 1, kWordBits));
  const uint64_t near = find_bit(taken_, from, in_word, false);
  if (near < in_word || in_word == to) return near;
  const uint64_t words = (to + kWordBits - 1) / kWordBits;
  const uint64_t word = find_bit(full_words_, in_word / kWordBits, words, false);
  if (word == words) return to;
  return find_bit(taken_, word * kWordBits, to, false);
}

/// First run of `count` free blocks in [from, to), or the longest shorter one.
Extent Space::find_run(uint64_t from, uint64_t to, uint64_t count) const {
  Extent best;
  while (from < to) {
    const uint64_t begin = find_free(from, to);
    if (begin == to) break;
    const uint64_t end = find_bit(taken_, begin, std::min(to, begin + count), true);
    if (end - begin > best.count) best = {begin, static_cast<uint32_t>(end - begin)};
    if (best.count == count) break;
    from = end;
  }
  return best;
}

/// As find_run() over the whole blob, beginning at the cursor. Remembers what it learned: a second
/// search for what is not there costs nothing until blocks come back.
Extent Space::find_anywhere(uint64_t count) {
  if (run_max_ == 0) return {};
  count = std::min(count, run_max_);
  const Extent near = find_run(cursor_, block_count_, count);
  if (near.count == count) return near;
  // A run that begins before the cursor may end behind it.
  const Extent other = find_run(first_block_, std::min(block_count_, cursor_ + count), count);
  const Extent best = other.count > near.count ? other : near;
  if (best.count < count) run_max_ = best.count;
  return best;
}

/// Before untouched blocks are used: is there enough below them?
void Space::turn_back() {
  if (cursor_ < frontier_ ||
      given_back_ < std::max(kTurnBlocksMin, (frontier_ - first_block_) / 4)) {
    return;
  }
  cursor_ = first_block_;
  given_back_ = 0;
}

/// The blocks of [from, to) came back, maybe beside other free ones.
void Space::raise_run_max(uint64_t from, uint64_t to) {
  if (run_max_ >= kMeasuredRunMax) {
    run_max_ = block_count_;
    return;
  }
  uint64_t begin = from;
  while (begin > first_block_ && from - begin < kMeasuredRunMax && !is_set(taken_, begin - 1))
    --begin;
  const uint64_t limit = std::min(block_count_, to + kMeasuredRunMax);
  const uint64_t length = find_bit(taken_, to, limit, true) - begin;
  if (length >= kMeasuredRunMax) {
    run_max_ = block_count_;
  } else {
    run_max_ = std::max(run_max_, length);
  }
}

void Space::give_back(uint64_t from, uint64_t to) {
  set_taken(from, to, false);
  given_back_ += to - from;
  raise_run_max(from, to);
}

// ---- reservations ----

Result<Extent> Space::reserve(uint32_t count) {
  CHECK(count > 0);
  if (to_hand_out() < count) return fail(Errc::no_space, "space: full");
  turn_back();
  Extent run;
  if (count <= run_max_) run = find_anywhere(count);
  if (run.count < count) return fail(Errc::no_space, "space: no free run is long enough");
  set_taken(run.block, run.block + count, true);
  usage_.reserved += count;
  cursor_ = run.block + count;
  frontier_ = std::max(frontier_, cursor_);
  return run;
}

Result<std::vector<Extent>> Space::reserve_scattered(uint64_t count, size_t runs_max) {
  CHECK(count > 0);
  std::vector<Extent> runs;
  uint64_t left = count;
  turn_back();
  while (left > 0 && runs.size() < runs_max && to_hand_out() >= left) {
    const uint64_t wanted = std::min<uint64_t>(left, UINT32_MAX);
    const Extent run = find_anywhere(wanted);
    if (run.count == 0) break;
    set_taken(run.block, run.block + run.count, true);
    usage_.reserved += run.count;
    cursor_ = run.block + run.count;
    frontier_ = std::max(frontier_, cursor_);
    runs.push_back(run);
    left -= run.count;
  }
  if (left == 0) return runs;
  for (const Extent& run : runs) cancel(run);
  return fail(Errc::no_space, "space: full, or too fragmented");
}

void Space::cancel(Extent extent) {
  const uint64_t end = extent.block + extent.count;
  CHECK(end <= block_count_);
  DCHECK(count_bits(taken_, extent.block, end) == extent.count);
  DCHECK(count_bits(owned_, extent.block, end) == 0);
  CHECK(usage_.reserved >= extent.count);
  give_back(extent.block, end);
  usage_.reserved -= extent.count;
}

void Space::publish(Extent extent) {
  const uint64_t end = extent.block + extent.count;
  CHECK(end <= block_count_);
  DCHECK(count_bits(taken_, extent.block, end) == extent.count);
  DCHECK(count_bits(owned_, extent.block, end) == 0);
  CHECK(usage_.reserved >= extent.count);
  set_bits(owned_, extent.block, end, true);
  mark_dirty(extent.block, end);
  usage_.reserved -= extent.count;
  usage_.used += extent.count;
}

Result<void> Space::adopt(Extent extent) {
  uint64_t end = 0;
  if (extent.count == 0 || extent.block < first_block_ ||
      __builtin_add_overflow(extent.block, extent.count, &end) || end > block_count_) {
    return fail(Errc::checksum, "space: an extent beyond the blob");
  }
  if (count_bits(taken_, extent.block, end) != 0) {
    return fail(Errc::checksum, "space: a block belongs to somebody already");
  }
  set_taken(extent.block, end, true);
  frontier_ = std::max(frontier_, end);
  usage_.reserved += extent.count;
  publish(extent);
  return {};
}

Result<void> Space::free(Extent extent, uint64_t lsn) {
  uint64_t end = 0;
  if (extent.count == 0 || __builtin_add_overflow(extent.block, extent.count, &end) ||
      end > block_count_ || count_bits(owned_, extent.block, end) != extent.count) {
    return fail(Errc::checksum, "space: freed blocks that nobody owned");
  }
  CHECK(deferred_.empty() || deferred_.back().lsn <= lsn);
  set_bits(owned_, extent.block, end, false);
  mark_dirty(extent.block, end);
  usage_.used -= extent.count;
  usage_.deferred += extent.count;
  deferred_.push_back({lsn, extent});
  return {};
}

std::vector<Extent> Space::release(uint64_t lsn) {
  std::vector<Extent> released;
  auto end = deferred_.begin();
  for (; end != deferred_.end() && end->lsn <= lsn; ++end) {
    give_back(end->extent.block, end->extent.block + end->extent.count);
    usage_.deferred -= end->extent.count;
    released.push_back(end->extent);
  }
  deferred_.erase(deferred_.begin(), end);
  return released;
}

bool Space::is_free(Extent extent) const {
  const uint64_t end = extent.block + extent.count;
  return end <= block_count_ && count_bits(taken_, extent.block, end) == 0;
}

void Space::hold(Extent extent) {
  CHECK(is_free(extent));
  set_taken(extent.block, extent.block + extent.count, true);
  usage_.held += extent.count;
}

void Space::let_go(Extent extent) {
  CHECK(usage_.held >= extent.count);
  const uint64_t end = extent.block + extent.count;
  set_taken(extent.block, end, false);
  raise_run_max(extent.block, end);
  usage_.held -= extent.count;
}

SpaceUsage Space::usage() const { return usage_; }

bool Space::is_owned(uint64_t block) const { return block < block_count_ && is_set(owned_, block); }

size_t Space::chunk_count(size_t chunk_bytes) const {
  return (block_count_ + chunk_bytes * 8 - 1) / (chunk_bytes * 8);
}

void Space::save_chunk(size_t chunk, ByteSpan into) const {
  CHECK(into.size() % 8 == 0);
  const size_t words = into.size() / 8;
  for (size_t i = 0; i < words; ++i) {
    const size_t w = chunk * words + i;
    store_le64(into.data() + i * 8, w < owned_.size() ? owned_[w] : 0);
  }
}

std::vector<size_t> Space::take_dirty(size_t chunk_bytes) {
  const size_t words = chunk_bytes / 8;
  std::sort(dirty_list_.begin(), dirty_list_.end());
  std::vector<size_t> chunks;
  for (const uint32_t unit : dirty_list_) {
    dirty_units_[unit] = false;
    // A unit may lie across the border of two chunks.
    const size_t last = std::min<size_t>((unit + uint64_t{1}) * kDirtyWords, owned_.size()) - 1;
    for (size_t chunk = unit * kDirtyWords / words; chunk <= last / words; ++chunk) {
      if (chunks.empty() || chunks.back() != chunk) chunks.push_back(chunk);
    }
  }
  dirty_list_.clear();
  return chunks;
}

Result<void> Space::load_chunk(size_t chunk, ByteView from) {
  CHECK(from.size() % 8 == 0);
  const size_t words = from.size() / 8;
  for (size_t i = 0; i < words; ++i) {
    const uint64_t value = load_le64(from.data() + i * 8);
    const size_t w = chunk * words + i;
    if (value == 0) continue;
    const uint64_t begin = w * kWordBits;
    uint64_t valid = w < owned_.size() ? ~uint64_t{0} : 0;
    if (valid != 0) valid = begin >= block_count_ ? 0 : word_mask(w, first_block_, block_count_);
    if (begin + kWordBits <= first_block_) valid = 0;
    if ((value & ~valid) != 0 || (value & taken_[w]) != 0) {
      return fail(Errc::checksum, "space: a bitmap names blocks beyond the blob, or twice");
    }
    owned_[w] |= value;
    taken_[w] |= value;
    set_bits(full_words_, w, w + 1, taken_[w] == ~uint64_t{0});
    usage_.used += static_cast<uint64_t>(std::popcount(value));
    frontier_ = std::max(frontier_, begin + kWordBits - uint64_t(std::countl_zero(value)));
  }
  return {};
}

}  // namespace cairn::media
