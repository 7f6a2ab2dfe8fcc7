#include "runtime/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

namespace cairn {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kTcp = "tcp:";
constexpr std::string_view kOfi = "ofi+";
constexpr std::string_view kOfiHost = "://";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A character of a host's name.
bool is_host_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_';
}

bool is_ip(int family, const std::string& host) {
  in6_addr ignored;
  return host.find('\0') == std::string::npos && inet_pton(family, host.c_str(), &ignored) == 1;
}

Result<Address> parse_unix(std::string_view path) {
  if (path.empty() || path[0] != '/') {
    return fail(Errc::invalid, "address: a Unix socket's path must be absolute: unix:/PATH");
  }
  if (path.size() > kSocketPathBytesMax) {
    return fail(Errc::invalid, "address: the path is longer than 4000 bytes");
  }
  if (path.back() == '/') return fail(Errc::invalid, "address: the path ends with a slash");
  if (path.find('\0') != std::string_view::npos) {
    return fail(Errc::invalid, "address: there is a zero byte in the path");
  }
  return Address{.kind = Address::Kind::unix_path, .host = std::string(path), .port = 0};
}

Result<uint16_t> parse_port(std::string_view text) {
  if (text.empty()) return fail(Errc::invalid, "address: there is no port: tcp:HOST:PORT");
  if (!std::ranges::all_of(text, is_digit) || text.size() > 5 ||
      (text.size() > 1 && text[0] == '0')) {
    return fail(Errc::invalid, "address: the port is not a number from 0 to 65535");
  }
  uint32_t port = 0;
  for (const char c : text) port = port * 10 + static_cast<uint32_t>(c - '0');
  if (port > UINT16_MAX) return fail(Errc::invalid, "address: the port is over 65535");
  return static_cast<uint16_t>(port);
}

Result<std::string> parse_host(std::string_view text) {
  if (text.empty()) return fail(Errc::invalid, "address: there is no host: tcp:HOST:PORT");
  if (text.size() > kHostBytesMax) {
    return fail(Errc::invalid, "address: the host is longer than 253 bytes");
  }
  if (text[0] == '[') {
    if (text.back() != ']') return fail(Errc::invalid, "address: the bracket is not closed");
    std::string host(text.substr(1, text.size() - 2));
    if (!is_ip(AF_INET6, host)) {
      return fail(Errc::invalid, "address: what stands in brackets is not an IPv6 address");
    }
    return host;
  }
  if (text.find(':') != std::string_view::npos) {
    return fail(Errc::invalid, "address: an IPv6 address stands in brackets: tcp:[ADDRESS]:PORT");
  }
  std::string host(text);
  if (std::ranges::all_of(host, [](char c) { return is_digit(c) || c == '.'; })) {
    if (is_ip(AF_INET, host)) return host;
    return fail(Errc::invalid, "address: the host is not an IPv4 address");
  }
  if (!std::ranges::all_of(host, is_host_char) || host[0] == '-' || host[0] == '.') {
    return fail(Errc::invalid, "address: the host is neither a name nor a numeric address");
  }
  return host;
}

Result<Address> parse_tcp(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) {
    return fail(Errc::invalid, "address: there is no port: tcp:HOST:PORT");
  }
  TRY(host, parse_host(text.substr(0, colon)));
  TRY(port, parse_port(text.substr(colon + 1)));
  return Address{.kind = Address::Kind::tcp, .host = std::move(host), .port = port};
}

Result<Address> parse_shm(std::string_view name) {
  const auto fits = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  };
  if (name.empty() || name.size() > kShmNameBytesMax || !std::ranges::all_of(name, fits)) {
    return fail(Errc::invalid,
                "address: a name in shared memory has 1 to 32 letters, digits, - or _: "
                "ofi+shm://NAME");
  }
  return Address{.kind = Address::Kind::ofi,
                 .host = std::string(name),
                 .port = 0,
                 .provider = std::string(kShmProvider)};
}

Result<Address> parse_ofi(std::string_view text) {
  const size_t end = text.find(kOfiHost);
  const std::string_view provider = text.substr(0, end);
  if (end == std::string_view::npos ||
      std::ranges::find(kOfiProviders, provider) == std::end(kOfiProviders)) {
    return fail(Errc::invalid,
                "address: write ofi+PROVIDER://HOST:PORT, with a provider of tcp;ofi_rxm, "
                "verbs;ofi_rxm, cxi, efa, or ofi+shm://NAME");
  }
  const std::string_view rest = text.substr(end + kOfiHost.size());
  if (provider == kShmProvider) return parse_shm(rest);
  TRY(address, parse_tcp(rest));
  address.kind = Address::Kind::ofi;
  address.provider = provider;
  return address;
}

Error look_up_error(int code) {
  switch (code) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
      return {Errc::nonexistent, "address: there is no host of this name"};
    case EAI_AGAIN:
      return {Errc::again, "address: no name server answers for now"};
    default:
      return {Errc::io, "address: the look-up of the host's name failed"};
  }
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  if (text.starts_with(kUnix)) return parse_unix(text.substr(kUnix.size()));
  if (text.starts_with(kTcp)) return parse_tcp(text.substr(kTcp.size()));
  if (text.starts_with(kOfi)) return parse_ofi(text.substr(kOfi.size()));
  return fail(Errc::invalid,
              "address: write unix:/PATH, tcp:HOST:PORT or ofi+PROVIDER://HOST:PORT");
}

std::string to_string(const Address& address) {
  if (address.kind == Address::Kind::unix_path) return std::string(kUnix) + address.host;
  const bool brackets = address.host.find(':') != std::string::npos;
  std::string text(kTcp);
  if (address.kind == Address::Kind::ofi) {
    text = std::string(kOfi) + address.provider + std::string(kOfiHost);
    if (address.provider == kShmProvider) return text + address.host;
  }
  text += brackets ? "[" + address.host + "]" : address.host;
  return text + ":" + std::to_string(address.port);
}

bool is_numeric(const Address& address) {
  return address.kind == Address::Kind::unix_path || address.provider == kShmProvider ||
         is_ip(AF_INET, address.host) || is_ip(AF_INET6, address.host);
}

Result<std::vector<Address>> resolve_blocking(const Address& address) {
  if (is_numeric(address)) return std::vector<Address>{address};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int code = getaddrinfo(address.host.c_str(), nullptr, &hints, &list);
  if (code != 0) return fail(look_up_error(code));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, freeaddrinfo);
  std::vector<Address> found;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    char text[INET6_ADDRSTRLEN];
    const void* bits = nullptr;
    if (at->ai_family == AF_INET) {
      bits = &reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr;
    } else if (at->ai_family == AF_INET6) {
      bits = &reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr;
    }
    if (bits == nullptr || inet_ntop(at->ai_family, bits, text, sizeof text) == nullptr) continue;
    Address numeric = address;
    numeric.host = text;
    found.push_back(std::move(numeric));
  }
  if (found.empty()) return fail(look_up_error(EAI_NONAME));
  return found;
}

}  // namespace cairn
