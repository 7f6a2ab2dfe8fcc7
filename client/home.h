// How a process gets a System for a home. Declared here for libdaos and the tools; defined in
// cmd/embed, which alone puts client, fabric, engine and store together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"

namespace cairn::client {

/// Where blobs of a home go, beside or instead of files below the home.
struct HomeDevice {
  std::string path;    // absolute: a directory, a block device or a large file
  std::string roles;   // "wal,meta,data", or some of them
  bool wipe = false;   // take a device that holds something
  uint32_t engine = 0; // whose it is, by rank; an engine without any keeps its blobs in the home
};

/// Who works on the home: design.md section 7.
enum class HomeMode {
  from_environment,  // CAIRN_MODE: auto (or unset), connect or embed
  automatic,         // a server that all processes share; started by the first, ends after the last
  connect,           // a server that is there; none is started
  embed,             // this process, alone
};

struct HomeOptions {
  HomeMode mode = HomeMode::from_environment;
  std::string path;             // empty: CAIRN_HOME, else ~/.cairn
  /// HOST:PORT of a system's server; the first that answers counts, and nothing else is looked at.
  /// They ask for no token.
  std::vector<std::string> servers = {};
  bool create = true;           // make the home (mode 0700) if it is not there
  bool read_only = false;       // for `cairn status`: changes are refused with no_perm. The logs
                                // are still replayed, so the files must be writable
  // Test mode of the in-process transport: every message is encoded and decoded, and delayed or
  // dropped with these chances (0..1); also from CAIRN_FABRIC_TEST="seed=1,drop=0.01,delay_us=100".
  bool encode_messages = false;
  double drop_chance = 0;
  uint64_t delay_us_max = 0;
  uint64_t seed = 0;
};

/// Opens the home as the mode says: by a connection to its server, or in this process (store.md
/// rule 24: no engine thread). Where there is no server program, or in the transport's test mode,
/// automatic is embed. Except in mode embed a system goes before the home: that of CAIRN_SERVER,
/// or, where neither a path nor CAIRN_HOME names a home, that of this machine's daos_agent.
/// A pool whose shard cannot be opened is reported on stderr; the home opens without it.
/// Fork: a child holds no lock and must not use its copy; it calls forget_after_fork() on it and
/// may then open a home itself (busy as long as the parent has the same one open).
/// @error busy  another process holds it; a line on stderr names its id, host and what to do
/// @error no_perm, no_space, format_invalid, format_newer, checksum, io  a line on stderr names the
/// file
/// @error nonexistent  no home there, and not `create`
/// @error unreachable  mode connect, and nobody serves the home
/// @error not_supported  a network file system
Result<std::unique_ptr<System>> open_home(HomeOptions options);

/// In a forked child: lets go of the parent's System without touching what it shares with the
/// parent.
inline void forget_after_fork(std::unique_ptr<System> system) {
  [[maybe_unused]] const System* left = system.release();
}

/// Ends the server of a home, in spite of clients, and waits until it has let go of the home. What
/// is under way is answered first. No server: nothing to do. @error busy  it does not end
Result<void> stop_server(const std::string& path);

/// Of a home that is made on purpose.
struct HomeLayout {
  std::vector<HomeDevice> devices = {};  // none: in its directory
  uint32_t targets = 1;                  // of each engine; pools have a shard on each; 1..64
  uint32_t engines = 1;                  // served, each is a process of its own; 1..64
};
/// Makes a home and closes it again.
/// @error already  there is a home   @error exists  a device holds something
/// @error invalid  roles, targets or engines that do not fit
/// @error not_supported  devices for some of the engines only
/// Others as open_home(). Each with a line on stderr.
Result<void> make_home(const std::string& path, HomeLayout layout);

/// What `cairn check` says.
struct HomeReport {
  struct Part {
    std::string name;  // "system", "pools/UUID" or "pools/UUID/TARGET"
    uint64_t pages = 0, records = 0, blocks = 0;
    std::vector<std::string> problems;
  };
  std::vector<Part> parts;
  bool clean() const {
    for (const Part& part : parts) {
      if (!part.problems.empty()) return false;
    }
    return true;
  }
};
/// Opens the home (replaying its logs) and checks every store of it, offline for others.
/// @param read_data  also read every block of data and compare its checksum
/// Errors as open_home(); damage inside stores is in the report.
Result<HomeReport> check_home(const std::string& path, bool read_data);

}  // namespace cairn::client
