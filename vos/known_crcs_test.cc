// Checksums that come with a payload, and those that go with one: each byte is summed only once.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "index/testing_disk.h"
#include "vos/shard.h"

namespace cairn::vos {
namespace {

using index::testing::TestClock;
using index::testing::TestDisk;
using model::ValueType;

constexpr size_t kBlock = 4096;

Bytes pattern(size_t bytes, uint32_t seed) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 131 + seed + (i >> 8));
  return out;
}

std::vector<uint32_t> crcs_of(ByteView data) {
  std::vector<uint32_t> crcs(data.size() / kBlock);
  crc32c_blocks(data.first(crcs.size() * kBlock), kBlock, crcs);
  return crcs;
}

class KnownCrcs : public ::testing::Test {
 protected:
  KnownCrcs()
      : random_(7),
        reactor_(clock_, random_, nullptr),
        wal_(reactor_, 1u << 20),
        meta_(reactor_, 4u << 20),
        data_(reactor_, 32u << 20) {
    auto made = run(Shard::create(reactor_, {&wal_, &meta_, &data_}, {}, {}));
    CHECK(made.has_value());
    shard_ = std::move(*made);
  }
  ~KnownCrcs() override { EXPECT_TRUE(run(shard_->close()).has_value()); }

  template <class T>
  static Task<void> into(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor_.spawn(into(std::move(task), value));
    while (reactor_.turn()) {
    }
    CHECK(value.has_value());
    return std::move(*value);
  }

  static ObjectPath object() { return {1, {1, 0x0001'0001'0000'0000}, 0}; }

  /// Writes `data` from memory as it would come off a wire, at each recx in turn.
  Result<model::Epoch> write(Bytes data, model::Recxs recxs, std::span<const uint32_t> crcs) {
    media::AlignedBuffer memory(data.size());
    std::memcpy(memory.data(), data.data(), data.size());
    UpdateRequest request{.object = object(), .dkey = as_bytes("d")};
    request.iods.push_back({.akey = as_bytes("a"),
                            .type = ValueType::array,
                            .record_bytes = 1,
                            .recxs = std::move(recxs),
                            .buffer = {{memory.data(), data.size()}},
                            .block_crcs = crcs});
    return run(shard_->update(request));
  }
  Result<model::Fetched> read(Bytes& data, model::Recxs recxs) {
    FetchRequest request{.object = object(), .dkey = as_bytes("d")};
    request.iods.push_back({.akey = as_bytes("a"),
                            .type = ValueType::array,
                            .record_bytes = 1,
                            .recxs = std::move(recxs),
                            .buffer = {{data.data(), data.size()}}});
    return run(shard_->fetch(request));
  }

  TestClock clock_;
  SeededRandom random_;
  Reactor reactor_;
  TestDisk wal_, meta_, data_;
  std::unique_ptr<Shard> shard_;
};

TEST_F(KnownCrcs, Those_that_come_with_a_payload_are_the_ones_of_the_medium) {
  // Goal: they are taken, not made again: what changed a byte after they were made is found by who
  // reads it. Method: right ones, and one that is wrong, in a payload that is not copied.
  const Bytes data = pattern(1 << 20, 1);
  std::vector<uint32_t> crcs = crcs_of(data);
  ASSERT_TRUE(write(data, {{0, data.size()}}, crcs));
  Bytes back(data.size());
  ASSERT_TRUE(read(back, {{0, back.size()}}));
  EXPECT_EQ(back, data);

  crcs[77] ^= 1;
  ASSERT_TRUE(write(data, {{1 << 20, data.size()}}, crcs));
  const auto damaged = read(back, {{1 << 20, back.size()}});
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code(), Errc::checksum);
  // Other blocks are not concerned.
  Bytes part(77 * kBlock);
  ASSERT_TRUE(read(part, {{1 << 20, part.size()}}));
  EXPECT_EQ(part, Bytes(data.begin(), data.begin() + static_cast<long>(part.size())));
}

TEST_F(KnownCrcs, They_are_used_only_for_blocks_that_they_are_of) {
  // Goal: extents that begin or end inside a block of the payload are summed by themselves. Method:
  // several extents in one payload, and one whose last block is cut.
  const Bytes data = pattern(300'000, 2);
  const std::vector<uint32_t> crcs = crcs_of(data);
  ASSERT_TRUE(write(data, {{0, 131'072}, {1'000'000, 70'001}, {2'000'000, 98'927}}, crcs));
  Bytes back(data.size());
  ASSERT_TRUE(read(back, {{0, 131'072}, {1'000'000, 70'001}, {2'000'000, 98'927}}));
  EXPECT_EQ(back, data);
}

TEST_F(KnownCrcs, A_fetch_of_whole_blocks_tells_the_checksum_of_what_it_gives) {
  // Goal: it is that of the bytes, or there is none. Method: whole extents, parts of them at
  // blocks' borders and not, several pieces, an overwritten middle, a small value inside.
  const Bytes data = pattern(1 << 20, 3);
  ASSERT_TRUE(write(data, {{0, data.size()}}, {}));
  ASSERT_TRUE(write(pattern(16 * kBlock, 4), {{32 * kBlock, 16 * kBlock}}, {}));
  struct {
    model::Recxs recxs;
    size_t bytes;
    bool known;
  } const cases[] = {
      {{{0, 1 << 20}}, 1 << 20, true},
      {{{8 * kBlock, 100 * kBlock}}, 100 * kBlock, true},
      {{{0, 20 * kBlock}, {64 * kBlock, 20 * kBlock}}, 40 * kBlock, true},
      {{{1, 100 * kBlock}}, 100 * kBlock, false},
      {{{0, 100 * kBlock - 1}}, 100 * kBlock - 1, false},
      {{{32 * kBlock - 100, 17 * kBlock}}, 17 * kBlock, false},
      {{{2 << 20, kBlock}}, kBlock, false},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    Bytes back(cases[i].bytes);
    const auto fetched = read(back, cases[i].recxs);
    ASSERT_TRUE(fetched) << i;
    ASSERT_EQ(fetched->payload_crc.has_value(), cases[i].known) << i;
    if (cases[i].known) EXPECT_EQ(*fetched->payload_crc, crc32c(back)) << i;
  }
  ASSERT_TRUE(write(pattern(50, 5), {{40 * kBlock, 50}}, {}));
  Bytes back(1 << 20);
  const auto fetched = read(back, {{0, 1 << 20}});
  ASSERT_TRUE(fetched);
  EXPECT_FALSE(fetched->payload_crc.has_value());
}

}  // namespace
}  // namespace cairn::vos
