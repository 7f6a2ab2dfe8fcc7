// OpenChunk: the free blocks of one chunk of the data space (index/data_space.h), in memory and
// ready to be handed out. Counts within the chunk. Plain calls only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cairn::index {

/// A run of blocks within a chunk.
struct ChunkRun {
  uint32_t begin = 0, count = 0;
};

class OpenChunk {
 public:
  /// @param taken  bit i: block i is not free; bits behind the last block are not looked at
  OpenChunk(uint64_t number, uint32_t blocks, std::vector<uint64_t> taken, uint32_t run_max);

  uint64_t number() const { return number_; }
  uint32_t blocks() const { return blocks_; }
  uint32_t free() const { return free_; }
  /// No free run is longer.
  uint32_t run_max() const { return run_max_ < free_ ? run_max_ : free_; }
  /// No block from here on was ever handed out, as far as is known.
  uint32_t frontier() const { return frontier_; }
  /// Free blocks below it.
  uint32_t holes() const { return free_ - (blocks_ - frontier_); }

  /// First run of `count` free blocks from `from` on, or the longest shorter one.
  ChunkRun find_from(uint32_t from, uint32_t count) const;
  /// The same in all of the chunk. Remembers what it learned: a second search for what is not there
  /// costs nothing until blocks come back.
  ChunkRun find(uint32_t count);
  bool is_free(uint32_t begin, uint32_t end) const;
  /// Precondition: all of it is free.
  void take(uint32_t begin, uint32_t end);
  /// They came back, maybe beside other free ones. Precondition: none of it is free.
  void give(uint32_t begin, uint32_t end);

 private:
  uint64_t number_;
  uint32_t blocks_;
  uint32_t free_;
  uint32_t run_max_;
  uint32_t frontier_;
  std::vector<uint64_t> taken_;
};

}  // namespace cairn::index
