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
/// For engines that a rollback needs after a restart.
constexpr Duration kRollbackPatience = 30 * kSecond;
constexpr Duration kRollbackAgain = 100 * kMillisecond;
}  // namespace

Result<std::unique_ptr<HomeServer>> HomeServer::open(ServerOptions options) {
  std::unique_ptr<HomeServer> out(new HomeServer);
  client::HomeOptions home;
  home.path = options.home;
  TRY(graph, embed::HomeGraph::open({.home = std::move(home), 
                                      .use = embed::HomeUse::server,
                                      .apart = true,
                                      .takeover = options.take_over ? embed::Takeover::always
                                                                    : embed::Takeover::if_idle,
                                      .keep_handles = true}));
  fabric::Token token{};
  if (!options.listen.empty()) {
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
      reactor, out->graph_->engine(),
      fabric::StreamServerOptions{.system = out->graph_->system(),
                                  .rank = 0,
                                  .incarnation = out->graph_->incarnation(),
                                  .token = token,
                                  .stays = out->options_.linger_ns == kNever},
      fabric::StreamServer::Hooks{
          .session = [self](uint64_t session, bool here, bool local) {
            self->on_session(session, here, local);
          },
          .leave =
              [self] {
                self->leaving_ = true;
                self->leaving_changed_->wake_all();
              },
          .admin =
              [self](uint64_t session, bool here) {
                if (!here) self->admin_->end_session(session);
              }});
  out->admin_ = std::make_unique<embed::AdminServer>(reactor, out->graph_->system(), 0,
                                                     out->graph_->local_engine(), false,
                                                     embed::AdminServer::Hooks{});
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
    if (taken->kind == Address::Kind::tcp) told.push_back(to_string(*taken));
    report(Severity::info, "serving " + graph_->path() + " at " + to_string(*taken));
  }
  graph_->shards().set_addresses(std::move(told));
  return {};
}

/// The other engines listen where this one does, at ports of their own.
void HomeServer::make_keepers() {
  std::vector<std::string> words;
  for (Address at : options_.listen) {
    at.port = 0;
    words.insert(words.end(), {"--listen", to_string(at)});
  }
  for (const auto& shards : graph_->remotes()) {
    launchers_.push_back(
        std::make_unique<ProcessLauncher>(LauncherOptions{.home = graph_->path(),
                                                          .rank = shards->rank(),
                                                          .program = embed::find_server_program(),
                                                          .words = words}));
    keepers_.push_back(std::make_unique<embed::MemberKeeper>(
        graph_->context().reactor(), *graph_->link(), *shards, graph_->service(),
        *launchers_.back(), [this] { return may_serve_; }));
  }
}

/// Nobody writes before they have ended; what cannot be ended for want of an engine is given up
/// after a while.
Task<void> HomeServer::end_rollbacks() {
  Reactor& reactor = graph_->context().reactor();
  const Instant give_up = reactor.clock().now() + kRollbackPatience;
  while (graph_->service().has_rollbacks() && !leaving_) {
    const bool late = reactor.clock().now() >= give_up;
    co_await graph_->service().end_rollbacks(late);
    if (graph_->service().has_rollbacks()) co_await reactor.sleep(kRollbackAgain);
  }
  may_serve_ = true;
  graph_->engine().set_serving(true);
}

Task<void> HomeServer::stop_members() {
  std::vector<Task<Result<void>>> tasks;
  const auto stop = [](embed::MemberKeeper& keeper) -> Task<Result<void>> {
    co_await keeper.stop(kMemberPatience);
    co_return Result<void>{};
  };
  for (const auto& keeper : keepers_) tasks.push_back(stop(*keeper));
  if (tasks.empty()) co_return;
  [[maybe_unused]] const auto done =
      co_await run_all(graph_->context().reactor(), std::move(tasks), keepers_.size());
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
  if (graph_->service().has_rollbacks()) {
    may_serve_ = false;
    graph_->engine().set_serving(false);
    reactor.spawn(end_rollbacks());
  }
  for (const auto& keeper : keepers_) keeper->start();
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
