#include "sim/cluster/engine_process.h"

namespace cairn::sim {

namespace {

/// As the server program's.
constexpr Duration kEnginePatience = 10 * kSecond;

std::string name_of(uint32_t rank) { return "engine" + std::to_string(rank); }

}  // namespace

EngineProcess::EngineProcess(Stage& stage, Network& network, const ClusterShape& shape,
                             uint32_t rank)
    : Process(stage, name_of(rank)),
      network_(network),
      shape_(shape),
      rank_(rank),
      machine_(name_of(rank), stage.random().next()) {}

void EngineProcess::start() {
  if (is_running()) return;
  begin_run();
  build();
}

void EngineProcess::kill(bool power) {
  if (!is_running()) return;
  network_.process_ended(rank_, power);
  end_run();
  drop();
  if (power) {
    machine_.settle_after_power_cut();
  } else {
    machine_.settle_after_kill();
  }
}

std::unique_ptr<embed::LocalEngine> EngineProcess::make_engine() {
  return embed::LocalEngine::assemble(reactor(), {.file = {.uuid = shape_.system,
                                                           .target_count = shape_.targets,
                                                           .engine_count = shape_.engines},
                                                  .rank = rank_,
                                                  .storage = machine_.blobs(reactor()),
                                                  .process = rank_ + 1});
}

std::unique_ptr<embed::AdminLink> EngineProcess::make_link() {
  return std::make_unique<embed::AdminLink>(
      reactor(), embed::AdminLinkOptions{.system = shape_.system}, [this](uint64_t session) {
        return std::make_unique<SimTransport>(
            network_, *this,
            SimTransportOptions{
                .at = rank_, .session = session, .purpose = fabric::Purpose::admin});
      });
}

// Members.

void MemberProcess::build() {
  run_ = std::make_unique<Run>();
  Run& run = *run_;
  run.engine = make_engine();
  run.engine->cores().set_serving(false);
  run.link = make_link();
  run.peers = std::make_unique<embed::RemotePeers>(*run.link);
  run.engine->cores().set_peers(run.peers.get());
  run.admin =
      std::make_unique<embed::AdminServer>(reactor(), shape_.system, rank(), *run.engine, true,
                                           embed::AdminServer::Hooks{.joined =
                                                                         [&run](uint64_t session) {
                                                                           run.service = session;
                                                                           ++run.generation;
                                                                         },
                                                                     .leave = [this] { leave(); }});
  network_.listen(
      rank(), {.process = this,
               .calls = &run.engine->service(),
               .admin = &run.admin->door(),
               .admin_session = [this](uint64_t session, bool here) { on_admin(session, here); }});
  reactor().spawn(watch_server(run.generation));
}

/// Other engines come and go, too: only the services' engine counts.
void MemberProcess::on_admin(uint64_t session, bool here) {
  if (here) return;
  Run& run = *run_;
  run.admin->end_session(session);
  if (session != run.service || run.leaving) return;
  run.service = 0;
  reactor().spawn(watch_server(++run.generation));
}

Task<void> MemberProcess::watch_server(uint64_t generation) {
  Run& run = *run_;
  co_await reactor().sleep(shape_.member_grace);
  if (generation == run.generation) leave();
}

void MemberProcess::leave() {
  if (!is_running() || std::exchange(run_->leaving, true)) return;
  reactor().spawn(go());
}

Task<void> MemberProcess::go() {
  Run& run = *run_;
  run.admin->release();
  co_await run.engine->stop();
  co_await run.admin->stop();
  co_await run.link->close();
  [[maybe_unused]] const auto closed = co_await run.engine->close();
  stage().after(0, [this, life = life()] {
    if (is_running() && this->life() == life) kill(false);
  });
}

// The one with the services.

ServerProcess::ServerProcess(Stage& stage, Network& network, const ClusterShape& shape,
                             std::vector<MemberProcess*> members)
    : EngineProcess(stage, network, shape, 0), members_(std::move(members)) {
  for (MemberProcess* const member : members_) {
    launchers_.push_back(std::make_unique<Launcher>(*member));
  }
}

bool ServerProcess::is_whole() const {
  if (!is_running() || !run_->open) return false;
  for (const auto& remote : run_->remotes) {
    if (!remote->serves()) return false;
  }
  return true;
}

void ServerProcess::build() {
  run_ = std::make_unique<Run>();
  reactor().spawn(open());
}

Task<void> ServerProcess::open() {
  Result<void> opened = co_await open_config();
  if (opened) {
    make_service();
    opened = co_await run_->service->start();
  }
  if (!opened) {
    // Somebody looks at the machine, and starts the program again.
    trouble_ = opened.error().what();
    stage().after(kSecond, [this, life = life()] {
      if (is_running() && this->life() == life) kill(false);
    });
    co_return;
  }
  serve();
}

Task<Result<void>> ServerProcess::open_config() {
  bool fresh = false;
  Run& run = *run_;
  run.config_blobs = machine().config_blobs(reactor(), fresh);
  if (fresh) {
    CO_TRY(made, co_await service::EmbeddedConfigStore::create(
                     reactor(), run.config_blobs.devices(), shape_.system));
    run.config = std::move(made);
  } else {
    CO_TRY(found, co_await service::EmbeddedConfigStore::open(reactor(), run.config_blobs.devices(),
                                                              shape_.system));
    run.config = std::move(found);
  }
  co_return Result<void>{};
}

void ServerProcess::make_service() {
  Run& run = *run_;
  run.link = make_link();
  run.remote_peers = std::make_unique<embed::RemotePeers>(*run.link);
  run.peers = std::make_unique<embed::LocalPeers>(run.remote_peers.get());
  run.engine = make_engine();
  run.engine->cores().set_peers(run.peers.get());
  run.peers->add(0, run.engine->cores());
  std::vector<service::ShardHost*> hosts{&run.engine->host()};
  for (uint32_t rank = 1; rank < shape_.engines; ++rank) {
    run.remotes.push_back(
        std::make_unique<embed::RemoteShards>(reactor(), *run.link, rank, kEnginePatience));
    hosts.push_back(run.remotes.back().get());
  }
  run.fleet =
      std::make_unique<embed::EngineFleet>(reactor(), std::move(hosts), shape_.targets, nullptr);
  service::Targets targets;
  for (uint32_t rank = 0; rank < shape_.engines; ++rank) {
    for (uint32_t i = 0; i < shape_.targets; ++i) targets.push_back({rank, i});
  }
  run.service = std::make_unique<service::Service>(
      reactor(), *run.config, *run.fleet,
      service::ServiceOptions{.targets = std::move(targets), .keep_handles = true, .at_step = {}});
  run.engine->engine().set_control([&run](engine::ControlCall call) {
    return run.service->handle({.session = call.session,
                                .sequence = call.sequence,
                                .acknowledged_below = call.acknowledged_below,
                                .resend = call.resend},
                               std::move(call.body));
  });
}

void ServerProcess::serve() {
  Run& run = *run_;
  run.admin = std::make_unique<embed::AdminServer>(reactor(), shape_.system, 0, *run.engine, false,
                                                   embed::AdminServer::Hooks{});
  network_.listen(0, {.process = this,
                      .calls = &run.engine->service(),
                      .admin = &run.admin->door(),
                      .session =
                          [this, &run](uint64_t session, bool here) {
                            if (here) {
                              run.sessions.insert(session);
                              return;
                            }
                            run.sessions.erase(session);
                            reactor().spawn(end_unless_back(session, ++run.departures[session]));
                          },
                      .admin_session =
                          [&run](uint64_t session, bool here) {
                            if (!here) run.admin->end_session(session);
                          }});
  for (const uint64_t session : run.service->sessions()) {
    reactor().spawn(end_unless_back(session, 0));
  }
  for (size_t i = 0; i < run.remotes.size(); ++i) {
    run.keepers.push_back(std::make_unique<embed::MemberKeeper>(
        reactor(), *run.link, *run.remotes[i], *run.service, *launchers_[i]));
    run.keepers.back()->start();
  }
  run.open = true;
}

Task<void> ServerProcess::end_unless_back(uint64_t session, uint64_t departure) {
  Run& run = *run_;
  co_await reactor().sleep(shape_.session_grace);
  if (run.sessions.contains(session)) co_return;
  const auto last = run.departures.find(session);
  if (last != run.departures.end() && last->second != departure) co_return;
  if (last != run.departures.end()) run.departures.erase(last);
  co_await run.service->end_session(session);
}

}  // namespace cairn::sim
