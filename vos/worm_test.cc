// Policies of containers, and sealed ones: who is refused and who is not, transactions that were
// prepared before, restarts, and power cuts at every request.
#include "vos/worm.h"

#include <gtest/gtest.h>

#include "index/sweep.h"
#include "model/hlc.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

using model::Seal;
using model::WormPolicy;

const WormPolicy kCompressed{.inline_bytes_max = 1'000, .compress = true, .cold_after_s = 60};

class WormTest : public ::testing::Test {
 public:
  void SetUp() override { ASSERT_TRUE(rig_.start(true)->has_value()); }

  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }
  Result<model::Epoch> put(const ObjectPath& object, const std::string& value) {
    return run(put_single(shard(), object, "d", "a", value));
  }
  Result<model::Epoch> put(const std::string& value) { return put(object_, value); }
  std::string get() { return run(read_single(shard(), object_, "d", "a")).value_or("<error>"); }
  Result<model::Epoch> punch(Level level) {
    PunchRequest request{.object = object_, .level = level};
    if (level != Level::object) request.dkey = as_bytes(kDkey);
    return run(shard().punch(request));
  }
  Result<void> set(const WormPolicy& policy, ContNumber container = 1) {
    return run(shard().set_worm_policy(container, policy));
  }
  /// As the services do: above everything that was answered before.
  WormPolicy sealing(WormPolicy policy = {}) {
    policy.seal = {shard().draw_epoch() + 1, "me@here"};
    return policy;
  }
  void restart(bool cleanly) {
    if (cleanly) {
      ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    } else {
      rig_.next_era();
    }
    ASSERT_TRUE(rig_.start(false)->has_value());
  }
  static Errc code_of(const auto& result) { return result ? Errc::ok : result.error().code(); }
  Errc transact(const TxBuilder& tx) {
    const auto done = run(shard().transact(tx.request));
    return done ? done->status : done.error().code();
  }
  model::Epoch snapshot() {
    const auto answered = run(shard().freeze_container(1));
    CHECK(answered.has_value());
    CHECK(run(shard().add_snapshot(1, *answered + 1)).has_value());
    return *answered + 1;
  }

  static constexpr const char* kDkey = "d";
  Rig rig_{test_seed(), {}};
  ObjectPath object_ = rig_.generator.paths()[0];
  const ObjectPath other_{2, object_.oid, 0};
};

