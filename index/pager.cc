#include "index/pager.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"
#include "index/pager_state.h"

namespace cairn::index {
namespace {

constexpr size_t kSlabFrames = 64;
// With this much memory a slab of whole huge pages is a small part of it.
constexpr size_t kHugeFrames = kHugeBytes / kPageBytes;
constexpr size_t kHugeFromFrames = 16 * kHugeFrames;
constexpr uint32_t kRunPages =
    64;  // addresses taken at once, so that neighbours in time are neighbours
constexpr size_t kReservePagesMax = 16'384;
constexpr size_t kLineBytes = 64;

/// A step of middling size needs no wait, whatever the budget.
size_t headroom_of(size_t frames) {
  return std::max(std::min<size_t>(frames / 16, 512), std::min<size_t>(64, frames / 2));
}

Slot* slot_of(Frame* frame) { return static_cast<Slot*>(frame); }

}  // namespace

void seal_page(ByteSpan page) {
  auto& header = *reinterpret_cast<PageHeader*>(page.data());
  header.checksum = xxh3_64(page.subspan(sizeof(U64le)), header.page_number.get());
}

Result<void> check_page(ByteView page, PageRef ref) {
  const auto& header = *reinterpret_cast<const PageHeader*>(page.data());
  if (header.page_number.get() != ref.page_number()) {
    return fail(Errc::checksum,
                "page: not at its own address; the medium lost or misplaced a write");
  }
  if (header.checksum.get() != xxh3_64(page.subspan(sizeof(U64le)), ref.page_number())) {
    return fail(Errc::checksum, "page: its checksum does not match; the medium is damaged");
  }
  if ((header.birth.get() & 0xFFFF) != ref.birth16()) {
    return fail(Errc::checksum, "page: of another generation; the medium lost a write");
  }
  if (header.reserved.get() != 0) return fail(Errc::checksum, "page: reserved bytes are not zero");
  return {};
}

// ---- frames ----

Pager::State::State(uint64_t first_page_in, uint64_t page_end_in, size_t frames_limit_in)
    : space(page_end_in, first_page_in),
      first_page(first_page_in),
      page_end(page_end_in),
      frames_limit(frames_limit_in),
      frames_target(frames_limit - headroom_of(frames_limit)),
      replacement(frames_target) {}

Slot* Pager::State::find(uint64_t page_number) {
  const auto found = table.find(page_number);
  return found == table.end() ? nullptr : found->second.slot;
}

Slot* Pager::State::take_slot() {
  CHECK(has_room(1));
  if (free_buffers.empty()) {
    const size_t frames = frames_limit >= kHugeFromFrames ? kHugeFrames : kSlabFrames;
    std::byte* base = slabs.emplace_back(frames * kPageBytes).data();
    for (size_t i = frames; i-- > 0;) free_buffers.push_back(base + i * kPageBytes);
  }
  if (free_slots.empty()) free_slots.push_back(&slots.emplace_back());
  Slot* slot = free_slots.back();
  free_slots.pop_back();
  slot->data = free_buffers.back();
  free_buffers.pop_back();
  slot->used = true;
  slot->pins = 1;
  ++frames_used;
  return slot;
}

void Pager::State::install(Slot* slot, PageRef ref, uint32_t birth, const Slot* original) {
  DCHECK(slot->used);
  slot->ref = ref;
  slot->birth = birth;
  --slot->pins;
  if (original != nullptr) {
    replacement.add_like(*slot, *original);
  } else {
    replacement.add(*slot, ref.page_number());
  }
  const bool fresh = table.try_emplace(ref.page_number(), Place{slot, slot->data}).second;
  CHECK(fresh);
}

void Pager::State::free_slot(Slot* slot) {
  DCHECK(slot->used);
  DCHECK(!slot->writing);
  if (slot->dirty) mark_clean(slot);
  replacement.remove(*slot);
  if (!slot->ref.is_null()) table.erase(slot->ref.page_number());
  if (slot->data != nullptr) {
    free_buffers.push_back(slot->data);
    --frames_used;
  }
  if (slot->dropped) --dropped_count;
  *slot = Slot{};
  free_slots.push_back(slot);
}

void Pager::State::mark_dirty(Slot* slot) {
  if (slot->dirty) return;
  slot->dirty = true;
  ++dirty_count;
  replacement.changed(*slot);
  if (dirty_pages.size() > 2 * frames_limit) forget_clean_pages();
  dirty_pages.push_back(slot->ref.page_number());
}

/// Pages that were written back meanwhile need not be remembered.
void Pager::State::forget_clean_pages() {
  std::sort(dirty_pages.begin(), dirty_pages.end());
  const auto clean = [&](uint64_t page) {
    const Slot* slot = find(page);
    return slot == nullptr || !slot->dirty;
  };
  dirty_pages.erase(std::unique(dirty_pages.begin(), dirty_pages.end()), dirty_pages.end());
  std::erase_if(dirty_pages, clean);
}

void Pager::State::mark_clean(Slot* slot) {
  if (!slot->dirty) return;
  slot->dirty = false;
  --dirty_count;
  if (slot->dropped || slot->writing) {
    replacement.park(*slot);
  } else {
    replacement.cleaned(*slot);
  }
}

size_t Pager::State::evict(size_t target) {
  size_t evicted = 0;
  while (frames_used > target) {
    auto* slot = static_cast<Slot*>(replacement.candidate());
    if (slot == nullptr) break;
    if (slot->pins != 0) {
      // Out of the way, or it would be the candidate again before all others were.
      replacement.park(*slot);
      passed_over.push_back(slot);
      continue;
    }
    DCHECK(!slot->dirty);
    DCHECK(!slot->writing);
    replacement.evicted(*slot, slot->ref.page_number());
    free_slot(slot);
    ++evicted;
  }
  for (Slot* slot : passed_over) replacement.spared(*slot);
  passed_over.clear();
  return evicted;
}

std::vector<uint64_t> Pager::State::choose_dirty(size_t count, uint32_t birth_min) {
  std::vector<uint64_t> chosen;
  const auto look = [&](bool patient) {
    for (size_t n = replacement.dirty_count(); n > 0 && chosen.size() < count; --n) {
      auto* slot = static_cast<Slot*>(replacement.next_dirty(patient));
      if (slot == nullptr) return;
      if (!slot->writing && slot->birth >= birth_min) chosen.push_back(slot->ref.page_number());
    }
  };
  look(true);
  if (chosen.empty()) look(false);
  return chosen;
}

void Pager::State::write_begins(Slot* slot) {
  DCHECK(!slot->writing);
  slot->writing = true;
  ++writes_in_flight;
  mark_clean(slot);
}

void Pager::State::write_ended(Slot* slot) {
  DCHECK(slot->writing);
  slot->writing = false;
  --writes_in_flight;
  if (!slot->dropped) {
    if (!slot->dirty) replacement.cleaned(*slot);
    return;
  }
  // It changed while it was written, then a checkpoint took it over: that writes it once more.
  if (slot->dirty && !slot->interim) return;
  if (slot->interim) space.cancel({slot->ref.page_number(), 1});
  free_slot(slot);
}

// ---- addresses ----

uint64_t Pager::State::kept_for_checkpoint() const {
  return kept_for_bitmaps + std::max<uint64_t>(10, (page_end - first_page) / 160);
}

uint64_t Pager::State::kept_for_removals() const {
  return kept_for_bitmaps + std::max<uint64_t>(24, (page_end - first_page) / 64);
}

bool Pager::State::refill(size_t pages, uint64_t kept) {
  if (free_pages() < pages + kept) return false;
  if (pool.size() >= pages) return true;
  const auto missing = static_cast<uint32_t>(pages - pool.size());
  const uint32_t comfortable = std::max(missing, kRunPages);
  std::vector<media::Extent> runs;
  if (free_pages() >= comfortable + kept) {
    if (auto run = space.reserve(comfortable)) runs.push_back(*run);
  }
  if (runs.empty()) {
    auto scattered = space.reserve_scattered(missing, missing);
    if (!scattered) return false;
    runs = std::move(*scattered);
  }
  // The next address is at the back; what was there already is used first.
  std::vector<uint64_t> added;
  for (const media::Extent& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) added.push_back(run.block + i);
  }
  pool.insert(pool.begin(), added.rbegin(), added.rend());
  return true;
}

