// dmg: the administrator's tool.
#include <algorithm>

#include "client/home.h"
#include "cmd/dmg/control_config.h"
#include "cmd/dmg/dmg.h"

namespace cairn::tool {

namespace {

/// Of the command line; set by main() before any command runs.
ControlOptions& control_options() {
  static ControlOptions only;
  return only;
}

}  // namespace

Outcome with_home(bool create, const std::string& doing,
                  const std::function<Outcome(client::System&)>& work) {
  const auto target = find_system(control_options());
  if (!target) return std::unexpected(target.error());
  auto system = client::open_home({.servers = target->servers, .create = create});
  if (!system && !create && system.error().code() == Errc::nonexistent) {
    // A home that nobody has made yet is an empty system.
    system = client::open_home({});
  }
  if (!system) return failure(doing, system.error());
  Outcome outcome = work(**system);
  auto closed = (*system)->shutdown();
  if (outcome && !closed) return failure(doing, closed.error());
  return outcome;
}

PoolFacts facts_of(const client::PoolInfo& pool) {
  PoolFacts facts;
  facts.uuid = to_string(pool.uuid);
  facts.label = pool.label;
  facts.target_count = pool.target_count;
  facts.engine_count = pool.engine_count;
  facts.disabled_count = pool.disabled_count;
  facts.map_version = pool.map_version;
  facts.leader = pool.leader;
  facts.ranks = pool.ranks;
  facts.memory_bytes = pool.memory_bytes;
  facts.tiers[0] = {pool.meta_total, pool.meta_free};
  facts.tiers[1] = {pool.data_total, pool.data_free};
  return facts;
}

Result<std::vector<PoolFacts>> facts_of_all(client::System& system) {
  TRY(pools, system.context().run(system.pool_list()));
  const bool md_on_ssd = has_md_on_ssd(system);
  std::vector<PoolFacts> out;
  for (const client::PoolInfo& pool : pools) {
    out.push_back(facts_of(pool));
    out.back().md_on_ssd = md_on_ssd;
  }
  return out;
}

bool has_md_on_ssd(client::System& system) {
  const auto devices = system.context().run(system.devices());
  return devices && std::ranges::any_of(*devices, [](const client::DeviceSpace& device) {
    return !device.directory && device.roles.find("meta") != std::string::npos;
  });
}

std::string server_of_system() {
  const auto target = find_system(control_options());
  return !target || target->servers.empty() ? "localhost:10001" : target->servers.front();
}

std::string host_of_system() {
  const std::string server = server_of_system();
  return server.substr(0, server.rfind(':'));
}

namespace {

void add_version_commands(Tool& tool) {
  for (const auto& [name, title] :
       {std::pair{"version", "DAOS Admin Tool"}, {"server-version", "DAOS Control Server"}}) {
    Command& command = tool.command("", name, {}, std::string("Print the version of the ") + title);
    command.run = [title = title]() -> Outcome {
      return Reply{
          std::string(title) + " version " CAIRN_VERSION "\n",
          {{"name", title}, {"version", CAIRN_VERSION}, {"build_info", "cairn " CAIRN_VERSION}}};
    };
  }
}

}  // namespace

}  // namespace cairn::tool

int main(int argc, char** argv) {
  using namespace cairn::tool;
  Tool tool("dmg", "Administers a system (daos_control.yml), or the home (CAIRN_HOME)");
  bool ignored = false;
  std::string ignored_text;
  ControlOptions& control = control_options();
  tool.app().add_flag("-i,--insecure", control.insecure,
                      "without certificates; a home is protected by its file modes");
  tool.app().add_option("-l,--host-list", control.host_list,
                        "HOST[:PORT] of the system's server, several with commas");
  tool.app().add_option("-o,--config-path", control.file,
                        "default: ~/.daos_control.yml, then /etc/daos/daos_control.yml; without "
                        "either, the home");
  tool.app().add_flag("-d,--debug", ignored, "accepted");
  tool.app().add_flag("-J,--json-logging", ignored, "accepted");
  tool.app().add_flag("--allow-proxy", ignored, "accepted");
  tool.app().add_option("--log-file", ignored_text, "accepted; errors go to stderr");
  add_pool_commands(tool);
  add_system_commands(tool);
  add_storage_commands(tool);
  add_version_commands(tool);
  return tool.main(argc, argv);
}
