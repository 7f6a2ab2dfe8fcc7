// The configuration of daos_agent: daos_agent.yml with the keys that DAOS has; docs/server.md has
// the table.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/tool/yaml_reader.h"

namespace cairn::agent {

struct AgentConfig {
  std::vector<std::string> servers;  // HOST:PORT
  std::string runtime_dir = "/var/run/daos_agent";
  std::string log_file;  // empty: stderr
  bool insecure = false;
};

struct ConfigOutcome : tool::Findings {
  std::optional<AgentConfig> config = {};  // nullopt: `errors` says why
};

/// In the order of the table.
std::span<const tool::KeyRule> key_rules();
/// @param insecure  as if the file had transport_config.allow_insecure: true
ConfigOutcome parse_config(std::string_view text, bool insecure);

}  // namespace cairn::agent
