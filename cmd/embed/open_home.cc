#include "client/home.h"

#include <unistd.h>

#include "base/report.h"
#include "client/system.h"
#include "cmd/embed/home_graph.h"

namespace cairn::client {
namespace {

void add_part(HomeReport& report, std::string name, const index::Store::CheckReport& found) {
  report.parts.push_back({.name = std::move(name), .pages = found.pages, .records = found.records,
                          .blocks = found.blocks, .problems = found.problems});
}

void add_failure(HomeReport& report, std::string name, Error error) {
  report.parts.push_back({.name = std::move(name), .problems = {error.what()}});
}

Task<Result<HomeReport>> check_graph(embed::HomeGraph& graph, bool read_data) {
  HomeReport report;
  const auto config = co_await graph.config().check();
  if (config) {
    add_part(report, "system", *config);
  } else {
    add_failure(report, "system", config.error());
  }
  CO_TRY(pools, co_await graph.service().pools());
  for (const Uuid& pool : pools) {
    const std::string name = "pools/" + to_string(pool);
    vos::Shard* shard = graph.shards().shard(pool);
    if (shard == nullptr) {
      add_failure(report, name, {Errc::io, "cannot be opened; the line above says why"});
      continue;
    }
    const auto checked = co_await shard->check(read_data);
    if (checked) {
      add_part(report, name, *checked);
    } else {
      add_failure(report, name, checked.error());
    }
  }
  co_return report;
}

}  // namespace

Result<std::unique_ptr<System>> open_home(HomeOptions options) {
  TRY(graph, embed::HomeGraph::open({.home = std::move(options), .devices = {}, .at_step = {}}));
  return embed::make_system(std::move(graph));
}

Result<void> make_home(const std::string& path, std::vector<HomeDevice> devices) {
  TRY(resolved, embed::resolve_home(path));
  HomeOptions options;
  options.path = resolved;
  if (access((resolved + "/home").c_str(), F_OK) == 0) {
    report(Severity::error, resolved + ": there is a home already; use it, or choose another "
                                       "directory with CAIRN_HOME");
    return fail(Errc::already, "home: there is one already");
  }
  TRY(graph, embed::HomeGraph::open(
                 {.home = std::move(options), .devices = std::move(devices), .at_step = {}}));
  return graph->close();
}

Result<std::vector<HomeDeviceSpace>> home_devices(const std::string& path) {
  HomeOptions options;
  options.path = path;
  options.create = false;
  options.read_only = true;
  TRY(graph, embed::HomeGraph::open({.home = std::move(options), .devices = {}, .at_step = {}}));
  auto devices = graph->storage().devices();
  TRY(closed, graph->close());
  return devices;
}

Result<HomeReport> check_home(const std::string& path, bool read_data) {
  HomeOptions options;
  options.path = path;
  options.read_only = true;
  TRY(graph, embed::HomeGraph::open({.home = std::move(options), .devices = {}, .at_step = {}}));
  auto report = graph->context().run(check_graph(*graph, read_data));
  const auto closed = graph->close();
  if (report && !closed) add_failure(*report, "home", closed.error());
  return report;
}

}  // namespace cairn::client
