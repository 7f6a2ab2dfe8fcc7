// The commands of dmg by resource. In one home there is one host, one engine (rank 0) and one
// target.
#pragma once

#include <functional>

#include "client/client.h"
#include "cmd/tool/pool_info.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

void add_pool_commands(Tool& tool);
void add_system_commands(Tool& tool);
/// Makes `command` the list of pools: `pool list` and `system list-pools` are one.
void add_list_command(Command& command);

/// Opens the home (made if absent and `create`), calls `work`, closes the home.
Outcome with_home(bool create, const std::string& doing,
                  const std::function<Outcome(client::System&)>& work);
PoolFacts facts_of(const client::PoolInfo& pool);

}  // namespace cairn::tool
