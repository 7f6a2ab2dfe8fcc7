#include "media/portable_device.h"

namespace cairn::media {

Result<std::unique_ptr<Device>> copy_to(Reactor& reactor, const Device& device) {
  const auto* const portable = dynamic_cast<const PortableDevice*>(&device);
  if (portable == nullptr) return fail(Errc::not_supported, "device: it stays on its core");
  return portable->on(reactor);
}

Result<std::unique_ptr<Device>> move_to(Reactor& reactor, std::unique_ptr<Device> device) {
  return copy_to(reactor, *device);
}

}  // namespace cairn::media
