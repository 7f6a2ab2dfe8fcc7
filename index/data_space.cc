#include "index/data_space.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "index/budget.h"
#include "media/bits.h"

namespace cairn::index {
namespace {

constexpr size_t kChunkWords = kChunkBits / media::kWordBits;
static_assert(kChunkWords * media::kWordBits == kChunkBits);
static_assert(sizeof(DataSpace::Chunk) <= kChunkSummaryBytes, "the budget counts with it");

uint64_t word_at(const std::byte* bits, uint64_t w) {
  return load_le64(bits + w * sizeof(uint64_t));
}

/// False, and nothing has changed: one of them was so already.
bool set_owned(std::byte* bits, uint32_t from, uint32_t to, bool owned) {
  const uint64_t first = from / media::kWordBits;
  for (uint64_t w = first; w * media::kWordBits < to; ++w) {
    const uint64_t mask = media::word_mask(w, from, to);
    if ((word_at(bits, w) & mask) != (owned ? 0 : mask)) return false;
  }
  for (uint64_t w = first; w * media::kWordBits < to; ++w) {
    const uint64_t mask = media::word_mask(w, from, to);
    store_le64(bits + w * sizeof(uint64_t), word_at(bits, w) ^ mask);
  }
  return true;
}

std::vector<uint64_t> words_of(const std::byte* bits) {
  std::vector<uint64_t> words(kChunkWords);
  for (size_t w = 0; w < kChunkWords; ++w) words[w] = word_at(bits, w);
  return words;
}

/// How many are set; nullopt: some behind the last block are.
std::optional<uint32_t> count_owned(const std::byte* bits, uint32_t blocks) {
  const std::vector<uint64_t> words = words_of(bits);
  if (media::count_bits(words, blocks, kChunkBits) != 0) return std::nullopt;
  return static_cast<uint32_t>(media::count_bits(words, 0, blocks));
}

}  // namespace

DataSpace::DataSpace(Pager& pager, uint64_t block_count, size_t open_max)
    : pager_(pager),
      block_count_(block_count),
      open_max_(open_max),
      chunks_(index::chunk_count(block_count)),
      dirty_(directory_count(block_count)) {
  CHECK(open_max >= 2);
  usage_.total = block_count;
}

uint32_t DataSpace::blocks_of(uint64_t number) const {
  return static_cast<uint32_t>(std::min(kChunkBits, block_count_ - number * kChunkBits));
}

bool DataSpace::is_inside(media::Extent extent) const {
  uint64_t end = 0;
  return extent.count != 0 && !__builtin_add_overflow(extent.block, extent.count, &end) &&
         end <= block_count_;
}

// ---- bitmaps in memory ----

Slot* DataSpace::slot_of(const Chunk& chunk) const {
  if (chunk.bitmap.is_null()) return nullptr;
  Slot* const slot = pages().find(chunk.bitmap.page_number());
  const bool right = slot != nullptr && slot->bitmap && !slot->dropped && slot->ref == chunk.bitmap;
  return right ? slot : nullptr;
}

bool DataSpace::is_at_hand(uint64_t number) const {
  const Chunk& chunk = chunks_[number];
  return chunk.bitmap.is_null() || slot_of(chunk) != nullptr;
}

/// The bits, in a page of this generation; null: not at hand, or no room for a copy.
std::byte* DataSpace::bits_to_change(uint64_t number) {
  Chunk& chunk = chunks_[number];
  const bool room = pages().has_room(1) && !pages().pool.empty();
  Frame* frame = nullptr;
  if (!chunk.bitmap.is_null()) {
    Slot* const slot = slot_of(chunk);
    if (slot == nullptr || (slot->birth != pages().generation && !room)) return nullptr;
    slot->referenced = true;
    frame = pager_.writable(slot);
  } else {
    if (!room) return nullptr;
    frame = pager_.allocate();
    static_cast<Slot*>(frame)->bitmap = true;
    frame->header().kind = static_cast<uint8_t>(PageKind::block_bitmap);
    reinterpret_cast<BitmapHeader*>(frame->data)->chunk = number;
    ++pages().kept_for_bitmaps;
  }
  chunk.bitmap = frame->ref;
  return frame->data + sizeof(BitmapHeader);
}

Result<void> DataSpace::check_bitmap(uint64_t number, ByteView page) const {
  const Chunk& chunk = chunks_[number];
  TRY(bits, open_bitmap(page, PageKind::block_bitmap, chunk.bitmap, number));
  const uint64_t begin = number * kChunkBits, end = begin + kChunkBits;
  const uint64_t said =
      chunk.used - set_later_.count_in(begin, end) + clear_later_.count_in(begin, end);
  const auto counted = count_owned(bits.data(), blocks_of(number));
  if (!counted || *counted != said) {
    return fail(Errc::checksum, "bitmap page: it holds other blocks than its directory says");
  }
  return {};
}

std::vector<uint64_t> DataSpace::owned(uint64_t number) const {
  const Slot* const slot = slot_of(chunks_[number]);
  if (slot == nullptr) return std::vector<uint64_t>(kChunkWords);
  return words_of(slot->data + sizeof(BitmapHeader));
}

/// What is not to be handed out.
std::vector<uint64_t> DataSpace::taken(uint64_t number) const {
  std::vector<uint64_t> words = owned(number);
  const uint64_t begin = number * kChunkBits, end = begin + kChunkBits;
  const auto set_all = [&](const RangeSet& set, bool value) {
    set.each_in(begin, end, [&](uint64_t from, uint64_t to) {
      media::set_bits(words, from - begin, to - begin, value);
    });
  };
  set_all(clear_later_, false);
  set_all(set_later_, true);
  set_all(out_, true);
  return words;
}

// ---- what commits change ----

/// @error checksum  the bitmap says otherwise
Result<void> DataSpace::change(const Part& part, bool owned) {
  Chunk& chunk = chunks_[part.chunk];
  mark(part.chunk);
  if (chunk.lost) {
    RebuiltChunk* const rebuilt = rebuilt_of(part.chunk);
    if (rebuilt != nullptr) rebuilt->change(part.from(), part.to(), owned);
    return {};
  }
  if (chunk.late == 0) {
    if (std::byte* const bits = bits_to_change(part.chunk)) {
      if (set_owned(bits, part.from(), part.to(), owned)) return {};
      return fail(Errc::checksum, owned ? "space: a block belongs to somebody already"
                                        : "space: freed blocks that nobody owned");
    }
  }
  if ((owned ? set_later_ : clear_later_).overlaps(part.begin, part.end)) {
    return fail(Errc::checksum, owned ? "space: a block belongs to somebody already"
                                      : "space: freed blocks that nobody owned");
  }
  change_later(part, owned);
  if (bits_to_change(part.chunk) == nullptr) return {};
  if (const auto settled = settle(part.chunk); !settled) {
    lose(part.chunk, settled.error().what());
  }
  return {};
}

/// What undoes something that is late itself is not late.
void DataSpace::change_later(const Part& part, bool owned) {
  RangeSet& same = owned ? set_later_ : clear_later_;
  RangeSet& other = owned ? clear_later_ : set_later_;
  uint64_t at = part.begin;
  other.each_in(part.begin, part.end, [&](uint64_t from, uint64_t to) {
    if (at < from) same.add(at, from);
    at = to;
  });
  if (at < part.end) same.add(at, part.end);
  const auto undone = static_cast<uint32_t>(other.remove(part.begin, part.end));
  Chunk& chunk = chunks_[part.chunk];
  chunk.late = chunk.late + part.count() - 2 * undone;
}

Result<void> DataSpace::settle(uint64_t number) {
  std::byte* const bits = bits_to_change(number);
  CHECK(bits != nullptr);
  const uint64_t begin = number * kChunkBits, end = begin + kChunkBits;
  bool right = true;
  const auto set_all = [&](const RangeSet& set, bool owned) {
    set.each_in(begin, end, [&](uint64_t from, uint64_t to) {
      right = set_owned(bits, static_cast<uint32_t>(from - begin),
                        static_cast<uint32_t>(to - begin), owned) &&
              right;
    });
  };
  set_all(set_later_, true);
  set_all(clear_later_, false);
  forget_late(number);
  mark(number);
  if (right) return {};
  return fail(Errc::checksum, "space: the bitmap says otherwise than the log");
}

void DataSpace::forget_late(uint64_t number) {
  set_later_.remove(number * kChunkBits, (number + 1) * kChunkBits);
  clear_later_.remove(number * kChunkBits, (number + 1) * kChunkBits);
  chunks_[number].late = 0;
}

std::vector<uint64_t> DataSpace::late_chunks(size_t count_max) const {
  constexpr uint64_t kNone = UINT64_MAX;
  std::vector<uint64_t> numbers;
  for (uint64_t from = 0; numbers.size() < count_max; from = (numbers.back() + 1) * kChunkBits) {
    const uint64_t next =
        std::min(set_later_.first_from(from, kNone), clear_later_.first_from(from, kNone));
    if (next == kNone) break;
    numbers.push_back(next / kChunkBits);
  }
  return numbers;
}

void DataSpace::put_out(const Part& part) {
  out_.add(part.begin, part.end);
  chunks_[part.chunk].out += part.count();
}

void DataSpace::take_back(const Part& part) {
  const uint64_t removed = out_.remove(part.begin, part.end);
  CHECK(removed == part.count());
  chunks_[part.chunk].out -= part.count();
}

/// The blocks came back, maybe beside other free ones.
void DataSpace::give_back(const Part& part) {
  take_back(part);
  Chunk& chunk = chunks_[part.chunk];
  if (OpenChunk* const open = open_of(part.chunk)) {
    open->give(part.from(), part.to());
  } else {
    chunk.run_max = kChunkBits;
  }
}

void DataSpace::cancel(media::Extent extent) {
  CHECK(is_inside(extent));
  CHECK(usage_.reserved >= extent.count);
  const auto done = each_part(extent, [this](const Part& part) -> Result<void> {
    give_back(part);
    if (chunks_[part.chunk].lost) usage_.lost += part.count();
    return {};
  });
  CHECK(done.has_value());
  usage_.reserved -= extent.count;
  hopeless_ = UINT64_MAX;
  given_back_ += extent.count;
}

void DataSpace::publish(media::Extent extent) {
  CHECK(is_inside(extent));
  CHECK(usage_.reserved >= extent.count);
  const auto done = each_part(extent, [this](const Part& part) -> Result<void> {
    take_back(part);
    chunks_[part.chunk].used += part.count();
    const auto changed = change(part, true);
    if (!changed) lose(part.chunk, changed.error().what());
    return {};
  });
  CHECK(done.has_value());
  usage_.reserved -= extent.count;
  usage_.used += extent.count;
}

Result<void> DataSpace::adopt(media::Extent extent) {
  if (!is_inside(extent)) return fail(Errc::checksum, "space: an extent beyond the blob");
  return each_part(extent, [this](const Part& part) -> Result<void> {
    Chunk& chunk = chunks_[part.chunk];
    const uint32_t room = blocks_of(part.chunk) - chunk.used - chunk.out;
    if (chunk.lost) {
      // One whose directory was lost counts as full.
      const uint32_t counted = std::min(part.count(), room);
      chunk.used += counted;
      usage_.used += counted;
      usage_.lost -= counted;
      return change(part, true);
    }
    OpenChunk* const open = open_of(part.chunk);
    if (part.count() > room || out_.overlaps(part.begin, part.end) ||
        (open != nullptr && !open->is_free(part.from(), part.to()))) {
      return fail(Errc::checksum, "space: a block belongs to somebody already");
    }
    if (open != nullptr) open->take(part.from(), part.to());
    chunk.used += part.count();
    usage_.used += part.count();
    return change(part, true);
  });
}

Result<void> DataSpace::free(media::Extent extent, uint64_t lsn) {
  if (!is_inside(extent)) return fail(Errc::checksum, "space: freed blocks beyond the blob");
  CHECK(deferred_.empty() || deferred_.back().lsn <= lsn);
  // All of it or nothing.
  TRY(owned, each_part(extent, [this](const Part& part) -> Result<void> {
        if (chunks_[part.chunk].used >= part.count() && !out_.overlaps(part.begin, part.end)) {
          return {};
        }
        return fail(Errc::checksum, "space: freed blocks that nobody owned");
      }));
  const auto done = each_part(extent, [this](const Part& part) -> Result<void> {
    Chunk& chunk = chunks_[part.chunk];
    const auto changed = change(part, false);
    // A record had them, so the bitmap is wrong or another record is: nothing of it is believed.
    if (!changed) lose(part.chunk, changed.error().what());
    put_out(part);
    chunk.used -= part.count();
    usage_.used -= part.count();
    usage_.deferred += part.count();
    return {};
  });
  CHECK(done.has_value());
  deferred_.push_back({lsn, extent});
  return {};
}

std::vector<media::Extent> DataSpace::release(uint64_t lsn) {
  std::vector<media::Extent> released;
  auto end = deferred_.begin();
  for (; end != deferred_.end() && end->lsn <= lsn; ++end) {
    const auto done = each_part(end->extent, [this](const Part& part) -> Result<void> {
      give_back(part);
      if (chunks_[part.chunk].lost) usage_.lost += part.count();
      return {};
    });
    CHECK(done.has_value());
    usage_.deferred -= end->extent.count;
    hopeless_ = UINT64_MAX;
    given_back_ += end->extent.count;
    released.push_back(end->extent);
  }
  deferred_.erase(deferred_.begin(), end);
  return released;
}

// ---- held blocks ----

bool DataSpace::knows(media::Extent extent) const {
  if (!is_inside(extent)) return false;
  return each_part(extent,
                   [this](const Part& part) -> Result<void> {
                     const Chunk& chunk = chunks_[part.chunk];
                     if (!chunk.lost && (chunk.open || is_at_hand(part.chunk))) return {};
                     return fail(Errc::page_absent, "space: a bitmap is not in memory");
                   })
      .has_value();
}

bool DataSpace::is_free(media::Extent extent) const {
  if (!knows(extent)) return false;
  return each_part(extent,
                   [this](const Part& part) -> Result<void> {
                     const OpenChunk* const open = open_of(part.chunk);
                     const bool free =
                         open != nullptr
                             ? open->is_free(part.from(), part.to())
                             : media::count_bits(taken(part.chunk), part.from(), part.to()) == 0;
                     if (free) return {};
                     return fail(Errc::no_space, "space: not free");
                   })
      .has_value();
}

void DataSpace::hold(media::Extent extent) {
  CHECK(is_free(extent));
  const auto done = each_part(extent, [this](const Part& part) -> Result<void> {
    if (OpenChunk* const open = open_of(part.chunk)) open->take(part.from(), part.to());
    put_out(part);
    return {};
  });
  CHECK(done.has_value());
  held_.push_back(extent);
  usage_.held += extent.count;
}

void DataSpace::let_go(media::Extent extent) {
  CHECK(std::erase(held_, extent) == 1);
  const auto done = each_part(extent, [this](const Part& part) -> Result<void> {
    give_back(part);
    return {};
  });
  CHECK(done.has_value());
  usage_.held -= extent.count;
}

// ---- the durable form ----

Result<void> DataSpace::load_bitmap(uint64_t number, PageRef ref, ByteView bits) {
  CHECK(bits.size() == kChunkBytes);
  const auto counted = count_owned(bits.data(), blocks_of(number));
  if (!counted) return fail(Errc::checksum, "space: a bitmap names blocks beyond the blob");
  Chunk& chunk = chunks_[number];
  chunk.bitmap = ref;
  chunk.used = *counted;
  usage_.used += *counted;
  ++pages().kept_for_bitmaps;
  return {};
}

Result<void> DataSpace::load_directory(uint64_t directory, ByteView entries) {
  TRY(read, parse_directory(entries, directory, block_count_));
  for (const ChunkEntry& entry : read) {
    const uint64_t page = entry.bitmap.page_number();
    if (entry.bitmap.is_null() || (page >= pages().first_page && page < pages().page_end)) continue;
    return fail(Errc::checksum, "directory of blocks: a bitmap page lies outside of the blob");
  }
  for (size_t i = 0; i < read.size(); ++i) {
    const uint64_t number = directory * kDirectoryChunks + i;
    Chunk& chunk = chunks_[number];
    chunk.bitmap = read[i].bitmap;
    chunk.used = read[i].used;
    chunk.run_max = read[i].run_max;
    usage_.used += chunk.used;
    if (read[i].lost) set_lost(number);
    if (!chunk.bitmap.is_null()) ++pages().kept_for_bitmaps;
  }
  return {};
}

std::vector<uint64_t> DataSpace::take_dirty() {
  CHECK(late_runs() == 0);
  std::vector<uint64_t> directories;
  for (uint64_t d = 0; d < dirty_.size(); ++d) {
    if (dirty_[d]) directories.push_back(d);
    dirty_[d] = false;
  }
  return directories;
}

bool DataSpace::is_dirty() const { return std::ranges::find(dirty_, true) != dirty_.end(); }
void DataSpace::mark_all() { dirty_.assign(dirty_.size(), true); }

void DataSpace::save_directory(uint64_t directory, ByteSpan entries) const {
  const uint64_t first = directory * kDirectoryChunks;
  std::vector<ChunkEntry> written(directory_chunks(directory, block_count_));
  for (size_t i = 0; i < written.size(); ++i) {
    const Chunk& chunk = chunks_[first + i];
    // What is out is free in the durable state.
    const uint32_t run_max =
        chunk.out != 0 ? static_cast<uint32_t>(kChunkBits) : run_bound(first + i);
    written[i] = {chunk.bitmap, chunk.used, run_max, chunk.lost};
  }
  encode_directory(written, entries);
}

}  // namespace cairn::index
