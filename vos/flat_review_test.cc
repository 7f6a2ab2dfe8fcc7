// Flattened objects where several of their rules meet: flattened again, punched with much outside
// of the buffer, beside pages that are lost, cleaned in turns.
#include <gtest/gtest.h>

#include "index/sweep.h"
#include "vos/flats.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

/// The pages of records, in their order.
Task<Result<std::vector<uint64_t>>> leaves(Shard& shard) {
  index::Sweep sweep = shard.store().sweep();
  std::vector<uint64_t> pages;
  while (auto visit = co_await sweep.next()) {
    if (visit->level == 0) pages.push_back(visit->ref.page_number());
  }
  co_return pages;
}

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

  explicit FlatReview(uint64_t wal_bytes = 16u << 20)
      : rig_(test_seed(), {.types = {0, 5}, .containers = 2},
             {.wal = wal_bytes, .meta = 64u << 20, .data = 32u << 20}) {}

  Rig rig_;
  uint32_t stamp_ = 0;
};

class FlatSmallLog : public FlatReview {
 protected:
  FlatSmallLog() : FlatReview(512u << 10) {}
};

TEST_F(FlatSmallLog, An_object_whose_exchange_no_log_record_holds_stays_and_others_go_on) {
  // Goal: one object's size is its own matter. Method: 1,000 short records, whose keys alone nearly
  // fill a log record, between two small objects of the same call.
  ASSERT_NO_FATAL_FAILURE(start(true));
  for (int i = 0; i < 1'000; ++i) ASSERT_NO_FATAL_FAILURE(put_value(dkey(i), 1));
  const auto near = [this](uint64_t n) {
    return ObjectPath{1, {path().oid.lo + n, path().oid.hi}, 0};
  };
  for (const uint64_t n : {10, 11}) {
    ASSERT_TRUE(run(put_single(shard(), near(n), "d", "a", "v")));
  }
  const auto done = run(shard().flatten({near(10), path(), near(11)}, {}));
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_EQ((*done)[0].outcome, FlattenOutcome::flattened);
  EXPECT_EQ((*done)[1].outcome, FlattenOutcome::too_large);
  EXPECT_EQ((*done)[2].outcome, FlattenOutcome::flattened);
  const auto alone = run(shard().flatten({path()}, {}));
  ASSERT_TRUE(alone) << alone.error().what();
  EXPECT_EQ((*alone)[0].outcome, FlattenOutcome::too_large);
  EXPECT_FALSE(is_flat());
  EXPECT_EQ(*run(read_single(shard(), near(11), "d", "a")), "v");
  EXPECT_EQ(shard().store().stats().data.reserved, 0u);
  ASSERT_NO_FATAL_FAILURE(expect_sound());
}

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

TEST_F(FlatReview, A_lost_page_does_not_make_flattened_objects_look_empty) {
  // Goal: an error or the bytes, never nothing. Method: the last leaf, which has the record of the
  // extent, is damaged; the objects' own records stand far before it.
  ASSERT_NO_FATAL_FAILURE(start(true));
  ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 3'000));
  ASSERT_NO_FATAL_FAILURE(put_array(dkey(1), 3));
  ASSERT_NO_FATAL_FAILURE(flatten());
  for (int i = 0; i < 200; ++i) ASSERT_NO_FATAL_FAILURE(put_value(dkey(i), 400, 1));
  ASSERT_NO_FATAL_FAILURE(restart());
  const auto pages = run(leaves(shard()));
  ASSERT_TRUE(pages);
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  rig_.meta.flip_bit(pages->back() * index::kPageBytes + 2'000, 3);
  ASSERT_NO_FATAL_FAILURE(start(false));
  EXPECT_TRUE(is_flat());
  const auto same = run(verify_object(shard(), path(), rig_.books.objects[0], 7));
  ASSERT_TRUE(same) << same.error().what();
  EXPECT_EQ(*same, "");
}

TEST_F(FlatReview, A_buffer_that_somebody_only_asked_for_is_not_loaded_by_others) {
  // Goal: errors go to whom they belong. Method: a look-up that does not wait misses a buffer; the
  // data disk fails then; another object, whose pages are not in memory, is read.
  ASSERT_NO_FATAL_FAILURE(start(true));
  ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 3'000));
  ASSERT_NO_FATAL_FAILURE(flatten());
  for (int i = 0; i < 200; ++i) ASSERT_NO_FATAL_FAILURE(put_value(dkey(i), 400, 1));
  ASSERT_NO_FATAL_FAILURE(restart());
  EXPECT_TRUE(is_flat());
  const std::string name = dkey(0);
  FetchRequest request{.object = path(), .dkey = as_bytes(name)};
  request.iods.push_back({as_bytes("value"), ValueType::single, 0, 0, {}, {}, false});
  model::Fetched out;
  const auto at_once = shard().fetch_at_once(request, out);
  ASSERT_TRUE(at_once);
  EXPECT_FALSE(*at_once) << "the buffer was in memory: the test shows nothing";
  rig_.data.fail(sim::SimDisk::Op::read, 1, Errc::io, true);
  const auto read = run(read_single(shard(), path(1), dkey(100), "value"));
  ASSERT_TRUE(read) << read.error().what();
  EXPECT_EQ(read->size(), 400u);
  rig_.data.heal();
  ASSERT_NO_FATAL_FAILURE(expect_sound());
}

TEST_F(FlatReview, Who_comes_back_for_a_buffer_that_was_missing_gets_what_is_newest) {
  // Goal: what a look-up found out is used again only while it is true. Method: a look-up that does
  // not wait misses a buffer; it is asked again, at once and behind an update of the same value.
  ASSERT_NO_FATAL_FAILURE(start(true));
  ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 3'000));
  ASSERT_NO_FATAL_FAILURE(flatten());
  for (const bool changed : {false, true}) {
    SCOPED_TRACE(changed);
    ASSERT_NO_FATAL_FAILURE(restart());
    ASSERT_TRUE(is_flat());
    const std::string name = dkey(0);
    FetchRequest request{.object = path(), .dkey = as_bytes(name)};
    request.iods.push_back({as_bytes("value"), ValueType::single, 0, 0, {}, {}, true});
    model::Fetched out;
    EXPECT_FALSE(*shard().fetch_at_once(request, out));
    if (changed) {
      ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 400));
    }
    const uint64_t reads = rig_.data.requests(sim::SimDisk::Op::read);
    const auto read = run(shard().fetch(request));
    ASSERT_TRUE(read) << read.error().what();
    EXPECT_EQ(read->iods[0].record_bytes, changed ? 400u : 3'000u);
    EXPECT_EQ(rig_.data.requests(sim::SimDisk::Op::read) - reads, changed ? 0u : 1u);
    ASSERT_NO_FATAL_FAILURE(expect_sound());
  }
}

TEST_F(FlatReview, Folding_keeps_all_buffers_that_a_slice_looks_at) {
  // Goal: no livelock where memory for buffers is short. Method: the least memory; a transaction of
  // several shards changes 60 flattened objects whose buffers take more than it has.
  constexpr uint64_t kObjects = 60;
  rig_.options.store.memory_bytes = 8u << 20;
  ASSERT_NO_FATAL_FAILURE(start(true));
  std::vector<ObjectPath> objects;
  for (uint64_t n = 0; n < kObjects; ++n) {
    objects.push_back({1, {100 + n, 0x0001'0001'0000'0000}, 0});
    Op op;
    op.stamp = 1;
    op.dkey = "d";
    op.iods.push_back({"a", ValueType::array, 100, 0, {{0, 300}}});
    ASSERT_TRUE(run(execute(shard(), objects.back(), op)));
    ASSERT_TRUE(run(shard().flatten({objects.back()}, {})));
    ASSERT_TRUE(*run(shard().is_flat(objects.back())));
  }
  ASSERT_NO_FATAL_FAILURE(restart());
  TxBuilder tx;
  for (const ObjectPath& object : objects) tx.put(object, "e", "a", "v");
  const auto ready = run(shard().prepare({1, 1}, tx.request));
  ASSERT_TRUE(ready && ready->status == Errc::ok);
  const uint64_t reads = rig_.data.requests(sim::SimDisk::Op::read);
  ASSERT_TRUE(run(shard().commit({1, 1})));
  rig_.world.run_for(10 * kSecond);
  ASSERT_TRUE(shard().unresolved().empty());
  // Each buffer once, and again those of a slice that had to get smaller.
  EXPECT_LE(rig_.data.requests(sim::SimDisk::Op::read) - reads, 2 * kObjects);
  for (const ObjectPath& object : objects) {
    EXPECT_EQ(*run(read_single(shard(), object, "e", "a")), "v");
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatReview, Cleaning_rests_where_nothing_is_worth_it_in_several_containers) {
  // Goal: an idle shard does nothing. Method: in each of two containers an extent that is sparse
  // and alone; requests to the data disk counted over a minute.
  ASSERT_NO_FATAL_FAILURE(start(true));
  for (const size_t object : {size_t{0}, size_t{2}}) {
    ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 300, object));
    ASSERT_NO_FATAL_FAILURE(flatten(object));
  }
  ASSERT_NE(path(0).container, path(2).container);
  rig_.world.run_for(5 * kSecond);
  const uint64_t reads = rig_.data.requests(sim::SimDisk::Op::read);
  rig_.world.run_for(60 * kSecond);
  EXPECT_EQ(rig_.data.requests(sim::SimDisk::Op::read), reads);
  ASSERT_NO_FATAL_FAILURE(expect_sound());
}

TEST_F(FlatReview, An_extent_that_cannot_be_looked_at_does_not_end_the_cleaning_of_others) {
  // Goal: a lost page costs what stood in it. Method: sparse extents of one object each, not
  // cleaned yet; the page with the record of the first object is damaged.
  rig_.options.reclaim = false;
  ASSERT_NO_FATAL_FAILURE(start(true));
  ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 300));
  ASSERT_NO_FATAL_FAILURE(flatten());
  for (int i = 0; i < 200; ++i) ASSERT_NO_FATAL_FAILURE(put_value(dkey(i), 400, 1));
  std::vector<ObjectPath> objects;
  for (uint64_t n = 0; n < 6; ++n) {
    objects.push_back({1, {100 + n, path(1).oid.hi}, 0});
    ASSERT_TRUE(run(put_single(shard(), objects.back(), "d", "a", std::string(300, 'v'))));
    ASSERT_TRUE(run(shard().flatten({objects.back()}, {})));
  }
  EXPECT_EQ(run(shard().flat_usage(1))->extents, 7u);
  ASSERT_NO_FATAL_FAILURE(restart());
  const auto pages = run(leaves(shard()));
  ASSERT_TRUE(pages);
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  rig_.meta.flip_bit(pages->front() * index::kPageBytes + 2'000, 3);
  rig_.options.reclaim = true;
  ASSERT_NO_FATAL_FAILURE(start(false));
  rig_.world.run_for(10 * kSecond);
  EXPECT_EQ(run(shard().flat_usage(1))->extents, 2u) << "the lost one, and one of the others";
  for (const ObjectPath& object : objects) {
    EXPECT_EQ(*run(read_single(shard(), object, "d", "a")), std::string(300, 'v'));
  }
}

TEST(FlatsDirty, An_extent_is_listed_once_and_again_fresh_when_more_of_it_dies) {
  Flats flats;
  const PackRecord sparse{.blocks = 4, .objects = 1, .bytes = 1'000};
  for (int i = 0; i < 5'000; ++i) flats.note_pack({1, 8}, sparse);
  flats.note_pack({1, 16}, sparse);
  ASSERT_TRUE(flats.any_dirty());
  const auto dirty = flats.take_dirty();
  ASSERT_EQ(dirty.size(), 2u) << "one does not take the place of others";
  EXPECT_EQ(dirty[1].id.block, 16u);
  flats.keep_dirty({{1, 8}, false});
  EXPECT_FALSE(flats.any_dirty());
  flats.note_pack({1, 8}, sparse);
  EXPECT_TRUE(flats.any_dirty());
  const auto again = flats.take_dirty();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_TRUE(again[0].fresh);
}

TEST_F(FlatReview, An_object_whose_large_values_find_no_blocks_stays_and_the_call_goes_on) {
  // Goal: a look at what is flat in part never fails a call. Method: an object with a large value
  // is flat, but for one of many dkeys, which was changed later; the data disk gets full.
  ASSERT_NO_FATAL_FAILURE(start(true));
  ASSERT_NO_FATAL_FAILURE(put_value(dkey(0), 40'000));
  for (int i = 1; i < 300; ++i) ASSERT_NO_FATAL_FAILURE(put_value(dkey(i), 10));
  ASSERT_NO_FATAL_FAILURE(flatten());
  ASSERT_NO_FATAL_FAILURE(put_value(dkey(299), 11));
  ASSERT_TRUE(is_flat());
  const std::string block(64u << 10, 'x');
  for (int i = 0; i < 2'000; ++i) {
    const auto done = run(put_single(shard(), path(1), dkey(i), "value", block));
    if (!done) break;
  }
  for (int i = 0; i < 100; ++i) {
    const auto done = run(put_single(shard(), path(1), dkey(i), "more", block.substr(0, 5'000)));
    if (!done) break;
  }
  const auto done = run(shard().flatten({path()}, {}));
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_EQ((*done)[0].outcome, FlattenOutcome::too_large);
  EXPECT_EQ(run(read_single(shard(), path(), dkey(0), "value"))->size(), 40'000u);
  EXPECT_EQ(shard().store().stats().data.reserved, 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

}  // namespace
}  // namespace cairn::vos::testing
