// Transactions of one shard: what they answer, and that all of one happens or none. The situations
// are those that were recorded of the reference, as far as one shard sees them.
#include <gtest/gtest.h>

#include "vos/epoch_table.h"
#include "vos/markers.h"
#include "vos/overlay.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

using ReadLevel = TxRead::Level;

class TransactionTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(rig_.start(true)->has_value()); }

  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Result<Transacted> transact(const TxBuilder& tx) { return run(rig_.shard->transact(tx.request)); }
  void commit(const TxBuilder& tx) {
    const auto done = transact(tx);
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_EQ(done->status, Errc::ok) << done->what << " of op " << done->failed_op;
  }
  void put(const std::string& dkey, const std::string& akey, const std::string& value) {
    ASSERT_TRUE(run(put_single(*rig_.shard, object_, dkey, akey, value)));
  }
  std::string get(const std::string& dkey, const std::string& akey) {
    return run(read_single(*rig_.shard, object_, dkey, akey)).value_or("<error>");
  }
  Result<std::string> read(model::Epoch& epoch, const std::string& dkey, const std::string& akey) {
    return run(read_single(*rig_.shard, object_, dkey, akey, &epoch));
  }
  Result<size_t> count_dkeys(model::Epoch* epoch) {
    model::ListRequest request{.count_max = 1000, .bytes_max = 10'000};
    request.transactional = epoch != nullptr;
    auto listed =
        run(rig_.shard->list(object_, request, epoch != nullptr ? *epoch : model::kEpochMax));
    if (!listed) return fail(listed.error());
    if (epoch != nullptr) *epoch = listed->epoch;
    return listed->lengths.size();
  }
  void restart() {
    rig_.close_cleanly();
    ASSERT_TRUE(rig_.start(false)->has_value());
  }
  void expect_clean() { rig_.expect_clean(); }

  Rig rig_{test_seed(), {}};
  ObjectPath object_ = rig_.generator.paths()[0];
};

Errc code_of(const Result<Transacted>& done) { return done ? done->status : done.error().code(); }

