// The reading side of the log: where the chain ends, what proves that it must not end there, and
// bytes that nobody of ours wrote.
#include <gtest/gtest.h>

#include <bit>
#include <functional>

#include "media/wal_testing.h"

namespace cairn::media {
namespace {

constexpr uint64_t kBlock = kWalBlockBytes;

/// The header of a write that continues the bench's log at `position`.
WalHeader next_header(const LogBench& bench, const WalReader::Summary& tail) {
  WalHeader header{};
  header.magic = kWalMagic;
  header.version = kWalVersion;
  header.incarnation = tail.incarnation;
  header.position = tail.end;
  header.predecessor = tail.predecessor;
  header.complete = tail.complete;
  header.ring_bytes = bench.disk->size_bytes();
  header.log = tail.log;
  return header;
}

/// `count` writes of one record each; each says that the one before is complete.
void write_some(LogBench& bench, uint64_t count) {
  for (uint64_t n = 0; n < count; ++n) bench.append_alone(n, 200);
}

void damage(LogBench& bench, uint64_t offset, unsigned bit = 0) {
  bench.disk->content[offset] ^= static_cast<std::byte>(1u << bit);
}

TEST(WalRecovery, An_empty_ring_is_an_empty_log) {
  // Goal: a new log. Method: zeros; and zeros with a start further on.
  LogBench bench;
  auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  EXPECT_EQ(log->summary.end, 0u);
  EXPECT_EQ(log->summary.predecessor, kTestPredecessor);
  EXPECT_EQ(log->summary.log, kTestLog);
  log = bench.read(WalStart{1000 * kBlock, 7, 1, kTestLog});
  ASSERT_TRUE(log.has_value());
  EXPECT_EQ(log->summary.end, 1000 * kBlock);
  EXPECT_EQ(log->summary.complete, 1000 * kBlock);
  EXPECT_EQ(log->summary.incarnation, 7u);
}

TEST(WalRecovery, Lengths_and_starts_that_no_log_has_are_refused) {
  // Goal: hostile geometry. Method: odd lengths, odd and huge starts.
  EXPECT_EQ(LogBench(4 * kBlock).read_error(WalStart{1, 0, 0, 0}), Errc::checksum);
  EXPECT_EQ(LogBench(4 * kBlock).read_error(WalStart{~uint64_t{0} - 4095, 0, 0, 0}),
            Errc::checksum);
  LogBench bench;
  for (const uint64_t bytes : {uint64_t{0}, kBlock, 3 * kBlock + 1, 3 * kBlock - 512}) {
    HeldDisk odd(*bench.reactor, bytes);
    const auto log = bench.run(read_log(*bench.reactor, odd, bench.start));
    EXPECT_EQ(log.error().code(), Errc::format_invalid) << bytes;
  }
}

TEST(WalRecovery, Openings_follow_each_other_in_one_chain) {
  // Goal: incarnations. Method: five openings of three records.
  LogBench bench;
  for (uint64_t n = 0; n < 15; ++n) {
    bench.append_alone(n);
    if (n % 3 == 2) bench.reopen();
  }
  const auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->records.size(), 15u);
  EXPECT_EQ(log->summary.incarnation, 5u);
  for (size_t i = 0; i < 15; ++i) EXPECT_EQ(log->batches[i].incarnation, i / 3 + 1);
}

TEST(WalRecovery, What_an_older_opening_left_behind_the_break_is_not_replayed) {
  // Goal: old garbage stays garbage. Method: the second of three writes under way is lost; the next
  // opening writes over the second's place, so that the third one's place follows exactly.
  LogBench bench;
  bench.append_alone(0);
  bench.disk->hold = true;
  bench.append_alone(1);
  bench.append_alone(2);
  bench.disk->end_write(2);
  bench.reopen();
  auto log = bench.read();
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->records.size(), 1u);
  bench.disk->hold = false;
  bench.append_alone(10);
  log = bench.read();
  ASSERT_TRUE(log.has_value());
  ASSERT_EQ(log->records.size(), 2u);
  EXPECT_EQ(record_number(log->records[1]), 10u);
}

TEST(WalRecovery, Acknowledged_parts_that_are_damaged_are_reported) {
  // Goal: store.md rule 9. Method: damage write k of eight; all but the last are proven to have
  // been complete by a later write.
  for (uint64_t k = 0; k < 8; ++k) {
    LogBench bench(16 * kBlock);
    write_some(bench, 8);
    damage(bench, k * kBlock + 150);
    if (k < 7) {
      EXPECT_EQ(bench.read_error(), Errc::checksum) << k;
    } else {
      EXPECT_EQ(bench.read()->records.size(), 7u);
    }
  }
}

