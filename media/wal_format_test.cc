// The bytes of one log write, and what the parser refuses.
#include "media/wal_format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "media/wal_testing.h"

namespace cairn::media {
namespace {

WalHeader good_header() {
  WalHeader header{};
  header.magic = kWalMagic;
  header.version = kWalVersion;
  header.incarnation = 3;
  header.position = 0x10000;
  header.predecessor = 0xA1B2C3D4;
  header.epoch_highest = 0x0102030405060708;
  header.read_lease = 0x1112131415161718;
  header.complete = 0xF000;
  header.ring_bytes = 0x40000;
  header.log = 0x2122232425262728;
  return header;
}

Errc parse_error(ByteView bytes) {
  const auto write = parse_wal_write(bytes);
  return write ? Errc::ok : write.error().code();
}

TEST(WalFormat, Golden_bytes) {
  // Goal: the format stays what it is; a change of these bytes is a new version. Method: one record
  // of three bytes.
  const Bytes bytes = LogBench::make_write(good_header(), as_bytes("abc"));
  const uint8_t golden[] = {
      0x43, 0x61, 0x69, 0x72, 0x6E, 0x57, 0x41, 0x4C,  // "CairnWAL"
      0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,  // version, incarnation
      0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,  // position
      0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // bytes, checksum
      0xD4, 0xC3, 0xB2, 0xA1, 0x67, 0x00, 0x00, 0x00,  // predecessor, used
      0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // record_count, reserved
      0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,  // epoch_highest
      0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,  // read_lease
      0x00, 0xF0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // complete
      0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00,  // ring_bytes
      0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,  // log
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // reserved2
      0x03, 0x00, 0x00, 0x00, 0x61, 0x62, 0x63,        // the record
  };
  ASSERT_EQ(bytes.size(), 4096u);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 28 && i < 32) continue;
    ASSERT_EQ(static_cast<uint8_t>(bytes[i]), i < sizeof golden ? golden[i] : 0) << i;
  }
  EXPECT_EQ(load_le32(bytes.data() + 28), 0xF73FBF0Bu);
  const auto write = parse_wal_write(bytes);
  ASSERT_TRUE(write.has_value());
  ASSERT_EQ(write->records.size(), 1u);
  EXPECT_EQ(as_chars(write->records[0]), "abc");
  EXPECT_EQ(write->lsns[0], 0x10067u);
}

TEST(WalFormat, The_log_writes_these_bytes) {
  // Goal: the writer and the map agree. Method: one record through Wal, one made by hand.
  LogBench bench(64 * kWalBlockBytes);
  bench.wal->set_stamp({7, 8});
  bench.append_alone(5);
  WalHeader header{};
  header.magic = kWalMagic;
  header.version = kWalVersion;
  header.incarnation = 1;
  header.predecessor = kTestPredecessor;
  header.epoch_highest = 7;
  header.read_lease = 8;
  header.ring_bytes = 64 * kWalBlockBytes;
  header.log = kTestLog;
  EXPECT_EQ(bench.disk->writes[0].bytes, LogBench::make_write(header, record_bytes(5)));
}

TEST(WalFormat, What_breaks_a_rule_under_a_whole_checksum_is_refused) {
  // Goal: every rule of the format. Method: change one thing, seal again.
  const Bytes good = LogBench::make_write(good_header(), record_bytes(1));
  const auto with = [&good](const std::function<void(WalHeader&, Bytes&)>& change) {
    Bytes bytes = good;
    WalHeader header = peek_wal_header(bytes);
    change(header, bytes);
    std::memcpy(bytes.data(), &header, sizeof header);
    seal_wal_write(bytes);
    return parse_error(bytes);
  };
  EXPECT_EQ(with([](auto&, auto&) {}), Errc::ok);
  EXPECT_EQ(with([](auto& h, auto&) { h.version = 2; }), Errc::format_newer);
  EXPECT_EQ(with([](auto& h, auto&) { h.version = 0; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.position = 0x10001; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.position = ~uint64_t{0} - 4095; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.complete = h.position.get() + 1; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.complete = h.position.get(); }), Errc::ok);
  EXPECT_EQ(with([](auto& h, auto&) { h.used = 95; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.used = 4097; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.used = h.used.get() + 1; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.used = h.used.get() - 1; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.used = 96; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.record_count = 0; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.record_count = 2; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.record_count = ~uint32_t{0}; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.record_count = 0, h.used = 96; }), Errc::ok);
  EXPECT_EQ(with([](auto& h, auto&) { h.reserved = 1; }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto&) { h.reserved2 = 1; }), Errc::checksum);
  EXPECT_EQ(with([](auto&, auto& b) { store_le32(b.data() + 96, ~uint32_t{0}); }), Errc::checksum);
  EXPECT_EQ(with([](auto& h, auto& b) { b.resize(8192), h.bytes = 8192; }), Errc::checksum)
      << "a whole block of padding";
}

TEST(WalFormat, What_is_torn_or_no_write_is_the_end_of_a_chain) {
  // Goal: again, not an error. Method: lengths that do not fit; every byte of a write changed.
  const Bytes good = LogBench::make_write(good_header(), record_bytes(1));
  EXPECT_EQ(parse_error({}), Errc::again);
  EXPECT_EQ(parse_error(ByteView(good).first(95)), Errc::again);
  EXPECT_EQ(parse_error(Bytes(4096)), Errc::again);
  Bytes longer = good;
  longer.resize(8192);
  EXPECT_EQ(parse_error(longer), Errc::again);
  for (size_t i = 0; i < good.size(); ++i) {
    Bytes bytes = good;
    bytes[i] ^= std::byte{0x10};
    ASSERT_EQ(parse_error(bytes), Errc::again) << i;
  }
}

TEST(WalFormat, The_checksum_may_be_taken_a_piece_at_a_time) {
  // Goal: WalChecksum. Method: pieces of every block size.
  Bytes bytes = LogBench::make_write(good_header(), record_bytes(1, 5 * kWalBlockBytes));
  const uint32_t wanted = peek_wal_header(bytes).checksum.get();
  for (size_t piece = kWalBlockBytes; piece <= bytes.size(); piece += kWalBlockBytes) {
    WalChecksum checksum;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      checksum.add(ByteView(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
    EXPECT_EQ(checksum.value(), wanted);
  }
}

TEST(WalFormat, Claims_are_whole_blocks_within_the_ring) {
  // Goal: wal_claimed_bytes. Method: each way of not being a claim.
  const Bytes good = LogBench::make_write(good_header(), record_bytes(1, 2 * kWalBlockBytes));
  EXPECT_EQ(wal_claimed_bytes(good, 1 << 20), 3 * kWalBlockBytes);
  EXPECT_EQ(wal_claimed_bytes(good, 2 * kWalBlockBytes), 0u);
  EXPECT_EQ(wal_claimed_bytes(ByteView(good).first(95), 1 << 20), 0u);
  EXPECT_EQ(wal_claimed_bytes(Bytes(4096), 1 << 20), 0u);
  for (const uint32_t bytes : {0u, 1u, 4095u, 4097u}) {
    Bytes odd = good;
    store_le32(odd.data() + 24, bytes);
    EXPECT_EQ(wal_claimed_bytes(odd, 1 << 20), 0u);
  }
}

}  // namespace
}  // namespace cairn::media
