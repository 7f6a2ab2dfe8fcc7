// YamlReader: a configuration file in YAML: values by their key's path, with errors that name the
// key and its line. The rules say which keys there are and what becomes of each.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tool {

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

/// What reading a file found.
struct Findings {
  std::vector<std::string> errors;   // the thing, the cause, the way out; all that can be found
  std::vector<std::string> notices;  // keys that are accepted and do nothing: one each
};

inline constexpr size_t kConfigBytesMax = 1 << 20;

class YamlReader {
 public:
  /// Both are borrowed.
  YamlReader(Findings& out, std::span<const KeyRule> rules) : out_(out), rules_(rules) {}

  /// Parses the text and calls `read` with its top, a map whose keys have been checked. What is no
  /// YAML, or no map, is an error.
  void read(std::string_view text, const std::function<void(const YAML::Node&)>& read);

  void error(std::string_view path, const std::string& what);
  void notice(std::string_view path, std::string_view what);

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
  bool is_prefix(const std::string& path) const;
  void apply_rule(const std::string& path, const YAML::Node& value);
  /// Unknown and refused keys are errors, noted ones notices.
  void check_keys(const YAML::Node& node, const std::string& prefix);

  Findings& out_;
  const std::span<const KeyRule> rules_;
  std::vector<std::string> noted_;
};

}  // namespace cairn::tool
