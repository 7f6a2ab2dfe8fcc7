#include "vos/flatten.h"

#include "vos/shard_state.h"

namespace cairn::vos {

const char* flatten_outcome_text(FlattenOutcome outcome) {
  switch (outcome) {
    case FlattenOutcome::flattened: return "flattened";
    case FlattenOutcome::already: return "flat already";
    case FlattenOutcome::absent: return "nothing of it is visible";
    case FlattenOutcome::too_large: return "its buffer or its index changes would be too large";
    case FlattenOutcome::too_many: return "too many keys at one level";
    case FlattenOutcome::long_key: return "a key of 4 KiB or more";
    case FlattenOutcome::snapshot: return "a snapshot lies between its changes";
    case FlattenOutcome::pending: return "a transaction waits for its outcome";
    case FlattenOutcome::reclaiming: return "what a punch left is still being removed";
    case FlattenOutcome::changed: return "it was changed meanwhile";
    case FlattenOutcome::fragmented: return "its large data stands in small pieces";
  }
  return "not known";
}

Task<Result<std::vector<Flattened>>> Shard::flatten(std::vector<ObjectPath> objects,
                                                    FlattenOptions options) {
  CO_TRY(hold, state_->gate.enter());
  if (objects.size() > kFlattenObjectsMax || options.inline_bytes_max > kFlatInlineBytesMax ||
      options.object_bytes_max > kFlatObjectBytesMax || options.keys_max > kFlatKeysMax) {
    co_return fail(Errc::invalid, "flatten: too many objects, or limits beyond what is possible");
  }
  co_return fail(Errc::not_supported, "flatten: objects of this pool cannot be flattened yet");
}

Task<Result<FlatUsage>> Shard::flat_usage(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  co_return FlatUsage{};
}

Task<Result<bool>> Shard::is_flat(const ObjectPath& object) {
  CO_TRY(hold, state_->gate.enter());
  if (object.container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  co_return false;
}

Task<Result<void>> Shard::clean_flat(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  co_return Result<void>{};
}

}  // namespace cairn::vos
