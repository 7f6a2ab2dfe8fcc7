// Data that log records carry (docs/decisions/0010-data-in-the-log.md). It is written plainly, many
// blocks at once, long after its record; a power cut may take it, and replay writes it again.
// Internal to index/. Home: the shard's reactor.
#pragma once

#include "base/flat_map.h"
#include "index/store_core.h"

namespace cairn::index {

/// Takes copies; done when they can be read. True: at once. False: nothing was taken, there is no
/// room now.
bool take_logged_extents(CorePtr core, std::span<const Store::DataWrite> writes);
/// The same, waits for room. @error io
Task<Result<void>> write_logged_extents(CorePtr core, std::vector<Store::DataWrite> writes);
/// Until all that was taken so far is in its blocks. @error io
Task<Result<void>> write_behind_all(CorePtr core);
/// Whole blocks from `block` on, some of which may still wait to be written. @error io
Task<Result<void>> read_beside_waiting(CorePtr core, uint64_t block, ByteSpan into);
/// Somebody is about to write those blocks himself.
Task<void> pass_waiting(CorePtr core, media::Extent extent);

/// Blocks whose data is in the log, as a replay finds them.
class LoggedBlocks {
 public:
  /// The record at `lsn` carries the data of `extent`. In the order of the log.
  void add(media::Extent extent, media::Lsn lsn);
  /// A later record frees it: the blocks may hold another record's data by now.
  void forget(media::Extent extent);
  bool empty() const { return newest_.empty(); }
  /// Is the record at `lsn` the one whose data the block must have?
  bool is_of(uint64_t block, media::Lsn lsn) const;

 private:
  FlatMap<uint64_t, media::Lsn> newest_;  // 24 bytes for each 4 KiB of the log at most
};

/// Reads the log from `start` once more and writes the data of those blocks, plainly.
/// @error io, checksum  of the log or the data blob
Task<Result<void>> write_logged(CorePtr core, media::WalStart start, const LoggedBlocks& blocks);

}  // namespace cairn::index
