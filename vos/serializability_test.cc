// Serializability: several clients whose transactions interleave at every wait of one shard. Each
// committed transaction has an epoch; done one by one in the order of the epochs, each must have
// read exactly what it did read.
#include <gtest/gtest.h>

#include "model/hlc.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

constexpr size_t kKeys = 6;

struct Name {
  std::string dkey, akey;
};
/// Three dkeys of two akeys each.
Name name_of(size_t key) { return {"d" + std::to_string(key / 2), "a" + std::to_string(key % 2)}; }

/// What one committed transaction did.
struct Done {
  model::Epoch epoch = 0;
  std::map<size_t, std::string> reads;   // empty: absent
  std::vector<size_t> counts;            // results of listings of dkeys
  std::map<size_t, std::string> writes;  // empty: punched
  std::string shown() const {
    std::string out = "epoch " + std::to_string(epoch) + ":";
    for (const auto& [key, value] : reads) out += " r" + std::to_string(key) + "=" + value;
    for (const size_t count : counts) out += " list=" + std::to_string(count);
    for (const auto& [key, value] : writes) out += " w" + std::to_string(key) + "=" + value;
    return out;
  }
};

struct Stats {
  uint64_t committed = 0, aborted = 0, restarts = 0, in_progress = 0;
};

struct Arena {
  Arena(uint64_t seed, Rig& r) : rig(r), random(seed) {}
  Rig& rig;
  SeededRandom random;
  std::vector<Done> history;
  std::map<TxId, Done> prepared;  // whose outcome is decided after a restart
  Stats stats;
  uint64_t values = 0;
  uint64_t ids = 0;
  const ObjectPath& object() const { return rig.generator.paths()[0]; }
};

bool is_conflict(Arena& arena, const Error& error) {
  arena.stats.restarts += error.code() == Errc::tx_restart ? 1 : 0;
  arena.stats.in_progress += error.code() == Errc::in_progress ? 1 : 0;
  return error.code() == Errc::tx_restart || error.code() == Errc::in_progress;
}

/// Reads a few things; false: a conflict, begin anew.
Task<Result<bool>> read_some(Arena& arena, Done& done, TxBuilder& tx) {
  model::Epoch epoch = 0;
  Shard& shard = *arena.rig.shard;
  for (uint64_t n = arena.random.below(4); n > 0; --n) {
    if (arena.random.below(6) == 0) {
      model::ListRequest request{.count_max = 100, .bytes_max = 1000, .transactional = true};
      auto listed = co_await shard.list(arena.object(), request, epoch);
      if (!listed && is_conflict(arena, listed.error())) co_return false;
      if (!listed) co_return fail(listed.error());
      epoch = listed->epoch;
      done.counts.push_back(listed->lengths.size());
      tx.read(arena.object(), TxRead::Level::object, epoch);
      continue;
    }
    const size_t key = arena.random.below(kKeys);
    const Name name = name_of(key);
    auto value = co_await read_single(shard, arena.object(), name.dkey, name.akey, &epoch);
    if (!value && is_conflict(arena, value.error())) co_return false;
    if (!value) co_return fail(value.error());
    done.reads[key] = *value;
    tx.read(arena.object(), TxRead::Level::akey, epoch, name.dkey, name.akey);
  }
  co_return true;
}

