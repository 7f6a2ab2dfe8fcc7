#include "cmd/embed/home_graph.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/report.h"
#include "client/system.h"
#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_token.h"
#include "runtime/clock.h"
#include "runtime/random.h"

namespace cairn::embed {
namespace {

// Of the config store: pools, containers, attributes of a home. The log takes records up to an
// eighth of it.
constexpr service::ShardSizes kConfigSizes = {.wal_bytes = 16u << 20, .meta_bytes = 64u << 20,
                                              .data_bytes = 64u << 20};
constexpr fabric::Endpoint kEngine = {.rank = 0};
/// For engines of other processes that have not come yet, where all are needed.
constexpr Duration kEnginePatience = 10 * kSecond;

template <class T>
bool parse_number(std::string_view text, T& into) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), into);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

/// "seed=1,drop=0.01,delay_us=100,encode=1"
Result<void> parse_test_mode(std::string_view text, client::HomeOptions& options) {
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const size_t at = item.find('=');
    const std::string_view name = item.substr(0, at);
    const std::string_view value = at == item.npos ? "" : item.substr(at + 1);
    bool fine = false;
    if (name == "seed") fine = parse_number(value, options.seed);
    if (name == "drop") fine = parse_number(value, options.drop_chance);
    if (name == "delay_us") fine = parse_number(value, options.delay_us_max);
    if (name == "encode") fine = value == "0" || value == "1";
    if (!fine || options.drop_chance < 0 || options.drop_chance >= 1) {
      report(Severity::error, "CAIRN_FABRIC_TEST: cannot read '" + std::string(item) +
                                  "'; give seed=N,drop=0..1,delay_us=N,encode=0|1");
      return fail(Errc::invalid, "home: CAIRN_FABRIC_TEST is malformed");
    }
    options.encode_messages |= name != "seed" && value != "0";
  }
  return {};
}

Result<void> report_failure(const std::string& path, Error error) {
  report(Severity::error,
         path + ": cannot be opened: " + error.what() +
             (error.code() == Errc::format_newer ? "; use the newer version of this program"
                                                 : "; restore it, or start a new home"));
  return fail(error);
}

}  // namespace

Result<std::shared_ptr<HomeGraph>> HomeGraph::open(GraphOptions options) {
  std::shared_ptr<HomeGraph> graph(new HomeGraph);
  const auto prepared = graph->prepare(std::move(options));
  if (!prepared) {
    // The cause has been reported; what closing says beyond that helps nobody.
    [[maybe_unused]] const auto closed = graph->close();
    return fail(prepared.error());
  }
  return graph;
}

Result<void> HomeGraph::prepare(GraphOptions options) {
  const char* test_mode = std::getenv("CAIRN_FABRIC_TEST");
  if (test_mode != nullptr) {
    TRY(parsed, parse_test_mode(test_mode, options.home));
  }
  TRY(path, resolve_home(options.home.path));
  path_ = path;
  TRY(usable, prepare_home(path_, options.home.create && !options.home.read_only));
  // Before the lock file is made: nothing is left behind in a directory that is not ours.
  TRY(looked, load_home(path_));
  if (looked && !looked->has_services()) {
    report(Severity::error, path_ +
                                ": has engines of a system whose services are on another "
                                "machine: use it there, or by CAIRN_SERVER");
    return fail(Errc::not_supported, "home: its services are on another machine");
  }
  TRY(lock, claim_home(path_, options.use, options.takeover));
  lock_ = std::move(lock);
  TRY(found, load_home(path_));   // it may have been made meanwhile
  if (!found && (!options.home.create || options.home.read_only)) return report_no_home(path_);
  TRY(io, make_io_backend());
  reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), std::move(io));
  context_ = std::make_unique<Context>(*reactor_, ContextOptions{.helper = true});
  file_ = found ? *found
                : HomeFile{.uuid = uuid_from_random(system_random().bytes16()),
                           .created_ns = system_clock().wall_ns(),
                           .target_count = options.targets,
                           .engine_count = options.engines};
  return context_->run(start(std::move(options), !found));
}

