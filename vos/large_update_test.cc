// Updates whose data is under way before their record is built: when the record comes to the log,
// who waits for whom, and what becomes of the blocks of one that is refused.
#include <gtest/gtest.h>

#include "index/testing_disk.h"
#include "media/wal_testing.h"
#include "vos/shard.h"

namespace cairn::vos {
namespace {

using index::testing::TestClock;
using index::testing::TestDisk;
using media::HeldDisk;
using model::ValueType;

constexpr uint64_t kKiB = 1024;

/// A shard whose data writes wait for the test.
struct HeldShard {
  HeldShard()
      : random(7), reactor(clock, random, nullptr), wal(reactor, 1u << 20), meta(reactor, 4u << 20),
        data(reactor, 8u << 20) {
    auto made = run(Shard::create(reactor, {&wal, &meta, &data}, {}, {}));
    CHECK(made.has_value());
    shard = std::move(*made);
    data.hold = true;
  }
  ~HeldShard() {
    if (!closed) EXPECT_TRUE(run(shard->close()).has_value());
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor.spawn(into(std::move(task), value));
    rest();
    CHECK(value.has_value());
    return std::move(*value);
  }
  /// Lets everything run that waits for nothing but the reactor.
  void rest() {
    while (reactor.turn()) {
    }
  }

