#include "media/striped_device.h"

#include <algorithm>

#include "base/check.h"
#include "media/piece_device.h"
#include "runtime/parallel.h"

namespace cairn::media {
namespace {

/// Of whole stripes on every device.
uint64_t striped_bytes(const std::vector<std::unique_ptr<Device>>& devices) {
  uint64_t each = UINT64_MAX;
  for (const auto& device : devices) each = std::min(each, device->size_bytes());
  return round_down(each, kStripeBytes) * devices.size();
}

class StripedDevice final : public PieceDevice {
 public:
  StripedDevice(Reactor& reactor, std::vector<std::unique_ptr<Device>> devices)
      : PieceDevice(reactor, striped_bytes(devices)), devices_(std::move(devices)) {}

  Task<Result<void>> flush() override {
    std::vector<Task<Result<void>>> flushes;
    for (const auto& device : devices_) flushes.push_back(device->flush());
    return run_all(reactor(), std::move(flushes), devices_.size());
  }

  bool wants_discard() const override {
    return std::ranges::all_of(devices_,
                               [](const auto& device) { return device->wants_discard(); });
  }

  Result<std::unique_ptr<Device>> on(Reactor& reactor) const override {
    std::vector<std::unique_ptr<Device>> devices;
    for (const auto& device : devices_) {
      TRY(copy, copy_to(reactor, *device));
      devices.push_back(std::move(copy));
    }
    return std::make_unique<StripedDevice>(reactor, std::move(devices));
  }

 private:
  Piece piece_at(uint64_t offset, uint64_t bytes) const override {
    const uint64_t stripe = offset / kStripeBytes;
    const uint64_t in_stripe = offset % kStripeBytes;
    return {devices_[stripe % devices_.size()].get(),
            stripe / devices_.size() * kStripeBytes + in_stripe,
            std::min(bytes, kStripeBytes - in_stripe)};
  }

  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace

std::unique_ptr<Device> make_striped(Reactor& reactor,
                                     std::vector<std::unique_ptr<Device>> devices) {
  CHECK(!devices.empty());
  if (devices.size() == 1) return std::move(devices.front());
  return std::make_unique<StripedDevice>(reactor, std::move(devices));
}

}  // namespace cairn::media
