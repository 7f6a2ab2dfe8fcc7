// The commands of dmg by resource. A system has one host yet.
#pragma once

#include <functional>

#include "client/client.h"
#include "cmd/tool/pool_info.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

void add_pool_commands(Tool& tool);
void add_system_commands(Tool& tool);
void add_storage_commands(Tool& tool);
/// Makes `command` the list of pools: `pool list` and `system list-pools` are one.
void add_list_command(Command& command);

/// Opens the home (made if absent and `create`), calls `work`, closes the home.
Outcome with_home(bool create, const std::string& doing,
                  const std::function<Outcome(client::System&)>& work);
PoolFacts facts_of(const client::PoolInfo& pool);
/// Of every pool.
Result<std::vector<PoolFacts>> facts_of_all(client::System& system);
/// Metadata is on devices of its own, not in a directory.
bool has_md_on_ssd(client::System& system);
/// Of the server, as the administrator named it; "localhost" for a home.
std::string host_of_system();
/// The same with its port.
std::string server_of_system();

}  // namespace cairn::tool
