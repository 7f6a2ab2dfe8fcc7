// LocalEngine: one engine of a home in this process: where its blobs are, the data plane, and what
// the services ask of it. Home: the reactor given.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cmd/embed/home_format.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/home_shards.h"
#include "cmd/embed/storage.h"
#include "engine/engine.h"

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
  bool read_only = false;
  /// As HomeShardsOptions::at_step.
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
  /// @error busy  as claim_home()   Others: Storage::open()
  static Task<Result<std::unique_ptr<LocalEngine>>> open(Reactor& reactor,
                                                         LocalEngineOptions options);

  /// The same without a directory and its lock.
  static std::unique_ptr<LocalEngine> assemble(Reactor& reactor, EngineParts parts);

  engine::Engine& engine() { return *engine_; }
  HomeShards& shards() { return *shards_; }
  const BlobSource& storage() const { return *storage_; }
  uint32_t process() const { return process_; }
  /// Drawn at open: another one each time.
  uint64_t incarnation() const { return incarnation_; }

  /// Refuses new requests and waits for those inside. Before close().
  Task<void> stop() { return engine_->stop(); }
  /// Closes the shards, with a checkpoint each. Before destruction.
  Task<Result<void>> close() { return shards_->close(); }

 private:
  LocalEngine() = default;
  void make(Reactor& reactor, EngineParts parts);
  HomeLock lock_;
  uint64_t incarnation_ = 0;
  uint32_t process_ = 0;
  std::unique_ptr<BlobSource> storage_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<HomeShards> shards_;
};

/// The engines of one process for each other; the others are somebody else's.
class LocalPeers final : public engine::Peers {
 public:
  /// `others`: for ranks that are not here, borrowed; null: there are none.
  explicit LocalPeers(engine::Peers* others = nullptr) : others_(others) {}
  void add(uint32_t rank, engine::Engine& engine) { engines_[rank] = &engine; }
  Task<Result<engine::PeerReply>> ask(uint32_t rank, engine::PeerRequest request) override;

 private:
  engine::Peers* const others_;
  std::map<uint32_t, engine::Engine*> engines_;
};

}  // namespace cairn::embed
