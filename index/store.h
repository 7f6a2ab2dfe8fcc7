// Store: a crash-safe ordered map with extents of data beside it: pager and tree on the `meta`
// blob, log on `wal`, blocks on `data`. Knows nothing of epochs and keys' meaning. One local
// transaction = one Batch = one log record: planned (prepare: nothing changes), then committed in
// one plain step. Checkpoints run in the background, paced by the log's fill and the predicted
// replay time. Home: the shard's reactor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index/batch.h"
#include "index/pager.h"
#include "index/tree.h"
#include "media/device.h"
#include "media/space.h"
#include "media/wal.h"

namespace cairn::index {

/// The three blobs. Borrowed; they outlive the store.
struct StoreDevices {
  media::Device* wal = nullptr;
  media::Device* meta = nullptr;
  media::Device* data = nullptr;
};

struct StoreOptions {
  uint64_t memory_bytes = 256ull << 20;  // budget of the whole store (index/budget.h)
  bool evict_always = false;             // debug: every unpinned page leaves memory after each step
  /// Freed blocks are told to a data device that wants to know when they have been free for about
  /// this long: many together, and those that are soon used again not at all.
  Duration trim_after = 5 * kSecond;
  uint32_t trim_unit_bytes = 1u << 20;  // smaller holes are not told; a multiple of a block
  bool checkpoints = true;         // background checkpoints; false: only checkpoint() makes them
  uint64_t owner_tag[2] = {0, 0};  // e.g. the pool's UUID; open refuses a store of another owner
  /// The blocks that a record owns, so that a lost bitmap of blocks can be made anew. Null: it
  /// cannot. @error checksum  not a record of the owner's
  Result<std::vector<media::Extent>> (*claims)(ByteView key, ByteView value) = nullptr;
};

/// What the owner is told during replay, once per record in log order, before its ops are applied.
using ReplayHook = std::function<void(const RecordHeader&)>;

struct StoreStats {
  uint64_t page_count = 0, page_bytes = 0;  // meta pages owned by the live state
  uint64_t record_count = 0;                // if known
  media::SpaceUsage pages;                  // of the meta blob, in pages
  media::SpaceUsage data;                   // of the data blob, in blocks
  uint64_t wal_used_bytes = 0, wal_bytes = 0;
  uint64_t replayed_records = 0, replayed_bytes = 0, replay_ns = 0;
  uint64_t checkpoints = 0;
  bool checkpoint_running = false;
  uint64_t trimmed_blocks = 0;  // of the data blob, told to its device
  uint64_t page_loads = 0;  // requests to the meta blob for pages, since it opened
  uint64_t data_reads = 0;  // requests to the data blob to read, since it opened
};

struct StoreCore;
class Sweep;

/// Keys [low, high) whose records cannot be read: what a damaged page holds. `high` empty: to the
/// end.
struct LostRange {
  Bytes low, high;
  uint64_t page = 0;
  uint32_t level = 0;         // 0: a leaf
  const char* cause = nullptr;
};

class Store {
 private:
  struct State;

 public:
  /// Makes an empty store on blank blobs. The first superblock is durable on return.
  static Task<Result<std::unique_ptr<Store>>> create(Reactor& reactor, StoreDevices devices,
                                                     StoreOptions options);
  /// Opens: newest whole superblock, raises the incarnation durably, replays the log, flushes every
  /// blob.
  /// @error format_invalid  not a store, or of another owner     @error format_newer  newer version
  /// @error checksum        damaged beyond what the copies cover: nothing was changed
  static Task<Result<std::unique_ptr<Store>>> open(Reactor& reactor, StoreDevices devices,
                                                   StoreOptions options, ReplayHook hook);
  ~Store();
  /// Writes a checkpoint and ends the background work. The store must not be used afterwards.
  /// @error io  the last checkpoint failed; everything acknowledged is in the log all the same
  Task<Result<void>> close();

  Tree& tree() { return *tree_; }

  /// One operation's way through the pages that it misses. Pages that were loaded for it stay in
  /// memory until it ends (up to kAttemptPagesMax), so that planning again gets further each time
  /// however many others load pages: where memory is short, one of them goes first.
  class [[nodiscard]] Attempt {
   public:
    explicit Attempt(Store& store) : store_(&store) {}
    ~Attempt() { release(); }
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;
    /// Lets its pages go: it waits for something else now, or has got further and does not need
    /// them any more.
    void release();

   private:
    friend class Store;
    struct Pin {
      uint64_t page = 0;
      uint32_t birth = 0;
    };
    static Task<Result<void>> load(std::shared_ptr<State> state, Attempt& attempt, PageRef ref);
    Store* store_;
    std::shared_ptr<State> state_;  // from the first miss on: the store may end before the task
    std::vector<Pin> pins_;
    uint64_t loads_ = 0;  // since the last release()
  };
  static constexpr size_t kAttemptPagesMax = 64;

  /// Does what the last page_absent asked for: loads the page that it named, or waits for free
  /// frames, free pages (a checkpoint) or room in the log. Then plan again from the start.
  /// @error io, checksum
  /// @error no_memory  the budget is too small for this step
  /// @error no_space   the meta blob is full
  Task<Result<void>> load_absent(Attempt& attempt);
  /// The same for someone who is alone: background work, tests.
  Task<Result<void>> load_absent();

  /// The leaf on which a look-up of `key` ends, or the page in its way that cannot be read.
  struct KeySpan {
    Bytes low, high;   // its keys; high empty: to the end
    std::optional<LostRange> lost;
  };
  /// After a load failed: what is lost with it, and where to go on. @error as load_absent(), where
  /// no page is to blame
  Task<Result<KeySpan>> span_at(Bytes key);

