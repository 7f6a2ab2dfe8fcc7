// A machine becomes part of a system whose services are on another one: it is given ranks, and
// makes a home for its engines. Blocks.
#pragma once

#include <string>
#include <vector>

#include "client/home.h"
#include "cmd/embed/home_format.h"
#include "fabric/hello.h"
#include "runtime/address.h"

namespace cairn::embed {

struct JoinOptions {
  std::string home;
  std::string service;             // as people wrote it, for the file `machine`
  std::vector<Address> addresses;  // of it
  fabric::Token token{};           // of clients
  uint32_t engines = 1, targets = 1;
  std::vector<client::HomeDevice> devices;  // `engine`: from 0 on, of this machine
};

/// What happens twice, after a crash or because an answer was lost, happens once. A directory that
/// holds a home already is refused. Durable on return.
/// @error unreachable, timed_out  the services are not there: nothing but the machine's id was made
/// @error uninitialized           their storage is not formatted yet: the same
/// @error invalid                 the system has other targets   @error already  there is a home
/// @error exists                  a device holds something
/// Others, with a line on stderr: prepare_engine(), store_home()
Result<HomeFile> join_system(JoinOptions options);

}  // namespace cairn::embed
