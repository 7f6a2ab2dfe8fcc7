// Small extents that stand side by side become larger ones, so that a file written in small pieces
// does not stay that way: fewer records, fewer reads. Pieces merge when the same snapshots see
// them. What is merged follows from what was written; it is done while the shard has nothing else
// to do, or no room. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <deque>
#include <vector>

#include "base/result.h"
#include "vos/key_format.h"

namespace cairn::vos {

/// Extents of this size and above stay as they are.
inline constexpr uint64_t kMergedPieceBytesMax = 1u << 20;
inline constexpr uint64_t kMergedExtentBytesMax = 8u << 20;
/// Containers that wait for a pass or are in one.
inline constexpr size_t kPassesMax = 1024;

/// A container whose akeys are all looked at, because somebody asked for it.
struct MergePass {
  ContNumber container = 0;
  model::Epoch until = 0;  // newer extents stay as they are
  Key next;                // the first akey that was not looked at; empty: from the start on
  model::Epoch again =
      0;                 // asked for anew since it began: another one follows, up to there; 0: not
  bool at_once = false;  // somebody waits: what others hold is passed by, an error ends it

  /// The rest of it serves who asks now, too.
  void ask_again(model::Epoch epoch);
};

/// Akeys that gathered small extents. Of fixed size: what it has no room for is counted again with
/// the next write, or found by Shard::aggregate_container().
class MergeQueue {
 public:
  MergeQueue() : counters_(4096) {}
  /// An update put `extents` small extents there.
  void note(const Key& akey_prefix, size_t extents);
  bool empty() const { return akeys_.empty() && passes_.empty(); }
  bool has_akey() const { return !akeys_.empty(); }
  bool has_pass() const { return !passes_.empty(); }
  Key take();
  /// It could not be done yet; others come first.
  void put_back(const Key& akey_prefix);

  /// A pass over the container. One that has begun comes to its end first, however often somebody
  /// asks; then another one follows.
  /// @error overload  kPassesMax others wait
  Result<void> ask_for_pass(ContNumber container, model::Epoch until);
  MergePass take_pass();
  /// It is not over; others come first.
  void go_on(MergePass pass);
  /// It is over.
  void end(const MergePass& pass);

 private:
  /// So many small extents make an akey worth a look.
  static constexpr uint32_t kWorthALook = 32;
  static constexpr size_t kAkeysMax = 256;
  std::vector<uint32_t> counters_;
  std::deque<Bytes> akeys_;
  std::deque<MergePass> passes_;
};

}  // namespace cairn::vos
