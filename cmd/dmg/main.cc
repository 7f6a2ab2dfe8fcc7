// dmg: the administrator's tool.
#include "client/home.h"
#include "cmd/dmg/dmg.h"

namespace cairn::tool {

Outcome with_home(bool create, const std::string& doing,
                  const std::function<Outcome(client::System&)>& work) {
  auto system = client::open_home({.path = {}, .create = create});
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
  facts.memory_bytes = pool.memory_bytes;
  facts.tiers[0] = {pool.meta_total, pool.meta_free};
  facts.tiers[1] = {pool.data_total, pool.data_free};
  return facts;
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
  Tool tool("dmg", "Administers pools of the home (CAIRN_HOME, default ~/.cairn)");
  bool ignored = false;
  std::string ignored_text;
  tool.app().add_flag("-i,--insecure", ignored, "accepted; a home is protected by its file modes");
  tool.app().add_flag("-d,--debug", ignored, "accepted");
  tool.app().add_option("-l,--host-list", ignored_text, "accepted; a home is one host");
  add_pool_commands(tool);
  add_system_commands(tool);
  add_version_commands(tool);
  return tool.main(argc, argv);
}
