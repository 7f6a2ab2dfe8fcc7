#include "base/buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace cairn {
namespace {

TEST(Buffer, Is_aligned_where_devices_use_it) {
  for (const size_t bytes : {size_t{4096}, size_t{5000}, kLargeBlockMin - 1, kLargeBlockMin,
                             kLargeBlockMin + 1, size_t{20} << 20}) {
    Buffer buffer = Buffer::uninitialised(bytes);
    ASSERT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u) << bytes;
    std::memset(buffer.data(), 0x5A, bytes);
  }
  EXPECT_TRUE(Buffer::uninitialised(0).empty());
}

TEST(Buffer, Moves_and_gives_its_bytes_away) {
  // Goal: both kinds keep their bytes on the way, and nothing is freed twice (sanitizers look on).
  Bytes some(300, std::byte{7});
  const std::byte* const at = some.data();
  Buffer a(std::move(some));
  EXPECT_EQ(a.data(), at);
  Buffer b = Buffer::uninitialised(200'000);
  std::memset(b.data(), 9, b.size());
  b.truncate(100);
  Buffer c = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): what it promises
  a = std::move(b);
  EXPECT_EQ(std::move(a).take_bytes(), Bytes(100, std::byte{9}));
  EXPECT_EQ(std::move(c).take_bytes(), Bytes(300, std::byte{7}));
  c = Buffer::uninitialised(kLargeBlockMin);
  c = Bytes(1, std::byte{1});
  EXPECT_EQ(c.size(), 1u);
}

TEST(LargeBlocks, Are_not_shared_between_threads) {
  // Goal: a block that is in use belongs to one. Method: threads fill blocks with their own mark,
  // and give back blocks that others took.
  constexpr int kThreads = 4, kTurns = 2000;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &wrong] {
      std::vector<Buffer> held;
      for (int i = 0; i < kTurns; ++i) {
        const size_t bytes = kLargeBlockMin << (i % 3);
        Buffer fresh = Buffer::uninitialised(bytes);
        for (const size_t at : {size_t{0}, bytes / 2, bytes - 1}) {
          fresh.data()[at] = static_cast<std::byte>(t);
        }
        held.push_back(std::move(fresh));
        if (held.size() < 8) continue;
        for (Buffer& each : held) {
          wrong += each.data()[0] != static_cast<std::byte>(t) ||
                   each.data()[each.size() - 1] != static_cast<std::byte>(t);
        }
        held.clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace cairn
