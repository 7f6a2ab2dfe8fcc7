// dmg system query|stop|start|list-pools.
#include <unistd.h>

#include <cctype>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "cmd/dmg/dmg.h"
#include "cmd/dmg/rank_set.h"
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
    case client::EngineInfo::State::await_format: return "AwaitFormat";
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

/// A machine is one.
std::string domain_of(const client::EngineInfo& engine) {
  return "/" + (engine.host.empty() ? host_name() : engine.host);
}

Json member_json(const client::EngineInfo& engine, const std::string& address) {
  return {{"addr", address},
          {"state", lower(state_of(engine))},
          {"fault_domain", domain_of(engine)},
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

Outcome show(const QueryArguments& a, const std::vector<client::EngineInfo>& engines) {
  Json members = Json::array();
  std::map<std::string, std::vector<uint32_t>> by_state;
  std::vector<std::vector<std::string>> rows;
  for (const client::EngineInfo& engine : engines) {
    const std::string address = engine.addresses.empty() ? "in process" : engine.addresses.front();
    members.push_back(member_json(engine, address));
    by_state[state_of(engine)].push_back(engine.rank);
    rows.push_back({std::to_string(engine.rank), to_string(Uuid{}), address, domain_of(engine),
                    state_of(engine), ""});
  }
  std::string text;
  if (a.verbose) {
    text = table({"Rank", "UUID", "Control Address", "Fault Domain", "State", "Reason"}, rows);
  } else {
    rows.clear();
    for (const auto& [state, ranks] : by_state) rows.push_back({ranks_text(ranks), state});
    text = table({"Rank", "State"}, rows);
  }
  return Reply{text + "\n",
               {{"members", members},
                {"providers", Json::array({"inproc"})},
                {"sys_self_heal_policy", "exclude;pool_exclude;pool_rebuild"}}};
}

Outcome query(const QueryArguments& a, bool json) {
  const auto ranks = parse_ranks(a.ranks);
  if (!ranks) return refuse_ranks(a.ranks);
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

/// The services have one replica: whoever answers.
Outcome leader_query(bool down_only) {
  return with_home(false, "system leader-query failed", [=](client::System& system) -> Outcome {
    const auto engines = system.context().run(system.engines());
    if (!engines) return failure("system leader-query failed", engines.error());
    const std::string leader = server_of_system();
    const Json json{{"current_leader", leader},
                    {"replicas", Json::array({leader})},
                    {"down_replicas", nullptr}};
    if (down_only) return Reply{"  Unresponsive Replicas: \n", json};
    return Reply{"Current Leader: " + leader + "\n   Replica Set: " + leader +
                     "\n  Unresponsive Replicas: \n",
                 json};
  });
}

struct RunArguments {
  std::string ranks;
  bool ignored = false;
};

/// A row for ranks with one result: "[0-2]".
Outcome results_of(const std::vector<client::RankResult>& results, bool run) {
  const char* const action = run ? "start" : "stop";
  std::map<std::string, std::vector<uint32_t>> by_result;
  Json list = Json::array();
  size_t errors = 0;
  for (const client::RankResult& result : results) {
    const bool failed = result.error != Errc::ok;
    errors += failed ? 1 : 0;
    by_result[failed ? result.text : "OK"].push_back(result.rank);
    list.push_back({{"Addr", host_of_system()},
                    {"Rank", result.rank},
                    {"Action", action},
                    {"Errored", failed},
                    {"Msg", result.text},
                    {"state", failed ? "unknown" : run ? "joined" : "stopped"}});
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [text, ranks] : by_result) rows.push_back({ranks_text(ranks), action, text});
  const std::string text = table({"Rank", "Operation", "Result"}, rows) + "\n";
  if (errors == 0) return Reply{text, {{"Results", list}}};
  std::fputs(text.c_str(), stderr);
  return std::unexpected(Failure{"system " + std::string(action) + " failed: " +
                                     std::to_string(errors) + " ranks had errors",
                                 kStatusMisc, {}, {{"Results", list}}});
}

Outcome set_running(const RunArguments& a, bool run) {
  const auto ranks = parse_ranks(a.ranks);
  if (!ranks) return refuse_ranks(a.ranks);
  const std::string doing = run ? "system start failed" : "system stop failed";
  return with_home(false, doing, [&](client::System& system) -> Outcome {
    const auto done =
        system.context().run(system.set_running({ranks->begin(), ranks->end()}, run));
    if (done) return results_of(*done, run);
    if (done.error().code() == Errc::nonexistent) {
      return refuse(doing + ": non-existent ranks " + a.ranks);
    }
    if (done.error().code() == Errc::not_supported) {
      return refuse(doing + ": the home is opened by this process; serve it first (cairn up)");
    }
    return failure(doing, done.error());
  });
}

void add_running(Tool& tool, const char* name, const char* title, bool run) {
  Command& command = tool.command("system", name, {}, title);
  auto a = std::make_shared<RunArguments>();
  command.app->add_option("-r,--ranks", a->ranks, "Only these ranks (default: all)");
  command.app->add_flag("--force", a->ignored, "Accepted; what is under way ends first");
  command.app->add_flag("--ignore-admin-excluded", a->ignored,
                        "Accepted; none can be excluded yet");
  command.run = [a, run] { return set_running(*a, run); };
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
  auto down_only = std::make_shared<bool>(false);
  Command& leader = tool.command("system", "leader-query", {}, "Show who leads the services");
  leader.app->add_flag("-N,--down-replicas", *down_only, "Only replicas that do not answer");
  leader.run = [down_only] { return leader_query(*down_only); };
  add_running(tool, "stop", "Stop engines; their data waits for dmg system start", false);
  add_running(tool, "start", "Start engines that were stopped or have died", true);
}

}  // namespace cairn::tool
