#include "cmd/cairn/server.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "client/home.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_door.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/server_start.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

struct UpArguments {
  uint32_t engines = 0, targets = 0;  // 0: as the home has
  std::vector<std::string> listen;
};

/// Makes the home if there is none; else it must have what was asked for.
std::optional<Outcome> fit_home(const std::string& home, const UpArguments& a) {
  const auto found = embed::load_home(home);
  if (!found) return failure("cannot use the home " + home, found.error());
  if (!*found) {
    if (a.engines <= 1 && a.targets <= 1) return std::nullopt;
    const auto made = client::make_home(
        home, {.targets = std::max(a.targets, 1u), .engines = std::max(a.engines, 1u)});
    if (!made) return failure("cannot make the home " + home, made.error());
    return std::nullopt;
  }
  const embed::HomeFile& file = **found;
  const bool fits = (a.engines == 0 || a.engines == file.engine_count) &&
                    (a.targets == 0 || a.targets == file.target_count);
  if (fits) return std::nullopt;
  return refuse("cairn up: the home " + home + " has " + std::to_string(file.engine_count) +
                    " engines of " + std::to_string(file.target_count) +
                    " targets, fixed when it was made; leave out --engines and --targets, or "
                    "choose another home with CAIRN_HOME",
                -static_cast<int>(Errc::invalid));
}

Outcome up(const UpArguments& a) {
  const auto home = embed::resolve_home({});
  if (!home) return failure("cannot find the home", home.error());
  const auto usable = embed::prepare_home(*home, true);
  if (!usable) return failure("cannot use the home " + *home, usable.error());
  if (auto refused = fit_home(*home, a)) return std::move(*refused);
  const auto before = embed::look_at_server(*home);
  if (before && before->stays && !a.listen.empty()) {
    return refuse("cairn up: the home " + *home + " is up already, process " +
                      std::to_string(before->process) +
                      ", and listens where it was told to then; run cairn down first",
                  -static_cast<int>(Errc::busy));
  }
  if (before && before->stays) {
    return Reply{"Home " + *home + " is up, process " + std::to_string(before->process) + "\n",
                 {{"home", *home}, {"process", before->process}, {"started", false}}};
  }
  // One that would go by itself makes room; its clients come to the next.
  std::vector<std::string> options = {"--stay", "--take-over"};
  for (const std::string& address : a.listen) {
    options.insert(options.end(), {"--listen", address});
  }
  const auto started = embed::start_server(embed::find_server_program(), *home, options);
  if (!started) return failure("cannot start the server", started.error());
  if (started->outcome == embed::StartOutcome::failed ||
      started->outcome == embed::StartOutcome::died) {
    return failure("the server cannot open the home " + *home, -static_cast<int>(started->code));
  }
  const auto now = embed::look_at_server(*home);
  if (!now) {
    if (const auto holder = embed::HomeLock::holder(*home)) embed::report_holder(*home, *holder);
    return failure("the home is not up", now.error());
  }
  return Reply{"Home " + *home + " is up, process " + std::to_string(now->process) + "\n",
               {{"home", *home}, {"process", now->process}, {"started", true}}};
}

Outcome down() {
  const auto home = embed::resolve_home({});
  if (!home) return failure("cannot find the home", home.error());
  const auto holder = embed::HomeLock::holder(*home);
  if (!holder) return Reply{"Home " + *home + " is not served\n", {{"stopped", false}}};
  if (holder->use == embed::HomeUse::embed) {
    embed::report_holder(*home, *holder);
    return failure("nothing to stop: a process has the home for itself",
                   -static_cast<int>(Errc::busy));
  }
  const auto done = embed::dismiss_server(*home, true);
  if (!done) return failure("cannot stop the server, process " + holder->pid, done.error());
  return Reply{"Home " + *home + " is down\n", {{"stopped", true}}};
}

struct LogArguments {
  bool follow = false;
};

Outcome logs(const LogArguments& a) {
  const auto home = embed::resolve_home({});
  if (!home) return failure("cannot find the home", home.error());
  const std::string path = *home + "/server.log";
  std::ifstream file(path);
  if (!file) return refuse("there is no " + path + ": nobody has served this home", -1005);
  for (;;) {
    std::string line;
    while (std::getline(file, line)) std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    if (!a.follow || std::ferror(stdout) != 0) break;
    file.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return Reply{};
}

const char* state_name(client::EngineInfo::State state) {
  switch (state) {
    case client::EngineInfo::State::joined: return "Joined";
    case client::EngineInfo::State::starting: return "Starting";
    case client::EngineInfo::State::await_format: return "AwaitFormat";
    case client::EngineInfo::State::away: break;
  }
  return "Stopped";
}

}  // namespace

Json server_json() {
  const auto home = embed::resolve_home({});
  if (!home) return nullptr;
  const auto server = embed::look_at_server(*home);
  if (!server) return nullptr;
  return {{"process", server->process}, {"clients", server->clients}, {"stays", server->stays}};
}

std::string server_text(const Json& server) {
  if (server.is_null()) return {};
  return "Served by process " + std::to_string(server["process"].get<uint32_t>()) +
         (server["stays"].get<bool>() ? ", until cairn down\n"
                                      : ", until its clients have left\n");
}

Json engines_json(const std::vector<client::EngineInfo>& engines) {
  Json out = Json::array();
  for (const client::EngineInfo& engine : engines) {
    out.push_back({{"rank", engine.rank},
                   {"state", state_name(engine.state)},
                   {"process", engine.process},
                   {"incarnation", engine.incarnation},
                   {"addresses", engine.addresses}});
  }
  return out;
}

std::string engines_text(const std::vector<client::EngineInfo>& engines) {
  if (engines.size() < 2) return {};
  std::vector<std::vector<std::string>> rows;
  for (const client::EngineInfo& engine : engines) {
    rows.push_back({std::to_string(engine.rank), state_name(engine.state),
                    engine.process == 0 ? "" : std::to_string(engine.process)});
  }
  return "\n" + table({"Rank", "State", "Process"}, rows);
}

void add_server_commands(Tool& tool) {
  Command& up_command =
      tool.command("", "up", {}, "Serves the home until `cairn down`, for all processes");
  auto up_arguments = std::make_shared<UpArguments>();
  up_command.app->add_option("--engines", up_arguments->engines,
                             "engines of the home, each a process of its own; a home that is made "
                             "now gets so many (default: 1), another one must have them");
  up_command.app->add_option("--targets", up_arguments->targets,
                             "targets of each engine, in the same way");
  up_command.app->add_option("--listen", up_arguments->listen,
                             "tcp:HOST:PORT for clients of other machines, which need the home's "
                             "token, or ofi+PROVIDER://HOST:PORT, by libfabric; may be given "
                             "several times");
  up_command.run = [up_arguments] { return up(*up_arguments); };
  tool.command("", "down", {}, "Stops the server of the home; what is under way ends first").run =
      down;
  Command& logs_command = tool.command("", "logs", {}, "What the server of the home has said");
  auto log_arguments = std::make_shared<LogArguments>();
  logs_command.app->add_flag("-f,--follow", log_arguments->follow, "wait for more");
  logs_command.prints_itself = true;
  logs_command.run = [log_arguments] { return logs(*log_arguments); };
}

}  // namespace cairn::tool
