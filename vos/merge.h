// Small extents that stand side by side become larger ones, so that a file written in small pieces
// does not stay that way: fewer records, fewer reads. Pieces merge when the same snapshots see
// them. What is merged follows from what was written; it is done while the shard has nothing else
// to do, or no room. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <deque>
#include <vector>

#include "vos/key_format.h"

namespace cairn::vos {

/// Extents of this size and above stay as they are.
inline constexpr uint64_t kMergedPieceBytesMax = 1u << 20;
inline constexpr uint64_t kMergedExtentBytesMax = 8u << 20;

/// Akeys that gathered small extents. Of fixed size: what it has no room for is counted again with
/// the next write, or found by Shard::aggregate_container().
class MergeQueue {
 public:
  MergeQueue() : counters_(4096) {}
  /// An update put `extents` small extents there.
  void note(const Key& akey_prefix, size_t extents);
  bool empty() const { return akeys_.empty(); }
  Key take();

 private:
  /// So many small extents make an akey worth a look.
  static constexpr uint32_t kWorthALook = 32;
  static constexpr size_t kAkeysMax = 256;
  std::vector<uint32_t> counters_;
  std::deque<Bytes> akeys_;
};

}  // namespace cairn::vos
