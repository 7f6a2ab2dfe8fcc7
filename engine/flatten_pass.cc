#include "engine/flatten_pass.h"

#include <algorithm>

#include "model/hlc.h"

namespace cairn::engine {

namespace {

using Outcome = model::FlattenOutcome;

/// Between two rounds of a pass: a second at first, then twice as long each time. One object that
/// waits for long costs a walk over the container each time.
constexpr Duration kRoundGapFirst = kSecond;
constexpr Duration kRoundGapMost = 3600 * kSecond;
constexpr unsigned kRoundDoublingsMax = 12;
/// Rounds in which what stands in too many pieces may still be merged.
constexpr unsigned kMergeRounds = 5;
/// A sealed container some of whose objects a snapshot keeps from it, or whose tree cannot be read
/// in some place, is looked through again.
constexpr Duration kAgainGap = 3600 * kSecond;
/// Between two searches for what is cold: a quarter of the time after which something is.
constexpr uint64_t kColdGapLeast_s = 60;
constexpr uint64_t kColdGapMost_s = 86'400;

bool passes_by_itself(Outcome outcome) {
  return outcome == Outcome::pending || outcome == Outcome::reclaiming ||
         outcome == Outcome::changed;
}

}  // namespace

vos::FlattenOptions flatten_options(const model::WormPolicy& policy,
                                    std::optional<uint64_t> cold_at_ns) {
  vos::FlattenOptions options;
  options.inline_bytes_max = std::min(policy.inline_bytes_max, vos::kFlatInlineBytesMax);
  options.object_bytes_max = std::min(policy.object_bytes_max, vos::kFlatObjectBytesMax);
  options.compress = policy.compress;
  if (!cold_at_ns || policy.seal.epoch != 0) return options;
  const uint64_t seconds = std::min(policy.cold_after_s, *cold_at_ns / kSecond);
  options.unchanged_since = model::epoch_of_wall_ns(*cold_at_ns - seconds * kSecond);
  return options;
}

bool FlattenPass::goes_on_under(const model::WormPolicy& policy) const {
  return policy.seal == policy_.seal && policy.cold_after_s == policy_.cold_after_s &&
         (policy == policy_ || passes_ == 0);
}

void FlattenPass::counted(const vos::ObjectShards& page) {
  total_ += page.objects.size();
  shown_.left = total_;
  position_ = page.position;
  if (!page.eof) return;
  counting_ = false;
  page_max_ = kPageMost;
  position_.clear();
}

bool FlattenPass::shorten() {
  if (page_max_ == 1) return false;
  page_max_ = std::max<size_t>(page_max_ / 4, 1);
  return true;
}

void FlattenPass::unreadable(Instant now) {
  if (counting_) {
    // What can be found is flattened all the same.
    counting_ = false;
    page_max_ = kPageMost;
    position_.clear();
    return;
  }
  // Nobody knows how many there are, behind what was counted.
  seen_.damaged += std::max<uint64_t>(total_ - std::min(total_, looked_), 1);
  cut_ = true;
  end_round(now);
}

void FlattenPass::add(std::optional<Outcome> outcome) {
  if (!outcome) {
    ++seen_.damaged;
  } else if (*outcome == Outcome::flattened || *outcome == Outcome::already) {
    ++seen_.flat;
  } else if (passes_by_itself(*outcome) ||
             (*outcome == Outcome::fragmented && is_sealed() && round_ < kMergeRounds)) {
    if (*outcome == Outcome::fragmented && !asked_for_merging_) {
      wants_merging_ = asked_for_merging_ = true;
    }
    ++again_;
  } else if (*outcome != Outcome::absent) {
    ++seen_.skipped[static_cast<size_t>(*outcome)];
  }
  if (outcome != Outcome::flattened || (round_ == 0 && passes_ == 0)) return;
  ++shown_.flat;
  shown_.left -= std::min<uint64_t>(shown_.left, 1);
}

void FlattenPass::flattened(const SliceOutcomes& outcomes, size_t warm,
                            const vos::ObjectShards& page, Instant now) {
  for (const auto& outcome : outcomes) add(outcome);
  again_ += warm;
  looked_ += page.objects.size();
  position_ = page.position;
  if (round_ == 0 && passes_ == 0) {
    shown_ = seen_;
    shown_.left = total_ - std::min(total_, looked_) + again_;
  }
  if (page.eof) end_round(now);
}

void FlattenPass::end_round(Instant now) {
  shown_ = seen_;
  shown_.left = again_;
  if (!is_sealed() || again_ == 0) {
    end_pass(now);
  } else {
    due_ = now + std::min(kRoundGapFirst << std::min(round_, kRoundDoublingsMax), kRoundGapMost);
    ++round_;
  }
  seen_ = {};
  looked_ = again_ = 0;
  page_max_ = kPageMost;
  cut_ = false;
  position_.clear();
}

void FlattenPass::end_pass(Instant now) {
  ++passes_;
  round_ = 0;
  asked_for_merging_ = false;
  if (!is_sealed()) {
    const uint64_t gap = std::clamp(policy_.cold_after_s / 4, kColdGapLeast_s, kColdGapMost_s);
    due_ = now + gap * kSecond;
  } else {
    due_ = cut_ || skipped(Outcome::snapshot) != 0 ? now + kAgainGap : kNever;
  }
}

model::FlattenProgress FlattenPass::progress() const {
  model::FlattenProgress out = shown_;
  const bool between = position_.empty() && looked_ == 0 && passes_ != 0 && round_ == 0;
  out.running = !between;
  return out;
}

}  // namespace cairn::engine
