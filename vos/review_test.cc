// Small tests of single rules that were once broken: each names what was lost or wrong.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "runtime/parallel.h"
#include "sim/world.h"
#include "vos/shard.h"

namespace cairn::vos {
namespace {

using model::ValueType;

Bytes filled(size_t bytes, char with) { return Bytes(bytes, static_cast<std::byte>(with)); }

/// An update of one akey that owns its buffer.
struct Write {
  std::string dkey = "d";
  std::string akey = "a";
  uint64_t at = 0;
  Bytes records;
  bool single = false;
  Origin origin;
};

Task<Result<model::Epoch>> write(Shard& shard, ObjectPath object, Write w) {
  UpdateRequest r{.object = object, .dkey = as_bytes(w.dkey), .origin = w.origin};
  model::Iod iod{};
  iod.akey = as_bytes(w.akey);
  iod.type = w.single ? ValueType::single : ValueType::array;
  iod.record_bytes = w.single ? w.records.size() : 1;
  if (!w.single) iod.recxs = {{w.at, w.records.size()}};
  iod.buffer = {{w.records.data(), w.records.size()}};
  r.iods.push_back(iod);
  co_return co_await shard.update(r);
}

Task<Result<Bytes>> read(Shard& shard, ObjectPath object, std::string dkey, std::string akey,
                         uint64_t bytes) {
  Bytes out = filled(bytes, '.');
  FetchRequest r{.object = object, .dkey = as_bytes(dkey)};
  model::Iod iod{};
  iod.akey = as_bytes(akey);
  iod.type = ValueType::array;
  iod.record_bytes = 1;
  iod.recxs = {{0, bytes}};
  iod.buffer = {{out.data(), out.size()}};
  r.iods.push_back(iod);
  CO_TRY(fetched, co_await shard.fetch(r));
  co_return out;
}

Task<Result<model::Epoch>> punch(Shard& shard, ObjectPath object, std::string dkey,
                                 Origin origin = {}) {
  PunchRequest r{.object = object,
                 .level = dkey.empty() ? PunchRequest::Level::object : PunchRequest::Level::dkey,
                 .dkey = as_bytes(dkey),
                 .origin = origin};
  co_return co_await shard.punch(r);
}

template <class T>
Task<void> note(Task<T> task, std::optional<T>& result) {
  result.emplace(co_await std::move(task));
}

class Review : public ::testing::Test {
 protected:
  void make(uint64_t wal, uint64_t meta, uint64_t data) {
    world_ = std::make_unique<sim::World>(7);
    devices_ = {&world_->add_disk("wal", wal), &world_->add_disk("meta", meta),
                &world_->add_disk("data", data)};
    auto shard = world_->run(Shard::create(world_->reactor(), devices_, {}, options_));
    ASSERT_TRUE(shard && shard->has_value());
    shard_ = std::move(**shard);
  }
  /// The process ends; what was flushed or not stays by the disk's dice.
  void restart() {
    world_->end_era();
    shard_.reset();
    world_->begin_era();
    auto shard = world_->run(Shard::open(world_->reactor(), devices_, {}, options_));
    ASSERT_TRUE(shard && shard->has_value()) << shard->error().what();
    shard_ = std::move(**shard);
  }
  void TearDown() override {
    if (world_ == nullptr) return;
    world_->end_era();
    shard_.reset();
  }
  template <class T>
  T run(Task<T> task) {
    return *world_->run(std::move(task));
  }

