// dmg system query|list-pools|leader-query and dmg storage query usage.
#include <unistd.h>

#include <cctype>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>

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

/// "0-2,5" as numbers; nullopt: not such a list.
std::optional<std::set<uint32_t>> parse_ranks(const std::string& text) {
  std::set<uint32_t> out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    uint32_t first = 0, last = 0;
    const char* const end = item.data() + item.size();
    auto parsed = std::from_chars(item.data(), end, first);
    last = first;
    if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
    }
    if (parsed.ec != std::errc() || parsed.ptr != end || last < first || last - first > 4096) {
      return std::nullopt;
    }
    for (uint32_t rank = first; rank <= last; ++rank) out.insert(rank);
  }
  return out;
}

Outcome no_such_ranks(const std::set<uint32_t>& ranks, bool json) {
  std::string list;
  for (const uint32_t rank : ranks) list += (list.empty() ? "" : ",") + std::to_string(rank);
  const Failure failure{
      "system query failed: non-existent ranks " + list, kStatusMisc, {}, no_members(nullptr)};
  if (!json) {
    std::printf("Query matches no ranks in system\n");
    std::fprintf(stderr, "ERROR: Unknown %zu rank%s: %s\n", ranks.size(),
                 ranks.size() == 1 ? "" : "s", list.c_str());
  }
  return std::unexpected(failure);
}

const char* state_of(const client::EngineInfo& engine) {
  switch (engine.state) {
    case client::EngineInfo::State::joined: return "Joined";
    case client::EngineInfo::State::starting: return "Starting";
    case client::EngineInfo::State::away: break;
  }
  return "Stopped";
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool wanted(const QueryArguments& a, const client::EngineInfo& engine) {
  const bool joined = engine.state == client::EngineInfo::State::joined;
  if (a.not_ok && joined) return false;
  return a.states.empty() || lower(a.states).find(lower(state_of(engine))) != std::string::npos;
}

Json member_json(const client::EngineInfo& engine, const std::string& address) {
  return {{"addr", address},
          {"state", lower(state_of(engine))},
          {"fault_domain", "/" + host_name()},
          {"rank", engine.rank},
          {"incarnation", engine.incarnation == 0 ? 0 : 1},
          {"uuid", to_string(Uuid{})},
          {"fabric_uri", engine.addresses.empty() ? "inproc" : engine.addresses.front()},
          {"secondary_fabric_uris", nullptr},
          {"fabric_contexts", 1},
          {"secondary_fabric_contexts", nullptr},
          {"info", ""},
          {"last_update", ""}};
}

/// One row for ranks of one state: "0-2".
std::string rank_ranges(const std::vector<uint32_t>& ranks) {
  std::string out;
  for (size_t i = 0; i < ranks.size();) {
    size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    out += (out.empty() ? "" : ",") + std::to_string(ranks[i]);
    if (end - i > 1) out += "-" + std::to_string(ranks[end - 1]);
    i = end;
  }
  return out.find_first_of(",-") == std::string::npos ? out : "[" + out + "]";
}

Outcome show(const QueryArguments& a, const std::vector<client::EngineInfo>& engines) {
  Json members = Json::array();
  std::map<std::string, std::vector<uint32_t>> by_state;
  std::vector<std::vector<std::string>> rows;
  for (const client::EngineInfo& engine : engines) {
    const std::string address = engine.addresses.empty() ? "in process" : engine.addresses.front();
    members.push_back(member_json(engine, address));
    by_state[state_of(engine)].push_back(engine.rank);
    rows.push_back({std::to_string(engine.rank), to_string(Uuid{}), address, "/" + host_name(),
                    state_of(engine), ""});
  }
  std::string text;
  if (a.verbose) {
    text = table({"Rank", "UUID", "Control Address", "Fault Domain", "State", "Reason"}, rows);
  } else {
    rows.clear();
    for (const auto& [state, ranks] : by_state) rows.push_back({rank_ranges(ranks), state});
    text = table({"Rank", "State"}, rows);
  }
  return Reply{text + "\n",
               {{"members", members},
                {"providers", Json::array({"inproc"})},
                {"sys_self_heal_policy", "exclude;pool_exclude;pool_rebuild"}}};
}

Outcome query(const QueryArguments& a, bool json) {
  const auto ranks = parse_ranks(a.ranks);
  if (!ranks) {
    return refuse(
        "invalid argument for flag `-r, --ranks' (expected ui.RankSetFlag): creating "
        "numeric set from \"[" +
        a.ranks + "]\": unexpected alphabetic character(s)");
  }
  return with_home(false, "system query failed", [&](client::System& system) -> Outcome {
    const auto engines = system.context().run(system.engines());
    if (!engines) return failure("system query failed", engines.error());
    std::set<uint32_t> unknown = *ranks;
    std::vector<client::EngineInfo> chosen;
    for (const client::EngineInfo& engine : *engines) {
      const bool named = ranks->empty() || unknown.erase(engine.rank) != 0;
      if (named && wanted(a, engine)) chosen.push_back(engine);
    }
    if (!unknown.empty()) return no_such_ranks(unknown, json);
    if (chosen.empty()) {
      return Reply{"Query matches no ranks in system\n", no_members(Json::array({"inproc"}))};
    }
    return show(a, chosen);
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
