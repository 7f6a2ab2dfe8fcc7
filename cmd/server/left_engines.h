// Engines whose keeper has died: they serve on without one, so that a restart of the server costs
// nobody anything. A server that goes for good ends them itself.
#pragma once

#include <string>

namespace cairn::server {

/// Asks every engine process of the home but engine 0 to end, and waits for it; one that does not
/// is killed, and what it has acknowledged is in its log. Blocks for a minute an engine at most.
/// Does nothing once another server has the home, nor to a process on another host.
void end_engines_left(const std::string& home);

}  // namespace cairn::server
