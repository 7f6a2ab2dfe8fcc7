#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "media/wal.h"
#include "media/wal_format.h"

namespace cairn::media {
namespace {

constexpr uint64_t kWindowBytes = 4u << 20;  // read ahead
constexpr uint64_t kReadBytes = 1u << 20;    // one request; those of a window run at the same time

/// Several reads at once into one buffer; the first error is kept.
struct Fill {
  explicit Fill(Reactor& reactor) : done(reactor) {}
  WaitList done;
  size_t pending = 0;
  Result<void> result{};
};

Task<void> read_piece(Device& device, uint64_t offset, ByteSpan into, Fill& fill) {
  auto read = co_await device.read(offset, into);
  if (!read && fill.result) fill.result = fail(read.error());
  if (--fill.pending == 0) fill.done.wake_all();
}

}  // namespace

struct WalReader::State {
  State(Reactor& reactor_in, Device& device_in, WalStart start_in)
      : reactor(reactor_in), device(device_in), start(start_in), ring(device.size_bytes()) {}

  Reactor& reactor;
  Device& device;
  WalStart start;
  uint64_t ring;
  Summary summary;
  bool scanned = false;
  Lsn at = 0;  // of next()
  uint32_t at_predecessor = 0;
  uint32_t at_incarnation = 0;
  AlignedBuffer window;
  Lsn window_begin = 0, window_end = 0;

