// Our side of the worm.* cases at the vos interface: small files, each an object with one array of
// kWormFileBytes, plain or flattened.
#pragma once

#include <memory>
#include <string>

#include "bench/harness.h"
#include "bench/shard_side.h"
#include "runtime/random.h"

namespace cairn::bench {

inline constexpr uint64_t kWormFileBytes = 4096;
/// Budget of the page cache in which files are read, ours and peers'.
inline constexpr uint64_t kWormMemoryBytes = 64u << 20;

class WormFiles {
 public:
  /// A shard with room for so many files in both forms, none there yet.
  WormFiles(const std::string& directory, uint64_t files);

  ShardSide& side() { return side_; }
  uint64_t files() const { return files_; }
  /// Files [first, first + count) by updates, `depth` of them in flight.
  void write(uint64_t first, uint64_t count, size_t depth);
  void write_all();
  /// In calls of many. Dies if one of them stays as it was.
  void flatten(uint64_t first, uint64_t count);
  void flatten_all();
  /// Makes a checkpoint and opens it within `memory_bytes`: nothing is in memory.
  void go_cold(uint64_t memory_bytes = kWormMemoryBytes);
  /// Random files below `files`, `depth` in flight. Dies if one has other bytes.
  void read_random(uint64_t count, size_t depth, uint64_t files);
  /// What the files take of the data blob, and of the index.
  uint64_t data_bytes() const;
  uint64_t index_bytes() const;

 private:
  Task<Result<void>> read_some(uint64_t& left, uint64_t files, std::byte* into);

  const uint64_t files_;
  ShardSide side_;
  SeededRandom random_{1};
};

/// O_DIRECT reads of a file, of spans that somebody else has read of it. Driven by the calling
/// thread.
class RawSpans {
 public:
  /// @param spans  not empty; each at most kSpanBytesMax
  RawSpans(const std::string& path, std::vector<DeviceSpan> spans);
  ~RawSpans();
  static constexpr uint64_t kSpanBytesMax = 64u << 10;
  void read_random(uint64_t count, size_t depth);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Counts reads of files that are opened by path (worm_open.cc).
void worm_open_case(Run& run);

}  // namespace cairn::bench
