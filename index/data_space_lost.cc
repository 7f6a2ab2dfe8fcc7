// Chunks whose bitmap is lost, and how they come back.
#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/report.h"
#include "index/data_space.h"

namespace cairn::index {
namespace {

/// A walk may miss a record that moves ahead of it; the next one will not.
constexpr uint8_t kWalksMax = 4;

}  // namespace

/// What nobody hands out: a held block is counted as free.
uint64_t DataSpace::lost_in(uint64_t number) const {
  const Chunk& chunk = chunks_[number];
  return blocks_of(number) - chunk.used - (chunk.out - held_in(number));
}

void DataSpace::set_lost(uint64_t number) {
  Chunk& chunk = chunks_[number];
  CHECK(!chunk.lost);
  chunk.lost = true;
  chunk.walks = 0;
  ++rebuildable_;
  usage_.lost += lost_in(number);
}

void DataSpace::lose(uint64_t number, const char* why) {
  if (chunks_[number].lost) return;
  const uint64_t first = number * kChunkBits;
  report(Severity::error, "store: the bitmap of blocks " + std::to_string(first) + " to " +
                              std::to_string(first + blocks_of(number) - 1) +
                              " cannot be used, so none of them is handed out: " + why);
  close(number);
  forget_late(number);
  set_lost(number);
  if (wanted_ == number) {
    wanted_.reset();
    go_there_ = false;
  }
  mark(number);
}

uint64_t DataSpace::held_in(uint64_t number) const {
  uint64_t count = 0;
  for (const media::Extent& extent : held_) {
    for (uint64_t b = extent.block; b < extent.block + extent.count; ++b) {
      if (b / kChunkBits == number) ++count;
    }
  }
  return count;
}

void DataSpace::lose_unread(uint64_t number, PageRef ref) {
  Chunk& chunk = chunks_[number];
  chunk.bitmap = ref;
  if (!ref.is_null()) ++pages().kept_for_bitmaps;
  chunk.used = blocks_of(number);
  usage_.used += chunk.used;
  set_lost(number);
  mark(number);
}

void DataSpace::lose_directory(uint64_t directory) {
  const uint64_t first = directory * kDirectoryChunks;
  const uint64_t end = std::min(first + kDirectoryChunks, chunk_count());
  for (uint64_t number = first; number < end; ++number) lose_unread(number, {});
}

// ---- the way back ----

std::vector<uint64_t> DataSpace::rebuildable(size_t count_max) const {
  std::vector<uint64_t> numbers;
  for (uint64_t n = 0; n < chunk_count() && numbers.size() < count_max; ++n) {
    if (chunks_[n].lost && chunks_[n].walks < kWalksMax) numbers.push_back(n);
  }
  return numbers;
}

RebuiltChunk* DataSpace::rebuilt_of(uint64_t number) {
  const auto found = std::ranges::find(rebuilt_, number, &RebuiltChunk::number);
  return found == rebuilt_.end() ? nullptr : &*found;
}

void DataSpace::begin_rebuild(uint64_t number) {
  CHECK(chunks_[number].lost);
  CHECK(rebuilt_of(number) == nullptr);
  rebuilt_.emplace_back(number);
}

void DataSpace::note_owner(media::Extent extent) {
  // One that lies elsewhere is the offline check's business.
  if (!is_inside(extent)) return;
  const auto done = each_part(extent, [this](const Part& part) -> Result<void> {
    if (RebuiltChunk* const rebuilt = rebuilt_of(part.chunk)) rebuilt->note(part.from(), part.to());
    return {};
  });
  CHECK(done.has_value());
}

/// Its page is given back, unless it is somebody else's by now.
void DataSpace::leave_page(uint64_t number) {
  Pager::State& s = pages();
  const PageRef ref = std::exchange(chunks_[number].bitmap, {});
  if (ref.is_null()) return;
  CHECK(s.kept_for_bitmaps > 0);
  --s.kept_for_bitmaps;
  const uint64_t page = ref.page_number();
  if (s.find(page) != nullptr) return;
  if (s.born.erase(page) != 0) {
    s.pool.push_back(page);
  } else if (s.space.is_owned(page)) {
    const auto freed = s.space.free({page, 1}, s.generation);
    CHECK(freed.has_value());
  }
}

Result<void> DataSpace::end_rebuild(uint64_t number) {
  Chunk& chunk = chunks_[number];
  const RebuiltChunk* const rebuilt = rebuilt_of(number);
  CHECK(chunk.lost);
  CHECK(rebuilt != nullptr);
  // What records own is in use, so as many are the same ones. Nobody owns what is on its way.
  const uint64_t begin = number * kChunkBits;
  uint64_t out = 0;
  out_.each_in(begin, begin + kChunkBits, [&](uint64_t from, uint64_t to) {
    out += rebuilt->count_owned(static_cast<uint32_t>(from - begin),
                                static_cast<uint32_t>(to - begin));
  });
  if (out != 0 || rebuilt->count_owned(0, blocks_of(number)) != chunk.used) {
    return fail(Errc::checksum, "its records do not own as many blocks as were counted");
  }
  const uint64_t lost = lost_in(number);
  if (slot_of(chunk) == nullptr) leave_page(number);
  std::byte* const bits = bits_to_change(number);
  CHECK(bits != nullptr);
  rebuilt->save(bits);
  chunk.lost = false;
  chunk.run_max = kChunkBits;
  --rebuildable_;
  usage_.lost -= lost;
  given_back_ += lost;
  hopeless_ = UINT64_MAX;
  mark(number);
  return {};
}

void DataSpace::leave_rebuild(bool given_up) {
  for (const RebuiltChunk& rebuilt : rebuilt_) {
    Chunk& chunk = chunks_[rebuilt.number()];
    if (!chunk.lost) continue;
    chunk.walks = given_up ? kWalksMax : static_cast<uint8_t>(chunk.walks + 1);
    if (chunk.walks < kWalksMax) continue;
    --rebuildable_;
    report(Severity::error, "store: the bitmap of blocks " +
                                std::to_string(rebuilt.number() * kChunkBits) +
                                " and up cannot be made anew; cairn check tells why");
  }
  rebuilt_.clear();
}

}  // namespace cairn::index
