// Connecting to one of several addresses.
#pragma once

#include <vector>

#include "base/result.h"
#include "runtime/address.h"
#include "runtime/reactor.h"

namespace cairn::embed {

/// Connects to one address of a server. @error as connect_to()
template <class Connected>
using ConnectBy = Task<Result<Connected>> (*)(Reactor& reactor, Address address, Duration timeout);

/// The first address that answers; `patience` for each. By value: the caller's list may be gone
/// before the task ends.
/// @error unreachable  none of them does, or there is none; others as `connect` says of the last
/// one
template <class Connected>
Task<Result<Connected>> connect_to_any(Reactor& reactor, std::vector<Address> addresses,
                                       ConnectBy<Connected> connect, Duration patience) {
  Result<Connected> made =
      fail(Errc::unreachable, "home: the engine listens at no address of this kind");
  for (const Address& address : addresses) {
    made = co_await connect(reactor, address, patience);
    if (made) break;
  }
  // Whatever kept it from connecting: nothing was done, and the next attempt may do better.
  if (!made && made.error().code() == Errc::timed_out) {
    co_return fail(Errc::unreachable, "home: the server there does not answer");
  }
  co_return made;
}

}  // namespace cairn::embed
