// What `cairn check` and `cairn scrub` say about damage, as text and as JSON.
#pragma once

#include <string>

#include "cmd/embed/home_check.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

/// One line: what cannot be read any more, and why.
std::string loss_line(const embed::StoreReport& store, const vos::Loss& loss);
Json loss_json(const embed::StoreReport& store, const vos::Loss& loss);
/// The parts' counts and problems; with `losses` what they lost.
Json stores_json(const std::vector<embed::StoreReport>& stores, bool losses);
/// "pools/UUID (tank)".
std::string store_title(const embed::StoreReport& store);

size_t problem_count(const std::vector<embed::StoreReport>& stores);

}  // namespace cairn::tool