void write_some(Arena& arena, Done& done, TxBuilder& tx) {
  for (uint64_t n = arena.random.below(3); n > 0 || done.writes.empty(); n -= n > 0 ? 1 : 0) {
    const size_t key = arena.random.below(kKeys);
    const Name name = name_of(key);
    const uint64_t dice = arena.random.below(8);
    if (dice == 0) {
      tx.punch(arena.object(), Level::dkey, name.dkey);
      done.writes[key / 2 * 2] = done.writes[key / 2 * 2 + 1] = "";
    } else if (dice == 1) {
      tx.punch(arena.object(), Level::akeys, name.dkey, name.akey);
      done.writes[key] = "";
    } else {
      std::string value = "v" + std::to_string(++arena.values);
      if (arena.random.below(4) == 0) value += std::string(6'000, 'x');
      tx.put(arena.object(), name.dkey, name.akey, value);
      done.writes[key] = value;
    }
    if (arena.random.below(8) == 0) break;
  }
}

Task<Result<void>> decide_elsewhere(Arena& arena, Done done, TxBuilder& tx, bool leave) {
  Shard& shard = *arena.rig.shard;
  const TxId id{1, ++arena.ids};
  // The epoch that another shard would have chosen: a little ahead or behind.
  if (arena.random.below(2) == 0) {
    const model::Epoch now = model::epoch_of_wall_ns(arena.rig.world.reactor().clock().wall_ns());
    tx.request.epoch =
        now + arena.random.below(uint64_t{2'000'000} << 4) - (uint64_t{1'000'000} << 4);
  }
  const auto ready = co_await shard.prepare(id, tx.request);
  if (!ready && is_conflict(arena, ready.error())) co_return Result<void>{};
  if (!ready) co_return fail(ready.error());
  CHECK(ready->status == Errc::ok);
  done.epoch = ready->epoch;
  if (leave) {
    arena.prepared[id] = done;
    co_return Result<void>{};
  }
  for (uint64_t n = arena.random.below(4); n > 0; --n) co_await arena.rig.world.reactor().yield();
  if (arena.random.below(4) == 0) {
    ++arena.stats.aborted;
    co_return co_await shard.abort(id);
  }
  CO_TRY(committed, co_await shard.commit(id));
  ++arena.stats.committed;
  arena.history.push_back(done);
  co_return Result<void>{};
}

Task<Result<void>> client(Arena& arena, uint64_t count) {
  for (; count > 0; --count) {
    TxBuilder tx;
    Done done;
    CO_TRY(read, co_await read_some(arena, done, tx));
    if (!read) continue;
    if (arena.random.below(8) != 0) write_some(arena, done, tx);
    const uint64_t dice = arena.random.below(10);
    if (dice < 4) {
      CO_TRY(decided, co_await decide_elsewhere(arena, done, tx, count == 1 && dice == 0));
      continue;
    }
    const auto answer = co_await arena.rig.shard->transact(tx.request);
    if (!answer && is_conflict(arena, answer.error())) continue;
    if (!answer) co_return fail(answer.error());
    CHECK(answer->status == Errc::ok);
    done.epoch = answer->epoch;
    ++arena.stats.committed;
    arena.history.push_back(done);
  }
  co_return Result<void>{};
}

/// Plain updates between the transactions.
Task<Result<void>> plain_writer(Arena& arena, uint64_t count) {
  for (; count > 0; --count) {
    const size_t key = arena.random.below(kKeys);
    const Name name = name_of(key);
    const std::string value = "p" + std::to_string(++arena.values);
    const auto epoch =
        co_await put_single(*arena.rig.shard, arena.object(), name.dkey, name.akey, value);
    if (!epoch && is_conflict(arena, epoch.error())) continue;
    if (!epoch) co_return fail(epoch.error());
    arena.history.push_back({*epoch, {}, {}, {{key, value}}});
  }
  co_return Result<void>{};
}

Task<Result<void>> run_clients(Arena& arena) {
  std::vector<Task<Result<void>>> tasks;
  for (int i = 0; i < 5; ++i) tasks.push_back(client(arena, 30));
  tasks.push_back(plain_writer(arena, 30));
  co_return co_await run_all(arena.rig.world.reactor(), std::move(tasks), 6);
}

Task<Result<void>> resolve_left(Arena& arena) {
  for (const auto& [id, done] : arena.prepared) {
    if (arena.random.below(2) == 0) {
      CO_TRY(aborted, co_await arena.rig.shard->abort(id));
      continue;
    }
    CO_TRY(committed, co_await arena.rig.shard->commit(id));
    arena.history.push_back(done);
  }
  arena.prepared.clear();
  co_return Result<void>{};
}

/// One after another in the order of their epochs.
void expect_serial(Arena& arena) {
  auto& history = arena.history;
  std::sort(history.begin(), history.end(),
            [](const Done& a, const Done& b) { return a.epoch < b.epoch; });
  std::map<size_t, std::string> state;
  model::Epoch last = 0;
  std::string so_far;
  for (const Done& done : history) {
    so_far += done.shown() + "\n";
    ASSERT_GT(done.epoch, last) << "two have one epoch\n" << so_far;
    last = done.epoch;
    for (const auto& [key, value] : done.reads) {
      const auto there = state.find(key);
      ASSERT_EQ(value, there == state.end() ? "" : there->second) << "key " << key << "\n"
                                                                  << so_far;
    }
    std::set<size_t> dkeys;
    for (const auto& [key, value] : state) dkeys.insert(key / 2);
    for (const size_t count : done.counts) ASSERT_EQ(count, dkeys.size()) << so_far;
    for (const auto& [key, value] : done.writes) {
      if (value.empty()) {
        state.erase(key);
      } else {
        state[key] = value;
      }
    }
  }
  for (size_t key = 0; key < kKeys; ++key) {
    const Name name = name_of(key);
    const auto value =
        arena.rig.world.run(read_single(*arena.rig.shard, arena.object(), name.dkey, name.akey));
    ASSERT_TRUE(value && value->has_value());
    ASSERT_EQ(**value, state.contains(key) ? state[key] : "") << so_far;
  }
}

TEST(Serializability, Transactions_of_several_clients_have_a_serial_order) {
  // Goal: no cycle, by exhibiting the order. Method: seeds; clients that read, write, list, punch,
  // decide here or elsewhere, abort; restarts with transactions whose outcome is open.
  const uint64_t seconds = env_number("CAIRN_TEST_SECONDS", 20);
  const Instant end = system_clock().now() + seconds * kSecond;
  uint64_t seed = test_seed();
  Stats sum;
  do {
    SCOPED_TRACE("CAIRN_TEST_SEED " + std::to_string(seed));
    Rig rig(seed, {}, {.wal = 4u << 20});
    rig.options.store.evict_always = seed % 3 == 0;
    ASSERT_TRUE(rig.start(true)->has_value());
    Arena arena(seed * 31 + 7, rig);
    for (int era = 0; era < 4; ++era) {
      const auto ran = rig.world.run(run_clients(arena));
      ASSERT_TRUE(ran && ran->has_value()) << ran->error().what();
      ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
      if (era % 2 == 0) {
        ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
      } else {
        rig.next_era();
      }
      ASSERT_TRUE(rig.start(false)->has_value());
      ASSERT_EQ(rig.shard->unresolved().size(), arena.prepared.size());
      const auto resolved = rig.world.run(resolve_left(arena));
      ASSERT_TRUE(resolved && resolved->has_value()) << resolved->error().what();
      ASSERT_NO_FATAL_FAILURE(expect_serial(arena));
    }
    ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
    sum.committed += arena.stats.committed;
    sum.aborted += arena.stats.aborted;
    sum.restarts += arena.stats.restarts;
    sum.in_progress += arena.stats.in_progress;
    ++seed;
  } while (system_clock().now() < end);
  std::printf(
      "CAIRN_TEST_SEED %llu to %llu: %llu committed, %llu aborted, %llu restarts, "
      "%llu in progress\n",
      static_cast<unsigned long long>(test_seed()), static_cast<unsigned long long>(seed - 1),
      static_cast<unsigned long long>(sum.committed), static_cast<unsigned long long>(sum.aborted),
      static_cast<unsigned long long>(sum.restarts),
      static_cast<unsigned long long>(sum.in_progress));
  EXPECT_GT(sum.committed, sum.restarts / 4);
  EXPECT_GT(sum.restarts, 0u);
  EXPECT_GT(sum.aborted, 0u);
}

}  // namespace
}  // namespace cairn::vos::testing
