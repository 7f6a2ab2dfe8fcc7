// EmbeddedConfigStore: a ConfigStore in our own log and tree (index::Store), for one process.
// Values up to kConfigInlineBytesMax ride in the tree; longer ones (attributes) in data extents.
// Byte map: service/config_format.h. Home: the store's reactor.
#pragma once

#include "base/uuid.h"
#include "index/store.h"
#include "service/config_store.h"

namespace cairn::service {

struct Blob;

class EmbeddedConfigStore final : public ConfigStore {
 public:
  /// Makes an empty store on blank blobs. Errors as index::Store::create.
  static Task<Result<std::unique_ptr<EmbeddedConfigStore>>> create(Reactor& reactor,
                                                                   index::StoreDevices devices,
                                                                   Uuid home);
  /// Errors as index::Store::open. @error format_newer  a record of a newer version
  static Task<Result<std::unique_ptr<EmbeddedConfigStore>>> open(Reactor& reactor,
                                                                 index::StoreDevices devices,
                                                                 Uuid home);
  /// Waits for what is under way, checkpoints. The store must not be used afterwards.
  Task<Result<void>> close();

  Task<Result<std::optional<ConfigEntry>>> get(std::string key) override;
  Task<Result<std::vector<ConfigEntry>>> range(std::string prefix) override;
  Task<Result<Revision>> commit(ConfigTxn txn) override;
  void watch(std::string prefix, std::function<void(Revision)> changed) override;

  /// Offline check: index::Store::check, and every value's checksum.
  Task<Result<index::Store::CheckReport>> check();

 private:
  EmbeddedConfigStore(Reactor& reactor, std::unique_ptr<index::Store> store)
      : store_(std::move(store)), gate_(reactor) {}
  struct Found;
  struct Plan;
  /// Plain: one try, which may end in page_absent.
  Result<std::optional<Found>> look(ByteView key);
  Result<void> scan(const std::string& prefix, std::vector<Found>& into);
  Result<void> plan_commit(const ConfigTxn& txn, const std::vector<Blob>& blobs, Plan& plan);
  Task<Result<ConfigEntry>> load(Found found);
  Result<std::vector<Blob>> reserve_now(const ConfigTxn& txn);
  void cancel(const std::vector<Blob>& blobs);
  Task<Result<std::vector<Blob>>> reserve(const ConfigTxn& txn);
  Task<Result<Revision>> commit_inside(const ConfigTxn& txn);
  Task<Result<Revision>> commit_blobs(const ConfigTxn& txn, const std::vector<Blob>& blobs,
                                      bool& published);
  void notify(const ConfigTxn& txn, Revision revision);

  struct Watch {
    std::string prefix;
    std::function<void(Revision)> changed;
  };
  std::unique_ptr<index::Store> store_;
  Gate gate_;
  std::vector<Watch> watches_;
};

}  // namespace cairn::service
