// What the making and the extending of a pool share.
#pragma once

#include "service/shard_host.h"
#include "wire/control.h"

namespace cairn::service {

/// Adds targets that take part in placement from the map's generation on.
void add_targets(wire::PoolMap& map, const Targets& targets);

}  // namespace cairn::service