TEST(WalRecovery, A_lost_block_is_reported_also_when_it_was_written_over) {
  // Goal: a block that is zeros or an older lap's is as bad. Method: both, in a ring that has
  // wrapped.
  for (const bool zeros : {true, false}) {
    LogBench bench(16 * kBlock);
    write_some(bench, 14);
    const Bytes older = bench.disk->content;
    bench.start = bench.wal->seal();
    bench.wal->trim(bench.start.position);
    write_some(bench, 10);
    ASSERT_EQ(bench.read()->records.size(), 10u);
    const uint64_t place = (bench.start.position + 5 * kBlock) % (16 * kBlock);
    const Bytes zero(kBlock);
    bench.put(place, zeros ? ByteView(zero) : ByteView(older).subspan(place, kBlock));
    EXPECT_EQ(bench.read_error(), Errc::checksum);
  }
}

TEST(WalRecovery, Writes_that_were_under_way_prove_nothing) {
  // Goal: no false alarm. Method: four writes under way, each subset lands.
  for (unsigned landed = 0; landed < 16; ++landed) {
    LogBench bench(512 * kBlock);
    write_some(bench, 2);
    bench.disk->hold = true;
    for (uint64_t n = 2; n < 6; ++n) bench.append_alone(n, 70 << 10);
    ASSERT_EQ(bench.disk->writes.size(), 6u);
    for (unsigned i = 0; i < 4; ++i) {
      const auto& write = bench.disk->writes[2 + i];
      if ((landed >> i & 1) != 0) bench.put(write.offset, write.bytes);
    }
    const auto log = bench.read();
    ASSERT_TRUE(log.has_value()) << landed;
    EXPECT_EQ(log->records.size(), 2 + static_cast<size_t>(std::countr_one(landed)));
  }
}

TEST(WalRecovery, A_flipped_bit_anywhere_never_gives_other_records) {
  // Goal: promise 2. Method: one bit of each byte of a small log with a wrap, one after another.
  // Either the damage is reported, or only the last write, which nothing confirms, is gone.
  LogBench bench(6 * kBlock);
  write_some(bench, 4);
  bench.start = bench.wal->seal();
  bench.wal->trim(bench.start.position);
  for (uint64_t n = 0; n < 3; ++n) bench.append_alone(100 + n, 1000 + n * 2000);
  const auto whole = bench.read();
  ASSERT_TRUE(whole.has_value());
  ASSERT_EQ(whole->records.size(), 3u);
  const Lsn last = whole->batches[2].begin;
  size_t reported = 0;
  size_t shorter = 0;
  for (uint64_t at = 0; at < bench.disk->size_bytes(); ++at) {
    const auto bit = static_cast<unsigned>((at * 5 + at / 8) % 8);
    damage(bench, at, bit);
    const auto log = bench.read();
    damage(bench, at, bit);
    if (!log) {
      ASSERT_EQ(log.error().code(), Errc::checksum) << at;
      ++reported;
      continue;
    }
    ASSERT_LE(log->records.size(), 3u) << at;
    for (size_t i = 0; i < log->records.size(); ++i) {
      ASSERT_EQ(log->records[i], whole->records[i]) << at;
    }
    if (log->records.size() == 3) continue;
    ASSERT_EQ(log->summary.end, last) << at << ": only the last may go silently";
    ++shorter;
  }
  EXPECT_EQ(reported, last - bench.start.position);
  EXPECT_EQ(shorter, whole->summary.end - last);
}

TEST(WalRecovery, A_newer_version_is_refused_where_it_continues_the_log_and_ignored_as_garbage) {
  // Goal: format_newer, only with reason. Method: a write of version 2 at the end; the same with
  // another predecessor, an older incarnation, another position.
  LogBench bench;
  write_some(bench, 3);
  const auto tail = bench.read()->summary;
  WalHeader header = next_header(bench, tail);
  header.version = 2;
  const auto with = [&](const std::function<void(WalHeader&)>& change) {
    WalHeader changed = header;
    change(changed);
    bench.put(tail.end, LogBench::make_write(changed, record_bytes(9)));
    return bench.read_error();
  };
  EXPECT_EQ(with([](WalHeader&) {}), Errc::format_newer);
  EXPECT_EQ(with([](WalHeader& h) { h.predecessor = 1; }), Errc::ok);
  EXPECT_EQ(with([](WalHeader& h) { h.incarnation = 0; }), Errc::ok);
  EXPECT_EQ(with([](WalHeader& h) { h.position = kBlock; }), Errc::ok);
  EXPECT_EQ(with([](WalHeader& h) { h.position = h.position.get() + 64 * kBlock; }), Errc::ok);
}

