// HandleTable: which handle means which container, and who is inside. Internal to engine/.
// Home: the engine's reactor. Invariant: a slot is reused only when nobody is inside, under a new
// generation. A slot's generations begin at a random number: what an engine before this one gave
// out, and was not restored, names no handle of this one.
#pragma once

#include <deque>
#include <vector>

#include "base/small_vector.h"
#include "engine/engine.h"

namespace cairn::engine {

/// By target; null where the pool has none.
using PoolShards = SmallVector<vos::Shard*, 1>;

struct HandleSlot {
  HandleSpec spec;
  PoolShards shards;
  uint32_t generation = 0;
  bool open = false;
  size_t inside = 0;
};

class HandleTable {
 public:
  /// @param hears  of handles that another table has given out, perhaps late
  HandleTable(Reactor& reactor, bool hears)
      : clock_(reactor.clock()), hears_(hears), left_(reactor) {}

  /// An operation under a handle; keeps its slot and its shard.
  class [[nodiscard]] Use {
   public:
    Use(HandleTable& table, HandleSlot& slot, vos::Shard& shard)
        : table_(&table), slot_(&slot), shard_(&shard) {
      ++slot.inside;
    }
    Use(Use&& other) noexcept
        : table_(other.table_), slot_(std::exchange(other.slot_, nullptr)), shard_(other.shard_) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (slot_ != nullptr && --slot_->inside == 0 && !slot_->open) table_->left_.wake_all();
    }
    const HandleSpec& spec() const { return slot_->spec; }
    vos::Shard& shard() const { return *shard_; }
    /// Of the pool, by target.
    const PoolShards& shards() const { return slot_->shards; }
    /// Null where the pool has none.
    vos::Shard* shard_of(uint32_t target) const {
      return target < slot_->shards.size() ? slot_->shards[target] : nullptr;
    }

   private:
    HandleTable* table_;
    HandleSlot* slot_;
    vos::Shard* shard_;
  };

  /// @error overload  kHandlesMax are open
  Result<wire::HandleRef> add(const HandleSpec& spec, PoolShards shards);
  /// Opens exactly that handle. Without shards it only takes the place. Open already: fine.
  /// @error exists  the slot is taken   @error invalid  not a reference that a table gives out
  Result<void> restore(const HandleSpec& spec, PoolShards shards, wire::HandleRef handle);
  /// An older handle that another table has given its place away of is closed and waited for.
  Task<void> make_room(wire::HandleRef handle);
  /// This table has heard of all handles that there are now.
  void note_all_heard() { all_heard_ = tick(); }
  /// @error no_handle    unknown, closed, or another session's
  /// @error unreachable  a table that hears of handles has not heard of it yet, or its pool is not
  ///                     served now
  /// @error nonexistent  the pool has no shard on that target
  Result<Use> use(wire::HandleRef handle, uint64_t session, uint32_t target);
  /// @error no_handle  unknown or closed before
  Task<Result<void>> remove(wire::HandleRef handle);
  /// Closes all that are not among these. @returns what wait_until_left() needs
  /// @param as_of_ns  wall time of the list: newer ones stay
  std::vector<wire::HandleRef> close_others(std::vector<wire::HandleRef> kept, uint64_t as_of_ns);
  Task<void> wait_until_left(std::vector<wire::HandleRef> closed);
  /// Closes all that `pick` wants and waits for those inside.
  template <class Pick>
  Task<void> remove_if(Pick pick) {
    std::vector<wire::HandleRef> closing;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].inside == 0 && !slots_[i].open) continue;
      if (!pick(slots_[i].spec)) continue;
      close(slots_[i]);
      closing.push_back({static_cast<uint32_t>(i), slots_[i].generation});
    }
    co_await wait_until_left(std::move(closing));
  }
  size_t count() const { return count_; }

 private:
  HandleSlot& add_slot();
  HandleSlot* find(wire::HandleRef handle);
  static uint32_t tick_of(uint64_t wall_ns);
  uint32_t tick() const { return tick_of(clock_.wall_ns()); }
  bool may_be_heard_of(wire::HandleRef handle) const;
  void close(HandleSlot& slot);
  Task<void> wait_until_left(size_t index, uint32_t generation);

  Clock& clock_;
  const bool hears_;
  uint32_t all_heard_ = 0;        // when, as generations go; 0: never
  std::deque<HandleSlot> slots_;  // addresses stay
  WaitList left_;
  size_t count_ = 0;
};

}  // namespace cairn::engine
