// The inside of Store as its own members see it. Internal to store.cc and attempt.cc.
#pragma once

#include "index/store_core.h"

namespace cairn::index {

struct Store::State : StoreCore {
  using StoreCore::StoreCore;
};

}  // namespace cairn::index
