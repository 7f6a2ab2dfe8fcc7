// For tests of the log: a disk in memory whose writes wait for the test, a bench of one log on it,
// and records whose bytes follow from a number.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/endian.h"
#include "media/wal.h"
#include "media/wal_format.h"
#include "runtime/random.h"
#include "sim/clock.h"

namespace cairn::media {

/// Writes reach the bytes when they end: at once, or when the test says so; flushes likewise.
class HeldDisk final : public Device {
 public:
  struct Write {
    uint64_t offset;
    Bytes bytes;
    std::optional<bool> ok;  // none: under way
    bool plain = false;
  };

  HeldDisk(Reactor& reactor, uint64_t bytes) : content(bytes), moved_(reactor) {}

  void end_write(size_t i, bool ok = true) {
    CHECK(!writes[i].ok);
    writes[i].ok = ok;
    if (ok) store(writes[i]);
    moved_.wake_all();
  }

  uint64_t size_bytes() const override { return content.size(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    bytes_read += into.size();
    if (fail_reads || offset + into.size() > content.size()) {
      co_return fail(Errc::io, "held disk: read");
    }
    std::memcpy(into.data(), content.data() + offset, into.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    return write_any(offset, from, true);
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    return write_any(offset, from, false);
  }
  Task<Result<void>> write_any(uint64_t offset, ByteView from, bool plain) {
    CHECK(offset + from.size() <= content.size());
    const size_t i = writes.size();
    writes.push_back({offset, Bytes(from.begin(), from.end()), std::nullopt, plain});
    if (!hold) end_write(i);
    while (!writes[i].ok) co_await moved_.wait();
    if (!*writes[i].ok) co_return fail(Errc::io, "held disk: write");
    co_return Result<void>{};
  }
  Task<Result<void>> flush() override {
    const size_t i = flushes.size();
    flushes.push_back(hold ? std::nullopt : std::optional<bool>(true));
    while (!flushes[i]) co_await moved_.wait();
    if (!*flushes[i]) co_return fail(Errc::io, "held disk: flush");
    co_return Result<void>{};
  }
  void end_flush(size_t i, bool ok = true) {
    CHECK(!flushes[i]);
    flushes[i] = ok;
    moved_.wake_all();
  }
  Task<void> discard(uint64_t, uint64_t) override { co_return; }
  uint64_t flush_domain() const override { return domain; }

  Bytes content;
  uint64_t domain = 0;
  bool hold = false;
  bool fail_reads = false;
  uint64_t bytes_read = 0;
  std::vector<std::optional<bool>> flushes;  // none: under way
  std::vector<Write> writes;  // since the beginning, in the order of their start

 private:
  void store(const Write& write) {
    std::memcpy(content.data() + write.offset, write.bytes.data(), write.bytes.size());
  }
  WaitList moved_;
};

/// Record number n: 12 bytes and up, all of them following from n.
inline Bytes record_bytes(uint64_t n, size_t bytes = 0) {
  if (bytes == 0) bytes = 12 + n * 37 % 300;
  Bytes record(bytes);
  for (size_t i = 0; i < bytes; ++i) record[i] = static_cast<std::byte>(n * 31 + i * 7 + i / 251);
  store_le64(record.data(), n);
  return record;
}
inline uint64_t record_number(ByteView record) { return load_le64(record.data()); }

struct ReadLog {
  WalReader::Summary summary;
  std::vector<WalBatch> batches;  // views are void
  std::vector<Bytes> records;
  std::vector<Lsn> lsns;
};

inline Task<Result<ReadLog>> read_log(Reactor& reactor, Device& device, WalStart start) {
  ReadLog log;
  WalReader reader(reactor, device, start);
  CO_TRY(summary, co_await reader.scan());
  log.summary = summary;
  for (;;) {
    CO_TRY(batch, co_await reader.next());
    if (!batch) break;
    for (const ByteView record : batch->records)
      log.records.emplace_back(record.begin(), record.end());
    log.lsns.insert(log.lsns.end(), batch->lsns.begin(), batch->lsns.end());
    batch->records.clear();
    log.batches.push_back(std::move(*batch));
  }
  co_return log;
}

inline constexpr uint64_t kTestLog = 0x1122334455667788;
inline constexpr uint32_t kTestPredecessor = 0xABCD1234;

/// One log on a held disk.
struct LogBench {
  explicit LogBench(uint64_t ring_bytes = 64 * kWalBlockBytes, WalOptions options_in = {})
      : options(options_in), random(1), reactor(std::make_unique<Reactor>(clock, random, nullptr)) {
    disk = std::make_unique<HeldDisk>(*reactor, ring_bytes);
    make_new();
  }
  ~LogBench() {
    wal.reset();
    reactor.reset();
  }
  LogBench(const LogBench&) = delete;
  LogBench& operator=(const LogBench&) = delete;

  void make_new() {
    start = {0, 0, kTestPredecessor, kTestLog};
    WalReader::Summary tail;
    tail.predecessor = start.predecessor;
    tail.log = start.log;
    make(tail, 1, 0);
  }
  void make(const WalReader::Summary& tail, uint32_t incarnation, Lsn trimmed) {
    wal = std::make_unique<Wal>(*reactor, *disk, options, tail, incarnation, trimmed);
  }
  /// Before the first append: each durable write brings a flush of the whole cache.
  void put_behind_cache() {
    wal.reset();
    disk->domain = 1;
    make_new();
  }
  /// Ends this opening as a crash does and opens again.
  void reopen() {
    wal.reset();
    settle();
    auto log = read();
    CHECK(log.has_value());
    make(log->summary, log->summary.incarnation + 1, start.position);
  }
  void settle() {
    while (reactor->turn()) {
    }
  }
  Lsn append(uint64_t n, size_t bytes = 0, Wal::Data data = Wal::Data::none) {
    return wal->append(record_bytes(n, bytes), data);
  }
  /// Appends and lets the log write end: one log write a record.
  Lsn append_alone(uint64_t n, size_t bytes = 0) {
    const Lsn lsn = append(n, bytes);
    settle();
    return lsn;
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor->spawn(keep(std::move(task), value));
    settle();
    CHECK(value.has_value());
    return std::move(*value);
  }
  Result<ReadLog> read(std::optional<WalStart> from = {}) {
    return run(read_log(*reactor, *disk, from.value_or(start)));
  }
  Errc read_error(std::optional<WalStart> from = {}) {
    auto log = read(from);
    return log ? Errc::ok : log.error().code();
  }
  /// Waits for `lsn` in the background; its number goes to `answered` (negative: refused).
  void watch(Lsn lsn, int number) { reactor->spawn(watch_task(*wal, lsn, number, answered)); }

  /// The log write of one record, as bytes.
  static Bytes make_write(WalHeader header, ByteView payload);
  void put(uint64_t offset, ByteView bytes) {
    std::memcpy(disk->content.data() + offset, bytes.data(), bytes.size());
  }

  WalOptions options;
  sim::SimClock clock;
  SeededRandom random;
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<HeldDisk> disk;
  std::unique_ptr<Wal> wal;
  WalStart start;
  std::vector<int> answered;

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  static Task<void> watch_task(Wal& wal, Lsn lsn, int number, std::vector<int>& answered) {
    auto done = co_await wal.durable(lsn);
    answered.push_back(done ? number : -number);
  }
};

/// Sets length, count and checksum; the other fields are the caller's.
inline Bytes LogBench::make_write(WalHeader header, ByteView payload) {
  const uint64_t used = sizeof header + kWalRecordHeaderBytes + payload.size();
  Bytes bytes(round_up(used, kWalBlockBytes));
  header.bytes = static_cast<uint32_t>(bytes.size());
  header.used = static_cast<uint32_t>(used);
  header.record_count = 1;
  std::memcpy(bytes.data(), &header, sizeof header);
  store_le32(bytes.data() + sizeof header, static_cast<uint32_t>(payload.size()));
  std::memcpy(bytes.data() + sizeof header + kWalRecordHeaderBytes, payload.data(), payload.size());
  seal_wal_write(bytes);
  return bytes;
}

}  // namespace cairn::media
