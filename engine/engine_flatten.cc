// Flattening: when somebody asks for it, and what an engine does for it in the background.
#include <algorithm>

#include "engine/engine_state.h"
#include "engine/flatten_pass.h"
#include "wire/limits.h"

namespace cairn::engine {

namespace {

/// As the container's properties say, but for limits that the request names.
vos::FlattenOptions options_of(const model::WormPolicy& policy,
                               const model::FlattenLimits& limits) {
  vos::FlattenOptions options = flatten_options(policy, std::nullopt);
  if (limits.inline_bytes_max != 0) options.inline_bytes_max = limits.inline_bytes_max;
  if (limits.object_bytes_max != 0) options.object_bytes_max = limits.object_bytes_max;
  if (limits.keys_max != 0) options.keys_max = limits.keys_max;
  return options;
}

/// The object that a read is about.
const wire::ObjectAddress* object_of(const wire::Request& request) {
  if (const auto* fetch = std::get_if<wire::ObjectFetch>(&request.body)) return &fetch->object;
  if (const auto* list = std::get_if<wire::ObjectList>(&request.body)) return &list->object;
  if (const auto* query = std::get_if<wire::ObjectQueryKey>(&request.body)) return &query->object;
  return nullptr;
}

}  // namespace

Task<Result<void>> Engine::State::flatten(Gate::Hold, HandleTable::Use use, wire::Request& request,
                                          wire::Reply& reply) {
  const auto& body = std::get<wire::FlattenObjects>(request.body);
  std::vector<vos::ObjectPath> objects;
  objects.reserve(body.objects.size());
  for (const auto& [oid, shard] : body.objects) {
    objects.push_back({.container = use.spec().container, .oid = oid, .shard = shard});
  }
  if ((request.header.flags & wire::kFlagLater) != 0) {
    Flattener* const flattener = flattener_of(use.shard());
    for (const vos::ObjectPath& object : objects) {
      if (flattener != nullptr) flattener->note_final(object);
    }
    reply.body = wire::FlattenedObjects{
        std::vector<model::Flattened>(objects.size(), {.outcome = model::FlattenOutcome::pending})};
    co_return Result<void>{};
  }
  const auto options = options_of(use.shard().worm_policy(use.spec().container), body.limits);
  auto done = co_await use.shard().flatten(std::move(objects), options);
  if (!done) {
    reply.error = done.error();
    co_return Result<void>{};
  }
  reply.body = wire::FlattenedObjects{std::move(*done)};
  co_return Result<void>{};
}
static_assert(wire::kFlattenCountMax <= vos::kFlattenObjectsMax);

void Engine::State::note_read(const vos::Shard& shard, const wire::Request& request) {
  Flattener* const flattener = flattener_of(shard);
  const wire::ObjectAddress* const object = object_of(request);
  if (flattener != nullptr && object != nullptr) flattener->note_read(object->oid);
}

void Engine::State::watch_reads() {
  watches_reads = std::ranges::any_of(
      shards, [](const PoolShard& entry) { return entry.flattener->watches_reads(); });
}

void Engine::policy_changed(const Uuid& pool, vos::ContNumber container) {
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool) entry.flattener->policy_changed(container);
  }
  state_->watch_reads();
}

void Engine::policy_changed(const Uuid& pool, uint32_t target, vos::ContNumber container) {
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool && entry.target == target) entry.flattener->policy_changed(container);
  }
  state_->watch_reads();
}

model::FlattenProgress Engine::flatten_progress(const Uuid& pool, vos::ContNumber container) const {
  model::FlattenProgress all;
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool) add(all, entry.flattener->progress(container));
  }
  return all;
}

std::optional<Flattener::Facts> Engine::flatten_facts(const Uuid& pool, uint32_t target) const {
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool && entry.target == target) return entry.flattener->facts();
  }
  return std::nullopt;
}

Flattener* Engine::State::flattener_of(const vos::Shard& shard) const {
  for (const PoolShard& entry : shards) {
    if (entry.shard == &shard) return entry.flattener.get();
  }
  return nullptr;
}

}  // namespace cairn::engine
