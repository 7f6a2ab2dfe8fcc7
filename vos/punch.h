// Punch: one punch on its way, alone or as a part of a transaction. Internal to vos/. Home: the
// shard's reactor.
#pragma once

#include <vector>

#include "vos/overlay.h"
#include "vos/pending.h"
#include "vos/plan.h"

namespace cairn::vos {

struct Punch {
  Punch(Shard::State& s, const PunchRequest& r) : state(s), request(r), path(r.object) {}

  Shard::State& state;
  const PunchRequest& request;
  KeyPath path;
  Key dkey_prefix;
  std::vector<Key> akeys;
  BlockCache cache;
  index::Batch batch;
  model::Epoch epoch = 0;
  size_t markers_added = 0;
  /// In a transaction: what it has planned before. A marker then says the epoch before the
  /// transaction's, which no other change has, so that what the transaction writes later is not
  /// covered; what it wrote before is removed from the overlay.
  const Overlay* overlay = nullptr;
  /// Records that are removed at once; fewer where memory or pages are short.
  size_t at_once = kPunchAtOnceMax;

  /// @error invalid, key_too_big  the request is wrong   @error nonexistent  no akey can exist
  Result<void> check();
  /// Adds the changes to `plan`. @error page_absent, nonexistent
  Result<void> plan_into(Plan& plan);
  /// As an operation of its own: picks the epoch, and prepares the tree for the batch.
  Result<void> plan();
  /// The changes as records that stand aside.
  void pend(PendingRecords& out) const;
  /// What the punch empties.
  std::vector<KeyRange> ranges() const;

 private:
  Result<void> plan_akeys(Plan& plan);
  Result<void> plan_dkey(Plan& plan);
  Result<void> remove_level(Plan& plan, const Key& prefix, Level level);
  Result<void> put_marker(Plan& plan, const Key& prefix, Level level);
  Result<void> remove_own(Plan& plan, const Key& prefix);
};

/// Removes the name of a dkey of which no visible akey but `except` is left. @error page_absent
Result<void> drop_lonely_name(Plan& plan, const Key& dkey_prefix, Floor dkey_floor,
                              std::span<const Key> except);

}  // namespace cairn::vos
