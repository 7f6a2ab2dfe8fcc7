// The store against power cuts, failing media and damaged bits, on the simulated disks. One small
// workload; every request of it is a cut point. What is judged: the content after recovery is the
// content after the first p commits, for one p that is not below the acknowledged ones.
#include <gtest/gtest.h>

#include <algorithm>

#include "index/store_testing.h"
#include "runtime/parallel.h"
#include "sim/world.h"

namespace cairn::index::testing {
namespace {

using sim::SimDisk;
using sim::World;

constexpr uint64_t kWalBytes = 256u << 10;
constexpr uint64_t kBlobBytes = 1u << 20;
constexpr uint64_t kKeys = 7;
constexpr uint64_t kWindow = 3;  // commits under way at once; their keys differ
static_assert(kWindow < kKeys);

/// What the workload has done: the content after each commit, and how many of them were
/// acknowledged.
struct Ledger {
  bool created = false;
  std::vector<Content> states{Content{}};
  size_t acknowledged = 0;
};

struct Blobs {
  explicit Blobs(World& world)
      : wal(world.add_disk("wal", kWalBytes)),
        meta(world.add_disk("meta", kBlobBytes)),
        data(world.add_disk("data", kBlobBytes)) {
    if (world.random().below(2) == 0) return;
    world.share_cache();
    // Where something was before, data and record share a flush; elsewhere the record carries it.
    if (world.random().below(2) == 0) data.fill(256u << 10);
  }
  StoreDevices devices() { return {&wal, &meta, &data}; }
  SimDisk& wal;
  SimDisk& meta;
  SimDisk& data;
};

/// Every commit changes two records, so that a half one would show. The kind follows from the
/// stamp.
struct Change {
  uint64_t stamp = 0;
  bool with_data = false;
  std::string keys[2];
  media::Extent extent;
  Bytes bytes;

  Batch batch_on(const Content& before) const {
    Batch batch;
    if (stamp % 5 == 4) {
      for (const std::string& key : keys) batch.erase(as_bytes(key));
    } else {
      // What moves takes its blocks along.
      if (moves(before)) {
        batch.move(as_bytes(keys[0]), as_bytes(keys[1]));
      } else {
        batch.put(as_bytes(keys[1]), value(1));
      }
      batch.put(as_bytes(keys[0]), value(0));
    }
    const bool loggable = stamp % 2 == 0;
    if (with_data)
      batch.publish({extent, digest_of(bytes), loggable ? ByteView(bytes) : ByteView()});
    for (size_t i = moves(before) ? 1 : 0; i < 2; ++i) {
      const auto old = before.find(keys[i]);
      if (old == before.end()) continue;
      if (const media::Extent freed = extent_of(old->second); freed.count != 0) batch.free(freed);
    }
    return batch;
  }
  Content after(Content content) const {
    if (moves(content)) {
      content[keys[1]] = content[keys[0]];
      content[keys[0]] = value(0);
      return content;
    }
    for (size_t i = 0; i < 2; ++i) {
      if (stamp % 5 == 4) {
        content.erase(keys[i]);
      } else {
        content[keys[i]] = value(i);
      }
    }
    return content;
  }

