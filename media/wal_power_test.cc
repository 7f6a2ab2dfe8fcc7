// The log when the power goes or the disk fails: what was acknowledged is there, the rest is there
// up to some record or not at all, and no acknowledged record lacks its data.
#include <gtest/gtest.h>

#include "media/wal_testing.h"
#include "sim/world.h"

namespace cairn::media {
namespace {

constexpr uint64_t kBlock = kWalBlockBytes;
constexpr uint64_t kDataBlocks = 512;

struct Record {
  uint64_t n;
  Lsn lsn;
  bool data;
  bool answered;
};

/// A log with clients, a superblock in memory, and what must be found after the power went.
class Site {
 public:
  Site(uint64_t seed, uint64_t ring_bytes)
      : world(seed),
        log(world.add_disk("log", ring_bytes)),
        data(world.add_disk("data", kDataBlocks * kBlock)) {
    super = {0, 1, static_cast<uint32_t>(world.random().next()), world.random().next()};
    if (world.random().below(2) == 0) return;
    world.share_cache();
    data.fill(kDataBlocks * kBlock);
  }
  ~Site() { close(); }

  void close() {
    world.end_era();
    wal.reset();
  }
  /// The first opening.
  void create() {
    WalReader::Summary tail;
    tail.predecessor = super.predecessor;
    tail.log = super.log;
    wal = std::make_unique<Wal>(world.reactor(), log, WalOptions{}, tail, super.incarnation, 0);
  }
  /// The power goes (if it has not), and comes back; checks everything.
  void restart();
  /// Clients that append `each` records, one after another; nullopt: the power went.
  std::optional<bool> work(size_t clients, size_t each) {
    return world.run(work_all(*this, clients, each));
  }
  size_t answered() const { return answered_; }

  sim::World world;
  sim::SimDisk& log;
  sim::SimDisk& data;
  std::unique_ptr<Wal> wal;
  WalStart super;             // durable at once, for the test's purpose
  std::vector<Record> model;  // appended after `super`, in log order

 private:
  struct Join {
    size_t left;
    WaitList ended;
  };
  static Task<bool> work_all(Site& site, size_t clients, size_t each);
  static Task<void> client(Site& site, size_t each, Join& join);
  static Task<void> write_data(Site& site, uint64_t n, Lsn lsn);
  /// What a record gets: now and then data, flushed by the log where that can be.
  Wal::Data any_data() {
    if (world.random().below(3) != 0) return Wal::Data::none;
    return data.flush_domain() != 0 && world.random().below(4) != 0 ? Wal::Data::flushed
                                                                    : Wal::Data::durable;
  }
  static Task<bool> checkpoint(Site& site);
  Bytes data_of(uint64_t n) const { return record_bytes(n, kBlock); }
  void check(const ReadLog& found) const;

