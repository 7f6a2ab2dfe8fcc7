// Where the system's services are: on this machine, or on another one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/server/config.h"
#include "runtime/address.h"

namespace cairn::server {

/// Services of another machine.
struct ServicePlace {
  std::string text;                // HOST:PORT
  std::vector<Address> addresses;  // numeric
};

/// Nullopt: they are here, as mgmt_svc_replicas names this machine and its port, or nobody. BLOCKS
/// while a name is looked up. @error nonexistent, again, invalid  a line on stderr
Result<std::optional<ServicePlace>> services_of(const ServerConfig& config);

}  // namespace cairn::server
