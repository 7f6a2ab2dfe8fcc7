#include "cmd/engine/machine_server.h"

#include <signal.h>
#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_token.h"
#include "cmd/embed/server_start.h"
#include "fabric/stream_server.h"
#include "runtime/io.h"

namespace cairn::engine_program {

namespace {

/// Between two looks at the engines' processes.
constexpr Duration kLook = 200 * kMillisecond;
constexpr Duration kReport = kSecond;
/// For engines that close their shards.
constexpr Duration kEndPatience = 60 * kSecond;
constexpr Duration kKillPatience = 5 * kSecond;
/// For a server that was left behind, and its engines: longer than they have.
constexpr useconds_t kLockTryUs = 100'000;
constexpr int kLockTriesMax = 900;

/// Where engines of other machines and clients reach one that listens there.
std::vector<std::string> told_of(const std::vector<std::string>& listen) {
  std::vector<std::string> out;
  for (const std::string& text : listen) {
    const auto at = parse_address(text);
    if (!at) continue;
    for (const Address& way : fabric::ways_in(*at)) out.push_back(to_string(way));
  }
  return out;
}

/// The services tell only the kind of an error.
std::string trouble_of(const Error& error) {
  switch (error.code()) {
    case Errc::busy:
      return "another server reports in the name of this machine; was its directory copied?";
    case Errc::nonexistent:
      return "they do not know this machine; is it another system's server that answers there?";
    default:
      return error.what();
  }
}

/// From a server that was left behind, which ends its engines on the way.
Result<embed::HomeLock> take_lock(const std::string& home) {
  std::optional<embed::HomeHolder> told;
  for (int tries = 0;; ++tries) {
    auto lock = embed::HomeLock::take(home, embed::HomeUse::server);
    if (lock || lock.error().code() != Errc::busy) return lock;
    const auto holder = embed::HomeLock::holder(home);
    if (tries == kLockTriesMax) {
      if (holder) embed::report_holder(home, *holder);
      return lock;
    }
    if (holder && (!told || told->pid != holder->pid)) {
      report(Severity::info,
             "another server, process " + holder->pid + ", has " + home + "; it is asked to end");
      embed::signal_holder(*holder, SIGTERM);
      told = holder;
    }
    usleep(kLockTryUs);
  }
}

}  // namespace

struct MachineServer::Engine {
  Engine(uint32_t rank_, std::vector<std::string> addresses_, LauncherOptions options)
      : rank(rank_), addresses(std::move(addresses_)), launcher(std::move(options)) {}
  const uint32_t rank;
  const std::vector<std::string> addresses;
  mutable ProcessLauncher launcher;
  uint64_t done = 0;  // the last order
};

Result<std::unique_ptr<MachineServer>> MachineServer::open(MachineOptions options) {
  std::unique_ptr<MachineServer> out(new MachineServer);
  TRY(prepared, out->prepare(std::move(options)));
  return out;
}

MachineServer::~MachineServer() {
  services_.reset();
  context_.reset();
}

Result<void> MachineServer::prepare(MachineOptions options) {
  options_ = std::move(options);
  TRY(found, embed::find_home(options_.home));
  const std::string& path = found.path;
  options_.home = path;
  file_ = found.file;
  if (file_.has_services()) {
    report(Severity::error, path + ": has its services itself; start it without --machine");
    return fail(Errc::nonexistent, "home: not of a machine of a larger system");
  }
  TRY(lock, take_lock(path));
  lock_ = std::move(lock);
  TRY(machine, embed::must_read_machine(path));
  machine_ = machine;
  const auto at = parse_address("tcp:" + machine_.service);
  auto services = at ? resolve_blocking(*at) : Result<std::vector<Address>>(fail(at.error()));
  if (!services) {
    report(Severity::error, machine_.service + ": " + services.error().what() +
                                "; it should be the host of the system's services: change "
                                "mgmt_svc_replicas");
    return fail(services.error());
  }
  fabric::Token token{};
  const std::string token_path = path + "/" + embed::kTokenFile;
  if (access(token_path.c_str(), F_OK) == 0) {
    TRY(read, embed::read_token(token_path));
    token = read;
  }
  TRY(io, make_io_backend(IoDrivers::one));
  reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), std::move(io));
  context_ = std::make_unique<Context>(*reactor_);
  services_ = std::make_unique<embed::ServiceLink>(*reactor_, std::move(*services), token);
  while (incarnation_ == 0) incarnation_ = reactor_->random().next();
  for (uint32_t rank = file_.first_rank; rank < file_.end_rank(); ++rank) {
    engines_.push_back(std::make_unique<Engine>(rank, told_of(options_.launch.of(rank).listen),
                                                launcher_options(rank)));
  }
  return {};
}

