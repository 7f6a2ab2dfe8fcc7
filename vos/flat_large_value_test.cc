// Single values above 4,095 bytes inside buffers of flattened objects: read
// with the keys, and laid out in blocks of their own when a change takes them
// out.
#include <gtest/gtest.h>

#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

class FlatLargeValue : public ::testing::Test {
 protected:
  explicit FlatLargeValue(uint64_t wal_bytes = 8u << 20)
      : rig_(test_seed(), {}, {.wal = wal_bytes, .data = 16u << 20}) {}
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
  void put(const std::string& key, std::string value) {
    wanted_[key] = value;
    const auto done = run(put_single(shard(), path(), key, "a", std::move(value)));
    ASSERT_TRUE(done) << done.error().what();
  }
  FlattenOutcome flatten(FlattenOptions options = {}) {
    const auto done = run(shard().flatten({path()}, options));
    CHECK(done.has_value());
    return (*done)[0].outcome;
  }
  void expect_wanted() {
    for (const auto& [key, value] : wanted_) {
      const auto got = run(read_single(shard(), path(), key, "a"));
      ASSERT_TRUE(got) << got.error().what();
      ASSERT_EQ(*got, value) << key;
    }
    EXPECT_EQ(reserved(), 0u);
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  }
  bool is_flat() { return *run(shard().is_flat(path())); }
  uint64_t records() { return run(shard().check(false))->records; }
  uint64_t used() { return shard().store().stats().data.used; }
  uint64_t reserved() { return shard().store().stats().data.reserved; }
  uint64_t data_reads() { return rig_.data.requests(sim::SimDisk::Op::read); }
  /// No block is left afterwards.
  void fill_up() {
    uint64_t n = 1'000;
    for (const size_t size : {size_t{60'000}, size_t{4'096}}) {
      while (run(put_single(shard(), path(n), "d", "a", std::string(size, 'f')))) ++n;
    }
  }

  Rig rig_;
  std::map<std::string, std::string> wanted_;
  SeededRandom random_{test_seed()};
};

class FlatLargeValueSmallLog : public FlatLargeValue {
 protected:
  FlatLargeValueSmallLog() : FlatLargeValue(512u << 10) {}
};

