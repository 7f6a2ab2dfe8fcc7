#include "cmd/server/replica.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/report.h"

namespace cairn::server {

namespace {

/// IPv4 addresses of this machine, as text.
std::set<std::string> own_addresses() {
  std::set<std::string> out;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return out;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address;
    std::memcpy(&address, each->ifa_addr, sizeof address);
    char text[INET_ADDRSTRLEN] = {};
    if (inet_ntop(AF_INET, &address.sin_addr, text, sizeof text) != nullptr) out.insert(text);
  }
  freeifaddrs(all);
  return out;
}

bool is_loopback(const std::string& host) { return host.starts_with("127.") || host == "::1"; }

std::unexpected<Error> refuse(const std::string& replica, const Error& error) {
  report(Severity::error, "mgmt_svc_replicas: '" + replica + "': " + error.what() +
                              "; give the host of the system's services, as HOST or HOST:PORT");
  return fail(error);
}

}  // namespace

Result<std::optional<ServicePlace>> services_of(const ServerConfig& config) {
  if (config.replicas.empty()) return std::optional<ServicePlace>();
  const std::string& replica = config.replicas.front();
  const bool has_port = replica.find(':') != replica.npos;
  const std::string text = has_port ? replica : replica + ":" + std::to_string(config.port);
  const auto at = parse_address("tcp:" + text);
  if (!at) return refuse(replica, at.error());
  auto addresses = resolve_blocking(*at);
  if (!addresses) return refuse(replica, addresses.error());
  const std::set<std::string> own = own_addresses();
  const bool here = std::ranges::any_of(*addresses, [&own](const Address& address) {
    return is_loopback(address.host) || own.contains(address.host);
  });
  if (here && at->port == config.port) return std::optional<ServicePlace>();
  return std::optional(ServicePlace{text, std::move(*addresses)});
}

}  // namespace cairn::server
