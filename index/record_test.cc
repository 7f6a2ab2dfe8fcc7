#include "index/record_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "base/hash.h"
#include "media/device.h"

namespace cairn::index {
namespace {

RecordHeader some_header() {
  return {
      .session = 0x1122334455667788, .sequence = 7, .epoch = 0xABCD, .minor_epoch = 3, .kind = 2};
}

Batch some_batch() {
  Batch batch;
  batch.put(as_bytes("object/a"), as_bytes("12345678-value"));
  batch.erase(as_bytes("object/bc"));
  batch.put(as_bytes("x"), as_bytes("stampXYZ"));
  batch.move(as_bytes("xa"), as_bytes("y/1"));
  batch.move(as_bytes("xb"), as_bytes("y/2"));
  batch.publish({{300, 2}, 0xDEADBEEF});
  batch.free({5, 1});
  return batch;
}

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text.push_back(kDigits[static_cast<unsigned>(b) >> 4]);
    text.push_back(kDigits[static_cast<unsigned>(b) & 15]);
  }
  return text;
}

void expect_equal(const Batch& a, const Batch& b) {
  ASSERT_EQ(a.op_count(), b.op_count());
  for (size_t i = 0; i < a.op_count(); ++i) {
    EXPECT_EQ(a.ops()[i].kind, b.ops()[i].kind);
    EXPECT_EQ(as_chars(a.key(a.ops()[i])), as_chars(b.key(b.ops()[i])));
    EXPECT_EQ(as_chars(a.value(a.ops()[i])), as_chars(b.value(b.ops()[i])));
  }
  ASSERT_EQ(a.data().size(), b.data().size());
  for (size_t i = 0; i < a.data().size(); ++i) {
    EXPECT_EQ(a.data()[i].extent, b.data()[i].extent);
    EXPECT_EQ(a.data()[i].digest, b.data()[i].digest);
    EXPECT_TRUE(std::ranges::equal(a.data()[i].payload, b.data()[i].payload));
  }
  EXPECT_EQ(a.freed(), b.freed());
}

TEST(Record, KnownRecord_KeepsItsBytes) {
  // Golden: these bytes are in logs.
  Bytes out;
  encode_record(some_header(), some_batch(), out);
  EXPECT_EQ(hex(out),
            "0200020003000000"
            "8877665544332211"
            "0700000000000000"
            "cdab000000000000"
            "050101"
            "0020"
            "6f626a6563742f61"
            "0e"
            "31323334353637382d76616c7565"
            "0709"
            "6263"
            "0004"
            "78"
            "08"
            "7374616d7058595a"
            "0106"
            "61"
            "0003"
            "792f31"
            "0106"
            "62"
            "0201"
            "32"
            "ac0202"
            "efbeadde"
            "0501");
}

TEST(Record, WithData_KeepsItsBytes) {
  // Golden: the same with data that the record carries.
  const Bytes payload(2 * media::kBlockBytes, std::byte{0x5A});
  Batch batch = some_batch();
  batch.publish({{9, 2}, 0x01020304, payload});
  Bytes plain;
  encode_record(some_header(), batch, plain);
  EXPECT_LT(plain.size(), 200u);
  Bytes out;
  encode_record(some_header(), batch, out, true);
  ASSERT_EQ(out.size(), plain.size() + payload.size());
  const std::string text = hex(ByteView(out).first(plain.size()));
  EXPECT_EQ(text.substr(0, 2), "03");
  EXPECT_EQ(text.substr(64, 6), "050201");
  // The first one's two blocks lie beside the record, the second's two in it.
  EXPECT_EQ(text.substr(text.size() - 30), "ac0204efbeadde0905040302010501");
  EXPECT_TRUE(std::ranges::equal(ByteView(out).subspan(plain.size()), payload));
  Batch back;
  const auto header = parse_record(out, back);
  ASSERT_TRUE(header);
  expect_equal(batch, back);
  for (const size_t cut : {size_t{1}, payload.size() / 2, payload.size()}) {
    EXPECT_FALSE(parse_record(ByteView(out).first(out.size() - cut), back)) << cut;
  }
}

TEST(Record, OfVersionOne_IsUnderstood) {
  // Golden: logs that were written before there were moves.
  static constexpr std::string_view kHex =
      "0100020003000000"
      "8877665544332211"
      "0700000000000000"
      "cdab000000000000"
      "030101"
      "0010"
      "6f626a6563742f61"
      "0e"
      "31323334353637382d76616c7565"
      "0705"
      "6263"
      "0002"
      "78"
      "08"
      "7374616d7058595a"
      "ac0202"
      "efbeadde"
      "0501";
  Bytes old;
  for (size_t i = 0; i < kHex.size(); i += 2) {
    old.push_back(static_cast<std::byte>(std::stoul(std::string(kHex.substr(i, 2)), nullptr, 16)));
  }
  Batch expected;
  expected.put(as_bytes("object/a"), as_bytes("12345678-value"));
  expected.erase(as_bytes("object/bc"));
  expected.put(as_bytes("x"), as_bytes("stampXYZ"));
  expected.publish({{300, 2}, 0xDEADBEEF});
  expected.free({5, 1});
  Batch batch;
  const auto header = parse_record(old, batch);
  ASSERT_TRUE(header) << header.error().what();
  EXPECT_EQ(header->epoch, 0xABCDu);
  expect_equal(expected, batch);
}

