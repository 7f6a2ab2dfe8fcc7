// Values of large key-value objects in extents that they share, on simulated
// disks (docs/decisions/0020-packed-values.md); and the bytes of one of them.
#include <gtest/gtest.h>

#include "index/sweep.h"
#include "vos/packed_format.h"
#include "vos/plan.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

/// Pages of records.
Task<Result<size_t>> leaf_count(Shard& shard) {
  index::Sweep sweep = shard.store().sweep();
  size_t count = 0;
  while (const auto visit = co_await sweep.next()) count += visit->level == 0 ? 1 : 0;
  co_return count;
}

Key sample_key() {
  const KeyPath path(ObjectPath{1, {7, 0x0001'0001'0000'0000}, 0});
  const Key dkey = *path.dkey(as_bytes("dkey"));
  return record_key(*path.akey(dkey, as_bytes("a")), Kind::single);
}

TEST(PackedFormat, A_value_has_its_golden_bytes_and_comes_back) {
  const Key key = sample_key();
  const Bytes payload(300, std::byte{0x5A});
  Bytes bytes;
  put_packed_value(bytes, key, payload);
  ASSERT_EQ(bytes.size(), packed_bytes(key.size(), 300));
  EXPECT_EQ(as_chars(ByteView(bytes).first(4)), "CVAL");
  EXPECT_EQ(load_le32(bytes.data() + 8), 300u);
  EXPECT_EQ(load_le32(bytes.data() + 12), key.size() | 1u << 16) << "key_bytes, version, reserved";
  EXPECT_EQ(as_chars(ByteView(bytes).subspan(16, key.size())), as_chars(key.view()));
  EXPECT_EQ(as_chars(ByteView(bytes).last(300)), as_chars(payload));
  bytes.resize(bytes.size() + 100);
  const auto value = parse_packed_value(bytes);
  ASSERT_TRUE(value) << value.error().what();
  EXPECT_EQ(as_chars(value->key), as_chars(key.view()));
  EXPECT_EQ(as_chars(value->payload), as_chars(payload));
}

TEST(PackedFormat, No_bit_can_change_unseen_and_nothing_leads_beyond_its_end) {
  Bytes good;
  put_packed_value(good, sample_key(), Bytes(256, std::byte{1}));
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_FALSE(parse_packed_value(bad)) << bit;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_packed_value(ByteView(good).first(size))) << size;
  }
  Bytes other;
  const KeyPath path(ObjectPath{1, {7, 0x0001'0001'0000'0000}, 0});
  put_packed_value(other, touched_key(path.object()), Bytes(256));
  EXPECT_FALSE(parse_packed_value(other)) << "not the key of a value";
}

class ValuePack : public ::testing::Test {
 protected:
  void SetUp() override { start(true); }
  void start(bool create) {
    const auto started = rig_.start(create);
    ASSERT_TRUE(started && *started) << started->error().what();
  }
  void restart(bool cleanly = true) {
    if (cleanly) {
      ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    } else {
      rig_.next_era();
    }
    start(false);
  }
  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }
  static ObjectPath path(uint64_t n = 7) { return {1, {n, 0x0001'0001'0000'0000}, 0}; }
  static std::string dkey(int i) { return "k" + std::to_string(1'000 + i); }
  std::string noise(size_t size) {
    std::string out(size, 0);
    for (char& c : out) c = static_cast<char>(random_.below(256));
    return out;
  }
  void put(int i, std::string value) {
    wanted_[i] = value;
    const auto done = run(put_single(shard(), path(), dkey(i), "a", std::move(value)));
    ASSERT_TRUE(done) << done.error().what();
  }
  void fill(int count, size_t size) {
    for (int i = 0; i < count; ++i) ASSERT_NO_FATAL_FAILURE(put(i, noise(size)));
  }
  void pack(FlattenOutcome wanted = FlattenOutcome::too_many) {
    const auto done = run(shard().flatten({path()}, {.keys_max = 4}));
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_EQ((*done)[0].outcome, wanted);
  }
  void expect_wanted(model::Epoch epoch = model::kEpochMax) {
    ASSERT_NO_FATAL_FAILURE(expect_values(wanted_, epoch));
  }
  void expect_values(const std::map<int, std::string>& values, model::Epoch epoch) {
    for (const auto& [i, value] : values) {
      Bytes room(5'000);
      const std::string name = dkey(i);
      FetchRequest request{.object = path(), .dkey = as_bytes(name), .epoch = epoch};
      request.iods.push_back(
          {as_bytes("a"), ValueType::single, 0, 0, {}, {{room.data(), room.size()}}, false});
      const auto got = run(shard().fetch(request));
      ASSERT_TRUE(got) << got.error().what();
      ASSERT_EQ(as_chars(ByteView(room).first(got->iods[0].record_bytes)), value) << i;
    }
    EXPECT_EQ(shard().store().stats().data.reserved, 0u);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  }
  model::Epoch snapshot() {
    const auto answered = run(shard().freeze_container(1));
    CHECK(answered && run(shard().add_snapshot(1, *answered + 1)));
    return *answered + 1;
  }
  FlatUsage usage() { return *run(shard().flat_usage(1)); }
  uint64_t used() { return shard().store().stats().data.used; }
  uint64_t data_reads() { return rig_.data.requests(sim::SimDisk::Op::read); }

  Rig rig_{test_seed(), {}, {.wal = 8u << 20, .data = 16u << 20}};
  std::map<int, std::string> wanted_;
  SeededRandom random_{test_seed()};
};

TEST_F(ValuePack, Values_leave_their_pages_and_a_get_costs_one_read) {
  // Method: 300 dkeys of 400 bytes in an object of too many keys; leaves of the index counted;
  // requests of gets; changes and punches; everything comes back in the end.
  ASSERT_NO_FATAL_FAILURE(fill(300, 400));
  ASSERT_TRUE(run(shard().checkpoint()));
  const auto leaves_before = run(leaf_count(shard()));
  ASSERT_NO_FATAL_FAILURE(pack());
  EXPECT_FALSE(*run(shard().is_flat(path())));
  EXPECT_EQ(usage().objects, 300u);
  EXPECT_EQ(usage().extents, 3u);
  EXPECT_GE(8 * usage().buffer_bytes, 7 * usage().extent_bytes);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart());
  const auto leaves = run(leaf_count(shard()));
  ASSERT_TRUE(leaves_before && leaves);
  EXPECT_LE(2 * *leaves, *leaves_before);
  for (int i = 0; i < 300; i += 7) {
    const uint64_t reads = data_reads();
    ASSERT_EQ(*run(read_single(shard(), path(), dkey(i), "a")), wanted_[i]);
    ASSERT_EQ(data_reads() - reads, 1u);
  }
  ASSERT_NO_FATAL_FAILURE(pack());
  EXPECT_EQ(usage().extents, 3u) << "nothing is left to be moved";
  for (int i = 0; i < 300; i += 3) ASSERT_NO_FATAL_FAILURE(put(i, noise(300)));
  EXPECT_EQ(usage().objects, 200u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart(false));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(pack());
  EXPECT_EQ(usage().objects, 300u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  const std::string punched = dkey(1);
  ASSERT_TRUE(
      run(shard().punch({.object = path(), .level = Level::dkey, .dkey = as_bytes(punched)})));
  wanted_[1] = "";
  EXPECT_EQ(usage().objects, 299u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_TRUE(run(shard().punch({.object = path()})));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(used(), 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(ValuePack, What_would_not_fill_a_block_stays_in_its_page) {
  ASSERT_NO_FATAL_FAILURE(fill(8, 300));
  ASSERT_NO_FATAL_FAILURE(pack());
  EXPECT_EQ(usage().objects, 0u);
  EXPECT_EQ(used(), 0u);
  for (int i = 8; i < 20; ++i) ASSERT_NO_FATAL_FAILURE(put(i, noise(i % 2 == 0 ? 255 : 300)));
  ASSERT_NO_FATAL_FAILURE(pack());
  EXPECT_GT(usage().objects, 9u);
  EXPECT_LE(usage().objects, 14u) << "those of 255 bytes do not move";
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(ValuePack, An_object_that_becomes_small_enough_is_flattened_with_its_packed_values) {
  ASSERT_NO_FATAL_FAILURE(fill(40, 1'000));
  ASSERT_NO_FATAL_FAILURE(pack());
  EXPECT_EQ(usage().objects, 40u);
  const auto done = run(shard().flatten({path()}, {}));
  ASSERT_TRUE(done && (*done)[0].outcome == FlattenOutcome::flattened);
  EXPECT_EQ(usage().objects, 1u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart(false));
  ASSERT_NO_FATAL_FAILURE(put(3, "new"));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(ValuePack, Snapshots_keep_packed_values_and_give_them_back) {
  // Method: packed under one snapshot, overwritten, the object rolled back;
  // then without snapshots.
  ASSERT_NO_FATAL_FAILURE(fill(60, 700));
  const model::Epoch first = snapshot();
  ASSERT_NO_FATAL_FAILURE(pack());
  const auto before = wanted_;
  for (int i = 0; i < 60; i += 2) ASSERT_NO_FATAL_FAILURE(put(i, noise(600)));
  ASSERT_NO_FATAL_FAILURE(pack());
  const uint64_t all = usage().objects;
  EXPECT_GT(all, 80u);
  const auto after = wanted_;
  const model::Epoch second = snapshot();
  for (int i = 0; i < 60; i += 3) ASSERT_NO_FATAL_FAILURE(put(i, "short"));
  EXPECT_EQ(usage().objects, all) << "snapshots need them";
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(expect_values(before, first));
  ASSERT_NO_FATAL_FAILURE(expect_values(after, second));
  ASSERT_TRUE(run(shard().clean_flat(1)));
  ASSERT_NO_FATAL_FAILURE(expect_values(before, first));
  ASSERT_TRUE(run(shard().rollback(1, second)));
  wanted_ = after;
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart(false));
  ASSERT_NO_FATAL_FAILURE(expect_values(before, first));
  for (const model::Epoch epoch : {first, second}) {
    ASSERT_TRUE(run(shard().remove_snapshot(1, epoch)));
  }
  rig_.world.run_for(kSecond);
  EXPECT_LE(usage().objects, 60u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_TRUE(run(shard().destroy_container(1)));
  EXPECT_EQ(used(), 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(ValuePack, Cleaning_copies_values_and_buffers_that_live_and_gives_the_rest_back) {
  ASSERT_NO_FATAL_FAILURE(fill(200, 500));
  ASSERT_NO_FATAL_FAILURE(pack());
  ASSERT_TRUE(run(put_single(shard(), path(8), "d", "a", "flat")));
  ASSERT_TRUE(run(shard().flatten({path(8)}, {})));
  for (int i = 0; i < 200; ++i) {
    if (i % 10 != 0) ASSERT_NO_FATAL_FAILURE(put(i, "gone"));
  }
  EXPECT_EQ(usage().objects, 21u);
  EXPECT_GT(usage().extent_bytes, 100'000u);
  ASSERT_TRUE(run(shard().clean_flat(1)));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(usage().objects, 21u);
    EXPECT_EQ(usage().extents, 1u);
    EXPECT_LE(usage().extent_bytes, round_up(usage().buffer_bytes, media::kBlockBytes));
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    EXPECT_EQ(*run(read_single(shard(), path(8), "d", "a")), "flat");
    ASSERT_NO_FATAL_FAILURE(restart(round == 1));
  }
}

TEST_F(ValuePack, A_damaged_block_takes_the_values_in_it_and_no_others) {
  ASSERT_NO_FATAL_FAILURE(fill(50, 1'000));
  ASSERT_NO_FATAL_FAILURE(pack());
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  const Bytes medium = rig_.data.peek(0, 1u << 20);
  const ByteView payload = as_bytes(wanted_[20]);
  const auto at = std::search(medium.begin(), medium.end(), payload.begin(), payload.end());
  ASSERT_NE(at, medium.end());
  rig_.data.flip_bit(static_cast<uint64_t>(at - medium.begin()) + 50, 3);
  start(false);
  std::set<int> lost;
  for (const auto& [i, value] : wanted_) {
    const auto got = run(read_single(shard(), path(), dkey(i), "a"));
    if (got) EXPECT_EQ(*got, value);
    if (!got) {
      EXPECT_EQ(got.error().code(), Errc::checksum);
      lost.insert(i);
    }
  }
  EXPECT_TRUE(lost.contains(20));
  EXPECT_LE(lost.size(), 6u);
  const auto report = run(shard().check(true));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->losses.size(), lost.size());
  // Cleaning leaves the damaged value where it is; the way out is to write it
  // again.
  for (int i = 0; i < 50; ++i) {
    if (!lost.contains(i)) ASSERT_NO_FATAL_FAILURE(put(i, "short"));
  }
  ASSERT_TRUE(run(shard().clean_flat(1)));
  EXPECT_EQ(usage().objects, lost.size());
  for (const int i : lost) ASSERT_NO_FATAL_FAILURE(put(i, "again"));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  EXPECT_EQ(used(), 0u);
}

TEST_F(ValuePack, Cleaning_gets_on_where_memory_does_not_do_for_all_that_lives) {
  // Goal: space comes back, in steps that the memory holds. Method: the least memory; what lives in
  // mostly dead extents is 2,000 values, all over the tree.
  rig_.options.store.memory_bytes = 8u << 20;
  rig_.options.reclaim = false;
  ASSERT_NO_FATAL_FAILURE(restart());
  ASSERT_NO_FATAL_FAILURE(fill(6'000, 300));
  ASSERT_NO_FATAL_FAILURE(pack());
  const uint64_t packed = usage().objects;
  EXPECT_GT(packed, 5'900u);
  for (int i = 0; i < 6'000; ++i) {
    if (i % 3 != 0) ASSERT_NO_FATAL_FAILURE(put(i, "gone"));
  }
  const FlatUsage before = usage();
  EXPECT_GT(before.extent_bytes, 5 * before.buffer_bytes / 2) << "most of it is dead";
  ASSERT_TRUE(run(shard().clean_flat(1)));
  const FlatUsage after = usage();
  EXPECT_EQ(after.objects, before.objects);
  EXPECT_EQ(after.buffer_bytes, before.buffer_bytes);
  EXPECT_LE(after.extent_bytes, 9 * after.buffer_bytes / 8);
  ASSERT_NO_FATAL_FAILURE(restart(false));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(ValuePack, A_large_object_is_not_walked_to_its_end_to_say_that_it_is_large) {
  // Method: some hundred pages that are not in memory; the page reads of a look that ends with "it
  // was changed", so that nothing is packed.
  ASSERT_NO_FATAL_FAILURE(fill(1'000, 1'000));
  ASSERT_NO_FATAL_FAILURE(restart());
  const uint64_t before = rig_.meta.requests(sim::SimDisk::Op::read);
  const auto done = run(shard().flatten({path()}, {.keys_max = 4, .unchanged_since = 1}));
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_EQ((*done)[0].outcome, FlattenOutcome::changed);
  EXPECT_LT(rig_.meta.requests(sim::SimDisk::Op::read) - before, 20u);
  ASSERT_NO_FATAL_FAILURE(pack());
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

/// Takes the records of the container's extents away.
Task<Result<size_t>> lose_extent_records(Shard& shard) {
  index::Batch batch;
  const Key prefix = range_prefix(1, Range::pack);
  index::Cursor cursor(shard.store().tree());
  CO_TRY(sought, cursor.seek(prefix));
  while (cursor.valid() && starts_with(cursor.key(), prefix)) {
    batch.erase(cursor.key());
    CO_TRY(moved, cursor.next());
  }
  const size_t count = batch.ops().size();
  CO_TRY(prepared, shard.store().tree().prepare(batch));
  const model::Epoch epoch = shard.draw_epoch();
  const auto at = shard.store().commit({0, 0, epoch, 0, 0}, batch, {epoch, epoch});
  CO_TRY(durable, co_await shard.store().durable(at));
  co_return count;
}

TEST_F(ValuePack, Values_and_objects_whose_extents_records_are_gone_can_be_changed_all_the_same) {
  ASSERT_NO_FATAL_FAILURE(fill(50, 1'000));
  ASSERT_NO_FATAL_FAILURE(pack());
  ASSERT_TRUE(run(put_single(shard(), path(8), "d", "a", "flat")));
  ASSERT_TRUE(run(shard().flatten({path(8)}, {})));
  ASSERT_EQ(*run(read_single(shard(), path(8), "d", "a")), "flat");
  const auto lost = run(lose_extent_records(shard()));
  ASSERT_TRUE(lost) << lost.error().what();
  ASSERT_GE(*lost, 2u);
  for (int i = 0; i < 50; ++i) ASSERT_NO_FATAL_FAILURE(put(i, noise(100)));
  ASSERT_TRUE(run(put_single(shard(), path(8), "d", "a", "new")));
  EXPECT_EQ(*run(read_single(shard(), path(8), "d", "a")), "new");
  ASSERT_TRUE(run(shard().punch({.object = path()})));
  rig_.world.run_for(kSecond);
  EXPECT_GT(used(), 0u) << "nobody knows how much of it lives";
  const auto report = run(shard().check(true));
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->problems.empty());
}

}  // namespace
}  // namespace cairn::vos::testing