TEST_F(TransactionTest, AllChangesHaveOneEpochAndAreThereAfterARestart) {
  TxBuilder tx;
  for (int i = 0; i < 200; ++i) tx.put(object_, "k" + std::to_string(i), "a", "v");
  tx.put(object_, "big", "a", std::string(20'000, 'b'));
  const auto done = transact(tx);
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_EQ(done->status, Errc::ok);
  EXPECT_EQ(run(rig_.shard->max_epoch(object_)).value(), done->epoch);
  EXPECT_EQ(*count_dkeys(nullptr), 201u);
  restart();
  EXPECT_EQ(*count_dkeys(nullptr), 201u);
  EXPECT_EQ(get("big", "a"), std::string(20'000, 'b'));
  expect_clean();
}

TEST_F(TransactionTest, LaterOperationsSeeEarlierOnes) {
  put("d", "a", "old");
  put("d", "b", "old");
  TxBuilder punch_then_update;
  punch_then_update.punch(object_, Level::dkey, "d");
  punch_then_update.put(object_, "d", "a", "new");
  commit(punch_then_update);
  EXPECT_EQ(get("d", "a"), "new");
  EXPECT_EQ(get("d", "b"), "");
  TxBuilder update_then_punch;
  update_then_punch.put(object_, "e", "a", "x");
  update_then_punch.punch(object_, Level::dkey, "e", {}, model::cond::kPunch);
  commit(update_then_punch);
  EXPECT_EQ(get("e", "a"), "");
  TxBuilder twice;
  twice.put(object_, "f", "a", "one");
  twice.put(object_, "f", "a", "two", model::cond::kAkeyUpdate);
  commit(twice);
  EXPECT_EQ(get("f", "a"), "two");
  TxBuilder insert_twice;
  insert_twice.put(object_, "g", "a", "one", model::cond::kDkeyInsert);
  insert_twice.put(object_, "g", "a", "two", model::cond::kDkeyInsert);
  const auto refused = transact(insert_twice);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, Errc::exists);
  EXPECT_EQ(refused->failed_op, 1u);
  EXPECT_EQ(get("g", "a"), "");
  expect_clean();
}

TEST_F(TransactionTest, APunchTooLargeToBeDoneAtOnce_CoversWhatWasAndNotWhatFollows) {
  // Goal: a marker inside a transaction. Method: more records than go at once, own writes before
  // and after the punch, data among them.
  for (size_t i = 0; i < kPunchAtOnceMax + 20; ++i) put("d", "old" + std::to_string(i), "v");
  TxBuilder tx;
  tx.put(object_, "d", "own", std::string(10'000, 'x'));
  tx.punch(object_, Level::dkey, "d");
  tx.put(object_, "d", "after", "new");
  tx.put(object_, "d", "old3", "again");
  commit(tx);
  EXPECT_EQ(get("d", "own"), "");
  EXPECT_EQ(get("d", "old5"), "");
  EXPECT_EQ(get("d", "after"), "new");
  EXPECT_EQ(get("d", "old3"), "again");
  run([](Shard& shard) -> Task<Result<void>> {
    co_await shard.reclaimed();
    co_return Result<void>{};
  }(*rig_.shard))
      .value();
  EXPECT_EQ(get("d", "after"), "new");
  EXPECT_EQ(get("d", "old3"), "again");
  EXPECT_EQ(rig_.shard->store().stats().data.used, 0u);
  expect_clean();
}

TEST_F(TransactionTest, WhatItOverwritesOfItsOwn_LeaksNothing) {
  // Goal: blocks that a transaction reserves and gives up again. Method: large values overwritten
  // whole and in part, also inside a block whose bytes are not on the medium yet.
  std::deque<Op> ops;
  const auto write = [&](uint64_t at, uint64_t count, uint32_t stamp) {
    Op op;
    op.dkey = "d";
    op.stamp = stamp;
    OpIod iod;
    iod.akey = "a";
    iod.type = ValueType::array;
    iod.record_bytes = 1;
    iod.recxs = {{at, count}};
    op.iods = {iod};
    ops.push_back(op);
  };
  write(0, 100'000, 1);
  write(10'000, 30'000, 2);  // the rest keeps parts of blocks on both sides
  write(12'345, 10, 3);
  write(0, 5'000, 4);
  TxBuilder tx;
  Object want;
  for (const Op& op : ops) {
    tx.add(object_, op);
    ASSERT_TRUE(apply_op(want, op).empty());
  }
  tx.put(object_, "e", "a", std::string(50'000, 'x'));
  tx.put(object_, "e", "a", "small");
  commit(tx);
  EXPECT_EQ(get("e", "a"), "small");
  EXPECT_EQ(*run(verify_dkey_of(*rig_.shard, object_, "d", want, 7)), "");
  restart();
  EXPECT_EQ(*run(verify_dkey_of(*rig_.shard, object_, "d", want, 7)), "");
  expect_clean();
  ASSERT_TRUE(run(rig_.shard->destroy_container(object_.container)));
  EXPECT_EQ(rig_.shard->store().stats().data.used, 0u);
  EXPECT_EQ(rig_.shard->store().stats().data.reserved, 0u);
}

TEST_F(TransactionTest, AFailedOperation_LeavesNothingOfTheOthers) {
  put("there", "a", "old");
  TxBuilder tx;
  tx.put(object_, "new", "a", std::string(9'000, 'x'));
  tx.put(object_, "there", "a", "new");
  tx.punch(object_, Level::dkey, "absent", {}, model::cond::kPunch);
  tx.put(object_, "never", "a", "x");
  const auto refused = transact(tx);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, Errc::nonexistent);
  EXPECT_EQ(refused->failed_op, 2u);
  EXPECT_EQ(get("new", "a"), "");
  EXPECT_EQ(get("there", "a"), "old");
  EXPECT_EQ(rig_.shard->store().stats().data.reserved, 0u);
  TxBuilder malformed;
  malformed.put(object_, "d", "a", "x");
  malformed.put(object_, "", "a", "x");
  const auto invalid = transact(malformed);
  ASSERT_TRUE(invalid);
  EXPECT_EQ(invalid->status, Errc::invalid);
  EXPECT_EQ(invalid->failed_op, 1u);
  EXPECT_EQ(get("d", "a"), "");
}

TEST_F(TransactionTest, WhatWasReadAndChangedSince_Restarts) {
  put("d", "a", "old");
  const struct {
    const char* name;
    ReadLevel level;
    std::string dkey, akey;
  } reads[] = {{"akey", ReadLevel::akey, "d", "a"},
               {"dkey", ReadLevel::dkey, "d", {}},
               {"object", ReadLevel::object, {}, {}},
               {"absent akey", ReadLevel::akey, "d", "new"},
               {"absent dkey", ReadLevel::dkey, "new", {}}};
  for (const auto& r : reads) {
    SCOPED_TRACE(r.name);
    put("d", "a", "old");
    model::Epoch epoch = 0;
    ASSERT_TRUE(read(epoch, "d", "a"));
    ASSERT_NE(epoch, 0u);
    TxBuilder unchanged;
    unchanged.read(object_, r.level, epoch, r.dkey, r.akey);
    unchanged.put(object_, "mine", "a", "x");
    if (r.level != ReadLevel::object) EXPECT_EQ(code_of(transact(unchanged)), Errc::ok);
    put(r.dkey.empty() ? "d" : r.dkey, r.akey.empty() ? "a" : r.akey, "other");
    TxBuilder tx;
    tx.read(object_, r.level, epoch, r.dkey, r.akey);
    tx.put(object_, "mine", "a", "y");
    EXPECT_EQ(code_of(transact(tx)), Errc::tx_restart);
    EXPECT_NE(get("mine", "a"), "y");
    TxBuilder punch;
    punch.punch(object_, Level::dkey, "new");
    commit(punch);
  }
}

TEST_F(TransactionTest, WhatWasReadAndPunchedSince_Restarts) {
  // Goal: a punch leaves no record that is newer, only a note of what ended. Method: each level of
  // punch against each level of read; other keys are no conflict.
  for (const Level level : {Level::object, Level::dkey, Level::akeys}) {
    SCOPED_TRACE(static_cast<int>(level));
    put("d", "a", "old");
    put("other", "a", "old");
    model::Epoch epoch = 0;
    ASSERT_EQ(*read(epoch, "d", "a"), "old");
    TxBuilder punch;
    punch.punch(object_, level, level == Level::object ? "" : "d", "a");
    commit(punch);
    for (const ReadLevel read_level : {ReadLevel::object, ReadLevel::dkey, ReadLevel::akey}) {
      TxBuilder tx;
      tx.read(object_, read_level, epoch, "d", "a");
      EXPECT_EQ(code_of(transact(tx)), Errc::tx_restart);
    }
    TxBuilder other;
    other.read(object_, ReadLevel::akey, epoch, "other", "a");
    EXPECT_EQ(code_of(transact(other)), level == Level::object ? Errc::tx_restart : Errc::ok);
    EXPECT_EQ(read(epoch, "d", "a").error().code(), Errc::tx_restart);
  }
}

TEST_F(TransactionTest, AReadThatMeetsSomethingNewer_RestartsAtOnce) {
  put("d", "a", "one");
  model::Epoch epoch = 0;
  EXPECT_EQ(*read(epoch, "d", "a"), "one");
  EXPECT_EQ(*count_dkeys(&epoch), 1u);
  put("e", "a", "two");
  EXPECT_EQ(read(epoch, "e", "a").error().code(), Errc::tx_restart);
  EXPECT_EQ(count_dkeys(&epoch).error().code(), Errc::tx_restart);
  EXPECT_EQ(*read(epoch, "d", "a"), "one");
  put("d", "b", "beside");
  EXPECT_EQ(*read(epoch, "d", "a"), "one");
  put("d", "a", "three");
  EXPECT_EQ(read(epoch, "d", "a").error().code(), Errc::tx_restart);
  model::Epoch again = 0;
  EXPECT_EQ(*read(again, "d", "a"), "three");
  EXPECT_GT(again, epoch);
}

TEST_F(TransactionTest, AQueryIsValidatedLikeAListing) {
  ObjectPath integers = object_;
  integers.oid.hi = uint64_t{2} << 56 | 0x0001'0001'0000'0000;
  const std::string five("\5\0\0\0\0\0\0\0", 8), nine("\x9\0\0\0\0\0\0\0", 8);
  ASSERT_TRUE(run(put_single(*rig_.shard, integers, five, "a", "x")));
  model::QueryKeyRequest query{.want_dkey = true, .transactional = true};
  const auto first = run(rig_.shard->query_key(integers, query, 0));
  ASSERT_TRUE(first) << first.error().what();
  EXPECT_EQ(first->dkey, 5u);
  EXPECT_TRUE(run(rig_.shard->query_key(integers, query, first->epoch)));
  ASSERT_TRUE(run(put_single(*rig_.shard, integers, nine, "a", "x")));
  EXPECT_EQ(run(rig_.shard->query_key(integers, query, first->epoch)).error().code(),
            Errc::tx_restart);
}

TEST_F(TransactionTest, AReadFromBeforeARestart_Restarts) {
  // Goal: what is not known any more counts as changed, and new reads go on.
  put("d", "a", "one");
  model::Epoch epoch = 0;
  ASSERT_TRUE(read(epoch, "d", "a"));
  put("e", "a", "two");
  restart();
  EXPECT_EQ(read(epoch, "d", "a").error().code(), Errc::tx_restart);
  model::Epoch again = 0;
  EXPECT_EQ(*read(again, "d", "a"), "one");
  TxBuilder tx;
  tx.read(object_, ReadLevel::akey, again, "d", "a");
  tx.put(object_, "d", "a", "mine");
  commit(tx);
}

TEST_F(TransactionTest, AReadAtAFutureEpochOfAnotherShard_IsHeldUpAgainstACrash) {
  // Goal: store.md rule 23. Method: read at an epoch above everything here, cut the power, and see
  // that no later change is at or below it, though the clock may say less.
  put("d", "a", "one");
  const model::Epoch newest = *run(rig_.shard->max_epoch(object_));
  model::Epoch asked = newest + (uint64_t{500'000'000} << 4);
  ASSERT_EQ(*read(asked, "d", "a"), "one");
  model::Epoch far = newest + (uint64_t{5'000'000'000} << 4);
  EXPECT_EQ(read(far, "d", "a").error().code(), Errc::invalid);
  rig_.next_era();
  ASSERT_TRUE(rig_.start(false)->has_value());
  const auto written = run(put_single(*rig_.shard, object_, "d", "a", "two"));
  ASSERT_TRUE(written);
  EXPECT_GT(*written, asked);
}

TEST_F(TransactionTest, TheEpochOfOneThatOnlyReads_IsHeldUpAgainstACrash) {
  // Goal: store.md rule 23: what comes after a crash does not come before what was read, whatever
  // the clock says. Method: epochs that run ahead of the clock, by what others said; the
  // transaction draws one above all that is in the log.
  put("d", "a", "v");
  for (int i = 1; i < 4; ++i) {
    model::Epoch epoch = *run(rig_.shard->max_epoch(object_)) + (uint64_t{1'400'000'000} << 4);
    ASSERT_TRUE(read(epoch, "d", "a"));
    TxBuilder tx;
    tx.read(object_, ReadLevel::akey, epoch, "d", "a");
    const auto seen = transact(tx);
    ASSERT_TRUE(seen);
    rig_.next_era();
    ASSERT_TRUE(rig_.start(false)->has_value());
    const auto later = run(put_single(*rig_.shard, object_, "d", "b", "v"));
    ASSERT_TRUE(later);
    EXPECT_GT(*later, seen->epoch);
    rig_.world.run_for(3 * kSecond);
  }
}

TEST_F(TransactionTest, AResend_IsAnsweredAndNotDoneAgain) {
  rig_.shard->open_session(7);
  TxBuilder tx;
  tx.put(object_, "d", "a", "one", model::cond::kDkeyInsert);
  tx.request.origin = {7, 1, 1};
  const auto first = transact(tx);
  ASSERT_TRUE(first);
  ASSERT_EQ(first->status, Errc::ok);
  put("d", "a", "two");
  const auto again = transact(tx);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->status, Errc::ok);
  EXPECT_EQ(again->epoch, first->epoch);
  restart();
  EXPECT_EQ(transact(tx)->epoch, first->epoch);
  EXPECT_EQ(get("d", "a"), "two");
  tx.request.origin.session = 8;
  EXPECT_EQ(transact(tx).error().code(), Errc::unknown);
}

TEST_F(TransactionTest, MalformedRequests_AreRefused) {
  TxBuilder no_epoch;
  no_epoch.read(object_, ReadLevel::akey, 0, "d", "a");
  EXPECT_EQ(transact(no_epoch).error().code(), Errc::invalid);
  TxBuilder given;
  given.request.epoch = 5;
  EXPECT_EQ(transact(given).error().code(), Errc::invalid);
  TxBuilder no_level;
  no_level.read(object_, static_cast<ReadLevel>(9), 5, "d", "a");
  EXPECT_EQ(transact(no_level).error().code(), Errc::invalid);
  TxBuilder nothing;
  EXPECT_EQ(code_of(transact(nothing)), Errc::ok);
}

TEST(TransactionModel, Random_transactions_answer_like_their_operations_one_by_one) {
  // Goal: planning through the overlay equals doing one operation after another. Method: random
  // operations of all kinds, up to nine in one transaction, beside the model; restarts, little
  // memory, and at the end all space returns.
  const uint64_t seconds = env_number("CAIRN_TEST_SECONDS", 20);
  const Instant end = system_clock().now() + seconds * kSecond;
  uint64_t seed = test_seed();
  uint64_t done = 0, refused = 0;
  do {
    SCOPED_TRACE("CAIRN_TEST_SEED " + std::to_string(seed));
    Rig rig(seed,
            {.types = {0, 2, 4, 5},
             .dkeys = 4,
             .akeys = 6,
             .value_bytes_max = 30'000,
             .long_keys = true,
             .punch_percent = 25,
             .scatter_percent = 10},
            {.wal = 8u << 20});
    rig.options.store.evict_always = seed % 3 == 0;
    ASSERT_TRUE(rig.start(true)->has_value());
    for (int step = 0; step < 120; ++step) {
      RandomTx random(rig);
      const auto answer = rig.world.run(rig.shard->transact(random.tx.request));
      ASSERT_TRUE(answer && answer->has_value()) << answer->error().what();
      ASSERT_TRUE(random.agrees(**answer)) << (*answer)->what;
      if ((*answer)->status == Errc::ok) {
        rig.books.objects = std::move(random.after);
        ++done;
      } else {
        ++refused;
      }
      if (step % 10 == 9) ASSERT_NO_FATAL_FAILURE(rig.expect_same());
      if (step % 40 == 39) {
        ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
        if (step % 80 == 39) {
          ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
        } else {
          rig.next_era();
        }
        ASSERT_TRUE(rig.start(false)->has_value());
        ASSERT_NO_FATAL_FAILURE(rig.expect_same());
      }
    }
    const auto gone = rig.world.run(rig.shard->destroy_container(1));
    ASSERT_TRUE(gone && gone->has_value());
    EXPECT_EQ(rig.shard->store().stats().data.used, 0u);
    EXPECT_EQ(rig.shard->store().stats().data.reserved, 0u);
    ++seed;
  } while (system_clock().now() < end);
  std::printf("CAIRN_TEST_SEED %llu to %llu: %llu transactions, %llu refused\n",
              static_cast<unsigned long long>(test_seed()),
              static_cast<unsigned long long>(seed - 1), static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(refused));
  EXPECT_GT(done, refused / 2);
}

TEST(TransactionPower, Every_cut_point_leaves_a_transaction_whole_or_absent) {
  // Goal: one record decides. Method: transaction n gives value n to keys of two objects, inline
  // and beside the log; cut at every request; afterwards all keys agree.
  const auto value_of = [](int n, size_t key) {
    const std::string text = std::to_string(n);
    return text + std::string(key % 2 == 0 ? 10 : 6'000, 'v');
  };
  bool through = false;
  uint64_t cut = 1;
  for (; !through; ++cut) {
    SCOPED_TRACE("seed " + std::to_string(test_seed()) + " cut " + std::to_string(cut));
    Rig rig(test_seed(), {.types = {0, 5}});
    const auto& paths = rig.generator.paths();
    rig.world.cut_power_at(cut);
    const auto created = rig.start(true);
    int acknowledged = 0;
    through = created.has_value();
    for (int n = 1; through && n <= 8; ++n) {
      TxBuilder tx;
      for (size_t key = 0; key < 6; ++key) {
        if (n % 3 == 0) tx.punch(paths[key % 2], Level::dkey, "k" + std::to_string(key));
        tx.put(paths[key % 2], "k" + std::to_string(key), "a", value_of(n, key));
      }
      const auto done = rig.world.run(rig.shard->transact(tx.request));
      through = done.has_value();
      if (!through) break;
      ASSERT_TRUE(done->has_value()) << done->error().what();
      acknowledged = n;
    }
    rig.next_era();
    const auto opened = rig.start(false);
    ASSERT_TRUE(opened);
    if (!opened->has_value()) {
      ASSERT_FALSE(rig.books.created) << opened->error().what();
      continue;
    }
    std::set<int> seen;
    for (size_t key = 0; key < 6; ++key) {
      const auto value =
          rig.world.run(read_single(*rig.shard, paths[key % 2], "k" + std::to_string(key), "a"));
      ASSERT_TRUE(value && value->has_value());
      const int n = (*value)->empty() ? 0 : std::stoi(**value);
      if (n != 0) EXPECT_EQ(**value, value_of(n, key));
      seen.insert(n);
    }
    EXPECT_EQ(seen.size(), 1u);
    EXPECT_GE(*seen.begin(), acknowledged);
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
  }
  EXPECT_GT(cut, 20u);
}

KeyRange range_of_keys(const KeyPath& path, const std::string& dkey, const std::string& akey) {
  KeyRange range{vos::Level::object, path.object(), {}, {}};
  if (dkey.empty()) return range;
  range.dkey = *path.dkey(as_bytes(dkey));
  range.level = vos::Level::dkey;
  if (akey.empty()) return range;
  range.akey = *path.akey(range.dkey, as_bytes(akey));
  range.level = vos::Level::akey;
  return range;
}

TEST(EpochTable, AnswersAreNeverTooOld) {
  // Goal: never below the truth, and not far above it while slots are plenty. Method: random marks
  // against a list of all of them.
  SeededRandom random(test_seed());
  EpochTable table;
  struct Mark {
    std::string object, dkey, akey;
    model::Epoch epoch;
  };
  std::vector<Mark> marks;
  const auto some = [&] {
    Mark m{std::to_string(random.below(5)), {}, {}, 1 + random.below(1'000'000)};
    if (random.below(4) != 0) m.dkey = "d" + std::to_string(random.below(6));
    if (!m.dkey.empty() && random.below(3) != 0) m.akey = "a" + std::to_string(random.below(6));
    return m;
  };
  const auto path = [](const Mark& m) {
    return KeyPath(ObjectPath{1, {std::stoull(m.object), 0x0001'0001'0000'0000}, 0});
  };
  uint64_t exact = 0;
  for (int round = 0; round < 4'000; ++round) {
    const Mark m = some();
    if (random.below(20) == 0) {
      marks.push_back(m);
      table.raise(range_of_keys(path(m), m.dkey, m.akey), m.epoch);
    }
    const Mark asked = some();
    model::Epoch truth = 0;
    for (const Mark& one : marks) {
      const bool meet = one.object == asked.object &&
                        (one.dkey.empty() || asked.dkey.empty() ||
                         (one.dkey == asked.dkey &&
                          (one.akey.empty() || asked.akey.empty() || one.akey == asked.akey)));
      if (meet) truth = std::max(truth, one.epoch);
    }
    const model::Epoch answer = table.newest(range_of_keys(path(asked), asked.dkey, asked.akey));
    ASSERT_GE(answer, truth);
    exact += answer == truth ? 1 : 0;
  }
  EXPECT_GT(exact, 3'900u);
  table.raise_all(2'000'000);
  EXPECT_EQ(table.newest(range_of_keys(path(some()), {}, {})), 2'000'000u);
}

}  // namespace
}  // namespace cairn::vos::testing
