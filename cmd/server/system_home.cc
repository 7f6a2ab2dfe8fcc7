#include "cmd/server/system_home.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include "base/report.h"
#include "cmd/embed/grow_home.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/join_system.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/machine_file.h"
#include "cmd/embed/storage_file.h"

namespace cairn::server {

namespace {

std::string roles_of(const Roles& roles) {
  std::string out;
  const auto add = [&out](bool wanted, const char* word) {
    if (wanted) out += (out.empty() ? "" : ",") + std::string(word);
  };
  add(roles.wal, "wal");
  add(roles.meta, "meta");
  add(roles.data, "data");
  return out;
}

Result<void> make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return {};
  report(Severity::error, path + ": cannot be made: " + error.message() +
                              "; change it in the configuration, or make it yourself");
  return fail(Errc::no_perm, "server: a directory cannot be made");
}

/// A file that is there keeps its size.
Result<void> make_device_file(const std::string& path, uint64_t bytes) {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) return {};
  if (bytes == 0) {
    report(Severity::error, path + ": is not there; say bdev_size, so that it is made");
    return fail(Errc::nonexistent, "server: a file of class file without a size");
  }
  TRY(parent, make_directories(std::filesystem::path(path).parent_path().string()));
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return embed::report_errno(path, "make the file", errno);
  int error = ::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  // Some file systems cannot reserve: then space is found out about when it is written.
  if (error == EOPNOTSUPP) error = ::ftruncate(fd, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  ::close(fd);
  if (error == 0) return {};
  ::unlink(path.c_str());
  return embed::report_errno(path, "reserve its bdev_size", error);
}

/// What two paths lead to is one device, whatever they are called.
using DeviceNumber = std::pair<dev_t, ino_t>;
std::optional<DeviceNumber> number_of(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  if (S_ISBLK(status.st_mode)) return DeviceNumber{status.st_rdev, 0};
  return DeviceNumber{status.st_dev, status.st_ino};
}

/// No device twice, also not one that an engine of the home has had under another name: whatever
/// else is allowed to be lost, that is not. @param engine_count  that the home has
Result<void> check_devices(const ServerConfig& config, uint32_t engine_count) {
  std::map<DeviceNumber, std::string> taken;
  for (uint32_t rank = 0; rank < config.engines.size(); ++rank) {
    std::vector<std::string> paths;
    for (const TierConfig& tier : config.engines[rank].tiers) {
      paths.insert(paths.end(), tier.bdev_list.begin(), tier.bdev_list.end());
    }
    const std::string directory = embed::engine_directory(config.home(), rank);
    const auto text = rank < engine_count ? embed::read_small_file(directory + "/storage",
                                                                   embed::kStorageFileBytesMax)
                                          : std::nullopt;
    size_t line = 0;
    auto devices = text ? embed::parse_storage(as_chars(*text), &line)
                        : Result<std::vector<embed::StorageDevice>>();
    if (devices) {
      for (const embed::StorageDevice& device : *devices) paths.push_back(device.path);
    }
    const std::string owner = "engine " + std::to_string(rank);
    for (const std::string& path : paths) {
      const auto number = number_of(path);
      if (!number) continue;
      const auto [found, fresh] = taken.emplace(*number, owner);
      if (fresh || found->second == owner) continue;
      report(Severity::error, path + ": is a device of " + found->second + " and of " + owner +
                                  "; give each its own");
      return fail(Errc::exists, "server: a device for two engines");
    }
  }
  return {};
}

/// Directories and files of engines from that rank on.
Result<void> make_places(const ServerConfig& config, uint32_t first) {
  TRY(apart, check_devices(config, first));
  for (uint32_t rank = first; rank < config.engines.size(); ++rank) {
    for (const TierConfig& tier : config.engines[rank].tiers) {
      if (tier.kind == TierClass::ram && !config.md_on_ssd()) {
        TRY(made, make_directories(tier.scm_mount));
      }
      if (tier.kind != TierClass::file) continue;
      for (const std::string& path : tier.bdev_list) {
        TRY(made, make_device_file(path, tier.bdev_bytes));
      }
    }
  }
  return {};
}

}  // namespace

