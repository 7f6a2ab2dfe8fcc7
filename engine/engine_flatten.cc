// What an engine does for the flattening of objects in the background.
#include "engine/engine_state.h"

namespace cairn::engine {

void Engine::policy_changed(const Uuid& pool, vos::ContNumber container) {
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool) entry.flattener->policy_changed(container);
  }
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
