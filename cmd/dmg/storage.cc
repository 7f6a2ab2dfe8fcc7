// dmg storage scan|format and dmg storage query usage|list-devices|list-pools.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "cmd/dmg/dmg.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

using Devices = std::vector<client::DeviceSpace>;

/// What shares its space among blobs: block devices and large files.
bool is_drive(const client::DeviceSpace& device) { return !device.directory; }

/// "name" between dashed rules, as answers of hosts begin.
std::string framed(const std::string& name) {
  const std::string rule(name.size(), '-');
  return rule + "\n" + name + "\n" + rule + "\n";
}

Json storage_json(Json drives) {
  return {{"nvme_devices", std::move(drives)},
          {"scm_modules", nullptr},
          {"scm_namespaces", nullptr},
          {"scm_mount_points", nullptr},
          {"smd_info", nullptr},
          {"reboot_required", false},
          {"mem_info", nullptr}};
}

Json by_host(const char* key, Json storage) {
  return {{"host_errors", Json::object()},
          {key, {{"0", {{"storage", std::move(storage)}, {"hosts", server_of_system()}}}}}};
}

Json drives_json(const Devices& devices) {
  Json out = Json::array();
  for (const client::DeviceSpace& device : devices) {
    if (!is_drive(device)) continue;
    out.push_back({{"pci_addr", device.path},
                   {"total_bytes", device.total_bytes},
                   {"avail_bytes", device.free_bytes},
                   {"rank", device.rank},
                   {"roles", device.roles}});
  }
  return out.empty() ? Json(nullptr) : out;
}

Outcome usage() {
  return with_home(false, "storage query usage failed", [](client::System& system) -> Outcome {
    auto pools = system.context().run(system.pool_list());
    if (!pools) return failure("storage query usage failed", pools.error());
    PoolFacts::Tier tiers[2];
    for (const client::PoolInfo& pool : *pools) {
      const PoolFacts facts = facts_of(pool);
      for (int i = 0; i < 2; ++i) {
        tiers[i].total += facts.tiers[i].total;
        tiers[i].free += facts.tiers[i].free;
      }
    }
    std::vector<std::string> row{host_of_system()};
    Json namespaces = Json::array();
    for (int i = 0; i < 2; ++i) {
      const auto& t = tiers[i];
      row.insert(
          row.end(),
          {si_bytes(t.total), si_bytes(t.free),
           t.total == 0 ? "N/A" : std::to_string((t.total - t.free) * 100 / t.total) + " %"});
      namespaces.push_back({{"tier", i},
                            {"total_bytes", t.total},
                            {"avail_bytes", t.free},
                            {"usable_bytes", t.free}});
    }
    const Json storage{{"nvme_devices", nullptr},   {"scm_modules", nullptr},
                       {"scm_namespaces", nullptr}, {"scm_mount_points", nullptr},
                       {"smd_info", nullptr},       {"reboot_required", false},
                       {"home_tiers", namespaces}};
    return Reply{table({"Hosts", "SCM-Total", "SCM-Free", "SCM-Used", "NVMe-Total", "NVMe-Free",
                        "NVMe-Used"},
                       {row}) +
                     "\n",
                 {{"host_errors", Json::object()},
                  {"HostStorage", {{"0", {{"storage", storage}, {"hosts", host_of_system()}}}}}}};
  });
}

Outcome scan(bool verbose) {
  return with_home(false, "storage scan failed", [&](client::System& system) -> Outcome {
    const auto devices = system.context().run(system.devices());
    if (!devices) return failure("storage scan failed", devices.error());
    uint64_t bytes = 0;
    size_t count = 0;
    std::vector<std::vector<std::string>> rows;
    for (const client::DeviceSpace& device : *devices) {
      if (!is_drive(device)) continue;
      bytes += device.total_bytes;
      ++count;
      rows.push_back(
          {device.path, si_bytes(device.total_bytes), device.roles, std::to_string(device.rank)});
    }
    const Json json = by_host("HostStorage", storage_json(drives_json(*devices)));
    if (!verbose) {
      return Reply{table({"Hosts", "SCM Total", "NVMe Total"},
                         {{host_of_system(), "0 B (0 modules)",
                           si_bytes(bytes) + " (" + std::to_string(count) + " controller" +
                               (count == 1 ? ")" : "s)")}}),
                   json};
    }
    std::string text =
        framed(host_of_system()) + "HugePage Size: 2.0 MB\n\n  No SCM modules found\n\n";
    text += rows.empty() ? "  No NVMe devices found\n\n"
                         : table({"Device", "Capacity", "Role(s)", "Rank"}, rows) + "\n";
    return Reply{text, json};
  });
}

