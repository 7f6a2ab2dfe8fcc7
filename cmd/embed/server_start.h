// Finding and starting the server of a home (design.md section 7): the program daos_engine, in the
// background, gone some seconds after its last client.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::embed {

/// The Unix socket of a home's server.
inline std::string socket_path(const std::string& home) { return home + "/socket"; }

enum class StartOutcome {
  ready,     // it serves now
  occupied,  // somebody else has the home open or is about to serve it
  died,      // it was killed before it could say anything
  failed,    // it has said why on stderr
};
struct Started {
  StartOutcome outcome = StartOutcome::failed;
  Errc code = Errc::misc;  // failed: why
};

/// The server program: CAIRN_ENGINE, or daos_engine beside this program or library, in ../bin of
/// it, or on the PATH. Empty: there is none.
std::string find_server_program();

/// Starts the server and waits until it serves or has failed. Blocks; any thread.
/// @error not_supported  there is no server program   @error io  it cannot be started
/// @param options  more words of its command line
Result<Started> start_server(const std::string& program, const std::string& home,
                             const std::vector<std::string>& options = {});

struct ProgramOptions {
  std::string log = {};                // its outputs go to the end of this file; empty: to this
                                       // process's
  std::vector<std::string> env = {};   // NAME=VALUE, beside or instead of this process's
  std::vector<std::string> unset = {}; // NAME: of this process's, but not its
};
/// Starts a program in a session of its own and does not wait for it. SIGTERM is blocked in it, so
/// that one that comes early waits until the program takes it: daos_engine ends its engines then.
/// @returns its process id, which the caller waits for
/// @error not_supported  there is no program   @error io  a line on stderr
Result<int> start_program(const std::string& program, const std::vector<std::string>& words,
                          const ProgramOptions& options);

/// What the server's end writes to its first output: "ready", "occupied" or "failed N".
std::string started_line(const Started& started);

}  // namespace cairn::embed
