// LocalEngine: one engine of a home in this process: where its blobs are, the data plane, and what
// the services ask of it. Its targets may be dealt over several cores: the first is the reactor
// given, the others have threads of their own, which this object starts and ends
// (docs/decisions/0022-a-reactor-for-each-core.md). Home: the reactor given.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cmd/embed/core_blobs.h"
#include "cmd/embed/core_shards.h"
#include "cmd/embed/home_format.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/home_shards.h"
#include "cmd/embed/storage.h"
#include "engine/cores.h"
#include "engine/engine.h"
#include "runtime/core.h"

namespace cairn::embed {

/// The directory of an engine: the first one's is the home itself.
std::string engine_directory(const std::string& home, uint32_t rank);

/// Part of making a home: the engine's directory, and those of the devices that are its own. What
/// an interrupted attempt left goes first.
Task<Result<void>> prepare_engine(Reactor& reactor, std::string home, uint32_t rank, Uuid home_id,
                                  std::vector<client::HomeDevice> devices);

struct LocalEngineOptions {
  std::string home;
  HomeFile file;
  uint32_t rank = 0;
  HomeUse use = HomeUse::embed;
  /// Reactors that it has; no more than targets. 0: as many as there are processors for each engine
  /// of this machine.
  uint32_t cores = 1;
  bool read_only = false;
  /// As HomeShardsOptions::at_step; of several cores as CoreShards.
  std::function<void(const char*)> at_step = {};
};

/// An engine on blobs from anywhere.
struct EngineParts {
  HomeFile file;
  uint32_t rank = 0;
  std::unique_ptr<BlobSource> storage;
  uint32_t process = 0;  // as HomeShardsOptions::process
  bool read_only = false;
  std::function<void(const char*)> at_step = {};
};

class LocalEngine {
 public:
  /// Takes the engine's lock (the first one's is the home's, which the caller has) from a process
  /// that an earlier server has left behind, or, if this one is such a process, from nobody. Makes
  /// its directory where there is none.
  /// @error busy  as claim_home()   Others: Storage::open(), Core::start()
  static Task<Result<std::unique_ptr<LocalEngine>>> open(Reactor& reactor,
                                                         LocalEngineOptions options);

  /// The same without a directory and its lock.
  static std::unique_ptr<LocalEngine> assemble(Reactor& reactor, EngineParts parts);

  ~LocalEngine();

  /// What peers ask: all of its cores.
  fabric::Service& service();
  engine::EngineCores& cores() { return *cores_; }
  /// What the services ask: all of its cores.
  service::ShardHost& host();
  /// Of the first core.
  engine::Engine& engine() { return *engine_; }
  HomeShards& shards() { return *shards_; }
  /// The core that has a target.
  struct Place {
    Reactor& reactor;
    engine::Engine& engine;
    HomeShards& shards;
  };
  Place place_of(uint32_t target);
  const BlobSource& storage() const { return *storage_; }
  uint32_t process() const { return process_; }
  /// Drawn at open: another one each time.
  uint64_t incarnation() const { return incarnation_; }

  /// Refuses new requests and waits for those inside. Before close().
  Task<void> stop() { return cores_->stop(); }
  /// Closes the shards, with a checkpoint each. Before destruction.
  Task<Result<void>> close() { return core_shards_ ? core_shards_->close() : shards_->close(); }
  /// After close(): pools may be opened again.
  void reopen() { core_shards_ ? core_shards_->reopen() : shards_->reopen(); }

 private:
  /// A core beside the first one.
  struct Beside {
    std::unique_ptr<Core> core;
    std::unique_ptr<CoreBlobs> blobs;
    std::unique_ptr<engine::Engine> engine;
    std::unique_ptr<HomeShards> shards;
  };

  LocalEngine() = default;
  struct Settings;
  Settings settings(Reactor& reactor, EngineParts& parts, uint32_t cores);
  void make_first(Reactor& reactor, const Settings& settings);
  Task<void> make_beside(Reactor& first, Beside& one, Settings settings) const;
  void join_cores(Reactor& reactor, std::function<void(const char*)> at_step);
  HomeLock lock_;
  Reactor* reactor_ = nullptr;
  uint32_t rank_ = 0;
  uint32_t target_count_ = 1;
  uint64_t incarnation_ = 0;
  uint32_t process_ = 0;
  std::unique_ptr<BlobSource> storage_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<HomeShards> shards_;
  std::vector<Beside> beside_;
  std::unique_ptr<engine::EngineCores> cores_;
  std::unique_ptr<CoreShards> core_shards_;  // of several
};

/// The engines of one process for each other; the others are somebody else's.
class LocalPeers final : public engine::Peers {
 public:
  /// `others`: for ranks that are not here, borrowed; null: there are none.
  explicit LocalPeers(engine::Peers* others = nullptr) : others_(others) {}
  void add(uint32_t rank, engine::EngineCores& engine) { engines_[rank] = &engine; }
  Task<Result<engine::PeerReply>> ask(uint32_t rank, engine::PeerRequest request) override;

 private:
  engine::Peers* const others_;
  std::map<uint32_t, engine::EngineCores*> engines_;
};

}  // namespace cairn::embed
