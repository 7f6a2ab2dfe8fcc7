#include "cmd/embed/local_engine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_dir.h"

namespace cairn::embed {

namespace {

Task<Result<engine::PeerReply>> nobody() {
  co_return fail(Errc::unreachable, "engine: no engine of that rank");
}

/// Processors that this process may run on.
uint32_t processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
}

uint32_t core_count(const LocalEngineOptions& options) {
  const HomeFile& file = options.file;
  const uint32_t wanted =
      options.cores != 0 ? options.cores : processors() / std::max(file.engine_count, 1u);
  return std::clamp(wanted, 1u, std::max(file.target_count, 1u));
}

Result<std::vector<std::unique_ptr<Core>>> start_cores(uint32_t count) {
  std::vector<std::unique_ptr<Core>> out;
  for (uint32_t i = 0; i < count; ++i) {
    TRY(core, Core::start());
    out.push_back(std::move(core));
  }
  return out;
}

}  // namespace

struct LocalEngine::Settings {
  engine::EngineOptions engine;
  HomeShardsOptions shards;
  Settings of_core(uint32_t core) const {
    Settings out = *this;
    out.engine.core = out.shards.core = core;
    return out;
  }
};

std::string engine_directory(const std::string& home, uint32_t rank) {
  return rank == 0 ? home : home + "/engines/" + std::to_string(rank);
}

Task<Result<void>> prepare_engine(Reactor& reactor, std::string home, uint32_t rank, Uuid home_id,
                                  std::vector<client::HomeDevice> devices) {
  std::erase_if(devices, [rank](const client::HomeDevice& each) { return each.engine != rank; });
  const std::string directory = engine_directory(home, rank);
  if (rank != 0) {
    CO_TRY(all, make_directory(home + "/engines"));
    CO_TRY(own, make_directory(directory));
  }
  CO_TRY(old, remove_tree(directory + "/storage"));
  co_return co_await Storage::prepare(reactor, directory, home_id, std::move(devices));
}

Task<Result<std::unique_ptr<LocalEngine>>> LocalEngine::open(Reactor& reactor,
                                                             LocalEngineOptions options) {
  std::unique_ptr<LocalEngine> out(new LocalEngine);
  const std::string directory = engine_directory(options.home, options.rank);
  if (options.rank != 0) {
    CO_TRY(all, make_directory(options.home + "/engines"));
    CO_TRY(own, make_directory(directory));
    CO_TRY(lock, options.use == HomeUse::server ? HomeLock::take(directory, options.use)
                                                : claim_home(directory, options.use,
                                                             Takeover::always));
    out->lock_ = std::move(lock);
  }
  const HomeFile& file = options.file;
  CO_TRY(storage, co_await Storage::open(reactor, directory, file.uuid));
  CO_TRY(beside, start_cores(core_count(options) - 1));
  EngineParts parts{.file = file,
                    .rank = options.rank,
                    .storage = std::move(storage),
                    .process = static_cast<uint32_t>(getpid()),
                    .read_only = options.read_only,
                    .at_step = std::move(options.at_step)};
  const Settings settings = out->settings(reactor, parts, static_cast<uint32_t>(beside.size()) + 1);
  out->make_first(reactor, settings);
  out->beside_.resize(beside.size());
  for (size_t i = 0; i < beside.size(); ++i) {
    Beside& one = out->beside_[i];
    one.core = std::move(beside[i]);
    co_await run_on(reactor, one.core->reactor(), [&reactor, &one, &settings, i, self = out.get()] {
      return self->make_beside(reactor, one, settings.of_core(static_cast<uint32_t>(i) + 1));
    });
  }
  out->join_cores(reactor, std::move(parts.at_step));
  co_return std::move(out);
}

std::unique_ptr<LocalEngine> LocalEngine::assemble(Reactor& reactor, EngineParts parts) {
  std::unique_ptr<LocalEngine> out(new LocalEngine);
  out->make_first(reactor, out->settings(reactor, parts, 1));
  out->join_cores(reactor, {});
  return out;
}

LocalEngine::Settings LocalEngine::settings(Reactor& reactor, EngineParts& parts, uint32_t cores) {
  const HomeFile& file = parts.file;
  reactor_ = &reactor;
  rank_ = parts.rank;
  target_count_ = file.target_count;
  process_ = parts.process;
  storage_ = std::move(parts.storage);
  while (incarnation_ == 0) incarnation_ = reactor.random().next();
  return {.engine = {.system = file.uuid,
                     .rank = rank_,
                     .incarnation = incarnation_,
                     .target_count = target_count_,
                     .hears_of_handles = rank_ != 0,
                     .cores = cores},
          .shards = {.rank = rank_,
                     .target_count = target_count_,
                     .cores = cores,
                     .engine_count = file.engine_count,
                     .read_only = parts.read_only,
                     .incarnation = incarnation_,
                     .process = process_,
                     .at_step = cores == 1 ? parts.at_step : nullptr}};
}

void LocalEngine::make_first(Reactor& reactor, const Settings& settings) {
  engine_ = std::make_unique<engine::Engine>(reactor, settings.engine);
  shards_ = std::make_unique<HomeShards>(reactor, *engine_, *storage_, settings.shards);
}

/// Home: that core.
Task<void> LocalEngine::make_beside(Reactor& first, Beside& one, Settings settings) const {
  Reactor& home = one.core->reactor();
  one.blobs = std::make_unique<CoreBlobs>(home, first, *storage_);
  one.engine = std::make_unique<engine::Engine>(home, settings.engine);
  one.shards =
      std::make_unique<HomeShards>(home, *one.engine, *one.blobs, std::move(settings.shards));
  co_return;
}

void LocalEngine::join_cores(Reactor& reactor, std::function<void(const char*)> at_step) {
  std::vector<engine::EngineCores::Member> engines{{reactor, *engine_}};
  std::vector<CoreShards::Member> shards{{reactor, *shards_}};
  for (Beside& one : beside_) {
    engines.push_back({one.core->reactor(), *one.engine});
    shards.push_back({one.core->reactor(), *one.shards});
  }
  cores_ = std::make_unique<engine::EngineCores>(std::move(engines), rank_, target_count_);
  if (beside_.empty()) return;
  core_shards_ =
      std::make_unique<CoreShards>(std::move(shards), *cores_, rank_, std::move(at_step));
}

/// All threads have ended before the first reactor goes.
LocalEngine::~LocalEngine() {
  for (Beside& one : beside_) {
    if (!one.core) continue;
    one.core->end([&one] {
      one.shards.reset();
      one.engine.reset();
      one.blobs.reset();
    });
  }
}

LocalEngine::Place LocalEngine::place_of(uint32_t target) {
  const uint32_t core = cores_->core_of(target);
  if (core == 0) return {*reactor_, *engine_, *shards_};
  const Beside& one = beside_[core - 1];
  return {one.core->reactor(), *one.engine, *one.shards};
}

fabric::Service& LocalEngine::service() {
  if (beside_.empty()) return *engine_;
  return *cores_;
}

service::ShardHost& LocalEngine::host() {
  if (beside_.empty()) return *shards_;
  return *core_shards_;
}

Task<Result<engine::PeerReply>> LocalPeers::ask(uint32_t rank, engine::PeerRequest request) {
  const auto found = engines_.find(rank);
  if (found != engines_.end()) return found->second->serve_peer(request);
  return others_ != nullptr ? others_->ask(rank, request) : nobody();
}

}  // namespace cairn::embed
