// daos_server: runs the system of one machine from its configuration file: formats its storage,
// starts its engines and watches them.
#include <ifaddrs.h>
#include <netinet/in.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "base/report.h"
#include "cmd/server/supervisor.h"
#include "cmd/server/system_home.h"
#include "cmd/tool/format.h"
#include "cmd/tool/tool.h"

namespace cairn::server {
namespace {

using tool::Outcome;

constexpr const char* kDefaultConfig = "/etc/daos/daos_server.yml";

struct StartArguments {
  std::string config;
  std::optional<uint16_t> port;
  std::optional<uint32_t> targets, first_core;
  bool insecure = false, auto_format = false;
  std::vector<std::string> unused;
};

std::expected<ServerConfig, tool::Failure> load(const StartArguments& a) {
  const std::string path = a.config.empty() ? kDefaultConfig : a.config;
  std::ifstream file(path);
  if (!file) {
    return tool::refuse(path +
                        ": cannot be read; write one (docs/server.md has an example), or "
                        "name it with -o");
  }
  std::stringstream text;
  text << file.rdbuf();
  ConfigOutcome outcome = parse_config(
      text.str(),
      {.insecure = a.insecure, .port = a.port, .targets = a.targets, .first_core = a.first_core});
  for (const std::string& line : outcome.notices) {
    std::fprintf(stderr, "NOTICE: daos_server: %s: %s\n", path.c_str(), line.c_str());
  }
  if (!outcome.config) {
    for (size_t i = 0; i + 1 < outcome.errors.size(); ++i) {
      std::fprintf(stderr, "ERROR: daos_server: %s: %s\n", path.c_str(), outcome.errors[i].c_str());
    }
    return tool::refuse(path + ": " + outcome.errors.back());
  }
  return std::move(*outcome.config);
}

/// Before any thread starts.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int each : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&set, each);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return set;
}

Outcome start(const StartArguments& a) {
  auto config = load(a);
  if (!config) return std::unexpected(config.error());
  for (const std::string& option : a.unused) {
    std::fprintf(stderr, "NOTICE: daos_server: %s: has no effect\n", option.c_str());
  }
  if (!config->control_log_file.empty()) {
    if (std::freopen(config->control_log_file.c_str(), "a", stdout) == nullptr ||
        std::freopen(config->control_log_file.c_str(), "a", stderr) == nullptr) {
      return tool::refuse(config->control_log_file +
                          ": cannot be written; change control_log_file");
    }
    setlinebuf(stdout);
  }
  Supervisor supervisor(
      {.config = *config, .auto_format = a.auto_format, .signals = block_signals()});
  const auto done = supervisor.run();
  if (!done) return tool::failure("the server ended", done.error());
  return tool::Reply{};
}

Outcome network_scan() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return tool::refuse("the interfaces cannot be listed");
  std::map<std::string, std::string> found;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    if (const auto address = address_of(each->ifa_name)) found.emplace(each->ifa_name, *address);
  }
  freeifaddrs(all);
  std::vector<std::vector<std::string>> rows;
  tool::Json interfaces = tool::Json::array();
  for (const auto& [name, address] : found) {
    rows.push_back({"ofi+tcp", name, address});
    interfaces.push_back({{"Provider", "ofi+tcp"}, {"Device", name}, {"address", address}});
  }
  return tool::Reply{tool::table({"Provider", "Interfaces", "Address"}, rows),
                     {{"Interfaces", interfaces}, {"Providers", tool::Json::array({"ofi+tcp"})}}};
}

void add_start(tool::Tool& tool, const std::shared_ptr<StartArguments>& a) {
  tool::Command& command = tool.command("", "start", {}, "Runs the engines of this machine");
  CLI::App& app = *command.app;
  app.add_option("-p,--port", a->port, "TCP port of the system")->check(CLI::Range(1, 65535));
  app.add_option("-t,--targets", a->targets, "Targets of each engine")->check(CLI::Range(1, 64));
  app.add_option("-f,--firstcore", a->first_core, "First core of each engine");
  app.add_flag("-i,--insecure", a->insecure, "As transport_config.allow_insecure: true");
  app.add_flag("--auto-format", a->auto_format,
               "Formats storage that is not formatted, without waiting for dmg storage format");
  for (const char* option :
       {"-s,--storage", "-m,--modules", "-x,--xshelpernr", "-g,--group", "-d,--socket_dir"}) {
    app.add_option_function<std::string>(
        option, [a, option](const std::string&) { a->unused.emplace_back(option); },
        "Accepted; has no effect");
  }
  command.prints_itself = true;
  command.run = [a] { return start(*a); };
}

void add_refused(tool::Tool& tool) {
  for (const auto& [name, why] :
       {std::pair{"scm", "persistent memory is not supported; a ram tier needs no preparation"},
        {"nvme", "devices stay with the kernel; give class: kdev and their block devices"},
        {"ms",
         "the system service has one replica, which needs no recovery; its state is in the "
         "system's directory"}}) {
    tool::Command& command = tool.command("", name, {}, "Not needed");
    command.app->allow_extras();
    command.run = [why = std::string(why)]() -> Outcome { return tool::refuse(why); };
  }
}

}  // namespace
}  // namespace cairn::server

int main(int argc, char** argv) {
  using namespace cairn;
  tool::Tool tool("daos_server", "Runs the engines of this machine from its configuration");
  const auto arguments = std::make_shared<server::StartArguments>();
  bool ignored = false;
  tool.app().add_option("-o,--config", arguments->config,
                        "Configuration file (default /etc/daos/daos_server.yml)");
  tool.app().add_flag("-b,--debug", ignored, "accepted; control_log_mask says what is logged");
  tool.app().add_flag("-J,--json-logging", ignored, "accepted; the log is text");
  tool.app().add_flag("--syslog", ignored, "accepted; control_log_file says where the log goes");
  tool.app().add_flag("--allow-proxy", ignored, "accepted");
  server::add_start(tool, arguments);
  server::add_refused(tool);
  tool.resource("network", {}, "The network of this machine");
  tool.command("network", "scan", {}, "Lists the interfaces that engines can listen at").run =
      server::network_scan;
  tool.command("", "version", {}, "Prints the version").run = []() -> tool::Outcome {
    return tool::Reply{"DAOS Control Server version " CAIRN_VERSION "\n",
                       {{"name", "DAOS Control Server"}, {"version", CAIRN_VERSION}}};
  };
  return tool.main(argc, argv);
}
