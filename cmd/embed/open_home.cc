#include "client/home.h"

#include <unistd.h>

#include "base/report.h"
#include "client/system.h"
#include "cmd/embed/home_graph.h"

namespace cairn::client {
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

}  // namespace cairn::client
