// HomeDoor: how a process gets a connection to the server of a home, starting one where there is
// none. Home: the reactor given; starting blocks it until the server is up.
#pragma once

#include <string>

#include "fabric/hello.h"
#include "runtime/reactor.h"
#include "runtime/socket.h"

namespace cairn::embed {

class HomeDoor {
 public:
  /// `start`: start a server where there is none.
  HomeDoor(Reactor& reactor, std::string home, bool start);

  /// @error unreachable    nobody serves the home, and none is to be started
  /// @error busy           a process has the home for itself; a line on stderr names it
  /// @error not_supported  there is no server program
  /// @error others         the server could not open the home; it has said why on stderr
  Task<Result<Socket>> enter();
  /// Says hello to the server that is there now; starts none. @error unreachable
  Task<Result<fabric::HelloReply>> ask(fabric::Purpose purpose);
  const std::string& home() const { return home_; }

 private:
  Reactor& reactor_;
  const std::string home_;
  const bool start_;
  std::string program_;
};

/// Asks the server of a home to end, if it has no clients (or in any case), and waits until it has
/// let go of the home. No server: nothing to do. Outside a reactor.
/// @error busy  it has clients, or does not end
Result<void> dismiss_server(const std::string& home, bool in_any_case);

/// What the server of a home says of itself. Outside a reactor. @error unreachable  there is none
Result<fabric::HelloReply> look_at_server(const std::string& home);

}  // namespace cairn::embed
