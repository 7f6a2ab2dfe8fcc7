// The classes behind client.h's interfaces. Internal to client/.
// Home: the context's reactor. A System outlives its pools, a pool its containers (held by
// pointer).
#pragma once

#include "client/object_ops.h"
#include "client/place_cache.h"
#include "client/system.h"
#include "layout/place.h"
#include "wire/control.h"

namespace cairn::client {

std::vector<wire::Prop> to_wire(const Props& props);
Props from_wire(const std::vector<wire::Prop>& props);
std::vector<wire::Attr> to_wire(const Attrs& attrs);
Attrs from_wire(std::vector<wire::Attr> attrs);
PoolInfo from_wire(const wire::PoolReply& reply);
ContInfo from_wire(const wire::ContReply& reply);
/// Of a handle that was attached. @error protocol  none
Result<Access> access_of(const wire::ControlReply& reply);

class SystemImpl final : public System {
 public:
  explicit SystemImpl(SystemParts parts) : parts_(std::move(parts)) {}
  ~SystemImpl() override;

  Context& context() override { return *parts_.context; }
  Task<Result<Uuid>> pool_create(PoolCreateOptions options) override;
  Task<Result<std::vector<PoolInfo>>> pool_list() override;
  Task<Result<std::vector<DeviceSpace>>> devices() override;
  Task<Result<std::vector<EngineInfo>>> engines() override;
  Task<Result<void>> pool_destroy(std::string pool, bool force) override;
  Task<Result<void>> pool_set_props(std::string pool, Props props) override;
  Task<Result<void>> pool_extend(std::string pool, std::vector<uint32_t> ranks) override;
  Task<Result<std::vector<RankResult>>> set_running(std::vector<uint32_t> ranks,
                                                    bool run) override;
  Task<Result<void>> storage_format(bool wipe) override;
  Task<Result<PoolPtr>> pool_connect(std::string pool, Access access) override;
  Task<Result<PoolPtr>> pool_attach(uint64_t handle_id) override;
  Uuid uuid() const override { return parts_.rpc->system(); }
  Result<void> shutdown() override;

  Rpc& rpc() { return *parts_.rpc; }
  fabric::Endpoint service() const { return parts_.service; }
  Task<Result<wire::ControlReply>> control(wire::ControlRequest request);
  /// For requests whose answer says nothing more.
  Task<Result<void>> command(wire::ControlRequest request);

 private:
  SystemParts parts_;
};

class PoolImpl final : public Pool, public std::enable_shared_from_this<PoolImpl> {
 public:
  PoolImpl(SystemImpl& system, Uuid uuid, uint64_t handle, Access access)
      : system_(system), uuid_(uuid), handle_(handle), access_(access) {}

  System& system() override { return system_; }
  const Uuid& uuid() const override { return uuid_; }
  Access access() const override { return access_; }
  uint64_t handle_id() const override { return handle_; }
  Task<Result<PoolInfo>> query() override;
  Task<Result<void>> disconnect() override;
  Task<Result<Attrs>> attrs() override;
  Task<Result<void>> set_attrs(Attrs attrs) override;
  Task<Result<void>> delete_attrs(std::vector<std::string> names) override;
  Task<Result<Uuid>> cont_create(std::string label, Props props) override;
  Task<Result<std::vector<ContInfo>>> cont_list() override;
  Task<Result<ContainerPtr>> cont_open(std::string cont, Access access) override;
  Task<Result<ContainerPtr>> cont_attach(uint64_t handle_id) override;
  Task<Result<void>> cont_destroy(std::string cont, bool force) override;

  SystemImpl& impl() { return system_; }

 private:
  wire::ControlRequest request(wire::Op op) const {
    wire::ControlRequest out;
    out.op = op;
    out.pool_handle = handle_;
    return out;
  }
  /// Sends a request that is answered with a container handle.
  Task<Result<ContainerPtr>> open(wire::ControlRequest wanted);

  SystemImpl& system_;
  const Uuid uuid_;
  const uint64_t handle_;
  const Access access_;
};

class ContainerImpl final : public Container, private Refusals {
 public:
  struct Opened {
    Uuid uuid;
    uint64_t handle = 0;
    wire::HandleRef io;
    Access access = Access::read_only;
    layout::PoolMap map;
  };
  ContainerImpl(std::shared_ptr<PoolImpl> pool, Opened opened)
      : pool_(std::move(pool)), opened_(std::move(opened)), places_(opened_.map) {}

  Pool& pool() override { return *pool_; }
  const Uuid& uuid() const override { return opened_.uuid; }
  Access access() const override { return opened_.access; }
  uint64_t handle_id() const override { return opened_.handle; }
  model::PoolShape shape() const override { return opened_.map.shape; }
  bool is_open() const override { return open_; }
  Task<Result<void>> close() override;
  Task<Result<ContInfo>> query() override;
  Task<Result<void>> set_props(Props props) override;
  Task<Result<Attrs>> attrs() override;
  Task<Result<void>> set_attrs(Attrs attrs) override;
  Task<Result<void>> delete_attrs(std::vector<std::string> names) override;
  Task<Result<uint64_t>> alloc_oids(uint64_t count) override;

