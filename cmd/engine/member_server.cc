#include "cmd/engine/member_server.h"

#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_token.h"
#include "cmd/embed/machine_file.h"
#include "cmd/embed/server_start.h"
#include "runtime/io.h"

namespace cairn::engine_program {

namespace {
/// For clients that do not take their answers when the engine ends.
constexpr Duration kClosePatience = 5 * kSecond;
}  // namespace

Result<std::unique_ptr<MemberServer>> MemberServer::open(MemberOptions options) {
  std::unique_ptr<MemberServer> out(new MemberServer);
  TRY(prepared, out->prepare(std::move(options)));
  return out;
}

MemberServer::~MemberServer() {
  // What needs the reactor goes first; nothing is under way any more.
  server_.reset();
  admin_.reset();
  context_.reset();
}

Result<void> MemberServer::prepare(MemberOptions options) {
  options_ = std::move(options);
  TRY(found, embed::find_home(options_.home));
  const std::string& path = found.path;
  options_.home = path;
  file_ = found.file;
  if (options_.rank == 0 || !file_.has_rank(options_.rank)) {
    report(Severity::error, path + ": has no engine " + std::to_string(options_.rank) +
                                " for a process of its own; its engines are " +
                                std::to_string(file_.first_rank) + " to " +
                                std::to_string(file_.end_rank() - 1) +
                                ", and the server of the home has engine 0");
    return fail(Errc::nonexistent, "home: no engine of that rank");
  }
  TRY(services, find_services());
  directory_ = embed::engine_directory(path, options_.rank);
  fabric::Token token{};
  if (!options_.listen.empty() && !options_.insecure) {
    TRY(made, embed::make_token(path));
    token = made;
  }
  TRY(io, make_io_backend());
  reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), std::move(io));
  context_ = std::make_unique<Context>(*reactor_);
  leaving_changed_ = std::make_unique<WaitList>(*reactor_);
  auto engine = context_->run(embed::LocalEngine::open(*reactor_, {.home = path,
                                                                   .file = file_,
                                                                   .rank = options_.rank,
                                                                   .use = embed::HomeUse::server,
                                                                   .cores = options_.cores}));
  if (!engine) {
    if (engine.error().code() == Errc::busy) {
      report(Severity::error, directory_ + ": another process serves this engine already");
    }
    return fail(engine.error());
  }
  engine_ = std::move(*engine);
  engine_->cores().set_serving(false);
  make_servers(token);
  return {};
}

/// What is needed for engines of other machines, and for services there.
Result<void> MemberServer::find_services() {
  const std::string secret = options_.home + "/" + embed::kSecretFile;
  if (access(secret.c_str(), F_OK) == 0) {
    TRY(read, embed::read_token(secret));
    secret_ = read;
  }
  if (file_.has_services()) return {};
  TRY(machine, embed::must_read_machine(options_.home));
  TRY(at, parse_address("tcp:" + machine.service));
  TRY(addresses, resolve_blocking(at));
  services_ = std::move(addresses);
  return {};
}

/// An engine of another machine.
Task<Result<std::vector<Address>>> MemberServer::where(uint32_t rank) {
  if (rank == 0) co_return services_;
  co_return co_await embed::locate(*link_, rank);
}

void MemberServer::make_servers(const fabric::Token& token) {
  link_ = std::make_unique<embed::AdminLink>(
      *reactor_, embed::AdminLinkOptions{.home = options_.home,
                                         .system = file_.uuid,
                                         .first_rank = file_.first_rank,
                                         .end_rank = file_.end_rank(),
                                         .where = [this](uint32_t rank) { return where(rank); },
                                         .secret = secret_});
  peers_ = std::make_unique<embed::RemotePeers>(*link_);
  engine_->cores().set_peers(peers_.get());
  admin_ = std::make_unique<embed::AdminServer>(
      *reactor_, file_.uuid, options_.rank, *engine_, true,
      embed::AdminServer::Hooks{.joined = [this](uint64_t session) {
                                  service_ = session;
                                  ++generation_;
                                },
                                .leave = [this] { go(); }});
  server_ = std::make_unique<fabric::StreamServer>(
      *reactor_, engine_->service(),
      fabric::StreamServerOptions{.system = file_.uuid,
                                  .rank = options_.rank,
                                  .incarnation = engine_->incarnation(),
                                  .token = token,
                                  .admin_token = secret_,
                                  .anybody = options_.insecure,
                                  .stays = true},
      fabric::StreamServer::Hooks{
          .session = {},
          .leave = [this] { go(); },
          .admin = [this](uint64_t session, bool here) { on_admin(session, here); }});
  server_->set_admin(admin_->door());
}

Result<void> MemberServer::listen() {
  std::vector<Address> all = {{.host = embed::engine_socket(options_.home, options_.rank)}};
  // Left by a process that was killed: this one has the lock.
  ::unlink(all.front().host.c_str());
  all.insert(all.end(), options_.listen.begin(), options_.listen.end());
  std::vector<std::string> told;
  for (const Address& at : all) {
    const auto taken = server_->listen(at);
    if (!taken) {
      report(Severity::error, to_string(at) + ": cannot listen there: " + taken.error().what());
      return fail(taken.error());
    }
    for (const Address& way : fabric::ways_in(*taken)) told.push_back(to_string(way));
    report(Severity::info, "engine " + std::to_string(options_.rank) + " of " + options_.home +
                               " at " + to_string(*taken));
  }
  admin_->set_addresses(std::move(told));
  return {};
}

Result<void> MemberServer::run() {
  const auto served = context_->run(serve());
  const auto closed = context_->run(engine_->close());
  return served ? closed : served;
}

Task<Result<void>> MemberServer::serve() {
  Result<void> listening = listen();
  if (listening) {
    reactor_->spawn(watch_server(generation_));
    while (!leaving_) co_await leaving_changed_->wait();
  }
  ::unlink(embed::engine_socket(options_.home, options_.rank).c_str());
  admin_->release();
  // Transactions under way need the other engines to end.
  co_await server_->close(kClosePatience);
  co_await engine_->stop();
  co_await admin_->stop();
  co_await link_->close();
  co_return listening;
}

void MemberServer::go() {
  leaving_ = true;
  leaving_changed_->wake_all();
}

void MemberServer::leave() {
  reactor_->post([this] { go(); });
}

/// Other engines come and go, too: only the home's server counts.
void MemberServer::on_admin(uint64_t session, bool here) {
  if (here) return;
  admin_->end_session(session);
  if (session != service_ || leaving_) return;
  service_ = 0;
  reactor_->spawn(watch_server(++generation_));
}

Task<void> MemberServer::watch_server(uint64_t generation) {
  if (options_.grace_ns == kNever) co_return;
  co_await reactor_->sleep(options_.grace_ns);
  if (generation != generation_ || leaving_) co_return;
  report(Severity::warning, "engine " + std::to_string(options_.rank) +
                                ": no server of the home has come; it ends");
  go();
}

}  // namespace cairn::engine_program