TEST(WalRecovery, A_newer_version_beyond_the_break_is_evidence_like_any_other) {
  // Goal: the fields keep their places. Method: a break, then a newer write whose `complete` is
  // past it.
  LogBench bench;
  write_some(bench, 3);
  const auto tail = bench.read()->summary;
  WalHeader header = next_header(bench, tail);
  header.version = 2;
  header.position = tail.end + kBlock;
  header.complete = tail.end;
  bench.put(header.position.get(), LogBench::make_write(header, record_bytes(9)));
  EXPECT_EQ(bench.read_error(), Errc::ok);
  header.complete = header.position;
  bench.put(header.position.get(), LogBench::make_write(header, record_bytes(9)));
  EXPECT_EQ(bench.read_error(), Errc::checksum);
}

TEST(WalRecovery, A_ring_that_was_cut_or_grown_is_refused) {
  // Goal: format_invalid, not an empty log. Method: copies of another length, at several places of
  // the ring.
  for (const uint64_t trims : {0, 3, 20, 37}) {
    LogBench bench(16 * kBlock);
    for (uint64_t n = 0; n < trims; ++n) {
      bench.append_alone(n);
      bench.start = bench.wal->seal();
      bench.wal->trim(bench.start.position);
    }
    write_some(bench, 4);
    for (const uint64_t blocks : {8, 15, 17, 64}) {
      HeldDisk other(*bench.reactor, blocks * kBlock);
      const size_t bytes = std::min(other.content.size(), bench.disk->content.size());
      std::memcpy(other.content.data(), bench.disk->content.data(), bytes);
      const auto log = bench.run(read_log(*bench.reactor, other, bench.start));
      if (blocks == 8 && trims % 16 + 4 > 8 && log) continue;  // none of the log is left in it
      ASSERT_FALSE(log.has_value()) << trims << " " << blocks;
      EXPECT_EQ(log.error().code(), Errc::format_invalid) << trims << " " << blocks;
    }
  }
}

TEST(WalRecovery, The_log_of_another_store_is_not_taken_for_this_one) {
  // Goal: files that were mixed up. Method: other predecessor: reads as empty; same predecessor,
  // other number: refused.
  LogBench bench;
  write_some(bench, 3);
  EXPECT_EQ(bench.read(WalStart{0, 0, 1, kTestLog + 1})->records.size(), 0u);
  EXPECT_EQ(bench.read_error(WalStart{0, 0, kTestPredecessor, kTestLog + 1}), Errc::format_invalid);
}

TEST(WalRecovery, A_payload_that_looks_like_log_writes_changes_nothing) {
  // Goal: clients cannot end or condemn a log. Method: a record full of made-up writes, with all
  // that a client can guess: inside the chain, and left over behind its end.
  for (const uint64_t ring : {64 * kBlock, 16 * kBlock, uint64_t{0}}) {
    LogBench bench;
    write_some(bench, 2);
    Bytes payload(8 * kBlock);
    for (uint64_t block = 1; block < 8; ++block) {
      WalHeader fake{};
      fake.magic = kWalMagic;
      fake.version = kWalVersion;
      fake.incarnation = 1;
      fake.position = (2 + block + 64) * kBlock;
      fake.complete = fake.position;
      fake.ring_bytes = ring;
      const Bytes write = LogBench::make_write(fake, as_bytes("gotcha"));
      const uint64_t at = block * kBlock - sizeof(WalHeader) - kWalRecordHeaderBytes;
      std::memcpy(payload.data() + at, write.data(),
                  std::min<uint64_t>(kBlock, payload.size() - at));
    }
    bench.wal->append(payload, Wal::Data::none);
    bench.settle();
    ASSERT_EQ(load_le64(bench.disk->content.data() + 3 * kBlock), kWalMagic);
    auto log = bench.read();
    ASSERT_TRUE(log.has_value()) << "inside the chain";
    EXPECT_EQ(log->records.size(), 3u);
    bench.start = bench.wal->seal();
    bench.wal->trim(bench.start.position);
    log = bench.read();
    ASSERT_TRUE(log.has_value()) << "left over";
    bench.reopen();
    bench.append_alone(5);
    EXPECT_EQ(bench.read()->records.size(), 1u);
  }
}

TEST(WalRecovery, Copies_of_log_writes_inside_a_payload_of_the_chain_change_nothing) {
  // Goal: even one who reads the store's number gains nothing inside the chain. Method: a copy of
  // the log's own header with a later position in a record.
  LogBench bench;
  write_some(bench, 2);
  WalHeader fake = next_header(bench, bench.read()->summary);
  fake.position = (3 + 64) * kBlock;
  fake.complete = fake.position;
  Bytes payload(4 * kBlock);
  const Bytes write = LogBench::make_write(fake, as_bytes("gotcha"));
  std::memcpy(payload.data() + kBlock - sizeof(WalHeader) - kWalRecordHeaderBytes, write.data(),
              write.size());
  bench.wal->append(payload, Wal::Data::none);
  bench.settle();
  EXPECT_EQ(bench.read()->records.size(), 3u);
}

