// Properties of pools as administrators write and read them.
#pragma once

#include "client/client.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

/// "key:val[,key:val...]". Values that this version records without acting on them are named on
/// stderr, once each.
/// @error  a Failure whose message is that of the known tool: unknown keys, values out of range
std::expected<client::Props, Failure> parse_pool_props(const std::string& text);

/// dmg pool get-prop and set-prop.
void add_pool_prop_commands(Tool& tool);
/// The pool of that label or UUID; it need not be connected to.
std::expected<client::PoolInfo, Failure> find_pool(client::System& system, const std::string& doing,
                                                   const std::string& pool);
/// "unable to find pool service with label "x"", as scripts know it.
std::string pool_not_found(const std::string& pool);

}  // namespace cairn::tool
