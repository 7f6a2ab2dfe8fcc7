// daos fs get-attr|set-attr|chmod; the rest of the resource is in copy.cc and files.cc.
#include "cmd/daos/daos.h"

namespace cairn::tool {

void add_filesystem_commands(Tool& tool) {
  tool.resource("filesystem", {"fs"}, "Files in POSIX containers");
  add_copy_command(tool);
  add_file_commands(tool);
}

}  // namespace cairn::tool