 private:
  bool moves(const Content& before) const {
    return stamp % 5 != 4 && stamp % 4 == 1 && before.contains(keys[0]);
  }
  Bytes value(size_t i) const {
    return encode_value(stamp,
                        {i == 0 ? extent : media::Extent{}, std::string(stamp * 37 % 500, 'v')});
  }
};

Task<Result<void>> commit_one(Store& store, Ledger& ledger, uint64_t stamp) {
  CO_TRY(admitted, co_await store.admit());
  Change change;
  change.stamp = stamp;
  change.keys[0] = "a" + std::to_string(stamp % kKeys);
  change.keys[1] = "z" + std::to_string(stamp % kKeys) + std::string(stamp % kKeys * 40, 'x');
  change.with_data = stamp % 3 == 0 && stamp % 5 != 4;
  if (change.with_data) {
    CO_TRY(extents, store.reserve_data(2 * media::kBlockBytes));
    CHECK(extents.size() == 1);  // the blob is nearly empty
    change.extent = extents[0];
    change.bytes = pattern(stamp, 2);
  }
  const Batch batch = change.batch_on(ledger.states.back());
  if (auto prepared = co_await prepare(store, batch); !prepared) {
    if (change.with_data) store.cancel_data({change.extent});
    co_return prepared;
  }
  RecordHeader header;
  header.epoch = stamp;
  const media::Lsn lsn = store.commit(header, batch, {stamp, 0});
  ledger.states.push_back(change.after(ledger.states.back()));
  const size_t mine = ledger.states.size() - 1;
  if (change.with_data) {
    std::vector<Store::DataWrite> writes;
    writes.push_back({change.extent, {{change.bytes.data(), change.bytes.size()}}});
    CO_TRY(written, co_await store.write_data(lsn, std::move(writes)));
  }
  CO_TRY(durable, co_await store.durable(lsn));
  ledger.acknowledged = std::max(ledger.acknowledged, mine);
  co_return Result<void>{};
}

/// Commits `count` changes in windows; a checkpoint after every third window, beside the next one.
Task<Result<void>> commit_many(Reactor& reactor, Store& store, Ledger& ledger, uint64_t first,
                               uint64_t count) {
  for (uint64_t at = 0; at < count; at += kWindow) {
    std::vector<Task<Result<void>>> tasks;
    for (uint64_t i = at; i < std::min(count, at + kWindow); ++i) {
      tasks.push_back(commit_one(store, ledger, first + i));
    }
    if (at / kWindow % 3 == 2) tasks.push_back(store.checkpoint());
    CO_TRY(done, co_await run_all(reactor, std::move(tasks), kWindow + 1));
  }
  co_return Result<void>{};
}

using Slot = std::unique_ptr<Store>;

/// `slot` and `ledger` outlive the era.
Task<Result<void>> workload(Reactor& reactor, StoreDevices devices, Slot& slot, Ledger& ledger,
                            uint64_t count) {
  CO_TRY(store, co_await Store::create(reactor, devices, options_for()));
  slot = std::move(store);
  ledger.created = true;
  CO_TRY(done, co_await commit_many(reactor, *slot, ledger, 1, count));
  co_return co_await slot->checkpoint();
}

Task<Result<void>> reopen(Reactor& reactor, StoreDevices devices, Slot& slot) {
  CO_TRY(store, co_await Store::open(reactor, devices, options_for(), nullptr));
  slot = std::move(store);
  co_return Result<void>{};
}

/// The store goes first: what it leaves under way holds its core, and the log's end needs the
/// reactor.
void end_era(World& world, Slot& slot) {
  slot.reset();
  world.end_era();
}

void next_era(World& world, Slot& slot) {
  end_era(world, slot);
  world.begin_era();
}

/// Data behind every record is the record's own.
void expect_data(World& world, Store& store, const Content& content) {
  for (const auto& [key, value] : content) {
    const media::Extent extent = extent_of(value);
    if (extent.count == 0) continue;
    Bytes bytes(extent.count * media::kBlockBytes);
    const auto read = world.run(store.read_data(extent, 0, bytes));
    ASSERT_TRUE(read && read->has_value());
    ASSERT_TRUE(bytes == pattern(load_le64(value.data()), extent.count)) << key;
  }
}

void expect_clean(World& world, Store& store) {
  const auto report = world.run(store.check(claims));
  ASSERT_TRUE(report && report->has_value()) << report->error().what();
  for (const std::string& problem : (*report)->problems) ADD_FAILURE() << problem;
}

/// The content is one that the ledger knows, and holds what was acknowledged. The ledger goes on
/// from it.
void expect_prefix(World& world, Store& store, Ledger& ledger) {
  const auto all = world.run(read_all(store));
  ASSERT_TRUE(all && all->has_value()) << all->error().what();
  size_t p = ledger.states.size();
  while (p > 0 && ledger.states[p - 1] != **all) --p;
  ASSERT_GT(p, 0u) << "a content that never was";
  ASSERT_GE(p - 1, ledger.acknowledged) << "acknowledged commits are gone";
  ASSERT_NO_FATAL_FAILURE(expect_data(world, store, **all));
  ASSERT_NO_FATAL_FAILURE(expect_clean(world, store));
  ledger.states = {**all};
  ledger.acknowledged = 0;
}

/// Opens what is there, judges it, goes on with it and judges that after one more orderly end.
void expect_recovery(World& world, Blobs& blobs, Slot& slot, Ledger& ledger) {
  const auto opened = world.run(reopen(world.reactor(), blobs.devices(), slot));
  ASSERT_TRUE(opened);
  if (!ledger.created && !*opened) return;
  ASSERT_TRUE(opened->has_value()) << opened->error().what();
  ASSERT_NO_FATAL_FAILURE(expect_prefix(world, *slot, ledger));
  const auto more = world.run(commit_many(world.reactor(), *slot, ledger, 100, 5));
  ASSERT_TRUE(more && more->has_value()) << more->error().what();
  next_era(world, slot);
  const auto again = world.run(reopen(world.reactor(), blobs.devices(), slot));
  ASSERT_TRUE(again && again->has_value()) << again->error().what();
  ASSERT_NO_FATAL_FAILURE(expect_prefix(world, *slot, ledger));
  end_era(world, slot);
}

TEST(StorePower, Every_cut_point_of_a_small_workload_keeps_what_was_acknowledged) {
  // Goal: promise 1 at each cut. Method: a few seeds; cut at request 1, 2, ... until the workload
  // gets through; half of the runs lose the power once more while they recover.
  for (uint64_t seed = test_seed(); seed < test_seed() + 3; ++seed) {
    bool through = false;
    uint64_t cut = 1;
    for (; !through; ++cut) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " cut " + std::to_string(cut));
      Ledger ledger;
      World world(seed * 1000 + cut);
      Blobs blobs(world);
      Slot slot;
      world.cut_power_at(cut);
      const auto done = world.run(workload(world.reactor(), blobs.devices(), slot, ledger, 20));
      through = done.has_value();
      if (through) ASSERT_TRUE(done->has_value()) << done->error().what();
      next_era(world, slot);
      if (cut % 2 == 0) {
        world.cut_power_at(1 + cut / 2 % 11);
        (void)world.run(reopen(world.reactor(), blobs.devices(), slot));
        next_era(world, slot);
      }
      ASSERT_NO_FATAL_FAILURE(expect_recovery(world, blobs, slot, ledger));
    }
    EXPECT_GT(cut, 30u) << "the workload is too small to mean anything";
  }
}

