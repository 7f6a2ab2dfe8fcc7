// EpochTable: for each range of keys the newest epoch at which something happened to it, in a fixed
// number of slots. Forgets nothing: slots only rise, and ranges that share one share the newer
// epoch, so an answer may be too new, never too old. Two are kept of a shard: when versions ended
// without leaving a trace in the tree, and when transactions read. Home: the shard's reactor.
#pragma once

#include <vector>

#include "vos/key_format.h"

namespace cairn::vos {

/// An object, dkey or akey with everything below it: prefixes in the live range, down to `level`.
struct KeyRange {
  Level level = Level::object;
  Key object;
  Key dkey;
  Key akey;
  const Key& prefix() const {
    return level == Level::object ? object : level == Level::dkey ? dkey : akey;
  }
};

class EpochTable {
 public:
  static constexpr size_t kSlots = 16'384;

  EpochTable() : slots_(kSlots) {}
  /// It happened to all of `range`.
  void raise(const KeyRange& range, model::Epoch epoch);
  /// It may have happened to anything: what is not known after a restart.
  void raise_all(model::Epoch epoch) { base_ = std::max(base_, epoch); }
  /// The newest epoch at which it happened to any part of `range`.
  model::Epoch newest(const KeyRange& range) const;

 private:
  struct Slot {
    model::Epoch whole = 0;   // to all of a range of this slot
    model::Epoch inside = 0;  // to a part of it
  };
  Slot& slot(const Key& prefix);
  const Slot& slot(const Key& prefix) const;

  std::vector<Slot> slots_;
  model::Epoch base_ = 0;
};

}  // namespace cairn::vos
