#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "sim/world.h"

namespace cairn::sim {
namespace {

constexpr uint64_t kBytes = 1 << 20;

media::AlignedBuffer block_of(char fill, size_t blocks = 1) {
  media::AlignedBuffer buffer(blocks * media::kBlockBytes);
  std::memset(buffer.data(), fill, buffer.size());
  return buffer;
}

Task<Result<void>> write_then_flush(SimDisk& disk, bool durable, bool flush) {
  const auto a = block_of('a', 4);
  if (durable) {
    CO_TRY(written, co_await disk.write_durable(0, a.view()));
  } else {
    CO_TRY(written, co_await disk.write(0, a.view()));
  }
  if (flush) {
    CO_TRY(flushed, co_await disk.flush());
  }
  co_return Result<void>{};
}

char first_of_sector(const SimDisk& disk, uint64_t sector) {
  return static_cast<char>(disk.peek(sector * kSectorBytes, 1)[0]);
}

TEST(SimDisk, Flushed_and_durable_writes_survive_a_cut_others_are_lost_in_part) {
  // Goal: the disk tells unflushed from flushed. Method: many seeds; count what is left of 32
  // sectors.
  size_t lost = 0;
  size_t kept = 0;
  size_t torn = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    for (const auto& [durable, flush] : {std::pair{true, false}, {false, true}, {false, false}}) {
      World world(seed);
      SimDisk& disk = world.add_disk("d", kBytes);
      ASSERT_TRUE(world.run(write_then_flush(disk, durable, flush)));
      world.end_era();
      world.begin_era();
      for (uint64_t s = 0; s < 32; ++s) {
        const Bytes sector = disk.peek(s * kSectorBytes, kSectorBytes);
        const auto n = std::count(sector.begin(), sector.end(), std::byte{'a'});
        if (durable || flush) {
          ASSERT_EQ(n, 512);
        } else {
          (n == 0 ? lost : n == 512 ? kept : torn)++;
        }
      }
    }
  }
  EXPECT_GT(lost, 1000u);
  EXPECT_GT(kept, 1000u);
  EXPECT_GT(torn, 100u);
}

TEST(SimDisk, Two_unflushed_writes_of_one_place_may_land_in_either_order) {
  // Goal: reordering really happens. Method: over many seeds the older version wins in some.
  size_t older = 0;
  size_t newer = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    World world(seed);
    SimDisk& disk = world.add_disk("d", kBytes);
    const auto a = block_of('a');
    const auto b = block_of('b');
    ASSERT_TRUE(world.run(disk.write(0, a.view())));
    ASSERT_TRUE(world.run(disk.write(0, b.view())));
    EXPECT_EQ(first_of_sector(disk, 0), 'b');
    world.end_era();
    world.begin_era();
    older += first_of_sector(disk, 0) == 'a';
    newer += first_of_sector(disk, 0) == 'b';
  }
  EXPECT_GT(older, 10u);
  EXPECT_GT(newer, 10u);
}

TEST(SimDisk, Requests_finish_out_of_order_and_the_same_seed_gives_the_same_world) {
  // Goal: determinism with disorder. Method: eight writes at once, note the order they end in,
  // twice.
  const auto order_of = [](uint64_t seed) {
    World world(seed);
    SimDisk& disk = world.add_disk("d", kBytes);
    std::vector<int> order;
    const auto a = block_of('a');
    struct One {
      static Task<void> run(SimDisk& disk, const media::AlignedBuffer& a, std::vector<int>& order,
                            int i) {
        (void)co_await disk.write(static_cast<uint64_t>(i) * 4096, a.view());
        order.push_back(i);
      }
    };
    for (int i = 0; i < 8; ++i) world.reactor().spawn(One::run(disk, a, order, i));
    world.run_for(kSecond);
    return order;
  };
  std::set<std::vector<int>> orders;
  for (uint64_t seed = 1; seed < 20; ++seed) {
    orders.insert(order_of(seed));
    EXPECT_EQ(order_of(seed), order_of(seed));
  }
  EXPECT_GT(orders.size(), 10u);
}

TEST(SimDisk, The_power_goes_with_the_chosen_request_and_nothing_finishes_after_it) {
  // Goal: every cut point can be enumerated. Method: cut at 1..3 of three requests.
  for (uint64_t cut = 1; cut <= 3; ++cut) {
    World world(7);
    SimDisk& disk = world.add_disk("d", kBytes);
    world.cut_power_at(cut);
    const auto done = world.run(write_then_flush(disk, true, true));
    EXPECT_EQ(done.has_value(), cut == 3);
    world.end_era();
    world.begin_era();
    EXPECT_TRUE(world.run(write_then_flush(disk, true, true)));
  }
}

TEST(SimDisk, Requests_fail_on_demand_and_bits_flip) {
  // Goal: fault injection. Method: second write fails, flush fails for ever, a flipped bit is read
  // back.
  World world(3);
  SimDisk& disk = world.add_disk("d", kBytes);
  disk.fail(SimDisk::Op::write, 2, Errc::io);
  const auto a = block_of('a');
  EXPECT_TRUE(*world.run(disk.write(0, a.view())));
  EXPECT_EQ(world.run(disk.write(0, a.view()))->error().code(), Errc::io);
  EXPECT_TRUE(*world.run(disk.write(0, a.view())));
  disk.fail(SimDisk::Op::flush, 1, Errc::io, true);
  EXPECT_FALSE(*world.run(disk.flush()));
  EXPECT_FALSE(*world.run(disk.flush()));
  disk.flip_bit(5, 0);
  media::AlignedBuffer out(4096);
  ASSERT_TRUE(*world.run(disk.read(0, out.span())));
  EXPECT_EQ(static_cast<char>(out.data()[5]), '`');
}

TEST(SimDisk, What_rots_is_another_bit_until_it_is_undone_or_written) {
  // Goal: rot changes what is read, never what was not durable, and can be taken back. Method: a
  // block that rots in some sectors; one of them is written again before the rest is undone.
  World world(4);
  SimDisk& disk = world.add_disk("d", kBytes);
  disk.rot();  // nothing is there
  const auto a = block_of('a', 2);
  ASSERT_TRUE(*world.run(disk.write(0, a.view())));
  disk.rot();  // nothing is durable
  EXPECT_EQ(disk.peek(0, a.size()), Bytes(a.view().begin(), a.view().end()));
  ASSERT_TRUE(*world.run(disk.flush()));
  for (int i = 0; i < 100; ++i) disk.rot();
  EXPECT_NE(disk.peek(0, media::kBlockBytes), Bytes(media::kBlockBytes, std::byte{'a'}));
  const auto b = block_of('b');
  ASSERT_TRUE(*world.run(disk.write_durable(0, b.view())));
  disk.undo_rot();
  EXPECT_EQ(disk.peek(0, media::kBlockBytes), Bytes(media::kBlockBytes, std::byte{'b'}));
  EXPECT_EQ(disk.peek(media::kBlockBytes, media::kBlockBytes),
            Bytes(media::kBlockBytes, std::byte{'a'}));
}

}  // namespace
}  // namespace cairn::sim
