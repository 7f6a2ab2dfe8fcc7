// Random operations with snapshots, older epochs, differences and rollbacks against the naive
// model, which keeps a copy of everything for each snapshot. What is judged: every answer at every
// snapshot, refusals of other epochs, and after each restart (orderly or not) the whole content of
// all snapshots and the offline check. CAIRN_TEST_SEED and CAIRN_TEST_SECONDS as in model_test.
#include <gtest/gtest.h>

#include <cstdio>

#include "runtime/clock.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

/// Content that must stay readable.
struct Moment {
  ContNumber container = 0;
  model::Epoch epoch = 0;
  std::vector<Object> objects;
};

struct Life {
  Life(uint64_t seed, Breadth breadth, bool evict)
      : rig(seed, std::move(breadth), {.wal = 2u << 20, .meta = 64u << 20, .data = 96u << 20}) {
    rig.options.store.evict_always = evict;
    rig.world.power().delay_max = 20 * kMicrosecond;
  }
  SeededRandom& random() { return rig.generator.random(); }
  const ObjectPath& path(size_t object) const { return rig.generator.paths()[object]; }
  size_t any_object() { return random().below(rig.generator.paths().size()); }
  ContNumber any_container() {
    return 1 + static_cast<ContNumber>(random().below(rig.generator.breadth().containers));
  }
  void wrong(const std::string& what) { rig.books.wrong.push_back(what); }

  Rig rig;
  std::vector<Moment> taken;
  std::vector<Moment> moments;  // epochs that are no snapshots
  uint64_t verified = 0, restarted = 0, older_read = 0, rolled_back = 0, differences = 0;
  uint64_t flattened = 0, straddled = 0;
};

Task<Result<void>> verify_at(Life& life, const Moment& m, size_t object, bool may_restart) {
  const auto verdict = co_await verify_object(Reader(*life.rig.shard, m.epoch), life.path(object),
                                              m.objects[object], 5);
  if (!verdict) {
    if (may_restart && verdict.error().code() == Errc::tx_restart) {
      ++life.restarted;
      co_return Result<void>{};
    }
    co_return fail(verdict.error());
  }
  ++(may_restart ? life.older_read : life.verified);
  if (!verdict->empty()) {
    life.wrong("object " + std::to_string(object) + " at epoch " + std::to_string(m.epoch) +
               (may_restart ? " (no snapshot): " : ": ") + *verdict);
  }
  co_return Result<void>{};
}

// ---- steps ----

Task<Result<void>> take(Life& life, Moment& m) {
  CO_TRY(answered, co_await life.rig.shard->freeze_container(m.container));
  // Others get epochs meanwhile; writes of this container wait.
  co_await life.rig.world.reactor().sleep(life.random().below(200) * kMicrosecond);
  m.epoch = answered + 1 + life.random().below(1000);
  co_return co_await life.rig.shard->add_snapshot(m.container, m.epoch);
}

/// One operation that tells its epoch to the snapshot that is taken beside it.
struct Beside {
  Moment* moment = nullptr;
  std::vector<std::pair<model::Epoch, Op>> done;
};

Task<Result<void>> run_beside(Life& life, Beside& beside, Op op) {
  const auto epoch = co_await execute(*life.rig.shard, life.path(op.object), op);
  if (!epoch) {
    Object now = life.rig.books.objects[op.object];
    if (apply_op(now, op).count(epoch.error().code()) == 0) co_return fail(epoch.error());
    co_return Result<void>{};
  }
  if (!apply_op(life.rig.books.objects[op.object], op).empty()) life.wrong("done: " + shown(op));
  life.rig.books.newest = std::max(life.rig.books.newest, *epoch);
  beside.done.emplace_back(*epoch, std::move(op));
  co_return Result<void>{};
}

