#include "cmd/embed/machine_file.h"

#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "runtime/random.h"

namespace cairn::embed {

namespace {

constexpr std::string_view kHead = "cairn machine ";
constexpr const char* kName = "machine";

std::string_view next_line(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  return line;
}

}  // namespace

std::string format_machine(const MachineFile& machine) {
  return std::string(kHead) + "1\nuuid " + to_string(machine.uuid) + "\nservice " +
         machine.service + "\n";
}

Result<MachineFile> parse_machine(std::string_view text) {
  const std::string_view head = next_line(text);
  if (!head.starts_with(kHead)) return fail(Errc::format_invalid, "machine: not such a file");
  if (head != std::string(kHead) + "1") {
    return fail(Errc::format_newer, "machine: written by a newer version");
  }
  MachineFile out;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (line.empty() || line.front() == '#') continue;
    const size_t at = line.find(' ');
    const std::string_view value = at == line.npos ? "" : line.substr(at + 1);
    if (line.starts_with("uuid ") && out.uuid.is_nil()) {
      const auto uuid = parse_uuid(value);
      if (uuid) out.uuid = *uuid;
    } else if (line.starts_with("service ") && out.service.empty()) {
      out.service = value;
    } else {
      return fail(Errc::format_invalid, "machine: a line that is none of its own");
    }
  }
  if (out.uuid.is_nil() || out.service.empty()) {
    return fail(Errc::format_invalid, "machine: its id or its service is missing");
  }
  return out;
}

Result<MachineFile> read_machine(const std::string& home) {
  const std::string path = home + "/" + kName;
  if (access(path.c_str(), F_OK) != 0) {
    return fail(Errc::nonexistent, "machine: the home has no such file");
  }
  const auto bytes = read_small_file(path, kMachineFileBytesMax);
  auto out = bytes ? parse_machine(as_chars(*bytes))
                   : Result<MachineFile>(fail(Errc::format_invalid, "machine: cannot be read"));
  if (!out) {
    report(Severity::error,
           path + ": " + out.error().what() + "; restore it: it says who this machine is");
  }
  return out;
}

Result<MachineFile> must_read_machine(const std::string& home) {
  auto out = read_machine(home);
  if (!out && out.error().code() == Errc::nonexistent) {
    report(Severity::error, home + "/" + kName +
                                ": is missing; restore it: it says who this "
                                "machine is");
  }
  return out;
}

Result<void> store_machine(const std::string& home, const MachineFile& machine) {
  return store_small_file(home, kName, as_bytes(format_machine(machine)));
}

Result<MachineFile> update_machine(const std::string& home, const std::string& service) {
  auto known = read_machine(home);
  if (!known && known.error().code() != Errc::nonexistent) return fail(known.error());
  MachineFile out = known ? *known : MachineFile{};
  if (out.uuid.is_nil()) out.uuid = uuid_from_random(system_random().bytes16());
  out.service = service;
  if (known && *known == out) return out;
  TRY(stored, store_machine(home, out));
  return out;
}

}  // namespace cairn::embed
