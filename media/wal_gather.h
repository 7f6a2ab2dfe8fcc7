// Gather: how long a group commit waits for those who were answered last. Where durable writes run
// one after the other, callers that come back at once do best if all of them share the next one:
// else half of them always wait for the other half's. That pays only if they are back before such a
// write would have ended, so it is tried, and left alone for a while where they are not.
// Pure: no clock, no I/O. Internal to media/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/clock.h"

namespace cairn::media {

class Gather {
 public:
  /// A durable write has taken so long.
  void wrote(Duration took) {
    write_ns_ = write_ns_ == 0 ? took : write_ns_ - write_ns_ / kWeight + took / kWeight;
  }

  /// `answered` callers go on now; the log has seen `appends` records so far. One that waits for
  /// others already waits for these instead.
  void begin(size_t answered, uint64_t appends) {
    ++number_;
    holding_ = false;
    if (passes_ != 0) {
      --passes_;
      return;
    }
    if (answered < 2 || write_ns_ == 0) return;
    holding_ = true;
    wanted_ = appends + answered - answered / kLateShare;
  }
  /// The open batch is to wait for more.
  bool holds(uint64_t appends) const { return holding_ && appends < wanted_; }
  /// ... at most so long.
  Duration patience() const { return std::min(write_ns_ / 4 * 3, kPatienceMax); }
  uint64_t number() const { return number_; }
  /// Patience number `number` is over.
  void give_up(uint64_t number, uint64_t appends) {
    if (number != number_ || !holds(appends)) return;
    holding_ = false;
    passes_ = kPasses;
  }

 private:
  static constexpr Duration kWeight = 8;
  static constexpr Duration kPatienceMax = 3 * kMillisecond;
  static constexpr size_t kLateShare = 16;  // one of so many need not be waited for
  static constexpr uint32_t kPasses = 32;   // groups that do not wait after one that did in vain

  Duration write_ns_ = 0;  // of a durable write, averaged
  bool holding_ = false;
  uint64_t wanted_ = 0;  // records
  uint64_t number_ = 0;
  uint32_t passes_ = 0;
};

}  // namespace cairn::media
