// The configuration of daos_server: the YAML file daos_server.yml with the keys that DAOS has. Each
// key is honoured, accepted with a notice, or refused with the way out; docs/server.md has the
// table (config_keys.h is its source). Unknown keys are errors.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/tool/yaml_reader.h"

namespace cairn::server {

/// What a tier is for; with metadata on SSD each role is on one tier.
struct Roles {
  bool wal = false, meta = false, data = false;
  bool any() const { return wal || meta || data; }
  friend bool operator==(const Roles&, const Roles&) = default;
};

enum class TierClass { ram, file, kdev };

/// A tier of an engine's storage.
struct TierConfig {
  TierClass kind = TierClass::ram;
  std::string scm_mount;  // ram: a directory; metadata lies there where no device has it
  std::vector<std::string> bdev_list;  // file: files; kdev: block devices
  uint64_t bdev_bytes = 0;             // file: of each one that is made
  Roles roles;                         // file, kdev; after parse_config() never empty
};

struct EngineConfig {
  uint32_t targets = 0;
  std::string fabric_iface;
  uint16_t fabric_iface_port = 0;
  std::optional<uint32_t> first_core;  // targets run on this core and those that follow
  std::string log_file;                // empty: into the server's log
  std::string log_mask = "ERR";
  std::string provider;               // of the file, where the engine has none
  std::vector<std::string> env_vars;  // NAME=value
  std::vector<TierConfig> tiers;
};

struct ServerConfig {
  std::vector<std::string> replicas;  // HOST or HOST:PORT; at most one
  std::string control_metadata_path;  // empty: none, and no metadata on SSD
  uint16_t port = 10'001;
  std::string control_iface;  // empty: all
  bool allow_insecure = false;
  std::string provider;
  std::optional<uint32_t> core_dump_filter;
  std::string control_log_file;  // empty: stderr
  std::string control_log_mask = "INFO";
  bool auto_restart = true;
  uint64_t restart_delay_seconds = 0;  // 0: not given
  std::vector<EngineConfig> engines;

  /// Metadata is on the devices, and roles say on which.
  bool md_on_ssd() const { return !control_metadata_path.empty(); }
  /// The home that the system lives in.
  std::string home() const;
};

/// What reading a configuration gave.
struct ConfigOutcome : tool::Findings {
  std::optional<ServerConfig> config = {};  // nullopt: `errors` says why
};

struct ConfigOptions {
  bool insecure = false;              // as if the file had transport_config.allow_insecure: true
  std::optional<uint16_t> port = {};  // each goes before the file's
  std::optional<uint32_t> targets = {}, first_core = {};  // of every engine
};
/// Reads the text of a file. All errors that can be found are told, not only the first.
ConfigOutcome parse_config(std::string_view text, ConfigOptions options = {});

}  // namespace cairn::server
