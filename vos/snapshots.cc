// Snapshots of a container: freezing, the table, and what is answered from it.
#include "vos/shard_state.h"

namespace cairn::vos {

namespace {

std::unexpected<Error> not_built() {
  return fail(Errc::not_supported, "snapshots: this shard keeps no older versions");
}

}  // namespace

Task<Result<model::Epoch>> Shard::freeze_container(ContNumber) { co_return not_built(); }
void Shard::unfreeze_container(ContNumber) {}
Task<Result<void>> Shard::add_snapshot(ContNumber, model::Epoch) { co_return not_built(); }
Task<Result<void>> Shard::remove_snapshot(ContNumber, model::Epoch) { co_return not_built(); }
std::vector<model::Epoch> Shard::snapshots(ContNumber) const { return {}; }
Task<Result<Differences>> Shard::diff_snapshots(ContNumber, model::Epoch, model::Epoch, Bytes,
                                                uint32_t) {
  co_return not_built();
}
Task<Result<void>> Shard::rollback(ContNumber, model::Epoch) { co_return not_built(); }
Task<Result<ListedObjects>> Shard::list_objects(ContNumber, model::Epoch, Bytes, uint32_t) {
  co_return not_built();
}

}  // namespace cairn::vos
