#include "cmd/embed/agent_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "cmd/embed/home_dir.h"

namespace cairn::embed {

namespace {

constexpr const char* kName = "daos_agent.servers";
constexpr const char* kUsualDirectory = "/var/run/daos_agent";
constexpr size_t kBytesMax = 64 * 1024;

}  // namespace

Result<void> store_agent_file(const std::string& directory,
                              const std::vector<std::string>& servers) {
  std::string text;
  for (const std::string& server : servers) text += server + "\n";
  TRY(stored, store_small_file(directory, kName, as_bytes(text)));
  const std::string path = directory + "/" + kName;
  if (::chmod(path.c_str(), 0644) != 0) return report_errno(path, "let others read it", errno);
  return {};
}

void remove_agent_file(const std::string& directory) {
  ::unlink((directory + "/" + kName).c_str());
}

std::vector<std::string> servers_of_agent() {
  const char* const given = std::getenv("DAOS_AGENT_DRPC_DIR");
  const std::string directory = given != nullptr && *given != '\0' ? given : kUsualDirectory;
  std::vector<std::string> out;
  const auto bytes = read_small_file(directory + "/" + kName, kBytesMax);
  if (!bytes) return out;
  for (std::string_view rest = as_chars(*bytes); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.empty()) out.emplace_back(line);
  }
  return out;
}

}  // namespace cairn::embed
