// Wal: the write-ahead log of one shard, a ring of 4 KiB blocks on its own blob (store.md rules 8
// to 12). Records are appended synchronously to the open batch; a batch becomes one durable log
// write that starts on a fresh block; several writes are in flight; acknowledgement follows log
// order. A record may have data that is written beside it: it counts as durable only when both are.
// Where log and data lie behind one cache (Device::flush_domain), both are written plainly and one
// flush follows, for as many records as wait for it (docs/decisions/0009-one-flush.md).
// Memory: what is appended and not yet durable, bounded by the ring's room, plus a few reused
// buffers. Home: the shard's reactor. Byte map: media/wal_format.h, docs/formats/wal.md.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::media {

/// A position in the endless log: bytes since its creation. The ring holds position % ring bytes.
using Lsn = uint64_t;

/// Where a reader starts and what it must find there; kept in the superblock.
struct WalStart {
  Lsn position = 0;          // of a log write's first block
  uint32_t incarnation = 0;  // of the newest opening recorded so far
  // Checksum of the log write before it; at creation 0 or a random number.
  uint32_t predecessor = 0;
  // The store's random number, in every log write: other logs, and what clients wrote that looks
  // like a log write, are told from this log by it. Never shown to clients.
  uint64_t log = 0;
};

/// What each log write repeats about the shard (store.md rules 8, 23).
struct WalStamp {
  uint64_t epoch_highest = 0;  // highest epoch issued
  uint64_t read_lease = 0;     // no read timestamp is above it
};

struct WalOptions {
  uint32_t write_bytes_max = 1u << 20;  // a batch ends at this size; a larger record stands alone
  uint32_t writes_in_flight_max = 4;
};

/// One log write as found by WalReader; `records` borrow from the reader until its next call.
struct WalBatch {
  Lsn begin = 0;
  Lsn end = 0;
  Lsn complete = 0;
  uint32_t incarnation = 0;
  WalStamp stamp;
  std::vector<ByteView> records;
  std::vector<Lsn> lsns;  // of each record, as append() returned it
};

/// Reads the chain from `start` to its end. Use: construct, `scan()` once, then `next()` until
/// empty.
class WalReader {
 public:
  WalReader(Reactor& reactor, Device& device, WalStart start);
  /// What the whole chain says: its end, the highest `complete`, the stamp and incarnation of its
  /// last write and the checksum that the next write must carry.
  struct Summary {
    Lsn end = 0;
    Lsn complete = 0;
    uint32_t incarnation = 0;
    uint32_t predecessor = 0;
    uint64_t log = 0;
    WalStamp stamp;
    uint64_t batches = 0, records = 0, bytes = 0;
  };
  /// @error checksum  a valid write beyond the break proves that an acknowledged part is damaged
  ///                  (store.md rule 9): report, never cut off silently
  /// @error io        the medium
  /// @error format_invalid  no log: its length is not whole blocks, or not the length that it was
  ///                        written with (cut or grown), or its next write carries another store's
  ///                        number: restore the file
  /// @error format_newer    written by a newer version: upgrade
  Task<Result<Summary>> scan();
  /// The next log write, or nullopt at the end that scan() found. Reads ahead. After an error,
  /// stop.
  /// @error checksum, io  what scan() saw whole cannot be read again
  Task<Result<std::optional<WalBatch>>> next();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

class Wal {
 private:
  struct State;

