// StripedDevice: one blob over several devices of equal length, in stripes of 1 MiB taken in turn,
// so that one shard uses the bandwidth of all of them. Home: the devices' reactor. Nothing is
// redundant: a device that fails fails the blob.
#pragma once

#include <memory>
#include <vector>

#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::media {

inline constexpr uint32_t kStripeBytes = 1u << 20;

/// Byte i stands in stripe i / 1 MiB; stripe s on device s % count, at (s / count) MiB. The length
/// is count times that of the shortest device, rounded down to whole stripes.
/// Precondition: at least one device. One is returned as it is.
std::unique_ptr<Device> make_striped(Reactor& reactor,
                                     std::vector<std::unique_ptr<Device>> devices);

}  // namespace cairn::media
