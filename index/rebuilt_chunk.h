// RebuiltChunk: the owned blocks of one chunk of the data space, gathered from the records that own
// them while commits go on (index/rebuild.cc). A commit knows better than a record that was met
// before or after it: for what was published or freed meanwhile only the last commit counts. Any
// other block had one state all the time, so whatever record was met with it is right about it.
// Counts within the chunk. Plain calls only.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace cairn::index {

class RebuiltChunk {
 public:
  explicit RebuiltChunk(uint64_t number);

  uint64_t number() const { return number_; }
  /// A record in the tree owns them.
  void note(uint32_t begin, uint32_t end);
  /// A commit published or freed them.
  void change(uint32_t begin, uint32_t end, bool owned);
  uint64_t count_owned(uint32_t begin, uint32_t end) const;
  /// @param bits  of a bitmap page
  void save(std::byte* bits) const;

 private:
  uint64_t number_;
  std::vector<uint64_t> owned_;
  std::vector<uint64_t> changed_;
};

}  // namespace cairn::index
