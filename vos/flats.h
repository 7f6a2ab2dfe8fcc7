// Flats: what a shard keeps in memory about flattened objects: which containers have any, buffers
// that were read last, and extents that are worth cleaning. Buffers have a budget of their own
// beside the page cache's. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/flat_map.h"
#include "base/small_vector.h"
#include "index/store.h"
#include "vos/data_io.h"
#include "vos/flat_codec.h"
#include "vos/flat_format.h"
#include "vos/value_format.h"

namespace cairn::vos {

/// A buffer in memory, with its values in the form that the tree's records have, so that readers
/// take them from here without a copy.
class FlatObject {
 public:
  /// @error checksum, format_newer
  static Result<std::shared_ptr<const FlatObject>> make(ByteView buffer, model::Epoch epoch);

  /// Its payload is gone; values are below.
  const FlatBuffer& buffer() const { return buffer_; }
  model::Epoch epoch() const { return epoch_; }
  /// Records of the tree: of a long key, of an akey without values, of a value that does not stand
  /// outside.
  ByteView dkey_name(uint32_t dkey) const { return at(dkey); }
  ByteView akey_name(uint32_t akey) const { return at(buffer_.dkey_count() + akey); }
  ByteView present(uint32_t akey) const {
    return at(buffer_.dkey_count() + buffer_.akey_count() + akey);
  }
  ByteView value(uint32_t value) const {
    return at(buffer_.dkey_count() + 2 * buffer_.akey_count() + value);
  }
  size_t memory_bytes() const;

 private:
  FlatObject(const FlatBuffer& buffer, model::Epoch epoch);
  void add_records(const FlatBuffer& buffer);
  ByteView at(size_t i) const {
    return ByteView(bytes_).subspan(ends_[i], ends_[i + 1] - ends_[i]);
  }

  Bytes bytes_;        // header, tables and keys; then the records
  FlatBuffer buffer_;  // of them
  model::Epoch epoch_;
  SmallVector<uint32_t, 8> ends_;  // of each record, one more than there are; the last one: of all
};
using FlatObjectPtr = std::shared_ptr<const FlatObject>;

/// An extent of buffers.
struct PackId {
  ContNumber container = 0;
  uint64_t block = 0;
  friend bool operator==(const PackId&, const PackId&) = default;
};
/// One that may be worth cleaning.
struct DirtyPack {
  PackId id;
  bool fresh = false;  // not looked at yet
};

/// Half of it is dead, or was never used.
inline bool is_sparse(const PackRecord& record) {
  return 2 * record.bytes < uint64_t{record.blocks} * kDataBlockBytes;
}

class Flats {
 public:
  explicit Flats(uint64_t bytes_max = 0) : bytes_max_(bytes_max) {}
  void limit_bytes(uint64_t bytes_max) { bytes_max_ = bytes_max; }

  /// Has the container any? Costs next to nothing where no container has.
  bool any(ContNumber container) const {
    return is_unknown_ || (!packs_.empty() && packs_.find(container) != packs_.end());
  }
  bool any() const { return is_unknown_ || !packs_.empty(); }
  /// Some page that may hold extents' records cannot be read: from now on every look-up asks the
  /// tree, so that nobody takes a flattened object for one that is not there.
  void forget() { is_unknown_ = true; }
  /// An extent came. (That it goes is seen by note().)
  void add_pack(ContNumber container) { ++packs_[container]; }
  /// What a committed batch does to extents.
  void note(const index::Batch& batch);

  /// The object's buffer. @error page_absent  noted: load() brings it   @error checksum
  Result<FlatObjectPtr> find(const ObjectPath& object, const FlatRecord& record);
  /// The last find() missed something.
  bool misses() const { return wanted_.has_value() || wanted_laid_ != nullptr; }
  /// Whoever missed it does not wait for it: others must not, either.
  void forget_miss() {
    wanted_.reset();
    wanted_laid_.reset();
  }
  /// As forget_miss(), but who missed it may come back for it soon.
  /// @param now  the log's end: while it stays, so does what the miss found out
  void postpone_miss(media::Lsn now);
  /// Makes it the last miss again, if it was this object's: load() brings it, and the look-up need
  /// not be made once more before. False: it must be.
  bool resume_miss(const ObjectPath& object, media::Lsn now);
  /// A plan goes on when this is in blocks: load() brings it there.
  void want(std::shared_ptr<LaidValue> value) { wanted_laid_ = std::move(value); }
  /// What a committed batch does to values that load() laid out.
  /// @returns they are all the data that is beside its record, so it is written
  bool note_laid(const index::Batch& batch);
  /// Buffers that one step needs together: they stay while this lives, whatever the budget.
  struct Hold {
    std::vector<FlatObjectPtr> objects;
    uint64_t bytes = 0;
  };
  static constexpr uint64_t kHoldBytesMax = 64u << 20;

  /// Reads what is missing: exactly the blocks that hold it. Or writes what want() asked for.
  /// @param hold  null: the step needs a few at most
  /// @error checksum  the medium gave other bytes than were written   @error io
  /// @error no_memory  one step looks at more than kHoldBytesMax of them
  /// @error no_space  there are no blocks for a large value that is taken out; who waits for those
  /// that were just freed (Store::waits_for_blocks()) holds no read pin
  Task<Result<void>> load(index::Store& store, Hold* hold = nullptr);
  /// Forgets all but the newest few: for tests of cold reads.
  void clear();
  /// What restores stored buffers of this shard.
  FlatCodec& codec() { return codec_; }

  /// Extents that may be worth cleaning are known, and one is new among them.
  bool any_dirty() const { return is_fresh_; }
  /// All of them, the oldest first.
  std::vector<DirtyPack> take_dirty();
  /// One of those comes back.
  void keep_dirty(const DirtyPack& pack);
  /// It cannot be read: never again, as long as the shard is open. False: that was known.
  bool give_up(PackId pack);
  void note_pack(PackId pack, const PackRecord& record);

 private:
  struct Wanted {
    ObjectPath object;
    model::Epoch epoch = 0;
    FlatPlace place;
  };
  struct Slot {
    uint64_t address = 0;
    uint32_t checksum = 0;  // of what is stored there
    FlatObjectPtr object;   // null: free
    bool used = false;      // since the hand passed
  };
  static uint64_t address_of(const FlatPlace& place) {
    return place.block * (kDataBlockBytes / kFlatAlign) + place.offset / kFlatAlign;
  }
  void insert(const Wanted& wanted, FlatObjectPtr object);
  void drop(uint32_t slot);
  Task<Result<void>> lay_out(index::Store& store);

  FlatMap<ContNumber, uint64_t> packs_;  // extents of each container that has any
  bool is_unknown_ = false;
  uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  FlatMap<uint64_t, uint32_t> by_address_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t held_ = 0;
  uint32_t hand_ = 0;
  std::optional<Wanted> wanted_, postponed_;
  media::Lsn postponed_at_ = 0;
  std::shared_ptr<LaidValue> wanted_laid_;
  std::vector<std::weak_ptr<LaidValue>> laid_;  // that no commit has published yet
  FlatCodec codec_;
  std::vector<DirtyPack> dirty_;  // of fixed size: others are found by Shard::clean_flat()
  std::vector<PackId> given_up_;  // of the same size
  bool is_fresh_ = false;
};

/// Reads the buffer at `place` as it is stored, neither restored nor parsed. @error checksum, io
Task<Result<Bytes>> read_flat(index::Store& store, FlatPlace place);

}  // namespace cairn::vos
