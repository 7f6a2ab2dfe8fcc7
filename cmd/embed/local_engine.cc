#include "cmd/embed/local_engine.h"

#include <unistd.h>

#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_dir.h"

namespace cairn::embed {

namespace {

Task<Result<engine::PeerReply>> nobody() {
  co_return fail(Errc::unreachable, "engine: no engine of that rank");
}

}  // namespace

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
  out->make(reactor, {.file = file,
                      .rank = options.rank,
                      .storage = std::move(storage),
                      .process = static_cast<uint32_t>(getpid()),
                      .read_only = options.read_only,
                      .at_step = std::move(options.at_step)});
  co_return std::move(out);
}

std::unique_ptr<LocalEngine> LocalEngine::assemble(Reactor& reactor, EngineParts parts) {
  std::unique_ptr<LocalEngine> out(new LocalEngine);
  out->make(reactor, std::move(parts));
  return out;
}

void LocalEngine::make(Reactor& reactor, EngineParts parts) {
  process_ = parts.process;
  storage_ = std::move(parts.storage);
  while (incarnation_ == 0) incarnation_ = reactor.random().next();
  engine_ = std::make_unique<engine::Engine>(
      reactor, engine::EngineOptions{.system = parts.file.uuid,
                                     .rank = parts.rank,
                                     .incarnation = incarnation_,
                                     .target_count = parts.file.target_count,
                                     .hears_of_handles = parts.rank != 0});
  shards_ = std::make_unique<HomeShards>(reactor, *engine_, *storage_,
                                         HomeShardsOptions{.rank = parts.rank,
                                                           .target_count = parts.file.target_count,
                                                           .engine_count = parts.file.engine_count,
                                                           .read_only = parts.read_only,
                                                           .incarnation = incarnation_,
                                                           .process = process_,
                                                           .at_step = std::move(parts.at_step)});
}

Task<Result<engine::PeerReply>> LocalPeers::ask(uint32_t rank, engine::PeerRequest request) {
  const auto found = engines_.find(rank);
  if (found != engines_.end()) return found->second->serve_peer(request);
  return others_ != nullptr ? others_->ask(rank, request) : nobody();
}

}  // namespace cairn::embed
