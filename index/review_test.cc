// Small tests of single rules that were once broken: each names the rule and what was lost.
#include <gtest/gtest.h>

#include "index/store_testing.h"

namespace cairn::index::testing {
namespace {

/// A disk whose writes wait while `held` is set.
class HeldDisk final : public media::Device {
 public:
  HeldDisk(Reactor& reactor, media::Device& below) : reactor_(reactor), below_(below) {}
  uint64_t size_bytes() const override { return below_.size_bytes(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    return below_.read(offset, into);
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    ++waiting;
    while (held) co_await reactor_.sleep(kMicrosecond);
    --waiting;
    co_return co_await below_.write(offset, from);
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    co_return co_await write(offset, from);
  }
  Task<Result<void>> flush() override { return below_.flush(); }
  Task<void> discard(uint64_t offset, uint64_t bytes) override {
    return below_.discard(offset, bytes);
  }
  bool held = false;
  int waiting = 0;

 private:
  Reactor& reactor_;
  media::Device& below_;
};

template <class T>
Task<void> note(Task<T> task, std::optional<T>& result) {
  result.emplace(co_await std::move(task));
}

/// Goal: a page that changes while its write-back is under way, just before a checkpoint, is of
/// that checkpoint (rule 15). Method: the write-back of a leaf is held, the leaf changes again, a
/// checkpoint begins, more changes follow where `cloned`; then all goes on, and the store is opened
/// again.
void expect_page_of_checkpoint(bool cloned) {
  TestWorld world(test_seed());
  HeldDisk meta(world.reactor, world.meta);
  const StoreDevices devices{&world.wal, &meta, &world.data};
  auto store = must(world.run(Store::create(world.reactor, devices, options_for(true))));
  const auto step = [&](int turns) {
    for (int i = 0; i < turns; ++i) {
      world.clock.advance_to(world.reactor.next_timer() == kNever ? 0 : world.reactor.next_timer());
      world.reactor.turn();
    }
  };
  ASSERT_TRUE(world.run(update_durably(*store, one_put("first", 1), 1)));
  std::optional<Result<void>> second, third, fourth, checkpoint;
  meta.held = true;
  world.reactor.spawn(note(update_durably(*store, one_put("second", 2), 2), second));
  step(20);
  ASSERT_GT(meta.waiting, 0) << "the write-back is under way";
  world.reactor.spawn(note(update_durably(*store, one_put("third", 3), 3), third));
  step(20);
  ASSERT_TRUE(third.has_value() && third->has_value());
  world.reactor.spawn(note(store->checkpoint(), checkpoint));
  step(20);
  if (cloned) {
    world.reactor.spawn(note(update_durably(*store, one_put("fourth", 4), 4), fourth));
    step(20);
  }
  meta.held = false;
  step(2000);
  ASSERT_TRUE(checkpoint.has_value() && checkpoint->has_value());
  store.reset();
  auto again = must(open(world, options_for(true)));
  for (const char* key : {"first", "second", "third"}) {
    const auto value = get(world, *again, key);
    ASSERT_TRUE(value.has_value()) << value.error().what();
    EXPECT_TRUE(value->has_value()) << "lost " << key;
  }
  expect_clean_check(world, *again);
  ASSERT_TRUE(world.run(again->close()));
}

TEST(Review, A_page_changed_during_its_write_back_is_of_the_checkpoint) {
  expect_page_of_checkpoint(false);
}

TEST(Review, A_page_changed_during_its_write_back_and_cloned_is_of_the_checkpoint) {
  expect_page_of_checkpoint(true);
}

/// Goal: an extent freed by a record that was not yet proved complete is not overwritten before a
/// durable log write says so (rule 10), also not by what comes after a restart. Method: a record
/// with data and one that frees it are durable, but no log write tells; the store ends and is
/// opened; the next record's data is written while its log write never gets there; it is opened
/// once more.
TEST(Review, Extents_freed_just_before_a_restart_are_not_reused_before_the_log_proves_them) {
  TestWorld world(test_seed(), 1u << 20, 16u << 20, 64 * media::kBlockBytes);
  auto store = create(world, options_for());
  HeldDisk data(world.reactor, world.data);
  store.reset();
  const StoreDevices devices{&world.wal, &world.meta, &data};
  store = must(world.run(Store::open(world.reactor, devices, options_for(), nullptr)));
  // Both records go into the log before the first one's data is there.
  data.held = true;
  std::optional<Result<media::Extent>> first;
  world.reactor.spawn(note(update_with_data(*store, "key", 1, 8, {}), first));
  const auto step = [&](int turns) {
    for (int i = 0; i < turns; ++i) {
      world.clock.advance_to(world.reactor.next_timer() == kNever ? 0 : world.reactor.next_timer());
      world.reactor.turn();
    }
  };
  step(20);
  std::optional<Result<void>> second;
  Batch batch = one_put("key", 2);
  batch.free({0, 8});
  world.reactor.spawn(note(update_durably(*store, std::move(batch), 2), second));
  step(20);
  EXPECT_FALSE(second.has_value());
  data.held = false;
  step(200);
  ASSERT_TRUE(first.has_value() && first->has_value());
  ASSERT_EQ((*first)->block, 0u);
  ASSERT_TRUE(second.has_value() && second->has_value());
  store.reset();
  world.settle();

  HeldDisk wal(world.reactor, world.wal);
  const StoreDevices later{&wal, &world.meta, &world.data};
  store = must(world.run(Store::open(world.reactor, later, options_for(), nullptr)));
  wal.held = true;
  std::optional<Result<media::Extent>> third;
  world.reactor.spawn(note(update_with_data(*store, "other", 3, 8, {}), third));
  step(200);
  // The process ends here: the log writes of this opening never happened.
  const Bytes log = world.wal.bytes;
  const Bytes pages = world.meta.bytes;
  const Bytes blocks = world.data.bytes;
  wal.held = false;
  step(500);
  store.reset();
  world.settle();
  world.wal.bytes = log;
  world.meta.bytes = pages;
  world.data.bytes = blocks;

  store = must(open(world, options_for()));
  const auto value = get(world, *store, "key");
  ASSERT_TRUE(value.has_value() && value->has_value()) << "an acknowledged record is lost";
  EXPECT_EQ(load_le64((*value)->data()), 2u);
  ASSERT_TRUE(world.run(store->close()));
}

}  // namespace
}  // namespace cairn::index::testing
