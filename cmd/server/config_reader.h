// Reader: values of a YAML tree by their key's path, with errors that name the key and its line.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>
#include <string_view>
#include <vector>

#include "cmd/server/config.h"

namespace cairn::server {

class Reader {
 public:
  explicit Reader(ConfigOutcome& out) : out_(out) {}

  void error(std::string_view path, const std::string& what);
  void notice(std::string_view path, std::string_view what);

  /// Every key below `node` is one that key_rules() has: unknown and refused ones are errors, noted
  /// ones notices, once each.
  void check_keys(const YAML::Node& node, const std::string& prefix);

  // The value of the last part of `path` in `map`. Absent: nothing happens, false. Of another kind:
  // an error, false.
  bool text(const YAML::Node& map, std::string_view path, std::string& into);
  bool flag(const YAML::Node& map, std::string_view path, bool& into);
  /// Decimal, or hexadecimal with 0x.
  bool number(const YAML::Node& map, std::string_view path, uint64_t& into, uint64_t least,
              uint64_t most);
  /// A list of scalars, or one scalar.
  std::vector<std::string> list(const YAML::Node& map, std::string_view path);
  /// A list of maps; anything else in it is an error.
  std::vector<YAML::Node> maps(const YAML::Node& map, std::string_view path);

 private:
  YAML::Node value(const YAML::Node& map, std::string_view path) const;
  void apply_rule(const std::string& path, const YAML::Node& value);

  ConfigOutcome& out_;
  std::vector<std::string> noted_;
};

/// What must fit together: engines alike, paths and ports apart, the rules of tiers and roles.
/// Gives tiers without roles theirs.
void check_shape(Reader& in, ServerConfig& config);

}  // namespace cairn::server
