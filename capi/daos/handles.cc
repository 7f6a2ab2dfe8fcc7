#include "capi/daos/handles.h"

namespace cairn::capi {

daos_handle_t HandleTable::insert_any(uint8_t kind, std::shared_ptr<void> object) {
  std::lock_guard lock(mutex_);
  size_t index = slots_.size();
  if (free_.empty()) {
    if (index > kSlotMask) return DAOS_HDL_INVAL;
    slots_.emplace_back().generation = first_generation_;
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.kind = kind;
  slot.object = std::move(object);
  return {uint64_t{slot.generation} << 32 | uint64_t{index} << kKindBits | kind};
}

const HandleTable::Slot* HandleTable::slot_of(uint8_t kind, uint64_t cookie) const {
  const uint64_t index = cookie >> kKindBits & kSlotMask;
  if ((cookie & kKindMask) != kind || index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  return slot.kind == kind && slot.generation == cookie >> 32 ? &slot : nullptr;
}

std::shared_ptr<void> HandleTable::find_any(uint8_t kind, uint64_t cookie) const {
  std::lock_guard lock(mutex_);
  const Slot* const slot = slot_of(kind, cookie);
  return slot == nullptr ? nullptr : slot->object;
}

std::shared_ptr<void> HandleTable::remove_any(uint8_t kind, uint64_t cookie) {
  std::lock_guard lock(mutex_);
  const Slot* const slot = slot_of(kind, cookie);
  if (slot == nullptr) return nullptr;
  auto object = slot->object;
  free_slot(static_cast<size_t>(slot - slots_.data()));
  return object;
}

std::vector<std::shared_ptr<void>> HandleTable::remove_kind(uint8_t kind) {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<void>> out;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].kind != kind) continue;
    out.push_back(slots_[i].object);
    free_slot(i);
  }
  return out;
}

void HandleTable::free_slot(size_t index) {
  Slot& slot = slots_[index];
  slot.kind = 0;
  slot.object.reset();
  // A slot whose generations are used up is never given out again.
  if (++slot.generation != 0) free_.push_back(static_cast<uint32_t>(index));
}

}  // namespace cairn::capi
