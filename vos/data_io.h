// Payload to and from blocks: staging (space, checksums, writes) before a commit, verified reads
// after a plan. Home: the shard's reactor.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/flat_map.h"
#include "index/store.h"
#include "media/device.h"
#include "vos/value_format.h"

namespace cairn::vos {

/// Values below this ride in the log record and the tree (store.md rule 10).
inline constexpr uint64_t kInlineBytesMax = 4096 - 1;
/// Array data is cut into extents of at most this many bytes, at record borders.
inline constexpr uint64_t kExtentBytesMax = 4u << 20;
/// Payload up to this size is copied before it is written, whatever its place.
inline constexpr uint64_t kAlwaysCopiedBytesMax = 32u << 10;
/// Larger payload that is not aligned to blocks is copied as a whole up to this size; above it, it
/// is copied a part at a time while it is written.
inline constexpr uint64_t kCopiedBytesMax = 1u << 20;
/// Data of at least this size is under way before its checksums are made.
inline constexpr uint64_t kEarlyBytesMin = 64u << 10;
/// Data beside its log record; above this the record follows the data unless the log is idle
/// (store.md rule 10).
inline constexpr uint64_t kBesideBytesMax = 256u << 10;
/// How often an operation that found no free blocks waits for those that were just freed.
inline constexpr int kStageTriesMax = 4;
/// Reads of one fetch that are under way at once.
inline constexpr size_t kReadsMax = 32;

/// Walks a caller's scattered buffer, which it borrows.
class IoVecCursor {
 public:
  explicit IoVecCursor(std::span<const IoVec> pieces) : pieces_(pieces) {}
  /// The next run of adjacent bytes, at most `max`; empty at the end.
  ByteSpan take(uint64_t max);
  void skip(uint64_t bytes);
  void copy_out(ByteSpan into);
  void copy_in(ByteView from);

 private:
  std::span<const IoVec> pieces_;
  size_t index_ = 0;
  size_t offset_ = 0;
};

uint64_t total_bytes(std::span<const IoVec> pieces);

/// Payload with its blocks reserved; not yet owned by anything.
struct Staged {
  uint64_t bytes = 0;
  BlockData data;                               // `crcs` by make_checksums()
  SmallVector<index::BatchData, 1> published;   // one a run, by make_checksums()
  SmallVector<index::Store::DataWrite, 1> writes;  // one a run
  media::AlignedBuffer copy;                    // what `writes` point to, if it was copied
};
/// Takes `bytes` from `from`; copies what is small or not aligned, so that nobody changes it under
/// a write. @error no_space  nothing is reserved
Result<Staged> stage(index::Store& store, IoVecCursor& from, uint64_t bytes);
/// What is known of a caller's buffer already: model::Iod::block_crcs.
struct KnownCrcs {
  const std::byte* data = nullptr;
  std::span<const uint32_t> of_blocks;
};
/// Makes the checksums, as far as they are not known; the writes may be under way.
void make_checksums(Staged& staged, KnownCrcs known = {});

/// Bytes [begin, begin + into bytes) of the payload in `data`, to be read into a caller's buffer.
struct DataRead {
  BlockData data;
  uint64_t begin = 0;
  std::vector<IoVec> into;
};
/// Reads and verifies. @error checksum  the medium gave other bytes than were written; @error io
Task<Result<void>> read_data(Reactor& reactor, index::Store& store, DataRead read);
/// Many reads at once; small ones whose blocks stand side by side share a request. Errors as above.
Task<Result<void>> read_neighbours(Reactor& reactor, index::Store& store,
                                   std::vector<DataRead> reads);

/// A large value that stands in a buffer of a flattened object, laid out in blocks of its own on
/// behalf of a plan that takes it out. They are reserved and written before the plan goes on, and
/// go back unless a commit published them.
struct LaidValue {
  Key key;
  uint32_t version = 0;  // of the buffer
  Bytes payload;
  std::optional<Staged> staged;   // once it is written
  index::Store* store = nullptr;  // whose blocks they are
  bool published = false;

  LaidValue() = default;
  LaidValue(const LaidValue&) = delete;
  LaidValue& operator=(const LaidValue&) = delete;
  ~LaidValue() {
    if (staged && !published) store->cancel_data(staged->data.runs);
  }
};

/// Single blocks read (and verified) on behalf of a plan that must rewrite a part of them.
struct BlockCache {
  struct Wanted {
    uint64_t block;
    uint32_t crc;
  };
  FlatMap<uint64_t, Bytes> blocks;
  std::vector<Wanted> wanted;
  /// Null: noted as wanted; the plan gives up with page_absent and starts again after fill_cache().
  const Bytes* find(uint64_t block, uint32_t crc);

  /// Values that the plan takes out of buffers.
  std::vector<std::shared_ptr<LaidValue>> laid;
  /// Null: not asked for yet, or the object has another buffer since.
  std::shared_ptr<LaidValue> find_laid(const Key& key, uint32_t version) const;
  /// Does the plan take such values out, or try to?
  bool lays() const {
    return std::any_of(laid.begin(), laid.end(), [](const auto& v) { return !v->published; });
  }
};
Task<Result<void>> fill_cache(index::Store& store, BlockCache& cache);

}  // namespace cairn::vos
