#include "runtime/frame_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace cairn {
namespace {

TEST(FramePool, Frames_in_use_never_overlap_and_come_back) {
  // Goal: memory is whole and is used again. Method: frames of every kind of size, all filled and
  // compared; then the same sizes once more, mostly at the same addresses.
  const std::vector<size_t> sizes{1, 63, 64, 65, 200, 4095, 4096, 4097, 20'000};
  std::set<void*> seen;
  size_t met_again = 0;
  for (int round = 0; round < 2; ++round) {
    std::vector<std::pair<std::byte*, size_t>> frames;
    for (int i = 0; i < 100; ++i) {
      for (const size_t bytes : sizes) {
        auto* frame = static_cast<std::byte*>(frame_new(bytes));
        std::memset(frame, static_cast<int>(frames.size() % 251), bytes);
        frames.emplace_back(frame, bytes);
        if (bytes <= kFrameBytesPooledMax && !seen.insert(frame).second) ++met_again;
      }
    }
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto [frame, bytes] = frames[i];
      for (size_t at = 0; at < bytes; ++at) {
        ASSERT_EQ(frame[at], static_cast<std::byte>(i % 251)) << bytes;
      }
      frame_delete(frame, bytes);
    }
  }
  EXPECT_GE(met_again, 600u) << "of 700 frames that could be met again";
}

TEST(FramePool, Threads_exchange_frames_without_the_heap) {
  // Goal: what one thread makes and another destroys goes round, whole. Method: makers hand frames
  // to a destroyer through slots; each frame holds its own address.
  constexpr size_t kSlots = 64, kRounds = 20'000;
  std::vector<std::atomic<void**>> slots(kSlots);
  std::atomic<size_t> destroyed{0};
  std::thread destroyer([&] {
    while (destroyed.load() < 2 * kRounds) {
      for (auto& slot : slots) {
        void** const frame = slot.exchange(nullptr);
        if (frame == nullptr) continue;
        if (*frame != frame) std::abort();
        frame_delete(frame, 500);
        ++destroyed;
      }
    }
  });
  std::vector<std::thread> makers;
  for (size_t m = 0; m < 2; ++m) {
    makers.emplace_back([&, m] {
      for (size_t i = 0; i < kRounds; ++i) {
        auto** const frame = static_cast<void**>(frame_new(500));
        *frame = frame;
        auto& slot = slots[(i * 2 + m) % kSlots];
        void** empty = nullptr;
        while (!slot.compare_exchange_weak(empty, frame)) {
          empty = nullptr;
          std::this_thread::yield();
        }
      }
    });
  }
  for (auto& maker : makers) maker.join();
  destroyer.join();
  EXPECT_EQ(destroyed.load(), 2 * kRounds);
}

TEST(FramePool, A_forked_child_goes_on_whatever_other_threads_were_doing) {
  // Goal: no lock survives a fork in a child. Method: fork often while two threads go through the
  // depot all the time; each child does, too. The test's time limit judges.
  std::atomic<bool> stop{false};
  const auto churn = [] {
    std::vector<void*> frames(100);
    for (void*& frame : frames) frame = frame_new(300);
    for (void* frame : frames) frame_delete(frame, 300);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop.load()) churn();
    });
  }
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      churn();
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace cairn