  struct Update {
    UpdateRequest request;
    std::string dkey;
    media::AlignedBuffer bytes;
    std::optional<Result<model::Epoch>> done;
  };
  /// Begins the update of a single value and lets it go as far as it goes.
  std::unique_ptr<Update> begin(std::string dkey, uint64_t bytes, uint64_t flags = 0) {
    auto update = std::make_unique<Update>();
    update->dkey = std::move(dkey);
    update->bytes = media::AlignedBuffer(bytes);
    std::memset(update->bytes.data(), update->dkey[0], bytes);
    update->request = {.object = {1, {1, 0x0001'0001'0000'0000}, 0},
                       .dkey = as_bytes(update->dkey),
                       .flags = flags};
    update->request.iods.push_back({as_bytes("a"),
                                    ValueType::single,
                                    bytes,
                                    0,
                                    {},
                                    {{update->bytes.data(), bytes}},
                                    false});
    reactor.spawn(into(shard->update(update->request), update->done));
    rest();
    return update;
  }
  void end_writes() {
    for (size_t i = 0; i < data.writes.size(); ++i) {
      if (!data.writes[i].ok) data.end_write(i);
    }
    rest();
  }
  media::Lsn appended() const { return shard->store().appended(); }
  uint64_t reserved() const { return shard->store().stats().data.reserved; }

  template <class T>
  static Task<void> into(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }

  TestClock clock;
  SeededRandom random;
  Reactor reactor;
  TestDisk wal, meta;
  HeldDisk data;
  std::unique_ptr<Shard> shard;
  bool closed = false;
};

TEST(LargeUpdate, Of_an_idle_log_has_data_and_record_under_way_at_once) {
  for (const uint64_t bytes : {8 * kKiB, 128 * kKiB, 1024 * kKiB}) {
    SCOPED_TRACE(bytes);
    HeldShard s;
    const media::Lsn before = s.appended();
    const auto update = s.begin("x", bytes);
    ASSERT_EQ(s.data.writes.size(), 1u);
    EXPECT_EQ(s.data.writes[0].bytes.size(), bytes);
    EXPECT_GT(s.appended(), before) << "the record waits for its data";
    EXPECT_FALSE(update->done) << "answered before its data was durable";
    s.end_writes();
    ASSERT_TRUE(update->done && update->done->has_value());
  }
}

TEST(LargeUpdate, Beside_others_comes_to_the_log_after_its_data_and_holds_nobody_up) {
  // Goal: store.md rule 10. Method: the data of a first update keeps the log busy; a large and then
  // a small one follow; the first one's data ends, the large one's does not.
  HeldShard s;
  const auto first = s.begin("first", 8 * kKiB);
  ASSERT_EQ(s.data.writes.size(), 1u);
  const media::Lsn before = s.appended();
  const auto large = s.begin("large", 512 * kKiB);
  ASSERT_EQ(s.data.writes.size(), 2u) << "its data is not under way";
  EXPECT_EQ(s.appended(), before) << "its record was there before its data";
  const auto small = s.begin("small", 100);
  s.data.end_write(0);
  s.rest();
  EXPECT_TRUE(first->done && first->done->has_value());
  EXPECT_TRUE(small->done && small->done->has_value()) << "a small update waits for megabytes";
  EXPECT_FALSE(large->done);
  s.end_writes();
  ASSERT_TRUE(large->done && large->done->has_value());
  EXPECT_GT(s.appended(), before);
}

TEST(LargeUpdate, Up_to_256_KiB_the_record_never_waits_for_its_data) {
  HeldShard s;
  const auto first = s.begin("first", 8 * kKiB);
  const media::Lsn before = s.appended();
  const auto second = s.begin("second", 256 * kKiB);
  EXPECT_GT(s.appended(), before);
  s.end_writes();
  EXPECT_TRUE(first->done && second->done && second->done->has_value());
}

TEST(LargeUpdate, That_is_refused_gives_its_blocks_back_only_after_the_write_ended) {
  // Goal: a late write never meets another value's blocks. Method: a condition fails while the data
  // is under way.
  for (const uint64_t bytes : {128 * kKiB, 512 * kKiB}) {
    SCOPED_TRACE(bytes);
    HeldShard s;
    const auto refused = s.begin("x", bytes, model::cond::kDkeyUpdate);
    ASSERT_EQ(s.data.writes.size(), 1u);
    EXPECT_FALSE(refused->done);
    EXPECT_EQ(s.reserved(), bytes / media::kBlockBytes);
    s.end_writes();
    ASSERT_TRUE(refused->done && !refused->done->has_value());
    EXPECT_EQ(refused->done->error().code(), Errc::nonexistent);
    EXPECT_EQ(s.reserved(), 0u);
  }
}

TEST(LargeUpdate, Whose_data_fails_stops_the_shard_and_answers_nothing_good) {
  // Both before its record is in the log and beside it.
  for (const bool busy : {false, true}) {
    SCOPED_TRACE(busy);
    HeldShard s;
    std::unique_ptr<HeldShard::Update> first;
    if (busy) first = s.begin("first", 8 * kKiB);
    const auto large = s.begin("large", 512 * kKiB);
    s.data.end_write(s.data.writes.size() - 1, false);
    s.rest();
    ASSERT_TRUE(large->done && !large->done->has_value());
    EXPECT_EQ(large->done->error().code(), Errc::io);
    EXPECT_TRUE(s.shard->store().stopped());
    s.end_writes();
    if (first) EXPECT_TRUE(first->done && !first->done->has_value());
    EXPECT_FALSE(s.run(s.shard->close()).has_value());
    s.closed = true;
  }
}

TEST(LargeUpdate, Written_from_any_buffer_reads_back_the_same) {
  // Goal: whatever the alignment and size, the checksums fit what is on the medium.
  HeldShard s;
  s.data.hold = false;
  media::AlignedBuffer room(2048 * kKiB);
  for (size_t i = 0; i < room.size(); ++i) room.data()[i] = static_cast<std::byte>(i * 7 + i / 999);
  for (const uint64_t skip : {0u, 1u, 512u, 4096u}) {
    for (const uint64_t bytes : {4096 * 1ul, 4097 * 1ul, 32 * kKiB, 33 * kKiB, 64 * kKiB + 1,
                                 1024 * kKiB, 1024 * kKiB + 4096, 1500 * kKiB + 3}) {
      SCOPED_TRACE(std::to_string(skip) + " " + std::to_string(bytes));
      UpdateRequest put{.object = {1, {1, 0x0001'0001'0000'0000}, 0}, .dkey = as_bytes("d")};
      // In one piece, and in two.
      for (const uint64_t cut : {bytes, bytes / 3}) {
        put.iods = {{as_bytes("a"), ValueType::single, bytes, 0, {}, {}, false}};
        put.iods[0].buffer.push_back({room.data() + skip, cut});
        if (cut != bytes) put.iods[0].buffer.push_back({room.data() + skip + cut, bytes - cut});
        ASSERT_TRUE(s.run(s.shard->update(put)).has_value());
        Bytes out(bytes);
        FetchRequest get{.object = put.object, .dkey = put.dkey};
        get.iods.push_back(
            {as_bytes("a"), ValueType::single, 0, 0, {}, {{out.data(), out.size()}}, false});
        const auto fetched = s.run(s.shard->fetch(get));
        ASSERT_TRUE(fetched.has_value()) << fetched.error().what();
        ASSERT_EQ(std::memcmp(out.data(), room.data() + skip, bytes), 0);
      }
    }
  }
}

}  // namespace
}  // namespace cairn::vos
