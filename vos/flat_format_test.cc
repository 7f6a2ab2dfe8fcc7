// The bytes of a flattened object's buffer: golden, canonical, and distrusted.
#include "vos/flat_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/crc32c.h"

namespace cairn::vos {
namespace {

constexpr ObjectPath kObject{9, {0x1122, uint64_t{0} << 56 | 0x0001'0001'0000'0003}, 2};

Component hashed(std::string_view text) {
  return component_of(model::KeyKind::hashed, as_bytes(text));
}

Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes(text);
  return {view.begin(), view.end()};
}

FlatContent sample() {
  FlatContent content{kObject, {}};
  FlatContent::Dkey dkey{hashed("d"), {}, {}};
  dkey.akeys.push_back({hashed("a"), {}, model::ValueType::array, 2, {}});
  dkey.akeys.back().values.push_back({1, 2, false, bytes_of("abcd")});
  dkey.akeys.push_back({hashed("s"), {}, model::ValueType::single, 0, {}});
  dkey.akeys.back().values.push_back({0, 3, false, bytes_of("xyz")});
  content.dkeys.push_back(std::move(dkey));
  return content;
}

std::string hex(ByteView bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    out += kDigits[static_cast<uint8_t>(b) >> 4];
    out += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return out;
}

void fix_checksum(Bytes& bytes) {
  store_le32(bytes.data() + offsetof(FlatHeader, checksum), 0);
  store_le32(bytes.data() + offsetof(FlatHeader, checksum), crc32c(bytes));
}

TEST(FlatFormat, A_buffer_has_its_golden_bytes) {
  // Goal: what is on media today can be read tomorrow. Method: one dkey, an array and a single
  // value; each byte accounted for.
  const Bytes bytes = encode_flat(sample());
  EXPECT_EQ(hex(ByteView(bytes).first(8)), "43464c5401000000");
  EXPECT_EQ(hex(ByteView(bytes).subspan(12)),
            "aa000000"  // length 170
            "2211000000000000"
            "0300000001000100"
            "09000000"
            "02000000"  // whose
            "01000000"
            "02000000"
            "02000000"
            "0000000000000000"  // counts, outside
            "a0000000"
            "00000000"
            "0200"
            "01"
            "00"  // dkey d
            "a1000000"
            "00000000"
            "0100"
            "01"
            "04"
            "0200000000000000"  // akey a: array
            "a2000000"
            "01000000"
            "0100"
            "01"
            "02"
            "0000000000000000"  // akey s: single
            "0100000000000000"
            "0200000000000000"
            "a300000000000000"  // records 1-2
            "0000000000000000"
            "0300000000000000"
            "a700000000000000"  // 3 bytes
            "646173"
            "61626364"
            "78797a");
  EXPECT_EQ(bytes.size(), flat_bytes(sample()));
  Bytes again = bytes;
  fix_checksum(again);
  EXPECT_EQ(again, bytes);
}

TEST(FlatFormat, The_order_in_which_content_came_does_not_show) {
  // Goal: canonical. Method: keys shuffled, spans cut anywhere; one and the same buffer.
  std::mt19937_64 random(7);
  std::optional<Bytes> first;
  for (int round = 0; round < 50; ++round) {
    FlatContent content{kObject, {}};
    for (int d = 0; d < 20; ++d) {
      FlatContent::Dkey dkey{hashed("dkey" + std::to_string(d)), {}, {}};
      for (int a = 0; a < 3; ++a) {
        FlatContent::Akey akey{
            hashed("akey" + std::to_string(a)), {}, model::ValueType::array, 1, {}};
        for (uint64_t at = 10; at < 40;) {
          const uint64_t count = std::min<uint64_t>(1 + random() % 9, 40 - at);
          Bytes payload;
          for (uint64_t i = at; i < at + count; ++i) payload.push_back(static_cast<std::byte>(i));
          akey.values.push_back({at, count, false, payload});
          at += count;
        }
        std::shuffle(akey.values.begin(), akey.values.end(), random);
        dkey.akeys.push_back(std::move(akey));
      }
      std::shuffle(dkey.akeys.begin(), dkey.akeys.end(), random);
      content.dkeys.push_back(std::move(dkey));
    }
    std::shuffle(content.dkeys.begin(), content.dkeys.end(), random);
    const Bytes bytes = encode_flat(std::move(content));
    if (!first) first = bytes;
    ASSERT_EQ(bytes, *first);
  }
}

TEST(FlatFormat, Keys_and_values_are_found_in_a_parsed_buffer) {
  const Bytes bytes = encode_flat(sample());
  const auto flat = FlatBuffer::parse(bytes);
  ASSERT_TRUE(flat.has_value()) << flat.error().what();
  EXPECT_EQ(flat->object().container, 9u);
  EXPECT_EQ(flat->dkey_at(hashed("d")), 0u);
  EXPECT_EQ(flat->dkey_at(hashed("e")), 1u);
  const auto dkey = flat->dkey(0);
  EXPECT_EQ(flat->akey_at(dkey, hashed("b")), 1u);
  EXPECT_EQ(flat->akey_at(dkey, hashed("t")), 2u);
  const auto akey = flat->akey(0);
  const auto value = flat->value(akey.first, akey);
  EXPECT_EQ(value.begin, 1u);
  EXPECT_EQ(as_chars(flat->payload(value)), "abcd");
}

TEST(FlatFormat, No_bit_of_a_buffer_can_change_unseen_and_none_leads_beyond_its_end) {
  // Goal: hostile bytes. Method: each bit flipped, as it is and with the checksum set right: the
  // parser refuses it, or what it accepts is canonical (the fuzzer proves the latter at length).
  const Bytes good = encode_flat(sample());
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_FALSE(FlatBuffer::parse(bad).has_value()) << bit;
    fix_checksum(bad);
    (void)FlatBuffer::parse(bad);
  }
  for (size_t size = 0; size < good.size(); ++size) {
    Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(FlatBuffer::parse(cut).has_value()) << size;
    if (size < sizeof(FlatHeader)) continue;
    store_le32(cut.data() + offsetof(FlatHeader, length), static_cast<uint32_t>(size));
    fix_checksum(cut);
    EXPECT_FALSE(FlatBuffer::parse(cut).has_value()) << size;
  }
}

TEST(FlatFormat, A_single_value_may_be_large_and_a_record_of_an_array_may_not) {
  // Method: each size at its border.
  const auto parses = [](model::ValueType type, uint64_t bytes) {
    const bool single = type == model::ValueType::single;
    FlatContent content{kObject, {}};
    FlatContent::Dkey dkey{hashed("d"), {}, {}};
    dkey.akeys.push_back({hashed("a"), {}, type, single ? 0 : bytes, {}});
    dkey.akeys.back().values.push_back({0, single ? bytes : 1, false, Bytes(bytes)});
    content.dkeys.push_back(std::move(dkey));
    return FlatBuffer::parse(encode_flat(std::move(content))).has_value();
  };
  EXPECT_TRUE(parses(model::ValueType::single, kFlatInlineBytesMax));
  EXPECT_FALSE(parses(model::ValueType::single, kFlatInlineBytesMax + 1));
  EXPECT_TRUE(parses(model::ValueType::array, kFlatInlineMax));
  EXPECT_FALSE(parses(model::ValueType::array, kFlatInlineMax + 1));
}

TEST(FlatFormat, A_newer_version_asks_for_an_upgrade) {
  Bytes bytes = encode_flat(sample());
  bytes[4] = std::byte{kFlatVersion + 1};
  fix_checksum(bytes);
  const auto flat = FlatBuffer::parse(bytes);
  ASSERT_FALSE(flat.has_value());
  EXPECT_EQ(flat.error().code(), Errc::format_newer);
}

}  // namespace
}  // namespace cairn::vos
