// What is committed and is being folded: who waits for it, and what is left of it.
#include <gtest/gtest.h>

#include "vos/key_format.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

constexpr int kObjects = 300;  // some slices

/// Records of entries of transactions.
Task<Result<size_t>> count_entries(Shard& shard) {
  const Key prefix = range_prefix(0, Range::transaction);
  for (;;) {
    size_t count = 0;
    index::Cursor cursor(shard.store().tree());
    Result<void> moved = cursor.seek(prefix);
    while (moved && cursor.valid() && as_chars(cursor.key()).starts_with(as_chars(prefix.view()))) {
      ++count;
      moved = cursor.next();
    }
    if (moved) co_return count;
    if (moved.error().code() != Errc::page_absent) co_return fail(moved.error());
    CO_TRY(loaded, co_await shard.store().load_absent());
  }
}

/// Pages go after each step, so that folding waits for them.
class FoldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.options.store.evict_always = true;
    ASSERT_TRUE(rig_.start(true)->has_value());
  }

  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  static ObjectPath object(int i) {
    return {1, {static_cast<uint64_t>(i) + 1, 0x0001'0001'0000'0000}, 0};
  }
  /// Prepares a value in each of many objects; with `commits`, the transaction is committed and
  /// only begins to be folded.
  void prepare(uint64_t id, const std::string& value, bool commits) {
    TxBuilder tx;
    for (int i = 0; i < kObjects; ++i) tx.put(object(i), "d", "a", value);
    const auto ready = run(rig_.shard->prepare({1, id}, tx.request));
    ASSERT_TRUE(ready && ready->status == Errc::ok);
    if (commits) ASSERT_TRUE(run(rig_.shard->commit({1, id})));
  }
  Result<ListedObjects> list(model::Epoch epoch = model::kEpochMax) {
    return run(rig_.shard->list_objects(1, epoch, {}, kObjects * 2));
  }
  std::string get(int i) {
    return run(read_single(*rig_.shard, object(i), "d", "a")).value_or("<error>");
  }
  uint64_t log_bytes() { return rig_.shard->store().stats().wal_used_bytes; }
  size_t entry_records() { return *run(count_entries(*rig_.shard)); }

  Rig rig_{test_seed(), {}};
};

TEST_F(FoldTest, AListingOfObjects_WaitsForWhatIsCommitted_AndPassesByWhatIsNot) {
  // Goal: what somebody was told of is listed, all of it. Method: many objects that take several
  // slices to fold; a listing in the same moment; at an epoch of before, which need not wait.
  prepare(1, "first", false);
  const auto before = list();
  ASSERT_TRUE(before);
  EXPECT_TRUE(before->oids.empty());
  ASSERT_TRUE(run(rig_.shard->commit({1, 1})));
  EXPECT_NE(entry_records(), 0u) << "it is folded already: the test shows nothing";
  const auto listed = list();
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->oids.size(), size_t{kObjects});
  EXPECT_TRUE(listed->eof);
  prepare(2, "second", false);
  EXPECT_EQ(list()->oids.size(), size_t{kObjects});
  EXPECT_EQ(run(rig_.shard->list_objects(2, model::kEpochMax, {}, 9))->oids.size(), 0u);
  const model::Epoch later = rig_.shard->draw_epoch();
  EXPECT_EQ(list(later).error().code(), Errc::in_progress) << "it may yet come to be seen there";
  ASSERT_TRUE(run(rig_.shard->abort({1, 2})));
}

TEST_F(FoldTest, TheEntryOfATransaction_GoesWithItsLastKey) {
  // Store rule 22. Goal: commit is one record, whatever it brings; it is folded in slices, before
  // anything that overlaps; nothing of it is left. Method: the log's bytes at the commit; an
  // overwrite of its last key in the same moment; the tree's records; a restart in between.
  prepare(1, "old", false);
  EXPECT_GT(entry_records(), 1u);
  const uint64_t prepared = log_bytes();
  ASSERT_TRUE(run(rig_.shard->commit({1, 1})));
  EXPECT_LE(log_bytes() - prepared, 2u * 4096) << "one log write, and perhaps one of its fold";
  EXPECT_NE(entry_records(), 0u);
  ASSERT_TRUE(run(put_single(*rig_.shard, object(kObjects - 1), "d", "a", "mine")));
  EXPECT_EQ(get(kObjects - 1), "mine");
  for (int i = 0; i + 1 < kObjects; ++i) ASSERT_EQ(get(i), "old") << i;
  EXPECT_EQ(entry_records(), 0u);

  prepare(2, "new", true);
  rig_.next_era();
  ASSERT_TRUE(rig_.start(false)->has_value());
  for (int i = 0; i < kObjects; ++i) ASSERT_EQ(get(i), "new") << i;
  EXPECT_EQ(entry_records(), 0u);
  rig_.expect_clean();
}

TEST_F(FoldTest, WhatOneShardDecides_IsBornCommitted) {
  // Store rule 22. Goal: a transaction of one shard is one record and has no entry. Method: its log
  // bytes beside those of an update.
  const uint64_t begin = log_bytes();
  ASSERT_TRUE(run(put_single(*rig_.shard, object(0), "d", "a", "v")));
  const uint64_t updated = log_bytes();
  TxBuilder tx;
  tx.put(object(0), "d", "a", "w");
  tx.put(object(1), "d", "a", "w");
  ASSERT_TRUE(run(rig_.shard->transact(tx.request)));
  EXPECT_EQ(log_bytes() - updated, updated - begin);
  EXPECT_EQ(entry_records(), 0u);
  EXPECT_TRUE(rig_.shard->unresolved().empty());
}

}  // namespace
}  // namespace cairn::vos::testing
