// How a process gets a System for a home. Declared here for libdaos and the tools; defined in cmd/embed,
// which alone puts client, fabric, engine and store together.
#pragma once

#include <memory>
#include <string>

#include "client/client.h"

namespace cairn::client {

struct HomeOptions {
  std::string path;             // empty: CAIRN_HOME, else ~/.cairn
  bool create = true;           // make the home (mode 0700) if it is not there
  bool read_only = false;       // for `cairn check` and `cairn status`
  // Test mode of the in-process transport: every message is encoded and decoded, and delayed or dropped
  // with these chances (0..1); also from CAIRN_FABRIC_TEST="seed=1,drop=0.01,delay_us=100".
  bool encode_messages = false;
  double drop_chance = 0;
  uint64_t delay_us_max = 0;
  uint64_t seed = 0;
};

/// Opens the home in this process (store.md rule 24: no engine thread).
/// @error busy  another process holds it; a line on stderr names its id, host and what to do
/// @error no_perm, no_space, format_invalid, format_newer, checksum, io  a line on stderr names the file
Result<std::unique_ptr<System>> open_home(HomeOptions options);

}  // namespace cairn::client