/// Some objects, maybe while they are written: nothing that anybody reads changes.
Task<Result<void>> flatten_some(Life& life) {
  std::vector<ObjectPath> paths;
  for (const ObjectPath& path : life.rig.generator.paths()) {
    if (life.random().below(2) == 0) paths.push_back(path);
  }
  FlattenOptions options;
  if (life.random().below(3) == 0) options.inline_bytes_max = life.random().below(20'000);
  if (life.random().below(4) == 0) options.keys_max = 1;  // values are packed instead
  options.compress = life.random().below(2) == 0;
  CO_TRY(done, co_await life.rig.shard->flatten(paths, options));
  if (life.random().below(4) == 0) {
    CO_TRY(cleaned, co_await life.rig.shard->clean_flat(life.any_container()));
  }
  for (const Flattened& f : done) {
    life.flattened += f.outcome == FlattenOutcome::flattened ? 1 : 0;
    life.straddled += f.outcome == FlattenOutcome::snapshot ? 1 : 0;
  }
  co_return Result<void>{};
}

/// Several operations at once, readers of snapshots beside them, and maybe a snapshot.
Task<Result<void>> window(Life& life, bool snapshot) {
  Rig& rig = life.rig;
  Beside beside;
  Moment moment{life.any_container(), 0, rig.books.objects};
  std::vector<Task<Result<void>>> tasks;
  std::vector<Op> ops = next_window(rig.generator, 1 + life.random().below(5));
  for (Op& op : ops) tasks.push_back(run_beside(life, beside, std::move(op)));
  if (snapshot) {
    tasks.insert(tasks.begin() + static_cast<ptrdiff_t>(life.random().below(tasks.size() + 1)),
                 take(life, moment));
  }
  if (!life.taken.empty() && life.random().below(3) == 0) {
    const Moment& m = life.taken[life.random().below(life.taken.size())];
    const size_t object = life.any_object();
    if (life.path(object).container == m.container) {
      tasks.push_back(verify_at(life, m, object, false));
    }
  }
  if (life.random().below(40) == 0) tasks.push_back(rig.shard->checkpoint());
  if (life.random().below(20) == 0) tasks.push_back(flatten_some(life));
  CO_TRY(ran, co_await run_all(rig.world.reactor(), std::move(tasks), 8));
  if (!snapshot) co_return Result<void>{};
  std::sort(beside.done.begin(), beside.done.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [epoch, op] : beside.done) {
    if (life.path(op.object).container != moment.container) continue;
    if (epoch == moment.epoch) life.wrong("a write has a snapshot's epoch");
    if (epoch < moment.epoch) (void)apply_op(moment.objects[op.object], op);
  }
  life.taken.push_back(std::move(moment));
  co_return Result<void>{};
}

Task<Result<void>> remove_one(Life& life) {
  if (life.taken.empty()) co_return Result<void>{};
  const size_t at = life.random().below(life.taken.size());
  const Moment m = std::move(life.taken[at]);
  life.taken.erase(life.taken.begin() + static_cast<ptrdiff_t>(at));
  CO_TRY(removed, co_await life.rig.shard->remove_snapshot(m.container, m.epoch));
  co_return co_await life.rig.shard->remove_snapshot(m.container, m.epoch);  // again is fine
}

Task<Result<void>> verify_some(Life& life) {
  const size_t object = life.any_object();
  for (const Moment& m : life.taken) {
    if (life.path(object).container != m.container) continue;
    CO_TRY(done, co_await verify_at(life, m, object, false));
    CO_TRY(epoch, co_await life.rig.shard->max_epoch(life.path(object), m.epoch));
    if (epoch > m.epoch) life.wrong("max_epoch is above the epoch that was asked for");
    if (epoch == 0 && !m.objects[object].empty()) life.wrong("max_epoch of an object is 0");
  }
  co_return Result<void>{};
}

/// An epoch between operations: what is there now, or a refusal, for ever.
Task<Result<void>> verify_moments(Life& life) {
  if (life.moments.size() < 6) {
    life.moments.push_back({0, std::max<model::Epoch>(life.rig.books.newest, 1),
                            life.rig.books.objects});
  } else {
    life.moments.erase(life.moments.begin());
  }
  for (const Moment& m : life.moments) {
    CO_TRY(done, co_await verify_at(life, m, life.any_object(), true));
  }
  co_return Result<void>{};
}

Task<Result<void>> roll_back(Life& life) {
  if (life.taken.empty()) co_return Result<void>{};
  const Moment m = life.taken[life.random().below(life.taken.size())];
  const bool is_newest = std::none_of(life.taken.begin(), life.taken.end(), [&](const Moment& o) {
    return o.container == m.container && o.epoch > m.epoch;
  });
  const auto done = co_await life.rig.shard->rollback(m.container, m.epoch);
  if (!is_newest) {
    if (done || done.error().code() != Errc::busy) life.wrong("rollback beyond a newer snapshot");
    co_return Result<void>{};
  }
  if (!done) co_return fail(done.error());
  ++life.rolled_back;
  for (size_t i = 0; i < m.objects.size(); ++i) {
    if (life.path(i).container == m.container) life.rig.books.objects[i] = m.objects[i];
  }
  co_return Result<void>{};
}

Task<Result<void>> check_objects(Life& life) {
  Moment m{life.any_container(), model::kEpochMax, life.rig.books.objects};
  if (!life.taken.empty() && life.random().below(2) == 0) {
    m = life.taken[life.random().below(life.taken.size())];
  }
  std::set<model::ObjectId> want, got;
  for (size_t i = 0; i < m.objects.size(); ++i) {
    if (life.path(i).container == m.container && !m.objects[i].empty()) {
      want.insert(life.path(i).oid);
    }
  }
  Bytes position;
  for (bool eof = false; !eof;) {
    CO_TRY(listed, co_await life.rig.shard->list_objects(
                       m.container, m.epoch, position,
                       1 + static_cast<uint32_t>(life.random().below(3))));
    for (const model::ObjectId& oid : listed.oids) {
      if (!got.insert(oid).second) life.wrong("an object is listed twice");
    }
    position = listed.position;
    eof = listed.eof;
  }
  if (got != want) life.wrong("the listing of objects differs");
  co_return Result<void>{};
}

bool same(const Akey& a, const Akey& b) {
  return a.type == b.type && a.single_bytes == b.single_bytes &&
         (a.single_bytes == 0 || a.single_stamp == b.single_stamp) && a.records == b.records;
}

const Akey* akey_of(const Object& object, const std::string& dkey, const std::string& akey) {
  const auto d = object.find(dkey);
  if (d == object.end()) return nullptr;
  const auto a = d->second.find(akey);
  return a == d->second.end() ? nullptr : &a->second;
}

using Name = std::tuple<model::ObjectId, std::string, std::string>;

std::set<Name> names_of(const Life& life, const Moment& m) {
  std::set<Name> names;
  for (size_t i = 0; i < m.objects.size(); ++i) {
    if (life.path(i).container != m.container) continue;
    for (const auto& [dkey, akeys] : m.objects[i]) {
      for (const auto& [akey, value] : akeys) names.insert({life.path(i).oid, dkey, akey});
    }
  }
  return names;
}

Task<Result<void>> check_difference(Life& life) {
  if (life.taken.size() < 2) co_return Result<void>{};
  const Moment* a = &life.taken[life.random().below(life.taken.size())];
  const Moment* b = &life.taken[life.random().below(life.taken.size())];
  if (a->container != b->container || a->epoch == b->epoch) co_return Result<void>{};
  if (a->epoch > b->epoch) std::swap(a, b);
  std::map<Name, Difference::Change> got;
  Bytes position;
  for (bool eof = false; !eof;) {
    CO_TRY(diff, co_await life.rig.shard->diff_snapshots(
                     a->container, a->epoch, b->epoch, position,
                     1 + static_cast<uint32_t>(life.random().below(4))));
    for (const Difference& d : diff.differences) {
      const Name name{d.oid, std::string(as_chars(d.dkey)), std::string(as_chars(d.akey))};
      if (!got.emplace(name, d.change).second) life.wrong("a difference is listed twice");
    }
    position = diff.position;
    eof = diff.eof;
  }
  std::set<Name> all = names_of(life, *a);
  all.merge(names_of(life, *b));
  for (const Name& name : all) {
    const auto& [oid, dkey, akey] = name;
    size_t i = 0;
    while (life.path(i).oid != oid || life.path(i).container != a->container) ++i;
    const Akey* const before = akey_of(a->objects[i], dkey, akey);
    const Akey* const after = akey_of(b->objects[i], dkey, akey);
    const auto found = got.find(name);
    if (found == got.end()) {
      const bool equal = before != nullptr && after != nullptr && same(*before, *after);
      if (!equal) life.wrong("a difference is missing: " + shown(dkey) + " " + shown(akey));
      continue;
    }
    ++life.differences;
    using Change = Difference::Change;
    const Change want = before == nullptr  ? Change::added
                        : after == nullptr ? Change::removed
                                           : Change::changed;
    if (found->second != want) life.wrong("a difference of the wrong kind");
    got.erase(found);
  }
  if (!got.empty()) life.wrong("a difference of a key that neither snapshot has");
  co_return Result<void>{};
}

Task<Result<void>> some_step(Life& life) {
  switch (life.random().below(40)) {
    case 0:
    case 1:
    case 2:
      co_return co_await window(life, life.taken.size() < 8);
    case 3:
      co_return co_await remove_one(life);
    case 4:
    case 5:
      co_return co_await verify_some(life);
    case 6:
    case 7:
      co_return co_await verify_moments(life);
    case 8:
      if (life.random().below(6) == 0) co_return co_await roll_back(life);
      co_return Result<void>{};
    case 9:
      co_return co_await check_objects(life);
    case 10:
    case 11:
      co_return co_await check_difference(life);
    case 12:
      co_return co_await life.rig.shard->aggregate_container(life.any_container());
    case 13:
    case 14:
      co_return co_await flatten_some(life);
    default:
      co_return co_await window(life, false);
  }
}

// ---- lives ----

void expect_all_as_noted(Life& life) {
  ASSERT_NO_FATAL_FAILURE(life.rig.expect_same(1 + static_cast<uint32_t>(life.random().below(9))));
  for (const Moment& m : life.taken) {
    for (size_t i = 0; i < m.objects.size(); ++i) {
      if (life.path(i).container != m.container) continue;
      const auto done = life.rig.world.run(verify_at(life, m, i, false));
      ASSERT_TRUE(done && done->has_value()) << done->error().what();
    }
  }
  for (ContNumber c = 1; c <= life.rig.generator.breadth().containers; ++c) {
    std::set<model::Epoch> want;
    for (const Moment& m : life.taken) {
      if (m.container == c) want.insert(m.epoch);
    }
    const std::vector<model::Epoch> got = life.rig.shard->snapshots(c);
    EXPECT_EQ(std::vector<model::Epoch>(want.begin(), want.end()), got);
  }
  for (const std::string& wrong : life.rig.books.wrong) ADD_FAILURE() << wrong;
  ASSERT_TRUE(life.rig.books.wrong.empty());
  ASSERT_NO_FATAL_FAILURE(life.rig.expect_clean());
}

void live(Life& life, int restarts) {
  ASSERT_TRUE(*life.rig.start(true));
  for (int i = 0; i < restarts; ++i) {
    for (uint64_t steps = 20 + life.random().below(120); steps > 0; --steps) {
      const auto done = life.rig.world.run(some_step(life));
      ASSERT_TRUE(done && done->has_value())
          << done->error().what() << "; " << life.rig.shown_usage();
      for (const std::string& wrong : life.rig.books.wrong) ADD_FAILURE() << wrong;
      ASSERT_TRUE(life.rig.books.wrong.empty());
    }
    SCOPED_TRACE("restart " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(expect_all_as_noted(life));
    if (i % 2 == 0) {
      ASSERT_NO_FATAL_FAILURE(life.rig.close_cleanly());
    } else {
      life.rig.next_era();
    }
    const auto opened = life.rig.start(false);
    ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
    ASSERT_NO_FATAL_FAILURE(expect_all_as_noted(life));
  }
}

Task<Result<void>> remove_everything(Life& life) {
  while (!life.taken.empty()) {
    CO_TRY(removed, co_await remove_one(life));
  }
  co_await life.rig.shard->reclaimed();
  Op op;
  for (size_t i = 0; i < life.rig.books.objects.size(); ++i) {
    op.kind = Op::Kind::punch;
    op.level = Level::object;
    op.object = i;
    CO_TRY(punched, co_await execute(*life.rig.shard, life.path(i), op));
    life.rig.books.objects[i].clear();
  }
  co_await life.rig.shard->reclaimed();
  co_return Result<void>{};
}

/// Every byte must have come back, by punches alone or with the containers.
void expect_all_space_returns(Life& life, bool by_punches) {
  if (by_punches) {
    const auto done = life.rig.world.run(remove_everything(life));
    ASSERT_TRUE(done && done->has_value()) << done->error().what();
  } else {
    for (ContNumber c = 1; c <= life.rig.generator.breadth().containers; ++c) {
      const auto gone = life.rig.world.run(life.rig.shard->destroy_container(c));
      ASSERT_TRUE(gone && gone->has_value()) << gone->error().what();
      EXPECT_TRUE(life.rig.shard->snapshots(c).empty());
    }
  }
  EXPECT_EQ(life.rig.shard->store().stats().data.used, 0u);
  EXPECT_EQ(life.rig.shard->store().stats().data.reserved, 0u);
  ASSERT_NO_FATAL_FAILURE(life.rig.expect_clean());
  ASSERT_NO_FATAL_FAILURE(life.rig.close_cleanly());
}

void live_for_a_while(const Breadth& breadth, uint64_t seed_offset) {
  const uint64_t seconds = env_number("CAIRN_TEST_SECONDS", 25);
  const Instant end = system_clock().now() + seconds * kSecond;
  uint64_t seed = test_seed() + seed_offset;
  uint64_t verified = 0, older = 0, restarted = 0, rolled_back = 0, differences = 0;
  uint64_t flattened = 0, straddled = 0;
  do {
    SCOPED_TRACE("CAIRN_TEST_SEED " + std::to_string(seed - seed_offset));
    Life life(seed, breadth, seed % 3 == 0);
    ASSERT_NO_FATAL_FAILURE(live(life, lives(5) == 5 ? 5 : 2));
    ASSERT_NO_FATAL_FAILURE(expect_all_space_returns(life, seed % 2 == 0));
    verified += life.verified;
    older += life.older_read;
    restarted += life.restarted;
    rolled_back += life.rolled_back;
    differences += life.differences;
    flattened += life.flattened;
    straddled += life.straddled;
    ++seed;
  } while (system_clock().now() < end);
  std::printf(
      "CAIRN_TEST_SEED %llu to %llu: %llu objects read at snapshots, %llu at other epochs "
      "(%llu refused), %llu rollbacks, %llu differences; %llu objects flattened, %llu "
      "straddled a snapshot\n",
      static_cast<unsigned long long>(test_seed()),
      static_cast<unsigned long long>(seed - seed_offset - 1),
      static_cast<unsigned long long>(verified), static_cast<unsigned long long>(older),
      static_cast<unsigned long long>(restarted), static_cast<unsigned long long>(rolled_back),
      static_cast<unsigned long long>(differences), static_cast<unsigned long long>(flattened),
      static_cast<unsigned long long>(straddled));
  EXPECT_GT(flattened, 0u);
  EXPECT_GT(verified, 0u);
  EXPECT_GT(older, 0u);
  EXPECT_GT(restarted, 0u);
  EXPECT_GT(differences, 0u);
}

TEST(SnapshotModel, Snapshots_of_all_key_kinds_show_what_was_there) {
  // Goal: store rule 3 with every kind of record. Method: objects of every key kind in several
  // containers, long keys among them; snapshots taken beside writes, removed, rolled back to.
  live_for_a_while({.types = {0, 2, 3, 4, 5, 6, 7},
                    .containers = 2,
                    .dkeys = 7,
                    .akeys = 7,
                    .value_bytes_max = 65'536,
                    .long_keys = true},
                   2'000'000);
}

TEST(SnapshotModel, Snapshots_over_few_keys_show_what_was_there) {
  // Goal: store rules 3 and 4: overlaps, trims, punches and markers between snapshots on the same
  // few records.
  live_for_a_while({.types = {0, 4},
                    .dkeys = 3,
                    .akeys = 4,
                    .value_bytes_max = 30'000,
                    .punch_percent = 20,
                    .scatter_percent = 15},
                   3'000'000);
}

}  // namespace
}  // namespace cairn::vos::testing
