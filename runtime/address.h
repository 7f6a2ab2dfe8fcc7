// Address: where a stream socket listens or connects to, as people write it:
//   unix:/run/cairn/agent.sock    an absolute path
//   tcp:10.0.0.7:7077  tcp:[::1]:7077  tcp:storage-3.example:7077
// or where an engine is reached through libfabric, by provider:
//   ofi+tcp;ofi_rxm://10.0.0.7:7077  ofi+verbs;ofi_rxm://[fe80::1]:7077  ofi+shm://NAME
// A value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cairn {

/// The longest path of a Unix socket. Of its last part kSocketNameBytesMax count if the whole does
/// not fit the kernel's 107 bytes.
inline constexpr size_t kSocketPathBytesMax = 4000;
inline constexpr size_t kSocketNameBytesMax = 80;
/// The longest name of a host (RFC 1035).
inline constexpr size_t kHostBytesMax = 253;
/// The longest name of an engine in shared memory.
inline constexpr size_t kShmNameBytesMax = 32;

/// The providers of libfabric that an address may name.
inline constexpr std::string_view kOfiProviders[] = {"tcp;ofi_rxm", "shm", "verbs;ofi_rxm", "cxi",
                                                     "efa"};
inline constexpr std::string_view kShmProvider = "shm";

struct Address {
  enum class Kind : uint8_t { unix_path, tcp, ofi };
  Kind kind = Kind::unix_path;
  /// unix_path: the path. tcp, ofi: the host, an IPv6 address without brackets; with the provider
  /// kShmProvider a name.
  std::string host;
  /// tcp, ofi; 0 where a listener shall take any free port, and with kShmProvider.
  uint16_t port = 0;
  /// ofi: one of kOfiProviders.
  std::string provider = {};
  friend bool operator==(const Address&, const Address&) = default;
};

/// Unix paths are absolute and not abstract; IPv6 addresses stand in brackets, without a zone; a
/// host of digits and dots only must be an IPv4 address; the port is a decimal, 0 to 65535. A name
/// in shared memory is of letters, digits, '_' and '-'.
/// @error invalid  the text is not such an address; the message says what is wrong with it
Result<Address> parse_address(std::string_view text);
/// What parse_address() reads back as the same.
std::string to_string(const Address& address);
/// No resolve_blocking() is needed: a Unix path, a name in shared memory, or a numeric host.
bool is_numeric(const Address& address);

/// BLOCKS, for seconds if a name server does not answer: not on a reactor's thread. The numeric
/// addresses of a name, best first, with the same port; a numeric or Unix address gives itself.
/// @error nonexistent  there is no such host
/// @error again        no name server answers for now
/// @error io           the look-up failed otherwise
Result<std::vector<Address>> resolve_blocking(const Address& address);

}  // namespace cairn