Outcome format(bool force) {
  return with_home(false, "storage format failed", [&](client::System& system) -> Outcome {
    const auto planned = system.context().run(system.devices());
    if (!planned) return failure("storage format failed", planned.error());
    const auto done = system.context().run(system.storage_format(force));
    if (!done && done.error().code() == Errc::already) {
      return refuse(
          "storage format failed: the storage of the system is formatted already; to lose "
          "what it holds, stop daos_server, remove its directory and format anew");
    }
    if (!done && done.error().code() == Errc::exists) {
      return refuse("storage format failed: a device holds data already; --force loses it");
    }
    if (!done) return failure("storage format failed; the server's log says more", done.error());
    const auto drives = std::ranges::count_if(*planned, is_drive);
    const auto directories = static_cast<std::ptrdiff_t>(planned->size()) - drives;
    return Reply{"Format Summary:\n" + table({"Hosts", "SCM Devices", "NVMe Devices"},
                                             {{host_of_system(), std::to_string(directories),
                                               std::to_string(drives)}}),
                 by_host("HostStorage", storage_json(drives_json(*planned)))};
  });
}

Json smd_json(Json devices, Json pools) {
  Json storage = storage_json(nullptr);
  storage["smd_info"] = {{"devices", std::move(devices)}, {"pools", std::move(pools)}};
  return by_host("host_storage_map", std::move(storage));
}

Outcome list_devices() {
  return with_home(false, "storage query failed", [](client::System& system) -> Outcome {
    const auto devices = system.context().run(system.devices());
    if (!devices) return failure("storage query failed", devices.error());
    std::string text;
    Json list = Json::array();
    for (const client::DeviceSpace& device : *devices) {
      if (!is_drive(device)) continue;
      text += "    UUID:" + to_string(device.uuid) + " [TrAddr:" + device.path +
              "]\n      Roles:" + device.roles + " Rank:" + std::to_string(device.rank) +
              " State:NORMAL LED:NA\n";
      list.push_back(
          {{"uuid", to_string(device.uuid)},
           {"rank", device.rank},
           {"total_bytes", device.total_bytes},
           {"avail_bytes", device.free_bytes},
           {"roles", device.roles},
           {"ctrlr", {{"pci_addr", device.path}, {"dev_state", "NORMAL"}, {"led_state", "NA"}}}});
    }
    const bool none = list.empty();
    return Reply{framed(host_of_system()) + (none ? "  No devices found\n" : "  Devices\n" + text),
                 smd_json(none ? Json(nullptr) : std::move(list), Json::object())};
  });
}

Outcome list_pools() {
  return with_home(false, "storage query failed", [](client::System& system) -> Outcome {
    const auto devices = system.context().run(system.devices());
    if (!devices) return failure("storage query failed", devices.error());
    const auto pools = system.context().run(system.pool_list());
    if (!pools) return failure("storage query failed", pools.error());
    std::string text;
    Json list = Json::object();
    const bool drives = std::ranges::any_of(*devices, is_drive);
    for (const client::PoolInfo& pool : *pools) {
      if (!drives) continue;
      text += "    UUID:" + to_string(pool.uuid) + "\n";
      Json ranks = Json::array();
      const uint64_t each = pool.target_count / std::max<uint64_t>(1, pool.ranks.size());
      for (const uint32_t rank : pool.ranks) {
        std::string targets;
        for (uint64_t i = 0; i < each; ++i) targets += (i == 0 ? "" : " ") + std::to_string(i);
        text += "      Rank:" + std::to_string(rank) + " Targets:[" + targets + "]\n";
        ranks.push_back({{"rank", rank}, {"targets", each}});
      }
      list[to_string(pool.uuid)] = ranks;
    }
    return Reply{framed(host_of_system()) +
                     (text.empty() ? "  No pools with NVMe found\n" : "  Pools\n" + text),
                 smd_json(nullptr, std::move(list))};
  });
}

}  // namespace

void add_storage_commands(Tool& tool) {
  tool.resource("storage", {"sto"}, "Storage");
  auto verbose = std::make_shared<bool>(false);
  Command& scan_command = tool.command("storage", "scan", {}, "Show the devices");
  scan_command.app->add_flag("-v,--verbose", *verbose, "Each of them");
  scan_command.run = [verbose] { return scan(*verbose); };

  auto force = std::make_shared<bool>(false);
  Command& format_command =
      tool.command("storage", "format", {}, "Format the storage of a system that waits for it");
  format_command.app->add_flag("--force", *force, "Also devices that hold something: it is lost");
  format_command.app->add_flag("-v,--verbose", *verbose, "Accepted");
  format_command.run = [force] { return format(*force); };

  CLI::App* const query =
      tool.command("storage", "query", {}, "usage, list-devices, list-pools").app;
  const auto below = [&](const char* name, const char* title, Outcome (*run)()) {
    CLI::App* app = query->add_subcommand(name, title);
    app->fallthrough();
    tool.adopt(app).run = run;
  };
  below("usage", "Space by tier", usage);
  below("list-devices", "Devices by host", list_devices);
  below("list-pools", "Pools on devices", list_pools);
}

}  // namespace cairn::tool