 public:
  /// Checks that `device` is fit to be a log; writes nothing. A new blob must be all zeros and
  /// written (FileDeviceOptions::fill).
  /// @param tail  where appending continues: WalReader::Summary of recovery, or for a new log only
  ///              `predecessor` and `log`, as its superblock names them. All before tail.end
  ///              counts as complete. So a recovery that drops records whose data is missing must
  ///              make a root from which they are not reached durable (with a WalStart at or after
  ///              tail.end) before its first append: a later replay verifies no data below
  ///              `complete`
  /// @param incarnation  of this opening, above that of every earlier one; must be durable in the
  ///                     superblock before the first append
  Wal(Reactor& reactor, Device& device, WalOptions options, WalReader::Summary tail,
      uint32_t incarnation, Lsn trimmed);
  /// Nothing may be open or in flight (drain() first) unless the log stopped or the world ended;
  /// those who still wait get io.
  ~Wal();
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  /// What a record has beside the log.
  enum class Data : uint8_t {
    none,
    durable,  // data under way: the record is complete only after data_done(lsn)
    flushed,  // the same, and after data_done() a flush() of the log's device makes the data
              // durable, which the log asks for itself: one flush for record and data
    logged,   // the record has the data in it, too: data_done() says that it can be read, and
              // whoever trims the record has made it durable before
  };
  /// Appends one record to the open batch. Plain call.
  /// @param payload   copied
  /// @returns the record's Lsn (strictly ascending; the end position of the record)
  /// Precondition: room(payload.size()); a checkpoint's own few records may use the reserve
  /// instead. Durable when complete() >= lsn. After a stop the record goes nowhere, and durable()
  /// refuses its Lsn.
  Lsn append(ByteView payload, Data data);
  /// The data of the record at `lsn` is on media (Data::flushed, logged: written), or failed (not
  /// `ok`: the log stops).
  void data_done(Lsn lsn, bool ok);
  /// What the record at `lsn` was appended with. Until its data_done() only; after a stop: durable.
  Data data_of(Lsn lsn) const;

  /// `count` callers more, or fewer, let others run once and append in their next step: an open
  /// batch is closed behind them.
  void expect(int count);

  /// Is there room in the ring for a record of `bytes` and for the checkpoint's own needs (an
  /// eighth of the ring, at most 1 MiB)? True after a stop: go on and meet the error.
  bool room(uint64_t bytes) const;
  uint64_t ring_bytes() const;
  /// Bytes between trim point and append position.
  uint64_t used_bytes() const;

  /// Everything up to here is durable with its data; never goes back.
  Lsn complete() const;
  /// The highest `complete` that a durable log write carries: replay will not verify data below it,
  /// and extents freed at or below it may be reserved again (store.md rule 10; Space::release).
  Lsn complete_recorded() const;
  /// Has complete_recorded() reach `wanted` soon, by an empty log write where no other is on its
  /// way to say so and there is room. For a shard that waits for deferred space while no updates
  /// come. Plain call; does nothing while complete() < wanted.
  void record_complete(Lsn wanted);
  /// The newest appended record.
  Lsn appended() const;
  /// Waits until complete() >= lsn. @error io  the log stopped; nothing after complete() is
  /// promised
  Task<Result<void>> durable(Lsn lsn);
  /// The same without a frame, for those who wait in great numbers. Awaited at once.
  class [[nodiscard]] Reached {
   public:
    Reached(const Reached&) = delete;
    Reached& operator=(const Reached&) = delete;
    ~Reached();
    bool await_ready() const noexcept;
    void await_suspend(std::coroutine_handle<> handle);
    Result<void> await_resume() const;

   private:
    friend class Wal;
    Reached(std::shared_ptr<State> state, Lsn lsn);
    std::shared_ptr<State> state_;
    Lsn lsn_;
    bool queued_ = false;
  };
  Reached reached(Lsn lsn);
  bool stopped() const;
  /// No record waits for the medium, and no data of one.
  bool idle() const;
  /// Called (on the reactor) whenever complete() moved. May append; must not destroy the log.
  void on_complete(std::function<void(Lsn)> fn);

  /// The stamp that the next log writes carry. Monotonic.
  void set_stamp(WalStamp stamp);
  /// Ends the open batch at a block border; returns what a superblock for "everything appended so
  /// far" must hold. Plain call. The superblock is written only after durable(position) (store.md
  /// rule 15). After a stop records may be missing before any position: the one returned then is
  /// one that durable() refuses.
  WalStart seal();
  /// Everything before `start` may be overwritten. The superblock that says so is durable.
  void trim(Lsn position);
  /// Number of log writes so far; for statistics and tests of group commit.
  uint64_t write_count() const;
  /// Waits until nothing is open or in flight; ends the open batch. Data may still be under way.
  /// @error io  stopped
  Task<Result<void>> drain();

 private:
  std::shared_ptr<State> state_;  // shared with the writes under way
};

}  // namespace cairn::media
