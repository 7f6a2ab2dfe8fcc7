#include "cmd/agent/agent_config.h"

#include <array>

namespace cairn::agent {

namespace {

using enum tool::Handling;
using tool::KeyRule;

constexpr const char* kNoCertificates = "certificates are not supported yet";
constexpr const char* kNoTelemetry = "there is no telemetry yet";
constexpr const char* kNoInterfaces = "clients connect as the kernel routes";

constexpr auto kRules = std::to_array<KeyRule>({
    {"name", honoured, "the name of the system: daos_server, no other"},
    {"access_points", honoured, "HOST or HOST:PORT of the system's server"},
    {"port", honoured, "of hosts without one; 10001"},
    {"runtime_dir", honoured, "where clients look (DAOS_AGENT_DRPC_DIR); /var/run/daos_agent"},
    {"log_file", honoured, "the agent's log; stderr without it"},
    {"control_log_mask", noted, "the agent says little"},
    {"transport_config.allow_insecure", honoured,
     "must be true: certificates are not supported yet"},
    {"transport_config.ca_cert", noted, kNoCertificates},
    {"transport_config.cert", noted, kNoCertificates},
    {"transport_config.key", noted, kNoCertificates},
    {"credential_config.cache_expiration", noted, kNoCertificates},
    {"credential_config.client_user_map", noted,
     "a client has the rights of whoever runs the system"},
    {"disable_caching", noted, "nothing is cached"},
    {"cache_expiration", noted, "nothing is cached"},
    {"disable_auto_evict", noted, "handles end with their processes, not with the agent"},
    {"enable_evict_on_start", noted, "handles end with their processes, not with the agent"},
    {"exclude_fabric_ifaces", noted, kNoInterfaces},
    {"include_fabric_ifaces", noted, kNoInterfaces},
    {"fabric_ifaces", noted, kNoInterfaces},
    {"telemetry_port", noted, kNoTelemetry},
    {"telemetry_enabled", noted, kNoTelemetry},
    {"telemetry_retain", noted, kNoTelemetry},
    {"telemetry_enabled_procs", noted, kNoTelemetry},
    {"telemetry_disabled_procs", noted, kNoTelemetry},
});

void read_top(tool::YamlReader& in, const YAML::Node& top, AgentConfig& config) {
  std::string name = "daos_server";
  in.text(top, "name", name);
  if (name != "daos_server") in.error("name", "the system is called daos_server");
  uint64_t port = 10'001;
  in.number(top, "port", port, 1, 65'535);
  config.servers = in.list(top, "access_points");
  if (!top["access_points"]) config.servers = {"localhost"};
  if (config.servers.empty()) in.error("access_points", "name a host at least");
  for (std::string& server : config.servers) {
    if (server.find(':') == server.npos) server += ":" + std::to_string(port);
  }
  in.text(top, "runtime_dir", config.runtime_dir);
  if (config.runtime_dir.empty() || config.runtime_dir.front() != '/') {
    in.error("runtime_dir", "give an absolute directory");
  }
  in.text(top, "log_file", config.log_file);
  const YAML::Node transport = top["transport_config"];
  bool in_file = false;
  if (transport && transport.IsMap()) {
    in.flag(transport, "transport_config.allow_insecure", in_file);
  }
  config.insecure |= in_file;
  if (!config.insecure) {
    in.error("transport_config.allow_insecure",
             "certificates are not supported yet: set it to true, or give -i (docs/security.md)");
  }
}

}  // namespace

std::span<const KeyRule> key_rules() { return kRules; }

ConfigOutcome parse_config(std::string_view text, bool insecure) {
  ConfigOutcome out;
  tool::YamlReader in(out, kRules);
  in.read(text, [&](const YAML::Node& top) {
    AgentConfig config{.insecure = insecure};
    read_top(in, top, config);
    if (out.errors.empty()) out.config = std::move(config);
  });
  return out;
}

}  // namespace cairn::agent
