#include "index/pager_testing.h"

#include <cstring>

#include "base/check.h"
#include "index/pager_state.h"

namespace cairn::index {

std::unique_ptr<Pager> make_memory_pager(size_t pages) {
  return std::make_unique<Pager>(std::make_unique<Pager::State>(1, pages + 1 + 64, pages + 64));
}

MemoryPager::MemoryPager(size_t pages, size_t frames_limit)
    : pager_(std::make_unique<Pager>(std::make_unique<Pager::State>(
          1, pages + 1, frames_limit == 0 ? pages + 1 : frames_limit))) {}

Result<void> MemoryPager::load_absent() {
  Pager::State& s = pager_->state();
  CHECK(s.want == Want::page);
  const PageRef ref = s.absent;
  const Bytes& bytes = medium_[ref.page_number()];
  if (bytes.size() != kPageBytes)
    return fail(Errc::checksum, "memory pager: page was never written");
  TRY(whole, check_page(bytes, ref));
  if (s.validator != nullptr) {
    TRY(valid, s.validator(bytes));
  }
  Slot* slot = s.take_slot();
  std::memcpy(slot->data, bytes.data(), kPageBytes);
  const uint32_t birth = slot->header().birth.get();
  s.install(slot, ref, birth);
  return {};
}

void MemoryPager::write_dirty() {
  for (Slot& slot : pager_->state().slots) {
    if (!slot.used || !slot.dirty) continue;
    seal_page(slot.span());
    medium_[slot.ref.page_number()].assign(slot.data, slot.data + kPageBytes);
    pager_->state().mark_clean(&slot);
    if (slot.dropped) pager_->state().free_slot(&slot);
  }
}

void MemoryPager::evict_all() {
  write_dirty();
  pager_->state().evict(0);
}

void MemoryPager::checkpoint() {
  Pager::State& s = pager_->state();
  s.publish_born();
  const uint32_t generation = s.generation;
  s.next_generation();
  write_dirty();
  s.space.release(generation);
}

}  // namespace cairn::index
