// Plan: what one update or punch is going to change, worked out by plain calls before anything is
// changed. Gives up with page_absent when it needs a page or a block that is not in memory; the
// driver loads it and starts again with a new plan. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <map>
#include <vector>

#include "vos/data_io.h"
#include "vos/key_format.h"
#include "vos/shard_state.h"
#include "vos/value_format.h"
#include "vos/view.h"

namespace cairn::vos {

/// Newest epoch up to which a level's records are punched by markers of it or of a level above.
using Floor = model::Epoch;

/// What an akey holds that is visible.
struct AkeyState {
  bool exists = false;
  bool has_name = false;
  bool has_present = false;
  model::ValueType type = model::ValueType::none;
  uint64_t record_bytes = 0;  // array: 0 if not known
};

/// A run of records.
struct Span {
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// A visible or dead extent of an akey.
struct FoundExtent {
  uint64_t begin = 0;
  uint64_t end = 0;
  ValueView value;  // borrowed from the page
};
/// Reads the extent that a cursor stands on. @error checksum
Result<FoundExtent> parse_extent(uint64_t end, ByteView value);

/// Read-only look-ups that plans, fetches and listings share.
class Look {
 public:
  Look(Shard::State& state, const KeyPath& path) : Look(state, path, View(state.tree())) {}
  Look(Shard::State& state, const KeyPath& path, const View& view)
      : state_(state),
        path_(path),
        view_(view),
        marked_(!view.is_committed() || state.markers.any(path.object())) {}

  Shard::State& state() const { return state_; }
  const KeyPath& path() const { return path_; }
  const View& view() const { return view_; }

  Result<Floor> object_floor();
  Result<Floor> dkey_floor(const Key& dkey_prefix);
  Result<Floor> akey_floor(const Key& akey_prefix, Floor dkey_floor);
  /// When a version ended: at the first punch of its levels above its own epoch, else `otherwise`.
  Result<model::Epoch> ended_at(ByteView live_key, model::Epoch epoch, model::Epoch otherwise);
  Result<AkeyState> akey(const Key& akey_prefix, Floor floor);
  /// Is there a visible record of any akey below the dkey? Akeys that start with one of `except` do
  /// not count. @param newest  gets the stamp of the record that proves it
  Result<bool> dkey_exists(const Key& dkey_prefix, Floor floor, std::span<const Key> except,
                           model::Epoch* newest);
  /// The block checksums of a data value, from the value or from their own records.
  /// @param end  of the extent; 0 for single values and names
  Result<BlockData> block_data(const Key& record_prefix, uint64_t end, const ValueView& value);

 private:
  Shard::State& state_;
  const KeyPath& path_;
  View view_;
  bool marked_;
};

/// What happens to the key of a version that ends.
enum class Ending : uint8_t {
  removed,   // it goes
  replaced,  // the same plan puts it again
};

class Plan {
 public:
  Plan(Shard::State& state, const KeyPath& path, model::Epoch epoch, BlockCache& cache)
      : Plan(state, path, epoch, cache, View(state.tree())) {}
  Plan(Shard::State& state, const KeyPath& path, model::Epoch epoch, BlockCache& cache,
       const View& view)
      : look_(state, path, view),
        epoch_(epoch),
        cache_(cache),
        batch_(std::exchange(state.spare_batch, {})),
        scratch_(state.scratch),
        container_(load_be32(path.object().view().data())),
        keeps_history_(state.snapshots.any(container_)) {}

  Look& look() { return look_; }
  index::Batch& batch() { return batch_; }
  model::Epoch epoch() const { return epoch_; }
  /// The most that the batch's record takes in the log.
  uint64_t bytes() const { return bytes_; }

  void put(ByteView key, ByteView value);
  void erase(ByteView key);
  void move(ByteView from, ByteView to);
  void free(const media::Extent& run);
  void publish(const index::BatchData& data);
  /// Extents of flattened objects and packed values that it has changed, by their first block.
  std::map<uint64_t, PackRecord>& packs() { return packs_; }
  /// For a value until it is put.
  Bytes& scratch() { return scratch_; }

  /// Does the container have snapshots at all?
  bool keeps_history() const { return keeps_history_; }
  /// The slot that keeps a version of [begin, end); 0: nobody needs it.
  model::Epoch slot_of(model::Epoch begin, model::Epoch end) const;
  /// Notes that something of a level ended at this plan's epoch.
  void note_ended(ByteView level_prefix);
  /// Ends one record of the live range: it moves to the slot of the newest snapshot that needs it,
  /// or goes, and its blocks with it. Not its checksum records: they are records, too.
  /// @param ended  at the latest; an older punch of its levels is found
  Result<void> end_record(ByteView key, Kind kind, ByteView raw, model::Epoch ended,
                          Ending ending);
  /// The same of a value at this plan's epoch, with its checksum records.
  /// @param end  of the extent; 0 for single values and names
  Result<void> end_value(const Key& record_prefix, uint64_t end, ByteView key, Kind kind,
                         ByteView raw, Ending ending);
  /// Puts a record that has no blocks; an older version of it ends. @error page_absent
  Result<void> put_mark(const Key& key, Kind kind, ByteView value);
  /// Removes whatever of `spans` (ascending, apart) the akey's extents hold; what is left of an
  /// extent keeps its epoch. Extents at or below `floor` go whole.
  Result<void> clear_spans(const Key& akey_prefix, Floor floor, std::span<const Span> spans);
  /// Puts a data value's record and its checksum records.
  void put_extent(const Key& akey_prefix, uint64_t begin, ExtentShape shape, model::Epoch epoch,
                  const BlockData& data);
  void put_checksum_records(const Key& record_prefix, uint64_t end, model::Epoch epoch,
                            const BlockData& data);

 private:
  /// A part of an extent that is kept: in the live range, or in a slot.
  struct Part {
    Span span;
    model::Epoch slot = 0;
  };
  Result<void> trim_extent(const Key& akey_prefix, const FoundExtent& extent, ByteView raw,
                           std::span<const Span> left);
  void trim_inlined(const Key& akey_prefix, const FoundExtent& extent,
                    std::span<const Part> parts);
  Result<void> trim_data(const Key& akey_prefix, const FoundExtent& extent,
                         std::span<const Part> parts);
  Result<void> copy_shared(const Key& akey_prefix, const FoundExtent& extent, const BlockData& data,
                           Part part);
  Result<void> end_checksums(const Key& record_prefix, uint64_t end, const ValueView& value,
                             Ending ending);
  void free_blocks(const BlockData& data, uint64_t first, uint64_t last);

  Look look_;
  model::Epoch epoch_;
  BlockCache& cache_;
  index::Batch batch_;
  Bytes& scratch_;
  ContNumber container_;
  bool keeps_history_;
  uint64_t bytes_ = 64;  // the record's head
  std::map<uint64_t, PackRecord> packs_;
};

/// The parts of [begin, end) that no span covers.
std::vector<Span> uncovered(Span whole, std::span<const Span> spans);
/// Blocks [first, last] of `data`, starting `skip` bytes into the first.
BlockData slice_blocks(const BlockData& data, uint64_t first, uint64_t last, uint32_t skip);

bool starts_with(ByteView key, ByteView prefix);

}  // namespace cairn::vos
