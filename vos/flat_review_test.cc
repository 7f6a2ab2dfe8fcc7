// Flattened objects where several of their rules meet: flattened again, punched with much outside
// of the buffer, beside pages that are lost, cleaned in turns.
#include <gtest/gtest.h>

#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

class FlatReview : public ::testing::Test {
 protected:
  static constexpr uint64_t kRecord = 1'000;

  void start(bool create) {
    const auto started = rig_.start(create);
    ASSERT_TRUE(started && *started) << started->error().what();
  }
  void restart() {
    ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    start(false);
  }
  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }
  const ObjectPath& path(size_t object = 0) { return rig_.generator.paths()[object]; }
  static std::string dkey(int i) { return "k" + std::to_string(1'000 + i); }

  void act(Op op) {
    op.stamp = ++stamp_;
    const auto done = run(run_one(shard(), rig_.generator.paths(), rig_.books, std::move(op)));
    ASSERT_TRUE(done) << done.error().what();
  }
  /// One dkey with one array, written at once.
  void put_array(const std::string& name, uint64_t records, size_t object = 0) {
    Op op;
    op.object = object;
    op.dkey = name;
    op.iods.push_back({"array", ValueType::array, kRecord, 0, {{0, records}}});
    act(std::move(op));
  }
  void put_value(const std::string& name, uint64_t bytes, size_t object = 0) {
    Op op;
    op.object = object;
    op.dkey = name;
    op.iods.push_back({"value", ValueType::single, bytes, 0, {}});
    act(std::move(op));
  }
  void punch(Level level, const std::string& name = {}, size_t object = 0) {
    Op op;
    op.kind = Op::Kind::punch;
    op.object = object;
    op.level = level;
    op.dkey = name;
    act(std::move(op));
  }
  void flatten(size_t object = 0) {
    const auto done = run(shard().flatten({path(object)}, {}));
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_EQ((*done)[0].outcome, FlattenOutcome::flattened)
        << flatten_outcome_text((*done)[0].outcome);
  }
  void expect_sound() {
    ASSERT_NO_FATAL_FAILURE(rig_.expect_same());
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  }
  bool is_flat(size_t object = 0) { return *run(shard().is_flat(path(object))); }
  uint64_t blocks_used() { return shard().store().stats().data.used; }

  Rig rig_{test_seed(),
           {.types = {0, 5}, .containers = 2},
           {.wal = 16u << 20, .meta = 64u << 20, .data = 32u << 20}};
  uint32_t stamp_ = 0;
};

TEST_F(FlatReview, Checksums_that_stand_apart_are_taken_along_when_an_object_is_flattened_again) {
  // Goal: no record is moved onto itself, or onto one that moves. Method: more than 64 records,
  // each with checksums apart; a dkey comes, then the first goes, so that all positions shift down
  // by one extent; flattened after each.
  ASSERT_NO_FATAL_FAILURE(start(true));
  for (int i = 0; i < 70; ++i) ASSERT_NO_FATAL_FAILURE(put_array(dkey(i), 70));
  ASSERT_NO_FATAL_FAILURE(flatten());
  ASSERT_NO_FATAL_FAILURE(put_array(dkey(99), 70));
  ASSERT_NO_FATAL_FAILURE(flatten());
  ASSERT_NO_FATAL_FAILURE(expect_sound());
  ASSERT_NO_FATAL_FAILURE(punch(Level::dkey, dkey(0)));
  ASSERT_NO_FATAL_FAILURE(flatten());
  ASSERT_NO_FATAL_FAILURE(expect_sound());
  rig_.next_era();
  ASSERT_NO_FATAL_FAILURE(start(false));
  EXPECT_TRUE(is_flat());
  ASSERT_NO_FATAL_FAILURE(expect_sound());
  ASSERT_NO_FATAL_FAILURE(punch(Level::object));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(blocks_used(), 0u);
}

TEST_F(FlatReview, A_punch_that_takes_its_time_ends_the_flat_record_first) {
  // Goal: at no time does a buffer count of which something outside is gone. Method: more outside
  // than one slice removes; read, listed and changed between the slices; a crash before the first.
  constexpr int kDkeys = 600;
  rig_.options.reclaim = false;
  rig_.options.store.memory_bytes = 256u << 20;
  ASSERT_NO_FATAL_FAILURE(start(true));
  for (int i = 0; i < kDkeys; ++i) ASSERT_NO_FATAL_FAILURE(put_value(dkey(i), 5'000));
  ASSERT_NO_FATAL_FAILURE(flatten());
  const model::Epoch before = shard().draw_epoch();
  ASSERT_NO_FATAL_FAILURE(punch(Level::object));
  EXPECT_FALSE(is_flat());
  rig_.next_era();
  rig_.options.reclaim = true;
  ASSERT_NO_FATAL_FAILURE(start(false));
  size_t looks = 0;
  for (uint64_t blocks = blocks_used(); blocks > 10; blocks = blocks_used(), ++looks) {
    ASSERT_LT(looks, 1'000u);
    const auto listed =
        run(list_keys({shard(), before}, path(), {.count_max = 9, .bytes_max = 999}));
    ASSERT_FALSE(listed);
    EXPECT_EQ(listed.error().code(), Errc::tx_restart) << listed.error().what();
    const std::string wanted = dkey(static_cast<int>(looks) % kDkeys);
    FetchRequest request{.object = path(), .dkey = as_bytes(wanted), .epoch = before};
    request.iods.push_back({as_bytes("value"), ValueType::single, 0, 0, {}, {}, false});
    const auto fetched = run(shard().fetch(request));
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code(), Errc::tx_restart) << fetched.error().what();
    ASSERT_NO_FATAL_FAILURE(put_value(dkey(static_cast<int>(looks % 5)), 100));
    ASSERT_NO_FATAL_FAILURE(rig_.expect_same());
  }
  EXPECT_GT(looks, 0u) << "all was gone at once: the test shows nothing";
  rig_.world.run_for(kSecond);
  ASSERT_NO_FATAL_FAILURE(expect_sound());
}

}  // namespace
}  // namespace cairn::vos::testing
