#include "cmd/server/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <utility>

#include "cmd/server/config_keys.h"
#include "cmd/server/config_shape.h"

namespace cairn::server {

namespace {

using Reader = tool::YamlReader;

constexpr uint64_t kGB = 1'000'000'000;
constexpr uint32_t kTargetsMax = 64;

/// Two are TCP of our own, the others libfabric's.
constexpr std::string_view kProviders[] = {
    "ofi+tcp", "ofi+sockets", "ofi+tcp;ofi_rxm", "ofi+shm", "ofi+verbs;ofi_rxm", "ofi+cxi",
    "ofi+efa"};

bool is_provider(std::string_view text) {
  return std::ranges::find(kProviders, text) != std::end(kProviders);
}

void read_provider(Reader& in, const YAML::Node& map, std::string_view path, std::string& into) {
  in.text(map, path, into);
  if (!into.empty() && !is_provider(into)) {
    in.error(path, "'" + into +
                       "' is not supported; give ofi+tcp, ofi+tcp;ofi_rxm, ofi+shm, "
                       "ofi+verbs;ofi_rxm, ofi+cxi or ofi+efa");
  }
}

void read_mask(Reader& in, const YAML::Node& map, std::string_view path, std::string& into) {
  in.text(map, path, into);
  static constexpr std::string_view kMasks[] = {"DISABLED", "TRACE", "DEBUG", "INFO",
                                                "NOTICE",   "WARN",  "ERROR", "ERR",
                                                "CRIT",     "EMERG", "FATAL", "ALERT"};
  // "ERR,mgmt=DEBUG": the subsystems are another system's.
  const std::string first = into.substr(0, into.find(','));
  if (!first.empty() && std::ranges::find(kMasks, first) == std::end(kMasks)) {
    in.error(path, "'" + into + "' is no level; give DEBUG, INFO, NOTICE, WARN or ERROR");
  }
}

void read_roles(Reader& in, const YAML::Node& tier, Roles& roles) {
  for (const std::string& word : in.list(tier, "engines.storage.bdev_roles")) {
    bool* const role = word == "wal"    ? &roles.wal
                       : word == "meta" ? &roles.meta
                       : word == "data" ? &roles.data
                                        : nullptr;
    if (role == nullptr || std::exchange(*role, true)) {
      in.error("engines.storage.bdev_roles",
               "'" + word + "': give each of wal, meta and data at most once");
    }
  }
}

void read_ram(Reader& in, const YAML::Node& node, TierConfig& tier) {
  in.text(node, "engines.storage.scm_mount", tier.scm_mount);
  if (tier.scm_mount.empty() || tier.scm_mount.front() != '/') {
    in.error("engines.storage.scm_mount", "give a ram tier an absolute directory");
  }
  for (const char* key : {"bdev_list", "bdev_size", "bdev_roles"}) {
    if (node[key]) in.error("engines.storage." + std::string(key), "is not for a ram tier");
  }
}

void read_devices(Reader& in, const YAML::Node& node, TierConfig& tier) {
  tier.bdev_list = in.list(node, "engines.storage.bdev_list");
  for (const std::string& path : tier.bdev_list) {
    if (path.empty() || path.front() != '/') {
      in.error("engines.storage.bdev_list",
               "'" + path + "': give absolute paths; a PCI address is none, its block device is");
    }
  }
  if (tier.bdev_list.empty()) in.error("engines.storage.bdev_list", "a tier needs a device");
  uint64_t gigabytes = 0;
  in.number(node, "engines.storage.bdev_size", gigabytes, 0, 1'000'000'000);
  tier.bdev_bytes = gigabytes * kGB;
  if (tier.kind == TierClass::kdev && gigabytes != 0) {
    in.error("engines.storage.bdev_size", "is for files; a block device has its size");
  }
  read_roles(in, node, tier.roles);
  if (node["scm_mount"]) in.error("engines.storage.scm_mount", "is for ram tiers");
}

bool read_class(Reader& in, const YAML::Node& node, TierConfig& tier) {
  std::string kind;
  in.text(node, "engines.storage.class", kind);
  if (kind == "ram") {
    tier.kind = TierClass::ram;
  } else if (kind == "file") {
    tier.kind = TierClass::file;
  } else if (kind == "kdev") {
    tier.kind = TierClass::kdev;
  } else if (kind == "nvme") {
    in.error("engines.storage.class",
             "nvme: no PCI addresses are used; give class: kdev and the "
             "block device, such as /dev/nvme0n1, in bdev_list");
    return false;
  } else if (kind == "dcpm") {
    in.error("engines.storage.class",
             "dcpm: persistent memory is not supported; give class: ram "
             "and a directory as scm_mount");
    return false;
  } else {
    in.error("engines.storage.class", "'" + kind + "': give ram, file or kdev");
    return false;
  }
  return true;
}

void read_engine(Reader& in, const YAML::Node& node, EngineConfig& engine) {
  uint64_t number = 0;
  if (in.number(node, "engines.targets", number, 1, kTargetsMax)) {
    engine.targets = static_cast<uint32_t>(number);
  } else if (!node["targets"]) {
    in.error("engines.targets", "say how many targets an engine has");
  }
  in.text(node, "engines.fabric_iface", engine.fabric_iface);
  if (engine.fabric_iface.empty())
    in.error("engines.fabric_iface", "give an interface, such as lo");
  if (in.number(node, "engines.fabric_iface_port", number, 1, 65'535)) {
    engine.fabric_iface_port = static_cast<uint16_t>(number);
  } else if (!node["fabric_iface_port"]) {
    in.error("engines.fabric_iface_port", "give a port, such as 31416");
  }
  if (in.number(node, "engines.first_core", number, 0, 65'535)) {
    engine.first_core = static_cast<uint32_t>(number);
  }
  read_provider(in, node, "engines.provider", engine.provider);
  in.text(node, "engines.log_file", engine.log_file);
  read_mask(in, node, "engines.log_mask", engine.log_mask);
  engine.env_vars = in.list(node, "engines.env_vars");
  for (const std::string& pair : engine.env_vars) {
    const size_t at = pair.find('=');
    if (at == 0 || at == pair.npos) {
      in.error("engines.env_vars", "'" + pair + "': give NAME=value");
    }
  }
  for (const YAML::Node& item : in.maps(node, "engines.storage")) {
    TierConfig tier;
    if (!read_class(in, item, tier)) continue;
    tier.kind == TierClass::ram ? read_ram(in, item, tier) : read_devices(in, item, tier);
    engine.tiers.push_back(std::move(tier));
  }
}

void read_restarts(Reader& in, const YAML::Node& top, ServerConfig& config) {
  bool never = false;
  in.flag(top, "disable_engine_auto_restart", never);
  config.auto_restart = !never;
  in.number(top, "engine_auto_restart_min_delay", config.restart_delay_seconds, 0, 86'400);
  if (never && config.restart_delay_seconds != 0) {
    in.error("engine_auto_restart_min_delay", "does not go with disable_engine_auto_restart");
  }
}

void read_replicas(Reader& in, const YAML::Node& top, ServerConfig& config) {
  const bool both = top["mgmt_svc_replicas"] && top["access_points"];
  if (both) in.error("access_points", "is the old name of mgmt_svc_replicas: give one of them");
  const char* const key = top["access_points"] ? "access_points" : "mgmt_svc_replicas";
  config.replicas = in.list(top, key);
  if (config.replicas.size() > 1) {
    in.error(key, "the system service has one replica until there is consensus; give its host");
  }
}

void read_transport(Reader& in, const YAML::Node& top, ServerConfig& config) {
  if (top["transport_config"] && top["transport_config"].IsMap()) {
    bool in_file = false;
    in.flag(top["transport_config"], "transport_config.allow_insecure", in_file);
    config.allow_insecure |= in_file;
  }
  if (!config.allow_insecure) {
    in.error("transport_config.allow_insecure",
             "certificates are not supported yet: set it to true, in a network that you trust "
             "(docs/security.md)");
  }
}

void read_top(Reader& in, const YAML::Node& top, ServerConfig& config) {
  std::string text;
  in.text(top, "name", text);
  if (!text.empty() && text != "daos_server") {
    in.error("name", "'" + text + "': the system is called daos_server, for clients too");
  }
  read_replicas(in, top, config);
  if (top["control_metadata"] && top["control_metadata"].IsMap()) {
    in.text(top["control_metadata"], "control_metadata.path", config.control_metadata_path);
    const std::string& path = config.control_metadata_path;
    if (path.empty() || path.front() != '/') {
      in.error("control_metadata.path", "give an absolute directory");
    }
  }
  uint64_t number = 0;
  if (in.number(top, "port", number, 1, 65'535)) config.port = static_cast<uint16_t>(number);
  in.text(top, "control_iface", config.control_iface);
  read_transport(in, top, config);
  read_provider(in, top, "provider", config.provider);
  if (config.provider.empty()) in.error("provider", "say which one: ofi+tcp");
  if (in.number(top, "core_dump_filter", number, 0, UINT32_MAX)) {
    config.core_dump_filter = static_cast<uint32_t>(number);
  }
  read_mask(in, top, "control_log_mask", config.control_log_mask);
  in.text(top, "control_log_file", config.control_log_file);
  read_restarts(in, top, config);
  if (in.number(top, "system_ram_reserved", number, 0, UINT32_MAX) && number == 0) {
    in.error("system_ram_reserved", "0 leaves the system no memory; leave it out");
  }
  for (const YAML::Node& item : in.maps(top, "engines")) {
    EngineConfig engine;
    read_engine(in, item, engine);
    config.engines.push_back(std::move(engine));
  }
}

}  // namespace

std::string ServerConfig::home() const {
  if (md_on_ssd()) return control_metadata_path + "/daos_control";
  return engines.front().tiers.front().scm_mount + "/daos_control";
}

ConfigOutcome parse_config(std::string_view text, ConfigOptions options) {
  ConfigOutcome out;
  Reader in(out, key_rules());
  in.read(text, [&](const YAML::Node& top) {
    ServerConfig config{.allow_insecure = options.insecure};
    read_top(in, top, config);
    if (options.port) config.port = *options.port;
    for (EngineConfig& engine : config.engines) {
      if (options.targets) engine.targets = *options.targets;
      if (options.first_core) engine.first_core = options.first_core;
    }
    // What fits together is only worth a look where each part is fine.
    if (out.errors.empty()) check_shape(in, config);
    if (out.errors.empty()) out.config = std::move(config);
  });
  return out;
}

}  // namespace cairn::server
