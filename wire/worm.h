// Between messages about containers' worm_* properties and the values of model/worm_policy.h.
#pragma once

#include <algorithm>

#include "model/worm_policy.h"
#include "wire/control.h"

namespace cairn::wire {

inline Worm worm_of(const model::WormPolicy& policy) {
  return {.inline_bytes_max = policy.inline_bytes_max,
          .object_bytes_max = policy.object_bytes_max,
          .compress = policy.compress,
          .cold_after_s = policy.cold_after_s,
          .sealed_at = policy.seal.epoch,
          .sealed_by = policy.seal.by};
}

/// @error invalid  not what model::check_worm_policy() takes
inline Result<model::WormPolicy> policy_of(const Worm& worm) {
  model::WormPolicy policy{.inline_bytes_max = worm.inline_bytes_max,
                           .object_bytes_max = worm.object_bytes_max,
                           .compress = worm.compress,
                           .cold_after_s = worm.cold_after_s,
                           .seal = {.epoch = worm.sealed_at, .by = worm.sealed_by}};
  TRY(sound, check_worm_policy(policy));
  return policy;
}

inline FlattenProgress progress_of(const model::FlattenProgress& progress) {
  return {.running = progress.running,
          .flat = progress.flat,
          .left = progress.left,
          .skipped = {progress.skipped.begin(), progress.skipped.end()},
          .damaged = progress.damaged};
}

/// Outcomes of a later version are left out.
inline model::FlattenProgress progress_of(const FlattenProgress& progress) {
  model::FlattenProgress out{
      .running = progress.running, .flat = progress.flat, .left = progress.left};
  out.damaged = progress.damaged;
  std::copy_n(progress.skipped.begin(), std::min(progress.skipped.size(), out.skipped.size()),
              out.skipped.begin());
  return out;
}

}  // namespace cairn::wire
