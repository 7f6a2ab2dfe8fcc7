// cairn: what is ours alone. `init` makes a home on devices of one's choice, `status` tells what a
// home holds, `check` proves offline that it is whole and lists what is not, `scrub` does the part
// of it that needs no standstill.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "client/home.h"
#include "cmd/cairn/losses.h"
#include "cmd/cairn/server.h"
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

struct InitArguments {
  std::vector<std::string> devices;
  uint32_t targets = 1, engines = 1;
};

Outcome init(const InitArguments& a) {
  client::HomeLayout layout{.targets = a.targets, .engines = a.engines};
  Json names = Json::array();
  for (const std::string& text : a.devices) {
    layout.devices.push_back(parse_device(text));
    names.push_back({{"path", layout.devices.back().path}, {"roles", layout.devices.back().roles}});
  }
  const auto made = client::make_home({}, std::move(layout));
  if (!made) return failure("cannot make the home " + home_name(), made.error());
  return Reply{"Home " + home_name() + " is made\n",
               {{"home", home_name()}, {"devices", names}, {"targets", a.targets},
                {"engines", a.engines}}};
}

Outcome status() {
  auto system = client::open_home({.path = {}, .create = false, .read_only = true});
  if (!system) return failure("cannot open the home " + home_name(), system.error());
  auto pools = (*system)->context().run((*system)->pool_list());
  auto devices = (*system)->context().run((*system)->devices());
  auto engines = (*system)->context().run((*system)->engines());
  const Json server = server_json();
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
                    {"targets", pool.target_count},
                    {"engines", pool.engine_count},
                    {"data_total", pool.data_total},
                    {"data_free", pool.data_free},
                    {"meta_total", pool.meta_total},
                    {"meta_free", pool.meta_free},
                    {"meta_used", pool.meta_used}});
    rows.push_back({short_name(pool), std::to_string(pool.target_count),
                    si_bytes(pool.data_total + pool.meta_total),
                    si_bytes(pool.data_total - pool.data_free), si_bytes(pool.meta_used)});
  }
  std::string text = "Home " + home_name() + ": " + std::to_string(pools->size()) + " pool" +
                     (pools->size() == 1 ? "" : "s") + "\n" + server_text(server);
  if (!rows.empty()) text += table({"Pool", "Targets", "Size", "Data", "Metadata"}, rows);
  if (!devices) return failure("cannot look at the devices", devices.error());
  Json device_list = Json::array();
  rows.clear();
  for (const client::DeviceSpace& device : *devices) {
    device_list.push_back({{"path", device.path},
                           {"roles", device.roles},
                           {"total", device.total_bytes},
                           {"free", device.free_bytes}});
    rows.push_back({device.path, device.roles, si_bytes(device.total_bytes),
                    si_bytes(device.free_bytes)});
  }
  if (!engines) return failure("cannot look at the engines", engines.error());
  text += engines_text(*engines);
  text += "\n" + table({"Device", "Roles", "Size", "Free"}, rows);
  return Reply{text,
               {{"home", home_name()},
                {"server", server},
                {"pools", list},
                {"metadata_bytes", metadata},
                {"engines", engines_json(*engines)},
                {"devices", device_list}}};
}

std::string counts_line(const embed::StoreReport& store) {
  const size_t problems = std::max<size_t>(store.problems.size(), store.loss_count);
  return store.name + ": " + std::to_string(store.pages) + " pages, " +
         std::to_string(store.records) + " records, " + std::to_string(store.blocks) +
         " blocks: " + (problems == 0 ? "clean" : std::to_string(problems) + " problems") + "\n";
}

/// What `--losses` prints: one line for each thing that is lost, under the store's name.
std::string losses_text(const std::vector<embed::StoreReport>& stores) {
  std::string text;
  for (const embed::StoreReport& store : stores) {
    if (store.loss_count == 0 && store.problems.empty()) continue;
    text += store_title(store) + ":\n";
    // A shard that does not open, a copy of the superblock: nothing that has a key.
    for (size_t i = 0; store.loss_count == 0 && i < store.problems.size(); ++i) {
      text += "  " + store.problems[i] + "\n";
    }
    for (const vos::Loss& loss : store.losses) text += "  " + loss_line(store, loss) + "\n";
    const uint64_t more = store.loss_count - store.losses.size();
    if (more != 0) text += "  and " + std::to_string(more) + " more\n";
  }
  return text;
}

struct CheckFlags {
  bool quick = false;
  bool losses = false;
  bool json = false;  // the tool's
};

