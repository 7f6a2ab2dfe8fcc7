// The records of extents that hold flattened objects' buffers, or packed values: how much of each
// is alive. Changed with what makes and ends those, in the same batch. Internal to vos/. Home: the
// shard's reactor. Plain calls, but for the walk.
#pragma once

#include <map>

#include "vos/plan.h"

namespace cairn::vos {

/// A buffer that the plan ends: its extent goes with the last one. @error page_absent, checksum
Result<void> release_flat(Plan& plan, ContNumber container, ByteView flat_record);

/// Where a packed value stands.
struct PackedPlace {
  uint64_t block = 0;   // the first one of its extent
  uint64_t offset = 0;  // in the extent, of its header
  uint64_t room = 0;    // that it takes
};
/// @param key  of its record: live, or in a slot of history   @error checksum
Result<PackedPlace> packed_place(ByteView key, const ValueView& value);
/// The record's value. @param extent  all of it, with checksums   @param at  of the payload there
void put_packed_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes,
                     const BlockData& extent, uint64_t at);
/// As release_flat(), of a packed value.
Result<void> release_value(Plan& plan, ContNumber container, ByteView key, const ValueView& value);

/// Blocks for an extent of buffers, in one run, with its checksums; `bytes` are whole blocks and
/// stay until they are written. @error no_space  nothing is reserved
Result<Staged> stage_flat(index::Store& store, Bytes& bytes);

/// The same for batches that end many.
class PackLedger {
 public:
  explicit PackLedger(index::Tree& tree) : tree_(tree) {}
  /// @error page_absent, checksum
  Result<void> release(ContNumber container, ByteView flat_record);
  Result<void> release_value(ContNumber container, ByteView key, const ValueView& value);
  /// What has become of the extents. @param epoch  the stamp of their records
  void emit(index::Batch& batch, model::Epoch epoch) const;
  /// The most that it adds to the record of a batch.
  uint64_t bytes() const { return 48 * packs_.size(); }

 private:
  Result<void> release(ContNumber container, uint64_t block, uint64_t room);

  index::Tree& tree_;
  std::map<std::pair<ContNumber, uint64_t>, PackRecord> packs_;
};

/// The records of a container's extents, in the order of their blocks; others may come and go
/// meanwhile.
class PackWalk {
 public:
  struct Pack {
    uint64_t block = 0;
    PackRecord record;
  };
  PackWalk(Shard::State& state, ContNumber container)
      : state_(state), prefix_(range_prefix(container, Range::pack)), next_(prefix_) {}
  /// The next ones; none: that was all. @error checksum, io
  Task<Result<std::vector<Pack>>> next();

 private:
  Result<void> step(std::vector<Pack>& out);

  Shard::State& state_;
  Key prefix_, next_;
};

}  // namespace cairn::vos
