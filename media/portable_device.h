// PortableDevice: a device whose blob can go on at another reactor, by a descriptor of its own
// there. For blobs that are made where their place is looked after, and used on another core.
#pragma once

#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::media {

class PortableDevice : public Device {
 public:
  /// The same blob, at home on `reactor`. Plain call of this one's home; nothing is under way.
  /// @error not_supported  something below stays where it is
  /// @error no_memory      no more descriptors
  virtual Result<std::unique_ptr<Device>> on(Reactor& reactor) const = 0;
};

/// The device for `reactor`, in place of the one given. @error not_supported  it stays where it is
/// Others: PortableDevice::on()
Result<std::unique_ptr<Device>> move_to(Reactor& reactor, std::unique_ptr<Device> device);
/// The same beside the one given, which stays.
Result<std::unique_ptr<Device>> copy_to(Reactor& reactor, const Device& device);

}  // namespace cairn::media
