// ServiceLink: the server of a machine as the one who asks the system's services on another
// machine: a connection that is made at first use and again after it broke. Home: the reactor
// given.
#pragma once

#include <memory>
#include <vector>

#include "client/rpc.h"
#include "fabric/hello.h"
#include "fabric/transport.h"
#include "runtime/address.h"
#include "wire/control.h"

namespace cairn::embed {

class ServiceLink {
 public:
  /// @param services  their addresses, the first that answers counts   @param token  of clients
  ServiceLink(Reactor& reactor, std::vector<Address> services, const fabric::Token& token);
  ~ServiceLink();

  /// @error unreachable  nobody is there   @error no_perm  the token is another one
  /// @error timed_out    the outcome is not known   Others: what the services answer
  Task<Result<wire::ControlReply>> ask(wire::ControlRequest request);
  /// Before destruction.
  Task<void> close();

 private:
  std::unique_ptr<fabric::ConnectingTransport> transport_;
  std::unique_ptr<client::Rpc> rpc_;
};

}  // namespace cairn::embed