Task<Result<void>> HomeGraph::open_config(bool fresh, std::vector<client::HomeDevice> wishes) {
  const std::string directory = path_ + "/system";
  if (fresh) {
    CO_TRY(removed, remove_tree(directory));   // of an interrupted creation
    CO_TRY(made, make_directory(directory));
    for (uint32_t rank = 0; rank < file_.engine_count; ++rank) {
      CO_TRY(devices, co_await prepare_engine(*reactor_, path_, rank, file_.uuid, wishes));
    }
    CO_TRY(files, co_await create_blob_files(*reactor_, directory, kConfigSizes));
    config_files_ = std::move(files);
    auto config = co_await service::EmbeddedConfigStore::create(
        *reactor_, config_files_.devices(), file_.uuid);
    if (!config) co_return report_failure(directory, config.error());
    config_ = std::move(*config);
    co_return store_home(path_, file_);
  }
  CO_TRY(files, co_await open_blob_files(*reactor_, directory));
  config_files_ = std::move(files);
  auto config = co_await service::EmbeddedConfigStore::open(*reactor_, config_files_.devices(),
                                                            file_.uuid);
  if (!config) co_return report_failure(directory, config.error());
  config_ = std::move(*config);
  co_return Result<void>{};
}

Result<void> HomeGraph::make_link(bool joinable) {
  if (joinable || access((path_ + "/" + kSecretFile).c_str(), F_OK) == 0) {
    TRY(secret, make_token(path_, kSecretFile));
    secret_ = secret;
  }
  machines_ = std::make_unique<Machines>(
      *reactor_,
      MachinesOptions{.home = path_, .file = file_, .secret = secret_, .joinable = joinable});
  link_ = std::make_unique<AdminLink>(
      *reactor_, AdminLinkOptions{.home = path_,
                                  .system = file_.uuid,
                                  .first_rank = 0,
                                  .end_rank = file_.engine_count,
                                  .where = [this](uint32_t rank) { return machines_->where(rank); },
                                  .secret = secret_});
  remote_peers_ = std::make_unique<RemotePeers>(*link_);
  return {};
}

/// An engine of another machine.
void HomeGraph::admit(uint32_t rank) {
  remotes_.push_back(std::make_unique<RemoteShards>(*reactor_, *link_, rank, kEnginePatience));
  remotes_.back()->set_host(machines_->host(rank));
  fleet_->add(*remotes_.back());
  if (on_admitted_) on_admitted_(rank);
}

Task<Result<void>> HomeGraph::open_engines(const GraphOptions& options) {
  const bool apart = options.apart;
  if (apart) {
    CO_TRY(made, make_link(options.joinable));
  }
  peers_ = std::make_unique<LocalPeers>(remote_peers_.get());
  std::vector<service::ShardHost*> hosts;
  for (uint32_t rank = 0; rank < file_.engine_count; ++rank) {
    if (apart && rank != 0) {
      remotes_.push_back(std::make_unique<RemoteShards>(*reactor_, *link_, rank, kEnginePatience));
      hosts.push_back(remotes_.back().get());
      continue;
    }
    CO_TRY(engine, co_await LocalEngine::open(*reactor_, {.home = path_,
                                                          .file = file_,
                                                          .rank = rank,
                                                          .cores = options.cores,
                                                          .read_only = options.home.read_only,
                                                          .at_step = options.at_step}));
    engine->cores().set_peers(peers_.get());
    peers_->add(rank, engine->cores());
    hosts.push_back(&engine->host());
    engines_.push_back(std::move(engine));
  }
  fleet_ = std::make_unique<EngineFleet>(*reactor_, std::move(hosts), file_.target_count,
                                         options.at_step);
  co_return Result<void>{};
}

