// Operations by the million against a naive model: small values and large ones, arrays, punches of
// each level, listings, several at once, readers of what is being written; in some lives every page
// leaves memory after each step; restarts with and without an orderly end. Every answer is judged
// when it comes, the whole content and the offline check at each restart. The model keeps one short
// text for each value, so that the store is what takes the time.
//
// CAIRN_TEST_SECONDS (default 5, for each test) is the length, CAIRN_TEST_SEED the first seed: one
// life each, so that a failure is found again in seconds by the seed that it prints.
#include <gtest/gtest.h>

#include <cstdio>

#include "runtime/clock.h"
#include "runtime/parallel.h"
#include "tests/store/box.h"
#include "vos/testing/verify.h"

namespace cairn::tests::store {
namespace {

using model::ValueType;

constexpr size_t kObjects = 4;
constexpr uint64_t kDkeys = 24;
constexpr uint64_t kAkeys = 3;  // 0 and 1 hold single values, 2 an array
constexpr uint64_t kArrayRecords = 32;
constexpr uint64_t kRecordBytes = 8;
constexpr uint64_t kStepsOfLife = 3'000;
constexpr uint64_t kStepsBetweenRestarts = 1'000;

/// What a dkey holds: sizes and stamps of two single values (0: none), stamps of records (0: hole).
struct Dkey {
  uint32_t bytes[2] = {}, stamp[2] = {};
  uint32_t records[kArrayRecords] = {};
  bool array = false;  // the array key is there, also when all of it is holes
  bool empty() const { return bytes[0] == 0 && bytes[1] == 0 && !array; }
};

/// Bytes of a value: quick, and different for each stamp.
void fill(uint32_t stamp, uint64_t index, ByteSpan into) {
  const uint64_t word = (stamp * 0x9E3779B97F4A7C15ull) ^ (index * 0xD1B54A32D192ED03ull);
  std::byte le[8];
  store_le64(le, word);
  for (size_t i = 0; i < into.size(); i += 8) {
    std::memcpy(into.data() + i, le, std::min<size_t>(8, into.size() - i));
  }
}

struct Life {
  Life(uint64_t seed, bool evict) : box(seed), random(seed * 3 + 1) {
    box.options.store.evict_always = evict;
    box.world().power().delay_max = 20 * kMicrosecond;
    static constexpr uint8_t kTypes[kObjects] = {0, 2, 5, 4};
    for (size_t i = 0; i < kObjects; ++i) {
      paths[i] = {1 + static_cast<uint32_t>(i % 2), {7 + i, uint64_t{kTypes[i]} << 56 | 1}, 0};
    }
    for (size_t i = 0; i < kObjects; ++i) {
      for (uint64_t d = 0; d < kDkeys; ++d) names[i][d] = name_of(i, d, true);
      for (uint64_t a = 0; a < kAkeys; ++a) akeys[i][a] = name_of(i, a, false);
    }
  }
  std::string name_of(size_t object, uint64_t n, bool dkey) const {
    const uint8_t type = paths[object].oid.type();
    if ((dkey ? model::dkey_kind(type) : model::akey_kind(type)) == model::KeyKind::integer) {
      std::byte le[8];
      store_le64(le, n * n * n);
      return std::string(as_chars(ByteView(le)));
    }
    return "key" + std::to_string(n) + (n % 7 == 3 ? std::string(n * 9 % 90, 'x') : "");
  }

  Box box;
  SeededRandom random;
  vos::ObjectPath paths[kObjects];
  std::string names[kObjects][kDkeys];
  std::string akeys[kObjects][kAkeys];
  Dkey content[kObjects][kDkeys];
  /// What a dkey may hold while an operation on it is under way.
  std::map<std::pair<size_t, uint64_t>, Dkey> coming;
  std::vector<std::string> wrong;
  uint32_t stamp = 0;
  uint64_t operations = 0;