TEST(StorePower, Random_cuts_of_a_longer_life_keep_what_was_acknowledged) {
  // Goal: errors that need several eras, among them a log that wraps. Method: one store, many eras,
  // each cut somewhere.
  const uint64_t seed = test_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Ledger ledger;
  World world(seed);
  Blobs blobs(world);
  Slot slot;
  ASSERT_TRUE(*world.run(workload(world.reactor(), blobs.devices(), slot, ledger, 6)));
  for (uint64_t era = 1; era <= 60; ++era) {
    SCOPED_TRACE("era " + std::to_string(era));
    world.cut_power_at(1 + world.random().below(120));
    (void)world.run(commit_many(world.reactor(), *slot, ledger, era * 100, 60));
    next_era(world, slot);
    const auto opened = world.run(reopen(world.reactor(), blobs.devices(), slot));
    ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
    ASSERT_NO_FATAL_FAILURE(expect_prefix(world, *slot, ledger));
  }
  end_era(world, slot);
}

TEST(StorePower, A_failure_of_any_request_loses_nothing_that_was_acknowledged) {
  // Goal: promise 1 under media errors. Method: for each disk and kind, let the n-th request and
  // all later ones fail, for every n until none does; then heal, cut, recover.
  for (size_t disk = 0; disk < 3; ++disk) {
    for (const auto op : {SimDisk::Op::write, SimDisk::Op::flush}) {
      bool through = false;
      for (uint64_t n = 1; !through; ++n) {
        SCOPED_TRACE("disk " + std::to_string(disk) + " op " +
                     std::to_string(static_cast<int>(op)) + " n " + std::to_string(n));
        Ledger ledger;
        World world(test_seed() + n);
        Blobs blobs(world);
        Slot slot;
        world.disks()[disk]->fail(op, n, n % 5 == 0 ? Errc::no_space : Errc::io, n % 2 == 0);
        const auto done = world.run(workload(world.reactor(), blobs.devices(), slot, ledger, 20));
        ASSERT_TRUE(done);
        through = done->has_value();
        if (!through && ledger.created) {
          EXPECT_TRUE(slot->stopped()) << done->error().what();
        }
        for (const auto& each : world.disks()) each->heal();
        next_era(world, slot);
        ASSERT_NO_FATAL_FAILURE(expect_recovery(world, blobs, slot, ledger));
      }
    }
  }
}

