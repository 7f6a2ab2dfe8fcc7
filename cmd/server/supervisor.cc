#include "cmd/server/supervisor.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/machine_file.h"
#include "cmd/embed/server_start.h"
#include "cmd/server/format_door.h"
#include "cmd/server/left_engines.h"
#include "cmd/server/system_home.h"

namespace cairn::server {

namespace {

constexpr int64_t kPauseMinMs = 100;
constexpr int64_t kPauseMaxMs = 10'000;
/// A process that lived so long was well when it started.
constexpr int64_t kWellMs = 10'000;
/// For the services to answer what is under way and to close the shards.
constexpr int64_t kStopMaxMs = 90'000;

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

std::vector<wire::DeviceReply> planned_devices(const ServerConfig& config) {
  std::vector<wire::DeviceReply> out;
  for (const client::HomeDevice& device : devices_of(config)) {
    out.push_back({.path = device.path,
                   .roles = device.roles,
                   .rank = device.engine,
                   .directory = std::filesystem::is_directory(device.path)});
  }
  return out;
}

Result<void> store_launch(const std::string& home, const embed::LaunchFile& launch) {
  return embed::store_small_file(home, "launch", as_bytes(embed::format_launch(launch)));
}

}  // namespace

void Supervisor::tell(const std::string& line) const {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

/// A signal that ends the server has come, now or before.
bool Supervisor::told_to_leave() {
  sigset_t ending = options_.signals;
  sigdelset(&ending, SIGCHLD);
  const timespec at_once{};
  if (sigtimedwait(&ending, nullptr, &at_once) > 0) leaving_ = true;
  return leaving_;
}

/// All of it, or the engines that are new.
Result<void> Supervisor::make_home(const std::optional<embed::HomeFile>& found, bool wipe) {
  const ServerConfig& config = options_.config;
  if (found) return grow_system(config, *found, wipe);
  return services_ ? join_home(config, *services_, wipe) : format_home(config, wipe);
}

/// Without a word from dmg: joins as soon as there is a system. @returns false: told to go before
Result<bool> Supervisor::wait_for_services() {
  bool told = false;
  while (!told_to_leave()) {
    const auto joined = make_home(std::nullopt, false);
    if (joined) return true;
    if (!may_come(joined.error())) return fail(joined.error());
    if (!std::exchange(told, true)) {
      tell("Waiting for the system's services at " + services_->text + ": " +
           joined.error().what());
    }
    const timespec step{.tv_sec = 0, .tv_nsec = 500'000'000};
    nanosleep(&step, nullptr);
  }
  return false;
}

/// @returns false: told to go before it was formatted
Result<bool> Supervisor::format() {
  const ServerConfig& config = options_.config;
  TRY(found, look_at_home(config, services_.has_value()));
  const auto engine_count = static_cast<uint32_t>(config.engines.size());
  if (found && found->engine_count == engine_count) return true;
  if (options_.auto_format) {
    tell("Formatting the storage of " + config.home());
    if (services_) return wait_for_services();
    TRY(made, make_home(found, false));
    return true;
  }
  TRY(address, parse_address(listen_));
  auto formatted = wait_for_format(
      {.listen = address,
       .engine_count = engine_count,
       .formatted_count = found ? found->engine_count : 0,
       .devices = planned_devices(config),
       .leave = [this] { return told_to_leave(); },
       .format = [this, &found](bool wipe) { return make_home(found, wipe); },
       .ready =
           [this] {
             tell("Storage format required: run dmg storage format (waiting at " + listen_ + ")");
           }});
  if (!formatted && formatted.error().code() == Errc::busy) {
    report(Severity::error, listen_ + ": another program listens there; give another port");
  }
  return formatted;
}

/// Engines of several machines must reach each other.
Result<void> Supervisor::check_interfaces() {
  const bool afar = std::ranges::none_of(services_->addresses, [](const Address& address) {
    return address.host.starts_with("127.");
  });
  for (const EngineConfig& engine : options_.config.engines) {
    TRY(address, address_of(engine.fabric_iface));
    if (!afar || !address.starts_with("127.")) continue;
    report(Severity::error, "engines.fabric_iface " + engine.fabric_iface +
                                ": other machines cannot reach it, and the system's services are "
                                "at " +
                                services_->text + "; give an interface of the network");
    return fail(Errc::invalid, "server: an engine that only this machine reaches");
  }
  return {};
}

Result<void> Supervisor::prepare() {
  const ServerConfig& config = options_.config;
  TRY(home, look_at_home(config, services_.has_value()));
  TRY(launch, launch_of(config, home ? home->first_rank : 0));
  if (services_) {
    // Another id would be another machine's.
    TRY(known, embed::must_read_machine(config.home()));
    TRY(updated, embed::update_machine(config.home(), services_->text));
  }
  launch_ = launch;
  TRY(stored, store_launch(config.home(), launch_));
  launch_path_ = config.home() + "/launch";
  if (config.core_dump_filter) {
    // Children inherit it.
    std::ofstream filter("/proc/self/coredump_filter");
    filter << "0x" << std::hex << *config.core_dump_filter;
    if (!filter.flush()) {
      report(Severity::warning, "core_dump_filter: this kernel does not take it");
    }
  }
  return {};
}

/// @returns whether there is a child now
bool Supervisor::launch() { return services_ ? start_machine() : start_services(); }

bool Supervisor::start_machine() {
  const ServerConfig& config = options_.config;
  const std::vector<std::string> words = {"--machine",  "--home",   config.home(),
                                          "--insecure", "--launch", launch_path_};
  const std::string control = log_level(config.control_log_mask);
  const auto started =
      embed::start_program(program_, words, {.log = {}, .env = {"CAIRN_LOG=" + control}});
  started_ms_ = now_ms();
  if (!started) return false;
  child_ = *started;
  return true;
}

bool Supervisor::start_services() {
  const ServerConfig& config = options_.config;
  std::vector<std::string> words = {"--home",      config.home(), "--stay",
                                    "--take-over", "--insecure",  "--listen",
                                    listen_,       "--launch",    launch_path_};
  const embed::EngineLaunch first = launch_.of(0);
  std::vector<std::string> env = first.env;
  // It is the services' process, too: the more talkative of the two levels.
  const std::string control = log_level(config.control_log_mask);
  env.push_back("CAIRN_LOG=" + (control == "off" ? first.level : control));
  const auto started = embed::start_program(program_, words, {.log = first.log, .env = env});
  started_ms_ = now_ms();
  if (!started) return false;
  child_ = *started;
  return true;
}

/// Until the child ends (true) or a signal says that it should (false).
bool Supervisor::wait_for_child(int* status) {
  for (;;) {
    const pid_t ended = waitpid(child_, status, WNOHANG);
    if (ended == child_ || (ended < 0 && errno == ECHILD)) {
      child_ = -1;
      return true;
    }
    const int which = sigwaitinfo(&options_.signals, nullptr);
    if (which > 0 && which != SIGCHLD) {
      leaving_ = true;
      return false;
    }
  }
}

void Supervisor::stop_child() {
  if (child_ <= 0) return;
  kill(child_, SIGTERM);
  const int64_t give_up = now_ms() + kStopMaxMs;
  sigset_t child_only;
  sigemptyset(&child_only);
  sigaddset(&child_only, SIGCHLD);
  while (waitpid(child_, nullptr, WNOHANG) == 0) {
    const timespec look_again{.tv_sec = 0, .tv_nsec = 100'000'000};
    sigtimedwait(&child_only, nullptr, &look_again);
    if (now_ms() < give_up) continue;
    report(Severity::warning,
           "the services do not end; they are killed, and what they have "
           "acknowledged is in their logs");
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    break;
  }
  child_ = -1;
}

/// For good: no engine stays behind.
void Supervisor::leave() {
  stop_child();
  end_engines_left(options_.config.home());
}

/// @returns false: told to go meanwhile
bool Supervisor::pause_before_restart() {
  const int64_t now = now_ms();
  const auto delay_ms = static_cast<int64_t>(options_.config.restart_delay_seconds) * 1000;
  pause_ms_ = now - started_ms_ > kWellMs ? kPauseMinMs
                                          : std::clamp(pause_ms_ * 2, kPauseMinMs, kPauseMaxMs);
  const int64_t until = std::max(now + pause_ms_, started_ms_ + delay_ms);
  while (now_ms() < until && !told_to_leave()) {
    const timespec step{.tv_sec = 0, .tv_nsec = 50'000'000};
    nanosleep(&step, nullptr);
  }
  return !leaving_;
}

Result<void> Supervisor::run() {
  const ServerConfig& config = options_.config;
  program_ = embed::find_server_program();
  if (program_.empty()) {
    report(Severity::error,
           "daos_engine is not beside this program, nor on the PATH; CAIRN_ENGINE "
           "may name it");
    return fail(Errc::not_supported, "server: there is no daos_engine");
  }
  TRY(address, address_of(config.control_iface));
  listen_ = "tcp:" + address + ":" + std::to_string(config.port);
  TRY(services, services_of(config));
  services_ = std::move(services);
  if (services_) {
    TRY(fine, check_interfaces());
  }
  TRY(formatted, format());
  if (!formatted) return {};
  TRY(prepared, prepare());
  // Who fails at once the first time will fail the next time, too.
  bool first = true;
  while (launch()) {
    tell("Serving " + config.home() + (services_ ? " for " + services_->text : " at " + listen_) +
         ", process " + std::to_string(child_));
    int status = 0;
    if (!wait_for_child(&status)) {
      leave();
      return {};
    }
    const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (well) {
      tell("The services were asked to end");
      return {};
    }
    report(Severity::error,
           WIFSIGNALED(status)
               ? "the services were ended by signal " + std::to_string(WTERMSIG(status))
               : "the services ended with status " + std::to_string(WEXITSTATUS(status)));
    if (first && WIFEXITED(status) && now_ms() - started_ms_ < kWellMs) {
      report(Severity::error,
             "what it has said on the way is the cause; repair that and start again");
      return fail(Errc::io, "server: the services cannot be started");
    }
    first = false;
    if (!config.auto_restart) {
      report(Severity::error, "they are not started again: disable_engine_auto_restart is true");
      leave();
      return fail(Errc::shutdown, "server: the services ended");
    }
    if (!pause_before_restart()) {
      leave();
      return {};
    }
  }
  return fail(Errc::io, "server: the services cannot be started");
}

}  // namespace cairn::server
