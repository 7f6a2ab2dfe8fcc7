// What the parts of a configuration must have to do with each other.
#pragma once

#include "cmd/server/config.h"
#include "cmd/tool/yaml_reader.h"

namespace cairn::server {

/// What must fit together: engines alike, paths and ports apart, the rules of tiers and roles.
/// Gives tiers without roles theirs.
void check_shape(tool::YamlReader& in, ServerConfig& config);

}  // namespace cairn::server