Result<std::string> address_of(const std::string& interface) {
  if (interface.empty()) return std::string("0.0.0.0");
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return fail(Errc::io, "server: the interfaces cannot be listed");
  std::string found;
  for (const ifaddrs* each = all; each != nullptr && found.empty(); each = each->ifa_next) {
    const bool fits = each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET &&
                      interface == each->ifa_name;
    char text[INET_ADDRSTRLEN] = {};
    if (!fits) continue;
    sockaddr_in address;
    std::memcpy(&address, each->ifa_addr, sizeof address);
    if (inet_ntop(AF_INET, &address.sin_addr, text, sizeof text) != nullptr) found = text;
  }
  freeifaddrs(all);
  if (!found.empty()) return found;
  report(Severity::error, interface +
                              ": no interface of that name with an IPv4 address; `ip -4 "
                              "addr` lists them");
  return fail(Errc::nonexistent, "server: no such interface");
}

std::vector<client::HomeDevice> devices_of(const ServerConfig& config) {
  std::vector<client::HomeDevice> out;
  for (uint32_t rank = 0; rank < config.engines.size(); ++rank) {
    const std::vector<TierConfig>& tiers = config.engines[rank].tiers;
    if (!config.md_on_ssd()) {
      const Roles roles{.wal = true, .meta = true, .data = tiers.size() == 1};
      out.push_back({.path = tiers.front().scm_mount, .roles = roles_of(roles), .engine = rank});
    }
    for (size_t i = 1; i < tiers.size(); ++i) {
      for (const std::string& path : tiers[i].bdev_list) {
        out.push_back({.path = path, .roles = roles_of(tiers[i].roles), .engine = rank});
      }
    }
  }
  return out;
}

Result<std::optional<embed::HomeFile>> look_at_home(const ServerConfig& config, bool elsewhere) {
  const std::string home = config.home();
  if (!std::filesystem::exists(home)) return std::optional<embed::HomeFile>();
  TRY(found, embed::load_home(home));
  if (!found) return found;
  if (found->has_services() == elsewhere) {
    report(Severity::error, home + ": was formatted with the system's services " +
                                (elsewhere ? "on this machine" : "on another machine") +
                                ", mgmt_svc_replicas says otherwise: set it back, or give another "
                                "control_metadata.path (scm_mount) and format");
    return fail(Errc::invalid, "server: formatted for services elsewhere");
  }
  const uint32_t engines = static_cast<uint32_t>(config.engines.size());
  const uint32_t targets = config.engines.front().targets;
  if (elsewhere && found->engine_count < engines) {
    report(Severity::error, home + ": this machine has joined with " +
                                std::to_string(found->engine_count) +
                                " engines, and cannot get more; run a second daos_server for them, "
                                "with directories and ports of its own");
    return fail(Errc::invalid, "server: a machine that has joined gets no more engines");
  }
  if (found->engine_count <= engines && found->target_count == targets) return found;
  report(Severity::error,
         home + ": was formatted for " + std::to_string(found->engine_count) + " engines of " +
             std::to_string(found->target_count) + " targets; the configuration has " +
             std::to_string(engines) + " of " + std::to_string(targets) +
             ": set it back, or give it another control_metadata.path (scm_mount) and format");
  return fail(Errc::invalid, "server: formatted for another configuration");
}

namespace {

/// Everything but the home itself.
Result<std::vector<client::HomeDevice>> prepare_places(const ServerConfig& config, bool wipe) {
  const std::string home = config.home();
  // An attempt that did not get to its end has its ranks: the next one is the same machine.
  std::optional<embed::MachineFile> machine;
  if (!embed::has_home(home)) {
    if (const auto read = embed::read_machine(home)) machine = *read;
  }
  if (wipe) {
    TRY(removed, embed::remove_tree(home));
  }
  TRY(made, make_places(config, 0));
  TRY(parent, make_directories(std::filesystem::path(home).parent_path().string()));
  if (wipe && machine) {
    TRY(usable, embed::prepare_home(home, true));
    TRY(kept, embed::store_machine(home, *machine));
  }
  std::vector<client::HomeDevice> devices = devices_of(config);
  for (client::HomeDevice& device : devices) device.wipe = wipe;
  return devices;
}

/// The services tell only the kind of an error.
std::string join_trouble(const Error& error) {
  switch (error.code()) {
    case Errc::invalid:
      return "its engines must have as many targets as those of the system, and a machine that has "
             "joined keeps their number; change engines in the configuration";
    case Errc::no_perm:
    case Errc::not_supported:
      return "only systems of daos_server can be joined";
    case Errc::no_space:
      return "the system has as many engines as there can be";
    default:
      return error.what();
  }
}

}  // namespace