  static constexpr ObjectPath object(uint64_t lo = 1) {
    return {1, {lo, 0x0001'0001'0000'0000}, 0};
  }

  ShardOptions options_;
  std::unique_ptr<sim::World> world_;
  index::StoreDevices devices_;
  std::unique_ptr<Shard> shard_;
};

TEST_F(Review, An_overwrite_inside_a_block_that_is_still_being_written_waits_for_it) {
  // Goal: an update that splits a block of another update, whose data is not on the medium yet,
  // gets that block's bytes and not an error. Method: both start in the same turn, many times.
  make(8u << 20, 16u << 20, 16u << 20);
  for (int round = 0; round < 20; ++round) {
    const ObjectPath o = object(static_cast<uint64_t>(round) + 1);
    std::optional<Result<model::Epoch>> first, second;
    world_->reactor().spawn(note(write(*shard_, o, {.records = filled(20'000, 'a')}), first));
    world_->reactor().spawn(
        note(write(*shard_, o, {.at = 5'000, .records = filled(10, 'b')}), second));
    world_->run_for(kSecond);
    ASSERT_TRUE(first && second);
    ASSERT_TRUE(first->has_value()) << first->error().what();
    ASSERT_TRUE(second->has_value()) << second->error().what();
    auto back = run(read(*shard_, o, "d", "a", 20'000));
    ASSERT_TRUE(back) << back.error().what();
    Bytes wanted = filled(20'000, 'a');
    std::memset(wanted.data() + 5'000, 'b', 10);
    EXPECT_EQ(*back == wanted, true);
  }
}

TEST_F(Review, An_update_of_very_many_akeys_is_done_or_refused) {
  // Goal: a valid call of many pieces never ends the process. Method: 8,000 akeys at once, first
  // on an empty shard.
  make(64u << 20, 64u << 20, 16u << 20);
  for (const size_t count : {1'000u, 8'000u}) {
    Bytes value = filled(8, 'v');
    std::vector<std::string> akeys;
    for (size_t i = 0; i < count; ++i) akeys.push_back("akey" + std::to_string(i));
    UpdateRequest r{.object = object(count), .dkey = as_bytes("d")};
    for (const std::string& akey : akeys) {
      r.iods.push_back({as_bytes(akey), ValueType::single, 8, 0, {}, {{value.data(), 8}}, false});
    }
    auto done = run(shard_->update(r));
    if (!done) {
      EXPECT_TRUE(done.error().code() == Errc::no_space || done.error().code() == Errc::no_memory);
    }
    // What was written in smaller calls is punched in one.
    PunchRequest p{.object = object(count), .level = PunchRequest::Level::akeys};
    p.dkey = as_bytes("d");
    for (size_t at = 0; at < count; at += 500) {
      UpdateRequest part{.object = object(count), .dkey = as_bytes("d")};
      for (size_t i = at; i < std::min(count, at + 500); ++i) part.iods.push_back(r.iods[i]);
      auto partly = run(shard_->update(part));
      ASSERT_TRUE(partly) << partly.error().what();
    }
    for (const std::string& akey : akeys) p.akeys.push_back(as_bytes(akey));
    auto punched = run(shard_->punch(p));
    if (!punched) {
      EXPECT_TRUE(punched.error().code() == Errc::no_space ||
                  punched.error().code() == Errc::no_memory)
          << punched.error().what();
    }
  }
  auto closed = run(shard_->close());
  EXPECT_TRUE(closed);
}

TEST_F(Review, An_update_done_while_a_checkpoint_saves_the_sessions_is_not_done_twice) {
  // Goal: exactly once (rule 13) across a checkpoint and a restart. Method: updates of two sessions
  // run while checkpoints save the table, whose pages have to be loaded first; after a restart each
  // resend must get the epoch of the first execution.
  options_.store.evict_always = true;
  make(8u << 20, 16u << 20, 16u << 20);
  uint64_t sequence = 0;
  std::vector<std::pair<Origin, model::Epoch>> done;
  for (int round = 0; round < 30; ++round) {
    shard_->open_session(1);
    shard_->open_session(2);
    std::vector<std::optional<Result<model::Epoch>>> results(12);
    std::vector<Origin> origins;
    std::optional<Result<void>> checkpoint;
    for (size_t i = 0; i < results.size(); ++i) {
      if (i == results.size() / 2) {
        world_->reactor().spawn(note(shard_->checkpoint(), checkpoint));
      }
      origins.push_back({.session = 1 + i % 2, .sequence = ++sequence});
      world_->reactor().spawn(note(
          write(*shard_, object(i), {.records = filled(10, 'a'), .origin = origins.back()}),
          results[i]));
      world_->run_for(world_->random().below(100) * kMicrosecond);
    }
    world_->run_for(kSecond);
    ASSERT_TRUE(checkpoint && checkpoint->has_value());
    for (size_t i = 0; i < results.size(); ++i) {
      ASSERT_TRUE(results[i] && results[i]->has_value());
      done.emplace_back(origins[i], **results[i]);
    }
    restart();
    for (const auto& [origin, epoch] : done) {
      auto again = run(write(*shard_, object(), {.records = filled(10, 'a'), .origin = origin}));
      ASSERT_TRUE(again) << again.error().what();
      ASSERT_EQ(*again, epoch) << "round " << round << ": done twice";
    }
  }
}

TEST_F(Review, An_update_in_the_log_is_not_done_twice_when_the_saved_sessions_fill_the_memory) {
  // Goal: exactly once (rule 13) when a shard is opened with less memory than its sessions need:
  // those of the log are known whole, and others are forgotten. Method: a checkpoint saves 3,000
  // sessions, a few of them go on; 2,048 updates may be kept after the restart.
  make(8u << 20, 16u << 20, 16u << 20);
  const auto update = [&](Origin origin) {
    return run(write(*shard_, object(), {.records = filled(10, 'a'), .origin = origin}));
  };
  for (uint64_t session = 1; session <= 3'000; ++session) {
    shard_->open_session(session);
    ASSERT_TRUE(update({session, 1, 0}));
  }
  ASSERT_TRUE(run(shard_->checkpoint()));
  std::vector<std::pair<Origin, model::Epoch>> done;
  for (uint64_t session = 2'900; session < 2'910; ++session) {
    const Origin origin{session, 2, 0};
    const auto epoch = update(origin);
    ASSERT_TRUE(epoch);
    done.emplace_back(origin, *epoch);
  }
  options_.store.memory_bytes = 4u << 20;
  restart();
  for (const auto& [origin, epoch] : done) {
    const auto again = update(origin);
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_EQ(*again, epoch) << "session " << origin.session << ": done twice";
    EXPECT_TRUE(update({origin.session, 1, 0}));
  }
  const auto forgotten = update({1, 1, 0});
  ASSERT_FALSE(forgotten);
  EXPECT_EQ(forgotten.error().code(), Errc::unknown);
}

TEST_F(Review, An_update_of_a_session_that_acknowledges_too_little_is_refused_and_runs_later) {
  // Goal: such an update was not done, and its client learns that it can send it again. Method: a
  // shard that keeps 2,048 updates, as many of one session, and one more; a resend acknowledges.
  options_.store.memory_bytes = 4u << 20;
  make(8u << 20, 16u << 20, 16u << 20);
  shard_->open_session(1);
  const auto update = [&](uint64_t sequence, uint64_t acknowledged_below, char with) {
    return run(write(*shard_, object(),
                     {.records = filled(10, with), .origin = {1, sequence, acknowledged_below}}));
  };
  for (uint64_t sequence = 1; sequence <= 2'048; ++sequence) {
    const auto done = update(sequence, 0, 'a');
    ASSERT_TRUE(done) << sequence << ": " << done.error().what();
  }
  const auto refused = update(2'049, 0, 'b');
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::overload);
  EXPECT_EQ(*run(read(*shard_, object(), "d", "a", 10)), filled(10, 'a'));
  EXPECT_TRUE(update(1, 0, 'c'));  // all are still known
  EXPECT_TRUE(update(2'049, 2, 'b'));
  EXPECT_EQ(*run(read(*shard_, object(), "d", "a", 10)), filled(10, 'b'));
}

TEST_F(Review, A_shard_whose_metadata_is_full_takes_punches_and_gives_space_back) {
  // Goal: removals work on a full shard, with sessions to save, and it takes updates afterwards.
  // Method: a small meta blob is filled with values of nearly a block; then everything is punched.
  options_.store.memory_bytes = 4u << 20;
  make(4u << 20, 4u << 20, 16u << 20);
  for (uint64_t session = 1; session <= 40; ++session) shard_->open_session(session);
  uint64_t sequence = 0;
  const auto origin = [&] {
    ++sequence;
    return Origin{1 + sequence % 40, sequence, 0};
  };
  size_t count = 0;
  for (;; ++count) {
    ASSERT_LT(count, 5'000u);
    auto done = run(write(*shard_, object(), {.dkey = "dkey" + std::to_string(count),
                                              .records = filled(4'000, 'x'), .origin = origin()}));
    if (done) continue;
    ASSERT_EQ(done.error().code(), Errc::no_space) << done.error().what();
    break;
  }
  for (size_t i = 0; i < count; ++i) {
    // Far apart, so that each touches a leaf of its own.
    const size_t n = i * 97 % count;
    auto done = run(punch(*shard_, object(), "dkey" + std::to_string(n), origin()));
    ASSERT_TRUE(done) << i << " of " << count << ": " << done.error().what();
  }
  auto done = run(write(*shard_, object(), {.records = filled(4'000, 'y'), .origin = origin()}));
  ASSERT_TRUE(done) << done.error().what();
  auto closed = run(shard_->close());
  EXPECT_TRUE(closed) << closed.error().what();
}

TEST_F(Review, A_full_shard_can_destroy_a_container_and_reclaim_a_big_punch) {
  // Goal: the slices of the removal fit what a full meta blob keeps back, and the memory that the
  // maps of data blobs of several sizes leave.
  for (uint64_t round = 0; round < 10; ++round) {
    SCOPED_TRACE(round);
    const bool destroy = round == 0;
    options_.store.memory_bytes = 4u << 20;
    make(4u << 20, 4u << 20, round < 2 ? 16u << 20 : (1400u + round * 64) << 20);
    for (size_t count = 0;; ++count) {
      ASSERT_LT(count, 5'000u);
      auto done = run(write(*shard_, object(), {.dkey = "dkey" + std::to_string(count),
                                                .records = filled(4'000, 'x')}));
      if (done) continue;
      ASSERT_EQ(done.error().code(), Errc::no_space) << done.error().what();
      break;
    }
    if (destroy) {
      auto done = run(shard_->destroy_container(1));
      ASSERT_TRUE(done) << done.error().what();
    } else {
      auto done = run(punch(*shard_, object(), ""));
      ASSERT_TRUE(done) << done.error().what();
      std::optional<bool> over;
      struct Wait {
        static Task<void> for_it(Shard& shard, std::optional<bool>& over) {
          co_await shard.reclaimed();
          over = true;
        }
      };
      world_->reactor().spawn(Wait::for_it(*shard_, over));
      world_->run_for(100 * kSecond);
      ASSERT_TRUE(over);
    }
    auto checkpointed = run(shard_->checkpoint());
    ASSERT_TRUE(checkpointed) << checkpointed.error().what();
    EXPECT_LT(shard_->usage().meta_used, 200u << 10);
    TearDown();
    world_ = nullptr;
  }
}

TEST_F(Review, Space_that_was_just_freed_is_there_for_the_next_update) {
  // Goal: no_space only where there is none. Method: a value of more than half of the data blob is
  // punched and written again, over and over.
  make(4u << 20, 16u << 20, 8u << 20);
  for (int round = 0; round < 10; ++round) {
    auto done = run(write(*shard_, object(), {.records = filled(5u << 20, 'x')}));
    ASSERT_TRUE(done) << round << ": " << done.error().what();
    auto gone = run(punch(*shard_, object(), "d"));
    ASSERT_TRUE(gone) << gone.error().what();
  }
}

TEST_F(Review, A_write_into_scattered_free_blocks_succeeds) {
  // Goal: no_space only where there is none. Method: the data blob is filled block by block, every
  // other block is freed, then a megabyte is written.
  make(16u << 20, 32u << 20, 8u << 20);
  size_t count = 0;
  for (;; ++count) {
    auto done = run(write(*shard_, object(), {.dkey = "dkey" + std::to_string(count),
                                              .records = filled(4'096, 'x')}));
    if (!done) break;
  }
  ASSERT_GT(count, 1'000u);
  for (size_t i = 0; i < count; i += 2) {
    ASSERT_TRUE(run(punch(*shard_, object(), "dkey" + std::to_string(i))));
  }
  auto done = run(write(*shard_, object(2), {.records = filled(1u << 20, 'y')}));
  ASSERT_TRUE(done) << done.error().what();
  auto back = run(read(*shard_, object(2), "d", "a", 1u << 20));
  ASSERT_TRUE(back) << back.error().what();
  EXPECT_EQ(*back == filled(1u << 20, 'y'), true);
}

}  // namespace
}  // namespace cairn::vos
