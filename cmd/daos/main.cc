// daos: the user tool. Pools are looked at, containers made and described, files copied. Runs in
// the user's process on the home (CAIRN_HOME, default ~/.cairn).
#include <daos_version.h>

#include "cmd/daos/daos.h"

namespace cairn::tool {

namespace {

std::string library_version() {
  return std::to_string(DAOS_API_VERSION_MAJOR) + "." + std::to_string(DAOS_API_VERSION_MINOR) +
         "." + std::to_string(DAOS_API_VERSION_FIX);
}

void add_version_command(Tool& tool) {
  Command& command = tool.command("", "version", {}, "Versions of this tool and of libdaos");
  command.run = []() -> Outcome {
    return Reply{"DAOS CLI version " CAIRN_VERSION ", libdaos v" + library_version() + "\n",
                 {{"name", "DAOS CLI"},
                  {"version", CAIRN_VERSION},
                  {"revision", ""},
                  {"dirty", false},
                  {"release", true},
                  {"build_time", ""},
                  {"build_info", "cairn " CAIRN_VERSION}}};
  };
}

}  // namespace

}  // namespace cairn::tool

int main(int argc, char** argv) {
  using namespace cairn::tool;
  Tool tool("daos", "Uses pools and containers of the home (CAIRN_HOME, default ~/.cairn)");
  bool ignored = false;
  std::string ignored_text;
  tool.app().add_flag("--debug", ignored, "accepted");
  tool.app().add_option("-G,--sys-name", ignored_text, "accepted; a home is one system");
  add_pool_commands(tool);
  add_container_commands(tool);
  add_filesystem_commands(tool);
  add_flatten_commands(tool);
  add_seal_commands(tool);
  add_version_command(tool);
  return tool.main(argc, argv);
}
