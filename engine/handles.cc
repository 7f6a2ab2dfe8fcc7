#include "engine/handles.h"

#include <algorithm>

namespace cairn::engine {

namespace {

bool same_right(const HandleSpec& a, const HandleSpec& b) {
  return a.pool == b.pool && a.container == b.container && a.writable == b.writable &&
         a.session == b.session;
}

/// As numbers on a circle.
bool is_newer(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

/// Between the clocks of two engines.
constexpr uint32_t kSkewTicks = 512;  // two seconds

}  // namespace

/// Generations ascend in each place, also over a restart: they are times, or the next number where
/// a place is given away faster than time goes. They wrap after seven months; who compares those of
/// more than half of that apart is wrong.
uint32_t HandleTable::tick_of(uint64_t wall_ns) {
  constexpr int kTickBits = 22;  // 4.2 ms
  return static_cast<uint32_t>(wall_ns >> kTickBits);
}

Result<wire::HandleRef> HandleTable::add(const HandleSpec& spec, PoolShards shards) {
  size_t index = 0;
  // Opening is rare and the table small: a search costs less than a free list that must be kept
  // right.
  while (index < slots_.size() && (slots_[index].open || slots_[index].inside != 0)) ++index;
  if (index == kHandlesMax) return fail(Errc::overload, "engine: too many open handles");
  if (index == slots_.size()) slots_.emplace_back();
  HandleSlot& slot = slots_[index];
  slot.spec = spec;
  slot.shards = std::move(shards);
  slot.open = true;
  const uint32_t now = tick();
  const bool unused = slot.generation == 0;
  slot.generation = unused || is_newer(now, slot.generation + 1) ? now : slot.generation + 1;
  if (slot.generation == 0) slot.generation = 1;  // 0 means "no handle"
  ++count_;
  return wire::HandleRef{.index = static_cast<uint32_t>(index), .generation = slot.generation};
}

Result<void> HandleTable::restore(const HandleSpec& spec, PoolShards shards,
                                  wire::HandleRef handle) {
  if (handle.generation == 0 || handle.index >= kHandlesMax) {
    return fail(Errc::invalid, "engine: not a reference to a handle");
  }
  while (handle.index >= slots_.size()) slots_.emplace_back();
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

Task<void> HandleTable::make_room(wire::HandleRef handle) {
  while (handle.index < slots_.size()) {
    HandleSlot& slot = slots_[handle.index];
    if (slot.generation == handle.generation) break;
    if (slot.open && is_newer(handle.generation, slot.generation)) close(slot);
    if (slot.open || slot.inside == 0) break;
    co_await left_.wait();
  }
}

/// Newer than what had its place here, and than the time when all were heard of.
bool HandleTable::may_be_heard_of(wire::HandleRef handle) const {
  if (!hears_ || handle.generation == 0 || handle.index >= kHandlesMax) return false;
  const bool known = handle.index < slots_.size() && slots_[handle.index].generation != 0;
  if (known && !is_newer(handle.generation, slots_[handle.index].generation)) return false;
  return all_heard_ == 0 || is_newer(handle.generation, all_heard_ - kSkewTicks);
}

HandleSlot* HandleTable::find(wire::HandleRef handle) {
  if (handle.index >= slots_.size()) return nullptr;
  HandleSlot& slot = slots_[handle.index];
  return slot.open && slot.generation == handle.generation ? &slot : nullptr;
}

Result<HandleTable::Use> HandleTable::use(wire::HandleRef handle, uint64_t session,
                                          uint32_t target) {
  HandleSlot* const slot = find(handle);
  if (slot == nullptr && may_be_heard_of(handle)) {
    return fail(Errc::unreachable,
                "engine: it has not heard of the handle yet; it is cut off from the services");
  }
  if (slot == nullptr || (slot->spec.session != 0 && slot->spec.session != session)) {
    return fail(Errc::no_handle, "engine: the container handle is closed or was evicted");
  }
  if (slot->shards.empty()) {
    return fail(Errc::unreachable, "engine: it does not serve the pool now");
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

std::vector<wire::HandleRef> HandleTable::close_others(std::vector<wire::HandleRef> kept,
                                                       uint64_t as_of_ns) {
  const uint32_t as_of = tick_of(as_of_ns);
  const auto key = [](wire::HandleRef h) { return uint64_t{h.index} << 32 | h.generation; };
  std::ranges::sort(kept, {}, key);
  std::vector<wire::HandleRef> closing;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].open || !is_newer(as_of, slots_[i].generation)) continue;
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
