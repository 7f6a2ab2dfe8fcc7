#include "cmd/engine/home_server.h"

#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/server_start.h"

namespace cairn::engine_program {

namespace {
/// A client of this machine that lost its last connection has ended; it may come back only where it
/// gave up its connections itself.
constexpr Duration kSessionGrace = 100 * kMillisecond;
/// For clients that do not take their answers when the server ends.
constexpr Duration kClosePatience = 5 * kSecond;
}  // namespace

Result<std::unique_ptr<HomeServer>> HomeServer::open(ServerOptions options) {
  std::unique_ptr<HomeServer> out(new HomeServer);
  client::HomeOptions home;
  home.path = options.home;
  TRY(graph, embed::HomeGraph::open({.home = std::move(home), 
                                      .use = embed::HomeUse::server,
                                      .keep_handles = true}));
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
                                  .stays = out->options_.linger_ns == kNever},
      fabric::StreamServer::Hooks{
          .session = [self](uint64_t session, bool here) { self->on_session(session, here); },
          .leave =
              [self] {
                self->leaving_ = true;
                self->leaving_changed_->wake_all();
              }});
  return out;
}

Result<void> HomeServer::run(std::function<void()> ready) {
  Result<void> served = graph_->context().run(serve(std::move(ready)));
  server_.reset();
  leaving_changed_.reset();
  const auto closed = graph_->close();
  return served ? closed : served;
}

Task<Result<void>> HomeServer::serve(std::function<void()> ready) {
  const std::string socket = embed::socket_path(graph_->path());
  // Left by a server that was killed: this one has the lock.
  ::unlink(socket.c_str());
  const auto address = server_->listen({.host = socket});
  if (!address) {
    report(Severity::error, socket + ": cannot listen there: " + address.error().what());
    co_await server_->close(0);
    co_return fail(address.error());
  }
  Reactor& reactor = graph_->context().reactor();
  for (const uint64_t session : graph_->service().sessions()) {
    reactor.spawn(end_unless_back(session, options_.reconnect_grace_ns));
  }
  start_lingering();
  ready();
  while (!leaving_) co_await leaving_changed_->wait();
  ::unlink(socket.c_str());
  co_await server_->close(kClosePatience);
  co_return Result<void>{};
}

void HomeServer::leave() {
  graph_->context().reactor().post([this] {
    leaving_ = true;
    leaving_changed_->wake_all();
  });
}

void HomeServer::on_session(uint64_t session, bool here) {
  ++idle_generation_;
  if (here || leaving_) return;
  graph_->context().reactor().spawn(end_unless_back(session, kSessionGrace));
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

Task<void> HomeServer::end_unless_back(uint64_t session, Duration grace) {
  co_await graph_->context().reactor().sleep(grace);
  // Who comes back to the next server finds its handles there.
  if (leaving_ || server_->has_client(session)) co_return;
  co_await graph_->service().end_session(session);
}

}  // namespace cairn::engine_program