  Task<Result<void>> load(Lsn position, uint64_t bytes);
  Task<Result<void>> fill_window();
  ByteView view(Lsn position, uint64_t bytes) const {
    return window.view().subspan(position - window_begin, bytes);
  }
  Task<Result<std::optional<WalWrite>>> link(Lsn position, uint32_t predecessor,
                                             uint32_t incarnation);
  bool continues(const WalHeader& header, Lsn position, uint32_t predecessor,
                 uint32_t incarnation) const;
  Task<Result<void>> look_beyond();
  bool proves_more(const WalHeader& header, Lsn position) const;
  Task<Result<bool>> is_whole(Lsn position, WalHeader header);
};

/// Brings [position, position + bytes) into the window. bytes <= ring.
Task<Result<void>> WalReader::State::load(Lsn position, uint64_t bytes) {
  DCHECK(bytes <= ring);
  if (position >= window_begin && position + bytes <= window_end) co_return Result<void>{};
  const uint64_t wanted = std::min(ring, std::max(bytes, kWindowBytes));
  if (window.size() < wanted) window = AlignedBuffer(wanted);
  window_begin = position;
  window_end = position + wanted;
  auto filled = co_await fill_window();
  if (!filled) window_begin = window_end = 0;
  co_return filled;
}

Task<Result<void>> WalReader::State::fill_window() {
  Fill fill(reactor);
  Lsn position = window_begin;
  while (position < window_end) {
    const uint64_t offset = position % ring;
    const uint64_t bytes = std::min({kReadBytes, window_end - position, ring - offset});
    const ByteSpan into = window.span().subspan(position - window_begin, bytes);
    ++fill.pending;
    reactor.spawn(read_piece(device, offset, into, fill));
    position += bytes;
  }
  while (fill.pending != 0) co_await fill.done.wait();
  co_return fill.result;
}

/// Does a log write with this header stand where the chain goes on? These fields have their places
/// in every version, so what is left over in the ring is no concern, whoever wrote it.
bool WalReader::State::continues(const WalHeader& header, Lsn position, uint32_t predecessor,
                                 uint32_t incarnation) const {
  return header.position.get() == position && header.predecessor.get() == predecessor &&
         header.incarnation.get() >= incarnation && header.ring_bytes.get() == ring;
}

/// The log write at `position` if it continues the chain; nullopt where the chain ends.
Task<Result<std::optional<WalWrite>>> WalReader::State::link(Lsn position, uint32_t predecessor,
                                                             uint32_t incarnation) {
  const uint64_t left = start.position + ring - position;
  if (left < kWalBlockBytes) co_return std::nullopt;
  CO_TRY(loaded, co_await load(position, kWalBlockBytes));
  const ByteView block = view(position, kWalBlockBytes);
  const uint64_t bytes = wal_claimed_bytes(block, ring);
  if (bytes == 0 || bytes > left) co_return std::nullopt;
  if (!continues(peek_wal_header(block), position, predecessor, incarnation)) {
    co_return std::nullopt;
  }
  CO_TRY(whole, co_await load(position, bytes));
  auto write = parse_wal_write(view(position, bytes));
  if (!write && write.error().code() == Errc::again) co_return std::nullopt;
  if (!write) co_return fail(write.error());
  if (write->header.log.get() != start.log) {
    co_return fail(Errc::format_invalid,
                   "wal: the log goes on with a write of another store; restore the file");
  }
  co_return std::move(*write);
}

/// Would this header, if its write is whole, show that the end of the chain is not the log's end?
/// What lies behind the end is mostly the lap before (positions below the end), now and then a
/// write that was under way when the power went (`complete` at or below the end) and the payload of
/// either.
bool WalReader::State::proves_more(const WalHeader& header, Lsn position) const {
  if (header.log.get() != start.log) return false;
  const uint64_t offset = position % ring;
  const uint64_t bytes = header.bytes.get();
  const uint64_t written_ring = header.ring_bytes.get();
  if (written_ring == ring) {
    return header.position.get() % ring == offset && header.position.get() >= summary.end &&
           header.complete.get() > summary.end && header.incarnation.get() >= summary.incarnation &&
           bytes <= ring;
  }
  // In a ring of another length, only what does not wrap can be checked.
  return written_ring != 0 && header.position.get() % written_ring == offset &&
         offset + bytes <= ring;
}

/// The checksum of a log write that may be longer than what is worth keeping in memory.
Task<Result<bool>> WalReader::State::is_whole(Lsn position, WalHeader header) {
  WalChecksum checksum;
  const uint64_t bytes = header.bytes.get();
  for (uint64_t at = 0; at < bytes;) {
    const uint64_t part = std::min({bytes - at, ring, kWindowBytes});
    CO_TRY(loaded, co_await load(position + at, part));
    checksum.add(view(position + at, part));
    at += part;
  }
  co_return checksum.value() == header.checksum.get();
}

/// Store.md rule 9: whatever stands in the ring behind the end of the chain must not prove that the
/// end lies further on.
Task<Result<void>> WalReader::State::look_beyond() {
  // Writes of this log do not overlap, so claims that are worth a look add up to one ring at most.
  uint64_t budget = 2 * ring;
  for (Lsn position = summary.end; position < start.position + ring; position += kWalBlockBytes) {
    CO_TRY(loaded, co_await load(position, kWalBlockBytes));
    const ByteView block = view(position, kWalBlockBytes);
    const uint64_t bytes = wal_claimed_bytes(block, ~uint64_t{0});
    if (bytes == 0) continue;
    const WalHeader header = peek_wal_header(block);
    if (!proves_more(header, position)) continue;
    if (bytes > budget) {
      co_return fail(Errc::checksum,
                     "wal: the log behind its end is damaged beyond judgement; restore the file");
    }
    budget -= bytes;
    CO_TRY(whole, co_await is_whole(position, header));
    if (!whole) continue;
    if (header.ring_bytes.get() != ring) {
      co_return fail(Errc::format_invalid,
                     "wal: the log has not the length that it was written with; restore the file");
    }
    co_return fail(
        Errc::checksum,
        "wal: an acknowledged part of the log is damaged; later parts prove that it was whole");
  }
  co_return Result<void>{};
}

WalReader::WalReader(Reactor& reactor, Device& device, WalStart start)
    : state_(std::make_shared<State>(reactor, device, start)) {}

Task<Result<WalReader::Summary>> WalReader::scan() {
  const std::shared_ptr<State> s = state_;
  if (s->ring % kWalBlockBytes != 0 || s->ring < 2 * kWalBlockBytes) {
    co_return fail(Errc::format_invalid, "wal: the log's length is not a number of blocks");
  }
  if (s->start.position % kWalBlockBytes != 0 || s->start.position > ~uint64_t{0} / 2) {
    co_return fail(Errc::checksum, "wal: the log's start is not a position of a log write");
  }
  Summary& summary = s->summary;
  summary = {};
  summary.end = summary.complete = s->start.position;
  summary.predecessor = s->start.predecessor;
  summary.log = s->start.log;
  // What the superblock names is not that of the first write, which may be older.
  uint32_t incarnation = 0;
  std::optional<Lsn> looked_twice;
  for (;;) {
    CO_TRY(write, co_await s->link(summary.end, summary.predecessor, incarnation));
    if (!write && looked_twice == summary.end) break;
    if (!write) {
      // Read again: one wrong read must not cut off what was acknowledged.
      looked_twice = summary.end;
      s->window_begin = s->window_end = 0;
      continue;
    }
    const WalHeader& header = write->header;
    incarnation = header.incarnation.get();
    summary.end += header.bytes.get();
    summary.predecessor = header.checksum.get();
    summary.complete = std::max(summary.complete, header.complete.get());
    summary.stamp = {header.epoch_highest.get(), header.read_lease.get()};
    ++summary.batches;
    summary.records += write->records.size();
    summary.bytes += header.bytes.get();
  }
  summary.incarnation = incarnation;
  CO_TRY(beyond, co_await s->look_beyond());
  if (summary.batches == 0) summary.incarnation = s->start.incarnation;
  s->at = s->start.position;
  s->at_predecessor = s->start.predecessor;
  s->at_incarnation = 0;
  s->scanned = true;
  co_return summary;
}

Task<Result<std::optional<WalBatch>>> WalReader::next() {
  const std::shared_ptr<State> s = state_;
  CHECK(s->scanned);
  if (s->at == s->summary.end) co_return std::nullopt;
  CO_TRY(write, co_await s->link(s->at, s->at_predecessor, s->at_incarnation));
  if (!write) co_return fail(Errc::checksum, "wal: a part of the log changed between two reads");
  const WalHeader& header = write->header;
  WalBatch batch;
  batch.begin = s->at;
  batch.end = s->at + header.bytes.get();
  batch.complete = header.complete.get();
  batch.incarnation = header.incarnation.get();
  batch.stamp = {header.epoch_highest.get(), header.read_lease.get()};
  batch.records = std::move(write->records);
  batch.lsns = std::move(write->lsns);
  s->at = batch.end;
  s->at_predecessor = header.checksum.get();
  s->at_incarnation = batch.incarnation;
  co_return batch;
}

}  // namespace cairn::media
