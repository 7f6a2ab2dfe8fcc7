// Labels of pools and containers: 1..127 characters of [A-Za-z0-9._:-], not in the form of a UUID,
// and not one of the texts that mean "no label". A name that parses as a UUID is always taken as
// one.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"

namespace cairn::model {

/// What the reference reports for a container or pool without a label; nobody may choose it.
inline constexpr std::string_view kContLabelNotSet = "container_label_not_set";
inline constexpr std::string_view kPoolLabelNotSet = "pool_label_not_set";

/// A label that somebody wants to give. @error invalid  the text says what is wrong with it
Result<void> check_label(std::string_view label);

/// A name by which somebody looks for a pool or container: a UUID (either case), or a label.
struct Name {
  std::optional<Uuid> uuid;   // else `label`
  std::string_view label;     // borrowed from the argument
};
/// @error invalid  neither a UUID nor a well-formed label
Result<Name> parse_name(std::string_view text);

}  // namespace cairn::model
