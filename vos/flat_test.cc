// Flattened objects, rule by rule (store.md 25 to 28), on simulated disks.
#include <gtest/gtest.h>

#include "vos/key_format.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

class FlatTest : public ::testing::Test {
 protected:
  void SetUp() override { start(true); }

  void start(bool create) {
    const auto started = rig_.start(create);
    ASSERT_TRUE(started && started->has_value()) << started->error().what();
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
  ObjectPath path(uint64_t n, ContNumber container = 1) const {
    return {container, {n, 0x0001'0001'0000'0000}, 0};
  }
  static Bytes filled(size_t count, int byte) { return Bytes(count, std::byte(byte)); }

  Result<model::Epoch> put(const ObjectPath& object, const std::string& dkey,
                           const std::string& akey, Bytes value) {
    UpdateRequest r{.object = object, .dkey = as_bytes(dkey)};
    r.iods.push_back(
        {as_bytes(akey), ValueType::single, value.size(), 0, {}, scattered(value), false});
    return run(shard().update(r));
  }
  Result<model::Epoch> put_array(const ObjectPath& object, const std::string& dkey, uint64_t first,
                                 Bytes bytes) {
    UpdateRequest r{.object = object, .dkey = as_bytes(dkey)};
    r.iods.push_back({as_bytes(kArray),
                      ValueType::array,
                      1,
                      0,
                      {{first, bytes.size()}},
                      scattered(bytes),
                      false});
    return run(shard().update(r));
  }
  Result<Bytes> get(const ObjectPath& object, const std::string& dkey, const std::string& akey,
                    model::Epoch epoch = model::kEpochMax) {
    Bytes room(50'000, std::byte{0xEE});
    FetchRequest r{.object = object, .dkey = as_bytes(dkey), .epoch = epoch};
    r.iods.push_back({as_bytes(akey), ValueType::single, 0, 0, {}, scattered(room), false});
    TRY(fetched, run(shard().fetch(r)));
    room.resize(fetched.iods[0].record_bytes);
    return room;
  }
  Result<Bytes> get_array(const ObjectPath& object, const std::string& dkey, uint64_t first,
                          uint64_t count) {
    Bytes room(count, std::byte{0xEE});
    FetchRequest r{.object = object, .dkey = as_bytes(dkey)};
    r.iods.push_back(
        {as_bytes(kArray), ValueType::array, 1, 0, {{first, count}}, scattered(room), false});
    TRY(fetched, run(shard().fetch(r)));
    return room;
  }
  std::vector<std::string> dkeys(const ObjectPath& object, model::Epoch epoch = model::kEpochMax) {
    const auto listed =
        run(list_keys({shard(), epoch}, object, {.count_max = 3, .bytes_max = 999}));
    CHECK(listed.has_value());
    return *listed;
  }
  FlattenOutcome flatten(const ObjectPath& object, FlattenOptions options = {}) {
    const auto done = run(shard().flatten({object}, options));
    CHECK(done.has_value());
    return (*done)[0].outcome;
  }
  model::Epoch snapshot(ContNumber container = 1) {
    const auto answered = run(shard().freeze_container(container));
    CHECK(answered.has_value());
    CHECK(run(shard().add_snapshot(container, *answered + 1)).has_value());
    return *answered + 1;
  }
  Result<model::Epoch> punch(const ObjectPath& object, const std::string& dkey = {}) {
    PunchRequest r{.object = object};
    if (!dkey.empty()) {
      r.level = PunchRequest::Level::dkey;
      r.dkey = as_bytes(dkey);
    }
    return run(shard().punch(r));
  }
  bool is_flat(const ObjectPath& object) { return *run(shard().is_flat(object)); }
  FlatUsage usage(ContNumber container = 1) { return *run(shard().flat_usage(container)); }
  uint64_t records() { return run(shard().check(false))->records; }
  uint64_t blocks_used() { return shard().store().stats().data.used; }
  uint64_t data_reads() { return rig_.data.requests(sim::SimDisk::Op::read); }

  void reclaimed() { run(reclaimed_of(shard())); }
  static Task<bool> reclaimed_of(Shard& shard) {
    co_await shard.reclaimed();
    co_return true;
  }

  static constexpr const char* kArray = "array";
  Rig rig_{test_seed(), {}, {.wal = 8u << 20, .data = 32u << 20}};
};

TEST_F(FlatTest, A_flattened_object_answers_as_before_and_leaves_one_record) {
  // Goal: rule 25 and issue 5. Method: values inline and in blocks, an array, long keys; every way
  // to read before and after, over restarts; records counted.
  const std::string long_key(3'000, 'L');
  const ObjectPath object = path(7);
  ASSERT_TRUE(put(object, "a", "small", filled(100, 1)));
  ASSERT_TRUE(put(object, "a", long_key, filled(88, 0)));
  ASSERT_TRUE(put(object, long_key, "x", filled(4'000, 3)));
  ASSERT_TRUE(put_array(object, "b", 5, filled(4'096, 4)));
  ASSERT_TRUE(put_array(object, "b", 9'000, filled(10, 5)));
  const auto newest = put(object, "c", "blocks", filled(9'000, 6));
  const auto keys = dkeys(object);
  ASSERT_EQ(keys.size(), 4u);
  const auto flattened = run(shard().flatten({object}, {}));
  ASSERT_TRUE(flattened) << flattened.error().what();
  ASSERT_EQ((*flattened)[0].outcome, FlattenOutcome::flattened);
  EXPECT_EQ((*flattened)[0].epoch, *newest);
  EXPECT_EQ(dkeys(object, *newest), keys);
  for (const bool cleanly : {true, false, true}) {
    EXPECT_TRUE(is_flat(object));
    EXPECT_EQ(flatten(object), FlattenOutcome::already);
    EXPECT_EQ(*get(object, "a", "small"), filled(100, 1));
    EXPECT_EQ(*get(object, "a", long_key), filled(88, 0));
    EXPECT_EQ(*get(object, long_key, "x"), filled(4'000, 3));
    EXPECT_EQ(*get(object, "c", "blocks"), filled(9'000, 6));
    EXPECT_EQ(*get(object, "c", "none"), Bytes{});
    EXPECT_EQ(*get(object, "no", "small"), Bytes{});
    EXPECT_EQ(*get_array(object, "b", 5, 4'096), filled(4'096, 4));
    EXPECT_EQ(*get_array(object, "b", 9'000, 10), filled(10, 5));
    EXPECT_EQ(dkeys(object), keys);
    EXPECT_EQ(*run(shard().max_epoch(object)), *newest);
    const auto listed = run(shard().list_objects(1, model::kEpochMax, {}, 10));
    ASSERT_TRUE(listed && listed->oids.size() == 1);
    EXPECT_EQ(listed->oids[0], object.oid);
    // The buffer's record, and its extent's.
    EXPECT_EQ(records(), 2u);
    EXPECT_EQ(usage().objects, 1u);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart(cleanly));
  }
}

TEST_F(FlatTest, A_small_file_is_read_cold_by_one_request_of_the_blocks_of_its_buffer) {
  // Goal: worm.reads_per_cold_read. Method: 100 files of 4 KiB, data in blocks, flattened
  // together; after a restart the index is warmed by is_flat(); requests to the data disk counted.
  std::vector<ObjectPath> files;
  for (uint64_t n = 0; n < 100; ++n) {
    files.push_back(path(100 + n));
    ASSERT_TRUE(put_array(files.back(), "0", 0, filled(4'096, static_cast<int>(n))));
  }
  const uint64_t before = blocks_used();
  const auto done = run(shard().flatten(files, {}));
  ASSERT_TRUE(done);
  for (const Flattened& f : *done) ASSERT_EQ(f.outcome, FlattenOutcome::flattened);
  EXPECT_EQ(before, 100u);
  // 5 % over the payload.
  EXPECT_LE(blocks_used(), 105u);
  EXPECT_EQ(usage().extents, 1u);
  ASSERT_NO_FATAL_FAILURE(restart());
  for (const ObjectPath& file : files) ASSERT_TRUE(is_flat(file));
  for (uint64_t n = 0; n < 100; ++n) {
    const uint64_t reads = data_reads();
    ASSERT_EQ(*get_array(files[n], "0", 0, 4'096), filled(4'096, static_cast<int>(n)));
    ASSERT_EQ(data_reads() - reads, 1u) << "cold";
    ASSERT_EQ(*get_array(files[n], "0", 0, 4'096), filled(4'096, static_cast<int>(n)));
    ASSERT_EQ(data_reads() - reads, 1u) << "warm";
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatTest, An_update_takes_a_small_object_out_whole_and_its_space_comes_back) {
  // Rule 28, up to 64 records. Goal: the object is as it was, with the change; nothing leaks.
  const ObjectPath object = path(7);
  ASSERT_TRUE(put_array(object, "d", 0, filled(30'000, 1)));
  ASSERT_TRUE(put(object, "e", "x", filled(10, 2)));
  ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
  ASSERT_TRUE(put_array(object, "d", 10'000, filled(5, 9)));
  EXPECT_FALSE(is_flat(object));
  EXPECT_EQ(usage().extents, 0u);
  Bytes wanted = filled(30'000, 1);
  std::fill_n(wanted.begin() + 10'000, 5, std::byte{9});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(*get_array(object, "d", 0, 30'000), wanted);
    EXPECT_EQ(*get(object, "e", "x"), filled(10, 2));
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart());
  }
  ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
  ASSERT_TRUE(punch(object));
  EXPECT_EQ(dkeys(object).size(), 0u);
  EXPECT_EQ(blocks_used(), 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatTest, A_change_of_a_large_object_takes_out_its_dkey_alone) {
  // Rule 28, above 64 records. Goal: the rest stays in the buffer; readers see both as one object;
  // flattening again joins them. Method: 300 dkeys, some written, punched, added.
  const ObjectPath object = path(7);
  std::map<std::string, Bytes> wanted;
  for (int i = 0; i < 300; ++i) {
    const std::string dkey = "k" + std::to_string(i);
    wanted[dkey] = filled(20, i % 250);
    ASSERT_TRUE(put(object, dkey, "v", wanted[dkey]));
  }
  const auto expect_wanted = [&] {
    std::vector<std::string> names;
    for (const auto& [dkey, value] : wanted) {
      ASSERT_EQ(*get(object, dkey, "v"), value) << dkey;
      names.push_back(dkey);
    }
    ASSERT_EQ(dkeys(object), names);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  };
  ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  for (int round = 0; round < 2; ++round) {
    for (const char* const dkey : {"k7", "k77", "new", "a"}) {
      wanted[dkey] = filled(30, 200 + round);
      ASSERT_TRUE(put(object, dkey, "v", wanted[dkey]));
    }
    const std::string gone = "k1" + std::to_string(round);
    wanted.erase(gone);
    ASSERT_TRUE(punch(object, gone));
    EXPECT_TRUE(is_flat(object));
    EXPECT_EQ(usage().objects, 1u);
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    ASSERT_NO_FATAL_FAILURE(restart(round == 0));
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
    EXPECT_EQ(records(), 2u);
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
  }
  ASSERT_TRUE(punch(object));
  EXPECT_EQ(dkeys(object).size(), 0u);
  EXPECT_EQ(blocks_used(), 0u);
}

TEST_F(FlatTest, Large_data_stays_in_its_extents_and_comes_back_from_them) {
  // Goal: data above the limit is neither copied nor lost. Method: 1 MiB extents, one with
  // checksums apart; blocks compared before and after; then a change of its middle.
  const ObjectPath object = path(7);
  Bytes large(1u << 20);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<std::byte>(i * 7 / 5);
  ASSERT_TRUE(put_array(object, "1", 0, large));
  ASSERT_TRUE(put_array(object, "2", 100, Bytes(large.begin(), large.begin() + 50'000)));
  ASSERT_TRUE(put_array(object, "3", 0, filled(500, 3)));
  const uint64_t before = blocks_used();
  ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
  EXPECT_EQ(blocks_used(), before + 1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(*get_array(object, "1", 0, large.size()), large);
    EXPECT_EQ(*get_array(object, "2", 100, 50'000), Bytes(large.begin(), large.begin() + 50'000));
    EXPECT_EQ(*get_array(object, "3", 0, 500), filled(500, 3));
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart());
  }
  ASSERT_TRUE(put_array(object, "1", 300'000, filled(10, 9)));
  std::fill_n(large.begin() + 300'000, 10, std::byte{9});
  EXPECT_EQ(*get_array(object, "1", 0, large.size()), large);
  EXPECT_EQ(*get_array(object, "3", 0, 500), filled(500, 3));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  ASSERT_TRUE(punch(object));
  EXPECT_EQ(blocks_used(), 0u);
}

TEST_F(FlatTest, Large_data_stays_where_it_is_when_an_object_is_flattened_again) {
  // Goal: checksums that stand apart go out and come back to the same place. Method: 1 MiB beside
  // 100 small dkeys; one of those is changed, and the object flattened again.
  const ObjectPath object = path(7);
  Bytes large(1u << 20);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<std::byte>(i * 7 / 5);
  ASSERT_TRUE(put_array(object, "large", 0, large));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(put(object, "k" + std::to_string(i), "v", filled(10, i)));
  }
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
    EXPECT_EQ(*get_array(object, "large", 0, large.size()), large);
    EXPECT_EQ(*get(object, "k5", "v"), filled(10, round == 0 ? 5 : 100));
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_TRUE(put(object, "k5", "v", filled(10, 100)));
    EXPECT_TRUE(is_flat(object));
    ASSERT_NO_FATAL_FAILURE(restart());
  }
}

TEST_F(FlatTest, Large_data_in_small_pieces_gets_blocks_where_it_has_none) {
  // Goal: what stands outside is whole blocks' data. Method: a file of 300 KB written in pieces of
  // every size, some of them inline in the tree; read back, changed, and its space counted.
  const ObjectPath object = path(7);
  Bytes wanted(300'000);
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = static_cast<std::byte>(i * 11 / 7);
  const auto write = [&](size_t at, size_t count) {
    const auto from = wanted.begin() + static_cast<ptrdiff_t>(at);
    ASSERT_TRUE(put_array(object, "d", at, Bytes(from, from + static_cast<ptrdiff_t>(count))));
  };
  write(0, 100'000);
  for (size_t at = 100'000; at < 130'000; at += 1'000) write(at, 1'000);
  write(130'000, 170'000);
  write(50'000, 10);
  write(299'990, 10);
  ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(*get_array(object, "d", 0, wanted.size()), wanted);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart(i == 1));
  }
  std::fill_n(wanted.begin() + 120'000, 50, std::byte{9});
  write(120'000, 50);
  EXPECT_FALSE(is_flat(object));
  EXPECT_EQ(*get_array(object, "d", 0, wanted.size()), wanted);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  ASSERT_TRUE(punch(object));
  EXPECT_EQ(blocks_used(), 0u);
  EXPECT_EQ(shard().store().stats().data.reserved, 0u);
}

TEST_F(FlatTest, What_a_snapshot_shows_does_not_change) {
  // Goal: 4.5 snapshots. Method: an object that straddles one stays; a flat one that is changed or
  // punched under one keeps what it shows; giving the snapshot up gives the space back.
  const ObjectPath object = path(7);
  ASSERT_TRUE(put(object, "d", "x", filled(10, 1)));
  const model::Epoch first = snapshot();
  ASSERT_TRUE(put(object, "e", "x", filled(10, 2)));
  EXPECT_EQ(flatten(object), FlattenOutcome::snapshot);
  ASSERT_TRUE(run(shard().remove_snapshot(1, first)));
  reclaimed();
  ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
  const model::Epoch second = snapshot();
  ASSERT_TRUE(put(object, "d", "x", filled(10, 3)));
  ASSERT_EQ(flatten(object), FlattenOutcome::snapshot);
  const ObjectPath other = path(8);
  ASSERT_TRUE(put(other, "d", "x", filled(5'000, 4)));
  ASSERT_EQ(flatten(other), FlattenOutcome::flattened);
  const model::Epoch third = snapshot();
  ASSERT_TRUE(punch(other));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(*get(object, "d", "x", second), filled(10, 1));
    EXPECT_EQ(*get(object, "d", "x"), filled(10, 3));
    EXPECT_EQ(*get(other, "d", "x"), Bytes{});
    EXPECT_EQ(*get(other, "d", "x", second), Bytes{});
    EXPECT_EQ(*get(other, "d", "x", third), filled(5'000, 4));
    EXPECT_EQ(dkeys(other, third).size(), 1u);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart());
  }
  // Back to it: the buffer is the object's again.
  ASSERT_TRUE(run(shard().rollback(1, third)));
  EXPECT_TRUE(is_flat(other));
  EXPECT_EQ(*get(other, "d", "x"), filled(5'000, 4));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  ASSERT_TRUE(punch(other));
  for (const model::Epoch e : {second, third}) ASSERT_TRUE(run(shard().remove_snapshot(1, e)));
  reclaimed();
  EXPECT_EQ(usage().objects, 0u);
  EXPECT_EQ(blocks_used(), 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatTest, Cleaning_copies_what_lives_in_sparse_extents_and_gives_them_back) {
  // Goal: space of packed extents. Method: objects flattened one by one (a block each), and many
  // together of which most die; one of those that stay is a snapshot's. Content and blocks.
  std::vector<ObjectPath> all;
  for (uint64_t n = 0; n < 30; ++n) {
    all.push_back(path(n + 1));
    ASSERT_TRUE(put_array(all.back(), "d", 0, filled(1'000, static_cast<int>(n))));
  }
  for (size_t n = 0; n < 10; ++n) ASSERT_EQ(flatten(all[n]), FlattenOutcome::flattened);
  ASSERT_TRUE(run(shard().flatten({all.begin() + 10, all.end()}, {})));
  const model::Epoch s = snapshot();
  ASSERT_TRUE(punch(all[29]));
  ASSERT_TRUE(run(shard().remove_snapshot(1, snapshot())));
  for (size_t n = 12; n < 29; ++n) {
    ASSERT_TRUE(put_array(all[n], "d", 0, filled(1'000, 77)));
  }
  reclaimed();
  const uint64_t live = usage().objects;
  ASSERT_TRUE(run(shard().clean_flat(1)));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(usage().objects, live);
    EXPECT_EQ(usage().extents, 1u);
    EXPECT_LE(usage().extent_bytes, round_up(usage().buffer_bytes, 4'096));
    for (size_t n = 0; n < 12; ++n) {
      EXPECT_TRUE(is_flat(all[n]));
      EXPECT_EQ(*get_array(all[n], "d", 0, 1'000), filled(1'000, static_cast<int>(n)));
    }
    EXPECT_EQ(*get_array(all[20], "d", 0, 1'000), filled(1'000, 77));
    EXPECT_EQ(dkeys(all[29], s).size(), 1u);
    EXPECT_EQ(dkeys(all[29]).size(), 0u);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
    ASSERT_NO_FATAL_FAILURE(restart(i == 0));
  }
}

TEST_F(FlatTest, The_shard_cleans_on_its_own_while_it_is_at_rest) {
  for (uint64_t n = 1; n <= 8; ++n) {
    ASSERT_TRUE(put_array(path(n), "d", 0, filled(300, static_cast<int>(n))));
    ASSERT_EQ(flatten(path(n)), FlattenOutcome::flattened);
  }
  rig_.world.run_for(kSecond);
  EXPECT_EQ(usage().extents, 1u);
  EXPECT_EQ(blocks_used(), 1u);
  for (uint64_t n = 1; n <= 8; ++n) {
    EXPECT_EQ(*get_array(path(n), "d", 0, 300), filled(300, static_cast<int>(n)));
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatTest, A_damaged_buffer_is_told_by_its_object_and_takes_no_other_along) {
  // Goal: reads are never wrong. Method: three objects in one extent, a bit of one flipped: reads
  // of it fail, listings too, others answer; the check names it; cleaning leaves it where it is.
  for (uint64_t n = 1; n <= 3; ++n) {
    ASSERT_TRUE(put_array(path(n), "d", 0, filled(3'000, static_cast<int>(n))));
  }
  ASSERT_TRUE(run(shard().flatten({path(1), path(2), path(3)}, {})));
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  const Bytes medium = rig_.data.peek(0, 1u << 20);
  const Bytes payload = filled(100, 2);
  const auto at = std::search(medium.begin(), medium.end(), payload.begin(), payload.end());
  ASSERT_NE(at, medium.end());
  rig_.data.flip_bit(static_cast<uint64_t>(at - medium.begin()) + 50, 3);
  start(false);
  EXPECT_EQ(*get_array(path(1), "d", 0, 3'000), filled(3'000, 1));
  EXPECT_EQ(*get_array(path(3), "d", 0, 3'000), filled(3'000, 3));
  const auto read = get_array(path(2), "d", 0, 3'000);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Errc::checksum);
  const auto update = put_array(path(2), "d", 0, filled(10, 1));
  ASSERT_FALSE(update);
  EXPECT_EQ(update.error().code(), Errc::checksum);
  const auto report = run(shard().check(true));
  ASSERT_TRUE(report);
  ASSERT_EQ(report->losses.size(), 1u);
  EXPECT_NE(loss_text(report->losses[0]).find(".2.0"), std::string::npos)
      << loss_text(report->losses[0]);
  ASSERT_TRUE(run(shard().clean_flat(1)));
  EXPECT_EQ(usage().objects, 3u);
  // The way out: the object goes.
  ASSERT_TRUE(punch(path(2)));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  EXPECT_EQ(*get_array(path(3), "d", 0, 3'000), filled(3'000, 3));
}

TEST_F(FlatTest, A_full_shard_refuses_to_flatten_and_leaves_everything_as_it_was) {
  // Goal: a full disk. Method: blocks run out by large values; flattening, which needs a block
  // before it gives some back, is refused; an object's punch makes room.
  const ObjectPath object = path(7);
  ASSERT_TRUE(put_array(object, "d", 0, filled(3'000, 1)));
  uint64_t n = 100;
  while (put_array(path(n), "d", 0, filled(1u << 20, 2))) ++n;
  while (put_array(path(n), "d", 0, filled(4'096, 2))) ++n;
  const auto refused = run(shard().flatten({object, path(100)}, {}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::no_space);
  EXPECT_FALSE(is_flat(object));
  EXPECT_EQ(*get_array(object, "d", 0, 3'000), filled(3'000, 1));
  EXPECT_EQ(shard().store().stats().data.reserved, 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  ASSERT_TRUE(punch(path(101)));
  ASSERT_NO_FATAL_FAILURE(restart());
  EXPECT_EQ(flatten(object), FlattenOutcome::flattened);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatTest, Where_records_of_extents_are_lost_no_flattened_object_is_taken_for_absent) {
  // Goal: reads are never wrong. Method: each page of a shard damaged in turn; a read of a
  // flattened object, and one of its extent's container, gives its bytes or an error, never
  // nothing.
  for (uint64_t n = 1; n <= 40; ++n) {
    ASSERT_TRUE(put(path(n), "d", "x", filled(900, static_cast<int>(n))));
    ASSERT_TRUE(put(path(n + 1'000), "d", "x", filled(3'000, static_cast<int>(n))));
  }
  std::vector<ObjectPath> objects;
  for (uint64_t n = 1; n <= 40; ++n) objects.push_back(path(n));
  ASSERT_TRUE(run(shard().flatten(objects, {})));
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  uint64_t refused = 0;
  for (const uint64_t sector : rig_.meta.written_sectors()) {
    if (sector % 8 != 1) continue;  // one of each page's
    SCOPED_TRACE(sector);
    const uint64_t at = sector * sim::kSectorBytes + 100;
    rig_.meta.flip_bit(at, 1);
    const auto opened = rig_.start(false);
    ASSERT_TRUE(opened);
    for (uint64_t n = 1; *opened && n <= 40; n += 13) {
      const auto got = get(path(n), "d", "x");
      if (got) EXPECT_EQ(*got, filled(900, static_cast<int>(n)));
      if (!got) ++refused;
    }
    rig_.next_era();
    rig_.meta.flip_bit(at, 1);
  }
  EXPECT_GT(refused, 0u);
  start(false);
}

TEST_F(FlatTest, A_container_takes_its_flattened_objects_with_it) {
  for (uint64_t n = 0; n < 20; ++n) {
    ASSERT_TRUE(put_array(path(n), "d", 0, filled(5'000, 1)));
    ASSERT_TRUE(put_array(path(n, 2), "d", 0, filled(5'000, 2)));
    ASSERT_EQ(flatten(path(n)), FlattenOutcome::flattened);
    ASSERT_EQ(flatten(path(n, 2)), FlattenOutcome::flattened);
  }
  ASSERT_TRUE(run(shard().destroy_container(1)));
  EXPECT_EQ(usage().objects, 0u);
  EXPECT_EQ(usage(2).objects, 20u);
  EXPECT_EQ(*get_array(path(3, 2), "d", 0, 5'000), filled(5'000, 2));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  ASSERT_TRUE(run(shard().destroy_container(2)));
  EXPECT_EQ(blocks_used(), 0u);
}

TEST_F(FlatTest, The_bytes_do_not_tell_in_which_order_an_object_was_written) {
  // Goal: canonical, down to the medium. Method: two containers' objects with one content, written
  // forwards and backwards, in pieces and whole; their buffers differ in the container alone.
  const ObjectPath a = path(7, 1), b = path(7, 2);
  ASSERT_TRUE(put_array(a, "d", 0, filled(6'000, 1)));
  ASSERT_TRUE(put_array(a, "e", 50, filled(10, 2)));
  ASSERT_TRUE(put_array(b, "e", 55, filled(5, 2)));
  ASSERT_TRUE(put_array(b, "d", 3'000, filled(3'000, 1)));
  ASSERT_TRUE(put_array(b, "d", 0, filled(3'500, 7)));
  ASSERT_TRUE(put_array(b, "d", 0, filled(3'500, 1)));
  ASSERT_TRUE(put_array(b, "e", 50, filled(5, 2)));
  const auto first = run(shard().flatten({a}, {}));
  const auto second = run(shard().flatten({b}, {}));
  ASSERT_TRUE(first && second);
  ASSERT_EQ((*second)[0].outcome, FlattenOutcome::flattened);
  EXPECT_EQ((*first)[0].buffer_bytes, (*second)[0].buffer_bytes);
}

TEST_F(FlatTest, A_listing_that_began_before_goes_on_after) {
  // Goal: the same anchors and order. Method: one key a call; flattened after each of the first.
  const ObjectPath object = path(7);
  std::vector<std::string> wanted;
  for (int i = 0; i < 9; ++i) {
    wanted.push_back("k" + std::to_string(i));
    ASSERT_TRUE(put(object, wanted.back(), "v", filled(9, i)));
  }
  std::vector<std::string> got;
  model::ListRequest request{.count_max = 1, .bytes_max = 100};
  for (int calls = 0; calls < 20; ++calls) {
    const auto listed = run(shard().list(object, request));
    ASSERT_TRUE(listed);
    if (!listed->lengths.empty()) got.emplace_back(as_chars(listed->keys));
    if (listed->eof) break;
    request.position = listed->position;
    if (calls == 2) ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
    if (calls == 5) ASSERT_TRUE(put(object, "k8", "w", filled(3, 3)));
  }
  EXPECT_EQ(got, wanted);
}

TEST_F(FlatTest, A_listing_of_extents_that_began_before_goes_on_after_in_both_directions) {
  // Goal: extents that touch are one in a buffer; a listing that has told some of them tells the
  // rest, and nothing twice. Method: 8 touching writes, one a call, flattened after each call.
  for (const bool descending : {false, true}) {
    for (int flatten_after = 0; flatten_after < 8; ++flatten_after) {
      SCOPED_TRACE(std::to_string(descending) + " " + std::to_string(flatten_after));
      const ObjectPath object = path(50 + static_cast<uint64_t>(flatten_after) + 20 * descending);
      for (uint64_t i = 0; i < 8; ++i) {
        ASSERT_TRUE(put_array(object, "d", 10 * i, filled(10, static_cast<int>(i))));
      }
      model::ListRequest request{.what = model::ListRequest::What::recxs,
                                 .dkey = as_bytes("d"),
                                 .akey = as_bytes(kArray),
                                 .count_max = 1,
                                 .descending = descending};
      uint64_t told = 0;
      uint64_t border = descending ? 80 : 0;
      for (int calls = 0; calls < 10; ++calls) {
        const auto listed = run(shard().list(object, request));
        ASSERT_TRUE(listed) << listed.error().what();
        for (const model::Recx& r : listed->recxs) {
          EXPECT_EQ(descending ? r.index + r.count : r.index, border);
          border = descending ? r.index : r.index + r.count;
          told += r.count;
        }
        if (listed->eof) break;
        request.position = listed->position;
        if (calls == flatten_after) ASSERT_EQ(flatten(object), FlattenOutcome::flattened);
      }
      EXPECT_EQ(told, 80u);
    }
  }
}

TEST_F(FlatTest, A_transaction_over_many_flattened_objects_has_them_all_in_memory_at_once) {
  // Goal: no livelock where memory for buffers is short. Method: the least memory, 30 objects whose
  // buffers take more than it has, changed by one transaction.
  rig_.options.store.memory_bytes = 8u << 20;
  ASSERT_NO_FATAL_FAILURE(restart());
  std::vector<ObjectPath> objects;
  for (uint64_t n = 1; n <= 30; ++n) {
    objects.push_back(path(n));
    ASSERT_TRUE(put_array(objects.back(), "d", 0, filled(40'000, static_cast<int>(n))));
  }
  const auto done = run(shard().flatten(objects, {}));
  ASSERT_TRUE(done);
  Bytes value = filled(10, 99);
  TransactRequest tx;
  for (const ObjectPath& object : objects) {
    UpdateRequest r{.object = object, .dkey = as_bytes("e")};
    r.iods.push_back({as_bytes("x"), ValueType::single, 10, 0, {}, scattered(value), false});
    tx.ops.push_back(r);
  }
  const auto changed = run(shard().transact(tx));
  ASSERT_TRUE(changed) << changed.error().what();
  EXPECT_EQ(changed->status, Errc::ok);
  for (uint64_t n = 1; n <= 30; ++n) {
    EXPECT_EQ(*get(objects[n - 1], "e", "x"), value);
    EXPECT_EQ(*get_array(objects[n - 1], "d", 0, 40'000), filled(40'000, static_cast<int>(n)));
  }
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatTest, What_cannot_be_flattened_says_why_and_stays) {
  const ObjectPath object = path(7);
  EXPECT_EQ(flatten(object), FlattenOutcome::absent);
  ASSERT_TRUE(put(object, "d", std::string(5'000, 'k'), filled(10, 1)));
  EXPECT_EQ(flatten(object), FlattenOutcome::long_key);
  ASSERT_TRUE(punch(object));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(put(object, "k" + std::to_string(i), "v", filled(3'000, i)));
  }
  EXPECT_EQ(flatten(object, {.keys_max = 4}), FlattenOutcome::too_many);
  EXPECT_EQ(flatten(object, {.object_bytes_max = 10'000}), FlattenOutcome::too_large);
  EXPECT_EQ(flatten(object, {.unchanged_since = 1}), FlattenOutcome::changed);
  EXPECT_FALSE(is_flat(object));
  const auto twice = run(shard().flatten({object, object}, {}));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code(), Errc::invalid);
  EXPECT_EQ(flatten(object), FlattenOutcome::flattened);
}

}  // namespace
}  // namespace cairn::vos::testing
