// DataSpace: who owns which blocks of the data blob, whatever its size (store.md rules 10, 14, 16).
// Blocks are counted in chunks of 130,560 (510 MiB). The owned ones of a chunk stand in one bitmap
// page of the meta blob, which is in memory like a page of the tree: on demand, within the budget,
// copied on first change of a generation. Always in memory is a summary of each chunk, and what few
// blocks are between two states:
// - `out`: handed out and not published, freed and not reusable yet, or held;
// - `late`: published or freed by a commit that did not find the bitmap page at hand. Index tasks
//   load it and settle what is late, at the latest before the next freeze.
// Blocks are handed out from a few open chunks, whose free blocks are in memory.
// A chunk whose bitmap cannot be read is lost: its counts go on, nothing of it is handed out until
// its bitmap was made anew from what records own (index/rebuild.cc).
// Home: the shard's reactor. Plain calls only; who loads pages is in index/chunks.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "index/open_chunk.h"
#include "index/pager_state.h"
#include "index/range_set.h"
#include "index/rebuilt_chunk.h"
#include "index/superblock_format.h"
#include "media/space.h"

namespace cairn::index {

class DataSpace {
 public:
  /// All of it free. @param open_max  chunks that are open at once; at least 2
  DataSpace(Pager& pager, uint64_t block_count, size_t open_max);

  // ---- blocks; as in media/space.h ----
  /// Hands out `count` blocks in few runs, near those handed out last. A failure may be for want of
  /// a chunk that is not open: is_short().
  /// @error no_space  nothing is reserved
  Result<std::vector<media::Extent>> reserve(uint64_t count, size_t runs_max);
  void cancel(media::Extent extent);
  void publish(media::Extent extent);
  /// @error checksum  a block is owned already, as far as can be told without its bitmap
  Result<void> adopt(media::Extent extent);
  /// @error checksum  a block was not owned, as far as can be told: nothing has changed. Where only
  ///                  the bitmap says so, its chunk is lost instead
  Result<void> free(media::Extent extent, uint64_t lsn);
  std::vector<media::Extent> release(uint64_t lsn);
  /// Does is_free() know? Else its bitmap is to be loaded; of a lost chunk it never does.
  bool knows(media::Extent extent) const;
  bool is_free(media::Extent extent) const;
  void hold(media::Extent extent);
  void let_go(media::Extent extent);
  media::SpaceUsage usage() const { return usage_; }

  // ---- chunks ----
  struct Chunk {
    PageRef bitmap;  // null: there is none, all bits are zero
    uint32_t used = 0;
    uint32_t run_max = kChunkBits;  // no free run is longer
    uint32_t out = 0;
    uint32_t late = 0;
    bool lost = false;
    bool open = false;
    uint8_t tries = 0;  // opened for whoever is short now
    uint8_t walks = 0;  // through the tree, to rebuild it in vain
  };
  uint64_t chunk_count() const { return chunks_.size(); }
  const Chunk& chunk(uint64_t number) const { return chunks_[number]; }
  uint32_t blocks_of(uint64_t number) const;
  /// Its bitmap is in memory, or it has none.
  bool is_at_hand(uint64_t number) const;
  /// Of a page that was read: is it the chunk's, and does it hold what the summary says?
  /// @error checksum
  Result<void> check_bitmap(uint64_t number, ByteView page) const;
  /// The owned blocks. Precondition: at hand, nothing late.
  std::vector<uint64_t> owned(uint64_t number) const;
  /// The bitmap cannot be read, or contradicts itself: reported, and written to the directory.
  void lose(uint64_t number, const char* why);

  // ---- lost chunks ----
  /// There are some that were not given up.
  bool wants_rebuild() const { return rebuildable_ != 0; }
  /// Those, ascending, at most so many.
  std::vector<uint64_t> rebuildable(size_t count_max) const;
  /// From now on note_owner() and commits gather what is owned there. Precondition: lost.
  void begin_rebuild(uint64_t number);
  /// A record owns the blocks now. Anywhere.
  void note_owner(media::Extent extent);
  /// All records were met: the chunk is not lost any more. Precondition: one page reserved; nobody
  /// loads the old one.
  /// @error checksum  they do not own as many blocks as the chunk has in use; nothing has changed
  Result<void> end_rebuild(uint64_t number);
  /// Whatever was gathered is forgotten. A chunk that is still lost had one more walk in vain.
  /// @param given_up  another would be in vain, too
  void leave_rebuild(bool given_up);

  // ---- what is late ----
  size_t late_runs() const { return set_later_.run_count() + clear_later_.run_count(); }
  /// The chunks that have something late, ascending, at most so many.
  std::vector<uint64_t> late_chunks(size_t count_max) const;
  /// Brings the bitmap up to date. Precondition: at hand, one page reserved.
  /// @error checksum  the bitmap says otherwise than the commits; the caller loses the chunk
  Result<void> settle(uint64_t number);