LauncherOptions MachineServer::launcher_options(uint32_t rank) const {
  LauncherOptions out = launcher_of(options_.launch, options_.launch_path, rank);
  out.home = options_.home;
  out.program = embed::find_server_program();
  if (options_.insecure) out.words.emplace_back("--insecure");
  // It outlives the services' absence: who has it started is here.
  out.words.emplace_back("--stay");
  return out;
}

Result<void> MachineServer::run(std::function<void()> ready) {
  ready();
  return context_->run(serve());
}

void MachineServer::leave() {
  reactor_->post([this] { leaving_ = true; });
}

wire::Machine MachineServer::look() const {
  wire::Machine out{.uuid = machine_.uuid, .incarnation = incarnation_};
  for (const auto& engine : engines_) {
    out.engines.push_back({.rank = engine->rank,
                           .addresses = engine->addresses,
                           .running = engine->launcher.is_running(),
                           .starting = engine->launcher.is_starting(),
                           .done = engine->done});
  }
  return out;
}

Task<Result<void>> MachineServer::serve() {
  wire::Machine told;
  Instant again = 0;
  while (!leaving_) {
    wire::Machine now = look();
    if (now != told || reactor_->clock().now() >= again) {
      told = now;
      again = reactor_->clock().now() + kReport;
      co_await report_once(std::move(now));
    }
    // What was ordered shows at once.
    if (!leaving_ && look() == told) co_await reactor_->sleep(kLook);
  }
  co_await end_engines();
  co_await services_->close();
  co_return Result<void>{};
}

/// Each trouble once, and its end.
void MachineServer::note(const Result<wire::ControlReply>& reply) {
  const std::string trouble = reply ? "" : trouble_of(reply.error());
  if (trouble == trouble_) return;
  trouble_ = trouble;
  if (reply) {
    report(Severity::info, "the services at " + machine_.service + " hear of this machine");
    return;
  }
  report(Severity::warning, "the services at " + machine_.service + ": " + trouble +
                                "; the engines stay as they are meanwhile");
}

Task<void> MachineServer::report_once(wire::Machine now) {
  wire::ControlRequest request;
  request.op = wire::Op::machine_report;
  request.machine = std::move(now);
  const auto reply = co_await services_->ask(std::move(request));
  note(reply);
  if (!reply || leaving_) co_return;
  for (const wire::MachineOrder& order : reply->orders) carry_out(order);
}

void MachineServer::carry_out(const wire::MachineOrder& order) {
  if (!file_.has_rank(order.rank)) return;
  Engine& engine = *engines_.at(order.rank - file_.first_rank);
  if (engine.done == order.id) return;
  engine.done = order.id;
  switch (order.action) {
    case wire::MachineAction::launch:
      engine.launcher.launch();
      break;
    case wire::MachineAction::terminate:
      engine.launcher.terminate();
      break;
    case wire::MachineAction::kill:
      engine.launcher.kill();
      break;
    case wire::MachineAction::none:
      break;
  }
}

bool MachineServer::any_left() const {
  for (const auto& engine : engines_) {
    if (engine->launcher.is_starting() || engine->launcher.is_running()) return true;
  }
  return false;
}

Task<void> MachineServer::end_engines() {
  for (const auto& engine : engines_) engine->launcher.terminate();
  const Instant kill_at = reactor_->clock().now() + kEndPatience;
  while (any_left() && reactor_->clock().now() < kill_at) co_await reactor_->sleep(kLook);
  for (const auto& engine : engines_) engine->launcher.kill();
  const Instant give_up = reactor_->clock().now() + kKillPatience;
  while (any_left() && reactor_->clock().now() < give_up) co_await reactor_->sleep(kLook);
}

}  // namespace cairn::engine_program
