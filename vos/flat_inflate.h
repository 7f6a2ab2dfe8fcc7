// Taking what a change needs out of a flattened object's buffer, before the change is planned: its
// records stand in an overlay then, as if they had always been the tree's. A small object goes out
// whole, of a larger one the dkey that is changed; the rest stays in the buffer, and the object's
// record says which dkeys do not count there any more. Nothing that anybody reads changes by it, at
// any epoch. Why dkeys: docs/decisions/0017-flattened-objects.md. Internal to vos/. Home: the
// shard's reactor. Plain calls.
#pragma once

#include <optional>

#include "vos/overlay.h"
#include "vos/plan.h"

namespace cairn::vos {

/// Objects of up to this many records go out whole.
inline constexpr size_t kInflatedWholeMax = 64;

/// @param dkey_prefix  of what is about to be changed; null: all of the object
/// @param overlay  gets the records; nothing where the object (or the dkey) is not in a buffer
/// @param cache  keeps the blocks of large single values until they are committed; who plans to
/// change what is taken out only later calls inflate_ahead() before
/// @error page_absent (load_absent() in epoch_view.h), checksum
Result<void> inflate(Shard::State& state, const KeyPath& path, const Key* dkey_prefix,
                     Overlay& overlay, BlockCache& cache);

/// For changes that stand aside: where taking out needs blocks, it is done now, by a log record of
/// its own, so that folding finds nothing that a full shard could refuse. Nothing that anybody
/// reads changes by it. One step. @returns it was necessary: the plan begins anew
/// @error as inflate(), no_space, no_memory: nothing has happened
Result<bool> inflate_ahead(Shard::State& state, const KeyPath& path, const Key* dkey_prefix,
                           BlockCache& cache);

/// A plan that may have to inflate first.
class FlatPlanning {
 public:
  /// @param dkey_prefix  as of inflate(). @error as inflate()
  Result<void> begin(Shard::State& state, const KeyPath& path, const Key& dkey_prefix,
                     BlockCache& cache);
  /// What the plan reads through.
  View view(Shard::State& state) {
    return overlay_ ? View(state.tree(), &*overlay_, model::kEpochMax) : View(state.tree());
  }
  /// The most that the record of both takes in the log.
  uint64_t bytes(const Plan& plan) const { return plan.bytes() + inflated_bytes_; }
  /// Everything as one batch.
  index::Batch finish(Plan& plan);

 private:
  std::optional<Overlay> overlay_;
  uint64_t inflated_bytes_ = 0;
};

/// What inflating a dkey, and a small object, may take at most in the log: an object of which it
/// would take more is not flattened.
inline uint64_t inflated_bytes_max(const Shard::State& state) { return state.record_bytes_max / 2; }

/// The records, and the most that they take in the log, of inflating one akey's payload of `bytes`
/// that stands in `values` values, below an akey prefix of `prefix_bytes`.
struct InflatedSize {
  uint64_t records = 0;
  uint64_t bytes = 0;
  void add(uint64_t key_bytes, uint64_t payload_bytes);
  /// A single value: a large one goes to blocks.
  void add_single(uint64_t key_bytes, uint64_t payload_bytes);
};

}  // namespace cairn::vos
