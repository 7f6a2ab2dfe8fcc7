// The lock on one container's snapshots. Internal to service/.
#pragma once

#include <utility>

#include "service/service.h"

namespace cairn::service {

class [[nodiscard]] Service::SnapLock {
 public:
  SnapLock(Service& service, Uuid cont) : service_(&service), cont_(cont) {}
  SnapLock(SnapLock&& other) noexcept
      : service_(std::exchange(other.service_, nullptr)), cont_(other.cont_) {}
  SnapLock& operator=(SnapLock&&) = delete;
  ~SnapLock() {
    if (service_ == nullptr) return;
    service_->snapping_.erase(cont_);
    service_->snapped_.wake_all();
  }

 private:
  Service* service_;
  Uuid cont_;
};

}  // namespace cairn::service
