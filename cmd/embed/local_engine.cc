#include "cmd/embed/local_engine.h"

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
  out->storage_ = std::move(storage);
  while (out->incarnation_ == 0) out->incarnation_ = reactor.random().next();
  out->engine_ = std::make_unique<engine::Engine>(
      reactor, engine::EngineOptions{.system = file.uuid,
                                     .rank = options.rank,
                                     .incarnation = out->incarnation_,
                                     .target_count = file.target_count});
  out->shards_ = std::make_unique<HomeShards>(
      reactor, *out->engine_, *out->storage_,
      HomeShardsOptions{.rank = options.rank,
                        .target_count = file.target_count,
                        .engine_count = file.engine_count,
                        .incarnation = out->incarnation_,
                        .at_step = std::move(options.at_step)});
  co_return std::move(out);
}

Task<Result<engine::PeerReply>> LocalPeers::ask(uint32_t rank, engine::PeerRequest request) {
  const auto found = engines_.find(rank);
  if (found != engines_.end()) return found->second->serve_peer(request);
  return others_ != nullptr ? others_->ask(rank, request) : nobody();
}

}  // namespace cairn::embed
