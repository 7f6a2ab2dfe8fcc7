// Damage on purpose: what check and scrub list as lost is exactly what cannot be read, and all the
// rest is still there.
#include "index/budget.h"
#include "vos/scrub.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "index/superblock_format.h"
#include "vos/key_text.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

const ObjectPath kObject{1, {7, 0x0001'0001'0000'0000}, 0};
constexpr int kAkeys = 20;

std::string dkey_name(int i) { return "d" + std::to_string(1000 + i); }
std::string akey_name(int i) { return "a" + std::to_string(100 + i); }

Bytes single_bytes(int dkey, int akey, size_t bytes) {
  Bytes out;
  append_record(out, static_cast<uint32_t>(dkey * 1000 + akey + 1), 0, bytes);
  return out;
}

Task<Result<void>> put_singles(Shard& shard, int dkey, size_t bytes) {
  const std::string name = dkey_name(dkey);
  UpdateRequest request{.object = kObject, .dkey = as_bytes(name)};
  std::vector<std::string> akeys;
  std::vector<Bytes> values;
  for (int i = 0; i < kAkeys; ++i) {
    akeys.push_back(akey_name(i));
    values.push_back(single_bytes(dkey, i, bytes));
  }
  for (int i = 0; i < kAkeys; ++i) {
    request.iods.push_back({as_bytes(akeys[i]),
                            ValueType::single,
                            bytes,
                            0,
                            {},
                            {{values[i].data(), values[i].size()}},
                            false});
  }
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

Task<Result<Bytes>> get_single(Shard& shard, std::string dkey, std::string akey, size_t bytes) {
  Bytes out(bytes);
  FetchRequest request{.object = kObject, .dkey = as_bytes(dkey)};
  request.iods.push_back(
      {as_bytes(akey), ValueType::single, 0, 0, {}, {{out.data(), out.size()}}, false});
  CO_TRY(fetched, co_await shard.fetch(request));
  if (fetched.status != Errc::ok) co_return fail(fetched.status, "fetch");
  out.resize(fetched.iods[0].record_bytes);
  co_return out;
}

Bytes key_of_single(const std::string& dkey, const std::string& akey) {
  const KeyPath path(kObject);
  const Key key = record_key(*path.akey(*path.dkey(as_bytes(dkey)), as_bytes(akey)), Kind::single);
  return Bytes(key.view().begin(), key.view().end());
}

bool lies_in(const Loss& loss, const Bytes& key) {
  return as_chars(key) >= as_chars(loss.low) &&
         (loss.high.empty() || as_chars(key) < as_chars(loss.high));
}

Task<Result<std::vector<index::Sweep::Visit>>> all_pages(Shard& shard) {
  index::Sweep sweep = shard.store().sweep();
  std::vector<index::Sweep::Visit> visits;
  while (auto visit = co_await sweep.next()) visits.push_back(std::move(*visit));
  co_return visits;
}

Task<Result<ScrubReport>> scrub_all(Shard& shard, uint64_t slice_bytes, ScrubOptions options) {
  Scrub scrub(shard, options);
  for (;;) {
    CO_TRY(more, co_await scrub.slice(slice_bytes));
    if (!more) break;
  }
  co_return scrub.report();
}

class ScrubTest : public ::testing::Test {
 protected:
  void reopen() {
    ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    const auto opened = rig_.start(false);
    ASSERT_TRUE(opened && *opened) << opened->error().what();
  }
  ScrubReport scrub(uint64_t slice_bytes = 1u << 20, ScrubOptions options = {}) {
    const auto report = rig_.world.run(scrub_all(*rig_.shard, slice_bytes, options));
    EXPECT_TRUE(report && *report);
    return report && *report ? **report : ScrubReport{};
  }
  CheckReport check() {
    auto report = rig_.world.run(rig_.shard->check(true));
    EXPECT_TRUE(report && *report);
    return report && *report ? std::move(**report) : CheckReport{};
  }
  /// Every value is read: those that lie in `lost` give checksum, all others their bytes.
  void expect_readable_but(const std::vector<Loss>& lost, int dkeys, size_t bytes) {
    size_t hidden = 0;
    for (int d = 0; d < dkeys; ++d) {
      for (int a = 0; a < kAkeys; ++a) {
        const Bytes key = key_of_single(dkey_name(d), akey_name(a));
        const bool gone =
            std::any_of(lost.begin(), lost.end(), [&](const Loss& l) { return lies_in(l, key); });
        hidden += gone ? 1 : 0;
        const auto got = rig_.world.run(get_single(*rig_.shard, dkey_name(d), akey_name(a), bytes));
        ASSERT_TRUE(got);
        ASSERT_EQ(got->has_value(), !gone) << key_text(key).text();
        if (gone) {
          ASSERT_EQ(got->error().code(), Errc::checksum) << got->error().what();
        } else {
          ASSERT_TRUE(**got == single_bytes(d, a, bytes));
        }
      }
    }
    EXPECT_GT(hidden, 0u);
  }

  Rig rig_{test_seed(), {}, {.wal = 8u << 20}};
};

TEST_F(ScrubTest, A_damaged_page_of_any_level_loses_what_it_held_and_nothing_else) {
  // Goal: the list names exactly the keys below the page. Method: a tree of three levels; one bit
  // of one page at a time, of each level, at random places; every value is read, then the bit is
  // turned back.
  constexpr int kDkeys = 320;
  constexpr size_t kBytes = 2000;
  ASSERT_TRUE(*rig_.start(true));
  for (int d = 0; d < kDkeys; ++d) {
    ASSERT_TRUE(*rig_.world.run(put_singles(*rig_.shard, d, kBytes)));
  }
  ASSERT_NO_FATAL_FAILURE(reopen());
  EXPECT_TRUE(check().problems.empty());
  EXPECT_TRUE(scrub().clean());
  SeededRandom random(test_seed());
  for (const int round : {0, 1, 2, 3, 4}) {
    const uint32_t level = round < 2 ? 0 : round < 4 ? 1 : 2;
    const auto pages = rig_.world.run(all_pages(*rig_.shard));
    ASSERT_TRUE(pages && *pages);
    ASSERT_EQ((*pages)->front().level, 2u) << "the tree is of another height than wanted";
    std::vector<index::Sweep::Visit> of_level;
    for (const auto& visit : **pages) {
      if (visit.level == level) of_level.push_back(visit);
    }
    // Once the last leaf, behind which the container's markers would stand.
    const auto& victim = round == 1 ? of_level.back() : of_level[random.below(of_level.size())];
    SCOPED_TRACE("seed " + std::to_string(test_seed()) + " level " + std::to_string(level));
    const uint64_t offset =
        victim.ref.page_number() * index::kPageBytes + random.below(index::kPageBytes);
    const auto bit = static_cast<unsigned>(random.below(8));
    ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    rig_.meta.flip_bit(offset, bit);
    ASSERT_TRUE(*rig_.start(false));
    const CheckReport report = check();
    const ScrubReport scrubbed = scrub();
    ASSERT_EQ(report.losses.size(), 1u);
    ASSERT_EQ(scrubbed.losses.size(), 1u);
    for (const Loss& loss : {report.losses[0], scrubbed.losses[0]}) {
      EXPECT_EQ(loss.what, Loss::What::page);
      EXPECT_EQ(loss.page, victim.ref.page_number());
      EXPECT_EQ(as_chars(loss.low), as_chars(victim.low));
      EXPECT_EQ(as_chars(loss.high), as_chars(victim.high));
    }
    EXPECT_EQ(report.problems.size(), 1u) << report.problems.back();
    ASSERT_NO_FATAL_FAILURE(expect_readable_but(report.losses, kDkeys, kBytes));
    // What is not lost can be changed, too.
    EXPECT_TRUE(
        victim.level == 2 ||
        *rig_.world.run(put_singles(*rig_.shard, victim.low.empty() ? kDkeys - 1 : 0, kBytes)));
    ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    rig_.meta.flip_bit(offset, bit);
    ASSERT_TRUE(*rig_.start(false));
  }
}

TEST_F(ScrubTest, What_was_punched_does_not_come_back_when_its_marker_is_lost) {
  // Goal: never wrong bytes. Method: an object whose punch is only a marker yet; the page with the
  // marker is damaged; every read of the object must fail, and reads do not while it is whole.
  for (const bool saved : {true, false}) {
    Rig rig(test_seed(), {}, {.wal = 8u << 20});
    rig.options.reclaim = false;
    ASSERT_TRUE(*rig.start(true));
    for (int d = 0; d < 20; ++d) ASSERT_TRUE(*rig.world.run(put_singles(*rig.shard, d, 2000)));
    if (!saved) ASSERT_TRUE(*rig.world.run(rig.shard->checkpoint()));
    ASSERT_TRUE(*rig.world.run(rig.shard->punch({.object = kObject, .dkey = {}, .akeys = {}})));
    if (saved) {
      ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
    } else {
      rig.next_era();  // the marker stands in the log only
    }
    ASSERT_TRUE(*rig.start(false));
    auto got = rig.world.run(get_single(*rig.shard, dkey_name(3), akey_name(3), 2000));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->size(), 0u);
    const auto pages = rig.world.run(all_pages(*rig.shard));
    ASSERT_TRUE(pages && *pages);
    const index::Sweep::Visit last = (*pages)->back();
    ASSERT_EQ(last.level, 0u);
    if (saved) {
      ASSERT_NO_FATAL_FAILURE(rig.close_cleanly());
    } else {
      rig.next_era();
    }
    rig.meta.flip_bit(last.ref.page_number() * index::kPageBytes + 500, 3);
    const auto opened = rig.start(false);
    ASSERT_TRUE(opened);
    // Replay has to change the page where the marker is to stand: the shard does not open.
    EXPECT_EQ(opened->has_value(), saved);
    if (!*opened) {
      EXPECT_EQ(opened->error().code(), Errc::checksum);
      continue;
    }
    for (int d = 0; d < 20; ++d) {
      got = rig.world.run(get_single(*rig.shard, dkey_name(d), akey_name(3), 2000));
      ASSERT_TRUE(got);
      ASSERT_FALSE(*got) << "punched bytes came back";
      EXPECT_EQ(got->error().code(), Errc::checksum);
    }
  }
}

/// An array of `count` records.
struct Array {
  std::string akey;
  uint64_t record_bytes = 0;
  uint64_t first = 0;
  uint64_t count = 0;
};

Task<Result<void>> put_array(Shard& shard, const Array& array) {
  Bytes payload;
  for (uint64_t i = 0; i < array.count; ++i) {
    append_record(payload, 9, array.first + i, array.record_bytes);
  }
  UpdateRequest request{.object = kObject, .dkey = as_bytes("arrays")};
  request.iods.push_back({as_bytes(array.akey),
                          ValueType::array,
                          array.record_bytes,
                          0,
                          {{array.first, array.count}},
                          {{payload.data(), payload.size()}},
                          false});
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

/// @returns true if the record has its bytes; false: the medium's damage was told
Task<Result<bool>> record_is_there(Shard& shard, const Array& array, uint64_t index) {
  Bytes want, got(array.record_bytes);
  append_record(want, 9, index, array.record_bytes);
  FetchRequest request{.object = kObject, .dkey = as_bytes("arrays")};
  request.iods.push_back({as_bytes(array.akey),
                          ValueType::array,
                          array.record_bytes,
                          0,
                          {{index, 1}},
                          {{got.data(), got.size()}},
                          false});
  const auto fetched = co_await shard.fetch(request);
  if (!fetched && fetched.error().code() == Errc::checksum) co_return false;
  if (!fetched) co_return fail(fetched.error());
  CHECK(got == want);
  co_return true;
}

TEST_F(ScrubTest, A_damaged_block_loses_the_records_in_it_and_no_others) {
  // Goal: for a bad extent the list says which records. Method: arrays of several record sizes,
  // with checksums beside the extent and in records of their own; one bit of one block at a time;
  // each record is read by itself and compared with the list.
  const std::vector<Array> arrays{{"bytes", 1, 10, 9'000},
                                  {"three", 3, 1ull << 40, 5'000},
                                  {"kilo", 1000, 0, 300},
                                  {"five", 5000, 77, 20}};
  ASSERT_TRUE(*rig_.start(true));
  for (const Array& array : arrays) ASSERT_TRUE(*rig_.world.run(put_array(*rig_.shard, array)));
  ASSERT_NO_FATAL_FAILURE(reopen());
  EXPECT_TRUE(check().problems.empty());
  const auto sectors = rig_.data.written_sectors();
  SeededRandom random(test_seed());
  for (int round = 0; round < 12; ++round) {
    const uint64_t offset = sectors[random.below(sectors.size())] * sim::kSectorBytes + 3;
    SCOPED_TRACE("seed " + std::to_string(test_seed()) + " offset " + std::to_string(offset));
    rig_.data.flip_bit(offset, 1);
    const CheckReport report = check();
    const ScrubReport scrubbed = scrub(1);
    ASSERT_EQ(report.losses.size(), 1u);
    ASSERT_EQ(scrubbed.losses.size(), 1u);
    const Loss& loss = report.losses[0];
    EXPECT_EQ(loss.what, Loss::What::data);
    EXPECT_EQ(loss_text(loss), loss_text(scrubbed.losses[0]));
    EXPECT_EQ(report.problems, std::vector<std::string>{loss_text(loss)});
    const std::string named = key_text(loss.low).akey;
    size_t gone = 0;
    for (const Array& array : arrays) {
      for (uint64_t i = 0; i < array.count; i += array.record_bytes < 10 ? 97 : 1) {
        const uint64_t index = array.first + i;
        const bool listed = named == array.akey &&
                            std::any_of(loss.parts.begin(), loss.parts.end(), [&](const auto& p) {
                              return index >= p.index && index < p.index + p.count;
                            });
        const auto there = rig_.world.run(record_is_there(*rig_.shard, array, index));
        ASSERT_TRUE(there && *there);
        ASSERT_EQ(**there, !listed) << array.akey << " record " << index;
        gone += listed ? 1 : 0;
      }
    }
    EXPECT_GT(gone, 0u);
    rig_.data.flip_bit(offset, 1);
  }
  EXPECT_TRUE(scrub().clean());
}

Task<Result<void>> prepare_large(Shard& shard, Bytes bytes) {
  UpdateRequest update{.object = kObject, .dkey = as_bytes("d")};
  update.iods.push_back({as_bytes("aside"),
                         ValueType::single,
                         bytes.size(),
                         0,
                         {},
                         {{bytes.data(), bytes.size()}},
                         false});
  update.iods.push_back({as_bytes("array"),
                         ValueType::array,
                         1,
                         0,
                         {{1000, bytes.size()}},
                         {{bytes.data(), bytes.size()}},
                         false});
  TransactRequest request;
  request.ops.push_back(std::move(update));
  CO_TRY(done, co_await shard.prepare({1, 2}, request));
  if (done.status != Errc::ok) co_return fail(done.status, done.what);
  co_return Result<void>{};
}

TEST_F(ScrubTest, A_damaged_block_of_what_stands_aside_is_a_loss) {
  // Goal: what a transaction is about to bring is looked at, also where its checksums stand apart;
  // the same bytes are a loss after its commit. Method: a prepared one with large values, one bit.
  constexpr size_t kBytes = 100'000;  // more blocks than checksums that stand with the value
  ASSERT_TRUE(*rig_.start(true));
  ASSERT_TRUE(*rig_.world.run(prepare_large(*rig_.shard, Bytes(kBytes, std::byte{5}))));
  ASSERT_NO_FATAL_FAILURE(reopen());
  EXPECT_TRUE(scrub().clean());
  EXPECT_GE(scrub().blocks, 2 * kBytes / media::kBlockBytes);
  const auto sectors = rig_.data.written_sectors();
  const uint64_t offset = sectors[sectors.size() / 2] * sim::kSectorBytes;
  rig_.data.flip_bit(offset, 1);
  EXPECT_EQ(scrub().losses.size(), 1u);
  rig_.data.flip_bit(offset, 1);
  EXPECT_TRUE(scrub().clean());
  ASSERT_TRUE(*rig_.world.run(rig_.shard->commit({1, 2})));
  ASSERT_NO_FATAL_FAILURE(reopen());
  EXPECT_TRUE(scrub().clean());
  rig_.data.flip_bit(offset, 1);
  EXPECT_EQ(scrub().losses.size(), 1u);
}

TEST_F(ScrubTest, Beside_updates_and_checkpoints_nothing_is_reported_that_is_whole) {
  // Goal: no false alarm: the walk's root is left behind, blocks are freed and used again, pages
  // come and go. Method: random operations at a full width beside scrubs in small slices.
  for (const bool evicting : {false, true}) {
    for (uint64_t seed = test_seed(); seed < test_seed() + 4; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      Rig rig(seed, {.types = {0, 2}, .dkeys = 6, .value_bytes_max = 90'000}, {.wal = 8u << 20});
      rig.options.store.evict_always = evicting;
      ASSERT_TRUE(*rig.start(true));
      uint64_t scrubs = 0;
      const auto both = [](Rig& r, uint64_t& count) -> Task<Result<void>> {
        bool ended = false;
        const auto work = [](Rig& inner, bool& over) -> Task<Result<void>> {
          auto done = co_await run_many(inner.world.reactor(), *inner.shard, inner.generator,
                                        inner.books, 150, 4, 5);
          over = true;
          co_return done;
        };
        const auto look = [](Rig& inner, bool& over, uint64_t& n) -> Task<Result<void>> {
          while (!over) {
            ++n;
            CO_TRY(report, co_await scrub_all(*inner.shard, 40'000, {}));
            for (const Loss& loss : report.losses) ADD_FAILURE() << loss_text(loss);
            for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
            co_await inner.world.reactor().yield();
          }
          co_return Result<void>{};
        };
        std::vector<Task<Result<void>>> tasks;
        tasks.push_back(work(r, ended));
        tasks.push_back(look(r, ended, count));
        co_return co_await run_all(r.world.reactor(), std::move(tasks), 2);
      };
      const auto done = rig.world.run(both(rig, scrubs));
      ASSERT_TRUE(done && *done) << done->error().what();
      EXPECT_GT(scrubs, 1u);
      ASSERT_NO_FATAL_FAILURE(rig.expect_same());
      ASSERT_NO_FATAL_FAILURE(rig.expect_clean());
    }
  }
}

TEST_F(ScrubTest, Hot_pages_stay_in_memory) {
  // Goal: a scrub of far more than the budget pushes nothing out. Method: keys are read until they
  // cost no request; after a scrub they still cost none.
  ASSERT_TRUE(*rig_.start(true));
  for (int d = 0; d < 300; ++d) ASSERT_TRUE(*rig_.world.run(put_singles(*rig_.shard, d, 2000)));
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  rig_.options.store.memory_bytes = index::kMemoryBytesMin;
  ASSERT_TRUE(*rig_.start(false));
  const auto requests_of_hot_keys = [&] {
    const uint64_t before = rig_.world.requests();
    for (int d = 40; d < 43; ++d) {
      const auto got = rig_.world.run(get_single(*rig_.shard, dkey_name(d), akey_name(3), 2000));
      EXPECT_TRUE(got && *got);
    }
    return rig_.world.requests() - before;
  };
  EXPECT_GT(requests_of_hot_keys(), 0u);
  EXPECT_EQ(requests_of_hot_keys(), 0u);
  const ScrubReport report = scrub();
  EXPECT_TRUE(report.clean());
  EXPECT_GT(report.pages * index::kPageBytes, 2 * rig_.options.store.memory_bytes);
  EXPECT_EQ(report.records, 300u * kAkeys);
  EXPECT_EQ(requests_of_hot_keys(), 0u);
}

TEST_F(ScrubTest, Damage_where_no_record_stands_is_told_apart) {
  // Goal: a damaged superblock copy is a problem without a loss. Method: one bit in a copy.
  ASSERT_TRUE(*rig_.start(true));
  ASSERT_TRUE(*rig_.world.run(put_singles(*rig_.shard, 1, 100)));
  ASSERT_NO_FATAL_FAILURE(reopen());
  ASSERT_TRUE(*rig_.world.run(rig_.shard->checkpoint()));
  rig_.meta.flip_bit(40, 0);
  rig_.meta.flip_bit(index::kSuperblockPages * index::kPageBytes + 40, 0);
  const ScrubReport report = scrub();
  EXPECT_EQ(report.losses.size(), 0u);
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_TRUE(report.problems[0].starts_with("superblock, copy 0: ")) << report.problems[0];
  EXPECT_EQ(check().problems.size(), 1u);
}

TEST_F(ScrubTest, A_read_that_fails_for_ever_is_a_loss_and_one_that_fails_once_is_none) {
  ASSERT_TRUE(*rig_.start(true));
  ASSERT_TRUE(*rig_.world.run(put_array(*rig_.shard, {"kilo", 1000, 0, 100})));
  ASSERT_NO_FATAL_FAILURE(reopen());
  rig_.meta.fail(sim::SimDisk::Op::read, 4, Errc::io);
  EXPECT_EQ(scrub().losses.size(), 0u);
  rig_.meta.heal();
  rig_.data.fail(sim::SimDisk::Op::read, 1, Errc::io);
  EXPECT_EQ(scrub().losses.size(), 0u);
  rig_.data.heal();
  rig_.data.fail(sim::SimDisk::Op::read, 1, Errc::io, true);
  const ScrubReport report = scrub();
  ASSERT_EQ(report.losses.size(), 1u);
  EXPECT_EQ(report.losses[0].parts, (std::vector<model::Recx>{{0, 100}}));
  rig_.data.heal();
  EXPECT_TRUE(scrub().clean());
}

TEST(KeyText, A_key_is_told_as_far_as_it_goes) {
  const KeyPath path({3, {5, 0x0001'0000'0000'0000}, 2});
  const Key dkey = *path.dkey(as_bytes("a/b"));
  const Key akey = *path.akey(dkey, as_bytes(std::string_view("\x01\0", 2)));
  const Key extent = extent_key(akey, 300);
  const std::string object = "/3/281474976710656.5.2";
  EXPECT_EQ(key_text(extent).text(), object + "/a\\/b/{bin:0x0100} extent ..300");
  EXPECT_EQ(key_text(akey).text(), object + "/a\\/b/{bin:0x0100}");
  EXPECT_EQ(key_text(dkey.view().first(dkey.size() - 3)).text(), object + "/a\\/*");
  EXPECT_EQ(key_text(path.object()).text(), object);
  EXPECT_EQ(key_text(range_prefix(3, Range::history)).text(), "history of /3");
  EXPECT_EQ(key_text(snapshot_key(3, 77)).text(), "snapshots of /3 @77");
  EXPECT_EQ(key_text({}).text(), "/");
  EXPECT_TRUE(key_text(extent.view().first(2)).cut);
  for (size_t n = 0; n <= extent.size(); ++n) {
    EXPECT_TRUE(key_text(extent.view().first(n)).text().starts_with("/")) << n;
  }
  const KeyPath integers({1, {5, uint64_t{2} << 56}, 0});
  std::byte le[8];
  store_le64(le, 77);
  EXPECT_EQ(key_text(*integers.dkey(ByteView(le))).dkey, "77");
  const Key long_key = *path.dkey(as_bytes(std::string(100, 'x')));
  EXPECT_TRUE(key_text(long_key).dkey.starts_with(std::string(64, 'x') + "{hash:0x"));
  EXPECT_EQ(key_text(session_key(9, 0)).text(), "sessions of /0/{session:9}");
}

}  // namespace
}  // namespace cairn::vos::testing
