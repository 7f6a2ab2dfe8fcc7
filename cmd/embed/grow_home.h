// More engines for a home that is there.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "client/home.h"

namespace cairn::embed {

/// Gives the home that many engines; the new ones get their devices. Pools stay where they are
/// until they are extended. Nobody may have the home open.
/// @error busy  somebody has   @error exists  a device holds something
/// @error invalid  fewer engines than it has, or more than a home can have
/// Others: Storage::prepare(). Each with a line on stderr.
Result<void> grow_home(const std::string& home, uint32_t engine_count,
                       std::vector<client::HomeDevice> devices);

}  // namespace cairn::embed
