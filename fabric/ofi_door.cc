#include "fabric/ofi_door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "fabric/ofi_client.h"

namespace cairn::fabric {

Address door_address(const Address& engine) {
  if (engine.provider == kShmProvider) {
    return {.host = "/dev/shm/cairn." + std::to_string(geteuid()) + "." + engine.host + ".door"};
  }
  return {.kind = Address::Kind::tcp, .host = engine.host, .port = engine.port};
}

void remove_dead_door(const Address& engine) {
  if (engine.provider != kShmProvider) return;
  const std::string path = door_address(engine).host;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) return;
  std::memcpy(name.sun_path, path.c_str(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const int rc = ::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  if (rc != 0 && errno == ECONNREFUSED) ::unlink(path.c_str());
  ::close(fd);
}

void remove_door(const Address& engine) {
  if (engine.provider == kShmProvider) ::unlink(door_address(engine).host.c_str());
}

std::string local_host(const Socket& socket) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof(name);
  char text[INET6_ADDRSTRLEN] = "";
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0) return {};
  if (name.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(name).sin_addr, text, sizeof(text));
  } else if (name.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(name).sin6_addr, text, sizeof(text));
  }
  return text;
}

uint16_t provider_index(std::string_view provider) {
  return static_cast<uint16_t>(std::ranges::find(kOfiProviders, provider) -
                               std::begin(kOfiProviders));
}

void ring_bell(Stream& stream) {
  // One that the kernel has may have been heard already.
  if (stream.nothing_queued()) stream.post(FrameKind::bell, 0, Bytes(kFrameHeadBytes));
}

Task<Result<OfiDoor>> connect_door(Reactor& reactor, Address address, Duration timeout) {
  CO_TRY(socket, co_await connect_to(reactor, door_address(address), timeout));
  if (address.provider == kShmProvider) {
    // The directory is everybody's: whoever came first has the name.
    CO_TRY(engine, socket.peer_credentials());
    if (engine.uid != geteuid() && engine.uid != 0) {
      co_return fail(Errc::no_perm,
                     "ofi: an engine of another user has this name in shared memory");
    }
  }
  co_return OfiDoor{.socket = std::move(socket), .address = std::move(address)};
}

}  // namespace cairn::fabric
