// Space: who owns which blocks of a blob. Reserved in memory, published with the log record of the
// index change, freed by a record and reusable once that record is durable (store.md rules 10, 14).
// The durable form is a bitmap cut into chunks that a checkpoint writes as pages (index/store.h).
// Home: the shard's reactor. Plain calls only.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cairn::media {

/// A run of blocks. `count` > 0.
struct Extent {
  uint64_t block = 0;
  uint32_t count = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};

struct SpaceUsage {
  uint64_t total = 0;     // blocks
  uint64_t used = 0;      // published
  uint64_t reserved = 0;  // handed out, not yet published
  uint64_t deferred = 0;  // freed, not yet reusable
  uint64_t held = 0;      // free, and kept back for a moment: part of available()
  uint64_t lost = 0;      // maybe free, but a damaged part of the bitmap had them
  uint64_t available() const { return total - used - reserved - deferred - lost; }
};

class Space {
 public:
  /// All blocks of [0, block_count) free except [0, first_block), which never belong to anyone.
  Space(uint64_t block_count, uint64_t first_block);

  /// Hands out `count` adjacent blocks (first fit near the last, so that neighbours in time are
  /// neighbours on media; back from the start once a fair part of what was ever used is free again,
  /// because a file system charges for a file's untouched blocks). @error no_space  no such run
  Result<Extent> reserve(uint32_t count);
  /// Hands out `count` blocks in as few runs as possible. @error no_space  nothing is reserved
  Result<std::vector<Extent>> reserve_scattered(uint64_t count, size_t runs_max);
  /// Gives an unpublished reservation back.
  void cancel(Extent extent);
  /// The reservation belongs to the durable state now.
  void publish(Extent extent);
  /// Replay: marks blocks owned without a reservation.
  /// @error checksum  a block is owned already: the log or the bitmap is damaged
  Result<void> adopt(Extent extent);
  /// The blocks belong to nobody after the log record at `lsn`; reusable after release(lsn).
  /// Precondition: `lsn` is not below that of an earlier free().
  /// @error checksum  a block was not owned (replay of a damaged log); in service this is our bug
  Result<void> free(Extent extent, uint64_t lsn);
  /// Everything freed at or below `lsn` is reusable. Returns the extents (for TRIM).
  std::vector<Extent> release(uint64_t lsn);

  /// No block of it is owned, handed out, deferred or held.
  bool is_free(Extent extent) const;
  /// Keeps free blocks back from reserve(), until let_go(). Precondition: is_free().
  void hold(Extent extent);
  void let_go(Extent extent);

  SpaceUsage usage() const;
  bool is_owned(uint64_t block) const;

  /// The durable form: bit i of chunk c (LSB first) = block c * chunk_bytes * 8 + i is owned;
  /// reserved blocks count as free, deferred ones as free too.
  size_t chunk_count(size_t chunk_bytes) const;
  void save_chunk(size_t chunk, ByteSpan into) const;
  /// Chunks that may have changed since the last take_dirty(), ascending; drives what a checkpoint
  /// writes. Costs what changed, not what there is.
  std::vector<size_t> take_dirty(size_t chunk_bytes);
  /// @error checksum  bits beyond the blob or below first_block are set
  Result<void> load_chunk(size_t chunk, ByteView from);

 private:
  struct Deferred {
    uint64_t lsn;
    Extent extent;
  };
  void set_taken(uint64_t from, uint64_t to, bool value);
  void mark_dirty(uint64_t from, uint64_t to);
  uint64_t find_free(uint64_t from, uint64_t to) const;
  Extent find_run(uint64_t from, uint64_t to, uint64_t count) const;
  Extent find_anywhere(uint64_t count);
  void turn_back();
  void raise_run_max(uint64_t from, uint64_t to);
  void give_back(uint64_t from, uint64_t to);
  uint64_t to_hand_out() const { return usage_.available() - usage_.held; }

  std::vector<uint64_t> owned_;       // published bits
  std::vector<uint64_t> taken_;       // owned, reserved, deferred or held: not to be handed out
  std::vector<uint64_t> full_words_;  // bit w: word w of taken_ has no free block
  uint64_t run_max_;                  // no free run is longer
  std::vector<bool> dirty_units_;     // kDirtyWords words each
  std::vector<uint32_t> dirty_list_;  // those that are set, unsorted
  std::deque<Deferred> deferred_;     // ascending by lsn
  uint64_t block_count_;
  uint64_t first_block_;
  uint64_t cursor_;
  uint64_t frontier_;          // no block from here on was ever handed out
  uint64_t given_back_ = 0;    // blocks, since the cursor went back
  SpaceUsage usage_;
};

}  // namespace cairn::media
