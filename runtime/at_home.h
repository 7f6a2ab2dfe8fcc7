// AtHome: owns what is at home on one reactor. In builds with checks, code of another reactor that
// reaches for it ends the process; code of no reactor (tests, start, end) may.
#pragma once

#include <memory>

#include "base/check.h"

namespace cairn {

class Reactor;

/// This thread runs code of another reactor than that one: it must not touch what is at home there.
bool is_elsewhere(const Reactor& reactor);

/// @tparam T  has a member `reactor`
template <class T>
class AtHome {
 public:
  AtHome() = default;
  AtHome(std::unique_ptr<T> owned) : owned_(std::move(owned)) {}  // as a unique_ptr of it is made

  T* operator->() const { return &**this; }
  T& operator*() const {
    DCHECK(!is_elsewhere(owned_->reactor));
    return *owned_;
  }
  /// For what only keeps it, to be used at home.
  T* get() const { return owned_.get(); }

 private:
  std::unique_ptr<T> owned_;
};

}  // namespace cairn
