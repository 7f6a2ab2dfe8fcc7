// The inside of Store, shared by store, replay, checkpoint and check; nobody else includes it.
// Home: the shard's reactor. Every task below holds the core by shared_ptr, so that a store may end
// (a simulated power cut) while tasks are suspended.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/flat_map.h"

#include "index/data_space.h"
#include "index/pager_state.h"
#include "index/store.h"
#include "index/superblock_format.h"
#include "index/write_behind.h"
#include "media/trim.h"
#include "media/wal.h"
#include "runtime/reactor.h"

namespace cairn::index {

struct StoreCore;
using CorePtr = std::shared_ptr<StoreCore>;

struct StoreCore : std::enable_shared_from_this<StoreCore> {
  StoreCore(Reactor& reactor_in, StoreDevices devices_in, StoreOptions options_in);

  Reactor& reactor;
  StoreDevices devices;
  StoreOptions options;
  const bool one_cache;  // log and data lie behind it
  uint64_t meta_pages;
  Pager pager;
  Tree tree;
  DataSpace data;
  media::TrimList trim;             // of `data`
  std::unique_ptr<media::Wal> wal;  // from the end of replay on
  Superblock super;  // the newest durable one; its bitmap pages are those of its root
  media::WalStamp stamp;
  std::function<Task<Result<void>>()> before_checkpoint;

  WaitList progress;  // something changed that a waiting task may look at
  bool stopped = false;
  bool closing = false;
  bool checkpoint_running = false;
  bool hook_running = false;
  bool is_frozen = false;         // a checkpoint runs and has its state
  bool cleaning = false;          // changed pages are being written, so that frames become free
  bool opening = false;           // a chunk of the data space, for nobody yet
  bool trim_loads = false;        // bitmaps
  bool settling = false;          // late changes of the data space, for nobody yet
  bool holds_updates = false;     // until all of those are settled
  bool rebuilding = false;        // lost chunks
  bool short_of_lost = false;     // somebody is, and asks again at once
  uint64_t rebuilt = 0;           // chunks
  const size_t late_max;          // so many runs of blocks may be late
  size_t loads_ahead = 0;         // under way for nobody yet
  size_t pinned_pages = 0;        // by attempts
  void* first_attempt = nullptr;  // may pin beyond what all others together may
  uint64_t checkpoints_begun = 0;
  uint64_t checkpoints_ended = 0;
  FlatSet<uint64_t> loading;  // page numbers

  // Paces checkpoints: what replay would have to do (store.md rule 18).
  // Blocks hold data that only the log makes durable; since the newest freeze, or replay.
  bool data_logged = false;
  WriteBehind behind;           // such data on its way to them
  uint64_t records_since = 0;   // records after the newest freeze
  uint64_t records_before = 0;  // between the durable root and the freeze of a running checkpoint
  uint64_t pages_before = 0;    // pages changed in the same span
  uint64_t checkpoint_log_bytes = 0;  // that came to the log while one ran, lately
  media::Lsn checkpoint_begin = 0;    // where the log was when the newest one began
  uint32_t checkpoint_waiters = 0;    // it must not take its time
  double load_ns = 100'000;     // a page load, averaged
  uint64_t page_loads = 0, data_reads = 0;

  Bytes record;  // scratch of commit()
  struct Pin {
    media::Lsn at;
    uint64_t count;
  };
  std::deque<Pin> pins;          // ascending positions
  media::Lsn freed_at = 0;       // of the newest record that freed blocks
  bool trim_waits = false;       // a task looks at `trim` now and then
  uint64_t trimmed_blocks = 0;
  media::Lsn data_short_at = 0;  // blocks freed up to here are waited for; 0: none
  media::WalStamp recovered_stamp;
  uint64_t replayed_records = 0, replayed_bytes = 0, replay_ns = 0;