TEST(Record, WhatIsEncoded_ComesBack) {
  std::mt19937_64 rng(5);
  for (int round = 0; round < 300; ++round) {
    Batch batch;
    for (size_t i = rng() % 30; i > 0; --i) {
      const std::string key(1 + rng() % (rng() % 5 == 0 ? kKeyBytesMax : 20),
                            static_cast<char>('a' + rng() % 2));
      const std::string value(8 + rng() % (rng() % 5 == 0 ? kValueBytesMax - 7 : 90), 'v');
      if (rng() % 4 == 0) {
        batch.move(as_bytes(key), as_bytes(key.substr(1) + 'c'));
      } else if (rng() % 3 == 0) {
        batch.erase(as_bytes(key));
      } else {
        batch.put(as_bytes(key), as_bytes(value));
      }
    }
    for (size_t i = rng() % 4; i > 0; --i) {
      batch.publish(
          {{rng() >> 2, 1 + static_cast<uint32_t>(rng() % 0xFFFF)}, static_cast<uint32_t>(rng())});
    }
    for (size_t i = rng() % 4; i > 0; --i) batch.free({rng() % 1000, 0xFFFFFFFF});
    Bytes out;
    encode_record(some_header(), batch, out);
    Batch back;
    const auto header = parse_record(out, back);
    ASSERT_TRUE(header) << header.error().what();
    EXPECT_EQ(header->session, some_header().session);
    EXPECT_EQ(header->sequence, 7u);
    EXPECT_EQ(header->epoch, 0xABCDu);
    EXPECT_EQ(header->minor_epoch, 3u);
    EXPECT_EQ(header->kind, 2u);
    expect_equal(batch, back);
  }
}

TEST(Record, CutAnywhere_IsRefused) {
  Bytes out;
  encode_record(some_header(), some_batch(), out);
  Batch back;
  for (size_t n = 0; n < out.size(); ++n) {
    const auto header = parse_record(ByteView(out).first(n), back);
    ASSERT_FALSE(header);
    EXPECT_EQ(header.error().code(), Errc::checksum);
  }
  out.push_back(std::byte{0});
  EXPECT_FALSE(parse_record(out, back));
}

TEST(Record, NewerVersion_AsksForAnUpgrade) {
  Bytes out;
  encode_record(some_header(), some_batch(), out);
  out[0] = std::byte{4};
  Batch back;
  EXPECT_EQ(parse_record(out, back).error().code(), Errc::format_newer);
}

TEST(Record, AnyByteChanged_IsRefusedOrStaysInBounds) {
  // Goal: hostile bytes never crash the parser. Method: every value of every byte; what parses is
  // encoded and parsed again and must say the same. The same of a record that carries data, but
  // for the data itself.
  Bytes out;
  encode_record(some_header(), some_batch(), out);
  const size_t plain_bytes = out.size();
  const Bytes payload(media::kBlockBytes, std::byte{1});
  Batch with_data = some_batch();
  with_data.publish({{9, 1}, 5, payload});
  Bytes carrying;
  encode_record(some_header(), with_data, carrying, true);
  for (size_t i = 0; i < plain_bytes + carrying.size() - payload.size(); ++i) {
    for (unsigned value = 0; value < 256; ++value) {
      Bytes hostile = i < plain_bytes ? out : carrying;
      hostile[i < plain_bytes ? i : i - plain_bytes] = static_cast<std::byte>(value);
      Batch back;
      const auto header = parse_record(hostile, back);
      if (!header) continue;
      Bytes again;
      encode_record(*header, back, again, true);
      Batch twice;
      ASSERT_TRUE(parse_record(again, twice));
      expect_equal(back, twice);
    }
  }
}

TEST(Record, KeysThatUnfoldWithoutEnd_AreRefused) {
  // A change of three bytes repeats a key of kKeyBytesMax bytes.
  Bytes out;
  Batch one;
  one.erase(as_bytes(std::string(kKeyBytesMax, 'k')));
  encode_record(some_header(), one, out);
  Bytes bomb(out.begin(), out.begin() + 32);
  const size_t repeats = kRecordUnfoldedBytesMax / kKeyBytesMax + 1;
  bomb.insert(bomb.end(),
              {std::byte{0x80 | (repeats & 0x7F)}, std::byte{0x80 | (repeats >> 7 & 0x7F)},
               std::byte{repeats >> 14}, std::byte{0}, std::byte{0}});
  bomb.insert(bomb.end(), out.begin() + 35, out.end());
  for (size_t i = 1; i < repeats; ++i) {
    bomb.insert(bomb.end(),
                {std::byte{0x80}, std::byte{0x0A}, std::byte{1}});  // shared 1,280, erase
  }
  Batch back;
  const auto header = parse_record(bomb, back);
  ASSERT_FALSE(header);
  EXPECT_STREQ(header.error().what(), "log record: too large");
}

}  // namespace
}  // namespace cairn::index
