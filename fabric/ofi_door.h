// The door of an engine of libfabric: the stream by which clients learn its endpoint's name, and by
// which both ends see that the other one lives. Internal to fabric/.
#pragma once

#include <string>
#include <string_view>

#include "fabric/stream.h"
#include "runtime/address.h"
#include "runtime/socket.h"

namespace cairn::fabric {

/// Of a frame that comes by a door: hellos and openings.
inline constexpr uint32_t kDoorBytesMax = 4096;

/// Where the door of an engine at an address of libfabric is: TCP, or a Unix socket beside the
/// regions of shared memory, of this user.
Address door_address(const Address& engine);
/// Removes the socket of an engine in shared memory that is dead. One that lives keeps it.
void remove_dead_door(const Address& engine);
/// The same at the engine's own end.
void remove_door(const Address& engine);
/// Where this end of a connection is, numeric; empty for a Unix socket.
std::string local_host(const Socket& socket);
/// In kOfiProviders.
uint16_t provider_index(std::string_view provider);
/// Tells the other end that there is something in its endpoint. One is enough while it is on its
/// way.
void ring_bell(Stream& stream);

}  // namespace cairn::fabric
