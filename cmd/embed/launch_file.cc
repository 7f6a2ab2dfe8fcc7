#include "cmd/embed/launch_file.h"

#include <charconv>

#include "base/report.h"
#include "cmd/embed/home_dir.h"

namespace cairn::embed {

namespace {

constexpr std::string_view kHead = "cairn launch ";
constexpr uint32_t kCoresMax = 1 << 16;
constexpr uint32_t kRankMax = 1 << 16;

template <class T>
bool parse_number(std::string_view text, T& into) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), into);
  return !text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

std::string_view next_line(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  return line;
}

bool read_restart(std::string_view value, LaunchFile& out) {
  if (value == "no") {
    out.restart = false;
    return true;
  }
  return parse_number(value, out.restart_seconds);
}

bool read_engine_line(std::string_view word, std::string_view value, EngineLaunch& engine) {
  const size_t at = value.find('=');
  if (word == "listen") {
    engine.listen.emplace_back(value);
  } else if (word == "log") {
    engine.log = value;
  } else if (word == "level") {
    engine.level = value;
  } else if (word == "cores" && parse_cores(value)) {
    engine.cores = value;
  } else if (word == "env" && at != value.npos && at != 0) {
    engine.env.emplace_back(value);
  } else if (word == "unset" && !value.empty() && at == value.npos) {
    engine.unset.emplace_back(value);
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::optional<CoreRange> parse_cores(std::string_view text) {
  const size_t at = text.find('-');
  CoreRange out;
  if (at == text.npos || !parse_number(text.substr(0, at), out.first) ||
      !parse_number(text.substr(at + 1), out.last)) {
    return std::nullopt;
  }
  if (out.last < out.first || out.last >= kCoresMax) return std::nullopt;
  return out;
}

EngineLaunch LaunchFile::of(uint32_t rank) const {
  const auto found = engines.find(rank);
  return found == engines.end() ? EngineLaunch{} : found->second;
}

std::string format_launch(const LaunchFile& launch) {
  std::string out = std::string(kHead) + "1\n";
  out += "restart " + (launch.restart ? std::to_string(launch.restart_seconds) : "no") + "\n";
  for (const auto& [rank, engine] : launch.engines) {
    out += "engine " + std::to_string(rank) + "\n";
    for (const std::string& address : engine.listen) out += "listen " + address + "\n";
    if (!engine.log.empty()) out += "log " + engine.log + "\n";
    if (!engine.level.empty()) out += "level " + engine.level + "\n";
    if (!engine.cores.empty()) out += "cores " + engine.cores + "\n";
    for (const std::string& pair : engine.env) out += "env " + pair + "\n";
    for (const std::string& name : engine.unset) out += "unset " + name + "\n";
  }
  return out;
}

Result<LaunchFile> parse_launch(std::string_view text, size_t* line) {
  *line = 0;
  const std::string_view head = next_line(text);
  if (!head.starts_with(kHead)) return fail(Errc::format_invalid, "launch: not such a file");
  if (head != std::string(kHead) + "1") {
    return fail(Errc::format_newer, "launch: written by a newer version");
  }
  LaunchFile out;
  EngineLaunch* engine = nullptr;
  for (size_t number = 2; !text.empty(); ++number) {
    const std::string_view whole = next_line(text);
    if (whole.empty() || whole.front() == '#') continue;
    const size_t at = whole.find(' ');
    const std::string_view word = whole.substr(0, at);
    const std::string_view value = at == whole.npos ? "" : whole.substr(at + 1);
    uint32_t rank = 0;
    bool fine = false;
    if (word == "engine" && parse_number(value, rank) && rank < kRankMax) {
      fine = !out.engines.contains(rank);
      engine = &out.engines[rank];
    } else if (word == "restart") {
      fine = read_restart(value, out);
    } else {
      fine = engine != nullptr && read_engine_line(word, value, *engine);
    }
    if (fine) continue;
    *line = number;
    return fail(Errc::format_invalid, "launch: a line that is none of its own");
  }
  return out;
}

Result<LaunchFile> read_launch(const std::string& path) {
  const auto bytes = read_small_file(path, kLaunchFileBytesMax);
  if (!bytes) {
    report(Severity::error, path + ": cannot be read; daos_server writes it");
    return fail(Errc::nonexistent, "launch: no such file");
  }
  size_t line = 0;
  auto out = parse_launch(as_chars(*bytes), &line);
  if (!out) {
    report(Severity::error, path + ", line " + std::to_string(line) + ": " + out.error().what() +
                                "; start daos_server again, which writes it anew");
  }
  return out;
}

}  // namespace cairn::embed
