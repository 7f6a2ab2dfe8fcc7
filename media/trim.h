// TrimList: which parts of a blob hold nothing but bytes that nobody needs any more, so that a
// device that wants to know can be told, in large runs. It counts in units of many blocks: one
// is worth a look after blocks of it were freed, and is told when all of it is free. Smaller holes
// are not told: they are soon written again. Home: the shard's reactor. Plain calls only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "media/space.h"

namespace cairn::media {

class TrimList {
 public:
  TrimList(uint64_t block_count, uint32_t unit_blocks);

  /// These blocks are free now and hold old bytes.
  void note(const Extent& released);
  uint32_t unit_blocks() const { return unit_blocks_; }
  bool empty() const { return noted_ == 0; }
  /// What becomes of a noted unit: it is told, or forgotten, or stays noted.
  enum class Look : uint8_t { free, taken, unknown };
  using LookAt = std::function<Look(Extent)>;
  /// The next run of whole units that were noted and are free; they are not noted any more. Looks
  /// at so many units at most: nothing is said about the others yet. Ends before one that is
  /// unknown.
  std::optional<Extent> take(const LookAt& look, uint64_t units_max, uint64_t looks_max);
  /// The unit before which take() ended, or where it will begin to look.
  std::optional<Extent> next() const;

 private:
  const uint32_t unit_blocks_;
  const uint64_t units_;  // whole ones
  std::vector<bool> is_noted_;
  uint64_t noted_ = 0;
  uint64_t at_ = 0;  // where the last look ended
};

}  // namespace cairn::media