bool may_come(const Error& error) {
  switch (error.code()) {
    case Errc::unreachable:
    case Errc::timed_out:
    case Errc::uninitialized:
    case Errc::shutdown:
      return true;
    default:
      return false;
  }
}

Result<void> join_home(const ServerConfig& config, const ServicePlace& services, bool wipe) {
  TRY(devices, prepare_places(config, wipe));
  const auto joined = embed::join_system({.home = config.home(),
                                          .service = services.text,
                                          .addresses = services.addresses,
                                          .engines = static_cast<uint32_t>(config.engines.size()),
                                          .targets = config.engines.front().targets,
                                          .devices = std::move(devices)});
  if (joined) return {};
  if (!may_come(joined.error())) {
    report(Severity::error, services.text + ": this machine cannot join the system: " +
                                join_trouble(joined.error()));
  }
  return fail(joined.error());
}

Result<void> format_home(const ServerConfig& config, bool wipe) {
  TRY(devices, prepare_places(config, wipe));
  return client::make_home(config.home(),
                           {.devices = std::move(devices),
                            .targets = config.engines.front().targets,
                            .engines = static_cast<uint32_t>(config.engines.size())});
}

Result<void> grow_system(const ServerConfig& config, const embed::HomeFile& home, bool wipe) {
  TRY(made, make_places(config, home.engine_count));
  std::vector<client::HomeDevice> devices = devices_of(config);
  for (client::HomeDevice& device : devices) device.wipe = wipe;
  return embed::grow_home(config.home(), static_cast<uint32_t>(config.engines.size()),
                          std::move(devices));
}

std::string log_level(std::string_view mask) {
  const std::string_view first = mask.substr(0, mask.find(','));
  if (first == "DISABLED") return "off";
  if (first == "TRACE" || first == "DEBUG" || first == "INFO") return "info";
  if (first == "NOTICE" || first == "WARN") return "warning";
  return "error";
}

namespace {

/// The process of the first engine starts the others: what is set for it alone is as before.
void forget_env(const EngineConfig& first, embed::EngineLaunch& launch) {
  for (const std::string& pair : first.env_vars) {
    const std::string name = pair.substr(0, pair.find('='));
    const bool own = std::ranges::any_of(
        launch.env, [&name](const std::string& each) { return each.starts_with(name + "="); });
    if (own) continue;
    const char* const before = std::getenv(name.c_str());
    if (before != nullptr) {
      launch.env.push_back(name + "=" + before);
    } else {
      launch.unset.push_back(name);
    }
  }
}

/// Where an engine listens. In shared memory its port is its name, and TCP is for the others.
std::vector<std::string> listen_of(const std::string& provider, const std::string& at,
                                   uint16_t port) {
  if (provider == "ofi+tcp" || provider == "ofi+sockets") return {"tcp:" + at};
  if (provider == "ofi+shm") {
    return {"tcp:" + at, "ofi+shm://engine-" + std::to_string(port)};
  }
  return {provider + "://" + at};
}

}  // namespace

Result<embed::LaunchFile> launch_of(const ServerConfig& config, uint32_t first_rank) {
  embed::LaunchFile out;
  out.restart = config.auto_restart;
  out.restart_seconds = config.restart_delay_seconds;
  for (uint32_t i = 0; i < config.engines.size(); ++i) {
    const EngineConfig& engine = config.engines[i];
    TRY(address, address_of(engine.fabric_iface));
    embed::EngineLaunch& launch = out.engines[first_rank + i];
    launch.listen = listen_of(engine.provider.empty() ? config.provider : engine.provider,
                              address + ":" + std::to_string(engine.fabric_iface_port),
                              engine.fabric_iface_port);
    launch.log = engine.log_file.empty() ? config.control_log_file : engine.log_file;
    launch.level = log_level(engine.log_mask);
    launch.env = engine.env_vars;
    // Of a machine without the services no engine is the parent of others.
    if (i != 0 && first_rank == 0) forget_env(config.engines.front(), launch);
    if (engine.first_core) {
      launch.cores = std::to_string(*engine.first_core) + "-" +
                     std::to_string(*engine.first_core + engine.targets - 1);
    }
  }
  return out;
}

}  // namespace cairn::server