TEST_F(WormTest, A_policy_is_each_containers_own_and_survives_restarts) {
  EXPECT_EQ(shard().worm_policy(1), WormPolicy{});
  ASSERT_TRUE(set(kCompressed));
  ASSERT_TRUE(set({.object_bytes_max = 8'192}, 7));
  for (const bool cleanly : {true, false, true}) {
    EXPECT_EQ(shard().worm_policy(1), kCompressed);
    EXPECT_EQ(shard().worm_policy(7).object_bytes_max, 8'192u);
    EXPECT_EQ(shard().worm_policy(2), WormPolicy{});
    EXPECT_EQ(shard().worm_containers(), (std::vector<ContNumber>{1, 7}));
    rig_.expect_clean();
    ASSERT_NO_FATAL_FAILURE(restart(cleanly));
  }
  ASSERT_TRUE(put("a container that is not sealed takes changes"));
  // The default is no record.
  ASSERT_TRUE(set({}, 7));
  ASSERT_NO_FATAL_FAILURE(restart(false));
  EXPECT_EQ(shard().worm_containers(), (std::vector<ContNumber>{1}));
  EXPECT_EQ(code_of(set(kCompressed, 0)), Errc::invalid);
  EXPECT_EQ(code_of(set({.object_bytes_max = 1}, 1)), Errc::invalid);
  EXPECT_EQ(shard().worm_policy(1), kCompressed);
}

TEST_F(WormTest, A_sealed_container_refuses_every_change_and_says_when_and_by_whom) {
  // Goal: issue 5, sealing. Method: every way to change something, before and after a restart; and
  // every way to look.
  ASSERT_TRUE(put("before"));
  const WormPolicy policy = sealing(kCompressed);
  ASSERT_TRUE(set(policy));
  for (const bool cleanly : {true, false, true}) {
    const auto refused = put("after");
    ASSERT_EQ(code_of(refused), Errc::no_perm);
    EXPECT_NE(std::string(refused.error().what()).find(seal_text(policy.seal)), std::string::npos)
        << refused.error().what();
    EXPECT_EQ(code_of(run(put_single(shard(), object_, "d", "b", std::string(300'000, 'x')))),
              Errc::no_perm);
    for (const Level level : {Level::object, Level::dkey}) {
      EXPECT_EQ(code_of(punch(level)), Errc::no_perm);
    }
    TxBuilder tx;
    tx.put(object_, "d", "a", "after");
    EXPECT_EQ(transact(tx), Errc::no_perm);
    EXPECT_EQ(code_of(run(shard().prepare({1, 1}, tx.request))), Errc::no_perm);
    TxBuilder wide;
    wide.put(other_, "d", "a", "of two containers");
    wide.punch(object_, Level::dkey, "d");
    EXPECT_EQ(transact(wide), Errc::no_perm) << "all or nothing";
    EXPECT_EQ(run(read_single(shard(), other_, "d", "a")).value_or("<error>"), "");
    EXPECT_EQ(get(), "before");
    rig_.expect_clean();
    ASSERT_NO_FATAL_FAILURE(restart(cleanly));
    EXPECT_EQ(shard().worm_policy(1), policy);
  }
  EXPECT_TRUE(put(other_, "others go on"));
  TxBuilder looks;
  looks.read(object_, TxRead::Level::object, shard().draw_epoch());
  EXPECT_EQ(transact(looks), Errc::ok) << "one that only reads";
}

TEST_F(WormTest, What_does_not_change_what_is_read_goes_on_while_sealed) {
  ASSERT_TRUE(put("before"));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(run(put_single(shard(), object_, "d" + std::to_string(i), "a", "v")));
  }
  const model::Epoch older = snapshot();
  ASSERT_TRUE(set(sealing()));
  const model::Epoch newer = snapshot();
  EXPECT_GT(newer, shard().worm_policy(1).seal.epoch) << "the write floor is above the seal";
  ASSERT_TRUE(run(shard().remove_snapshot(1, older)));
  ASSERT_TRUE(run(shard().aggregate_container(1)));
  const auto flattened = run(shard().flatten({object_}, {}));
  ASSERT_TRUE(flattened);
  EXPECT_EQ((*flattened)[0].outcome, FlattenOutcome::flattened);
  ASSERT_TRUE(run(shard().clean_flat(1)));
  EXPECT_EQ(get(), "before");
  EXPECT_EQ(code_of(put("after")), Errc::no_perm) << "also of a flattened object";
  ASSERT_TRUE(set({}));
  ASSERT_TRUE(put("after"));
  EXPECT_EQ(get(), "after");
  // Neither policy nor seal is part of what a rollback undoes.
  ASSERT_TRUE(set(sealing()));
  ASSERT_TRUE(run(shard().rollback(1, newer)));
  EXPECT_EQ(get(), "before");
  EXPECT_EQ(code_of(put("after")), Errc::no_perm);
  rig_.expect_clean();
}

TEST_F(WormTest, A_sealed_container_can_be_destroyed_and_its_number_starts_afresh) {
  ASSERT_TRUE(put("before"));
  ASSERT_TRUE(put(other_, "stays"));
  ASSERT_TRUE(set(sealing(kCompressed)));
  ASSERT_TRUE(set(kCompressed, 2));
  ASSERT_TRUE(run(shard().destroy_container(1)));
  EXPECT_EQ(shard().worm_policy(1), WormPolicy{});
  ASSERT_NO_FATAL_FAILURE(restart(false));
  EXPECT_EQ(shard().worm_containers(), (std::vector<ContNumber>{2}));
  EXPECT_TRUE(put("anew"));
  rig_.expect_clean();
}

TEST_F(WormTest, A_transaction_that_was_prepared_before_ends_before_the_seal_is_there) {
  // Goal: what was promised is kept, and nothing comes after the answer. Method: a prepared
  // transaction is committed while the seal waits for it; a second one never is.
  ASSERT_TRUE(put("before"));
  TxBuilder first;
  first.put(object_, "d", "a", "promised");
  ASSERT_EQ(code_of(run(shard().prepare({1, 1}, first.request))), Errc::ok);
  Result<void> sealed = fail(Errc::unknown, "not answered yet");
  const auto seal = [](WormTest& test, WormPolicy policy, Result<void>& out) -> Task<Result<void>> {
    out = co_await test.shard().set_worm_policy(1, policy);
    co_return out;
  };
  const auto commit = [](WormTest& test, Result<void>& seen) -> Task<Result<void>> {
    co_await test.rig_.world.reactor().sleep(kMillisecond * 500);
    EXPECT_EQ(seen.error().code(), Errc::unknown) << "it waits";
    TxBuilder late;
    late.put(test.object_, "d", "b", "late");
    EXPECT_EQ(code_of(co_await test.shard().prepare({1, 2}, late.request)), Errc::no_perm);
    co_return co_await test.shard().commit({1, 1});
  };
  std::vector<Task<Result<void>>> tasks;
  tasks.push_back(seal(*this, sealing(), sealed));
  tasks.push_back(commit(*this, sealed));
  ASSERT_TRUE(run(run_all(rig_.world.reactor(), std::move(tasks), 2)));
  EXPECT_TRUE(sealed);
  EXPECT_EQ(get(), "promised");
  EXPECT_EQ(code_of(put("after")), Errc::no_perm);

  ASSERT_TRUE(set({}));
  TxBuilder second;
  second.put(object_, "d", "a", "nobody decides");
  ASSERT_EQ(code_of(run(shard().prepare({1, 3}, second.request))), Errc::ok);
  const WormPolicy policy = sealing();
  EXPECT_EQ(code_of(set(policy)), Errc::busy);
  EXPECT_EQ(shard().worm_policy(1), policy) << "sealed all the same";
  ASSERT_NO_FATAL_FAILURE(restart(false));
  EXPECT_EQ(code_of(put("after")), Errc::no_perm);
  EXPECT_EQ(code_of(set(policy)), Errc::busy);
  ASSERT_TRUE(run(shard().abort({1, 3})));
  EXPECT_TRUE(set(policy)) << "again, when it is over";
  EXPECT_EQ(get(), "promised");
}

TEST_F(WormTest, A_resend_of_what_was_done_before_the_seal_is_answered_as_then) {
  shard().open_session(5);
  Bytes payload(10, std::byte{1});
  UpdateRequest update{.object = object_, .dkey = as_bytes(kDkey)};
  update.iods.push_back({as_bytes(kDkey), ValueType::single, 10, 0, {}, scattered(payload), false});
  update.origin = {.session = 5, .sequence = 1};
  const auto first = run(shard().update(update));
  ASSERT_TRUE(first);
  ASSERT_TRUE(set(sealing()));
  EXPECT_EQ(run(shard().update(update)).value_or(0), *first);
  update.origin.sequence = 2;
  EXPECT_EQ(code_of(run(shard().update(update))), Errc::no_perm);
  ASSERT_TRUE(set({}));
  EXPECT_TRUE(run(shard().update(update))) << "what was refused may come again";
}

TEST_F(WormTest, A_freeze_ends_with_the_seal_and_epochs_that_nobody_has_yet_are_refused) {
  const auto answered = run(shard().freeze_container(1));
  ASSERT_TRUE(answered);
  const Instant before = rig_.world.reactor().clock().now();
  ASSERT_TRUE(set({.seal = {*answered + 1, "me@here"}}));
  EXPECT_EQ(code_of(put("after")), Errc::no_perm);
  EXPECT_LT(rig_.world.reactor().clock().now() - before, kFreezeMax / 2);
  const model::Epoch far =
      model::epoch_of_wall_ns(rig_.world.reactor().clock().wall_ns() + 3'600 * kSecond);
  EXPECT_EQ(code_of(set({.seal = {far, "me@here"}}, 2)), Errc::invalid);
  EXPECT_TRUE(put(other_, "not shut out"));
}

// ---- power ----

/// What is known of the seal, and the step whose answer never came.
struct SealStory {
  explicit SealStory(Rig& r) : rig(r) {}
  Rig& rig;
  WormPolicy known;
  std::optional<WormPolicy> setting;
};

Task<Result<void>> seal_and_unseal(SealStory& story, uint64_t steps) {
  Rig& rig = story.rig;
  SeededRandom& random = rig.generator.random();
  for (uint64_t i = 0; i < steps; ++i) {
    const uint64_t dice = random.below(8);
    if (dice == 0) {
      CO_TRY(done, co_await rig.shard->checkpoint());
    } else if (dice < 3) {
      WormPolicy policy{.inline_bytes_max = random.below(1'000)};
      if (!story.known.seal.is_set()) policy.seal = {rig.shard->draw_epoch() + 1, "me@here"};
      story.setting = policy;
      CO_TRY(set, co_await rig.shard->set_worm_policy(1, policy));
      story.known = *std::exchange(story.setting, std::nullopt);
    } else if (!story.known.seal.is_set()) {
      CO_TRY(done,
             co_await run_one(*rig.shard, rig.generator.paths(), rig.books, rig.generator.next()));
    } else {
      const auto refused =
          co_await execute(*rig.shard, rig.generator.paths()[0], rig.generator.next());
      if (refused) co_return fail(Errc::misc, "a sealed container was changed");
      if (refused.error().code() == Errc::io) co_return fail(refused.error());
    }
  }
  co_return Result<void>{};
}

/// The page of the last records.
Task<Result<uint64_t>> last_leaf(Shard& shard) {
  index::Sweep sweep = shard.store().sweep();
  uint64_t page = 0;
  while (auto visit = co_await sweep.next()) {
    if (visit->level == 0) page = visit->ref.page_number();
  }
  co_return page;
}

TEST_F(WormTest, A_seal_that_a_damaged_page_cannot_take_counts_all_the_same) {
  // Goal: damage makes no sealed container writable, as long as the shard is told at each open, and
  // others stay as they were. Method: the last leaf, which has the policy, is damaged; the changed
  // dkey stands far before it. Then the shard is told that it is sealed, which cannot be written.
  for (int i = 0; i < 60; ++i) {
    const std::string name = "k" + std::to_string(100 + i);
    ASSERT_TRUE(run(put_single(shard(), object_, name, "a", std::string(1'500, 'v'))));
  }
  const auto change = [&] { return code_of(run(put_single(shard(), object_, "k100", "a", "n"))); };
  ASSERT_TRUE(set(sealing()));
  ASSERT_NO_FATAL_FAILURE(restart(true));
  const auto page = run(last_leaf(shard()));
  ASSERT_TRUE(page);
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  rig_.meta.flip_bit(*page * index::kPageBytes + 2'000, 3);
  ASSERT_TRUE(rig_.start(false)->has_value());
  EXPECT_EQ(run(read_single(shard(), object_, "k100", "a"))->size(), 1'500u);
  EXPECT_EQ(change(), Errc::ok) << "nobody has told it";
  const WormPolicy sealed = sealing();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(code_of(set(sealed)), Errc::checksum) << "not written, so not durable";
    EXPECT_EQ(change(), Errc::no_perm) << "but it counts";
  }
  TxBuilder tx;
  tx.put(object_, "k100", "a", "n");
  EXPECT_NE(transact(tx), Errc::ok);
  EXPECT_NE(code_of(punch(Level::object)), Errc::ok);
}

TEST(WormPower, After_the_answer_no_cut_brings_a_writable_container_back) {
  // Goal: a seal is durable when it is answered, and what was acknowledged before it is there.
  // Method: updates, seals and unseals under cuts, also while it recovers.
  for (uint64_t seed = test_seed(); seed < test_seed() + lives(6); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rig rig(seed, {.dkeys = 2, .conditions = false}, {.wal = 1u << 20, .data = 32u << 20});
    rig.options.store.evict_always = seed % 3 == 0;
    SealStory story(rig);
    ASSERT_TRUE(*rig.start(true));
    for (int era = 0; era < 25; ++era) {
      SCOPED_TRACE("era " + std::to_string(era));
      rig.world.cut_power_at(1 + rig.world.random().below(60));
      const auto ran = rig.world.run(seal_and_unseal(story, 40));
      if (ran) {
        ASSERT_TRUE(ran->has_value()) << ran->error().what();
      }
      rig.next_era();
      if (era % 3 == 0) {
        rig.world.cut_power_at(1 + rig.world.random().below(20));
        [[maybe_unused]] const auto opened = rig.start(false);
        rig.next_era();
      }
      const auto opened = rig.start(false);
      ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
      const WormPolicy& found = rig.shard->worm_policy(1);
      if (story.setting && found == *story.setting) story.known = *story.setting;
      ASSERT_EQ(found, story.known) << "neither as it was nor as it was to be";
      story.setting.reset();
      ASSERT_NO_FATAL_FAILURE(rig.expect_recovered());
      const auto tried =
          rig.world.run(put_single(*rig.shard, {1, {99, 1ull << 32}, 0}, "d", "a", "x"));
      ASSERT_TRUE(tried.has_value());
      ASSERT_EQ(tried->has_value(), !story.known.seal.is_set());
    }
  }
}

}  // namespace
}  // namespace cairn::vos::testing
