// What daos_agent tells the programs of its machine: the file `daos_agent.servers` in its runtime
// directory, a line HOST:PORT for each server of the system. Anybody may read it; it is no secret.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::embed {

/// Atomically. @error no_perm, no_space, io  a line on stderr
Result<void> store_agent_file(const std::string& directory,
                              const std::vector<std::string>& servers);
void remove_agent_file(const std::string& directory);
/// Of the directory DAOS_AGENT_DRPC_DIR, else /var/run/daos_agent. Empty: no agent runs there.
std::vector<std::string> servers_of_agent();

}  // namespace cairn::embed
