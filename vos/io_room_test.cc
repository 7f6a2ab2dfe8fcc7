// The bound of data under way on one shard (store.md rule 16).
#include "vos/io_room.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/parallel.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

Task<void> hold_for(Reactor& reactor, IoRoom& room, uint64_t bytes, int name,
                    std::vector<int>& order) {
  auto now = room.take_now(bytes);
  IoRoom::Hold hold = now ? std::move(*now) : co_await room.take(bytes);
  order.push_back(name);
  co_await reactor.sleep(kMillisecond);
}

TEST(IoRoom, Who_finds_none_waits_in_order_and_the_largest_goes_alone) {
  sim::World world(1);
  IoRoom room(world.reactor(), 100);
  std::vector<int> order;
  const uint64_t sizes[] = {60, 50, 30, 500, 10, 100, 0};
  for (int i = 0; i < 7; ++i) {
    world.reactor().spawn(hold_for(world.reactor(), room, sizes[i], i, order));
  }
  world.run_for(500 * kMicrosecond);
  EXPECT_EQ(order, std::vector<int>{0});
  EXPECT_EQ(room.used(), 60u);
  world.run_for(kMillisecond);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  world.run_for(kMillisecond);
  EXPECT_EQ(room.used(), 500u);
  world.run_for(10 * kMillisecond);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(room.used(), 0u);
}

/// Counts the bytes of requests under way.
class Counting final : public media::Device {
 public:
  explicit Counting(media::Device& below) : below_(below) {}
  uint64_t size_bytes() const override { return below_.size_bytes(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    begin(into.size());
    auto done = co_await below_.read(offset, into);
    now_ -= into.size();
    co_return done;
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    begin(from.size());
    auto done = co_await below_.write(offset, from);
    now_ -= from.size();
    co_return done;
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    begin(from.size());
    auto done = co_await below_.write_durable(offset, from);
    now_ -= from.size();
    co_return done;
  }
  Task<Result<void>> flush() override { return below_.flush(); }
  Task<void> discard(uint64_t offset, uint64_t bytes) override {
    return below_.discard(offset, bytes);
  }
  uint64_t most = 0;

 private:
  void begin(uint64_t bytes) {
    now_ += bytes;
    most = std::max(most, now_);
  }
  media::Device& below_;
  uint64_t now_ = 0;
};

struct Io {
  UpdateRequest update;
  FetchRequest fetch;
  Bytes buffer;
};

Io io_of(uint64_t number, uint64_t bytes) {
  Io io;
  const ObjectPath object{1, {number + 1, 0x0001'0001'0000'0000}, 0};
  io.buffer.assign(bytes, static_cast<std::byte>(number));
  io.update = {.object = object, .dkey = as_bytes("d")};
  io.fetch = {.object = object, .dkey = as_bytes("d")};
  for (model::Iods* iods : {&io.update.iods, &io.fetch.iods}) {
    iods->push_back(
        {as_bytes("a"), ValueType::array, 1, 0, {{0, bytes}}, scattered(io.buffer), false});
  }
  return io;
}

Task<Result<void>> write(Shard& shard, const Io& io) {
  CO_TRY(done, co_await shard.update(io.update));
  (void)done;
  co_return Result<void>{};
}
Task<Result<void>> read(Shard& shard, const Io& io) {
  CO_TRY(done, co_await shard.fetch(io.fetch));
  (void)done;
  co_return Result<void>{};
}

TEST(ShardIoRoom, Data_under_way_stays_within_the_bound_however_many_ask) {
  // Goal: 160 MiB that are asked for at once, one part of it larger than the bound, go through in
  // portions. Method: what is under way on the data blob, for updates and for fetches.
  sim::World world(test_seed());
  auto& wal = world.add_disk("wal", 4u << 20);
  auto& meta = world.add_disk("meta", 64u << 20);
  auto& blocks = world.add_disk("data", 256u << 20);
  Counting data(blocks);
  ShardOptions options;
  options.store.memory_bytes = 64u << 20;
  auto made = world.run(Shard::create(world.reactor(), {&wal, &meta, &data}, {}, options));
  ASSERT_TRUE(made && *made);
  Shard& shard = ***made;
  std::vector<Io> ios;
  for (uint64_t i = 0; i < 20; ++i) ios.push_back(io_of(i, i == 7 ? 80u << 20 : 4u << 20));
  for (const bool writes : {true, false}) {
    data.most = 0;
    std::vector<Task<Result<void>>> tasks;
    for (const Io& io : ios) tasks.push_back(writes ? write(shard, io) : read(shard, io));
    const auto done = world.run(run_all(world.reactor(), std::move(tasks), ios.size()));
    ASSERT_TRUE(done && done->has_value()) << (*done).error().what();
    EXPECT_LE(data.most, kIoBytesMax) << writes;
    EXPECT_GE(data.most, 8u << 20) << writes;
    for (uint64_t i = 0; i < ios.size(); ++i) {
      EXPECT_EQ(std::ranges::count(ios[i].buffer, static_cast<std::byte>(i)),
                static_cast<ptrdiff_t>(ios[i].buffer.size()));
      std::ranges::fill(ios[i].buffer, std::byte{0xEE});
    }
  }
  ASSERT_TRUE(world.run(shard.close()));
  made->value().reset();
}

}  // namespace
}  // namespace cairn::vos::testing
