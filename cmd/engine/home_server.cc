#include "cmd/engine/home_server.h"

#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/home_token.h"
#include "cmd/embed/server_start.h"
#include "runtime/parallel.h"

namespace cairn::engine_program {

namespace {
/// A client of this machine that lost its last connection has ended; it may come back only where it
/// gave up its connections itself.
constexpr Duration kSessionGrace = 100 * kMillisecond;
/// For clients that do not take their answers when the server ends.
constexpr Duration kClosePatience = 5 * kSecond;
/// For engines that close their shards.
constexpr Duration kMemberPatience = 30 * kSecond;
/// Removals that began while an engine came are looked at once more.
constexpr Duration kRemovalsAgain = 2 * kSecond;
}  // namespace

Result<std::unique_ptr<HomeServer>> HomeServer::open(ServerOptions options) {
  std::unique_ptr<HomeServer> out(new HomeServer);
  client::HomeOptions home;
  home.path = options.home;
  TRY(graph,
      embed::HomeGraph::open(
          {.home = std::move(home),
           .use = embed::HomeUse::server,
           .apart = true,
           .joinable = options.insecure && !options.listen.empty(),
           .takeover = options.take_over ? embed::Takeover::always : embed::Takeover::if_idle,
           .cores = options.cores,
           .keep_handles = true,
           .set_running = [self = out.get()](std::vector<uint32_t> ranks, bool run) {
             return self->set_running(std::move(ranks), run);
           }}));
  fabric::Token token{};
  if (!options.listen.empty() && !options.insecure) {
    auto made = embed::make_token(graph->path());
    if (!made) return fail(made.error());
    token = *made;
  }
  out->options_ = std::move(options);
  out->graph_ = std::move(graph);
  Reactor& reactor = out->graph_->context().reactor();
  out->leaving_changed_ = std::make_unique<WaitList>(reactor);
  HomeServer* const self = out.get();
  out->server_ = std::make_unique<fabric::StreamServer>(
      reactor, out->graph_->local_engine().service(),
      fabric::StreamServerOptions{.system = out->graph_->system(),
                                  .rank = 0,
                                  .incarnation = out->graph_->incarnation(),
                                  .token = token,
                                  .admin_token = out->graph_->secret(),
                                  .anybody = out->options_.insecure,
                                  .stays = out->options_.linger_ns == kNever},
      fabric::StreamServer::Hooks{
          .session = [self](uint64_t session, bool here,
                            bool local) { self->on_session(session, here, local); },
          .leave =
              [self] {
                self->leaving_ = true;
                self->leaving_changed_->wake_all();
              },
          .admin =
              [self](uint64_t session, bool here) {
                if (!here) self->admin_->end_session(session);
              }});
  out->admin_ = std::make_unique<embed::AdminServer>(
      reactor, out->graph_->system(), 0, out->graph_->local_engine(), false,
      embed::AdminServer::Hooks{
          .locate = [self](uint32_t rank) { return self->addresses_of(rank); }});
  out->server_->set_admin(out->admin_->door());
  out->make_keepers();
  return out;
}

Result<void> HomeServer::run(std::function<void()> ready) {
  Result<void> served = graph_->context().run(serve(std::move(ready)));
  keepers_.clear();
  launchers_.clear();
  server_.reset();
  admin_.reset();
  leaving_changed_.reset();
  const auto closed = graph_->close();
  return served ? closed : served;
}

Result<void> HomeServer::listen() {
  std::vector<Address> all = {{.host = embed::socket_path(graph_->path())}};
  std::vector<std::string> told;
  // Left by a server that was killed: this one has the lock.
  ::unlink(all.front().host.c_str());
  all.insert(all.end(), options_.listen.begin(), options_.listen.end());
  for (const Address& at : all) {
    const auto taken = server_->listen(at);
    if (!taken) {
      report(Severity::error, to_string(at) + ": cannot listen there: " + taken.error().what());
      return fail(taken.error());
    }
    for (const Address& way : fabric::ways_in(*taken)) told.push_back(to_string(way));
    report(Severity::info, "serving " + graph_->path() + " at " + to_string(*taken));
  }
  graph_->shards().set_addresses(std::move(told));
  return {};
}

/// As the launch file says; without one the other engines listen where this one does, at ports of
/// their own.
LauncherOptions HomeServer::launcher_options(uint32_t rank) const {
  LauncherOptions out = launcher_of(options_.launch, options_.launch_path, rank);
  if (options_.launch_path.empty()) {
    out.words.clear();
    for (Address at : options_.listen) {
      at.port = 0;
      if (at.provider == kShmProvider) at.host += "-" + std::to_string(rank);
      out.words.insert(out.words.end(), {"--listen", to_string(at)});
    }
  }
  out.home = graph_->path();
  out.program = embed::find_server_program();
  if (options_.insecure) out.words.emplace_back("--insecure");
  return out;
}

/// Engines of this machine are processes of this one's; others are started by their machines.
void HomeServer::make_keeper(uint32_t rank) {
  embed::Launcher* launcher = nullptr;
  if (rank < graph_->engine_count()) {
    launchers_.push_back(std::make_unique<ProcessLauncher>(launcher_options(rank)));
    launcher = launchers_.back().get();
  } else {
    launcher = &graph_->machines()->launcher(rank);
  }
  keepers_.push_back(std::make_unique<embed::MemberKeeper>(
      graph_->context().reactor(), *graph_->link(), *graph_->remotes().at(rank - 1),
      graph_->service(), *launcher,
      embed::KeeperOptions{.restart = options_.launch.restart,
                           .restart_pause_ns = options_.launch.restart_seconds * kSecond}));
}

void HomeServer::make_keepers() {
  for (const auto& shards : graph_->remotes()) make_keeper(shards->rank());
  graph_->set_on_admitted([this](uint32_t rank) {
    make_keeper(rank);
    if (serving_) keepers_.back()->start();
  });
  graph_->set_on_restarted([this](uint32_t rank) { keepers_.at(rank - 1)->revive(); });
}

/// As the engine said when it joined, or else its machine.
std::vector<std::string> HomeServer::addresses_of(uint32_t rank) const {
  for (const wire::EngineInfo& engine : graph_->fleet().engines()) {
    if (engine.rank == rank && !engine.addresses.empty()) return engine.addresses;
  }
  return graph_->machines()->addresses(rank);
}

/// Of the engine in this process: its shards are closed, the services stay.
Task<Result<void>> HomeServer::stop_first() {
  if (std::exchange(first_stopped_, true)) co_return Result<void>{};
  graph_->local_engine().cores().set_serving(false);
  graph_->fleet().set_stopped(0, true);
  co_return co_await graph_->local_engine().close();
}

Task<Result<void>> HomeServer::start_first() {
  if (!first_stopped_) co_return Result<void>{};
  graph_->local_engine().reopen();
  CO_TRY(caught_up, co_await graph_->service().catch_up(graph_->local_engine().host()));
  first_stopped_ = false;
  graph_->fleet().set_stopped(0, false);
  graph_->local_engine().cores().set_serving(true);
  graph_->context().reactor().spawn(finish_removals());
  co_return Result<void>{};
}

/// What was destroyed while it was away; and what began to be while it came.
Task<void> HomeServer::finish_removals() {
  co_await graph_->service().finish_removals();
  co_await graph_->context().reactor().sleep(kRemovalsAgain);
  if (!leaving_) co_await graph_->service().finish_removals();
}

namespace {

Task<void> note(uint32_t rank, Task<Result<void>> task, std::vector<wire::RankResult>& into) {
  const auto done = co_await std::move(task);
  wire::RankResult result{.rank = rank};
  if (!done) {
    result.status = static_cast<uint32_t>(done.error().code());
    result.text = done.error().what();
  }
  into.push_back(std::move(result));
}

Task<Result<void>> refuse_to_turn() {
  co_return fail(Errc::busy, "engine: somebody else stops or starts engines");
}

}  // namespace

/// One after the other; one caller at a time.
Task<std::vector<wire::RankResult>> HomeServer::set_running(std::vector<uint32_t> ranks,
                                                            bool run) {
  std::vector<wire::RankResult> out;
  const bool busy = std::exchange(turning_, true);
  for (const uint32_t rank : ranks) {
    if (busy) {
      co_await note(rank, refuse_to_turn(), out);
    } else if (rank == 0) {
      co_await note(rank, run ? start_first() : stop_first(), out);
    } else {
      embed::MemberKeeper& keeper = *keepers_.at(rank - 1);
      co_await note(rank, run ? keeper.resume(kMemberPatience) : keeper.halt(kMemberPatience), out);
    }
  }
  if (!busy) turning_ = false;
  co_return out;
}

Task<void> HomeServer::stop_members() {
  std::vector<Task<Result<void>>> tasks;
  const auto stop = [](embed::MemberKeeper& keeper) -> Task<Result<void>> {
    co_await keeper.stop(kMemberPatience);
    co_return Result<void>{};
  };
  const size_t own = graph_->engine_count() - 1;
  for (size_t i = 0; i < own; ++i) tasks.push_back(stop(*keepers_[i]));
  if (!tasks.empty()) {
    [[maybe_unused]] const auto done =
        co_await run_all(graph_->context().reactor(), std::move(tasks), own);
  }
  if (keepers_.size() == own) co_return;
  // Engines of other machines stay where they are.
  co_await graph_->link()->close();
  for (size_t i = own; i < keepers_.size(); ++i) co_await keepers_[i]->detach();
}

Task<Result<void>> HomeServer::serve(std::function<void()> ready) {
  const std::string socket = embed::socket_path(graph_->path());
  if (const auto listening = listen(); !listening) {
    co_await server_->close(0);
    co_await admin_->stop();
    co_return listening;
  }
  Reactor& reactor = graph_->context().reactor();
  for (const uint64_t session : graph_->service().sessions()) {
    reactor.spawn(end_unless_back(session, 0, options_.reconnect_grace_ns));
  }
  start_lingering();
  for (const auto& keeper : keepers_) keeper->start();
  serving_ = true;
  ready();
  while (!leaving_) co_await leaving_changed_->wait();
  ::unlink(socket.c_str());
  co_await server_->close(kClosePatience);
  co_await stop_members();
  co_await admin_->stop();
  co_return Result<void>{};
}

void HomeServer::leave() {
  graph_->context().reactor().post([this] {
    leaving_ = true;
    leaving_changed_->wake_all();
  });
}

void HomeServer::on_session(uint64_t session, bool here, bool local) {
  ++idle_generation_;
  if (here || leaving_) return;
  graph_->context().reactor().spawn(end_unless_back(
      session, ++departures_[session], local ? kSessionGrace : options_.reconnect_grace_ns));
  if (server_->clients() == 0) start_lingering();
}

void HomeServer::start_lingering() {
  if (options_.linger_ns == kNever) return;
  graph_->context().reactor().spawn(linger(idle_generation_));
}

Task<void> HomeServer::linger(uint64_t generation) {
  co_await graph_->context().reactor().sleep(options_.linger_ns);
  if (generation != idle_generation_ || server_->clients() != 0) co_return;
  leaving_ = true;
  leaving_changed_->wake_all();
}

/// Each absence has the whole grace: one that came back and went again is not this one's.
Task<void> HomeServer::end_unless_back(uint64_t session, uint64_t departure, Duration grace) {
  co_await graph_->context().reactor().sleep(grace);
  // Who comes back to the next server finds its handles there.
  if (leaving_ || server_->has_client(session)) co_return;
  const auto last = departures_.find(session);
  if (last != departures_.end() && last->second != departure) co_return;
  if (last != departures_.end()) departures_.erase(last);
  co_await graph_->service().end_session(session);
}

}  // namespace cairn::engine_program