/// What stands under keys "0" to "2": the stamp and the extent of each, acknowledged or, for one of
/// them, perhaps under way when the power went.
struct Round {
  std::map<std::string, std::pair<uint64_t, media::Extent>> acknowledged;
  std::string key;
  uint64_t stamp = 0;
  size_t large = 0;  // values that no record carries
};

/// Overwrites values in a small data blob, one after the other, without a checkpoint. Blocks go
/// round, from records that carry their data to records that do not, and back.
Task<Result<void>> go_round(Store& store, Round& round) {
  for (round.stamp = 1; round.stamp <= 60; ++round.stamp) {
    round.key = std::to_string(round.stamp % 3);
    const uint32_t blocks = round.stamp % 4 == 0 ? 5 : 1 + round.stamp % 2;
    auto& held = round.acknowledged[round.key];
    auto done =
        co_await update_with_data(store, round.key, round.stamp, blocks, held.second, blocks <= 4);
    if (!done && done.error().code() == Errc::no_space) continue;  // scattered: others fit
    if (!done) co_return fail(done.error());
    held = {round.stamp, *done};
    round.large += blocks > 4 ? 1 : 0;
  }
  co_return Result<void>{};
}

TEST(StorePower, Blocks_whose_data_the_log_carries_go_round_within_one_log) {
  // Goal: replay writes again what a record carries, but not over what a later record has put
  // there. Method: one log and two dozen blocks behind one cache; cut at every request, once more
  // during recovery; read every value.
  size_t cuts = 0;
  uint64_t replayed = 0;
  for (uint64_t cut = 1;; ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    World world(test_seed() + cut);
    SimDisk& wal = world.add_disk("wal", 1u << 20);
    SimDisk& meta = world.add_disk("meta", kBlobBytes);
    SimDisk& data = world.add_disk("data", 24 * media::kBlockBytes);
    world.share_cache();
    const StoreDevices devices{&wal, &meta, &data};
    StoreOptions options = options_for();
    options.checkpoints = false;
    Slot slot;
    const auto created = world.run(Store::create(world.reactor(), devices, options));
    ASSERT_TRUE(created && *created);
    slot = std::move(const_cast<Result<Slot>&>(*created).value());
    Round round;
    world.cut_power_at(cut);
    const auto ended = world.run(go_round(*slot, round));
    if (ended) ASSERT_TRUE(*ended) << ended->error().what();
    next_era(world, slot);
    if (cut % 2 == 0) {
      world.cut_power_at(1 + cut / 2 % 13);
      (void)world.run(reopen(world.reactor(), devices, slot));
      next_era(world, slot);
    }
    const auto opened = world.run(reopen(world.reactor(), devices, slot));
    ASSERT_TRUE(opened && *opened);
    const auto all = world.run(read_all(*slot));
    ASSERT_TRUE(all && *all);
    for (const auto& [key, held] : round.acknowledged) {
      if (held.first == 0) continue;
      const auto found = (*all)->find(key);
      ASSERT_TRUE(found != (*all)->end()) << key;
      const uint64_t stamp = load_le64(found->second.data());
      EXPECT_TRUE(stamp == held.first || (key == round.key && stamp == round.stamp)) << key;
    }
    ASSERT_NO_FATAL_FAILURE(expect_data(world, *slot, **all));
    ASSERT_NO_FATAL_FAILURE(expect_clean(world, *slot));
    replayed += slot->stats().replayed_records;
    // What recovery wrote is durable before its log goes.
    ASSERT_TRUE(*world.run(slot->checkpoint()));
    next_era(world, slot);
    ASSERT_TRUE(*world.run(reopen(world.reactor(), devices, slot)));
    ASSERT_NO_FATAL_FAILURE(expect_data(world, *slot, **all));
    end_era(world, slot);
    ++cuts;
    if (!ended) continue;
    EXPECT_GT(round.large, 8u);
    break;
  }
  EXPECT_GT(cuts, 60u);
  EXPECT_GT(replayed, cuts) << "hardly anything was replayed";
}

