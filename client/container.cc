#include <algorithm>

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

Result<void> ContainerImpl::check_handle(bool writes) const {
  if (!open_) return fail(Errc::no_handle, "container: the handle is closed");
  if (writes && opened_.access == Access::read_only) {
    return fail(Errc::no_perm, "container: opened read only; open it read-write");
  }
  return {};
}

ObjectRoute ContainerImpl::route_to(const layout::Place& place) {
  return {.endpoint = {.rank = place.rank},
          .handle = opened_.io,
          .target = place.target,
          .shard = place.shard,
          .map_version = opened_.map.version,
          .placement_generation = opened_.map.generation,
          .refusals = this};
}

Result<ObjectRoute> ContainerImpl::route(const model::ObjectId& oid, ByteView dkey, bool writes) {
  TRY(may, check_handle(writes));
  if (opened_.map.targets.size() == 1) {
    TRY(count, layout::shard_count(oid, opened_.map.shape));
    const model::TargetId& only = opened_.map.targets.front().id;
    return route_to({.rank = only.rank, .target = only.index, .shard = 0});
  }
  TRY(places, places_.of(oid));
  const auto count = static_cast<uint32_t>(places->size());
  return route_to((*places)[layout::shard_of_dkey(oid, dkey, count)]);
}

Result<std::vector<ObjectRoute>> ContainerImpl::routes(const model::ObjectId& oid, bool writes) {
  if (opened_.map.targets.size() == 1) {
    TRY(only, route(oid, {}, writes));
    return std::vector{only};
  }
  TRY(may, check_handle(writes));
  TRY(places, places_.of(oid));
  std::vector<ObjectRoute> out;
  out.reserve(places->size());
  for (const layout::Place& place : *places) out.push_back(route_to(place));
  return out;
}

// No coroutine of their own: the I/O path pays for one frame less.

Task<Result<model::Epoch>> ContainerImpl::update(ObjectArgs args, model::Iods iods) {
  const auto where = route(args.oid, args.dkey, true);
  if (!where) return failed<model::Epoch>(where.error());
  if ((args.flags & model::cond::kFinal) != 0) [[unlikely]] {
    return update_last(*where, args, std::move(iods));
  }
  return object_update(rpc(), *where, args, std::move(iods));
}

Task<Result<model::Fetched>> ContainerImpl::fetch_at(ReadAt at, ObjectArgs args,
                                                     model::Iods iods) {
  const auto where = route(args.oid, args.dkey, false);
  if (!where) return failed<model::Fetched>(where.error());
  return object_fetch(rpc(), *where, args, std::move(iods), at);
}

bool ContainerImpl::fetch_at_once(const ObjectArgs& args, model::Iods& iods, model::Fetched& out) {
  const auto where = route(args.oid, args.dkey, false);
  return where && object_fetch_at_once(rpc(), *where, args, iods, out);
}

bool ContainerImpl::fetches_at_once() const { return rpc().calls_at_once(); }

Task<Result<model::Epoch>> ContainerImpl::punch_object(model::ObjectId oid, uint64_t flags) {
  const auto where = routes(oid, true);
  if (!where) return failed<model::Epoch>(where.error());
  if (where->size() > 1) return punch_wide(oid, flags);
  return object_punch(rpc(), where->front(), oid, flags);
}

Task<Result<model::Epoch>> ContainerImpl::punch_dkey(ObjectArgs args) {
  const auto where = route(args.oid, args.dkey, true);
  if (!where) return failed<model::Epoch>(where.error());
  return object_punch_dkey(rpc(), *where, args);
}

Task<Result<model::Epoch>> ContainerImpl::punch_akeys(ObjectArgs args,
                                                      std::vector<ByteView> akeys) {
  const auto where = route(args.oid, args.dkey, true);
  if (!where) return failed<model::Epoch>(where.error());
  return object_punch_akeys(rpc(), *where, args, std::move(akeys));
}

Task<Result<model::Listed>> ContainerImpl::list_at(ReadAt at, model::ObjectId oid,
                                                   model::ListRequest request) {
  if (request.what != model::ListRequest::What::dkeys) {
    const auto where = route(oid, request.dkey, false);
    if (!where) return failed<model::Listed>(where.error());
    return object_list(rpc(), *where, oid, std::move(request), at);
  }
  auto where = routes(oid, false);
  if (!where) return failed<model::Listed>(where.error());
  if (where->size() > 1) return list_wide(at, oid, std::move(request), std::move(*where));
  return object_list(rpc(), where->front(), oid, std::move(request), at);
}

Task<Result<Bytes>> ContainerImpl::position_of(model::ObjectId oid, model::ListRequest::What what,
                                               ByteView key) {
  const auto all = routes(oid, false);
  if (!all) return failed<Bytes>(all.error());
  // The positions of akeys are the same in every dkey.
  if (what != model::ListRequest::What::dkeys || all->size() == 1) {
    return object_position_of(rpc(), all->front(), oid, what, key);
  }
  const auto shard = layout::shard_of_dkey(oid, key, static_cast<uint32_t>(all->size()));
  return position_wide(oid, key, (*all)[shard]);
}