void HomeGraph::make_service(const GraphOptions& options) {
  service::Targets targets;
  for (uint32_t rank = 0; rank < file_.engine_count; ++rank) {
    for (uint32_t i = 0; i < file_.target_count; ++i) targets.push_back({rank, i});
  }
  service_ = std::make_unique<service::Service>(
      *reactor_, *config_, *fleet_,
      service::ServiceOptions{.targets = std::move(targets),
                              .read_only = options.home.read_only,
                              .keep_handles = options.keep_handles,
                              .set_running = options.set_running,
                              .machines = machines_.get(),
                              .at_step = options.at_step});
  engine().set_control([this](engine::ControlCall call) {
    return service_->handle({.session = call.session,
                             .sequence = call.sequence,
                             .acknowledged_below = call.acknowledged_below,
                             .resend = call.resend},
                            std::move(call.body));
  });
}

Task<Result<void>> HomeGraph::start(GraphOptions options, bool fresh) {
  CO_TRY(config, co_await open_config(fresh, std::move(options.devices)));
  CO_TRY(opened, co_await open_engines(options));
  if (machines_) {
    machines_->set_hooks({.admitted = [this](uint32_t rank) { admit(rank); },
                          .restarted =
                              [this](uint32_t rank) {
                                if (on_restarted_) on_restarted_(rank);
                              }});
  }
  make_service(options);
  const client::HomeOptions& home = options.home;
  transport_ = std::make_unique<fabric::InprocTransport>(
      *reactor_, fabric::InprocOptions{.encode = home.encode_messages,
                                       .drop_chance = home.drop_chance,
                                       .delay_max = home.delay_us_max * kMicrosecond,
                                       .seed = home.seed});
  for (uint32_t rank = 0; rank < engines_.size(); ++rank) {
    transport_->attach({.rank = rank}, engines_[rank]->service());
  }
  client::RpcOptions rpc_options;
  if (home.drop_chance > 0) rpc_options = client::lossy_rpc_options();
  rpc_options.system = file_.uuid;
  rpc_ = std::make_unique<client::Rpc>(*reactor_, *transport_, rpc_options);
  const auto started = co_await service_->start();
  if (!started) co_return report_failure(path_ + "/system", started.error());
  co_return Result<void>{};
}

Task<Result<void>> HomeGraph::finish() {
  Result<void> first;
  if (service_) co_await service_->stop();
  for (const auto& engine : engines_) co_await engine->stop();
  if (link_) co_await link_->close();
  if (transport_) co_await transport_->close();
  for (const auto& engine : engines_) {
    const auto closed = co_await engine->close();
    if (first) first = closed;
  }
  if (config_) {
    const auto closed = co_await config_->close();
    if (first) first = closed;
  }
  co_return first;
}

Result<void> HomeGraph::close() {
  if (std::exchange(closed_, true) || !context_) return {};
  const auto done = context_->run(finish());
  if (!done) {
    report(Severity::warning, path_ + ": closed without a checkpoint: " + done.error().what() +
                                  "; everything acknowledged is in its log");
  }
  context_.reset();   // from here no other thread is inside
  rpc_.reset();
  for (uint32_t rank = 0; transport_ && rank < engines_.size(); ++rank) {
    transport_->detach({.rank = rank});
  }
  transport_.reset();
  service_.reset();
  fleet_.reset();
  engines_.clear();
  peers_.reset();
  remotes_.clear();
  remote_peers_.reset();
  link_.reset();
  machines_.reset();
  config_.reset();
  config_files_ = {};
  reactor_.reset();
  lock_ = {};
  return done;
}

std::unique_ptr<client::System> make_system(std::shared_ptr<HomeGraph> graph) {
  client::SystemParts parts;
  parts.context = &graph->context();
  parts.rpc = &graph->rpc();
  parts.service = kEngine;
  parts.shutdown = [held = graph.get()] { return held->close(); };
  parts.graph = std::move(graph);
  return client::make_system(std::move(parts));
}

HomeGraph::~HomeGraph() { [[maybe_unused]] const auto done = close(); }

}  // namespace cairn::embed