  // ---- open chunks ----
  /// A chunk to be opened soon, so that reserve() goes on there.
  std::optional<uint64_t> wanted() const { return wanted_; }
  /// Precondition: at hand or open, not lost.
  void open(uint64_t number);
  /// The last reserve() failed, and a chunk that is not open may have what it lacked.
  bool is_short() const { return short_count_ != 0; }
  /// Would that reserve() succeed now? Else another chunk may be wanted.
  bool try_again();
  /// Nobody can help whoever is short.
  void give_up();
  /// Chooses where the first block is to come from: once, when all chunks are known.
  void begin();

  // ---- the durable form ----
  /// What a bitmap page of a store without directories says. @error checksum
  Result<void> load_bitmap(uint64_t number, PageRef ref, ByteView bits);
  /// The entries of a directory. @error checksum
  Result<void> load_directory(uint64_t directory, ByteView entries);
  /// Its bitmap cannot be read, and nobody else knows how much is used: all counts as used.
  void lose_unread(uint64_t number, PageRef ref);
  /// A directory that cannot be read: the same for all of its chunks.
  void lose_directory(uint64_t directory);
  /// Directories that changed since the last call, ascending. Precondition: nothing is late.
  std::vector<uint64_t> take_dirty();
  void save_directory(uint64_t directory, ByteSpan entries) const;
  /// Some have changed.
  bool is_dirty() const;
  /// All directories have changed.
  void mark_all();
  void mark_directory(uint64_t directory) { dirty_[directory] = true; }

 private:
  struct Deferred {
    uint64_t lsn;
    media::Extent extent;
  };
  /// The part of an extent that lies in one chunk.
  struct Part {
    uint64_t chunk;
    uint64_t begin, end;  // blocks of the blob
    uint32_t count() const { return static_cast<uint32_t>(end - begin); }
    uint32_t from() const { return static_cast<uint32_t>(begin - chunk * kChunkBits); }
    uint32_t to() const { return static_cast<uint32_t>(end - chunk * kChunkBits); }
  };
  template <class Fn>
  Result<void> each_part(media::Extent extent, Fn part) const;
  bool is_inside(media::Extent extent) const;
  Slot* slot_of(const Chunk& chunk) const;
  std::byte* bits_to_change(uint64_t number);
  Result<void> change(const Part& part, bool owned);
  void change_later(const Part& part, bool owned);
  void mark(uint64_t number) { dirty_[number / kDirectoryChunks] = true; }
  std::vector<uint64_t> taken(uint64_t number) const;
  uint32_t free_of(uint64_t number) const;
  uint32_t run_bound(uint64_t number) const;
  OpenChunk* open_of(uint64_t number);
  const OpenChunk* open_of(uint64_t number) const;
  OpenChunk* least_open();
  void close(uint64_t number);
  void put_out(const Part& part);
  void take_back(const Part& part);
  void give_back(const Part& part);
  uint64_t to_hand_out() const;
  uint64_t held_in(uint64_t number) const;
  uint64_t lost_in(uint64_t number) const;
  void set_lost(uint64_t number);
  void leave_page(uint64_t number);
  RebuiltChunk* rebuilt_of(uint64_t number);
  void forget_late(uint64_t number);

  media::Extent find(uint32_t count);
  std::optional<media::Extent> find_at_cursor(uint32_t count);
  media::Extent find_open(uint32_t count);
  bool is_untouched(uint64_t number) const;
  std::optional<uint64_t> choose(uint32_t count) const;
  void go_to(uint64_t number);
  void hand_out(media::Extent run);
  void look_ahead();
  void turn_back();

  Pager::State& pages() const { return pager_.state(); }

  Pager& pager_;
  const uint64_t block_count_;
  const size_t open_max_;
  std::vector<Chunk> chunks_;
  std::vector<bool> dirty_;  // by directory
  RangeSet out_;
  RangeSet set_later_, clear_later_;
  std::deque<Deferred> deferred_;    // ascending by lsn
  std::vector<media::Extent> held_;  // few
  std::deque<OpenChunk> open_;
  uint64_t rebuildable_ = 0;  // lost chunks that were not given up
  std::vector<RebuiltChunk> rebuilt_;
  uint64_t current_ = 0;       // the chunk in which the cursor is
  uint64_t cursor_ = 0;        // behind the block handed out last
  uint64_t given_back_ = 0;    // blocks, since the cursor went back
  bool looked_ahead_ = false;  // since the cursor came to its chunk
  std::optional<uint64_t> wanted_;
  bool go_there_ = false;  // the cursor goes to the wanted chunk
  uint64_t short_count_ = 0;
  std::vector<uint64_t> tried_;  // the chunks with tries
  size_t short_runs_ = 0;
  uint64_t hopeless_ = UINT64_MAX;  // from so many blocks on, until some come back
  media::SpaceUsage usage_;
};

template <class Fn>
Result<void> DataSpace::each_part(media::Extent extent, Fn part) const {
  const uint64_t end = extent.block + extent.count;
  for (uint64_t begin = extent.block; begin < end;) {
    const uint64_t number = begin / kChunkBits;
    const uint64_t to = std::min(end, (number + 1) * kChunkBits);
    TRY(done, part(Part{number, begin, to}));
    begin = to;
  }
  return {};
}

}  // namespace cairn::index
