// A container as it was at an epoch: records of the live range and of every history slot at or
// above it, merged; what is newer is left out. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <optional>
#include <vector>

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
      : view_(make(state, container, epoch)) {}
  ReadView(const ReadView&) = delete;
  ReadView& operator=(const ReadView&) = delete;
  const View& view() const { return view_; }

 private:
  View make(Shard::State& state, ContNumber container, model::Epoch epoch) {
    if (epoch == model::kEpochMax) [[likely]] return View(state.tree());
    lens_.emplace(state, container, epoch);
    return View(state.tree(), &*lens_, epoch);
  }

  std::optional<EpochLens> lens_;
  View view_;
};

}  // namespace cairn::vos
