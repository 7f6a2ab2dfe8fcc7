// cairn up | down | logs: the server of a home that stays.
#pragma once

#include "client/client.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

void add_server_commands(Tool& tool);

/// For `cairn status`: who serves the home now; null if nobody does.
Json server_json();
/// The same as a line for people; empty if nobody does.
std::string server_text(const Json& server);

/// The engines of a home; as text only where there are several.
Json engines_json(const std::vector<client::EngineInfo>& engines);
std::string engines_text(const std::vector<client::EngineInfo>& engines);

}  // namespace cairn::tool
