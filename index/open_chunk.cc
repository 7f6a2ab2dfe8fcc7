#include "index/open_chunk.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "media/bits.h"

namespace cairn::index {
namespace {

// How far a run is measured when blocks come back; a longer one means "no limit known".
constexpr uint32_t kMeasuredRunMax = 4096;

/// Behind the last bit that is set.
uint32_t end_of_set(std::span<const uint64_t> words) {
  for (size_t w = words.size(); w-- > 0;) {
    if (words[w] == 0) continue;
    return static_cast<uint32_t>((w + 1) * media::kWordBits -
                                 static_cast<uint64_t>(std::countl_zero(words[w])));
  }
  return 0;
}

}  // namespace

OpenChunk::OpenChunk(uint64_t number, uint32_t blocks, std::vector<uint64_t> taken,
                     uint32_t run_max)
    : number_(number), blocks_(blocks), run_max_(run_max), taken_(std::move(taken)) {
  const uint64_t bits = taken_.size() * media::kWordBits;
  CHECK(blocks <= bits);
  media::set_bits(taken_, blocks, bits, false);
  frontier_ = end_of_set(taken_);
  media::set_bits(taken_, blocks, bits, true);
  free_ = blocks - static_cast<uint32_t>(media::count_bits(taken_, 0, blocks));
}

ChunkRun OpenChunk::find_from(uint32_t from, uint32_t count) const {
  ChunkRun best;
  while (from < blocks_) {
    const auto begin = static_cast<uint32_t>(media::find_bit(taken_, from, blocks_, false));
    if (begin == blocks_) break;
    const uint64_t limit = std::min<uint64_t>(blocks_, uint64_t{begin} + count);
    const auto end = static_cast<uint32_t>(media::find_bit(taken_, begin, limit, true));
    if (end - begin > best.count) best = {begin, end - begin};
    if (best.count == count) break;
    from = end;
  }
  return best;
}

ChunkRun OpenChunk::find(uint32_t count) {
  count = std::min(count, run_max());
  if (count == 0) return {};
  const ChunkRun best = find_from(0, count);
  if (best.count < count) run_max_ = best.count;
  return best;
}

bool OpenChunk::is_free(uint32_t begin, uint32_t end) const {
  return end <= blocks_ && media::count_bits(taken_, begin, end) == 0;
}

void OpenChunk::take(uint32_t begin, uint32_t end) {
  DCHECK(is_free(begin, end));
  media::set_bits(taken_, begin, end, true);
  free_ -= end - begin;
  frontier_ = std::max(frontier_, end);
}

void OpenChunk::give(uint32_t begin, uint32_t end) {
  DCHECK(media::count_bits(taken_, begin, end) == end - begin);
  media::set_bits(taken_, begin, end, false);
  free_ += end - begin;
  if (run_max_ >= kMeasuredRunMax) {
    run_max_ = blocks_;
    return;
  }
  uint32_t first = begin;
  while (first > 0 && begin - first < kMeasuredRunMax && !media::is_set(taken_, first - 1)) --first;
  const uint64_t limit = std::min<uint64_t>(blocks_, uint64_t{end} + kMeasuredRunMax);
  const uint64_t length = media::find_bit(taken_, end, limit, true) - first;
  run_max_ =
      length >= kMeasuredRunMax ? blocks_ : std::max(run_max_, static_cast<uint32_t>(length));
}

}  // namespace cairn::index
