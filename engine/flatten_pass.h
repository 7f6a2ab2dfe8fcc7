// FlattenPass: how far the flattening of one container on one shard is. A pass is made of rounds
// over all of the container's objects: the first one, and further ones while some were in a state
// that passes. Decides, does nothing. Internal to engine/. Plain calls.
#pragma once

#include <optional>

#include "engine/flatten_slice.h"
#include "model/worm_policy.h"
#include "runtime/clock.h"

namespace cairn::engine {

/// @param cold_at_ns  wall time, for a search for what is cold: what changed within the policy's
///                    time before it stays. Nothing: whatever is asked for
vos::FlattenOptions flatten_options(const model::WormPolicy& policy,
                                    std::optional<uint64_t> cold_at_ns);

class FlattenPass {
 public:
  /// @param number  differs from that of any pass before it
  FlattenPass(model::WormPolicy policy, uint64_t number)
      : policy_(std::move(policy)), number_(number), counting_(is_sealed()) {}

  /// Does the policy ask for passes?
  static bool is_wanted(const model::WormPolicy& policy) {
    return policy.seal.epoch != 0 || policy.cold_after_s != 0;
  }
  /// A pass for the same reason goes on where it is, as far as it has not come to its end.
  bool goes_on_under(const model::WormPolicy& policy) const;
  void set_policy(const model::WormPolicy& policy) { policy_ = policy; }
  const model::WormPolicy& policy() const { return policy_; }
  uint64_t number() const { return number_; }
  bool is_sealed() const { return policy_.seal.epoch != 0; }
  /// A sealed container's objects are counted first, so that one can tell how many are left.
  bool is_counting() const { return counting_; }
  /// When the next slice is; kNever: all is done that can be.
  Instant due() const { return due_; }
  /// Objects of one listing, at most.
  size_t page_max() const { return page_max_; }
  /// Where the slice begins.
  const Bytes& position() const { return position_; }

  /// Takes what a slice has found. @param warm  objects of the page that were left out
  void counted(const vos::ObjectShards& page);
  void flattened(const SliceOutcomes& outcomes, size_t warm, const vos::ObjectShards& page,
                 Instant now);
  /// The next slice waits.
  void wait_until(Instant due) { due_ = due; }
  /// A listing cannot be read: a shorter one may end before what is lost. False: none is shorter.
  bool shorten();
  /// ... and what lies behind cannot be found: the round ends without it.
  void unreadable(Instant now);
  /// Passes that came to their end.
  uint64_t passes() const { return passes_; }
  /// Once a pass: some data stands in too many pieces.
  bool take_wish_for_merging() { return std::exchange(wants_merging_, false); }
  model::FlattenProgress progress() const;

 private:
  void add(std::optional<model::FlattenOutcome> outcome);
  void end_round(Instant now);
  void end_pass(Instant now);
  uint64_t skipped(model::FlattenOutcome outcome) const {
    return seen_.skipped[static_cast<size_t>(outcome)];
  }

  static constexpr size_t kPageMost = 256;

  model::WormPolicy policy_;
  uint64_t number_;
  bool counting_;
  Bytes position_;
  Instant due_ = 0;
  size_t page_max_ = kPageMost;
  bool cut_ = false;    // the round ended before its time
  unsigned round_ = 0;  // of the pass, from 0
  uint64_t passes_ = 0;
  bool wants_merging_ = false, asked_for_merging_ = false;
  uint64_t total_ = 0, looked_ = 0, again_ = 0;  // objects: counted; of the round
  model::FlattenProgress seen_;                  // of the round
  model::FlattenProgress shown_;                 // of the last one, and what came after it
};

}  // namespace cairn::engine
