// Transactions that others decide, and operations too large for one log record: what stands aside,
// who sees it when, restarts and power cuts at every point.
#include <gtest/gtest.h>

#include "vos/entry_format.h"
#include "vos/key_format.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

using ReadLevel = TxRead::Level;

class PrepareTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(rig_.start(true)->has_value()); }

  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Result<Transacted> prepare(uint64_t id, const TxBuilder& tx) {
    return run(rig_.shard->prepare({1, id}, tx.request));
  }
  void must_snapshot(model::Epoch epoch) {
    ASSERT_TRUE(run(rig_.shard->freeze_container(1)));
    ASSERT_TRUE(run(rig_.shard->add_snapshot(1, epoch)));
  }
  void must_prepare(uint64_t id, const TxBuilder& tx) {
    const auto ready = prepare(id, tx);
    ASSERT_TRUE(ready) << ready.error().what();
    ASSERT_EQ(ready->status, Errc::ok) << ready->what;
  }
  Result<void> commit(uint64_t id) { return run(rig_.shard->commit({1, id})); }
  Result<void> abort(uint64_t id) { return run(rig_.shard->abort({1, id})); }
  Result<model::Epoch> put(const std::string& dkey, const std::string& akey,
                           const std::string& value) {
    return run(put_single(*rig_.shard, object_, dkey, akey, value));
  }
  std::string get(const std::string& dkey, const std::string& akey) {
    return run(read_single(*rig_.shard, object_, dkey, akey)).value_or("<error>");
  }
  Errc transactional_read(const std::string& dkey, const std::string& akey) {
    model::Epoch epoch = 0;
    const auto value = run(read_single(*rig_.shard, object_, dkey, akey, &epoch));
    return value ? Errc::ok : value.error().code();
  }
  size_t count_dkeys() {
    auto listed = run(rig_.shard->list(object_, {.count_max = 1000, .bytes_max = 10'000}));
    EXPECT_TRUE(listed);
    return listed ? listed->lengths.size() : 0;
  }
  void restart() {
    rig_.close_cleanly();
    ASSERT_TRUE(rig_.start(false)->has_value());
  }
  void cut_power() {
    rig_.next_era();
    ASSERT_TRUE(rig_.start(false)->has_value());
  }
  void expect_all_space_returns() {
    ASSERT_TRUE(run(rig_.shard->destroy_container(object_.container)));
    EXPECT_EQ(rig_.shard->store().stats().data.used, 0u);
    EXPECT_EQ(rig_.shard->store().stats().data.reserved, 0u);
    rig_.expect_clean();
  }
  /// The wanted n-th of many single values, some of them beside the log.
  static std::string value_of(int n) {
    return std::to_string(n) + std::string(n % 7 == 0 ? 5'000 : 20, 'v');
  }

  Rig rig_{test_seed(), {}};
  ObjectPath object_ = rig_.generator.paths()[0];
};

TEST_F(PrepareTest, APreparedOne_IsPassedByAndStandsInTheWay) {
  ASSERT_TRUE(put("d", "a", "old"));
  ASSERT_TRUE(put("other", "a", "old"));
  TxBuilder tx;
  tx.put(object_, "d", "a", "new");
  tx.put(object_, "e", "a", std::string(9'000, 'e'));
  must_prepare(1, tx);
  EXPECT_EQ(get("d", "a"), "old");
  EXPECT_EQ(get("e", "a"), "");
  EXPECT_EQ(count_dkeys(), 2u);
  EXPECT_EQ(put("d", "a", "mine").error().code(), Errc::in_progress);
  EXPECT_TRUE(put("d", "b", "beside"));
  EXPECT_TRUE(put("other", "a", "again"));
  EXPECT_EQ(transactional_read("d", "a"), Errc::in_progress);
  EXPECT_EQ(transactional_read("other", "a"), Errc::ok);
  PunchRequest punch{.object = object_, .level = Level::object};
  EXPECT_EQ(run(rig_.shard->punch(punch)).error().code(), Errc::in_progress);
  TxBuilder other;
  other.put(object_, "e", "a", "x");
  EXPECT_EQ(prepare(2, other).error().code(), Errc::in_progress);
  EXPECT_EQ(run(rig_.shard->transact(other.request)).error().code(), Errc::in_progress);
  rig_.expect_clean();
  ASSERT_TRUE(commit(1));
  EXPECT_EQ(get("d", "a"), "new");
  EXPECT_EQ(get("e", "a"), std::string(9'000, 'e'));
  EXPECT_EQ(get("d", "b"), "beside");
  EXPECT_TRUE(put("d", "a", "mine"));
  EXPECT_TRUE(rig_.shard->unresolved().empty());
  EXPECT_EQ(commit(1).error().code(), Errc::nonexistent);
  expect_all_space_returns();
}

Task<void> hold_and_note(Shard& shard, model::Epoch snapshot, uint64_t number, Errc& into) {
  const auto held = co_await shard.hold_container(1, snapshot, number);
  into = held ? Errc::ok : held.error().code();
}

TEST_F(PrepareTest, AHold_WaitsForThoseThatStand_AndLetsNoMoreCome) {
  // Goal: no transaction over shards is undone here and not there: when all of them hold, none is
  // under way (docs/decisions/0015-rollback-over-shards.md). Method: one that is committed while a
  // hold waits, one that nobody ends; new ones, with changes and with reads alone.
  const auto before = put("d", "a", "old");
  ASSERT_TRUE(before);
  const model::Epoch snapshot = *before + 100;
  ASSERT_NO_FATAL_FAILURE(must_snapshot(snapshot));
  TxBuilder tx, later, reads;
  tx.put(object_, "d", "a", "new");
  must_prepare(1, tx);
  Errc held = Errc::again;
  rig_.world.reactor().spawn(hold_and_note(*rig_.shard, snapshot, 1, held));
  rig_.world.run_for(kSecond);
  EXPECT_EQ(held, Errc::again);
  later.put(object_, "e", "a", "new");
  later.request.may_wait = false;
  EXPECT_EQ(prepare(2, later).error().code(), Errc::in_progress);
  reads.read(object_, TxRead::Level::dkey, *before, "z");
  reads.request.epoch = rig_.shard->draw_epoch() + 1000;
  reads.request.may_wait = false;
  EXPECT_EQ(prepare(3, reads).error().code(), Errc::in_progress);
  ASSERT_TRUE(commit(1));
  rig_.world.run_for(100 * kMillisecond);
  EXPECT_EQ(held, Errc::ok);
  EXPECT_EQ(prepare(2, later).error().code(), Errc::in_progress);
  rig_.shard->unfreeze_container(1);
  EXPECT_EQ(get("d", "a"), "new");
  must_prepare(2, later);
  EXPECT_EQ(run(rig_.shard->hold_container(1, snapshot, 2)).error().code(), Errc::busy);
  EXPECT_FALSE(rig_.shard->is_held(1));
  ASSERT_TRUE(abort(2));
  const auto answered = run(rig_.shard->hold_container(1, snapshot, 3));
  ASSERT_TRUE(answered);
  ASSERT_TRUE(run(rig_.shard->rollback(1, snapshot, *answered + 1)));
  EXPECT_EQ(get("d", "a"), "old");
  TxBuilder stale;
  stale.read(object_, TxRead::Level::dkey, *answered, "d");
  stale.put(object_, "d", "a", "of what is gone");
  EXPECT_EQ(run(rig_.shard->transact(stale.request)).error().code(), Errc::tx_restart);
}

TEST_F(PrepareTest, ADecidedRollback_ThatCannotBegin_HoldsTheContainer) {
  // Goal: nothing is written before what is decided has been done, or it would go with it. Method:
  // a transaction stands in the way, as after a crash; then it is over.
  const auto before = put("d", "a", "old");
  ASSERT_TRUE(before);
  const model::Epoch snapshot = *before + 100;
  ASSERT_NO_FATAL_FAILURE(must_snapshot(snapshot));
  ASSERT_TRUE(put("d", "a", "new"));
  TxBuilder tx;
  tx.put(object_, "e", "a", "prepared");
  must_prepare(1, tx);
  const model::Epoch at = rig_.shard->draw_epoch();
  EXPECT_EQ(run(rig_.shard->rollback(1, snapshot, at)).error().code(), Errc::busy);
  EXPECT_TRUE(rig_.shard->is_held(1));
  ASSERT_TRUE(abort(1));
  ASSERT_TRUE(run(rig_.shard->rollback(1, snapshot, at)));
  EXPECT_FALSE(rig_.shard->is_held(1));
  EXPECT_EQ(get("d", "a"), "old");
  ASSERT_TRUE(put("d", "a", "newest"));
  ASSERT_TRUE(run(rig_.shard->rollback(1, snapshot, at)));
  EXPECT_EQ(get("d", "a"), "newest");
  // What nobody has decided leaves it open.
  must_prepare(2, tx);
  EXPECT_EQ(run(rig_.shard->rollback(1, snapshot)).error().code(), Errc::busy);
  EXPECT_FALSE(rig_.shard->is_held(1));
  ASSERT_TRUE(abort(2));
}

TEST_F(PrepareTest, AnAbortedOne_LeavesNothing) {
  ASSERT_TRUE(put("d", "a", "old"));
  TxBuilder tx;
  tx.punch(object_, Level::dkey, "d");
  for (int n = 0; n < 600; ++n) tx.put(object_, "k" + std::to_string(n), "a", value_of(n));
  must_prepare(1, tx);
  restart();
  ASSERT_EQ(rig_.shard->unresolved().size(), 1u);
  ASSERT_TRUE(abort(1));
  EXPECT_TRUE(abort(1));
  EXPECT_EQ(get("d", "a"), "old");
  EXPECT_EQ(count_dkeys(), 1u);
  EXPECT_EQ(rig_.shard->store().stats().data.used, 0u);
  EXPECT_TRUE(put("k3", "a", "free again"));
  rig_.expect_clean();
  restart();
  EXPECT_TRUE(rig_.shard->unresolved().empty());
  EXPECT_EQ(count_dkeys(), 2u);
}

TEST_F(PrepareTest, UnresolvedOnes_AreListedAfterAPowerCutAndCanBeDecided) {
  std::map<uint64_t, model::Epoch> epochs;
  for (uint64_t id = 1; id <= 4; ++id) {
    TxBuilder tx;
    tx.put(object_, "d" + std::to_string(id), "a", "new");
    const auto ready = prepare(id, tx);
    ASSERT_TRUE(ready);
    epochs[id] = ready->epoch;
    EXPECT_EQ(prepare(id, tx)->epoch, ready->epoch);  // a resend
  }
  ASSERT_TRUE(commit(2));
  ASSERT_TRUE(abort(3));
  cut_power();
  const auto left = rig_.shard->unresolved();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].id, (TxId{1, 1}));
  EXPECT_EQ(left[0].epoch, epochs[1]);
  EXPECT_EQ(left[1].id, (TxId{1, 4}));
  EXPECT_EQ(get("d2", "a"), "new");
  EXPECT_EQ(get("d3", "a"), "");
  EXPECT_EQ(put("d1", "a", "x").error().code(), Errc::in_progress);
  ASSERT_TRUE(commit(1));
  ASSERT_TRUE(abort(4));
  EXPECT_EQ(get("d1", "a"), "new");
  EXPECT_EQ(get("d4", "a"), "");
  EXPECT_EQ(run(rig_.shard->max_epoch(object_)).value(), std::max(epochs[1], epochs[2]));
  EXPECT_TRUE(abort(1));  // over: nothing to drop
  rig_.expect_clean();
}

TEST_F(PrepareTest, AGivenEpoch_MustLieAboveWhatWasWrittenReadAndPunched) {
  // Goal: store.md rule 23 and architecture 2.5: writes, read marks of the range and of ranges
  // around it, and what ended. Method: epochs of another shard, just above and just below.
  const auto attempt = [&](model::Epoch epoch, const std::string& dkey, const std::string& akey) {
    static uint64_t id = 100;
    TxBuilder tx;
    tx.put(object_, dkey, akey, "x");
    tx.request.epoch = epoch;
    const auto ready = prepare(++id, tx);
    if (!ready) return ready.error().code();
    EXPECT_EQ(ready->epoch, epoch);
    EXPECT_TRUE(abort(id));
    return ready->status;
  };
  const model::Epoch first = *put("w", "a", "1");
  const model::Epoch second = *put("other", "a", "2");
  EXPECT_EQ(attempt(first, "w", "a"), Errc::tx_restart);
  EXPECT_EQ(attempt(first - 1, "w", "a"), Errc::tx_restart);
  EXPECT_EQ(attempt(first + 1, "w", "a"), Errc::ok) << "below the newest, above its own";
  EXPECT_EQ(attempt(first + 1, "w", "b"), Errc::ok);
  model::Epoch read = second;
  ASSERT_TRUE(run(read_single(*rig_.shard, object_, "r", "a", &read)));
  EXPECT_EQ(attempt(read, "r", "a"), Errc::tx_restart);
  EXPECT_EQ(attempt(read + 1, "r", "a"), Errc::ok);
  EXPECT_EQ(attempt(read - 1, "r", "b"), Errc::ok) << "another akey was read";
  model::ListRequest list{.what = model::ListRequest::What::akeys,
                          .dkey = as_bytes("l"),
                          .count_max = 10,
                          .bytes_max = 100,
                          .transactional = true};
  const auto listed = run(rig_.shard->list(object_, list, second));
  ASSERT_TRUE(listed) << listed.error().what();
  EXPECT_EQ(attempt(second, "l", "any"), Errc::tx_restart) << "all of the dkey was read";
  PunchRequest punch{.object = object_, .level = Level::dkey, .dkey = as_bytes("w")};
  const auto punched = run(rig_.shard->punch(punch));
  ASSERT_TRUE(punched);
  EXPECT_EQ(attempt(*punched - 1, "w", "a"), Errc::tx_restart);
  EXPECT_EQ(attempt(*punched + 1, "w", "a"), Errc::ok);
  cut_power();
  EXPECT_EQ(attempt(second, "never", "a"), Errc::tx_restart) << "reads of before are not known";
  EXPECT_EQ(attempt(*punched + (uint64_t{90'000'000'000} << 4), "f", "a"), Errc::invalid);
}

TEST_F(PrepareTest, ConditionsAndReads_AreCheckedBeforeAnythingStandsAside) {
  ASSERT_TRUE(put("d", "a", "old"));
  TxBuilder exists;
  exists.put(object_, "e", "a", std::string(9'000, 'x'));
  exists.put(object_, "d", "a", "x", model::cond::kDkeyInsert);
  const auto refused = prepare(1, exists);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, Errc::exists);
  EXPECT_EQ(refused->failed_op, 1u);
  model::Epoch epoch = 0;
  ASSERT_TRUE(run(read_single(*rig_.shard, object_, "d", "a", &epoch)));
  ASSERT_TRUE(put("d", "a", "newer"));
  TxBuilder stale;
  stale.read(object_, ReadLevel::akey, epoch, "d", "a");
  stale.put(object_, "e", "a", "x");
  EXPECT_EQ(prepare(1, stale).error().code(), Errc::tx_restart);
  EXPECT_TRUE(rig_.shard->unresolved().empty());
  EXPECT_EQ(rig_.shard->store().stats().data.reserved, 0u);
  EXPECT_EQ(run(rig_.shard->prepare({0, 0}, stale.request)).error().code(), Errc::invalid);
  EXPECT_EQ(commit(1).error().code(), Errc::nonexistent);
}

TEST_F(PrepareTest, MoreThanTheBound_AreRefusedClearly) {
  TxBuilder one;
  for (size_t id = 1; id <= kTxUnresolvedMax; ++id) {
    TxBuilder tx;
    tx.put(object_, "d" + std::to_string(id), "a", "x");
    ASSERT_TRUE(prepare(id, tx)) << id;
  }
  TxBuilder tx;
  tx.put(object_, "more", "a", "x");
  EXPECT_EQ(prepare(kTxUnresolvedMax + 1, tx).error().code(), Errc::busy);
  ASSERT_TRUE(abort(7));
  EXPECT_TRUE(prepare(kTxUnresolvedMax + 1, tx));
  restart();
  EXPECT_EQ(rig_.shard->unresolved().size(), kTxUnresolvedMax);
}

Op scattered_write(uint64_t count, uint64_t record_bytes, uint32_t stamp) {
  Op op;
  op.dkey = "d";
  op.stamp = stamp;
  OpIod iod;
  iod.akey = "a";
  iod.type = ValueType::array;
  iod.record_bytes = record_bytes;
  for (uint64_t i = 0; i < count; ++i) iod.recxs.push_back({2 * i, 1});
  op.iods = {iod};
  return op;
}

TEST_F(PrepareTest, AnUpdateOfMorePiecesThanALogRecordHolds_IsDoneAllTheSame) {
  // Goal: store.md rule 17, for an operation alone; with exactly-once. Method: the log takes
  // records of 64 KiB, the update has 400.
  rig_.shard->open_session(9);
  Op op = scattered_write(400, 1000, 1);
  op.origin = {9, 1, 1};
  Object want;
  ASSERT_TRUE(apply_op(want, op).empty());
  const auto epoch = run(execute(*rig_.shard, object_, op));
  ASSERT_TRUE(epoch) << epoch.error().what();
  EXPECT_EQ(run(execute(*rig_.shard, object_, op)).value(), *epoch);
  EXPECT_EQ(*run(verify_object(*rig_.shard, object_, want, 7)), "");
  EXPECT_EQ(run(rig_.shard->max_epoch(object_)).value(), *epoch);
  Op again = scattered_write(300, 1000, 2);  // trims and replaces what is there
  ASSERT_TRUE(apply_op(want, again).empty());
  ASSERT_TRUE(run(execute(*rig_.shard, object_, again)));
  cut_power();
  EXPECT_EQ(*run(verify_object(*rig_.shard, object_, want, 7)), "");
  EXPECT_EQ(run(execute(*rig_.shard, object_, op)).value(), *epoch);
  rig_.expect_clean();
  expect_all_space_returns();
}

TEST_F(PrepareTest, ATransactionLargerThanALogRecord_IsDoneAllTheSame) {
  for (int n = 0; n < 300; ++n) ASSERT_TRUE(put("old" + std::to_string(n), "a", "x"));
  TxBuilder tx;
  tx.punch(object_, Level::object);
  for (int n = 0; n < 400; ++n) {
    tx.put(object_, "k" + std::to_string(n), "a", std::string(500, 'v') + value_of(n));
  }
  tx.punch(object_, Level::dkey, "k5");
  const auto done = run(rig_.shard->transact(tx.request));
  ASSERT_TRUE(done) << done.error().what();
  ASSERT_EQ(done->status, Errc::ok);
  EXPECT_EQ(count_dkeys(), 399u);
  EXPECT_EQ(get("k7", "a"), std::string(500, 'v') + value_of(7));
  EXPECT_EQ(get("k5", "a"), "");
  cut_power();
  EXPECT_EQ(count_dkeys(), 399u);
  rig_.expect_clean();
  expect_all_space_returns();
}

TEST(PrepareModel, Random_transactions_decided_elsewhere_answer_like_the_model) {
  // Goal: folding equals doing the operations. Method: random operations of all kinds prepared
  // together, then committed or aborted, maybe after a restart, beside the model.
  const uint64_t seconds = env_number("CAIRN_TEST_SECONDS", 20);
  const Instant end = system_clock().now() + seconds * kSecond;
  uint64_t seed = test_seed();
  uint64_t committed = 0, refused = 0;
  do {
    SCOPED_TRACE("CAIRN_TEST_SEED " + std::to_string(seed));
    Rig rig(seed, {.types = {0, 2, 4, 5},
                   .dkeys = 4,
                   .akeys = 7,
                   .value_bytes_max = 30'000,
                   .long_keys = true,
                   .punch_percent = 25,
                   .scatter_percent = 10});
    rig.options.store.evict_always = seed % 3 == 0;
    ASSERT_TRUE(rig.start(true)->has_value());
    const auto again = [&](bool cut) {
      if (cut) {
        rig.next_era();
      } else {
        rig.close_cleanly();
      }
      ASSERT_TRUE(rig.start(false)->has_value());
    };
    for (uint64_t step = 1; step <= 100; ++step) {
      RandomTx random(rig);
      const TxId id{5, step};
      const auto ready = rig.world.run(rig.shard->prepare(id, random.tx.request));
      ASSERT_TRUE(ready && ready->has_value()) << ready->error().what();
      ASSERT_TRUE(random.agrees(**ready)) << (*ready)->what;
      if ((*ready)->status != Errc::ok) {
        ++refused;
        continue;
      }
      const uint64_t dice = rig.generator.random().below(20);
      if (dice < 2) ASSERT_NO_FATAL_FAILURE(again(dice == 0));
      if (dice == 3) ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
      if (dice == 4) ASSERT_NO_FATAL_FAILURE(rig.expect_same());
      const bool commits = rig.generator.random().below(4) != 0;
      const auto decided = rig.world.run(commits ? rig.shard->commit(id) : rig.shard->abort(id));
      ASSERT_TRUE(decided && decided->has_value()) << decided->error().what();
      if (commits) rig.books.objects = std::move(random.after);
      committed += commits ? 1 : 0;
      if (dice == 5) ASSERT_NO_FATAL_FAILURE(again(true));
      if (step % 10 == 9) ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    }
    ASSERT_NO_FATAL_FAILURE(rig.expect_same());
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
    const auto gone = rig.world.run(rig.shard->destroy_container(1));
    ASSERT_TRUE(gone && gone->has_value());
    EXPECT_EQ(rig.shard->store().stats().data.used, 0u);
    EXPECT_EQ(rig.shard->store().stats().data.reserved, 0u);
    ++seed;
  } while (system_clock().now() < end);
  std::printf("CAIRN_TEST_SEED %llu to %llu: %llu committed, %llu refused\n",
              static_cast<unsigned long long>(test_seed()),
              static_cast<unsigned long long>(seed - 1), static_cast<unsigned long long>(committed),
              static_cast<unsigned long long>(refused));
  EXPECT_GT(committed, 0u);
}

/// What the outside knows of the life below.
struct Known {
  std::map<uint64_t, bool> answered;  // by id: the last answer was of a commit
  std::set<uint64_t> asked_commit, asked_abort, prepared;
  bool large_done = false;
};

std::string key_of(uint64_t id, int n) { return std::to_string(id) + "k" + std::to_string(n); }

Task<Result<void>> small_life(Rig& rig, Known& known) {
  Shard& shard = *rig.shard;
  const ObjectPath object = rig.generator.paths()[0];
  for (uint64_t id = 1; id <= 4; ++id) {
    TxBuilder tx;
    if (id > 2) tx.punch(object, Level::dkey, key_of(id - 2, 0));
    for (int n = 0; n < 5; ++n) {
      tx.put(object, key_of(id, n), "a", std::string(n % 2 == 0 ? 10 : 6'000, 'v'));
    }
    CO_TRY(ready, co_await shard.prepare({1, id}, tx.request));
    CHECK(ready.status == Errc::ok);
    known.prepared.insert(id);
    if (id % 2 == 1) {
      known.asked_commit.insert(id);
      CO_TRY(done, co_await shard.commit({1, id}));
      known.answered[id] = true;
    } else {
      known.asked_abort.insert(id);
      CO_TRY(done, co_await shard.abort({1, id}));
      known.answered[id] = false;
    }
  }
  Op large = scattered_write(150, 1000, 77);
  const auto done = co_await execute(shard, object, large);
  if (!done) co_return fail(done.error());
  known.large_done = true;
  co_return co_await shard.checkpoint();
}

void expect_known(Rig& rig, Known& known) {
  Shard& shard = *rig.shard;
  const ObjectPath object = rig.generator.paths()[0];
  std::set<uint64_t> open;
  for (const UnresolvedTx& tx : shard.unresolved()) open.insert(tx.id.low);
  for (uint64_t id = 1; id <= 4; ++id) {
    std::set<bool> there;
    for (int n = id <= 2 ? 1 : 0; n < 5; ++n) {
      const auto value = rig.world.run(read_single(shard, object, key_of(id, n), "a"));
      ASSERT_TRUE(value && value->has_value());
      there.insert(!(*value)->empty());
    }
    ASSERT_EQ(there.size(), 1u) << "half of transaction " << id;
    const bool visible = *there.begin();
    if (known.answered.contains(id)) {
      EXPECT_EQ(visible, known.answered[id]) << id;
      EXPECT_FALSE(open.contains(id)) << id;
    } else if (known.prepared.contains(id)) {
      EXPECT_TRUE(open.contains(id) || known.asked_commit.contains(id) ||
                  known.asked_abort.contains(id))
          << "a promise is gone: " << id;
    }
    if (visible) EXPECT_TRUE(known.asked_commit.contains(id)) << id;
  }
  // The punch of transaction 3 is as whole as its values.
  const auto punched = rig.world.run(read_single(shard, object, key_of(1, 0), "a"));
  const auto other = rig.world.run(read_single(shard, object, key_of(1, 1), "a"));
  const auto third = rig.world.run(read_single(shard, object, key_of(3, 1), "a"));
  ASSERT_TRUE(punched && other && third);
  EXPECT_EQ((*punched)->empty(), (*other)->empty() || !(*third)->empty());
  // The large update is whole or absent.
  Object want;
  apply_op(want, scattered_write(150, 1000, 77));
  const std::string there =
      rig.world.run(verify_dkey_of(shard, object, "d", want, 7)).value().value();
  if (!there.empty()) {
    EXPECT_FALSE(known.large_done) << there;
    EXPECT_EQ(rig.world.run(verify_dkey_of(shard, object, "d", {}, 7)).value().value(), "");
  }
  ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
  for (const uint64_t id : open) {
    const auto aborted = rig.world.run(shard.abort({1, id}));
    ASSERT_TRUE(aborted && aborted->has_value()) << aborted->error().what();
  }
  ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
}

TEST(PreparePower, Every_cut_point_of_prepare_commit_fold_and_abort_keeps_its_promise) {
  // Goal: a prepared transaction stays so, a committed one is whole, an aborted one is gone, a
  // large update is all or nothing. Method: cut at request 1, 2, ...; every second run loses the
  // power again while it recovers, when folds and drops begin anew.
  bool through = false;
  uint64_t cut = 1;
  for (; !through; ++cut) {
    SCOPED_TRACE("seed " + std::to_string(test_seed()) + " cut " + std::to_string(cut));
    Rig rig(test_seed(), {}, {.wal = 256u << 10});
    Known known;
    rig.world.cut_power_at(cut);
    const auto created = rig.start(true);
    through = created.has_value();
    if (through) {
      ASSERT_TRUE(created->has_value());
      const auto lived = rig.world.run(small_life(rig, known));
      through = lived.has_value();
      if (through) ASSERT_TRUE(lived->has_value()) << lived->error().what();
    }
    rig.next_era();
    if (cut % 2 == 0) {
      rig.world.cut_power_at(1 + cut / 2 % 17);
      const auto again = rig.start(false);
      if (again && *again) (void)rig.world.run(rig.shard->checkpoint());
      rig.next_era();
    }
    const auto opened = rig.start(false);
    ASSERT_TRUE(opened);
    if (!opened->has_value()) {
      ASSERT_FALSE(rig.books.created) << opened->error().what();
      continue;
    }
    ASSERT_NO_FATAL_FAILURE(expect_known(rig, known));
  }
  EXPECT_GT(cut, 40u) << "the workload is too small to mean anything";
}

// ---- formats ----

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text.push_back(kDigits[static_cast<unsigned>(b) >> 4]);
    text.push_back(kDigits[static_cast<unsigned>(b) & 15]);
  }
  return text;
}

TEST(EntryFormat, KnownRecords_KeepTheirBytes) {
  Bytes out;
  put_entry_head(out, {0x1122334455667788, TxState::prepared});
  EXPECT_EQ(hex(out), "887766554433221102");
  const std::vector<std::string> keys{"abc1", "abc2", "x"};
  EXPECT_EQ(put_entry_keys(out, 7, keys), 3u);
  EXPECT_EQ(hex(out),
            "0700000000000000"
            "03"
            "000461626331"
            "030132"
            "000178");
  EXPECT_EQ(*parse_entry_keys(out), keys);
  EXPECT_EQ(hex(transaction_key({1, 2}, 3)),
            "0000000007"
            "0000000000000001"
            "0000000000000002"
            "03");
}

TEST(EntryFormat, DamagedBytes_AreRefusedOrStayInBounds) {
  Bytes head;
  put_entry_head(head, {5, TxState::committed});
  Bytes list;
  const std::vector<std::string> keys{"abc1", "abc2", "x"};
  put_entry_keys(list, 7, keys);
  for (size_t n = 0; n < head.size(); ++n) EXPECT_FALSE(parse_entry_head(ByteView(head).first(n)));
  for (size_t n = 0; n < list.size(); ++n) EXPECT_FALSE(parse_entry_keys(ByteView(list).first(n)));
  for (size_t i = 8; i < list.size(); ++i) {
    for (unsigned value = 0; value < 256; ++value) {
      Bytes hostile = list;
      hostile[i] = static_cast<std::byte>(value);
      const auto parsed = parse_entry_keys(hostile);
      if (parsed) EXPECT_LE(parsed->size(), 3u);
    }
  }
  head[8] = std::byte{4};
  EXPECT_FALSE(parse_entry_head(head));
}

TEST(EntryFormat, ListsThatDoNotFitOneRecord_GoOnInTheNext) {
  std::vector<std::string> keys;
  for (int i = 0; i < 500; ++i) keys.push_back(std::string(600, 'k') + std::to_string(i * 977));
  std::vector<std::string> back;
  Bytes out;
  for (size_t at = 0; at < keys.size();) {
    at += put_entry_keys(out, 1, std::span<const std::string>(keys).subspan(at));
    EXPECT_LE(out.size(), index::kValueBytesMax);
    const auto some = parse_entry_keys(out);
    ASSERT_TRUE(some);
    back.insert(back.end(), some->begin(), some->end());
  }
  EXPECT_EQ(back, keys);
}

TEST(PendingKeys, AreLiveOnesWithAVersion) {
  const KeyPath path({1, {2, 0x0001'0001'0000'0000}, 0});
  const Key dkey = *path.dkey(as_bytes("d"));
  const Key akey = *path.akey(dkey, as_bytes("a"));
  const Key live = extent_key(akey, 100);
  const Key pending = pending_key(live, 0x0102030405060708, 9);
  EXPECT_EQ(hex(pending.view().first(5)), "0000000102");
  EXPECT_EQ(hex(pending.view().last(10)), "fefdfcfbfaf9f8f7fff6");
  EXPECT_EQ(as_chars(live_key(pending).view()), as_chars(live.view()));
  const auto parsed = parse_key(pending);
  ASSERT_TRUE(parsed) << parsed.error().what();
  EXPECT_EQ(parsed->range, Range::pending);
  EXPECT_EQ(parsed->kind, Kind::extent);
  EXPECT_EQ(parsed->position, 100u);
  EXPECT_EQ(parsed->epoch, 0x0102030405060708u);
  EXPECT_EQ(parsed->minor, 9u);
  for (const vos::Level level : {vos::Level::object, vos::Level::dkey, vos::Level::akey}) {
    const Key& prefix = level == vos::Level::object ? path.object()
                        : level == vos::Level::dkey ? dkey
                                                    : akey;
    const auto punch = parse_key(pending_key(punch_key(prefix, level), 5, 1));
    ASSERT_TRUE(punch);
    EXPECT_EQ(punch->kind, Kind::punch);
    EXPECT_EQ(punch->dkey.none, level == vos::Level::object);
    EXPECT_EQ(punch->akey.none, level != vos::Level::akey);
  }
  EXPECT_FALSE(parse_key(punch_key(akey, vos::Level::akey))) << "never live";
  Key cut = pending;
  for (size_t n = 0; n < pending.size(); ++n) {
    cut.truncate(n);
    (void)parse_key(cut);  // stays in bounds
  }
}

}  // namespace
}  // namespace cairn::vos::testing
