#include "client/system_impl.h"

namespace cairn::client {
namespace {

template <class T>
Task<Result<T>> failed(Error error) {
  co_return fail(error);
}

}  // namespace

Task<Result<void>> ContainerImpl::close() {
  if (!open_) co_return fail(Errc::no_handle, "container: closed before");
  open_ = false;
  co_return co_await pool_->impl().command(request(wire::Op::cont_close));
}

Task<Result<ContInfo>> ContainerImpl::query() {
  CO_TRY(reply, co_await pool_->impl().control(request(wire::Op::cont_query)));
  if (reply.conts.size() != 1) co_return fail(Errc::protocol, "container query: not one answer");
  co_return from_wire(reply.conts.front());
}

Task<Result<void>> ContainerImpl::set_props(Props props) {
  auto wanted = request(wire::Op::cont_set_props);
  wanted.props = to_wire(props);
  return pool_->impl().command(std::move(wanted));
}

Task<Result<Attrs>> ContainerImpl::attrs() {
  CO_TRY(reply, co_await pool_->impl().control(request(wire::Op::cont_attrs)));
  co_return from_wire(std::move(reply.attrs));
}

Task<Result<void>> ContainerImpl::set_attrs(Attrs attrs) {
  auto wanted = request(wire::Op::cont_set_attrs);
  wanted.attrs = to_wire(attrs);
  return pool_->impl().command(std::move(wanted));
}

Task<Result<void>> ContainerImpl::delete_attrs(std::vector<std::string> names) {
  auto wanted = request(wire::Op::cont_delete_attrs);
  wanted.names = std::move(names);
  return pool_->impl().command(std::move(wanted));
}

Task<Result<uint64_t>> ContainerImpl::alloc_oids(uint64_t count) {
  auto wanted = request(wire::Op::cont_alloc_oids);
  wanted.count = count;
  CO_TRY(reply, co_await pool_->impl().control(std::move(wanted)));
  co_return reply.first;
}

Result<ObjectRoute> ContainerImpl::route(const model::ObjectId& oid, bool writes) const {
  if (!open_) return fail(Errc::no_handle, "container: the handle is closed");
  if (writes && opened_.access == Access::read_only) {
    return fail(Errc::no_perm, "container: opened read only; open it read-write");
  }
  // One target, so one shard (layout/place.h refuses the rest).
  TRY(place, layout::place_shard(oid, 0, opened_.map));
  return ObjectRoute{.endpoint = {.rank = place.rank},
                     .handle = opened_.io,
                     .target = place.target,
                     .shard = place.shard,
                     .map_version = opened_.map.version,
                     .placement_generation = opened_.map.generation};
}

// No coroutine of their own: the I/O path pays for one frame less.

Task<Result<model::Epoch>> ContainerImpl::update(ObjectArgs args, model::Iods iods) {
  const auto where = route(args.oid, true);
  if (!where) return failed<model::Epoch>(where.error());
  return object_update(rpc(), *where, args, std::move(iods));
}

Task<Result<model::Fetched>> ContainerImpl::fetch_at(ReadAt at, ObjectArgs args,
                                                     model::Iods iods) {
  const auto where = route(args.oid, false);
  if (!where) return failed<model::Fetched>(where.error());
  return object_fetch(rpc(), *where, args, std::move(iods), at);
}

Task<Result<model::Epoch>> ContainerImpl::punch_object(model::ObjectId oid, uint64_t flags) {
  const auto where = route(oid, true);
  if (!where) return failed<model::Epoch>(where.error());
  return object_punch(rpc(), *where, oid, flags);
}

Task<Result<model::Epoch>> ContainerImpl::punch_dkey(ObjectArgs args) {
  const auto where = route(args.oid, true);
  if (!where) return failed<model::Epoch>(where.error());
  return object_punch_dkey(rpc(), *where, args);
}

Task<Result<model::Epoch>> ContainerImpl::punch_akeys(ObjectArgs args,
                                                      std::vector<ByteView> akeys) {
  const auto where = route(args.oid, true);
  if (!where) return failed<model::Epoch>(where.error());
  return object_punch_akeys(rpc(), *where, args, std::move(akeys));
}

Task<Result<model::Listed>> ContainerImpl::list_at(ReadAt at, model::ObjectId oid,
                                                   model::ListRequest request) {
  const auto where = route(oid, false);
  if (!where) return failed<model::Listed>(where.error());
  return object_list(rpc(), *where, oid, std::move(request), at);
}

Task<Result<Bytes>> ContainerImpl::position_of(model::ObjectId oid, model::ListRequest::What what,
                                               ByteView key) {
  const auto where = route(oid, false);
  if (!where) return failed<Bytes>(where.error());
  return object_position_of(rpc(), *where, oid, what, key);
}

Task<Result<model::QueriedKey>> ContainerImpl::query_key_at(ReadAt at, model::ObjectId oid,
                                                            model::QueryKeyRequest request) {
  const auto where = route(oid, false);
  if (!where) return failed<model::QueriedKey>(where.error());
  return object_query_key(rpc(), *where, oid, request, at);
}

Task<Result<model::Epoch>> ContainerImpl::max_epoch_at(ReadAt at, model::ObjectId oid) {
  const auto where = route(oid, false);
  if (!where) return failed<model::Epoch>(where.error());
  return object_max_epoch(rpc(), *where, oid, at);
}

Result<ObjectRoute> ContainerImpl::route_all() const {
  if (!open_) return fail(Errc::no_handle, "container: the handle is closed");
  // One target (layout/place.h).
  return ObjectRoute{.handle = opened_.io,
                     .map_version = opened_.map.version,
                     .placement_generation = opened_.map.generation};
}

Task<Result<model::Epoch>> ContainerImpl::transact(Changes changes) {
  if (changes.changes.empty()) co_return fail(Errc::invalid, "transaction: no changes");
  CO_TRY(first, route(changes.changes.front().oid, true));
  const auto elsewhere = [&first](const ObjectRoute& other) {
    return other.endpoint.rank != first.endpoint.rank || other.target != first.target ||
           other.shard != first.shard;
  };
  for (const Change& change : changes.changes) {
    CO_TRY(where, route(change.oid, true));
    if (elsewhere(where)) co_return fail(Errc::not_supported, "transaction: over several shards");
  }
  for (const ReadRange& read : changes.reads) {
    CO_TRY(where, route(read.oid, false));
    if (elsewhere(where)) co_return fail(Errc::not_supported, "transaction: over several shards");
  }
  co_return co_await object_transact(rpc(), first, std::move(changes));
}

Task<Result<model::Epoch>> ContainerImpl::snap_create() {
  CO_TRY(reply, co_await pool_->impl().control(request(wire::Op::snap_create)));
  co_return reply.first;
}

Task<Result<std::vector<Snapshot>>> ContainerImpl::snap_list() {
  CO_TRY(reply, co_await pool_->impl().control(request(wire::Op::snap_list)));
  std::vector<Snapshot> out;
  for (const wire::SnapReply& snapshot : reply.snapshots) {
    out.push_back({.epoch = snapshot.epoch, .has_table = snapshot.has_table != 0});
  }
  co_return out;
}

Task<Result<void>> ContainerImpl::snap_destroy(model::Epoch epoch) {
  auto wanted = request(wire::Op::snap_destroy);
  wanted.epoch = epoch;
  return pool_->impl().command(std::move(wanted));
}

Task<Result<void>> ContainerImpl::snap_set_table(model::Epoch epoch, bool whole) {
  auto wanted = request(wire::Op::snap_set_table);
  wanted.epoch = epoch;
  wanted.count = whole ? 1 : 0;
  return pool_->impl().command(std::move(wanted));
}

Task<Result<void>> ContainerImpl::rollback(model::Epoch epoch) {
  auto wanted = request(wire::Op::snap_rollback);
  wanted.epoch = epoch;
  return pool_->impl().command(std::move(wanted));
}

Task<Result<ObjectPage>> ContainerImpl::list_objects(model::Epoch epoch, Bytes position,
                                                     uint32_t count_max) {
  const auto where = route_all();
  if (!where) return failed<ObjectPage>(where.error());
  return objects_list(rpc(), *where, epoch, std::move(position), count_max);
}

Task<Result<DifferencePage>> ContainerImpl::snap_diff(model::Epoch older, model::Epoch newer,
                                                      Bytes position, uint32_t count_max) {
  const auto where = route_all();
  if (!where) return failed<DifferencePage>(where.error());
  return snapshots_diff(rpc(), *where, older, newer, std::move(position), count_max);
}

}  // namespace cairn::client
