#include "client/home.h"

#include "client/system.h"
#include "cmd/embed/home_graph.h"

namespace cairn::client {
Result<std::unique_ptr<System>> open_home(HomeOptions options) {
  TRY(graph, embed::HomeGraph::open({.home = std::move(options), .at_step = {}}));
  return embed::make_system(std::move(graph));
}

}  // namespace cairn::client
