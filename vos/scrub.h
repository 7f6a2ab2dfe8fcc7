// Scrub: proves what stands on the medium, in slices between which (and in which) the shard goes on
// serving: checksums of pages and of data blocks, the meaning of every record, the superblock and
// the bitmaps. It reads past the page cache. What it finds is told by what it held: Loss.
// A record that looks wrong is looked up once more in the newest state before it is reported, since
// the walk sees the newest checkpoint, whose blocks may have been freed and used again.
// Home: the shard's reactor. The shard outlives it.
#pragma once

#include <string>
#include <vector>

#include "index/store.h"
#include "index/sweep.h"
#include "vos/loss.h"
#include "vos/shard.h"

namespace cairn::vos {

struct ScrubOptions {
  bool read_data = true;  // else only metadata
};

struct ScrubReport {
  uint64_t pages = 0, records = 0;
  uint64_t blocks = 0;       // of data, read and compared
  uint64_t bytes = 0;        // of both
  uint64_t pages_total = 0;  // of the shard when the scrub began; for progress
  std::vector<Loss> losses;  // the first kLossesMax
  uint64_t loss_count = 0;
  std::vector<std::string> problems;  // superblock and bitmaps: they hold no records
  bool clean() const { return loss_count == 0 && problems.empty(); }
};

class Scrub {
 public:
  Scrub(Shard& shard, ScrubOptions options);
  Scrub(const Scrub&) = delete;
  ~Scrub();

  /// Goes on until about `bytes` were read (a page, or the data of a record, at least).
  /// @returns false at the end   @error shutdown  the shard closes
  Task<Result<bool>> slice(uint64_t bytes);
  const ScrubReport& report() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::vos