TEST(WalRecovery, Hostile_headers_never_crash_the_reader_nor_cost_more_than_a_few_rings) {
  // Goal: bounded work. Method: each block claims to be a write to the ring's end that would prove
  // damage, with checksums that do not fit; then with random claims.
  constexpr uint64_t kRing = 4096 * kBlock;
  LogBench bench(kRing);
  WalHeader fake{};
  fake.magic = kWalMagic;
  fake.version = kWalVersion;
  fake.incarnation = 1;
  fake.ring_bytes = kRing;
  fake.log = kTestLog;
  for (const bool random : {false, true}) {
    for (uint64_t at = 0; at < kRing; at += kBlock) {
      fake.position = at + kRing;
      fake.complete = fake.position;
      fake.bytes = static_cast<uint32_t>(random ? (1 + bench.random.below(4096)) * kBlock : kRing);
      std::memcpy(bench.disk->content.data() + at, &fake, sizeof fake);
    }
    bench.disk->bytes_read = 0;
    EXPECT_EQ(bench.read_error(), Errc::checksum);
    EXPECT_LE(bench.disk->bytes_read, 6 * kRing);
  }
  fake.log = kTestLog + 1;
  for (uint64_t at = 0; at < kRing; at += kBlock) {
    std::memcpy(bench.disk->content.data() + at, &fake, sizeof fake);
  }
  bench.disk->bytes_read = 0;
  EXPECT_EQ(bench.read_error(), Errc::ok) << "of no store of ours";
  EXPECT_LE(bench.disk->bytes_read, 2 * kRing);
}

TEST(WalRecovery, Random_headers_are_read_without_harm) {
  // Goal: no crash, no other records. Method: a good log whose blocks behind the end get headers
  // with random fields, half of them sealed.
  const uint64_t seed = 20261125;
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  for (int round = 0; round < 2000; ++round) {
    LogBench bench(16 * kBlock);
    write_some(bench, 3);
    const auto tail = bench.read()->summary;
    for (uint64_t block = 3; block < 16; ++block) {
      WalHeader header = next_header(bench, tail);
      const auto pick = [&random, &tail](uint64_t usual) -> uint64_t {
        const uint64_t odd[] = {0, tail.end, tail.end + kBlock, kBlock, random.next()};
        return random.below(3) != 0 ? usual : odd[random.below(5)];
      };
      header.incarnation = static_cast<uint32_t>(pick(1));
      header.position = pick(block * kBlock);
      header.predecessor = static_cast<uint32_t>(pick(tail.predecessor));
      header.complete = pick(tail.complete);
      header.ring_bytes = pick(16 * kBlock);
      header.version = static_cast<uint32_t>(pick(1));
      Bytes write = LogBench::make_write(header, record_bytes(7));
      header = peek_wal_header(write);
      header.bytes = static_cast<uint32_t>(random.below(2) == 0 ? kBlock : pick(2 * kBlock));
      header.used = static_cast<uint32_t>(pick(header.used.get()));
      header.record_count = static_cast<uint32_t>(pick(1));
      std::memcpy(write.data(), &header, sizeof header);
      if (random.below(2) == 0) seal_wal_write(write);
      bench.put(block * kBlock, write);
    }
    const auto log = bench.read();
    if (!log) continue;
    ASSERT_GE(log->records.size(), 3u);
    for (uint64_t n = 0; n < 3; ++n) ASSERT_EQ(log->records[n], record_bytes(n, 200));
    for (size_t i = 3; i < log->records.size(); ++i) ASSERT_EQ(log->records[i], record_bytes(7));
  }
}

TEST(WalRecovery, A_medium_that_fails_is_an_error_not_an_empty_log) {
  // Goal: io. Method: reads fail in scan; and between scan and next the log changes.
  LogBench bench(64 * kBlock);
  write_some(bench, 3);
  bench.disk->fail_reads = true;
  EXPECT_EQ(bench.read_error(), Errc::io);
  bench.disk->fail_reads = false;
  LogBench large(4096 * kBlock);  // more than is read at once
  for (uint64_t n = 0; n < 6; ++n) large.append_alone(n, 1 << 20);
  WalReader reader(*large.reactor, *large.disk, large.start);
  ASSERT_TRUE(large.run(reader.scan()));
  damage(large, 100);
  const auto next = large.run(reader.next());
  ASSERT_FALSE(next.has_value());
  EXPECT_EQ(next.error().code(), Errc::checksum);
}

}  // namespace
}  // namespace cairn::media
