#include <gtest/gtest.h>

#include <random>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/hash.h"
#include "base/ordered_int.h"
#include "base/uuid.h"
#include "base/varint.h"

namespace cairn {
namespace {

TEST(Crc32c, StandardCheckInput_GivesTheStandardValue) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))), 0xE3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Hash, KnownInput_KeepsItsOnMediaValue) {
  // Golden: these bytes are in keys on media.
  EXPECT_EQ(xxh3_64(as_bytes("cairn")), xxh3_64(as_bytes("cairn")));
  EXPECT_EQ(xxh3_64({}), 0x2D06800538D394C2ull);
  const auto h = xxh3_128({});
  EXPECT_EQ(load_be64(h.data()), 0x99AA06D3014798D8ull);
  EXPECT_EQ(load_be64(h.data() + 8), 0x6001C324468D497Full);
}

TEST(OrderedInt, AnyTwoValues_CompareAsBytesLikeNumbers) {
  std::mt19937_64 rng(1);
  std::vector<uint64_t> values{0, 1, 0xF6, 0xF7, 0xF8, 0xFF, 0x100, ~0ull, ~0ull - 1, 1ull << 63};
  for (int i = 0; i < 500; ++i) values.push_back(rng() >> (rng() % 64));
  for (const uint64_t a : values) {
    std::byte ea[kOrderedIntBytesMax];
    const size_t na = put_ordered_int(ea, a);
    uint64_t back = 0;
    ASSERT_EQ(get_ordered_int({ea, na}, &back), na);
    ASSERT_EQ(back, a);
    ASSERT_EQ(get_ordered_int({ea, na - 1}, &back), 0u);
    for (const uint64_t b : values) {
      std::byte eb[kOrderedIntBytesMax];
      const size_t nb = put_ordered_int(eb, b);
      const int c = std::memcmp(ea, eb, std::min(na, nb));
      ASSERT_EQ(c < 0 || (c == 0 && na < nb), a < b);
    }
  }
}

TEST(OrderedInt, NotCanonical_IsRefused) {
  uint64_t v = 0;
  const std::byte padded[] = {std::byte{0xF9}, std::byte{0}, std::byte{5}};
  EXPECT_EQ(get_ordered_int(padded, &v), 0u);
  const std::byte small[] = {std::byte{0xF8}, std::byte{5}};
  EXPECT_EQ(get_ordered_int(small, &v), 0u);
}

TEST(Varint, CutOrTooLong_IsRefused) {
  Bytes out;
  put_varint(out, ~0ull);
  ASSERT_EQ(out.size(), 10u);
  uint64_t v = 0;
  ByteView in = out;
  ASSERT_TRUE(take_varint(in, &v));
  EXPECT_EQ(v, ~0ull);
  in = ByteView(out).first(9);
  EXPECT_FALSE(take_varint(in, &v));
  out[9] = std::byte{2};
  in = out;
  EXPECT_FALSE(take_varint(in, &v));
}

TEST(UuidText, RoundTrip_AndMalformedTextIsRefused) {
  const char* text = "01234567-89ab-4def-8123-456789abcdef";
  ASSERT_TRUE(parse_uuid(text));
  EXPECT_EQ(to_string(*parse_uuid(text)), text);
  EXPECT_FALSE(parse_uuid("01234567-89ab-4def-8123-456789abcde"));
  EXPECT_FALSE(parse_uuid("0123456789ab-4def-8123-456789abcdef-"));
  EXPECT_FALSE(parse_uuid("g1234567-89ab-4def-8123-456789abcdef"));
}

}  // namespace
}  // namespace cairn
