// One slice of background flattening: objects that cannot be read keep no others from it. Internal
// to engine/. Home: the shard's reactor.
#pragma once

#include <optional>
#include <vector>

#include "vos/shard.h"

namespace cairn::engine {

/// What became of each object; nothing: the medium has lost some of it.
using SliceOutcomes = std::vector<std::optional<model::FlattenOutcome>>;

/// Errors as Shard::flatten(), but of what concerns all objects alone. Again is fine.
Task<Result<SliceOutcomes>> flatten_slice(vos::Shard& shard, std::vector<vos::ObjectPath> objects,
                                          vos::FlattenOptions options);

}  // namespace cairn::engine
