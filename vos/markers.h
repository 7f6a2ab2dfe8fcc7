// Markers: punches too large to remove their records at once. A marker says that everything below
// its level up to its epoch is gone; readers look for markers, a background pass removes the
// records, then the marker (store.md rule 4). 4,096 counters hashed by object tell that there is
// nothing to look up. A level may have several, one for each of its punches, as long as a snapshot
// lies between them: a version ends at the first one above its own epoch. Home: the shard's
// reactor. Plain calls.
#pragma once

#include <vector>

#include "vos/key_format.h"
#include "vos/view.h"

namespace cairn::vos {

/// A punch of up to this many records removes them at once.
inline constexpr size_t kPunchAtOnceMax = 128;

class Markers {
 public:
  Markers() : counters_(4096) {}

  bool any(const Key& object_prefix) const {
    return unknown_ || counters_[slot(object_prefix)] != 0;
  }
  size_t total() const { return total_; }
  void add(ByteView object_prefix);
  void remove(ByteView object_prefix);
  /// Some page that may hold markers cannot be read: from now on every look-up asks the tree, so
  /// that those whose markers stood there get its error, and nobody sees what was punched.
  void forget() { unknown_ = true; }

  /// The newest epoch that the view sees at which exactly this level was punched, 0 if none. Cheap
  /// when any() is false. @error page_absent
  Result<model::Epoch> at(const View& view, const Key& object_prefix, const Key& level_prefix,
                          Level level) const;
  /// The first epoch above `epoch` at which this level was punched, 0 if none. @error page_absent
  Result<model::Epoch> after(const View& view, ByteView level_prefix, Level level,
                             model::Epoch epoch) const;

 private:
  static size_t slot(ByteView object_prefix);
  std::vector<uint32_t> counters_;
  size_t total_ = 0;
  bool unknown_ = false;
};

/// Length of the object part of a live or marker key. @error checksum
Result<size_t> object_prefix_bytes(ByteView key);

}  // namespace cairn::vos
