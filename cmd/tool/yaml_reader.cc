#include "cmd/tool/yaml_reader.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace cairn::tool {

namespace {

std::string last_part(std::string_view path) {
  const size_t at = path.rfind('.');
  return std::string(at == path.npos ? path : path.substr(at + 1));
}

/// What could be a line of a file, or of a log.
bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

/// What does nothing anyway needs no word.
bool says_nothing(const YAML::Node& value) {
  if (value.IsNull()) return true;
  if (value.IsSequence()) return value.size() == 0;
  if (!value.IsScalar()) return false;
  const std::string& text = value.Scalar();
  return text.empty() || text == "0" || text == "false";
}

}  // namespace

void YamlReader::read(std::string_view text, const std::function<void(const YAML::Node&)>& read) {
  if (text.size() > kConfigBytesMax) {
    out_.errors.push_back("the file is longer than a MiB: not a configuration");
    return;
  }
  try {
    const YAML::Node top = YAML::Load(std::string(text));
    if (!top.IsMap()) {
      out_.errors.push_back("not a map of keys; see docs/server.md for an example");
      return;
    }
    check_keys(top, "");
    read(top);
  } catch (const YAML::Exception& error) {
    out_.errors.push_back("line " + std::to_string(error.mark.line + 1) +
                          ": not YAML: " + error.msg);
  }
}

void YamlReader::error(std::string_view path, const std::string& what) {
  std::string line = std::string(path) + ": " + what;
  if (std::ranges::find(out_.errors, line) == out_.errors.end()) {
    out_.errors.push_back(std::move(line));
  }
}

void YamlReader::notice(std::string_view path, std::string_view what) {
  if (std::ranges::find(noted_, path) != noted_.end()) return;
  noted_.emplace_back(path);
  out_.notices.push_back(std::string(path) + ": has no effect: " + std::string(what));
}

/// A key of which others begin: "engines", "engines.storage", "control_metadata".
bool YamlReader::is_prefix(const std::string& path) const {
  return std::ranges::any_of(
      rules_, [&](const KeyRule& rule) { return rule.path.starts_with(path + "."); });
}

void YamlReader::apply_rule(const std::string& path, const YAML::Node& value) {
  const auto rule = std::ranges::find(rules_, path, &KeyRule::path);
  if (rule == rules_.end()) {
    if (!is_prefix(path)) {
      error(path, "unknown key, line " + std::to_string(value.Mark().line + 1) +
                      "; docs/server.md lists those that there are");
    } else if (!value.IsMap() && !value.IsNull()) {
      error(path, "has keys of its own; it is no value");
    }
    return;
  }
  if (rule->handling == Handling::noted && !says_nothing(value)) notice(path, rule->says);
  if (rule->handling == Handling::refused && !says_nothing(value)) {
    error(path, std::string(rule->says));
  }
}

void YamlReader::check_keys(const YAML::Node& node, const std::string& prefix) {
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string path = prefix + (entry.first.IsScalar() ? entry.first.Scalar() : "?");
    if (!seen.insert(path).second) error(path, "stands there twice");
    apply_rule(path, entry.second);
    if (!is_prefix(path)) continue;
    if (entry.second.IsMap()) check_keys(entry.second, path + ".");
    if (!entry.second.IsSequence()) continue;
    for (const YAML::Node& item : entry.second) {
      if (item.IsMap()) check_keys(item, path + ".");
    }
  }
}

YAML::Node YamlReader::value(const YAML::Node& map, std::string_view path) const {
  const YAML::Node found = map[last_part(path)];
  return found && !found.IsNull() ? found : YAML::Node(YAML::NodeType::Undefined);
}

bool YamlReader::text(const YAML::Node& map, std::string_view path, std::string& into) {
  const YAML::Node found = value(map, path);
  if (!found) return false;
  if (!found.IsScalar()) {
    error(path, "give one word");
    return false;
  }
  if (!is_plain(found.Scalar())) {
    error(path, "has control characters");
    return false;
  }
  into = found.Scalar();
  return true;
}

bool YamlReader::flag(const YAML::Node& map, std::string_view path, bool& into) {
  std::string word;
  if (!text(map, path, word)) return false;
  if (word != "true" && word != "false") {
    error(path, "'" + word + "': give true or false");
    return false;
  }
  into = word == "true";
  return true;
}

bool YamlReader::number(const YAML::Node& map, std::string_view path, uint64_t& into,
                        uint64_t least, uint64_t most) {
  std::string word;
  if (!text(map, path, word)) return false;
  std::string_view digits = word;
  const bool hexadecimal = digits.starts_with("0x");
  if (hexadecimal) digits.remove_prefix(2);
  uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number, hexadecimal ? 16 : 10);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < least || number > most) {
    error(path, "'" + word + "': give a number from " + std::to_string(least) + " to " +
                    std::to_string(most));
    return false;
  }
  into = number;
  return true;
}

std::vector<std::string> YamlReader::list(const YAML::Node& map, std::string_view path) {
  std::vector<std::string> out;
  const YAML::Node found = value(map, path);
  if (!found) return out;
  if (found.IsScalar() && is_plain(found.Scalar())) return {found.Scalar()};
  bool fine = found.IsSequence();
  if (fine) {
    for (const YAML::Node& item : found) {
      fine = fine && item.IsScalar() && is_plain(item.Scalar());
      if (item.IsScalar()) out.push_back(item.Scalar());
    }
  }
  if (!fine) error(path, "give a list of words");
  return out;
}

std::vector<YAML::Node> YamlReader::maps(const YAML::Node& map, std::string_view path) {
  std::vector<YAML::Node> out;
  const YAML::Node found = value(map, path);
  if (!found) return out;
  bool fine = found.IsSequence();
  if (fine) {
    for (const YAML::Node& item : found) {
      fine = fine && item.IsMap();
      if (item.IsMap()) out.push_back(item);
    }
  }
  if (!fine) error(path, "give a list of maps");
  return out;
}

}  // namespace cairn::tool
