// HandleTable: which handle means which container, and who is inside. Internal to engine/.
// Home: the engine's reactor. Invariant: a slot is reused only when nobody is inside, under a new
// generation. A slot's generations begin at a random number: what an engine before this one gave
// out, and was not restored, names no handle of this one.
#pragma once

#include <deque>
#include <vector>

#include "engine/engine.h"

namespace cairn::engine {

struct HandleSlot {
  HandleSpec spec;
  vos::Shard* shard = nullptr;
  uint32_t generation = 0;
  bool open = false;
  size_t inside = 0;
};

class HandleTable {
 public:
  explicit HandleTable(Reactor& reactor) : random_(reactor.random()), left_(reactor) {}

  /// An operation under a handle; keeps its slot and shard.
  class [[nodiscard]] Use {
   public:
    Use(HandleTable& table, HandleSlot& slot) : table_(&table), slot_(&slot) { ++slot.inside; }
    Use(Use&& other) noexcept : table_(other.table_), slot_(std::exchange(other.slot_, nullptr)) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (slot_ != nullptr && --slot_->inside == 0 && !slot_->open) table_->left_.wake_all();
    }
    const HandleSpec& spec() const { return slot_->spec; }
    vos::Shard& shard() const { return *slot_->shard; }

   private:
    HandleTable* table_;
    HandleSlot* slot_;
  };

  /// @error overload  kHandlesMax are open
  Result<wire::HandleRef> add(const HandleSpec& spec, vos::Shard& shard);
  /// Opens exactly that handle. Without a shard it only takes the place.
  /// @error exists  the slot is taken   @error invalid  not a reference that a table gives out
  Result<void> restore(const HandleSpec& spec, vos::Shard* shard, wire::HandleRef handle);
  /// @error no_handle  unknown, closed, or another session's
  Result<Use> use(wire::HandleRef handle, uint64_t session);
  /// @error no_handle  unknown or closed before
  Task<Result<void>> remove(wire::HandleRef handle);
  /// Closes all that `pick` wants and waits for those inside.
  template <class Pick>
  Task<void> remove_if(Pick pick) {
    std::vector<size_t> closing;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].inside == 0 && !slots_[i].open) continue;
      if (!pick(slots_[i].spec)) continue;
      close(slots_[i]);
      closing.push_back(i);
    }
    for (const size_t i : closing) co_await wait_until_left(i, slots_[i].generation);
  }
  size_t count() const { return count_; }

 private:
  HandleSlot& add_slot();
  HandleSlot* find(wire::HandleRef handle);
  void close(HandleSlot& slot);
  Task<void> wait_until_left(size_t index, uint32_t generation);

  Random& random_;
  std::deque<HandleSlot> slots_;  // addresses stay
  WaitList left_;
  size_t count_ = 0;
};

}  // namespace cairn::engine
