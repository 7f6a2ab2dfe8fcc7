// What dmg, daos and cairn share: the grammar of their command lines, the --json envelope and the
// wording of errors (exit status 0 or 1). Options are parsed by CLI11; messages follow the tools
// that scripts know.
//
//   Tool tool("daos", "user tool");
//   auto& list = tool.command("pool", "list", "List pools");
//   list.flag("-n,--no-query", no_query, "...");
//   list.run = [&]() -> Outcome { ... };
//   return tool.main(argc, argv);
#pragma once

#include <CLI/CLI.hpp>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::tool {

using Json = nlohmann::ordered_json;

inline constexpr int kStatusMisc = -1025;

/// Why a command failed. `message` goes to stderr as "ERROR: <tool>: <message>" and into the
/// envelope; `resolution`, if any, is a second stderr line.
struct Failure {
  std::string message;
  int status = kStatusMisc;  // negative DER code where there is one
  std::string resolution;
  Json response;  // what there is in spite of the failure
};

/// What a command gives back: `text` for people (printed as it is), `response` for --json.
struct Reply {
  std::string text;
  Json response;
};
using Outcome = std::expected<Reply, Failure>;

/// "DER_NONEXIST(-1005): The specified entity does not exist", for an Errc or a negative DER
/// number.
std::string status_text(int status);
inline int status_of(const Error& error) { return -static_cast<int>(error.code()); }
/// A failure of the store: "<doing>: DER_X(-N): text".
std::unexpected<Failure> failure(const std::string& doing, const Error& error);
std::unexpected<Failure> failure(const std::string& doing, int status);
/// A fault of the control plane: "<doing>: <domain>: code = N description = "..."" and its
/// resolution.
struct Fault {
  const char* domain = "server";
  int code = 0;
  std::string description, resolution;
};
std::unexpected<Failure> failure(const std::string& doing, const Fault& fault,
                                 int status = kStatusMisc);
/// Anything else.
std::unexpected<Failure> refuse(std::string message, int status = kStatusMisc);

/// One leaf command. A positional argument named "pool_label" is called `<pool label>` in messages.
struct Command {
  CLI::App* app = nullptr;
  std::function<Outcome()> run;
  bool prints_itself = false;  // run() has written its own output (fs cat, progress)
};

class Tool {
 public:
  Tool(std::string name, std::string description);
  ~Tool();

  /// A resource with its aliases ("container", {"cont"}).
  CLI::App& resource(const std::string& name, const std::vector<std::string>& aliases,
                     const std::string& description);
  /// A command of a resource, or of the tool itself (resource empty).
  Command& command(const std::string& resource, const std::string& name,
                   const std::vector<std::string>& aliases, const std::string& description);
  /// A command below a command ("storage query usage"); the one above then only holds it.
  Command& adopt(CLI::App* app);
  /// What a command line without a command does instead of being refused; it prints itself and
  /// gives the exit status.
  void without_command(std::function<int()> run) { without_command_ = std::move(run); }
  CLI::App& app() { return *app_; }
  bool json() const { return json_; }
  const std::string& name() const { return name_; }

  /// Parses, runs, prints. The process's exit status.
  int main(int argc, char** argv);

 private:
  int fail(const Failure& failure);
  int print(const Command& command, const Outcome& outcome);
  /// The wording that scripts know for what CLI11 found wrong.
  std::string parse_message(const CLI::ParseError& error,
                            const std::vector<std::string>& words) const;
  const CLI::App* deepest() const;

  std::string name_;
  std::unique_ptr<CLI::App> app_;
  std::map<const CLI::App*, std::unique_ptr<Command>> commands_;
  std::map<std::string, CLI::App*> resources_;
  std::function<int()> without_command_;
  bool json_ = false;
};

}  // namespace cairn::tool
