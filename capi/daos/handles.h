// The table of C handles: 64-bit cookies that name shared objects of one kind. A closed cookie
// stays invalid for ever: a slot's generation is part of it. Cookie: bits 0..3 the kind (an odd
// number, DAOS_HTYPE_*), 4..31 the slot, 32..63 the generation. Home: any thread (one mutex).
#pragma once

#include <daos_types.h>

#include <memory>
#include <mutex>
#include <vector>

namespace cairn::capi {

class HandleTable {
 public:
  /// `first_generation`, not 0, of every slot: tables that follow one another start far apart.
  explicit HandleTable(uint32_t first_generation = 1) : first_generation_(first_generation) {}

  /// T::kHandleKind is one of DAOS_HTYPE_*.
  template <class T>
  daos_handle_t insert(std::shared_ptr<T> object) {
    return insert_any(T::kHandleKind, std::move(object));
  }
  /// Null: never given out, closed, or of another kind.
  template <class T>
  std::shared_ptr<T> find(daos_handle_t handle) const {
    return std::static_pointer_cast<T>(find_any(T::kHandleKind, handle.cookie));
  }
  /// As find(), and the handle is closed.
  template <class T>
  std::shared_ptr<T> remove(daos_handle_t handle) {
    return std::static_pointer_cast<T>(remove_any(T::kHandleKind, handle.cookie));
  }
  /// What all open handles of a kind name.
  template <class T>
  std::vector<std::shared_ptr<T>> all() const {
    std::vector<std::shared_ptr<T>> out;
    std::lock_guard lock(mutex_);
    for (const Slot& slot : slots_) {
      if (slot.kind == T::kHandleKind) out.push_back(std::static_pointer_cast<T>(slot.object));
    }
    return out;
  }
  /// Closes all handles of a kind and returns what they named.
  template <class T>
  std::vector<std::shared_ptr<T>> remove_all() {
    std::vector<std::shared_ptr<T>> out;
    for (auto& any : remove_kind(T::kHandleKind)) out.push_back(std::static_pointer_cast<T>(any));
    return out;
  }

 private:
  struct Slot {
    uint32_t generation = 0;
    uint8_t kind = 0;  // 0: free
    std::shared_ptr<void> object;
  };
  static constexpr unsigned kKindBits = 4;
  static constexpr uint64_t kKindMask = (1u << kKindBits) - 1;
  static constexpr uint64_t kSlotMask = (uint64_t{1} << (32 - kKindBits)) - 1;

  daos_handle_t insert_any(uint8_t kind, std::shared_ptr<void> object);
  std::shared_ptr<void> find_any(uint8_t kind, uint64_t cookie) const;
  std::shared_ptr<void> remove_any(uint8_t kind, uint64_t cookie);
  std::vector<std::shared_ptr<void>> remove_kind(uint8_t kind);
  const Slot* slot_of(uint8_t kind, uint64_t cookie) const;
  void free_slot(size_t index);

  const uint32_t first_generation_;
  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace cairn::capi
