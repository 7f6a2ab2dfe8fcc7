// A container as it was at an epoch: records of the live range and of every history slot at or
// above it, merged; what is newer is left out. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <optional>
#include <vector>

#include "vos/flat_view.h"
#include "vos/shard_state.h"
#include "vos/view.h"

namespace cairn::vos {

class EpochLens final : public Lens {
 public:
  EpochLens(Shard::State& state, ContNumber container, model::Epoch epoch);
  Result<std::optional<ByteView>> get(ByteView key) override;
  std::unique_ptr<LensCursor> cursor(ByteView within) override;

 private:
  index::Tree& tree_;
  model::Epoch epoch_;
  std::vector<model::Epoch> slots_;  // ascending
};

/// The view that a read at an epoch takes, kEpochMax for what is newest. It ends with the step.
class ReadView {
 public:
  ReadView(Shard::State& state, ContNumber container, model::Epoch epoch)
      : records_(records_at(state, container, epoch)), view_(make(state, container)) {}
  ReadView(const ReadView&) = delete;
  ReadView& operator=(const ReadView&) = delete;
  const View& view() const { return view_; }
  /// The same without what stands in buffers of flattened objects.
  const View& records() const { return records_; }
  /// Null: the container has nothing flattened.
  FlatLens* flat() { return flat_ ? &*flat_ : nullptr; }

 private:
  View records_at(Shard::State& state, ContNumber container, model::Epoch epoch) {
    if (epoch == model::kEpochMax) [[likely]] return View(state.tree());
    lens_.emplace(state, container, epoch);
    return View(state.tree(), &*lens_, epoch, View::Shows::committed);
  }
  View make(Shard::State& state, ContNumber container) {
    if (!state.flats.any(container)) [[likely]]
      return records_;
    flat_.emplace(state.flats, records_);
    return View(state.tree(), &*flat_, records_.epoch(), View::Shows::committed);
  }

  std::optional<EpochLens> lens_;
  View records_;
  std::optional<FlatLens> flat_;
  View view_;
};

/// Waits for what ended a step with page_absent: a page, or a flattened object's buffer.
/// @error as index::Store::load_absent(), and checksum, io of the buffer
inline Task<Result<void>> load_absent(Shard::State& state, index::Store::Attempt& attempt) {
  if (state.flats.misses()) return state.flats.load(*state.store);
  return state.store->load_absent(attempt);
}
/// @param hold  for a step that looks at many objects
inline Task<Result<void>> load_absent(Shard::State& state, index::Store::Attempt& attempt,
                                      Flats::Hold& hold) {
  if (state.flats.misses()) return state.flats.load(*state.store, &hold);
  return state.store->load_absent(attempt);
}
inline Task<Result<void>> load_absent(Shard::State& state, Flats::Hold* hold = nullptr) {
  if (state.flats.misses()) return state.flats.load(*state.store, hold);
  return state.store->load_absent();
}

}  // namespace cairn::vos
