#include "cmd/dmg/control_config.h"

#include <unistd.h>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "cmd/tool/yaml_reader.h"

namespace cairn::tool {

namespace {

constexpr uint32_t kPort = 10'001;
constexpr const char* kSiteFile = "/etc/daos/daos_control.yml";

struct ControlFile {
  std::vector<std::string> hosts{"localhost"};
  uint32_t port = kPort;
  bool insecure = false;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::stringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

std::optional<uint32_t> port_of(const std::string& text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  uint32_t out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    out = out * 10 + static_cast<uint32_t>(c - '0');
  }
  return out >= 1 && out <= 65'535 ? std::optional(out) : std::nullopt;
}

/// "host" or "host:port", as host:port; empty: neither.
std::string with_port(const std::string& host, uint32_t port) {
  const size_t at = host.rfind(':');
  if (at == host.npos) return host + ":" + std::to_string(port);
  return at > 0 && port_of(host.substr(at + 1)) ? host : std::string();
}

constexpr auto kRules = std::to_array<KeyRule>({
    {"name", Handling::honoured, "the name of the system: daos_server, no other"},
    {"port", Handling::honoured, "of hosts without one; 10001"},
    {"hostlist", Handling::honoured, "HOST or HOST:PORT; the first that answers counts"},
    {"transport_config.allow_insecure", Handling::honoured, "must be true, or -i given"},
    {"transport_config.ca_cert", Handling::noted, "certificates are not supported yet"},
    {"transport_config.cert", Handling::noted, "certificates are not supported yet"},
    {"transport_config.key", Handling::noted, "certificates are not supported yet"},
});

void read_keys(YamlReader& in, const YAML::Node& top, ControlFile& into) {
  std::string name = "daos_server";
  in.text(top, "name", name);
  if (name != "daos_server") in.error("name", "the system is called daos_server");
  uint64_t port = kPort;
  in.number(top, "port", port, 1, 65'535);
  into.port = static_cast<uint32_t>(port);
  if (top["hostlist"]) into.hosts = in.list(top, "hostlist");
  if (into.hosts.empty()) in.error("hostlist", "name a host at least");
  const YAML::Node transport = top["transport_config"];
  if (transport && transport.IsMap()) {
    in.flag(transport, "transport_config.allow_insecure", into.insecure);
  }
}

/// As the known tool words it: "no such file or directory".
std::string cause_of(int error) {
  std::string out = std::strerror(error);
  if (!out.empty()) out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
  return out;
}

std::expected<ControlFile, Failure> read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return refuse("failed to load control configuration: open " + path + ": " + cause_of(errno));
  }
  std::stringstream text;
  text << file.rdbuf();
  ControlFile out;
  Findings findings;
  YamlReader in(findings, kRules);
  in.read(text.str(), [&](const YAML::Node& top) { read_keys(in, top, out); });
  if (findings.errors.empty()) return out;
  return refuse(path + ": " + findings.errors.front());
}

/// Empty: none of them is there.
std::string usual_file() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    const std::string own = std::string(home) + "/.daos_control.yml";
    if (access(own.c_str(), F_OK) == 0) return own;
  }
  return access(kSiteFile, F_OK) == 0 ? kSiteFile : "";
}

bool is_set(const char* name) {
  const char* const text = std::getenv(name);
  return text != nullptr && *text != '\0';
}

}  // namespace

std::expected<ControlTarget, Failure> find_system(const ControlOptions& options) {
  ControlFile file;
  std::string path = options.file;
  const bool told = !path.empty() || !options.host_list.empty();
  // Who has named a home or a server means that one.
  if (!told && (is_set("CAIRN_SERVER") || is_set("CAIRN_HOME"))) return ControlTarget{};
  if (path.empty()) path = usual_file();
  if (path.empty() && !told) return ControlTarget{};
  if (!path.empty()) {
    auto read = read_file(path);
    if (!read) return std::unexpected(read.error());
    file = std::move(*read);
  }
  if (!options.host_list.empty()) file.hosts = split(options.host_list);
  if (!file.insecure && !options.insecure) {
    return refuse((path.empty() ? "-l" : path) +
                  ": certificates are not supported yet; use -i, or set "
                  "transport_config.allow_insecure to true");
  }
  ControlTarget out;
  for (const std::string& host : file.hosts) {
    out.servers.push_back(with_port(host, file.port));
    if (out.servers.back().empty()) return refuse("'" + host + "': give HOST or HOST:PORT");
  }
  return out;
}

}  // namespace cairn::tool