  Pager::State& pages() { return pager.state(); }
  const Pager::State& pages() const { return pager.state(); }
  bool is_stopped() const { return stopped || (wal && wal->stopped()); }
  /// The medium failed: nothing more is acknowledged.
  void stop();
  /// The largest record that reserve() leaves room for.
  uint64_t record_bytes_max() const { return devices.wal->size_bytes() / 8; }
  /// What the record of `batch` has beside the log, or in it. Of what was or will be written
  /// plainly, it knows.
  media::Wal::Data data_beside(const Batch& batch) const;
  bool fits_the_log(const Batch& batch) const;
  /// Data written there plainly becomes durable with a flush of the log.
  bool flush_covers(media::Extent extent) const {
    return one_cache && devices.data->flush_covers(extent.block * media::kBlockBytes,
                                                   uint64_t{extent.count} * media::kBlockBytes);
  }
  void look_at_log();
  /// A record gave them back. What nobody owned is reported, and stays what it is.
  void free_data(media::Extent extent, media::Lsn lsn);
  /// Makes freed extents reusable that no replay and no reader needs any more.
  void release_data();
  /// Those are reusable from now on.
  void note_trim(const std::vector<media::Extent>& released);
  double predicted_replay_ns() const;
  bool checkpoint_due() const;
  /// The log may grow so far before a checkpoint begins.
  uint64_t log_limit() const;
  void start_checkpoint();
  /// Writes changed pages in the background while they take too much of memory.
  void keep_clean();
  /// Opens the chunk that reserve() will want, in the background.
  void open_ahead();
  /// Settles late changes of the data space in the background, where there are many.
  void settle_ahead();
  /// Makes lost bitmaps anew in the background.
  void rebuild_ahead();
  /// Begins to load those pages, for someone who will ask for them soon; fewer where memory is
  /// tight.
  void load_ahead(const std::vector<PageRef>& refs);
};

/// Pages on their way to memory that nobody waits for yet.
inline constexpr size_t kLoadsAheadMax = 32;

// frames.cc: pages between memory and medium
/// Loads one page into a frame; fine if it is there already. @error io, checksum, no_memory
/// @param chunk  it is the bitmap of this chunk of the data space; none: a page of the tree
Task<Result<void>> load_page(CorePtr core, PageRef ref, std::optional<uint64_t> chunk = {});
/// Waits until the pager could have what its last plain call lacked. @error as Store::load_absent
Task<Result<void>> wait_for_want(CorePtr core, Want want, PageRef ref, size_t pages);
/// Writes those of `pages` that are in memory, dirty and of `generation_max` or older.
Task<Result<void>> write_pages(CorePtr core, std::vector<uint64_t> pages, uint32_t generation_max);
/// Writes at most `count` dirty pages at their own addresses, so that their frames can be dropped;
/// of the running generation only, else waits for the checkpoint that has the others.
Task<Result<void>> write_back(CorePtr core, size_t count);
/// Brings frames within the budget less `free`. @error no_memory  everything is pinned
Task<Result<void>> make_frames(CorePtr core, size_t free);

// chunks.cc
/// What the superblock says of the data space. A page that alone cannot be read loses its chunks.
/// @param strict  it is an error instead, and all bitmaps are looked at
Task<Result<void>> load_space(CorePtr core, bool strict);
/// The bitmap of a chunk into memory; where it alone cannot be read, the chunk is lost.
/// @error io  stopped, or nothing can be read   @error no_memory
Task<Result<void>> load_chunk(CorePtr core, uint64_t number);
/// Until at most so many runs are late; where none may be left, updates wait in the end.
/// @error io, no_memory, no_space
Task<Result<void>> settle_late(CorePtr core, size_t runs_left);
/// Until no chunk is wanted and nobody is short who could be helped. @error io, no_memory
Task<Result<void>> open_wanted(CorePtr core);

// rebuild.cc
/// Until a chunk has come back, or none will.
Task<void> wait_for_rebuilt(CorePtr core);

// data.cc
/// Begins all of `writes`; each starts in the next turn.
/// @param flushed  those that a flush of the log covers are written plainly
Store::DataJobPtr start_extents(CorePtr core, std::vector<Store::DataWrite> writes, bool flushed);
Task<Result<void>> finish_extents(CorePtr core, Store::DataJobPtr job);
Task<Result<void>> write_extents(CorePtr core, media::Lsn position,
                                 std::vector<Store::DataWrite> writes);
/// Blocks were short and freed ones are on their way back: waits for those (store.md rule 10).
Task<Result<void>> wait_for_blocks(CorePtr core);

// checkpoint.cc
/// Waits for the next change of `progress`; meanwhile a checkpoint that runs hurries.
Task<void> wait_for_progress(CorePtr core);
/// A writer of a checkpoint that has come as far as `done` (of 1) waits here while updates use the
/// log and the checkpoint has time: the device is theirs first.
Task<void> let_log_go_first(CorePtr core, double done);
Task<Result<void>> checkpoint_now(CorePtr core);
/// Writes `next` to both of its places, flushes and reads it back.
Task<Result<void>> write_superblock(CorePtr core, const Superblock& next);

// replay.cc
struct ReplayResult {
  media::WalReader::Summary summary;
  bool dropped = false;  // the end of the log was given up because its data is missing
};
struct ScannedLog {
  media::WalStart start;
  media::WalReader::Summary summary;
};
/// Reads the log from the superblock's start and applies it. Data that it carries is readable
/// then, but durable only with the log.
/// @param reader  has scanned `log`
Task<Result<ReplayResult>> replay(CorePtr core, media::WalReader& reader, ScannedLog log,
                                  ReplayHook hook);

// check.cc
/// Looks at every page of the tree of `root` on the medium, so that it is known to be whole.
/// Nothing of it may be in memory. @error checksum, io
Task<Result<void>> walk_medium(CorePtr core, PageRef root);
Task<Result<Store::CheckReport>> check_now(CorePtr core, Store::Claims claims);
Task<Result<Store::KeySpan>> find_span(CorePtr core, Bytes key);

/// Several spawned tasks and one that waits for all of them. Keeps the first error.
struct Join {
  explicit Join(Reactor& reactor) : ended(reactor) {}
  WaitList ended;
  size_t pending = 0;
  Result<void> result{};

  void end(const Result<void>& r) {
    if (!r && result) result = r;
    if (--pending == 0) ended.wake_all();
  }
};

}  // namespace cairn::index