  uint64_t next_ = 0;
  size_t answered_ = 0;
  bool checkpointing_ = false;
};

Task<void> Site::write_data(Site& site, uint64_t n, Lsn lsn) {
  AlignedBuffer block(kBlock);
  const Bytes bytes = site.data_of(n);
  std::memcpy(block.data(), bytes.data(), kBlock);
  const auto write =
      site.wal->data_of(lsn) == Wal::Data::flushed ? &Device::write : &Device::write_durable;
  auto done = co_await (site.data.*write)(n % kDataBlocks * kBlock, block.view());
  site.wal->data_done(lsn, done.has_value());
}

Task<bool> Site::checkpoint(Site& site) {
  site.checkpointing_ = true;
  const WalStart next = site.wal->seal();
  const size_t covered = site.model.size();
  auto durable = co_await site.wal->durable(next.position);
  site.checkpointing_ = false;
  if (!durable) co_return false;
  site.super = next;
  site.model.erase(site.model.begin(), site.model.begin() + static_cast<ptrdiff_t>(covered));
  site.wal->trim(next.position);
  co_return true;
}

Task<void> Site::client(Site& site, size_t each, Join& join) {
  Random& random = site.world.random();
  for (size_t i = 0; i < each; ++i) {
    const size_t bytes = 12 + (random.below(4) == 0 ? random.below(3 * kBlock) : random.below(200));
    if (!site.wal->room(bytes) || random.below(16) == 0) {
      while (site.checkpointing_) {
        if (!site.world.power().on) co_await std::suspend_always{};
        co_await site.world.reactor().sleep(10 * kMicrosecond);
      }
      if (!co_await checkpoint(site)) break;
    }
    if (!site.wal->room(bytes)) continue;
    const uint64_t n = site.next_++;
    const Wal::Data kind = site.any_data();
    const bool with_data = kind != Wal::Data::none;
    const Lsn lsn = site.wal->append(record_bytes(n, bytes), kind);
    site.model.push_back({n, lsn, with_data, false});
    if (with_data) site.world.reactor().spawn(write_data(site, n, lsn));
    if (random.below(8) == 0) site.wal->record_complete(site.wal->complete());
    auto durable = co_await site.wal->durable(lsn);
    if (!durable) break;
    ++site.answered_;
    for (Record& record : site.model) record.answered |= record.n == n;
    if (random.below(4) == 0) co_await site.world.reactor().sleep(random.below(kMillisecond));
  }
  if (--join.left == 0) join.ended.wake_all();
}

Task<bool> Site::work_all(Site& site, size_t clients, size_t each) {
  Join join{clients, WaitList(site.world.reactor())};
  for (size_t i = 0; i < clients; ++i) site.world.reactor().spawn(client(site, each, join));
  while (join.left != 0) co_await join.ended.wait();
  co_return !site.wal->stopped();
}

void Site::check(const ReadLog& found) const {
  ASSERT_LE(found.records.size(), model.size());
  for (size_t i = 0; i < model.size(); ++i) {
    const Record& wanted = model[i];
    if (i >= found.records.size()) {
      ASSERT_FALSE(wanted.answered) << "lost record " << wanted.n;
      continue;
    }
    ASSERT_EQ(found.lsns[i], wanted.lsn);
    ASSERT_EQ(found.records[i], record_bytes(wanted.n, found.records[i].size()));
    if (!wanted.data || (!wanted.answered && wanted.lsn > found.summary.complete)) continue;
    ASSERT_EQ(data.peek(wanted.n % kDataBlocks * kBlock, kBlock), data_of(wanted.n));
  }
}

void Site::restart() {
  close();
  world.begin_era();
  log.heal();
  data.heal();
  checkpointing_ = false;
  auto read = world.run(read_log(world.reactor(), log, super));
  ASSERT_TRUE(read.has_value());
  ASSERT_TRUE(read->has_value()) << read->error().what();
  const ReadLog& found = **read;
  check(found);
  if (::testing::Test::HasFatalFailure()) return;
  ASSERT_GE(found.summary.incarnation, found.batches.empty() ? 0u : 1u);
  model.resize(found.records.size());
  size_t good = 0;
  while (good < model.size() &&
         (!model[good].data || model[good].lsn <= found.summary.complete ||
          data.peek(model[good].n % kDataBlocks * kBlock, kBlock) == data_of(model[good].n))) {
    ++good;
  }
  // A recovery that drops records makes a root behind them first; others may.
  const uint32_t incarnation = super.incarnation + 1;
  if (good < model.size() || world.random().below(3) == 0) {
    for (size_t i = good; i < model.size(); ++i) ASSERT_FALSE(model[i].answered);
    super.position = found.summary.end;
    super.predecessor = found.summary.predecessor;
    model.clear();
  }
  super.incarnation = incarnation;
  // What is found now counts as answered: others have seen it.
  for (Record& record : model) record.answered = true;
  wal = std::make_unique<Wal>(world.reactor(), log, WalOptions{}, found.summary, incarnation,
                              super.position);
}

TEST(WalPower, Every_cut_point_of_a_short_workload) {
  // Goal: promise 1. Method: three clients, four records each; the power goes at each request; then
  // a second opening that loses power at a random request, and a third that works to its end.
  size_t answered = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (uint64_t cut = 1;; ++cut) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " cut " + std::to_string(cut));
      Site site(seed, 32 * kBlock);
      site.create();
      site.world.cut_power_at(cut);
      const bool finished = site.work(3, 4).has_value();
      ASSERT_NO_FATAL_FAILURE(site.restart());
      site.world.cut_power_at(1 + site.world.random().below(20));
      site.work(2, 3);
      ASSERT_NO_FATAL_FAILURE(site.restart());
      ASSERT_TRUE(site.work(2, 2).value_or(false));
      ASSERT_NO_FATAL_FAILURE(site.restart());
      answered += site.answered();
      if (finished) break;
    }
  }
  EXPECT_GT(answered, 1000u);
}

TEST(WalPower, Many_openings_of_a_small_ring_with_random_cuts) {
  // Goal: laps, leftovers of many openings, checkpoints. Method: 12 openings a seed, over a ring of
  // 24 blocks.
  size_t answered = 0;
  for (uint64_t seed = 1000; seed < 1100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Site site(seed, 24 * kBlock);
    site.create();
    for (int opening = 0; opening < 12; ++opening) {
      site.world.cut_power_at(1 + site.world.random().below(150));
      site.work(1 + site.world.random().below(6), 20);
      ASSERT_NO_FATAL_FAILURE(site.restart()) << "opening " << opening;
    }
    answered += site.answered();
  }
  EXPECT_GT(answered, 20000u);
}

TEST(WalPower, A_failed_write_anywhere_loses_nothing_that_was_answered) {
  // Goal: the log stops before it answers. Method: the n-th write to either disk fails, for each n;
  // all clients end; then the power goes.
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    for (const bool of_log : {true, false}) {
      for (uint64_t nth = 1;; ++nth) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " write " + std::to_string(nth));
        Site site(seed, 32 * kBlock);
        site.create();
        (of_log ? site.log : site.data).fail(sim::SimDisk::Op::write, nth, Errc::io);
        const auto went_well = site.work(3, 4);
        ASSERT_TRUE(went_well.has_value());
        ASSERT_NO_FATAL_FAILURE(site.restart());
        if (*went_well) break;
      }
    }
  }
}

}  // namespace
}  // namespace cairn::media
