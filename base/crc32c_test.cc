#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <random>

#include "base/crc32c_folding.h"

namespace cairn {
namespace {

/// Bit by bit, as the definition says.
uint32_t by_definition(ByteView data, uint32_t seed) {
  uint32_t crc = ~seed;
  for (const std::byte b : data) {
    crc ^= static_cast<uint8_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

TEST(Crc32c, Every_length_agrees_with_the_definition) {
  // Goal: lanes and their joints are right. Method: all lengths around the lane sizes, odd starts,
  // a seed.
  std::mt19937 random(20);
  Bytes data(20'000);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  for (size_t n = 0; n < 1100; ++n) {
    const ByteView part = ByteView(data).subspan(n % 13, n);
    ASSERT_EQ(crc32c(part, static_cast<uint32_t>(n)),
              by_definition(part, static_cast<uint32_t>(n)));
  }
  for (const size_t n : {4079u, 4080u, 4081u, 4096u, 4560u, 8160u, 8161u, 12'345u, 19'000u}) {
    const ByteView part = ByteView(data).subspan(7, n);
    ASSERT_EQ(crc32c(part), by_definition(part, 0)) << n;
  }
}

TEST(Crc32c, Both_ways_agree_with_the_definition) {
  // Goal: folding and lanes, each by itself, whichever this processor would take. Method: lengths
  // around their units, odd starts, registers that are not the first.
  std::mt19937 random(21);
  Bytes data(70'000);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  for (size_t n = detail::kFoldBytesMin; n < data.size() - 70; n += n < 1300 ? 1 : 997) {
    const ByteView part = ByteView(data).subspan(n % 67, n);
    const auto seed = static_cast<uint32_t>(n * 2654435761u);
    const uint32_t wanted = by_definition(part, seed);
    ASSERT_EQ(~detail::crc32c_lanes(~seed, part), wanted) << n;
    if (!detail::can_fold()) continue;
    const size_t folded = n / detail::kFoldUnit * detail::kFoldUnit;
    const uint32_t crc = detail::crc32c_fold(~seed, part.data(), n, n);
    ASSERT_EQ(~detail::crc32c_lanes(crc, part.subspan(folded)), wanted) << n;
  }
}

TEST(Crc32c, Two_pieces_join) {
  // Goal: the whole's from the parts'. Method: the usual block, odd sizes, nothing.
  Bytes data(3 * 4096 + 777);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + i / 255);
  const ByteView view(data);
  for (const size_t second : {size_t{0}, size_t{1}, size_t{5}, size_t{4095}, size_t{4096},
                              size_t{4097}, size_t{8192}, data.size()}) {
    const size_t first = data.size() - second;
    EXPECT_EQ(crc32c_join(crc32c(view.first(first)), crc32c(view.subspan(first)), second),
              crc32c(view))
        << second;
  }
}

TEST(Crc32c, Blocks_agree_with_one_at_a_time) {
  // Goal: fetching ahead changes no result and reads nothing beyond the end.
  for (const size_t count : {0u, 1u, 2u, 3u, 4u, 40u}) {
    for (const size_t block : {512u, 4096u, 10'000u}) {
      Bytes data(count * block);
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 + i / 251);
      std::vector<uint32_t> crcs(count);
      crc32c_blocks(data, block, crcs);
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(crcs[i], crc32c(ByteView(data).subspan(i * block, block))) << count << " " << i;
      }
    }
  }
}

TEST(Crc32c, Pieces_chain) {
  // Goal: a seed continues an earlier result. Method: every cut of one input.
  Bytes data(1500, std::byte{0x5a});
  const uint32_t whole = crc32c(data);
  for (size_t cut = 0; cut <= data.size(); cut += 37) {
    const ByteView view(data);
    EXPECT_EQ(crc32c(view.subspan(cut), crc32c(view.first(cut))), whole) << cut;
  }
}

}  // namespace
}  // namespace cairn
