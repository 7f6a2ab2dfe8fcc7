// Taking a home's lock with what belongs to it: an idle server makes way for whoever wants the home
// for itself.
#pragma once

#include "cmd/embed/home_lock.h"

namespace cairn::embed {

/// HomeLock::take(); for HomeUse::embed a server without clients is asked to end first.
/// @error busy  another process has it; one line on stderr names it and the way out (none if both
///              are servers: whoever started this one connects to the other)
/// @error no_perm, no_space, io  one line on stderr
Result<HomeLock> claim_home(const std::string& home, HomeUse use);

}  // namespace cairn::embed