uint64_t Pager::State::take_address() {
  CHECK(!pool.empty());
  const uint64_t page = pool.back();
  pool.pop_back();
  return page;
}

Result<uint64_t> Pager::State::take_bitmap_page() {
  uint64_t page = 0;
  if (!pool.empty()) {
    page = take_address();
  } else {
    TRY(run, space.reserve(1));
    page = run.block;
  }
  space.publish({page, 1});
  return page;
}

// ---- generations ----

void Pager::State::publish_born() {
  for (const uint64_t page : born) space.publish({page, 1});
  born.clear();
}

std::vector<uint64_t> Pager::State::next_generation() {
  CHECK(born.empty());
  CHECK(write_backs_frozen == 0);
  write_backs_frozen = std::exchange(write_backs, 0);
  ++generation;
  return std::exchange(dirty_pages, {});
}

// ---- the interface ----

Pager::Pager(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pager::~Pager() = default;

Result<Frame*> Pager::get(PageRef ref) {
  State& s = *state_;
  Slot* slot = s.find(ref.page_number());
  if (slot == nullptr) [[unlikely]] {
    s.want = Want::page;
    s.absent = ref;
    return fail(Errc::page_absent, "pager: the page is not in memory");
  }
  if (slot->ref != ref || slot->dropped || slot->bitmap) [[unlikely]] {
    return fail(Errc::checksum, "page: a reference names another generation of it, or a bitmap");
  }
  slot->referenced = true;
  return slot;
}

Frame* Pager::find(PageRef ref, size_t bytes_ahead) {
  const auto found = state_->table.find(ref.page_number());
  if (found == state_->table.end()) [[unlikely]]
    return nullptr;
  const State::Place place = found->second;
  for (size_t at = 0; at < bytes_ahead; at += kLineBytes) __builtin_prefetch(place.data + at);
  Slot* const slot = place.slot;
  if (slot->ref != ref || slot->dropped || slot->bitmap) [[unlikely]]
    return nullptr;
  slot->referenced = true;
  return slot;
}

Frame* Pager::ask(PageRef ref, size_t bytes_ahead) {
  const auto found = state_->table.find(ref.page_number());
  if (found == state_->table.end()) return nullptr;
  const State::Place place = found->second;
  __builtin_prefetch(place.slot);
  for (size_t at = 0; at < bytes_ahead; at += kLineBytes) __builtin_prefetch(place.data + at);
  return place.slot;
}

Frame* Pager::writable(Frame* frame) {
  State& s = *state_;
  Slot* old = slot_of(frame);
  DCHECK(old->used);
  DCHECK(!old->dropped);
  if (old->birth == s.generation) {
    s.mark_dirty(old);
    return old;
  }
  const PageRef ref = PageRef::make(s.take_address(), s.generation);
  Slot* copy = s.take_slot();
  if (!old->dirty && !old->writing && old->pins == 0) {
    // Nobody needs the old bytes any more: the new frame takes the buffer over.
    std::swap(copy->data, old->data);
  } else {
    std::memcpy(copy->data, old->data, kPageBytes);
  }
  copy->bitmap = old->bitmap;
  s.install(copy, ref, s.generation, old);
  s.born.insert(ref.page_number());
  s.mark_dirty(copy);
  copy->header().page_number = ref.page_number();
  copy->header().birth = s.generation;
  drop(old);
  return copy;
}

Frame* Pager::allocate() {
  State& s = *state_;
  const PageRef ref = PageRef::make(s.take_address(), s.generation);
  Slot* slot = s.take_slot();
  std::memset(slot->data, 0, kPageBytes);
  s.install(slot, ref, s.generation);
  s.born.insert(ref.page_number());
  s.mark_dirty(slot);
  slot->header().page_number = ref.page_number();
  slot->header().birth = s.generation;
  return slot;
}

void Pager::drop(Frame* frame) {
  State& s = *state_;
  Slot* slot = slot_of(frame);
  DCHECK(slot->used);
  DCHECK(!slot->dropped);
  const uint64_t page = slot->ref.page_number();
  const bool interim = slot->birth == s.generation;
  if (interim) {
    s.born.erase(page);
  } else {
    const auto freed = s.space.free({page, 1}, s.generation);
    CHECK(freed.has_value());
  }
  // A write under way still uses buffer and address; a running checkpoint still needs a dirty page
  // of an earlier generation.
  if (slot->writing || (slot->dirty && !interim)) {
    slot->dropped = true;
    slot->interim = interim;
    ++s.dropped_count;
    if (interim) s.mark_clean(slot);
    // Only the checkpoint that needs it looks for it.
    s.replacement.park(*slot);
    return;
  }
  s.free_slot(slot);
  if (interim) s.pool.push_back(page);
}

Result<void> Pager::reserve(size_t pages, Use use) {
  State& s = *state_;
  if (pages > kReservePagesMax) {
    return fail(Errc::no_memory, "pager: one step changes too many pages; split the call");
  }
  // Replay must be able to do whatever was done: it may use all of memory, others half.
  if (s.driven && !s.urgent && pages > s.frames_limit / 2) {
    return fail(Errc::no_memory, "pager: one step changes too many pages; raise memory_bytes");
  }
  s.wanted_pages = pages;
  s.wanted_urgent = s.urgent || use == Use::checkpoint || use == Use::bitmap;
  if (use != Use::bitmap && (s.wanted_urgent ? s.log_full : s.log_tight)) {
    s.want = Want::log;
    return fail(Errc::page_absent, "pager: the log has no room now");
  }
  if (!s.has_room(pages)) {
    if (!s.driven) return fail(Errc::no_memory, "pager: the memory budget is used up");
    s.want = Want::frames;
    return fail(Errc::page_absent, "pager: no free frames now");
  }
  const uint64_t kept = use == Use::bitmap    ? s.kept_for_freeze
                        : s.wanted_urgent     ? s.kept_for_bitmaps
                        : use == Use::removal ? s.kept_for_checkpoint()
                                              : s.kept_for_removals();
  if (s.refill(pages, kept)) return {};
  if (s.driven && s.free_pages() + s.space.usage().deferred >= pages + kept) {
    s.want = Want::addresses;
    return fail(Errc::page_absent, "pager: no free pages before the next checkpoint");
  }
  return fail(Errc::no_space, "pager: the meta blob is full; remove data or enlarge the pool");
}

PageRef Pager::root() const { return state_->root; }
void Pager::set_root(PageRef root) { state_->root = root; }
void Pager::set_validator(Validator validator) { state_->validator = validator; }

}  // namespace cairn::index
