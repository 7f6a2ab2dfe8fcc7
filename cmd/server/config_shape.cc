#include "cmd/server/config_shape.h"

#include <algorithm>
#include <map>
#include <set>

namespace cairn::server {

namespace {

using Reader = tool::YamlReader;

constexpr const char* kStorage = "engines.storage";
constexpr const char* kRoles = "engines.storage.bdev_roles";
constexpr size_t kEnginesMax = 64;
constexpr uint32_t kCoresMax = 1 << 16;

/// 1 tier: wal,meta,data; 2: wal | meta,data; 3: wal | meta | data. As DAOS chooses.
void choose_roles(std::vector<TierConfig>& tiers) {
  const size_t devices = tiers.size() - 1;
  for (size_t i = 1; i <= devices; ++i) {
    tiers[i].roles = {.wal = i == 1, .meta = devices == 1 || i == 2, .data = i == devices};
  }
}

void check_roles(Reader& in, std::vector<TierConfig>& tiers) {
  const auto with = std::count_if(tiers.begin() + 1, tiers.end(),
                                  [](const TierConfig& tier) { return tier.roles.any(); });
  const auto devices = static_cast<std::ptrdiff_t>(tiers.size()) - 1;
  if (devices == 0) {
    in.error(kStorage,
             "control_metadata.path needs a tier of class file or kdev that holds the "
             "metadata; add one, or leave the path out");
    return;
  }
  if (with == 0) return choose_roles(tiers);
  if (with != devices) return in.error(kRoles, "give every tier of devices some, or none of them");
  Roles all;
  for (const TierConfig& tier : tiers) {
    const Roles& r = tier.roles;
    if ((r.wal && all.wal) || (r.meta && all.meta) || (r.data && all.data)) {
      in.error(kRoles, "each role is on one tier");
    }
    if (r.wal && r.data && !r.meta) in.error(kRoles, "wal and data go together only with meta");
    all = {all.wal || r.wal, all.meta || r.meta, all.data || r.data};
  }
  if (!all.wal || !all.meta || !all.data) in.error(kRoles, "one of wal, meta and data is missing");
}

void check_tiers(Reader& in, EngineConfig& engine, bool md_on_ssd) {
  std::vector<TierConfig>& tiers = engine.tiers;
  if (tiers.empty() || tiers.front().kind != TierClass::ram) {
    return in.error(kStorage, "the first tier is of class ram");
  }
  if (tiers.size() > 4) return in.error(kStorage, "there are at most three tiers of devices");
  std::set<TierClass> kinds;
  for (size_t i = 1; i < tiers.size(); ++i) {
    if (tiers[i].kind == TierClass::ram) {
      return in.error(kStorage, "only the first tier is of class ram");
    }
    kinds.insert(tiers[i].kind);
  }
  if (kinds.size() > 1) in.error(kStorage, "file and kdev do not mix");
  if (md_on_ssd) return check_roles(in, tiers);
  const bool roles = std::ranges::any_of(tiers, [](const TierConfig& t) { return t.roles.any(); });
  if (roles) in.error(kRoles, "needs control_metadata.path, where the system's own state is");
  if (tiers.size() > 2) {
    in.error(kStorage, "several tiers of devices need control_metadata.path and bdev_roles");
  }
  if (tiers.size() == 2) tiers[1].roles.data = true;
}

size_t device_count(const EngineConfig& engine) {
  size_t count = 0;
  for (const TierConfig& tier : engine.tiers) count += tier.bdev_list.size();
  return count;
}

/// Engines must not share what each has for itself.
void check_apart(Reader& in, const ServerConfig& config) {
  std::map<std::string, std::set<std::string>> taken;
  const auto take = [&](const char* path, const std::string& what) {
    if (!what.empty() && !taken[path].insert(what).second) {
      in.error(path, "'" + what + "' is given to two engines");
    }
  };
  for (const EngineConfig& engine : config.engines) {
    take("engines.log_file", engine.log_file);
    take("engines.fabric_iface_port",
         engine.fabric_iface + " port " + std::to_string(engine.fabric_iface_port));
    if (engine.fabric_iface_port == config.port) {
      in.error("engines.fabric_iface_port", "is the port of the system itself (key port)");
    }
    for (const TierConfig& tier : engine.tiers) {
      take("engines.storage.scm_mount", tier.scm_mount);
      for (const std::string& path : tier.bdev_list) take("engines.storage.bdev_list", path);
    }
  }
}

}  // namespace

void check_shape(tool::YamlReader& in, ServerConfig& config) {
  if (config.engines.empty()) {
    return in.error("engines", "a server needs one at least; see docs/server.md for an example");
  }
  if (config.engines.size() > kEnginesMax) return in.error("engines", "there are at most 64");
  for (EngineConfig& engine : config.engines) {
    check_tiers(in, engine, config.md_on_ssd());
    if (engine.first_core && *engine.first_core + engine.targets > kCoresMax) {
      in.error("engines.first_core",
               "its last core would be above " + std::to_string(kCoresMax - 1));
    }
  }
  const EngineConfig& first = config.engines.front();
  for (const EngineConfig& engine : config.engines) {
    if (engine.targets != first.targets) {
      in.error("engines.targets", "must be the same for all engines");
    }
    if (device_count(engine) != device_count(first)) {
      in.error("engines.storage.bdev_list", "all engines must have as many devices");
    }
  }
  check_apart(in, config);
}

}  // namespace cairn::server