Task<Result<std::vector<Bytes>>> ContainerImpl::parts_of(model::ObjectId oid, ByteView first) {
  auto where = routes(oid, false);
  if (!where) return failed<std::vector<Bytes>>(where.error());
  return parts_wide(oid, first, std::move(*where));
}

Task<Result<model::QueriedKey>> ContainerImpl::query_key_at(ReadAt at, model::ObjectId oid,
                                                            model::QueryKeyRequest request) {
  if (request.want_dkey) {
    auto all = routes(oid, false);
    if (!all) return failed<model::QueriedKey>(all.error());
    if (all->size() > 1) return query_wide(at, oid, request, std::move(*all));
    return object_query_key(rpc(), all->front(), oid, request, at);
  }
  const auto where = route(oid, request.dkey_bytes, false);
  if (!where) return failed<model::QueriedKey>(where.error());
  return object_query_key(rpc(), *where, oid, request, at);
}

Task<Result<model::Epoch>> ContainerImpl::max_epoch_at(ReadAt at, model::ObjectId oid) {
  auto where = routes(oid, false);
  if (!where) return failed<model::Epoch>(where.error());
  if (where->size() > 1) return max_epoch_wide(at, oid, std::move(*where));
  return object_max_epoch(rpc(), where->front(), oid, at);
}

Result<std::vector<ObjectRoute>> ContainerImpl::target_routes() {
  TRY(may, check_handle(false));
  std::vector<ObjectRoute> out;
  for (const layout::PlacementTarget& target : opened_.map.targets) {
    out.push_back(route_to({.rank = target.id.rank, .target = target.id.index, .shard = 0}));
  }
  return out;
}

/// What concerns an object as a whole goes to all of its shards.
Result<PlacedChanges> ContainerImpl::place_changes(Changes changes) {
  PlacedChanges out{.read_epoch = changes.read_epoch};
  const auto address = [](const ObjectRoute& at, const model::ObjectId& oid) {
    return wire::ObjectAddress{
        .oid = oid, .shard = at.shard, .target = at.target, .rank = at.endpoint.rank};
  };
  for (Change& change : changes.changes) {
    if (change.kind == Change::Kind::punch_object) {
      TRY(all, routes(change.oid, true));
      for (const ObjectRoute& at : all) {
        out.change_at.push_back(address(at, change.oid));
        out.changes.push_back({.kind = change.kind, .oid = change.oid});
      }
      continue;
    }
    TRY(at, route(change.oid, change.dkey, true));
    out.change_at.push_back(address(at, change.oid));
    out.changes.push_back(std::move(change));
  }
  for (const ReadRange& read : changes.reads) {
    if (read.level == ReadRange::Level::object) {
      TRY(all, routes(read.oid, false));
      for (const ObjectRoute& at : all) {
        out.read_at.push_back(address(at, read.oid));
        out.reads.push_back(read);
      }
      continue;
    }
    TRY(at, route(read.oid, read.dkey, false));
    out.read_at.push_back(address(at, read.oid));
    out.reads.push_back(read);
  }
  return out;
}

Task<Result<model::Epoch>> ContainerImpl::transact(Changes changes) {
  if (changes.changes.empty()) co_return fail(Errc::invalid, "transaction: no changes");
  CO_TRY(placed, place_changes(std::move(changes)));
  // The engine of the lowest (rank, target) decides.
  const auto key = [](const wire::ObjectAddress& at) { return std::pair(at.rank, at.target); };
  auto lowest = key(placed.change_at.front());
  for (const auto& at : placed.change_at) lowest = std::min(lowest, key(at));
  for (const auto& at : placed.read_at) lowest = std::min(lowest, key(at));
  const ObjectRoute where = route_to({.rank = lowest.first, .target = lowest.second});
  co_return co_await object_transact(rpc(), where, std::move(placed));
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
  const auto done = co_await pool_->impl().command(std::move(wanted));
  if (!done && done.error().code() == Errc::no_perm) co_return fail(co_await explain(done.error()));
  co_return done;
}

Task<Result<void>> ContainerImpl::aggregate(model::Epoch until) {
  auto wanted = request(wire::Op::cont_aggregate);
  wanted.epoch = until;
  return pool_->impl().command(std::move(wanted));
}

Task<Result<ObjectPage>> ContainerImpl::list_objects(model::Epoch epoch, Bytes position,
                                                     uint32_t count_max) {
  auto where = target_routes();
  if (!where) return failed<ObjectPage>(where.error());
  if (where->size() == 1) {
    return objects_list(rpc(), where->front(), epoch, std::move(position), count_max);
  }
  return list_objects_wide(epoch, std::move(position), count_max, std::move(*where));
}

Task<Result<DifferencePage>> ContainerImpl::snap_diff(model::Epoch older, model::Epoch newer,
                                                      Bytes position, uint32_t count_max) {
  auto where = target_routes();
  if (!where) return failed<DifferencePage>(where.error());
  if (where->size() == 1) {
    return snapshots_diff(rpc(), where->front(), older, newer, std::move(position), count_max);
  }
  return snap_diff_wide(older, newer, std::move(position), count_max, std::move(*where));
}

}  // namespace cairn::client