  Task<Result<model::Epoch>> update(ObjectArgs args, model::Iods iods) override;
  Task<Result<model::Fetched>> fetch_at(ReadAt at, ObjectArgs args,
                                        model::Iods iods) override;
  bool fetch_at_once(const ObjectArgs& args, model::Iods& iods, model::Fetched& out) override;
  bool fetches_at_once() const override;
  Task<Result<model::Epoch>> punch_object(model::ObjectId oid, uint64_t flags) override;
  Task<Result<model::Epoch>> punch_dkey(ObjectArgs args) override;
  Task<Result<model::Epoch>> punch_akeys(ObjectArgs args, std::vector<ByteView> akeys) override;
  Task<Result<model::Listed>> list_at(ReadAt at, model::ObjectId oid,
                                      model::ListRequest request) override;
  Task<Result<Bytes>> position_of(model::ObjectId oid, model::ListRequest::What what,
                                  ByteView key) override;
  Task<Result<std::vector<Bytes>>> parts_of(model::ObjectId oid, ByteView first) override;
  Task<Result<model::QueriedKey>> query_key_at(ReadAt at, model::ObjectId oid,
                                               model::QueryKeyRequest request) override;
  Task<Result<model::Epoch>> max_epoch_at(ReadAt at, model::ObjectId oid) override;
  Task<Result<model::Epoch>> transact(Changes changes) override;

  Task<Result<model::Epoch>> snap_create() override;
  Task<Result<std::vector<Snapshot>>> snap_list() override;
  Task<Result<void>> snap_destroy(model::Epoch epoch) override;
  Task<Result<void>> snap_set_table(model::Epoch epoch, bool whole) override;
  Task<Result<void>> rollback(model::Epoch epoch) override;
  Task<Result<void>> aggregate(model::Epoch until) override;
  Task<Result<ObjectPage>> list_objects(model::Epoch epoch, Bytes position,
                                        uint32_t count_max) override;
  Task<Result<std::vector<model::Flattened>>> flatten(std::vector<model::ObjectId> oids) override;
  Task<Result<void>> seal(std::string by) override;
  Task<Result<void>> unseal() override;
  Task<Result<WormInfo>> query_worm(bool with_progress) override;
  Task<Result<void>> note_final(std::vector<model::ObjectId> oids) override;
  Task<void> hint_final(std::vector<model::ObjectId> oids) override;
  Task<Result<DifferencePage>> snap_diff(model::Epoch older, model::Epoch newer, Bytes position,
                                         uint32_t count_max) override;

 private:
  wire::ControlRequest request(wire::Op op) const {
    wire::ControlRequest out;
    out.op = op;
    out.cont_handle = opened_.handle;
    return out;
  }
  /// Is the handle open, and may it do that? @error no_handle, no_perm
  Result<void> check_handle(bool writes) const;
  ObjectRoute route_to(const layout::Place& place);
  /// Where a dkey is, if the handle may do that. @error no_handle, no_perm, invalid, not_supported
  Result<ObjectRoute> route(const model::ObjectId& oid, ByteView dkey, bool writes);
  /// Of all shards of an object. Errors as route().
  Result<std::vector<ObjectRoute>> routes(const model::ObjectId& oid, bool writes);
  /// Of all targets, by target. @error no_handle
  Result<std::vector<ObjectRoute>> target_routes();
  Result<PlacedChanges> place_changes(Changes changes);
  Task<Result<model::Epoch>> update_last(ObjectRoute where, ObjectArgs args, model::Iods iods);
  Task<Result<std::vector<model::Flattened>>> flatten(std::vector<model::ObjectId> oids,
                                                      FlattenWhen when, Instant hint_until);
  Task<Result<model::Epoch>> punch_wide(model::ObjectId oid, uint64_t flags);
  /// Asks every shard; in a transaction the first one picks the epoch.
  template <class T, class Ask>
  Task<Result<std::vector<T>>> ask_all(std::vector<ObjectRoute> where, ReadAt at, Ask ask);
  Task<Result<model::Listed>> list_wide(ReadAt at, model::ObjectId oid, model::ListRequest request,
                                        std::vector<ObjectRoute> where);
  Task<Result<model::QueriedKey>> query_wide(ReadAt at, model::ObjectId oid,
                                             model::QueryKeyRequest request,
                                             std::vector<ObjectRoute> where);
  Task<Result<model::Epoch>> max_epoch_wide(ReadAt at, model::ObjectId oid,
                                            std::vector<ObjectRoute> where);
  Task<Result<std::vector<Bytes>>> parts_wide(model::ObjectId oid, ByteView first,
                                              std::vector<ObjectRoute> where);
  Task<Result<Bytes>> position_wide(model::ObjectId oid, ByteView key, ObjectRoute where);
  Task<Result<ObjectPage>> list_objects_wide(model::Epoch epoch, Bytes position, uint32_t count_max,
                                             std::vector<ObjectRoute> where);
  Task<Result<DifferencePage>> snap_diff_wide(model::Epoch older, model::Epoch newer,
                                              Bytes position, uint32_t count_max,
                                              std::vector<ObjectRoute> where);
  Reactor& reactor() const { return pool_->impl().context().reactor(); }
  Rpc& rpc() const { return pool_->impl().rpc(); }

  const std::shared_ptr<PoolImpl> pool_;
  const Opened opened_;
  mutable PlaceCache places_;
  bool open_ = true;

  Task<Error> explain(Error error) override;
  /// What the services said last about why changes are refused; null: nothing.
  const char* seal_text_ = nullptr;
  Instant seal_asked_ = 0;  // when; 0: never
};

}  // namespace cairn::client
