#include "cmd/dmg/control_config.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

namespace cairn::tool {

namespace {

constexpr uint32_t kPort = 10'001;
constexpr const char* kSiteFile = "/etc/daos/daos_control.yml";

struct ControlFile {
  std::vector<std::string> hosts{"localhost"};
  uint32_t port = kPort;
  bool insecure = false;
};

std::unexpected<Failure> bad_file(const std::string& path, const std::string& what) {
  return refuse(path + ": " + what);
}

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

std::string read_key(const std::string& key, const YAML::Node& value, ControlFile& into) {
  if (key == "name") {
    return value.as<std::string>() == "daos_server" ? "" : "name: the system is called daos_server";
  }
  if (key == "port") {
    const auto port = port_of(value.as<std::string>());
    if (!port) return "port: give a number from 1 to 65535";
    into.port = *port;
    return {};
  }
  if (key == "hostlist") {
    into.hosts =
        value.IsScalar() ? split(value.as<std::string>()) : value.as<std::vector<std::string>>();
    return into.hosts.empty() ? "hostlist: name a host at least" : "";
  }
  if (key == "transport_config") {
    for (const auto& entry : value) {
      const auto word = entry.first.as<std::string>();
      if (word == "allow_insecure") {
        into.insecure = entry.second.as<bool>();
      } else if (word != "ca_cert" && word != "cert" && word != "key") {
        return "transport_config." + word + ": unknown key";
      }
    }
    return {};
  }
  return key + ": unknown key; there are name, port, hostlist and transport_config";
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
  try {
    const YAML::Node top = YAML::Load(text.str());
    if (!top.IsMap() && !top.IsNull()) return bad_file(path, "not a map of keys");
    for (const auto& entry : top) {
      const auto wrong = read_key(entry.first.as<std::string>(), entry.second, out);
      if (!wrong.empty()) return bad_file(path, wrong);
    }
  } catch (const YAML::Exception& error) {
    return bad_file(path, "line " + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
  return out;
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
