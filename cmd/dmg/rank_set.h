// Sets of ranks as administrators write them: "0-2,5".
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "cmd/tool/tool.h"

namespace cairn::tool {

/// Nullopt: not such a list.
std::optional<std::set<uint32_t>> parse_ranks(const std::string& text);
/// What the known tool says about one that is none.
std::unexpected<Failure> refuse_ranks(const std::string& text);

}  // namespace cairn::tool
