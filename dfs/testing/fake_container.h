// The container handle of a FakeSystem.
#pragma once

#include "dfs/testing/fake_store.h"

namespace cairn::dfs::testing {

class FakeContainer final : public client::Container {
 public:
  FakeContainer(FakeSystem& system, std::shared_ptr<client::Pool> pool,
                std::shared_ptr<FakeData> data, client::Access access);

  client::Pool& pool() override { return *pool_; }
  const Uuid& uuid() const override { return data_->uuid; }
  client::Access access() const override { return access_; }
  uint64_t handle_id() const override { return 0; }
  model::PoolShape shape() const override { return {}; }
  bool is_open() const override { return open_; }
  Task<Result<void>> close() override;
  Task<Result<client::ContInfo>> query() override;
  Task<Result<void>> set_props(client::Props props) override;
  Task<Result<client::Attrs>> attrs() override;
  Task<Result<void>> set_attrs(client::Attrs attrs) override;
  Task<Result<void>> delete_attrs(std::vector<std::string> names) override;
  Task<Result<uint64_t>> alloc_oids(uint64_t count) override;

  Task<Result<model::Epoch>> update(client::ObjectArgs args,
                                    model::Iods iods) override;
  Task<Result<model::Fetched>> fetch_at(client::ReadAt at, client::ObjectArgs args,
                                        model::Iods iods) override;
  Task<Result<model::Epoch>> punch_object(model::ObjectId oid, uint64_t flags) override;
  Task<Result<model::Epoch>> punch_dkey(client::ObjectArgs args) override;
  Task<Result<model::Epoch>> punch_akeys(client::ObjectArgs args,
                                         std::vector<ByteView> akeys) override;
  Task<Result<model::Listed>> list_at(client::ReadAt at, model::ObjectId oid,
                                      model::ListRequest request) override;
  Task<Result<Bytes>> position_of(model::ObjectId oid, model::ListRequest::What what,
                                  ByteView key) override;
  Task<Result<std::vector<Bytes>>> parts_of(model::ObjectId oid, ByteView first) override;
  Task<Result<model::QueriedKey>> query_key_at(client::ReadAt at, model::ObjectId oid,
                                               model::QueryKeyRequest request) override;
  Task<Result<model::Epoch>> max_epoch_at(client::ReadAt at, model::ObjectId oid) override;
  /// One write. What was read is compared dkey by dkey.
  Task<Result<model::Epoch>> transact(client::Changes changes) override;

  // Snapshots are copies; no other old versions are kept.
  Task<Result<model::Epoch>> snap_create() override;
  Task<Result<std::vector<client::Snapshot>>> snap_list() override;
  Task<Result<void>> snap_destroy(model::Epoch epoch) override;
  Task<Result<void>> snap_set_table(model::Epoch epoch, bool whole) override;
  Task<Result<void>> rollback(model::Epoch epoch) override;
  Task<Result<void>> aggregate(model::Epoch until) override;
  Task<Result<client::ObjectPage>> list_objects(model::Epoch epoch, Bytes position,
                                                uint32_t count_max) override;
  Task<Result<client::DifferencePage>> snap_diff(model::Epoch older, model::Epoch newer,
                                                 Bytes position, uint32_t count_max) override;

 private:
  Result<void> check_open() const;
  /// Open, writable, powered.
  Result<void> begin_write();
  /// The keys of a dkey; null if it does not exist.
  static std::map<std::string, FakeValue>* find(FakeObjects& objects, model::ObjectId oid,
                                                ByteView dkey);
  std::map<std::string, FakeValue>* find(model::ObjectId oid, ByteView dkey) {
    return find(data_->objects, oid, dkey);
  }
  model::Epoch touch(model::ObjectId oid, ByteView dkey);
  model::Epoch newest(model::ObjectId oid, ByteView dkey) const;
  /// Picks or checks the epoch of a read of an object or, if given, one dkey.
  /// @returns what there was at that epoch   @error tx_restart
  Result<FakeObjects*> begin_read(client::ReadAt at, model::ObjectId oid, ByteView dkey = {});
  Result<FakeSnapshot*> snapshot(model::Epoch epoch);
  void apply_change(const client::Change& change);

  FakeSystem& system_;
  std::shared_ptr<client::Pool> pool_;
  std::shared_ptr<FakeData> data_;
  client::Access access_;
  bool open_ = true;
};

}  // namespace cairn::dfs::testing