TEST_F(FlatLargeValue, It_is_read_with_its_keys_and_comes_out_to_blocks_of_its_own) {
  // Method: two large values and a small one; records and requests counted; a
  // change of a fourth dkey takes the object out whole; restarts, also without
  // a checkpoint.
  ASSERT_NO_FATAL_FAILURE(put("a", noise(30'000)));
  ASSERT_NO_FATAL_FAILURE(put("b", noise(5'000)));
  ASSERT_NO_FATAL_FAILURE(put("c", "small"));
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(flatten(), FlattenOutcome::flattened);
    EXPECT_EQ(records(), 2u) << "the object's, and its extent's";
    EXPECT_EQ(used(), 9u);
    ASSERT_NO_FATAL_FAILURE(restart(round == 0));
    ASSERT_TRUE(is_flat());
    const uint64_t reads = data_reads();
    EXPECT_EQ(*run(read_single(shard(), path(), "a", "a")), wanted_["a"]);
    EXPECT_EQ(*run(read_single(shard(), path(), "b", "a")), wanted_["b"]);
    EXPECT_EQ(data_reads() - reads, 1u);
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    ASSERT_NO_FATAL_FAILURE(put("d", "new" + std::to_string(round)));
    EXPECT_FALSE(is_flat());
    EXPECT_EQ(used(), 10u);
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    ASSERT_NO_FATAL_FAILURE(restart(round == 1));
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
  }
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  ASSERT_NO_FATAL_FAILURE(put("a", noise(6'000)));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_TRUE(run(shard().punch({.object = path()})));
  EXPECT_EQ(used(), 0u);
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatLargeValue, What_travels_inside_follows_from_sizes_alone) {
  ASSERT_NO_FATAL_FAILURE(put("a", noise(30'000)));
  ASSERT_NO_FATAL_FAILURE(put("b", noise(5'000)));
  ASSERT_NO_FATAL_FAILURE(put("c", noise(4'095)));
  ASSERT_EQ(flatten({.inline_bytes_max = 34'999}), FlattenOutcome::flattened);
  EXPECT_EQ(records(), 4u) << "both large ones are outside, neither is preferred";
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(put("d", "x"));
  ASSERT_EQ(flatten({.inline_bytes_max = 35'000}), FlattenOutcome::flattened);
  EXPECT_EQ(records(), 2u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  // Array data counts, too.
  Op op;
  op.stamp = 1;
  op.dkey = "e";
  op.iods.push_back({"array", ValueType::array, 100, 0, {{0, 10}}});
  ASSERT_TRUE(run(execute(shard(), path(), op)));
  ASSERT_EQ(flatten({.inline_bytes_max = 35'999}), FlattenOutcome::flattened);
  EXPECT_EQ(records(), 4u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(FlatLargeValue, A_dkey_of_a_large_object_a_transaction_and_a_fold_take_it_out) {
  // Method: 100 dkeys, ten with a large value; one is written, one punched, one
  // changed twice by a transaction, two by a prepared one; flattened again in
  // between, with a snapshot at the end.
  for (int i = 0; i < 100; ++i) {
    ASSERT_NO_FATAL_FAILURE(put(dkey(i), i % 10 == 0 ? noise(6'000) : "v" + std::to_string(i)));
  }
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  const auto add = [&](TxBuilder& tx, int i, std::string akey, std::string value) {
    tx.put(path(), dkey(i), std::move(akey), std::move(value));
  };
  ASSERT_TRUE(run(put_single(shard(), path(), dkey(10), "b", "beside")));
  EXPECT_TRUE(is_flat());
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  const std::string punched = dkey(20);
  ASSERT_TRUE(
      run(shard().punch({.object = path(), .level = Level::dkey, .dkey = as_bytes(punched)})));
  wanted_[dkey(20)] = "";
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  TxBuilder tx;
  add(tx, 30, "b", "beside");
  add(tx, 30, "a", "instead");
  add(tx, 40, "b", "beside");
  wanted_[dkey(30)] = "instead";
  const auto done = run(shard().transact(tx.request));
  ASSERT_TRUE(done && done->status == Errc::ok);
  EXPECT_TRUE(is_flat());
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  TxBuilder prepared;
  add(prepared, 50, "b", "beside");
  wanted_[dkey(60)] = noise(5'500);
  add(prepared, 60, "a", wanted_[dkey(60)]);
  ASSERT_NO_FATAL_FAILURE(restart(false));
  const auto ready = run(shard().prepare({1, 1}, prepared.request));
  ASSERT_TRUE(ready && ready->status == Errc::ok);
  ASSERT_TRUE(run(shard().commit({1, 1})));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(*run(read_single(shard(), path(), dkey(50), "b")), "beside");
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  const auto answered = run(shard().freeze_container(1));
  ASSERT_TRUE(answered && run(shard().add_snapshot(1, *answered + 1)));
  const auto before = wanted_;
  ASSERT_NO_FATAL_FAILURE(put(dkey(70), "after"));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_TRUE(run(shard().rollback(1, *answered + 1)));
  wanted_ = before;
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart(false));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(FlatLargeValue, A_full_shard_refuses_the_change_and_keeps_the_object_as_it_is) {
  ASSERT_NO_FATAL_FAILURE(put("a", noise(30'000)));
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  ASSERT_NO_FATAL_FAILURE(fill_up());
  const auto refused = run(put_single(shard(), path(), "b", "a", "x"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::no_space);
  TxBuilder tx;
  tx.put(path(), "b", "a", "x");
  const auto ready = run(shard().prepare({1, 1}, tx.request));
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code(), Errc::no_space);
  EXPECT_TRUE(shard().unresolved().empty());
  EXPECT_TRUE(is_flat());
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  // Room comes back by punches, also of the object itself.
  ASSERT_TRUE(run(shard().punch({.object = path(1'000)})));
  ASSERT_NO_FATAL_FAILURE(put("b", "x"));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  ASSERT_TRUE(run(shard().punch({.object = path()})));
  ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
}

TEST_F(FlatLargeValue, What_is_prepared_needs_no_blocks_when_it_is_folded) {
  // Goal: a committed change never waits for space. Method: the shard is filled
  // up between prepare and commit, and again after an abort.
  for (const bool commits : {true, false}) {
    SCOPED_TRACE(commits);
    ASSERT_NO_FATAL_FAILURE(put("a", noise(30'000)));
    ASSERT_EQ(flatten(), FlattenOutcome::flattened);
    TxBuilder tx;
    tx.put(path(), "b", "a", "x");
    const TxId id{1, commits ? 1u : 2u};
    const auto ready = run(shard().prepare(id, tx.request));
    ASSERT_TRUE(ready && ready->status == Errc::ok);
    EXPECT_FALSE(is_flat()) << "taken out ahead";
    EXPECT_EQ(flatten(), FlattenOutcome::pending);
    ASSERT_NO_FATAL_FAILURE(fill_up());
    ASSERT_NO_FATAL_FAILURE(restart(false));
    ASSERT_TRUE(commits ? run(shard().commit(id)) : run(shard().abort(id)));
    rig_.world.run_for(kSecond);
    EXPECT_TRUE(shard().unresolved().empty());
    wanted_["b"] = commits ? "x" : "";
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    ASSERT_TRUE(run(shard().destroy_container(1)));
    wanted_.clear();
  }
}

TEST_F(FlatLargeValueSmallLog, An_update_that_no_log_record_holds_takes_it_out_ahead) {
  ASSERT_NO_FATAL_FAILURE(put("a", noise(30'000)));
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  UpdateRequest update{.object = path(), .dkey = as_bytes("b")};
  std::deque<Bytes> values;
  std::deque<std::string> names;
  for (int i = 0; i < 30; ++i) {
    Bytes& value = values.emplace_back(4'000, std::byte(i));
    update.iods.push_back({as_bytes(names.emplace_back("a" + std::to_string(i))),
                           ValueType::single,
                           value.size(),
                           0,
                           {},
                           scattered(value),
                           false});
  }
  const auto done = run(shard().update(update));
  ASSERT_TRUE(done) << done.error().what();
  rig_.world.run_for(kSecond);
  EXPECT_TRUE(shard().unresolved().empty());
  for (int i = 0; i < 30; ++i) {
    const auto got = run(read_single(shard(), path(), "b", names[static_cast<size_t>(i)]));
    ASSERT_TRUE(got) << got.error().what();
    EXPECT_EQ(*got, std::string(4'000, static_cast<char>(i)));
  }
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart(false));
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(FlatLargeValue, An_error_of_the_disk_while_it_is_laid_out_changes_nothing) {
  ASSERT_NO_FATAL_FAILURE(put("a", noise(30'000)));
  ASSERT_EQ(flatten(), FlattenOutcome::flattened);
  rig_.data.fail(sim::SimDisk::Op::write, 1, Errc::io, true);
  const auto refused = run(put_single(shard(), path(), "b", "a", "x"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::io);
  rig_.data.heal();
  ASSERT_NO_FATAL_FAILURE(restart(false));
  EXPECT_TRUE(is_flat());
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

}  // namespace
}  // namespace cairn::vos::testing
