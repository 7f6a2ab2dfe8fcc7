#include "index/write_behind.h"

#include <gtest/gtest.h>

#include "runtime/random.h"
#include "sim/clock.h"

namespace cairn::index {
namespace {

struct Waiting {
  sim::SimClock clock;
  SeededRandom random{1};
  Reactor reactor{clock, random, nullptr};
  WriteBehind behind{reactor, 4};

  void put(uint64_t block, int content) {
    const std::vector<std::byte> bytes(media::kBlockBytes, static_cast<std::byte>(content));
    behind.put(block, bytes.data());
  }
  int content(uint64_t block) const {
    const std::byte* const at = behind.find(block);
    return at == nullptr ? -1 : std::to_integer<int>(at[media::kBlockBytes - 1]);
  }
};

TEST(WriteBehind, A_block_is_read_from_memory_until_it_was_written) {
  Waiting w;
  EXPECT_TRUE(w.behind.idle());
  w.put(7, 1);
  EXPECT_EQ(w.content(7), 1);
  const WriteBehind::Buffer& buffer = w.behind.begin();
  EXPECT_EQ(buffer.blocks, std::vector<uint64_t>{7});
  EXPECT_EQ(w.content(7), 1);
  EXPECT_TRUE(w.behind.writes({5, 3}));
  EXPECT_FALSE(w.behind.writes({8, 3}));
  w.behind.end(true);
  EXPECT_EQ(w.content(7), -1);
  EXPECT_TRUE(w.behind.idle());
}

TEST(WriteBehind, A_block_that_comes_again_while_it_is_written_waits_for_the_next_buffer) {
  Waiting w;
  w.put(7, 1);
  const WriteBehind::Buffer& first = w.behind.begin();
  EXPECT_TRUE(w.behind.is_newest(first, 0));
  w.put(7, 2);
  EXPECT_FALSE(w.behind.is_newest(first, 0));
  w.behind.end(true);
  EXPECT_EQ(w.content(7), 2);
  const WriteBehind::Buffer& second = w.behind.begin();
  EXPECT_TRUE(w.behind.is_newest(second, 0));
  w.behind.end(true);
  EXPECT_TRUE(w.behind.idle());
}

TEST(WriteBehind, What_somebody_writes_himself_is_not_written_from_here) {
  Waiting w;
  for (int i = 0; i < 4; ++i) w.put(10 + static_cast<uint64_t>(i), i);
  EXPECT_TRUE(w.behind.full());
  w.behind.forget({11, 2});
  EXPECT_EQ(w.content(10), 0);
  EXPECT_EQ(w.content(11), -1);
  EXPECT_EQ(w.content(12), -1);
  const WriteBehind::Buffer& buffer = w.behind.begin();
  EXPECT_TRUE(w.behind.is_newest(buffer, 0));
  EXPECT_FALSE(w.behind.is_newest(buffer, 1));
  EXPECT_TRUE(w.behind.writes({11, 1})) << "to be on the safe side";
  w.behind.end(true);
}

TEST(WriteBehind, What_could_not_be_written_stays_readable) {
  Waiting w;
  w.put(7, 1);
  w.behind.begin();
  w.behind.end(false);
  EXPECT_FALSE(w.behind.writing());
  EXPECT_EQ(w.content(7), 1);
}

}  // namespace
}  // namespace cairn::index
