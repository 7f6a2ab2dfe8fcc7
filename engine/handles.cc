#include "engine/handles.h"

#include <algorithm>

namespace cairn::engine {

namespace {

bool same_right(const HandleSpec& a, const HandleSpec& b) {
  return a.pool == b.pool && a.container == b.container && a.writable == b.writable &&
         a.session == b.session;
}

}  // namespace

HandleSlot& HandleTable::add_slot() {
  HandleSlot& slot = slots_.emplace_back();
  slot.generation = static_cast<uint32_t>(random_.next());
  return slot;
}

Result<wire::HandleRef> HandleTable::add(const HandleSpec& spec, PoolShards shards) {
  size_t index = 0;
  // Opening is rare and the table small: a search costs less than a free list that must be kept
  // right.
  while (index < slots_.size() && (slots_[index].open || slots_[index].inside != 0)) ++index;
  if (index == kHandlesMax) return fail(Errc::overload, "engine: too many open handles");
  if (index == slots_.size()) add_slot();
  HandleSlot& slot = slots_[index];
  slot.spec = spec;
  slot.shards = std::move(shards);
  slot.open = true;
  if (++slot.generation == 0) slot.generation = 1;  // 0 means "no handle"
  ++count_;
  return wire::HandleRef{.index = static_cast<uint32_t>(index), .generation = slot.generation};
}

Result<void> HandleTable::restore(const HandleSpec& spec, PoolShards shards,
                                  wire::HandleRef handle) {
  if (handle.generation == 0 || handle.index >= kHandlesMax) {
    return fail(Errc::invalid, "engine: not a reference to a handle");
  }
  while (handle.index >= slots_.size()) add_slot();
  HandleSlot& slot = slots_[handle.index];
  if (slot.open && slot.generation == handle.generation && same_right(slot.spec, spec)) {
    // The pool may have come since.
    slot.spec = spec;
    slot.shards = std::move(shards);
    return {};
  }
  if (slot.open || slot.inside != 0) return fail(Errc::exists, "engine: the handle is in use");
  slot.spec = spec;
  slot.shards = std::move(shards);
  slot.open = true;
  slot.generation = handle.generation;
  ++count_;
  return {};
}

HandleSlot* HandleTable::find(wire::HandleRef handle) {
  if (handle.index >= slots_.size()) return nullptr;
  HandleSlot& slot = slots_[handle.index];
  return slot.open && slot.generation == handle.generation ? &slot : nullptr;
}

Result<HandleTable::Use> HandleTable::use(wire::HandleRef handle, uint64_t session,
                                          uint32_t target) {
  HandleSlot* const slot = find(handle);
  if (slot == nullptr || slot->shards.empty() ||
      (slot->spec.session != 0 && slot->spec.session != session)) {
    return fail(Errc::no_handle, "engine: the container handle is closed or was evicted");
  }
  if (target >= slot->shards.size() || slot->shards[target] == nullptr) {
    return fail(Errc::nonexistent, "engine: the pool has no shard on that target");
  }
  return Use(*this, *slot, *slot->shards[target]);
}

void HandleTable::close(HandleSlot& slot) {
  if (!slot.open) return;
  slot.open = false;
  --count_;
}

Task<void> HandleTable::wait_until_left(size_t index, uint32_t generation) {
  // A slot that got a new generation was empty in between.
  while (slots_[index].generation == generation && slots_[index].inside != 0) {
    co_await left_.wait();
  }
}

Task<Result<void>> HandleTable::remove(wire::HandleRef handle) {
  HandleSlot* const slot = find(handle);
  if (slot == nullptr) co_return fail(Errc::no_handle, "engine: the handle is closed already");
  close(*slot);
  co_await wait_until_left(handle.index, handle.generation);
  co_return Result<void>{};
}

std::vector<wire::HandleRef> HandleTable::close_others(std::vector<wire::HandleRef> kept) {
  const auto key = [](wire::HandleRef h) { return uint64_t{h.index} << 32 | h.generation; };
  std::ranges::sort(kept, {}, key);
  std::vector<wire::HandleRef> closing;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].open) continue;
    const wire::HandleRef handle{static_cast<uint32_t>(i), slots_[i].generation};
    if (std::ranges::binary_search(kept, key(handle), {}, key)) continue;
    close(slots_[i]);
    closing.push_back(handle);
  }
  return closing;
}

Task<void> HandleTable::wait_until_left(std::vector<wire::HandleRef> closed) {
  for (const wire::HandleRef& handle : closed) {
    co_await wait_until_left(handle.index, handle.generation);
  }
}

}  // namespace cairn::engine