  void report(size_t object, uint64_t dkey, const char* what) {
    wrong.push_back("object " + std::to_string(object) + " dkey " + std::to_string(dkey) + ": " +
                    what);
  }
};

// ---- reading -----------------------------------------------------------------------------------

/// The three akeys of a dkey in one fetch.
Task<Result<void>> fetch_one(Life& life, size_t object, uint64_t dkey) {
  // Whatever it holds at some time while this runs is right.
  std::vector<Dkey> right{life.content[object][dkey]};
  const auto coming = life.coming.find({object, dkey});
  if (coming != life.coming.end()) right.push_back(coming->second);
  constexpr size_t kRoom = 9'000;
  Bytes rooms[2] = {Bytes(kRoom), Bytes(kRoom)};
  Bytes records(kArrayRecords * kRecordBytes);
  vos::FetchRequest request{.object = life.paths[object],
                            .dkey = as_bytes(life.names[object][dkey])};
  for (size_t i = 0; i < 2; ++i) {
    request.iods.push_back({as_bytes(life.akeys[object][i]),
                            ValueType::single,
                            0,
                            0,
                            {},
                            {{rooms[i].data(), kRoom}},
                            false});
  }
  request.iods.push_back({as_bytes(life.akeys[object][2]),
                          ValueType::array,
                          kRecordBytes,
                          0,
                          {{0, kArrayRecords}},
                          {{records.data(), records.size()}},
                          false});
  CO_TRY(fetched, co_await life.box.shard().fetch(request));
  ++life.operations;
  const bool same = std::any_of(right.begin(), right.end(), [&](const Dkey& want) {
    for (size_t i = 0; i < 2; ++i) {
      if (fetched.iods[i].record_bytes != want.bytes[i]) return false;
      Bytes wanted(want.bytes[i]);
      fill(want.stamp[i], 0, wanted);
      if (!std::equal(wanted.begin(), wanted.end(), rooms[i].begin())) return false;
    }
    for (uint64_t r = 0; r < kArrayRecords; ++r) {
      std::byte wanted[kRecordBytes] = {};
      if (want.records[r] != 0) fill(want.records[r], r, wanted);
      if (std::memcmp(wanted, records.data() + r * kRecordBytes, kRecordBytes) != 0) return false;
    }
    return true;
  });
  if (!same) life.report(object, dkey, "a fetch gave what never was");
  co_return Result<void>{};
}

/// All dkeys, while nobody writes.
Task<Result<void>> list_one(Life& life, size_t object) {
  model::ListRequest request{.what = model::ListRequest::What::dkeys,
                             .count_max = 1 + static_cast<uint32_t>(life.random.below(30)),
                             .bytes_max = 4'000};
  CO_TRY(keys, co_await vos::testing::list_keys(life.box.shard(), life.paths[object], request));
  ++life.operations;
  std::sort(keys.begin(), keys.end());
  std::vector<std::string> wanted;
  for (uint64_t d = 0; d < kDkeys; ++d) {
    if (!life.content[object][d].empty()) wanted.push_back(life.names[object][d]);
  }
  std::sort(wanted.begin(), wanted.end());
  if (keys != wanted) life.report(object, kDkeys, "a listing is not what is there");
  co_return Result<void>{};
}

// ---- changing ----------------------------------------------------------------------------------

/// One update or punch of a dkey, to be done to model and store.
struct Change {
  size_t object = 0;
  uint64_t dkey = 0;
  enum class Kind : uint8_t { single, array, punch_akey, punch_dkey } kind = Kind::single;
  uint64_t akey = 0;
  uint32_t bytes = 0, stamp = 0;
  uint64_t first = 0, count = 0;  // records

  Dkey after(Dkey before) const {
    switch (kind) {
      case Kind::single:
        before.bytes[akey] = bytes;
        before.stamp[akey] = stamp;
        break;
      case Kind::array:
        before.array = true;
        for (uint64_t r = first; r < first + count; ++r) before.records[r] = stamp;
        break;
      case Kind::punch_akey:
        if (akey < 2) {
          before.bytes[akey] = before.stamp[akey] = 0;
        } else {
          std::fill_n(before.records, kArrayRecords, 0);
          before.array = false;
        }
        break;
      case Kind::punch_dkey:
        before = {};
    }
    return before;
  }
};

Change next_change(Life& life) {
  Change c;
  c.object = life.random.below(kObjects);
  c.dkey = life.random.below(kDkeys);
  c.stamp = ++life.stamp;
  const uint64_t dice = life.random.below(100);
  c.kind = dice < 55   ? Change::Kind::single
           : dice < 85 ? Change::Kind::array
           : dice < 95 ? Change::Kind::punch_akey
                       : Change::Kind::punch_dkey;
  c.akey = c.kind == Change::Kind::single  ? life.random.below(2)
           : c.kind == Change::Kind::array ? 2
                                           : life.random.below(kAkeys);
  c.bytes = 1 + static_cast<uint32_t>(life.random.below(dice < 3 ? 9'000 : 150));
  c.first = life.random.below(kArrayRecords);
  c.count = 1 + life.random.below(kArrayRecords - c.first);
  return c;
}

Task<Result<model::Epoch>> send(Life& life, const Change& c) {
  const ByteView dkey = as_bytes(life.names[c.object][c.dkey]);
  const ByteView akey = as_bytes(life.akeys[c.object][c.akey]);
  if (c.kind == Change::Kind::punch_akey || c.kind == Change::Kind::punch_dkey) {
    vos::PunchRequest request{
        .object = life.paths[c.object], .level = vos::PunchRequest::Level::dkey, .dkey = dkey};
    if (c.kind == Change::Kind::punch_akey) {
      request.level = vos::PunchRequest::Level::akeys;
      request.akeys.push_back(akey);
    }
    co_return co_await life.box.shard().punch(request);
  }
  vos::UpdateRequest request{.object = life.paths[c.object], .dkey = dkey};
  Bytes bytes(c.kind == Change::Kind::single ? c.bytes : c.count * kRecordBytes);
  if (c.kind == Change::Kind::single) {
    fill(c.stamp, 0, bytes);
    request.iods.push_back(
        {akey, ValueType::single, c.bytes, 0, {}, {{bytes.data(), bytes.size()}}, false});
  } else {
    for (uint64_t r = 0; r < c.count; ++r) {
      fill(c.stamp, c.first + r, ByteSpan(bytes).subspan(r * kRecordBytes, kRecordBytes));
    }
    request.iods.push_back({akey,
                            ValueType::array,
                            kRecordBytes,
                            0,
                            {{c.first, c.count}},
                            {{bytes.data(), bytes.size()}},
                            false});
  }
  co_return co_await life.box.shard().update(request);
}

Task<Result<void>> change_one(Life& life, Change c) {
  CO_TRY(epoch, co_await send(life, c));
  ++life.operations;
  life.content[c.object][c.dkey] = life.coming.at({c.object, c.dkey});
  co_return Result<void>{};
}

/// Some changes of different dkeys at once, and readers of the same and of other dkeys beside them.
Task<Result<void>> window(Life& life) {
  std::vector<Task<Result<void>>> tasks;
  life.coming.clear();
  for (uint64_t n = 1 + life.random.below(6); n > 0; --n) {
    const Change c = next_change(life);
    const std::pair<size_t, uint64_t> place{c.object, c.dkey};
    if (life.coming.contains(place)) continue;
    life.coming[place] = c.after(life.content[c.object][c.dkey]);
    tasks.push_back(change_one(life, c));
    if (life.random.below(4) == 0) tasks.push_back(fetch_one(life, c.object, c.dkey));
  }
  for (uint64_t n = life.random.below(4); n > 0; --n) {
    tasks.push_back(fetch_one(life, life.random.below(kObjects), life.random.below(kDkeys)));
  }
  if (life.random.below(300) == 0) tasks.push_back(life.box.shard().checkpoint());
  co_return co_await run_all(life.box.world().reactor(), std::move(tasks), 16);
}

Task<Result<void>> punch_object(Life& life) {
  const size_t object = life.random.below(kObjects);
  const vos::PunchRequest request{.object = life.paths[object],
                                  .level = vos::PunchRequest::Level::object};
  CO_TRY(epoch, co_await life.box.shard().punch(request));
  ++life.operations;
  for (Dkey& dkey : life.content[object]) dkey = {};
  co_return Result<void>{};
}

Task<Result<void>> destroy(Life& life) {
  CO_TRY(done, co_await life.box.shard().destroy_container(2));
  ++life.operations;
  for (size_t i = 1; i < kObjects; i += 2) {
    for (Dkey& dkey : life.content[i]) dkey = {};
  }
  co_return Result<void>{};
}

Task<Result<void>> steps(Life& life, uint64_t count) {
  for (uint64_t i = 0; i < count && life.wrong.empty(); ++i) {
    const uint64_t dice = life.random.below(500);
    CO_TRY(done, dice == 0   ? co_await punch_object(life)
                 : dice == 1 ? co_await destroy(life)
                 : dice < 20 ? co_await list_one(life, life.random.below(kObjects))
                             : co_await window(life));
  }
  co_return Result<void>{};
}

Task<Result<void>> verify_all(Life& life) {
  life.coming.clear();
  for (size_t object = 0; object < kObjects; ++object) {
    CO_TRY(listed, co_await list_one(life, object));
    for (uint64_t dkey = 0; dkey < kDkeys; ++dkey) {
      CO_TRY(fetched, co_await fetch_one(life, object, dkey));
    }
  }
  co_return Result<void>{};
}

void expect_right(Life& life, const Result<void>& done) {
  ASSERT_TRUE(done.has_value()) << done.error().what();
  for (const std::string& wrong : life.wrong) ADD_FAILURE() << wrong;
  ASSERT_TRUE(life.wrong.empty());
}

void restart(Life& life, bool cleanly) {
  if (cleanly) {
    const auto closed = life.box.run(life.box.shard().close());
    ASSERT_TRUE(closed.has_value()) << closed.error().what();
  }
  life.box.end_era();
  life.box.world().begin_era();
  const auto opened = life.box.start(false);
  ASSERT_TRUE(opened.has_value()) << opened.error().what();
  ASSERT_NO_FATAL_FAILURE(expect_right(life, life.box.run(verify_all(life))));
  const auto report = life.box.run(life.box.shard().check(true));
  ASSERT_TRUE(report.has_value()) << report.error().what();
  for (const std::string& problem : report->problems) ADD_FAILURE() << problem;
  ASSERT_TRUE(report->problems.empty());
}

void live(Life& life) {
  const auto created = life.box.start(true);
  ASSERT_TRUE(created.has_value()) << created.error().what();
  for (uint64_t done = 0; done < kStepsOfLife; done += kStepsBetweenRestarts) {
    ASSERT_NO_FATAL_FAILURE(expect_right(life, life.box.run(steps(life, kStepsBetweenRestarts))));
    ASSERT_NO_FATAL_FAILURE(restart(life, life.random.below(2) == 0));
  }
}

void live_for_a_while(bool evict) {
  const uint64_t seconds = env_number("CAIRN_TEST_SECONDS", 5);
  const Instant begin = system_clock().now();
  const Instant end = begin + seconds * kSecond;
  uint64_t seed = test_seed();
  uint64_t operations = 0;
  do {
    SCOPED_TRACE("CAIRN_TEST_SEED " + std::to_string(seed));
    Life life(seed++, evict);
    ASSERT_NO_FATAL_FAILURE(live(life));
    operations += life.operations;
  } while (system_clock().now() < end);
  const double took = static_cast<double>(system_clock().now() - begin) / 1e9;
  std::printf("seeds %llu to %llu: %llu operations, %.0f a second\n",
              static_cast<unsigned long long>(test_seed()),
              static_cast<unsigned long long>(seed - 1),
              static_cast<unsigned long long>(operations), static_cast<double>(operations) / took);
}

TEST(LongModel, Operations_by_the_million_answer_like_the_model) { live_for_a_while(false); }

TEST(LongModel, With_every_page_evicted_after_each_step_they_answer_like_the_model) {
  live_for_a_while(true);
}

}  // namespace
}  // namespace cairn::tests::store
