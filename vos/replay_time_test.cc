// How long an opening after a crash takes (store.md rule 18), on simulated disks that are slow.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "runtime/parallel.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

constexpr uint64_t kKeys = 16'000;
/// A few of them fill a leaf.
constexpr uint64_t kValueBytes = 3'000;
/// 20 ms on the average.
constexpr Duration kSlowDelayMax = 40 * kMillisecond;
constexpr Duration kFastDelayMax = 20 * kMicrosecond;

class ReplayTimeTest : public ::testing::Test {
 protected:
  ReplayTimeTest() {
    options_.store.memory_bytes = 96u << 20;
    options_.reclaim = false;
  }
  ~ReplayTimeTest() override {
    world_.end_era();
    shard_.reset();
  }

  static Task<Result<void>> start_task(ReplayTimeTest& test, bool create) {
    const index::StoreDevices devices{&test.wal_, &test.meta_, &test.data_};
    Reactor& reactor = test.world_.reactor();
    CO_TRY(shard, create ? co_await Shard::create(reactor, devices, {}, test.options_)
                         : co_await Shard::open(reactor, devices, {}, test.options_));
    test.shard_ = std::move(shard);
    co_return Result<void>{};
  }
  void start(bool create) {
    const auto started = world_.run(start_task(*this, create));
    ASSERT_TRUE(started && started->has_value()) << started->error().what();
  }
  void next_era() {
    world_.end_era();
    shard_.reset();
    world_.begin_era();
  }

  static Task<Result<void>> put(Shard& shard, uint64_t number, std::string akey, Bytes value) {
    std::byte dkey[8];
    store_be64(dkey, number * 0x9E37'79B9'7F4A'7C15);
    UpdateRequest r{.object = {1, {7, 0x0001'0001'0000'0000}, 0}, .dkey = dkey};
    r.iods.push_back(
        {as_bytes(akey), ValueType::single, value.size(), 0, {}, scattered(value), false});
    CO_TRY(done, co_await shard.update(r));
    (void)done;
    co_return Result<void>{};
  }
  /// `count` updates from `first` on at once, each of another leaf if it can be.
  void put_many(uint64_t first, uint64_t count, const std::string& akey, uint64_t bytes) {
    std::vector<Task<Result<void>>> tasks;
    for (uint64_t i = first; i < first + count; ++i) {
      tasks.push_back(put(*shard_, i % kKeys, akey, Bytes(bytes, static_cast<std::byte>(i))));
    }
    const auto done = world_.run(run_all(world_.reactor(), std::move(tasks), count));
    ASSERT_TRUE(done && done->has_value()) << done->error().what();
  }
  index::StoreStats stats() const { return shard_->store().stats(); }

  sim::World world_{test_seed()};
  sim::SimDisk& wal_ = world_.add_disk("wal", 64u << 20);
  sim::SimDisk& meta_ = world_.add_disk("meta", 256u << 20);
  sim::SimDisk& data_ = world_.add_disk("data", 8u << 20);
  ShardOptions options_;
  std::unique_ptr<Shard> shard_;
};

TEST_F(ReplayTimeTest, On_a_slow_disk_a_checkpoint_begins_before_replay_would_take_two_seconds) {
  // Goal: what counts on such a disk are the leaves that replay would have to load. Method: a shard
  // whose leaves are cold; updates that touch one each, until a checkpoint begins by itself, and
  // on until updates have to wait for it; then the power goes, and the opening is timed. The log,
  // the records and memory are far from their own limits all the time.
  world_.power().delay_max = kFastDelayMax;
  ASSERT_NO_FATAL_FAILURE(start(true));
  for (uint64_t i = 0; i < kKeys; i += 64) {
    ASSERT_NO_FATAL_FAILURE(put_many(i, 64, "a", kValueBytes));
  }
  ASSERT_GT(stats().page_count, 3'000u);
  ASSERT_TRUE(*world_.run(shard_->close()));
  next_era();
  ASSERT_NO_FATAL_FAILURE(start(false));

  world_.power().delay_max = kSlowDelayMax;
  const uint64_t before = stats().checkpoints;
  uint64_t touched = 0;
  while (!stats().checkpoint_running && stats().checkpoints == before && touched < kKeys) {
    ASSERT_NO_FATAL_FAILURE(put_many(touched, 16, "b", 8));
    touched += 16;
  }
  EXPECT_GT(touched, 600u) << "far too early";
  EXPECT_LT(touched, 1'700u) << "replay would take too long by now";
  EXPECT_LT(stats().wal_used_bytes, stats().wal_bytes / 4) << "not because of the log";
  // The checkpoint writes; updates go on beside it.
  uint64_t beside = 0;
  for (; stats().checkpoint_running && beside < 2'000; beside += 16) {
    ASSERT_NO_FATAL_FAILURE(put_many(touched + beside, 16, "b", 8));
  }
  EXPECT_GT(beside, 0u);
  world_.cut_power_at(1);
  (void)world_.run(shard_->settled());
  next_era();

  const Instant begin = world_.clock().now();
  ASSERT_NO_FATAL_FAILURE(start(false));
  const double seconds = static_cast<double>(world_.clock().now() - begin) / 1e9;
  EXPECT_LT(seconds, 3.0);
  RecordProperty("milliseconds", static_cast<int>(seconds * 1e3));
  std::printf("%llu leaves until the checkpoint, %llu updates beside it; opened in %.2f s\n",
              static_cast<unsigned long long>(touched), static_cast<unsigned long long>(beside),
              seconds);
  world_.power().delay_max = kFastDelayMax;
  const auto report = world_.run(shard_->check(true));
  ASSERT_TRUE(report && report->has_value());
  EXPECT_TRUE((*report)->problems.empty());
}

}  // namespace
}  // namespace cairn::vos::testing