  /// Waits until the log has room and checkpoints keep up; call before planning an update.
  /// @error io  the store has stopped   @error no_space  the meta blob is full
  Task<Result<void>> admit();
  /// admit() would not wait and has nothing to do: it need not be called.
  bool admits() const;

  /// Blocks for data. In memory only until a commit publishes them; cancel() what is not committed.
  Result<std::vector<media::Extent>> reserve_data(uint64_t bytes);
  /// After reserve_data() found too few: others are on their way back, and admit() waits for them.
  bool waits_for_blocks() const;
  void cancel_data(const std::vector<media::Extent>& extents);

  /// Appends the record and applies it: one plain step. Precondition: tree().prepare(batch)
  /// succeeded just before; its encoded record is not above record_bytes_max().
  /// @param stamp  what the log writes repeat
  /// @returns the record's position; its effects may be answered once durable(position) is done
  media::Lsn commit(const RecordHeader& header, const Batch& batch, media::WalStamp stamp);

  /// The largest encoded record that this store's log takes (an eighth of the ring).
  uint64_t record_bytes_max() const;

  /// Data of a record up to this size may ride in it as well (BatchData::payload); the store
  /// decides: docs/decisions/0010-data-in-the-log.md.
  static constexpr uint64_t kLoggedBytesMax = 16u << 10;

  /// Data for one extent: `pieces` in order; the rest of its last block is filled with zeros.
  struct DataWrite {
    media::Extent extent;
    IoVecs pieces;
  };
  /// Writes all of `writes` beside the log, in parallel, and reports to the log itself: call
  /// exactly once for each commit whose batch published data, with the commit's position. The
  /// buffers are borrowed until completion. @error io  the store has stopped
  Task<Result<void>> write_data(media::Lsn position, std::vector<DataWrite> writes);
  /// The same as a plain call, where the log carries the data and there is room for a copy. False:
  /// nothing has happened.
  bool keep_logged(media::Lsn position, std::span<const DataWrite> writes);
  /// As write_data() in three steps, so that data is under way before its checksums are made and
  /// its record is built: begins to write (under way on return) ...
  /// The buffers are borrowed until finish_data() is done, and until then the blocks must not be
  /// cancelled.
  struct DataJob;
  using DataJobPtr = std::shared_ptr<DataJob>;
  Task<DataJobPtr> start_data(std::vector<DataWrite> writes);
  /// ... waits until all of it is written; exactly once for each start_data(). It is durable, or
  /// will be with the record that publishes it ...
  /// @error io  the store has stopped
  Task<Result<void>> finish_data(DataJobPtr job);
  /// ... and tells the log so: once for the commit that published it, when both are done.
  void data_written(media::Lsn position);
  /// No record is on its way, and no data: nobody would wait behind a large write.
  bool log_idle() const;
  /// Reads whole blocks [first, first + into.size()/4096) of `extent`.
  Task<Result<void>> read_data(media::Extent extent, uint64_t first_block, ByteSpan into);

  /// A reader that looked at the tree now and reads data later holds a pin: extents freed from now
  /// on are not handed out again while it lives, so that its reads cannot meet another value's
  /// bytes.
  class [[nodiscard]] ReadPin {
   public:
    ReadPin(ReadPin&& other) noexcept;
    ReadPin& operator=(ReadPin&&) = delete;
    ~ReadPin();

   private:
    friend class Store;
    ReadPin(std::shared_ptr<State> state, media::Lsn at);
    std::shared_ptr<State> state_;
    media::Lsn at_;
  };
  ReadPin pin_reads();

  /// Waits until `position` and all before it are durable with their data. @error io  stopped
  Task<Result<void>> durable(media::Lsn position);
  /// The same without a frame; awaited at once.
  media::Wal::Reached reached(media::Lsn position);
  /// Wal::expect() of the log.
  void expect(int count);
  media::Lsn complete() const;
  media::Lsn appended() const;
  bool stopped() const;

  /// Called at the start of each checkpoint; may commit further batches (without data) that should
  /// be part of it, for example tables kept in memory. Others go on meanwhile; what the hook has
  /// seen in the step of its last commit is in the checkpoint. It prepares with
  /// Pager::Use::checkpoint, because it cannot wait for room that only this checkpoint gives. An
  /// error stops the store.
  void before_checkpoint(std::function<Task<Result<void>>()> hook);
  /// Makes a checkpoint now and waits for it.
  Task<Result<void>> checkpoint();
  /// End of a step: with evict_always drops every clean unpinned page (dirty ones are written
  /// first).
  Task<Result<void>> end_step();
  /// Debug: end_step() as if with evict_always, once.
  Task<Result<void>> evict_all();

  StoreStats stats() const;
  /// The stamp of the newest log write found at open.
  media::WalStamp recovered_stamp() const;

  /// Offline check: every page reachable from the root is whole, page and block ownership is exact
  /// (each owned page reachable once, each owned block claimed once). Where pages are damaged, what
  /// they may own is not held against anyone.
  /// @param claims  yields the data extents that a record's value claims; the owner knows its
  /// format
  struct CheckReport {
    uint64_t pages = 0, records = 0, blocks = 0;
    std::vector<std::string> problems;
    std::vector<LostRange> lost;  // ascending; each has its problem, too
  };
  using Claims = std::function<Result<std::vector<media::Extent>>(ByteView key, ByteView value)>;
  Task<Result<CheckReport>> check(Claims claims);
  /// A walk over the durable state past the page cache. The store outlives it.
  Sweep sweep();

 private:
  explicit Store(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  // shared with tasks under way
  Tree* tree_;                    // in state_
};

}  // namespace cairn::index
