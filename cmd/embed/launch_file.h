// The file `launch` of a home that daos_server runs: how its engines are started, beyond what the
// home itself says. Written anew at each start, from the configuration. Text; docs/formats/home.md.
//
//   cairn launch 1
//   restart no | restart SECONDS   engines that died: never, or so long after their last start
//   engine RANK                    the lines below are about this one
//   listen tcp:HOST:PORT           or ofi+PROVIDER://HOST:PORT
//   log PATH
//   level LEVEL                    CAIRN_LOG of the engine
//   cores FIRST-LAST
//   env NAME=VALUE
//   unset NAME                     what the process that starts it has, and it has not
//
// Empty lines and lines that begin with # are passed over.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cairn::embed {

inline constexpr size_t kLaunchFileBytesMax = 256 * 1024;

struct EngineLaunch {
  std::vector<std::string> listen;  // as --listen
  std::string log;                  // empty: server.log of the engine's directory
  std::string level;                // empty: as the server's
  std::string cores;                // "FIRST-LAST"; empty: all
  std::vector<std::string> env;     // NAME=VALUE
  std::vector<std::string> unset;   // NAME
  friend bool operator==(const EngineLaunch&, const EngineLaunch&) = default;
};

struct LaunchFile {
  bool restart = true;
  uint64_t restart_seconds = 0;  // 0: at once, then with pauses that grow
  std::map<uint32_t, EngineLaunch> engines;
  /// Of an engine that nothing is said about: the defaults.
  EngineLaunch of(uint32_t rank) const;
  friend bool operator==(const LaunchFile&, const LaunchFile&) = default;
};

/// Precondition: no value has a line feed.
std::string format_launch(const LaunchFile& launch);
/// @param line  gets the number of the line that is wrong, 0 where it is the whole
/// @error format_newer, format_invalid
Result<LaunchFile> parse_launch(std::string_view text, size_t* line);
/// @error nonexistent, format_invalid, format_newer  a line on stderr names the file
Result<LaunchFile> read_launch(const std::string& path);

/// The core numbers of "2-5". Nullopt: not such a text.
struct CoreRange {
  uint32_t first = 0, last = 0;
};
std::optional<CoreRange> parse_cores(std::string_view text);

}  // namespace cairn::embed
