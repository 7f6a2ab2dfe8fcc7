// Freed blocks are told to the device (index/data.cc), and to nobody who needs them.
#include <gtest/gtest.h>

#include <set>

#include "index/store.h"
#include "index/store_testing.h"

namespace cairn::index::testing {
namespace {

/// A data blob that wants to know, checks what it is told, and loses it.
class Trimmed final : public media::Device {
 public:
  Trimmed(Reactor& reactor, TestDisk& below) : reactor_(reactor), below_(below) {}
  uint64_t size_bytes() const override { return below_.size_bytes(); }
  Task<Result<void>> read(uint64_t at, ByteSpan into) override { return below_.read(at, into); }
  Task<Result<void>> write(uint64_t at, ByteView from) override {
    for (const auto& [begin, end] : under_way_) {
      EXPECT_FALSE(at < end && begin < at + from.size()) << "written while it is told";
    }
    return below_.write(at, from);
  }
  Task<Result<void>> write_durable(uint64_t at, ByteView from) override { return write(at, from); }
  Task<Result<void>> flush() override { return below_.flush(); }
  bool wants_discard() const override { return wants; }
  Task<void> discard(uint64_t at, uint64_t bytes) override {
    ++calls;
    const std::pair range{at, at + bytes};
    under_way_.insert(range);
    co_await reactor_.sleep(delay);
    under_way_.erase(range);
    std::fill_n(below_.bytes.begin() + static_cast<ptrdiff_t>(at), bytes, std::byte{0xDD});
  }

  bool wants = true;
  Duration delay = kMillisecond;
  uint64_t calls = 0;

 private:
  Reactor& reactor_;
  TestDisk& below_;
  std::set<std::pair<uint64_t, uint64_t>> under_way_;
};

class TrimTest : public ::testing::Test {
 protected:
  TrimTest() { options_.trim_after = 100 * kMillisecond; }
  StoreDevices devices() { return {&world_.wal, &world_.meta, &data_}; }
  void make() { store_ = must(world_.run(Store::create(world_.reactor, devices(), options_))); }
  media::Extent put(const std::string& key, uint64_t stamp, uint32_t blocks,
                    media::Extent old = {}) {
    const auto done = world_.run(update_with_data(*store_, key, stamp, blocks, old));
    EXPECT_TRUE(done.has_value()) << done.error().what();
    return done.value_or(media::Extent{});
  }
  /// Later log writes say that the record which freed them is complete.
  void wait(Duration duration) { world_.run(pause(world_.reactor, duration)); }
  static Task<bool> pause(Reactor& reactor, Duration duration) {
    co_await reactor.sleep(duration);
    co_return true;
  }
  void expect_pattern(media::Extent extent, uint64_t stamp) {
    Bytes bytes(extent.count * media::kBlockBytes);
    ASSERT_TRUE(world_.run(store_->read_data(extent, 0, bytes)));
    EXPECT_TRUE(bytes == pattern(stamp, extent.count));
  }

