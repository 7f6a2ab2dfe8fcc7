// The file `machine` of a home whose services are on another machine: who this machine is, and
// where they are. Text; docs/formats/home.md.
//
//   cairn machine 1
//   uuid UUID                      of the machine: drawn once
//   service HOST:PORT              of the system's services; daos_server writes what its file says
//
// Empty lines and lines that begin with # are passed over.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"

namespace cairn::embed {

inline constexpr size_t kMachineFileBytesMax = 16 * 1024;

struct MachineFile {
  Uuid uuid;
  std::string service;
  friend bool operator==(const MachineFile&, const MachineFile&) = default;
};

std::string format_machine(const MachineFile& machine);
/// @error format_newer, format_invalid
Result<MachineFile> parse_machine(std::string_view text);
/// @error nonexistent  there is none   @error format_newer, format_invalid  a line on stderr
Result<MachineFile> read_machine(const std::string& home);
/// The same where it must be there: a line on stderr for every error.
Result<MachineFile> must_read_machine(const std::string& home);
/// Durable on return. @error no_space, no_perm, io  a line on stderr
Result<void> store_machine(const std::string& home, const MachineFile& machine);
/// The machine's id as it is, or a new one; the service as given. Durable on return.
/// @error as read_machine(); no_space, no_perm, io  a line on stderr
Result<MachineFile> update_machine(const std::string& home, const std::string& service);

}  // namespace cairn::embed
