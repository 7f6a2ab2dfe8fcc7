// Taking a home's lock with what belongs to it: an idle server makes way for whoever wants the home
// for itself.
#pragma once

#include "cmd/embed/home_lock.h"

namespace cairn::embed {

/// What to do about a server that has the home.
enum class Takeover {
  if_idle,  // ask it to end if it has no clients; a server leaves it alone
  always,   // ask it to end, and be faster than its clients, who would start the next one
};

/// HomeLock::take(), after another server has made way.
/// @error busy  another process has it; one line on stderr names it and the way out (none if both
///              are servers: whoever started this one connects to the other)
/// @error no_perm, no_space, io  one line on stderr
Result<HomeLock> claim_home(const std::string& home, HomeUse use,
                            Takeover takeover = Takeover::if_idle);

}  // namespace cairn::embed
