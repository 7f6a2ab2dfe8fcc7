// Update: one update on its way: its data staged, then its changes planned, alone or as a part of a
// transaction. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <vector>

#include "vos/pending.h"
#include "vos/plan.h"
#include "vos/request.h"

namespace cairn::vos {

/// Staged data of one extent of one iod, of a single value, or of a long key's name.
struct StagedPart {
  Span span;  // records; single values and names: [0, 0)
  bool joined = false;
  Staged staged;
};

using StagedParts = SmallVector<StagedPart, 1>;

/// All that the request brings.
uint64_t payload_bytes(const UpdateRequest& request);

struct Update {
  Update(Shard::State& s, const UpdateRequest& r) : state(s), request(r), path(r.object) {}

  Shard::State& state;
  const UpdateRequest& request;
  KeyPath path;
  CheckedRequest checked;
  SmallVector<StagedParts, 1> parts;  // of each iod
  std::vector<StagedPart> names;  // of the dkey, then of each iod, where they need blocks
  SmallVector<size_t, 2> name_of;  // index + 1 into names; [0] the dkey's, [i + 1] iod i's
  BlockCache cache;
  index::Batch batch;
  model::Epoch epoch = 0;
  bool too_large = false;
  index::Tree::Way way;                // to the leaf that was looked at last
  SmallVector<const Staged*, 1> used;  // what the last plan published

  /// @error invalid, no_perm, key_too_big, record_too_big  the request itself is wrong
  Result<void> check();
  /// Reserves blocks for what does not ride in the record. After an error some may be reserved.
  /// @error no_space
  Result<void> stage_all();
  /// Of what is staged, names apart.
  uint64_t data_bytes() const;
  std::vector<index::Store::DataWrite> data_writes() const;
  /// Before planning; the writes may be under way.
  void make_all_checksums();
  /// Gives reserved blocks back: all, or those that the last plan did not publish.
  void cancel_all(bool only_unused);
  /// Everything that is staged.
  std::vector<const Staged*> staged() const;
  /// Adds the changes to `plan`, and publishes the data. @error page_absent, and as Shard::update
  Result<void> plan_into(Plan& plan);
  /// The changes as records that stand aside; all that is staged goes with them.
  void pend(PendingRecords& out) const;
  /// What the update changes, and what its conditions look at.
  std::vector<KeyRange> ranges() const;
  /// Where others are ready, they go on first, and memory is asked meanwhile for what the plan
  /// looks at: a random look-up in a large tree mostly waits for that. Then arrive() must follow.
  bool approach();
  void arrive();
  /// As an operation of its own: picks the epoch, and prepares the tree for the batch.
  /// @error no_space  also where it is too large for one log record: `too_large` is set then
  Result<void> plan();
  /// After the commit: small extents are worth merging once there are many.
  void note_small();

 private:
  /// Where the first look-up goes.
  ByteView first_key() const { return checked.iods.front().akey_prefix; }
  void pend_name(PendingRecords& out, const Key& key, ByteView name, size_t which) const;
  void pend_iod(PendingRecords& out, size_t index) const;
  Result<void> stage_iod(const CheckedIod& iod, StagedParts& out);
  Result<void> stage_name(ByteView key, model::KeyKind kind);
  Result<void> plan_conditions(Plan& plan, Floor dkey_floor);
  Result<void> plan_name(Plan& plan, const Key& key, Floor floor, ByteView name, size_t which);
  Result<void> plan_iod(Plan& plan, size_t index, Floor dkey_floor);
  /// @param key, old  of the record that is there
  Result<void> plan_single(Plan& plan, size_t index, const AkeyState& akey, const Key& key,
                           std::optional<ByteView> old);
  Result<void> plan_array(Plan& plan, size_t index, const AkeyState& akey, Floor floor);
  Result<bool> plan_inode(Plan& plan, size_t index, Floor floor);
  void put_array(Plan& plan, size_t index);
};

}  // namespace cairn::vos
