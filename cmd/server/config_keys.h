// Every key of daos_server.yml and what becomes of it.
#pragma once

#include <span>

#include "cmd/tool/yaml_reader.h"

namespace cairn::server {

using tool::Handling;
using tool::KeyRule;

/// In the order of the table in docs/server.md.
std::span<const KeyRule> key_rules();

}  // namespace cairn::server
