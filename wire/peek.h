// What is looked at in a request before somebody else checks and parses it. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace cairn::wire {

/// The target that an object request names, perhaps one that there is not. Nothing: a control
/// request, or bytes too short for a header.
std::optional<uint32_t> peek_target(ByteView message);

}  // namespace cairn::wire
