// What is known about each property: kind of value, default, valid numbers, when it may be set.
// Pure.
#pragma once

#include <daos_prop.h>
#include <daos_security.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "client/client.h"

namespace cairn::capi {

enum class ValueKind : uint8_t { number, text, pointer };
/// By type; unknown types are numbers.
ValueKind value_kind(uint32_t type);

/// When a container property may be given.
enum class Settable : uint8_t {
  at_create,  // later: not allowed
  always,
  by_system,  // never: invalid
};

struct PropRule {
  uint32_t type = 0;
  ValueKind kind = ValueKind::number;
  Settable settable = Settable::at_create;
  uint64_t initial = 0;  // numbers
  uint64_t least = 0, most = UINT64_MAX;
};

/// In the order in which a query for all properties answers.
std::span<const PropRule> cont_prop_rules();
std::span<const PropRule> pool_prop_rules();
const PropRule* cont_prop_rule(uint32_t type);

/// Whether a number is valid for the property, ranges with gaps included.
bool number_is_valid(const PropRule& rule, uint64_t value);

struct ParsedProp {
  uint32_t type = 0;
  uint64_t number = 0;  // not for labels
};
/// A container property from its text form, as daos_prop_from_str() takes it.
std::optional<ParsedProp> parse_cont_prop(std::string_view name, std::string_view value);

/// What a container is made with: its label apart, everything else as the client keeps it.
struct ContCreation {
  std::string label;
  client::Props props;
};
/// @error invalid  an unknown or repeated type, a value out of range, or one that only the system
/// sets
Result<ContCreation> creation_of(const daos_prop_t* prop, uint32_t redundancy_max);
/// Properties for a change. @error invalid; no_perm  only at creation
Result<client::Props> change_of(const daos_prop_t* prop);

/// Names of the calling user and group, "name@".
std::string caller_user();
std::string caller_group();

/// Fills what a query asks for (reference pool_container.md section 4): nothing for null,
/// everything into new entries for an empty list, else the values of the entries.
/// @error invalid  an unknown or repeated type   @error no_memory
Result<void> answer_cont(daos_prop_t* prop, const client::ContInfo& info);
Result<void> answer_pool(daos_prop_t* prop, const client::PoolInfo& info);

}  // namespace cairn::capi
