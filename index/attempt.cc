// Attempts: how many operations that miss pages all get through (store.md rule 17). A page that was
// loaded for an operation is pinned until the operation ends. All pins together take at most half
// of memory; when that is used up, one attempt goes on pinning, and the others that miss something
// let go of their pages and wait until it is through. So however small memory is beside what is
// under way, one operation always comes to its end.
#include <algorithm>

#include "base/check.h"
#include "index/store_state.h"

namespace cairn::index {
namespace {

/// Pages loaded without an end, for each page that memory holds.
constexpr uint64_t kLoadsPerFrame = 8;

size_t pins_max(const Pager::State& s) { return s.frames_target / 2; }
/// Of the one that goes first, beyond what all together may have: then a step's frames remain.
size_t pins_of_one_max(const Pager::State& s) {
  return std::min(Store::kAttemptPagesMax, s.frames_target / 4);
}

}  // namespace

void Store::Attempt::release() {
  loads_ = 0;
  if (!state_ || (pins_.empty() && state_->first_attempt != this)) return;
  Pager::State& s = state_->pages();
  for (const Pin& pin : pins_) {
    // It may have been dropped meanwhile, and even its address may be another page's.
    Slot* slot = s.find(pin.page);
    if (slot != nullptr && slot->birth == pin.birth && slot->pins > 0) --slot->pins;
  }
  state_->pinned_pages -= pins_.size();
  pins_.clear();
  if (state_->first_attempt == this) state_->first_attempt = nullptr;
  state_->progress.wake_all();
}

Task<Result<void>> Store::Attempt::load(std::shared_ptr<State> state, Attempt& attempt,
                                        PageRef ref) {
  Pager::State& s = state->pages();
  attempt.state_ = state;
  // It alone could have had every page by now.
  if (++attempt.loads_ > kLoadsPerFrame * s.frames_limit) {
    co_return fail(Errc::no_memory,
                   "store: one step looks at more pages than memory holds; raise the budget");
  }
  if (state->pinned_pages >= pins_max(s) && state->first_attempt != &attempt) {
    if (state->first_attempt != nullptr) {
      attempt.release();
      while (state->first_attempt != nullptr && !state->is_stopped()) {
        co_await state->progress.wait();
      }
      co_return Result<void>{};  // the world moved: plan again
    }
    state->first_attempt = &attempt;
  }
  ++state->pinned_pages;  // others must count with it
  const auto loaded = co_await load_page(state, ref);
  // Where there was no room it was not loaded, and will be asked for again.
  Slot* slot = loaded ? s.find(ref.page_number()) : nullptr;
  if (slot == nullptr || attempt.pins_.size() >= pins_of_one_max(s)) {
    --state->pinned_pages;
    co_return loaded;
  }
  ++slot->pins;
  attempt.pins_.push_back({ref.page_number(), slot->birth});
  co_return Result<void>{};
}

Task<Result<void>> Store::load_absent(Attempt& attempt) {
  Pager::State& s = state_->pages();
  state_->load_ahead(std::exchange(s.ahead, {}));
  const Want want = std::exchange(s.want, Want::nothing);
  if (want == Want::page) return Attempt::load(state_, attempt, s.absent);
  return wait_for_want(state_, want, s.absent, s.wanted_pages);
}

Task<Result<void>> Store::load_absent() {
  Pager::State& s = state_->pages();
  state_->load_ahead(std::exchange(s.ahead, {}));
  return wait_for_want(state_, std::exchange(s.want, Want::nothing), s.absent, s.wanted_pages);
}

}  // namespace cairn::index
