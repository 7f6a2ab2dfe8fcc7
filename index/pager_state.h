// The inside of Pager, shared by pager, checkpoint and store; nobody else includes it.
// Frames: one 16 KiB buffer each, from slabs that are never given back. `table` finds a frame by
// page number; a page number stands there at most once, because an address is handed out again only
// after every frame and every write that used it has ended. Frames in use never exceed
// `frames_limit`: a step reserves what it takes beforehand, a load waits while there is no room for
// it; between steps they are brought back to `frames_target`, so that steps find room.
// Addresses: media::Space over pages. Born pages are reserved there until freeze() publishes them;
// a page of an earlier generation that is dropped is freed with the running generation as its
// "lsn". Home: the shard's reactor.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/flat_map.h"

#include "index/frame_slab.h"
#include "index/pager.h"
#include "index/replacement.h"
#include "media/device.h"
#include "media/space.h"

namespace cairn::index {

/// A frame with what the pager keeps about it.
struct Slot : Frame, CacheEntry {
  bool used = false;     // in the table, or being loaded
  bool dropped = false;  // not of the live tree; lives on until its write ended
  bool writing = false;  // a device write of its page is under way
  bool interim = false;  // with `dropped`: its address is to be given back, too
  bool bitmap = false;   // of blocks (index/data_space.h): no page of the tree
};

/// Why a plain call returned page_absent; what Store::load_absent has to wait for.
enum class Want : uint8_t { nothing, page, frames, addresses, log };

struct Pager::State {
  /// Pages [first_page, page_end) belong to the pager. `frames_limit`: the budget, in frames.
  State(uint64_t first_page, uint64_t page_end, size_t frames_limit);

  // ---- frames ----
  Slot* find(uint64_t page_number);
  /// A slot with a buffer, pinned once, not in the table. Precondition: has_room(1).
  Slot* take_slot();
  /// Puts a slot of take_slot() into the table as page `ref` and takes the pin away.
  /// @param original  the page that it replaces, null: it was loaded or is new
  void install(Slot* slot, PageRef ref, uint32_t birth, const Slot* original = nullptr);
  void free_slot(Slot* slot);
  void mark_dirty(Slot* slot);
  void forget_clean_pages();
  void mark_clean(Slot* slot);
  /// Drops clean unpinned frames until at most `target` are in use or none is left. Returns how
  /// many.
  size_t evict(size_t target);
  /// The dirty pages that should be written next, at most `count`, of generation `birth_min` or
  /// later.
  std::vector<uint64_t> choose_dirty(size_t count, uint32_t birth_min);
  /// A device write of the slot's page begins (the slot is clean from now on) or has ended.
  void write_begins(Slot* slot);
  void write_ended(Slot* slot);
  bool has_room(size_t pages) const { return frames_used + pages <= frames_limit; }
  /// What a step may take beyond `frames_target`; loads leave half of it alone.
  size_t headroom() const { return frames_limit - frames_target; }
  bool has_room_to_load() const { return has_room(headroom() / 2 + 1); }
  /// The tables of what this generation changed have outgrown their part of memory.
  bool is_generation_large() const { return born.size() > 4 * frames_limit; }
  /// So many frames hold changes that what is clean would be pushed out: write some.
  bool is_too_dirty() const {
    return frames_used + frames_target / 16 >= frames_target && dirty_count > frames_target / 4;
  }

  // ---- addresses ----
  /// Sees to `pages` addresses in the pool; false if the blob has not so many above `kept`.
  bool refill(size_t pages, uint64_t kept);
  uint64_t take_address();
  /// One page for a bitmap, owned at once. @error no_space
  Result<uint64_t> take_bitmap_page();
  uint64_t free_pages() const { return space.usage().available() + pool.size(); }
  /// Pages kept back from updates so that removals find some; from those, for what a checkpoint's
  /// hook adds; and from that, for the checkpoint's bitmaps.
  uint64_t kept_for_removals() const;
  uint64_t kept_for_checkpoint() const;

  // ---- generations ----
  /// Everything born so far belongs to the root of this generation: it is owned. The caller takes
  /// what it needs (bitmaps, root), then calls next_generation().
  void publish_born();
  /// Begins the next generation. Returns the numbers of the pages that may be dirty.
  std::vector<uint64_t> next_generation();

  media::Space space;
  uint64_t first_page;
  uint64_t page_end;
  size_t frames_limit;
  size_t frames_target;
  uint32_t generation = 1;
  PageRef root;
  Pager::Validator validator = nullptr;

  /// `data` is the slot's: who looks a page up can ask for its bytes before the slot has come.
  struct Place {
    Slot* slot = nullptr;
    const std::byte* data = nullptr;
  };
  FlatMap<uint64_t, Place> table;
  std::deque<Slot> slots;
  std::vector<Slot*> free_slots;
  std::vector<FrameSlab> slabs;
  std::vector<std::byte*> free_buffers;
  Replacement replacement;
  std::vector<Slot*> passed_over;  // scratch of evict()
  size_t frames_used = 0;
  size_t dirty_count = 0;
  size_t dropped_count = 0;  // frames that only wait for their write
  size_t writes_in_flight = 0;
  uint32_t write_backs = 0;         // running, of pages of this generation
  uint32_t write_backs_frozen = 0;  // running, begun before the newest freeze

  FlatSet<uint64_t> born;      // live pages of this generation
  std::vector<uint64_t> pool;  // reserved addresses, next one at the back
  std::vector<uint64_t>
      dirty_pages;  // became dirty in this generation; may repeat, may be clean again
  uint64_t kept_for_freeze = 0;   // bitmaps of pages, directories of bitmaps of blocks
  uint64_t kept_for_bitmaps = 0;  // with those of blocks, each of which may change once

  // What reserve() may tell the driver of a store to wait for.
  bool driven = false;     // a store stands behind: waiting can help
  bool urgent = false;     // replay: every step may use the last pages
  bool log_tight = false;  // the log has no room for a large record
  bool log_full = false;   // not even in what is kept back for a checkpoint's hook
  Want want = Want::nothing;
  PageRef absent;
  std::vector<PageRef> ahead;  // with Want::page: what a walk will ask for next
  size_t wanted_pages = 0;
  bool wanted_urgent = false;  // by someone who must not wait for a checkpoint
};

/// Fills the checksum of a whole page; `page_number` seeds it.
void seal_page(ByteSpan page);
/// Checks checksum, address and birth of a page read from the medium. @error checksum
Result<void> check_page(ByteView page, PageRef ref);

}  // namespace cairn::index
