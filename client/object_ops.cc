#include "client/object_ops.h"

namespace cairn::client {

namespace {

void set_route(wire::Request& request, const ObjectRoute& route) {
  request.header.target = route.target;
  request.header.handle = route.handle;
  request.header.map_version = route.map_version;
  request.header.placement_generation = route.placement_generation;
}

wire::ObjectAddress address_of(const ObjectRoute& route, model::ObjectId oid) {
  return {.oid = oid, .shard = route.shard};
}

// A read that belongs to a transaction says so by an id; shards need no more of it.
constexpr uint64_t kInTransaction = 1;

void set_view(wire::Request& request, const ReadAt& at) {
  request.header.epoch = at.epoch == model::kEpochMax ? 0 : at.epoch;
  request.header.transaction_lo = at.in_transaction ? kInTransaction : 0;
}

/// A call that has failed, in the words of who knows more about it.
Task<Result<model::Epoch>> refused(Refusals* refusals, Error error) {
  if (refusals != nullptr && error.code() == Errc::no_perm) {
    error = co_await refusals->explain(error);
  }
  co_return fail(error);
}

/// For requests whose reply is an epoch.
Task<Result<model::Epoch>> call_for_epoch(Rpc& rpc, ObjectRoute route, wire::Request request) {
  set_route(request, route);
  wire::Reply reply;
  const auto called = co_await rpc.call(route.endpoint, request, reply);
  if (!called) [[unlikely]]
    co_return co_await refused(route.refusals, called.error());
  co_return reply.header.epoch;
}

/// For requests whose reply is a T. @param chosen  gets the epoch that was read at
/// @param hint_until  one attempt until then; kNever: as other calls
template <class T>
Task<Result<T>> call_for(Rpc& rpc, ObjectRoute route, wire::Request request,
                         model::Epoch* chosen = nullptr, Instant hint_until = kNever) {
  set_route(request, route);
  wire::Reply reply;
  CO_TRY(called, co_await (hint_until == kNever
                               ? rpc.call(route.endpoint, request, reply)
                               : rpc.call_once(route.endpoint, request, reply, hint_until)));
  if (chosen != nullptr) *chosen = reply.header.epoch;
  T* const answer = std::get_if<T>(&reply.body);
  if (answer == nullptr) co_return fail(Errc::protocol, "rpc: an answer of another kind");
  co_return std::move(*answer);
}

/// In its place in the request.
wire::ObjectFetch& put_fetch(wire::Request& request, const ObjectRoute& route,
                             const ObjectArgs& args, model::Iods iods) {
  auto& fetch = request.body.emplace<wire::ObjectFetch>();
  fetch.object = address_of(route, args.oid);
  fetch.flags = args.flags;
  fetch.dkey = args.dkey;
  fetch.iods = std::move(iods);
  return fetch;
}

}  // namespace

// Update and fetch build their request in the frame that uses it: moving it costs as much as the
// call.

Task<Result<model::Epoch>> object_update(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                         model::Iods iods) {
  wire::Request request;
  set_route(request, route);
  auto& update = request.body.emplace<wire::ObjectUpdate>();
  update.object = address_of(route, args.oid);
  update.flags = args.flags;
  update.dkey = args.dkey;
  update.iods = std::move(iods);
  wire::Reply reply;
  const auto called = co_await rpc.call(route.endpoint, request, reply);
  if (!called) [[unlikely]]
    co_return co_await refused(route.refusals, called.error());
  co_return reply.header.epoch;
}

Task<Result<model::Fetched>> object_fetch(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                          model::Iods iods, ReadAt at) {
  wire::Request request;
  set_route(request, route);
  set_view(request, at);
  put_fetch(request, route, args, std::move(iods));
  wire::Reply reply;
  CO_TRY(called, co_await rpc.call(route.endpoint, request, reply));
  if (at.chosen != nullptr) *at.chosen = reply.header.epoch;
  auto* const fetched = std::get_if<model::Fetched>(&reply.body);
  if (fetched == nullptr) co_return fail(Errc::protocol, "rpc: an answer of another kind");
  co_return std::move(*fetched);
}

// The others are no coroutines of their own.

bool object_fetch_at_once(Rpc& rpc, const ObjectRoute& route, const ObjectArgs& args,
                          model::Iods& iods, model::Fetched& out) {
  wire::Request request;
  set_route(request, route);
  wire::ObjectFetch& fetch = put_fetch(request, route, args, std::move(iods));
  wire::Reply reply;
  const bool done = rpc.call_at_once(route.endpoint, request, reply);
  auto* const fetched = done ? std::get_if<model::Fetched>(&reply.body) : nullptr;
  if (fetched != nullptr) {
    out = std::move(*fetched);
  } else {
    iods = std::move(fetch.iods);
  }
  return fetched != nullptr;
}

Task<Result<model::Epoch>> object_punch(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                        uint64_t flags) {
  wire::Request request;
  request.body = wire::ObjectPunch{.object = address_of(route, oid), .flags = flags};
  return call_for_epoch(rpc, route, std::move(request));
}

Task<Result<model::Epoch>> object_punch_dkey(Rpc& rpc, ObjectRoute route, ObjectArgs args) {
  wire::Request request;
  request.body = wire::ObjectPunch{.object = address_of(route, args.oid),
                                   .level = wire::PunchLevel::dkey,
                                   .flags = args.flags,
                                   .dkey = args.dkey};
  return call_for_epoch(rpc, route, std::move(request));
}

Task<Result<model::Epoch>> object_punch_akeys(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                              std::vector<ByteView> akeys) {
  wire::Request request;
  request.body = wire::ObjectPunch{.object = address_of(route, args.oid),
                                   .level = wire::PunchLevel::akeys,
                                   .flags = args.flags,
                                   .dkey = args.dkey,
                                   .akeys = std::move(akeys)};
  return call_for_epoch(rpc, route, std::move(request));
}

Task<Result<model::Listed>> object_list(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                        model::ListRequest list, ReadAt at) {
  wire::Request request;
  set_view(request, at);
  request.body = wire::ObjectList{.object = address_of(route, oid), .request = std::move(list)};
  return call_for<model::Listed>(rpc, route, std::move(request), at.chosen);
}

Task<Result<Bytes>> object_position_of(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                       model::ListRequest::What what, ByteView key) {
  wire::Request request;
  request.body = wire::ObjectPositionOf{.object = address_of(route, oid), .what = what, .key = key};
  return call_for<Bytes>(rpc, route, std::move(request));
}

Task<Result<model::QueriedKey>> object_query_key(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                                 model::QueryKeyRequest query, ReadAt at) {
  wire::Request request;
  set_view(request, at);
  request.body = wire::ObjectQueryKey{.object = address_of(route, oid), .request = query};
  return call_for<model::QueriedKey>(rpc, route, std::move(request), at.chosen);
}

/// The reply's epoch is the answer, so a transaction must know its epoch before.
Task<Result<model::Epoch>> object_max_epoch(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                            ReadAt at) {
  wire::Request request;
  set_view(request, at);
  request.body = wire::ObjectMaxEpoch{.object = address_of(route, oid)};
  return call_for_epoch(rpc, route, std::move(request));
}

namespace {

wire::TransactOp op_of(const wire::ObjectAddress& object, Change& change) {
  if (change.kind == Change::Kind::update) {
    return wire::ObjectUpdate{
        .object = object, .dkey = change.dkey, .iods = std::move(change.iods)};
  }
  wire::ObjectPunch punch{.object = object, .dkey = change.dkey, .akeys = std::move(change.akeys)};
  punch.level = change.kind == Change::Kind::punch_object ? wire::PunchLevel::object
                : change.kind == Change::Kind::punch_dkey ? wire::PunchLevel::dkey
                                                          : wire::PunchLevel::akeys;
  return punch;
}

}  // namespace

Task<Result<model::Epoch>> object_transact(Rpc& rpc, ObjectRoute route, PlacedChanges changes) {
  wire::Request request;
  set_route(request, route);
  auto& transact = request.body.emplace<wire::ObjectTransact>();
  transact.read_epoch = changes.read_epoch;
  transact.ops.reserve(changes.changes.size());
  for (size_t i = 0; i < changes.changes.size(); ++i) {
    transact.ops.push_back(op_of(changes.change_at[i], changes.changes[i]));
  }
  transact.reads.reserve(changes.reads.size());
  for (size_t i = 0; i < changes.reads.size(); ++i) {
    const ReadRange& read = changes.reads[i];
    transact.reads.push_back({.object = changes.read_at[i],
                              .level = static_cast<wire::ReadLevel>(read.level),
                              .dkey = read.dkey,
                              .akey = read.akey});
  }
  wire::Reply reply;
  const auto called = co_await rpc.call(route.endpoint, request, reply);
  if (!called) co_return co_await refused(route.refusals, called.error());
  co_return reply.header.epoch;
}
static_assert(static_cast<int>(ReadRange::Level::dkey) == static_cast<int>(wire::ReadLevel::dkey));
static_assert(static_cast<int>(ReadRange::Level::akey) == static_cast<int>(wire::ReadLevel::akey));

Task<Result<ObjectPage>> objects_list(Rpc& rpc, ObjectRoute route, model::Epoch epoch,
                                      Bytes position, uint32_t count_max) {
  wire::Request request;
  set_view(request, {.epoch = epoch});
  request.body = wire::ListObjects{.count_max = count_max, .position = position};
  CO_TRY(listed, co_await call_for<wire::ListedObjects>(rpc, route, std::move(request)));
  co_return ObjectPage{std::move(listed.oids), std::move(listed.position), listed.eof};
}

Task<Result<std::vector<model::Flattened>>> objects_flatten(
    Rpc& rpc, ObjectRoute route, std::vector<wire::FlattenObjects::One> objects, FlattenWhen when,
    Instant hint_until) {
  wire::Request request;
  if (when == FlattenWhen::later) request.header.flags |= wire::kFlagLater;
  request.body = wire::FlattenObjects{.limits = {}, .objects = std::move(objects)};
  CO_TRY(done, co_await call_for<wire::FlattenedObjects>(rpc, route, std::move(request), nullptr,
                                                         hint_until));
  co_return std::move(done.objects);
}

Task<Result<DifferencePage>> snapshots_diff(Rpc& rpc, ObjectRoute route, model::Epoch older,
                                            model::Epoch newer, Bytes position,
                                            uint32_t count_max) {
  for (;;) {
    wire::Request request;
    request.body = wire::DiffSnapshots{
        .older = older, .newer = newer, .count_max = count_max, .position = position};
    auto found = co_await call_for<wire::Differences>(rpc, route, std::move(request));
    if (!found && found.error().code() == Errc::record_too_big && count_max > 1) {
      count_max /= 2;  // long keys: fewer fit a message
      continue;
    }
    if (!found) co_return fail(found.error());
    DifferencePage page{.position = std::move(found->position), .eof = found->eof};
    for (wire::Difference& difference : found->differences) {
      page.differences.push_back({.oid = difference.object.oid,
                                  .dkey = std::move(difference.dkey),
                                  .akey = std::move(difference.akey),
                                  .kind = static_cast<Difference::Kind>(difference.kind)});
    }
    co_return page;
  }
}
static_assert(static_cast<int>(Difference::Kind::removed) ==
              static_cast<int>(wire::Difference::Kind::removed));
static_assert(static_cast<int>(Difference::Kind::changed) ==
              static_cast<int>(wire::Difference::Kind::changed));

}  // namespace cairn::client