Outcome report_on(const std::vector<embed::StoreReport>& stores, const CheckFlags& flags) {
  const size_t problems = problem_count(stores);
  const Json response{{"clean", problems == 0}, {"parts", stores_json(stores, flags.losses)}};
  std::string text;
  for (const embed::StoreReport& store : stores) {
    if (flags.losses) break;
    text += counts_line(store);
    for (const std::string& problem : store.problems) text += "  " + problem + "\n";
  }
  if (flags.losses) text = losses_text(stores);
  if (problems == 0) return Reply{flags.losses ? "nothing is lost\n" : text, response};
  if (flags.losses) {
    // The list is the answer, whatever the exit status says.
    if (!flags.json) std::fputs(text.c_str(), stdout);
    return std::unexpected(Failure{"the home " + home_name() + " is damaged (" +
                                       std::to_string(problems) + " problems); what is not listed "
                                       "as lost can still be read",
                                   -static_cast<int>(Errc::checksum),
                                   {},
                                   response});
  }
  std::fputs(text.c_str(), stderr);
  return std::unexpected(Failure{"the home " + home_name() + " is damaged (" +
                                     std::to_string(problems) +
                                     " problems, listed above); copy what is readable elsewhere "
                                     "(--losses lists what is not) and keep the home for analysis",
                                 -static_cast<int>(Errc::checksum),
                                 {},
                                 response});
}

Outcome check(const CheckFlags& flags) {
  const auto stores =
      embed::check_stores({}, {.read_data = !flags.quick, .progress = {}});
  if (!stores) return failure("cannot check the home " + home_name(), stores.error());
  return report_on(*stores, flags);
}

/// One line on a terminal, written over itself.
void show_progress(const embed::StoreReport& store, const vos::ScrubReport& report) {
  const uint64_t total = std::max(report.pages_total, report.pages);
  std::fprintf(stderr, "\r%s: page %llu of %llu, %llu blocks, %llu losses ",
               store_title(store).c_str(), static_cast<unsigned long long>(report.pages),
               static_cast<unsigned long long>(total),
               static_cast<unsigned long long>(report.blocks),
               static_cast<unsigned long long>(report.loss_count));
}

Outcome scrub(const CheckFlags& flags) {
  const bool shown = isatty(STDERR_FILENO) != 0 && !flags.json;
  embed::HomeCheckOptions options{.read_data = !flags.quick, .scrub = true, .progress = {}};
  if (shown) options.progress = show_progress;
  const auto stores = embed::check_stores({}, std::move(options));
  if (shown) std::fputc('\n', stderr);
  if (!stores) return failure("cannot scrub the home " + home_name(), stores.error());
  return report_on(*stores, flags);
}

}  // namespace

}  // namespace cairn::tool

int main(int argc, char** argv) {
  using namespace cairn::tool;
  Tool tool("cairn", "Looks at a home (CAIRN_HOME, default ~/.cairn) of the store");
  Command& init_command = tool.command("", "init", {}, "Makes a home, on devices of your choice");
  InitArguments init_arguments;
  init_command.app->add_option(
      "-d,--device", init_arguments.devices,
      "PATH[=ROLES[,wipe]]: a directory, block device or large file for the blobs of pools; ROLES "
      "are wal, meta, data (default: all). May be given several times. Without it, blobs are files "
      "in the home");
  init_command.app->add_option("-t,--targets", init_arguments.targets,
                               "targets of each engine, 1 to 64: pools have a shard on each, and "
                               "wide objects spread over them (default: 1)");
  init_command.app->add_option("-e,--engines", init_arguments.engines,
                               "engines of the home, 1 to 64: served, each is a process of its own "
                               "(default: 1)");
  init_command.run = [&init_arguments] { return init(init_arguments); };
  Command& status_command = tool.command("", "status", {}, "What the home holds");
  status_command.run = status;
  add_server_commands(tool);
  Command& check_command =
      tool.command("", "check", {}, "Proves offline that every store of the home is whole");
  CheckFlags flags;
  check_command.app->add_flag("-q,--quick", flags.quick,
                              "do not read the data blocks, only all metadata");
  check_command.app->add_flag("-l,--losses", flags.losses,
                              "list exactly what cannot be read any more");
  check_command.run = [&] {
    flags.json = tool.json();
    return check(flags);
  };
  Command& scrub_command = tool.command(
      "", "scrub", {}, "Reads every page and block of the home's pools and compares checksums");
  scrub_command.app->add_flag("-q,--quick", flags.quick, "only metadata, not the data blocks");
  scrub_command.app->add_flag("-l,--losses", flags.losses,
                              "list exactly what cannot be read any more");
  scrub_command.run = [&] {
    flags.json = tool.json();
    return scrub(flags);
  };
  return tool.main(argc, argv);
}
