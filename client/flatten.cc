// Flattening from the client's side: objects are sorted by the targets that their shards are on,
// and each target flattens many at once, because neighbours share blocks.
#include <map>

#include "client/system_impl.h"
#include "runtime/parallel.h"
#include "wire/limits.h"

namespace cairn::client {
namespace {

constexpr size_t kTargetsAtOnceMax = 32;
/// What waits for nothing but a hint waits no longer, whatever engines are away or hang.
constexpr Duration kHintMost = kSecond;

/// What one target is asked, and which of the caller's objects each is.
struct Batch {
  ObjectRoute where;
  std::vector<wire::FlattenObjects::One> objects;
  std::vector<size_t> indexes;
};

bool is_flat(model::FlattenOutcome outcome) {
  return outcome == model::FlattenOutcome::flattened || outcome == model::FlattenOutcome::already;
}

/// Puts what a further shard says to what others have said. An object may have nothing on some.
void join(model::Flattened& all, const model::Flattened& one) {
  using Outcome = model::FlattenOutcome;
  if (one.outcome == Outcome::absent) return;
  const bool bad = all.outcome != Outcome::absent && !is_flat(all.outcome);
  if (bad) return;
  if (!is_flat(one.outcome)) {
    all = one;
    return;
  }
  // Done now anywhere: done now.
  if (all.outcome != Outcome::flattened) all.outcome = one.outcome;
  all.epoch = std::max(all.epoch, one.epoch);
  all.buffer_bytes += one.buffer_bytes;
}

Task<Result<void>> ask(Rpc& rpc, Batch batch, FlattenWhen when, Instant hint_until,
                       std::vector<model::Flattened>& out) {
  for (size_t at = 0; at < batch.objects.size(); at += wire::kFlattenCountMax) {
    const size_t count = std::min<size_t>(wire::kFlattenCountMax, batch.objects.size() - at);
    const auto first = batch.objects.begin() + static_cast<ptrdiff_t>(at);
    CO_TRY(done,
           co_await objects_flatten(
               rpc, batch.where, {first, first + static_cast<ptrdiff_t>(count)}, when, hint_until));
    if (done.size() != count) co_return fail(Errc::protocol, "flatten: not an answer for each");
    for (size_t i = 0; i < count; ++i) join(out[batch.indexes[at + i]], done[i]);
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<std::vector<model::Flattened>>> ContainerImpl::flatten(
    std::vector<model::ObjectId> oids, FlattenWhen when, Instant hint_until) {
  std::map<std::pair<uint32_t, uint32_t>, Batch> batches;  // by rank and target
  for (size_t i = 0; i < oids.size(); ++i) {
    CO_TRY(where, routes(oids[i], true));
    for (const ObjectRoute& route : where) {
      Batch& batch = batches[{route.endpoint.rank, route.target}];
      batch.where = route;
      batch.objects.push_back({.oid = oids[i], .shard = route.shard});
      batch.indexes.push_back(i);
    }
  }
  std::vector<model::Flattened> out(oids.size());
  std::vector<Task<Result<void>>> tasks;
  for (auto& [place, batch] : batches) {
    tasks.push_back(ask(rpc(), std::move(batch), when, hint_until, out));
  }
  CO_TRY(done, co_await run_all(reactor(), std::move(tasks), kTargetsAtOnceMax));
  co_return out;
}

Task<Result<std::vector<model::Flattened>>> ContainerImpl::flatten(
    std::vector<model::ObjectId> oids) {
  return flatten(std::move(oids), FlattenWhen::now, kNever);
}

Task<Result<void>> ContainerImpl::note_final(std::vector<model::ObjectId> oids) {
  CO_TRY(told, co_await flatten(std::move(oids), FlattenWhen::later, kNever));
  co_return Result<void>{};
}

Task<void> ContainerImpl::hint_final(std::vector<model::ObjectId> oids) {
  const Instant until = reactor().clock().now() + kHintMost;
  (void)co_await flatten(std::move(oids), FlattenWhen::later, until);
}

/// An update that is the last one of its object. Where the object has one shard, the message says
/// so; else all of its shards are told when the update is done; that holds it back for a
/// moment at most, and it counts as done whether or not they could be told.
Task<Result<model::Epoch>> ContainerImpl::update_last(ObjectRoute where, ObjectArgs args,
                                                      model::Iods iods) {
  CO_TRY(all, routes(args.oid, true));
  const bool wide = all.size() > 1;
  if (wide) args.flags &= ~model::cond::kFinal;
  CO_TRY(epoch, co_await object_update(rpc(), where, args, std::move(iods)));
  if (wide) co_await hint_final({args.oid});
  co_return epoch;
}

}  // namespace cairn::client