  TestWorld world_{test_seed(), 1u << 20, 16u << 20, 64u << 20};
  Trimmed data_{world_.reactor, world_.data};
  StoreOptions options_ = options_for();
  std::unique_ptr<Store> store_;
};

TEST_F(TrimTest, What_was_freed_is_told_in_whole_units_and_what_is_owned_is_not) {
  make();
  const media::Extent kept = put("kept", 1, 100);
  const media::Extent freed = put("freed", 2, 1'024);
  const media::Extent last = put("last", 3, 100);
  (void)put("freed", 4, 1, freed);
  (void)put("more", 5, 1);
  wait(kSecond);
  EXPECT_GE(store_->stats().trimmed_blocks, 512u);
  EXPECT_LE(store_->stats().trimmed_blocks, 1'024u);
  EXPECT_EQ(store_->stats().data.held, 0u);
  EXPECT_LE(data_.calls, 2u);
  expect_pattern(kept, 1);
  expect_pattern(last, 3);
  const uint64_t calls = data_.calls;
  wait(10 * kSecond);
  EXPECT_EQ(data_.calls, calls) << "once is enough";
  ASSERT_TRUE(world_.run(store_->close()));
}

TEST_F(TrimTest, Who_does_not_want_it_is_told_nothing_and_no_task_waits) {
  data_.wants = false;
  make();
  const media::Extent freed = put("freed", 2, 1'024);
  world_.settle();
  const size_t tasks = world_.reactor.live_tasks();
  (void)put("freed", 4, 1, freed);
  (void)put("more", 5, 1);
  world_.settle();
  EXPECT_EQ(world_.reactor.live_tasks(), tasks);
  wait(kSecond);
  EXPECT_EQ(data_.calls, 0u);
  ASSERT_TRUE(world_.run(store_->close()));
}

TEST_F(TrimTest, An_update_that_needs_what_is_being_told_waits_for_it) {
  // Goal: space that is free is never refused. Method: a slow discard holds all that a large value
  // could have.
  make();
  const uint64_t total = store_->stats().data.total;
  const media::Extent freed = put("large", 1, static_cast<uint32_t>(total - 1'100));
  (void)put("large", 2, 1, freed);
  (void)put("more", 3, 1);
  data_.delay = 5 * kSecond;
  wait(200 * kMillisecond);
  ASSERT_GT(store_->stats().data.held, 0u);
  const auto runs = store_->reserve_data((total - 1'000) * media::kBlockBytes);
  ASSERT_FALSE(runs.has_value());
  ASSERT_TRUE(store_->waits_for_blocks());
  ASSERT_TRUE(world_.run(store_->admit()));
  EXPECT_EQ(store_->stats().data.held, 0u);
  const auto again = store_->reserve_data((total - 1'000) * media::kBlockBytes);
  ASSERT_TRUE(again.has_value()) << again.error().what();
  store_->cancel_data(*again);
  ASSERT_TRUE(world_.run(store_->close()));
}

TEST_F(TrimTest, While_blocks_are_short_no_task_looks_on_and_afterwards_it_goes_on) {
  // Goal: no timer runs for a shortage that nobody ends. Method: tasks are counted, long after an
  // update was refused; then the shortage ends.
  make();
  world_.settle();
  const size_t tasks = world_.reactor.live_tasks();
  const uint64_t total = store_->stats().data.total;
  const media::Extent first = put("first", 1, 1'024);
  const media::Extent large = put("large", 2, static_cast<uint32_t>(total - 3'000));
  (void)put("first", 3, 1, first);
  (void)put("more", 4, 1);
  (void)put("large", 5, 1, large);
  ASSERT_FALSE(store_->reserve_data((total - 1'500) * media::kBlockBytes).has_value());
  ASSERT_TRUE(store_->waits_for_blocks());
  EXPECT_GT(world_.reactor.live_tasks(), tasks);
  wait(kSecond);
  EXPECT_EQ(store_->stats().trimmed_blocks, 0u);
  EXPECT_EQ(world_.reactor.live_tasks(), tasks);
  ASSERT_TRUE(world_.run(store_->admit()));
  wait(kSecond);
  EXPECT_GT(store_->stats().trimmed_blocks, 0u);
  ASSERT_TRUE(world_.run(store_->close()));
}

TEST_F(TrimTest, Closing_waits_for_what_is_under_way_and_forgets_the_rest) {
  make();
  const media::Extent freed = put("large", 1, 8'000);
  (void)put("large", 2, 1, freed);
  (void)put("more", 3, 1);
  data_.delay = kSecond;
  wait(150 * kMillisecond);
  ASSERT_GT(store_->stats().data.held, 0u);
  ASSERT_TRUE(world_.run(store_->close()));
  const uint64_t calls = data_.calls;
  store_.reset();
  wait(10 * kSecond);
  EXPECT_EQ(data_.calls, calls);
}

TEST_F(TrimTest, Values_that_come_and_go_beside_it_stay_what_they_are) {
  // Goal: no block that is owned, reserved or needed by a reader is told. Method: values at random
  // in a blob that is nearly full, small units, a device that spoils at once what it is told.
  options_.trim_after = 200 * kMicrosecond;
  options_.trim_unit_bytes = 4 * media::kBlockBytes;
  data_.delay = 100 * kMicrosecond;
  make();
  SeededRandom random(test_seed());
  std::map<std::string, std::pair<uint64_t, media::Extent>> content;
  uint64_t stamp = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 250; ++i) {
      const std::string key = "key" + std::to_string(random.below(40));
      const auto blocks = static_cast<uint32_t>(1 + random.below(300));
      ++stamp;
      const media::Extent old = content.contains(key) ? content[key].second : media::Extent{};
      content[key] = {stamp, put(key, stamp, blocks, old)};
      if (random.below(3) == 0) wait(random.below(2'000) * kMicrosecond);
      const auto& [any, value] = *std::next(content.begin(), random.below(content.size()));
      ASSERT_NO_FATAL_FAILURE(expect_pattern(value.second, value.first)) << any;
    }
    for (const auto& [key, value] : content) {
      ASSERT_NO_FATAL_FAILURE(expect_pattern(value.second, value.first));
    }
    EXPECT_GT(store_->stats().trimmed_blocks, 100u);
    if (round % 2 == 0) ASSERT_TRUE(world_.run(store_->close()));
    world_.settle();
    store_.reset();
    store_ = must(world_.run(Store::open(world_.reactor, devices(), options_, nullptr)));
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world_, *store_));
  }
  ASSERT_TRUE(world_.run(store_->close()));
}

}  // namespace
}  // namespace cairn::index::testing
