// dmg system query|list-pools|leader-query and dmg storage query usage.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "cmd/dmg/dmg.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

std::string host_name() {
  char name[256] = "localhost";
  if (gethostname(name, sizeof name - 1) != 0) return "localhost";
  return name;
}

struct QueryArguments {
  std::string ranks, states;
  bool verbose = false, not_ok = false;
};

Json no_members(Json providers) {
  return {{"members", nullptr},
          {"providers", std::move(providers)},
          {"sys_self_heal_policy", "exclude;pool_exclude;pool_rebuild"}};
}

Outcome no_such_ranks(const std::string& ranks, bool json) {
  const Failure failure{
      "system query failed: non-existent ranks " + ranks, kStatusMisc, {}, no_members(nullptr)};
  if (!json) {
    std::printf("Query matches no ranks in system\n");
    std::fprintf(stderr, "ERROR: Unknown 1 rank: %s\n", ranks.c_str());
  }
  return std::unexpected(failure);
}

Outcome query(const QueryArguments& a, bool json) {
  if (!a.ranks.empty() && a.ranks.find_first_not_of("0123456789,-") != std::string::npos) {
    return refuse(
        "invalid argument for flag `-r, --ranks' (expected ui.RankSetFlag): creating "
        "numeric set from \"[" +
        a.ranks + "]\": unexpected alphabetic character(s)");
  }
  if (!a.ranks.empty() && a.ranks != "0") return no_such_ranks(a.ranks, json);
  if (a.not_ok || (!a.states.empty() && a.states.find("joined") == std::string::npos)) {
    return Reply{"Query matches no ranks in system\n", no_members(Json::array({"inproc"}))};
  }
  return with_home(false, "system query failed", [&](client::System&) -> Outcome {
    const std::string domain = "/" + host_name();
    const std::string address = "in process";
    const Json member{{"addr", address},
                      {"state", "joined"},
                      {"fault_domain", domain},
                      {"rank", 0},
                      {"incarnation", 1},
                      {"uuid", to_string(Uuid{})},
                      {"fabric_uri", "inproc"},
                      {"secondary_fabric_uris", nullptr},
                      {"fabric_contexts", 1},
                      {"secondary_fabric_contexts", nullptr},
                      {"info", ""},
                      {"last_update", ""}};
    const std::string text =
        a.verbose ? table({"Rank", "UUID", "Control Address", "Fault Domain", "State", "Reason"},
                          {{"0", to_string(Uuid{}), address, domain, "Joined", ""}})
                  : table({"Rank", "State"}, {{"0", "Joined"}});
    return Reply{text + "\n",
                 {{"members", Json::array({member})},
                  {"providers", Json::array({"inproc"})},
                  {"sys_self_heal_policy", "exclude;pool_exclude;pool_rebuild"}}};
  });
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
    std::vector<std::string> row{host_name()};
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
                  {"HostStorage", {{"0", {{"storage", storage}, {"hosts", host_name()}}}}}}};
  });
}

}  // namespace

void add_system_commands(Tool& tool) {
  tool.resource("system", {"sys"}, "The system");
  Command& query_command = tool.command("system", "query", {}, "Show its ranks");
  auto a = std::make_shared<QueryArguments>();
  query_command.app->add_option("-r,--ranks", a->ranks, "Only these ranks");
  query_command.app->add_flag("-v,--verbose", a->verbose, "With addresses and fault domains");
  query_command.app->add_flag("--not-ok", a->not_ok, "Only ranks that are not well");
  query_command.app->add_option("--with-states", a->states, "Only ranks in these states");
  query_command.run = [a, &tool] { return query(*a, tool.json()); };

  add_list_command(tool.command("system", "list-pools", {}, "List pools"));

  tool.resource("storage", {}, "Storage");
  Command& storage_query = tool.command("storage", "query", {}, "Ask about storage: usage");
  CLI::App* usage_app = storage_query.app->add_subcommand("usage", "Space by tier");
  usage_app->fallthrough();
  tool.adopt(usage_app).run = usage;
}

}  // namespace cairn::tool
