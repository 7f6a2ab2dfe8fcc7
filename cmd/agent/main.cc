// daos_agent: tells the programs of a machine where the system is, for as long as it runs. Needed
// only where clients are to find a system of daos_server as those of DAOS do; a home needs none.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "cmd/agent/agent_config.h"
#include "cmd/embed/agent_file.h"
#include "cmd/tool/tool.h"

namespace cairn::agent {
namespace {

using tool::Outcome;

constexpr const char* kDefaultConfig = "/etc/daos/daos_agent.yml";

struct StartArguments {
  std::string config, runtime_dir, log_file;
  bool insecure = false;
};

std::expected<AgentConfig, tool::Failure> load(const StartArguments& a) {
  const std::string path = a.config.empty() ? kDefaultConfig : a.config;
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file && !a.config.empty()) return tool::refuse(path + ": cannot be read");
  // Without a file the defaults do, as for the known agent.
  ConfigOutcome outcome = parse_config(file ? text.str() : "{}", a.insecure);
  for (const std::string& line : outcome.notices) {
    std::fprintf(stderr, "NOTICE: daos_agent: %s: %s\n", path.c_str(), line.c_str());
  }
  if (!outcome.config) return tool::refuse(path + ": " + outcome.errors.front());
  if (!a.runtime_dir.empty()) outcome.config->runtime_dir = a.runtime_dir;
  if (!a.log_file.empty()) outcome.config->log_file = a.log_file;
  return std::move(*outcome.config);
}

/// SIGUSR1 and SIGUSR2 have nothing to revoke or refresh.
void wait_for_the_end() {
  sigset_t ending;
  sigemptyset(&ending);
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ending, each);
  int which = 0;
  while (sigwait(&ending, &which) != 0) {
  }
}

Outcome start(const StartArguments& a) {
  auto config = load(a);
  if (!config) return std::unexpected(config.error());
  sigset_t all;
  sigemptyset(&all);
  for (const int each : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&all, each);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  std::error_code error;
  std::filesystem::create_directories(config->runtime_dir, error);
  if (error) {
    return tool::refuse(config->runtime_dir + ": cannot be made: " + error.message() +
                        "; give another one with -s");
  }
  const auto stored = embed::store_agent_file(config->runtime_dir, config->servers);
  if (!stored) return tool::failure("cannot write to " + config->runtime_dir, stored.error());
  if (!config->log_file.empty() &&
      (std::freopen(config->log_file.c_str(), "a", stdout) == nullptr ||
       std::freopen(config->log_file.c_str(), "a", stderr) == nullptr)) {
    return tool::refuse(config->log_file + ": cannot be written");
  }
  std::string servers;
  for (const std::string& each : config->servers) servers += " " + each;
  std::printf("Listening on %s: the system is at%s\n", config->runtime_dir.c_str(),
              servers.c_str());
  std::fflush(stdout);
  wait_for_the_end();
  embed::remove_agent_file(config->runtime_dir);
  return tool::Reply{};
}

}  // namespace
}  // namespace cairn::agent

int main(int argc, char** argv) {
  using namespace cairn;
  tool::Tool tool("daos_agent", "Tells the programs of this machine where the system is");
  const auto a = std::make_shared<agent::StartArguments>();
  bool ignored = false;
  tool.app().add_option("-o,--config-path", a->config,
                        "configuration file (default /etc/daos/daos_agent.yml, if it is there)");
  tool.app().add_option("-s,--runtime_dir", a->runtime_dir, "as the key runtime_dir");
  tool.app().add_option("-l,--logfile", a->log_file, "as the key log_file");
  tool.app().add_flag("-i,--insecure", a->insecure, "as transport_config.allow_insecure: true");
  tool.app().add_flag("-d,--debug", ignored, "accepted");
  tool.app().add_flag("-J,--json-logging", ignored, "accepted");
  tool.app().add_flag("--allow-proxy", ignored, "accepted");
  tool::Command& start = tool.command("", "start", {}, "Runs until it is told to end (default)");
  start.prints_itself = true;
  start.run = [a] { return agent::start(*a); };
  tool.without_command([a] {
    const auto outcome = agent::start(*a);
    if (outcome) return 0;
    std::fprintf(stderr, "ERROR: daos_agent: %s\n", outcome.error().message.c_str());
    return 1;
  });
  tool.command("", "version", {}, "Prints the version").run = []() -> tool::Outcome {
    return tool::Reply{"DAOS Agent version " CAIRN_VERSION "\n",
                       {{"name", "DAOS Agent"}, {"version", CAIRN_VERSION}}};
  };
  return tool.main(argc, argv);
}
