// Where dmg finds the system: its command line, the file daos_control.yml, or the home.
#pragma once

#include <string>
#include <vector>

#include "cmd/tool/tool.h"

namespace cairn::tool {

struct ControlOptions {
  std::string file;       // -o; empty: those of the reference, where they exist
  std::string host_list;  // -l
  bool insecure = false;  // -i
};

struct ControlTarget {
  std::vector<std::string> servers;  // HOST:PORT, the first that answers counts; empty: the home
};

/// Without -l, -o, CAIRN_SERVER and CAIRN_HOME the files $HOME/.daos_control.yml and
/// /etc/daos/daos_control.yml are looked for; without those it is the home.
std::expected<ControlTarget, Failure> find_system(const ControlOptions& options);

}  // namespace cairn::tool
