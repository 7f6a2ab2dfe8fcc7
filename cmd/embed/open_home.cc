#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/report.h"
#include "client/home.h"
#include "client/system.h"
#include "cmd/embed/agent_file.h"
#include "cmd/embed/client_graph.h"
#include "cmd/embed/home_door.h"
#include "cmd/embed/home_graph.h"
#include "cmd/embed/home_token.h"
#include "cmd/embed/machine_file.h"
#include "cmd/embed/server_start.h"

namespace cairn::client {

namespace {

bool test_mode(const HomeOptions& options) {
  return options.encode_messages || options.drop_chance > 0 || options.delay_us_max > 0 ||
         std::getenv("CAIRN_FABRIC_TEST") != nullptr;
}

Result<HomeMode> mode_of(const HomeOptions& options) {
  if (options.mode != HomeMode::from_environment) return options.mode;
  const char* text = std::getenv("CAIRN_MODE");
  const std::string_view mode = text != nullptr ? text : "";
  if (mode == "" || mode == "auto") {
    return test_mode(options) ? HomeMode::embed : HomeMode::automatic;
  }
  if (mode == "connect") return HomeMode::connect;
  if (mode == "embed") return HomeMode::embed;
  report(Severity::error, "CAIRN_MODE: '" + std::string(mode) +
                              "' is unknown; give auto, connect or embed, or unset it");
  return fail(Errc::invalid, "home: CAIRN_MODE is unknown");
}

std::string from_environment(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

/// CAIRN_SERVER=tcp:HOST:PORT or an address of libfabric; the token is in the file CAIRN_TOKEN,
/// else in CAIRN_HOME/token.
Result<std::unique_ptr<System>> connect_server(const std::string& server,
                                               const std::string& home) {
  const auto address = parse_address(server);
  const bool no_port = address && address->port == 0 && address->provider != kShmProvider;
  if (!address || address->kind == Address::Kind::unix_path || no_port) {
    report(Severity::error,
           "CAIRN_SERVER: '" + server + "': " +
               (address ? "give tcp:HOST:PORT or ofi+PROVIDER://HOST:PORT, with a port"
                        : address.error().what()));
    return fail(Errc::invalid, "home: CAIRN_SERVER is malformed");
  }
  std::string file = from_environment("CAIRN_TOKEN");
  const bool named = !file.empty();
  if (!named) {
    TRY(path, embed::resolve_home(home));
    file = path + "/token";
  }
  // A system of daos_server asks for none.
  fabric::Token token{};
  if (named || access(file.c_str(), F_OK) == 0) {
    TRY(read, embed::read_token(file));
    token = read;
  }
  auto addresses = resolve_blocking(*address);
  if (!addresses) {
    report(Severity::error, "CAIRN_SERVER: '" + server + "': " + addresses.error().what());
    return fail(addresses.error());
  }
  auto graph = embed::ClientGraph::open_at(std::move(*addresses), token);
  if (!graph) {
    const bool stranger = graph.error().code() == Errc::no_perm;
    const bool unable = graph.error().code() == Errc::not_supported;
    report(Severity::error, server + ": cannot connect: " + graph.error().what() +
                                (unable     ? std::string()
                                 : stranger ? "; its home has another token than " + file +
                                                ", or that is not there: copy it, or name it with "
                                                "CAIRN_TOKEN"
                                          : "; is it up (cairn up --listen " + server + ")?"));
    return fail(graph.error());
  }
  return embed::make_system(std::move(*graph));
}

Result<std::unique_ptr<System>> connect_home(const HomeOptions& options, bool start) {
  TRY(path, embed::resolve_home(options.path));
  const bool create = options.create && !options.read_only;
  TRY(usable, embed::prepare_home(path, create));
  TRY(found, embed::load_home(path));
  if (!found && !create) return embed::report_no_home(path);
  if (found && !found->has_services()) {
    TRY(machine, embed::must_read_machine(path));
    return connect_server("tcp:" + machine.service, path);
  }
  TRY(graph, embed::ClientGraph::open(path, start));
  return embed::make_system(std::move(graph));
}

/// Servers that ask for no token.
Result<std::unique_ptr<System>> connect_servers(const std::vector<std::string>& servers) {
  Error last(Errc::unreachable, "home: no server is named");
  for (const std::string& server : servers) {
    const auto address = parse_address("tcp:" + server);
    auto addresses = address ? resolve_blocking(*address)
                             : Result<std::vector<Address>>(fail(address.error()));
    if (!addresses) {
      report(Severity::error, server + ": " + addresses.error().what());
      last = addresses.error();
      continue;
    }
    auto graph = embed::ClientGraph::open_at(std::move(*addresses), {});
    if (graph) return embed::make_system(std::move(*graph));
    last = graph.error();
    const bool stranger = last.code() == Errc::no_perm;
    report(Severity::error,
           server + ": cannot connect: " + last.what() +
               (stranger ? "; its home asks for a token: set CAIRN_SERVER and CAIRN_TOKEN"
                         : "; is daos_server running there, with this port?"));
  }
  return fail(last);
}

}  // namespace

Result<std::unique_ptr<System>> open_home(HomeOptions options) {
  if (!options.servers.empty()) return connect_servers(options.servers);
  TRY(mode, mode_of(options));
  const std::string server = from_environment("CAIRN_SERVER");
  if (!server.empty() && mode != HomeMode::embed) return connect_server(server, options.path);
  const bool named = !options.path.empty() || !from_environment("CAIRN_HOME").empty();
  if (!named && mode != HomeMode::embed) {
    const std::vector<std::string> servers = embed::servers_of_agent();
    if (!servers.empty()) return connect_servers(servers);
  }
  if (mode != HomeMode::embed) {
    const bool start = mode == HomeMode::automatic && !embed::find_server_program().empty();
    auto served = connect_home(options, start);
    const bool nobody = !served && served.error().code() == Errc::unreachable;
    if (nobody && mode == HomeMode::connect) {
      report(Severity::error, "CAIRN_MODE is connect, and nobody serves the home; start a server "
                              "(cairn up), or unset CAIRN_MODE");
    }
    if (!nobody || start || mode == HomeMode::connect) return served;
  }
  TRY(graph, embed::HomeGraph::open({.home = std::move(options)}));
  return embed::make_system(std::move(graph));
}

Result<void> stop_server(const std::string& path) {
  TRY(resolved, embed::resolve_home(path));
  return embed::dismiss_server(resolved, true);
}

Result<void> make_home(const std::string& path, HomeLayout layout) {
  TRY(resolved, embed::resolve_home(path));
  if (layout.targets == 0 || layout.targets > embed::kHomeTargetsMax) {
    report(Severity::error, resolved + ": a home has 1 to 64 targets");
    return fail(Errc::invalid, "home: a home has 1 to 64 targets");
  }
  if (layout.engines == 0 || layout.engines > embed::kHomeEnginesMax) {
    report(Severity::error, resolved + ": a home has 1 to 64 engines");
    return fail(Errc::invalid, "home: a home has 1 to 64 engines");
  }
  for (uint32_t rank = 0; !layout.devices.empty() && rank < layout.engines; ++rank) {
    if (std::ranges::any_of(layout.devices, [rank](const HomeDevice& device) {
          return device.engine == rank;
        })) {
      continue;
    }
    report(Severity::error, resolved + ": engine " + std::to_string(rank) + " has no device; give "
                                       "each its own, make one engine with several targets, or "
                                       "describe them to daos_server");
    return fail(Errc::not_supported, "home: an engine without a device beside some with devices");
  }
  HomeOptions options;
  options.path = resolved;
  if (access((resolved + "/home").c_str(), F_OK) == 0) {
    report(Severity::error, resolved + ": there is a home already; use it, or choose another "
                                       "directory with CAIRN_HOME");
    return fail(Errc::already, "home: there is one already");
  }
  TRY(graph, embed::HomeGraph::open({.home = std::move(options),
                                     .devices = std::move(layout.devices),
                                     .targets = layout.targets,
                                     .engines = layout.engines}));
  return graph->close();
}

}  // namespace cairn::client
