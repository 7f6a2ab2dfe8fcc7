// Every key of daos_server.yml and what becomes of it.
#pragma once

#include <span>
#include <string_view>

namespace cairn::server {

enum class Handling {
  honoured,
  noted,    // accepted with a notice; does nothing
  refused,  // an error that says the way out
};

struct KeyRule {
  std::string_view path;  // "engines.storage.class": as in the file, lists left out
  Handling handling;
  std::string_view says;  // honoured: what it does; noted: why nothing; refused: the way out
};

/// In the order of the table in docs/server.md.
std::span<const KeyRule> key_rules();
/// Null: there is no such key.
const KeyRule* find_rule(std::string_view path);

}  // namespace cairn::server
