// cairn: what is ours alone. `init` makes a home on devices of one's choice, `status` tells what a
// home holds, `check` proves offline that it is whole.
#include <cstdio>
#include <filesystem>
#include <string>

#include "client/home.h"
#include "cmd/tool/format.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

namespace {

std::string home_name() {
  const char* home = std::getenv("CAIRN_HOME");
  return home != nullptr && *home != '\0' ? home : "~/.cairn";
}

std::string short_name(const client::PoolInfo& pool) {
  return pool.label.empty() ? to_string(pool.uuid).substr(0, 8) : pool.label;
}

/// "PATH=wal,meta,data" with ",wipe" at the end where a device may be overwritten; without roles
/// all of them.
client::HomeDevice parse_device(const std::string& text) {
  client::HomeDevice device;
  const size_t at = text.rfind('=');
  device.path = std::filesystem::absolute(text.substr(0, at)).lexically_normal().string();
  device.roles = at == std::string::npos ? "wal,meta,data" : text.substr(at + 1);
  constexpr std::string_view kWipe = ",wipe";
  if (device.roles.ends_with(kWipe)) {
    device.wipe = true;
    device.roles.resize(device.roles.size() - kWipe.size());
  }
  return device;
}

Outcome init(const std::vector<std::string>& devices) {
  std::vector<client::HomeDevice> list;
  Json names = Json::array();
  for (const std::string& text : devices) {
    list.push_back(parse_device(text));
    names.push_back({{"path", list.back().path}, {"roles", list.back().roles}});
  }
  const auto made = client::make_home({}, std::move(list));
  if (!made) return failure("cannot make the home " + home_name(), made.error());
  return Reply{"Home " + home_name() + " is made\n", {{"home", home_name()}, {"devices", names}}};
}

Outcome status() {
  auto system = client::open_home({.path = {}, .create = false, .read_only = true});
  if (!system) return failure("cannot open the home " + home_name(), system.error());
  auto pools = (*system)->context().run((*system)->pool_list());
  auto closed = (*system)->shutdown();
  if (!pools) return failure("cannot list the pools", pools.error());
  if (!closed) return failure("cannot close the home", closed.error());
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  uint64_t metadata = 0;
  for (const client::PoolInfo& pool : *pools) {
    metadata += pool.meta_used;
    list.push_back({{"label", pool.label},
                    {"uuid", to_string(pool.uuid)},
                    {"data_total", pool.data_total},
                    {"data_free", pool.data_free},
                    {"meta_total", pool.meta_total},
                    {"meta_free", pool.meta_free},
                    {"meta_used", pool.meta_used}});
    rows.push_back({short_name(pool), si_bytes(pool.data_total + pool.meta_total),
                    si_bytes(pool.data_total - pool.data_free), si_bytes(pool.meta_used)});
  }
  std::string text = "Home " + home_name() + ": " + std::to_string(pools->size()) + " pool" +
                     (pools->size() == 1 ? "" : "s") + "\n";
  if (!rows.empty()) text += table({"Pool", "Size", "Data", "Metadata"}, rows);
  auto devices = client::home_devices({});
  if (!devices) return failure("cannot look at the devices", devices.error());
  Json device_list = Json::array();
  rows.clear();
  for (const client::HomeDeviceSpace& device : *devices) {
    device_list.push_back({{"path", device.path},
                           {"roles", device.roles},
                           {"total", device.total_bytes},
                           {"free", device.free_bytes}});
    rows.push_back({device.path, device.roles, si_bytes(device.total_bytes),
                    si_bytes(device.free_bytes)});
  }
  text += "\n" + table({"Device", "Roles", "Size", "Free"}, rows);
  return Reply{text,
               {{"home", home_name()},
                {"pools", list},
                {"metadata_bytes", metadata},
                {"devices", device_list}}};
}

Outcome check(bool quick) {
  auto report = client::check_home({}, !quick);
  if (!report) return failure("cannot check the home " + home_name(), report.error());
  Json parts = Json::array();
  std::string text;
  size_t problems = 0;
  for (const auto& part : report->parts) {
    problems += part.problems.size();
    parts.push_back({{"name", part.name},
                     {"pages", part.pages},
                     {"records", part.records},
                     {"blocks", part.blocks},
                     {"problems", part.problems}});
    text += part.name + ": " + std::to_string(part.pages) + " pages, " +
            std::to_string(part.records) + " records, " + std::to_string(part.blocks) +
            " blocks: " +
            (part.problems.empty() ? "clean" : std::to_string(part.problems.size()) + " problems") +
            "\n";
    for (const std::string& problem : part.problems) text += "  " + problem + "\n";
  }
  const Json response{{"clean", problems == 0}, {"parts", parts}};
  if (problems == 0) return Reply{text, response};
  std::fputs(text.c_str(), stderr);
  return std::unexpected(Failure{"the home " + home_name() + " is damaged (" +
                                     std::to_string(problems) +
                                     " problems, listed above); copy what is readable elsewhere "
                                     "and keep the home for analysis",
                                 -static_cast<int>(Errc::checksum),
                                 {},
                                 response});
}

}  // namespace

}  // namespace cairn::tool

int main(int argc, char** argv) {
  using namespace cairn::tool;
  Tool tool("cairn", "Looks at a home (CAIRN_HOME, default ~/.cairn) of the store");
  Command& init_command = tool.command("", "init", {}, "Makes a home, on devices of your choice");
  std::vector<std::string> devices;
  init_command.app->add_option(
      "-d,--device", devices,
      "PATH[=ROLES[,wipe]]: a directory, block device or large file for the blobs of pools; ROLES "
      "are wal, meta, data (default: all). May be given several times. Without it, blobs are files "
      "in the home");
  init_command.run = [&devices] { return init(devices); };
  Command& status_command = tool.command("", "status", {}, "What the home holds");
  status_command.run = status;
  Command& check_command =
      tool.command("", "check", {}, "Proves offline that every store of the home is whole");
  bool quick = false;
  check_command.app->add_flag("-q,--quick", quick,
                              "do not read the data blocks, only all metadata");
  check_command.run = [&quick] { return check(quick); };
  return tool.main(argc, argv);
}
