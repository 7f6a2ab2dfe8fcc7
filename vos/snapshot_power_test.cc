// Snapshots against power cuts: taking, giving up and going back, with the moves in the background.
// What is judged after each cut: acknowledged operations and snapshots are there with their exact
// content, others happened whole or not at all, the check is clean, the shard goes on.
#include <gtest/gtest.h>

#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

struct Moment {
  model::Epoch epoch = 0;
  std::vector<Object> objects;
};

/// What is known, and the one step whose outcome is open.
struct Story {
  explicit Story(Rig& r) : rig(r) {}
  Rig& rig;
  std::vector<Moment> taken;
  std::optional<Moment> adding, removing, restoring;

  void drop(model::Epoch epoch) {
    std::erase_if(taken, [&](const Moment& m) { return m.epoch == epoch; });
  }
};

Task<Result<void>> take(Story& story) {
  story.adding = Moment{0, story.rig.books.objects};
  CO_TRY(answered, co_await story.rig.shard->freeze_container(1));
  story.adding->epoch = answered + 1;
  CO_TRY(added, co_await story.rig.shard->add_snapshot(1, answered + 1));
  story.taken.push_back(*std::exchange(story.adding, std::nullopt));
  co_return Result<void>{};
}

Task<Result<void>> give_up(Story& story, size_t at) {
  story.removing = story.taken[at];
  CO_TRY(removed, co_await story.rig.shard->remove_snapshot(1, story.removing->epoch));
  story.drop(story.removing->epoch);
  story.removing.reset();
  co_return Result<void>{};
}

Task<Result<void>> go_back(Story& story) {
  story.restoring = story.taken.back();
  CO_TRY(done, co_await story.rig.shard->rollback(1, story.restoring->epoch));
  story.rig.books.objects = story.restoring->objects;
  story.restoring.reset();
  co_return Result<void>{};
}

Task<Result<void>> run_story(Story& story, uint64_t steps) {
  Rig& rig = story.rig;
  SeededRandom& random = rig.generator.random();
  for (uint64_t i = 0; i < steps; ++i) {
    const uint64_t dice = random.below(12);
    if (dice < 2) {
      CO_TRY(done, co_await take(story));
    } else if (dice == 2 && !story.taken.empty()) {
      CO_TRY(done, co_await give_up(story, random.below(story.taken.size())));
    } else if (dice == 3 && !story.taken.empty()) {
      CO_TRY(done, co_await go_back(story));
    } else if (dice == 4) {
      CO_TRY(done, co_await rig.shard->checkpoint());
    } else {
      CO_TRY(done, co_await run_one(*rig.shard, rig.generator.paths(), rig.books,
                                    rig.generator.next()));
    }
  }
  co_return Result<void>{};
}

std::string differs(Story& story, model::Epoch epoch, const std::vector<Object>& objects) {
  for (size_t i = 0; i < objects.size(); ++i) {
    const auto verdict = story.rig.world.run(verify_object(
        Reader(*story.rig.shard, epoch), story.rig.generator.paths()[i], objects[i], 7));
    CHECK(verdict.has_value());
    if (!*verdict) return "error: " + std::string(verdict->error().what());
    if (!(*verdict)->empty()) return "object " + std::to_string(i) + ": " + **verdict;
  }
  return {};
}

/// The step whose answer never came was done or not.
void settle(Story& story) {
  const std::vector<model::Epoch> there = story.rig.shard->snapshots(1);
  const auto has = [&](const std::optional<Moment>& m) {
    return m && std::find(there.begin(), there.end(), m->epoch) != there.end();
  };
  if (has(story.adding)) story.taken.push_back(*story.adding);
  if (story.removing && !has(story.removing)) story.drop(story.removing->epoch);
  if (story.restoring) {
    const std::string after = differs(story, model::kEpochMax, story.restoring->objects);
    if (after.empty()) {
      story.rig.books.objects = story.restoring->objects;
    } else {
      ASSERT_EQ(differs(story, model::kEpochMax, story.rig.books.objects), "")
          << "a rollback is neither done (" << after << ") nor absent";
    }
  }
  story.adding.reset();
  story.removing.reset();
  story.restoring.reset();
  ASSERT_NO_FATAL_FAILURE(story.rig.settle_flights());
}

void expect_recovered(Story& story) {
  const auto opened = story.rig.start(false);
  ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
  ASSERT_NO_FATAL_FAILURE(settle(story));
  ASSERT_NO_FATAL_FAILURE(story.rig.expect_same());
  std::vector<model::Epoch> want;
  for (const Moment& m : story.taken) want.push_back(m.epoch);
  ASSERT_EQ(story.rig.shard->snapshots(1), want);
  for (const Moment& m : story.taken) {
    ASSERT_EQ(differs(story, m.epoch, m.objects), "") << "snapshot " << m.epoch;
  }
  ASSERT_NO_FATAL_FAILURE(story.rig.expect_clean());
}

void expect_cuts_are_survived(uint64_t seed, const Breadth& breadth, int eras) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rig rig(seed, breadth, {.wal = 1u << 20, .data = 32u << 20});
  rig.options.store.evict_always = seed % 3 == 0;
  Story story(rig);
  ASSERT_TRUE(*rig.start(true));
  for (int era = 0; era < eras; ++era) {
    SCOPED_TRACE("era " + std::to_string(era));
    rig.world.cut_power_at(1 + rig.world.random().below(120));
    const auto ran = rig.world.run(run_story(story, 60));
    if (ran) {
      ASSERT_TRUE(ran->has_value()) << ran->error().what() << " " << rig.shown_usage();
    }
    rig.next_era();
    if (era % 3 == 0) {
      // And again while it recovers, or works in the background on what it found.
      rig.world.cut_power_at(1 + rig.world.random().below(30));
      const auto opened = rig.start(false);
      if (opened) rig.world.run_for(kMillisecond);
      rig.next_era();
    }
    ASSERT_NO_FATAL_FAILURE(expect_recovered(story));
    while (story.taken.size() > 5) {
      const auto gone = rig.world.run(give_up(story, 0));
      ASSERT_TRUE(gone && gone->has_value());
    }
  }
}

TEST(SnapshotPower, Cuts_while_values_end_and_snapshots_come_and_go_lose_nothing) {
  for (uint64_t seed = test_seed(); seed < test_seed() + 3; ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_cuts_are_survived(
        seed, {.dkeys = 2, .akeys = 2, .value_bytes_max = 40'000, .punch_percent = 20}, 25));
  }
}

TEST(SnapshotPower, Cuts_while_large_punches_move_their_records_lose_nothing) {
  for (uint64_t seed = test_seed(); seed < test_seed() + 3; ++seed) {
    ASSERT_NO_FATAL_FAILURE(expect_cuts_are_survived(seed,
                                                     {.types = {0, 5},
                                                      .dkeys = 2,
                                                      .akeys = 7,
                                                      .value_bytes_max = 9'000,
                                                      .long_keys = true,
                                                      .punch_percent = 30,
                                                      .scatter_percent = 60},
                                                     25));
  }
}

}  // namespace
}  // namespace cairn::vos::testing
