// Object operations as wire calls: what a Container's members do, given where to and under which
// handle. Semantics and errors: client.h and vos/shard.h; besides them those of Rpc::call(). Home:
// the Rpc's reactor. Iods, keys and buffers are borrowed until the task ends.
#pragma once

#include "client/client.h"
#include "client/rpc.h"

namespace cairn::client {

/// Whom a change asks that was refused with no_perm: a container may have been sealed, and the
/// shard's words do not cross the wire.
class Refusals {
 public:
  /// @returns the error to be answered
  virtual Task<Error> explain(Error error) = 0;

 protected:
  ~Refusals() = default;
};

/// Where an object's shard lives, and with which right it is used. The caller computes it from
/// placement.
struct ObjectRoute {
  fabric::Endpoint endpoint;
  wire::HandleRef handle;
  uint32_t target = 0;
  uint32_t shard = 0;
  uint32_t map_version = 0;
  uint32_t placement_generation = 0;
  Refusals* refusals = nullptr;  // borrowed; null: nobody knows more
};

Task<Result<model::Epoch>> object_update(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                         model::Iods iods);
Task<Result<model::Fetched>> object_fetch(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                          model::Iods iods, ReadAt at = {});
/// A fetch of the newest state as a plain call, where it succeeds without waiting for anything.
/// False: ask object_fetch(); `iods` are as they were.
bool object_fetch_at_once(Rpc& rpc, const ObjectRoute& route, const ObjectArgs& args,
                          model::Iods& iods, model::Fetched& out);
Task<Result<model::Epoch>> object_punch(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                        uint64_t flags);
Task<Result<model::Epoch>> object_punch_dkey(Rpc& rpc, ObjectRoute route, ObjectArgs args);
Task<Result<model::Epoch>> object_punch_akeys(Rpc& rpc, ObjectRoute route, ObjectArgs args,
                                              std::vector<ByteView> akeys);
Task<Result<model::Listed>> object_list(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                        model::ListRequest request, ReadAt at = {});
Task<Result<Bytes>> object_position_of(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                       model::ListRequest::What what, ByteView key);
Task<Result<model::QueriedKey>> object_query_key(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                                 model::QueryKeyRequest request, ReadAt at = {});
Task<Result<model::Epoch>> object_max_epoch(Rpc& rpc, ObjectRoute route, model::ObjectId oid,
                                            ReadAt at = {});
/// Changes of a transaction with the shards that they go to.
struct PlacedChanges {
  std::vector<Change> changes;
  std::vector<wire::ObjectAddress> change_at;  // of each
  model::Epoch read_epoch = 0;
  std::vector<ReadRange> reads;
  std::vector<wire::ObjectAddress> read_at;  // of each
};
/// The route's rank and target are the lowest of the shards'.
Task<Result<model::Epoch>> object_transact(Rpc& rpc, ObjectRoute route, PlacedChanges changes);
Task<Result<ObjectPage>> objects_list(Rpc& rpc, ObjectRoute route, model::Epoch epoch,
                                      Bytes position, uint32_t count_max);
/// At most wire::kFlattenCountMax, all of them on the route's target. @param when  later: they are
/// noted, and the answer says nothing of what becomes of them. @param hint_until  one attempt until
/// then; kNever: as other calls
enum class FlattenWhen : uint8_t { now, later };
Task<Result<std::vector<model::Flattened>>> objects_flatten(
    Rpc& rpc, ObjectRoute route, std::vector<wire::FlattenObjects::One> objects,
    FlattenWhen when = FlattenWhen::now, Instant hint_until = kNever);
Task<Result<DifferencePage>> snapshots_diff(Rpc& rpc, ObjectRoute route, model::Epoch older,
                                            model::Epoch newer, Bytes position,
                                            uint32_t count_max);

}  // namespace cairn::client
