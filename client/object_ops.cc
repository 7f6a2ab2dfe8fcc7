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

/// For requests whose reply is an epoch.
Task<Result<model::Epoch>> call_for_epoch(Rpc& rpc, ObjectRoute route, wire::Request request) {
  set_route(request, route);
  wire::Reply reply;
  CO_TRY(called, co_await rpc.call(route.endpoint, request, reply));
  co_return reply.header.epoch;
}

/// For requests whose reply is a T.
template <class T>
Task<Result<T>> call_for(Rpc& rpc, ObjectRoute route, wire::Request request) {
  set_route(request, route);
  wire::Reply reply;
  CO_TRY(called, co_await rpc.call(route.endpoint, request, reply));
  T* const answer = std::get_if<T>(&reply.body);
  if (answer == nullptr) co_return fail(Errc::protocol, "rpc: an answer of another kind");
  co_return std::move(*answer);
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
  CO_TRY(called, co_await rpc.call(route.endpoint, request, reply));
  co_return reply.header.epoch;
}

Task<Result<model::Fetched>> object_fetch(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                          model::Iods iods, model::Epoch epoch) {
  wire::Request request;
  set_route(request, route);
  request.header.epoch = epoch == model::kEpochMax ? 0 : epoch;
  auto& fetch = request.body.emplace<wire::ObjectFetch>();
  fetch.object = address_of(route, args.oid);
  fetch.flags = args.flags;
  fetch.dkey = args.dkey;
  fetch.iods = std::move(iods);
  wire::Reply reply;
  CO_TRY(called, co_await rpc.call(route.endpoint, request, reply));
  auto* const fetched = std::get_if<model::Fetched>(&reply.body);
  if (fetched == nullptr) co_return fail(Errc::protocol, "rpc: an answer of another kind");
  co_return std::move(*fetched);
}

// The others are no coroutines of their own.

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
                                        model::ListRequest list) {
  wire::Request request;
  request.body = wire::ObjectList{.object = address_of(route, oid), .request = std::move(list)};
  return call_for<model::Listed>(rpc, route, std::move(request));
}

Task<Result<Bytes>> object_position_of(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                       model::ListRequest::What what, ByteView key) {
  wire::Request request;
  request.body = wire::ObjectPositionOf{.object = address_of(route, oid), .what = what, .key = key};
  return call_for<Bytes>(rpc, route, std::move(request));
}

Task<Result<model::QueriedKey>> object_query_key(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                                 model::QueryKeyRequest query) {
  wire::Request request;
  request.body = wire::ObjectQueryKey{.object = address_of(route, oid), .request = query};
  return call_for<model::QueriedKey>(rpc, route, std::move(request));
}

Task<Result<model::Epoch>> object_max_epoch(Rpc& rpc, ObjectRoute route, model::ObjectId oid) {
  wire::Request request;
  request.body = wire::ObjectMaxEpoch{.object = address_of(route, oid)};
  return call_for_epoch(rpc, route, std::move(request));
}

}  // namespace cairn::client
