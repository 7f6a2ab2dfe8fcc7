// FormatDoor: answers dmg while the storage of a system is not formatted yet: says so, and hears
// that it is to be formatted. Everything else is refused with the way out.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "runtime/address.h"
#include "wire/control.h"

namespace cairn::server {

struct FormatDoorOptions {
  Address listen;
  uint32_t engine_count = 1;
  uint32_t formatted_count = 0;                 // of these; the first ones
  std::vector<wire::DeviceReply> devices = {};  // that will be there
  /// Asked a few times in a second: is it time to go?
  std::function<bool()> leave;
  /// Formats; its error is dmg's.
  std::function<Result<void>(bool wipe)> format;
  std::function<void()> ready;  // called once when dmg can connect
};

/// Serves until the storage has been formatted (true) or it is time to go (false).
/// @error busy  the address is in use   Others as Listener::open()
Result<bool> wait_for_format(FormatDoorOptions options);

}  // namespace cairn::server