/// A store after `count` commits whose power went; 0 or more of them are in the log only.
struct Aged {
  Aged(uint64_t seed, uint64_t count) : world(seed), blobs(world) {
    CHECK(world.run(workload(world.reactor(), blobs.devices(), slot, ledger, count))->has_value());
    // Some that only the log knows.
    CHECK(world.run(commit_one(*slot, ledger, count + 1))->has_value());
    CHECK(world.run(commit_one(*slot, ledger, count + 2))->has_value());
    next_era(world, slot);
  }
  ~Aged() { end_era(world, slot); }
  Ledger ledger;
  World world;
  Blobs blobs;
  Slot slot;
};

TEST(StorePower, A_flipped_bit_anywhere_gives_an_error_or_the_right_answer) {
  // Goal: promise 2, for what the store itself checksums. Method: flip one bit in a sector in use,
  // open, read all. Log: the last writes have nobody behind them who knows of them, so a shorter
  // prefix is allowed there (store.md rule 9). Data blob: its bytes are judged by the owner's
  // checksums, not here.
  SeededRandom random(test_seed());
  size_t refused = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    const uint64_t seed = test_seed() + round % 7;
    Aged aged(seed, 20);
    const size_t disk = round % 3;
    SimDisk& victim = *aged.world.disks()[disk];
    const auto sectors = victim.written_sectors();
    const uint64_t offset =
        sectors[random.below(sectors.size())] * sim::kSectorBytes + random.below(sim::kSectorBytes);
    victim.flip_bit(offset, static_cast<unsigned>(random.below(8)));
    SCOPED_TRACE("seed " + std::to_string(seed) + " disk " + victim.name() + " at " +
                 std::to_string(offset));
    const auto opened =
        aged.world.run(reopen(aged.world.reactor(), aged.blobs.devices(), aged.slot));
    ASSERT_TRUE(opened);
    if (!*opened) {
      ++refused;
      continue;
    }
    const auto all = aged.world.run(read_all(*aged.slot));
    ASSERT_TRUE(all);
    if (!*all) {
      EXPECT_EQ(all->error().code(), Errc::checksum);
      ++refused;
      continue;
    }
    const auto& states = aged.ledger.states;
    const bool known = std::find(states.begin(), states.end(), **all) != states.end();
    EXPECT_TRUE(disk == 0 ? known : states.back() == **all);
    (void)aged.world.run(aged.slot->check(claims));
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace cairn::index::testing
