// Fuzzer of the log: single writes with their checksum made right, and whole rings of writes that
// almost follow each other. What parses keeps its own rules; a scan that succeeds is read back
// exactly by next(). Input: a byte that chooses (even: one write, odd: a ring), then its content.
#include <cstring>

#include "base/check.h"
#include "base/testing/fuzz.h"
#include "media/wal.h"
#include "media/wal_format.h"
#include "sim/world.h"

namespace {

using namespace cairn;
using namespace cairn::media;
using cairn::testing::FuzzInput;

constexpr uint64_t kRingBlocks = 16;
constexpr uint64_t kLog = 0x1234'5678'9ABC;

/// A blob in memory whose requests are done at once.
class MemoryBlob final : public Device {
 public:
  uint64_t size_bytes() const override { return bytes.size(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    if (offset + into.size() > bytes.size()) co_return fail(Errc::io, "beyond the end");
    std::memcpy(into.data(), bytes.data() + offset, into.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    std::memcpy(bytes.data() + offset, from.data(), from.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    return write(offset, from);
  }
  Task<Result<void>> flush() override { co_return Result<void>{}; }
  Task<void> discard(uint64_t, uint64_t) override { co_return; }
  Bytes bytes = Bytes(kRingBlocks * kWalBlockBytes);
};

/// A log write that the header describes, its records cut as their lengths say.
Bytes write_of(WalHeader header, const std::vector<ByteView>& records) {
  Bytes out(sizeof header);
  for (const ByteView record : records) {
    out.resize(out.size() + kWalRecordHeaderBytes);
    store_le32(out.data() + out.size() - kWalRecordHeaderBytes,
               static_cast<uint32_t>(record.size()));
    testing::append(out, record);
  }
  header.used = static_cast<uint32_t>(out.size());
  header.record_count = static_cast<uint32_t>(records.size());
  out.resize(round_up(out.size(), kWalBlockBytes));
  header.bytes = static_cast<uint32_t>(out.size());
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

WalHeader header_at(uint64_t position) {
  WalHeader header{};
  header.magic = kWalMagic;
  header.version = kWalVersion;
  header.incarnation = 1;
  header.position = position;
  header.ring_bytes = kRingBlocks * kWalBlockBytes;
  header.log = kLog;
  return header;
}

void check_parsed(const WalWrite& write, size_t bytes) {
  CHECK(write.records.size() == write.header.record_count.get());
  CHECK(write.lsns.size() == write.records.size());
  CHECK(write.header.bytes.get() == bytes);
  uint64_t last = write.header.position.get();
  for (const Lsn lsn : write.lsns) {
    CHECK(lsn > last && lsn <= write.header.position.get() + bytes);
    last = lsn;
  }
}

void one_write(FuzzInput in) {
  const bool as_it_is = in.u8() % 4 == 0;
  const ByteView raw = in.rest();
  Bytes block(std::max<size_t>(round_up(raw.size(), kWalBlockBytes), kWalBlockBytes));
  std::copy(raw.begin(), raw.end(), block.begin());
  (void)wal_claimed_bytes(block, kRingBlocks * kWalBlockBytes);
  if (!as_it_is) {
    WalHeader header = peek_wal_header(block);
    header.magic = kWalMagic;
    header.bytes = static_cast<uint32_t>(block.size());
    std::memcpy(block.data(), &header, sizeof header);
    (void)seal_wal_write(block);
    WalChecksum checksum;
    for (size_t at = 0; at < block.size(); at += kWalBlockBytes) {
      checksum.add(ByteView(block).subspan(at, kWalBlockBytes));
    }
    CHECK(checksum.value() == peek_wal_header(block).checksum.get());
  }
  const auto parsed = parse_wal_write(block);
  if (parsed) check_parsed(*parsed, block.size());
}

/// One step of a ring's story: a write that follows the one before, but for what `damage` says.
struct Story {
  MemoryBlob blob;
  uint64_t position = 0;
  uint32_t predecessor = 0;
  uint32_t incarnation = 1;

  void add(FuzzInput& in) {
    WalHeader header = header_at(position);
    const uint16_t damage = in.u16();
    if ((damage & 1) != 0) header.position = in.u16() * uint64_t{kWalBlockBytes};
    if ((damage & 2) != 0) incarnation += in.u8() % 3;
    header.incarnation = (damage & 4) != 0 ? in.u8() : incarnation;
    header.predecessor = (damage & 8) != 0 ? in.u32() : predecessor;
    header.complete = (damage & 16) != 0 ? in.u64() : header.position.get();
    if ((damage & 32) != 0) header.log = in.u64();
    if ((damage & 64) != 0) header.ring_bytes = in.u64();
    if ((damage & 128) != 0) header.version = in.u8();
    header.epoch_highest = in.u16();
    std::vector<ByteView> records;
    for (uint64_t n = in.u8() % 4; n > 0; --n) records.push_back(in.chunk());
    Bytes bytes = write_of(header, records);
    if ((damage & 256) != 0) bytes.resize(bytes.size() + kWalBlockBytes);
    const uint32_t sealed = seal_wal_write(bytes);
    if ((damage & 512) != 0) bytes[in.u16() % bytes.size()] ^= std::byte{1};
    for (size_t i = 0; i < bytes.size(); i += kWalBlockBytes) {
      const uint64_t at = (header.position.get() + i) % blob.bytes.size();
      std::memcpy(blob.bytes.data() + at, bytes.data() + i, kWalBlockBytes);
    }
    if ((damage & 1) != 0) return;
    predecessor = sealed;
    position += bytes.size();
  }
};

Task<Result<void>> read_all(WalReader& reader) {
  CO_TRY(summary, co_await reader.scan());
  uint64_t batches = 0, records = 0;
  Lsn end = 0;
  for (;;) {
    CO_TRY(batch, co_await reader.next());
    if (!batch) break;
    CHECK(batches == 0 || batch->begin == end);
    CHECK(batch->records.size() == batch->lsns.size() && batch->complete <= batch->begin);
    ++batches;
    records += batch->records.size();
    end = batch->end;
  }
  CHECK(batches == summary.batches && records == summary.records);
  CHECK(batches == 0 || end == summary.end);
  co_return Result<void>{};
}

void ring(FuzzInput in) {
  Story story;
  const uint64_t start_at = in.u8() % kRingBlocks * kWalBlockBytes;
  story.position = start_at;
  while (!in.done() && story.position < 4 * kRingBlocks * kWalBlockBytes) story.add(in);
  sim::World world(1);
  WalReader reader(world.reactor(), story.blob,
                   {.position = start_at, .incarnation = 1, .predecessor = 0, .log = kLog});
  (void)world.run(read_all(reader));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, std::min<size_t>(size, kRingBlocks * kWalBlockBytes));
  if (in.u8() % 2 == 0) {
    one_write(in);
  } else {
    ring(in);
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  const Bytes text = testing::seed_of("a record");
  for (const size_t count : {0, 1, 3}) {
    Bytes write = write_of(header_at(8'192), std::vector<ByteView>(count, text));
    (void)seal_wal_write(write);
    Bytes seed{std::byte{0}, std::byte{count == 1}};
    testing::append(seed, ByteView(write).first(sizeof(WalHeader) + 12 * count));
    seeds.push_back(seed);
  }
  // Rings: damage, epoch, records. Five that follow each other, one behind a gap, one damaged.
  const auto step = [](uint8_t low, uint8_t high) {
    return Bytes{std::byte{low}, std::byte{high}, std::byte{9}, std::byte{0},
                 std::byte{1},   std::byte{2},    std::byte{1}, std::byte{2}};
  };
  Bytes plain{std::byte{1}, std::byte{3}};
  for (int i = 0; i < 5; ++i) testing::append(plain, step(0, 0));
  seeds.push_back(plain);
  Bytes raised = plain;
  testing::append(raised, Bytes{std::byte{2}, std::byte{0}, std::byte{1}, std::byte{0},
                                std::byte{9}, std::byte{0}});
  seeds.push_back(raised);
  Bytes damaged = plain;
  testing::append(damaged, Bytes{std::byte{0}, std::byte{2}, std::byte{1}, std::byte{0},
                                 std::byte{0}, std::byte{80}, std::byte{0}});
  testing::append(damaged, step(0, 0));
  seeds.push_back(damaged);
  return seeds;
}
