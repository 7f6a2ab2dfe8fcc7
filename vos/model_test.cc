// Random operations on a shard against the naive model, with restarts. What is judged: every answer
// (also refusals), and the whole content, listings and the offline check after each restart.
// CAIRN_TEST_SEED and CAIRN_TEST_SECONDS choose the seed and the time of each test.
#include <gtest/gtest.h>

#include <cstdio>

#include "index/budget.h"
#include "runtime/clock.h"
#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

constexpr uint64_t kSession = 77;

struct Life {
  Life(uint64_t seed, Breadth breadth, bool evict, uint64_t memory)
      : rig(seed, std::move(breadth), {.wal = 2u << 20, .meta = 64u << 20, .data = 64u << 20}) {
    rig.options.store.evict_always = evict;
    rig.options.store.memory_bytes = memory;
    rig.books.small_memory = memory < 64u << 20;
    rig.world.power().delay_max = 20 * kMicrosecond;
  }
  SeededRandom& random() { return rig.generator.random(); }
  const ObjectPath& path(size_t object) const { return rig.generator.paths()[object]; }

  Rig rig;
  uint64_t sequence = 0;
  std::optional<std::pair<Op, model::Epoch>> answered;  // the last operation of the session
  uint64_t flattened = 0;
  std::map<std::string, uint64_t> stayed;  // and why
};

/// What the model says of a fetch of one iod.
struct Wanted {
  uint64_t record_bytes = 0;
  uint64_t needed = 0;  // bytes of room
};

Wanted wanted_of(const Dkey& dkey, const OpIod& iod) {
  const auto found = dkey.find(iod.akey);
  if (found == dkey.end() || found->second.type != iod.type) return {};
  const Akey& akey = found->second;
  if (iod.type == ValueType::single) return {akey.single_bytes, akey.single_bytes};
  uint64_t records = 0;
  bool any = false;
  for (const model::Recx& r : iod.recxs) {
    records += r.count;
    const auto at = akey.records.lower_bound(r.index);
    any = any || (at != akey.records.end() && at->first < r.index + r.count);
  }
  return any ? Wanted{akey.record_bytes, records * akey.record_bytes} : Wanted{};
}

/// The room after the fetch, as the model sees it.
void fill_wanted(const Dkey& dkey, const OpIod& iod, Bytes& room) {
  const auto found = dkey.find(iod.akey);
  if (found == dkey.end() || found->second.type != iod.type) return;
  const Akey& akey = found->second;
  if (iod.type == ValueType::single) {
    for (uint64_t i = 0; i < akey.single_bytes; ++i) room[i] = byte_of(akey.single_stamp, 0, i);
    return;
  }
  uint64_t before = 0;
  for (const model::Recx& r : iod.recxs) {
    for (auto it = akey.records.lower_bound(r.index);
         it != akey.records.end() && it->first < r.index + r.count; ++it) {
      const uint64_t at = (before + it->first - r.index) * akey.record_bytes;
      for (uint64_t i = 0; i < akey.record_bytes; ++i) {
        room[at + i] = byte_of(it->second, it->first, i);
      }
    }
    before += r.count;
  }
}

struct FetchCase {
  Op op;
  std::vector<Bytes> rooms;
  std::vector<Bytes> wanted_rooms;
  std::vector<Wanted> wanted;
  Errc status = Errc::ok;
  FetchRequest request;
};

/// A fetch of what some random update would write, into rooms that may be too short or missing.
FetchCase make_fetch(Life& life) {
  using namespace model::cond;
  FetchCase c;
  do {
    c.op = life.rig.generator.next();
  } while (c.op.kind == Op::Kind::punch);
  const Object& object = life.rig.books.objects[c.op.object];
  const auto found = object.find(c.op.dkey);
  const Dkey dkey = found == object.end() ? Dkey{} : found->second;
  const uint64_t dice = life.random().below(12);
  if (dice == 0) c.request.flags = kDkeyFetch;
  if (dice == 1) c.request.flags = kAkeyFetch;
  if (dice == 2) c.request.flags = kPerAkey;
  bool absent = dice == 0 && dkey.empty();
  for (OpIod& iod : c.op.iods) {
    iod.flags = dice == 2 && life.random().below(2) == 0 ? kAkeyFetch : 0;
    const bool asked = dice == 1 || iod.flags != 0;
    absent = absent || (asked && dkey.count(iod.akey) == 0);
    c.wanted.push_back(wanted_of(dkey, iod));
    const uint64_t kind = life.random().below(10);
    const bool size_only = kind == 0;
    const bool is_short = kind == 1 && c.wanted.back().needed > 0;
    uint64_t bytes = size_only ? 0 : c.wanted.back().needed + life.random().below(9);
    if (is_short) bytes = life.random().below(c.wanted.back().needed);
    if (is_short) c.status = Errc::record_too_big;
    c.rooms.emplace_back(bytes, std::byte{0xEE});
    iod.record_bytes = size_only ? 1 : 0;  // from here on: is it size only?
  }
  c.wanted_rooms = c.rooms;
  if (absent) c.status = Errc::nonexistent;
  for (size_t i = 0; i < c.op.iods.size() && c.status == Errc::ok; ++i) {
    if (c.op.iods[i].record_bytes == 0) fill_wanted(dkey, c.op.iods[i], c.wanted_rooms[i]);
  }
  return c;
}

Task<Result<void>> fetch_one(Life& life, FetchCase c) {
  c.request.object = life.path(c.op.object);
  c.request.dkey = as_bytes(c.op.dkey);
  for (size_t i = 0; i < c.op.iods.size(); ++i) {
    const OpIod& iod = c.op.iods[i];
    c.request.iods.push_back({as_bytes(iod.akey), iod.type, 0, iod.flags, iod.recxs,
                              scattered(c.rooms[i]), iod.record_bytes != 0});
  }
  CO_TRY(fetched, co_await life.rig.shard->fetch(c.request));
  auto& wrong = life.rig.books.wrong;
  if (fetched.status != c.status) wrong.push_back("fetch: status differs: " + shown(c.op));
  if (c.rooms != c.wanted_rooms) wrong.push_back("fetch: bytes differ: " + shown(c.op));
  if (c.status == Errc::nonexistent || fetched.iods.size() != c.wanted.size()) {
    co_return Result<void>{};
  }
  for (size_t i = 0; i < c.wanted.size(); ++i) {
    if (fetched.iods[i].record_bytes != c.wanted[i].record_bytes) {
      wrong.push_back("fetch: size differs: " + shown(c.op));
    }
  }
  co_return Result<void>{};
}

/// Some updates at once, and fetches of other dkeys beside them.
Task<Result<void>> mixed_window(Life& life) {
  Rig& rig = life.rig;
  std::vector<Op> ops = next_window(rig.generator, 1 + life.random().below(5));
  std::vector<Task<Result<void>>> tasks;
  for (uint64_t n = life.random().below(4); n > 0; --n) {
    FetchCase c = make_fetch(life);
    const bool collides = std::any_of(ops.begin(), ops.end(), [&](const Op& o) {
      return o.object == c.op.object && (o.whole_object() || o.dkey == c.op.dkey);
    });
    if (!collides) tasks.push_back(fetch_one(life, std::move(c)));
  }
  for (Op& op : ops) {
    tasks.push_back(run_one(*rig.shard, rig.generator.paths(), rig.books, std::move(op)));
  }
  if (life.random().below(40) == 0) tasks.push_back(rig.shard->checkpoint());
  co_return co_await run_all(rig.world.reactor(), std::move(tasks), 8);
}

/// One operation of the session, sometimes sent twice at the same time.
Task<Result<void>> session_op(Life& life) {
  Rig& rig = life.rig;
  Op op = rig.generator.next();
  op.origin = {kSession, ++life.sequence, life.sequence > 3 ? life.sequence - 3 : 0};
  Object after = rig.books.objects[op.object];
  const Errors errors = apply_op(after, op);
  const auto epoch = co_await execute(*rig.shard, life.path(op.object), op);
  auto& wrong = rig.books.wrong;
  if (!epoch && epoch.error().code() == Errc::no_memory && rig.books.small_memory) {
    co_return Result<void>{};
  }
  if (epoch.has_value() != errors.empty()) wrong.push_back("session: " + shown(op));
  if (!epoch) {
    if (errors.count(epoch.error().code()) == 0) co_return fail(epoch.error());
    co_return Result<void>{};
  }
  rig.books.objects[op.object] = std::move(after);
  life.answered = std::pair(std::move(op), *epoch);
  co_return Result<void>{};
}

/// The same (session, sequence) again: the first answer, and nothing changes.
Task<Result<void>> resend(Life& life) {
  if (!life.answered) co_return Result<void>{};
  const auto& [op, epoch] = *life.answered;
  // After some refused ones the session has said that it needs no answer to this one any more.
  if (op.origin.sequence + 3 < life.sequence) co_return Result<void>{};
  CO_TRY(again, co_await execute(*life.rig.shard, life.path(op.object), op));
  // A punch that found nothing leaves nothing that a restart could remember.
  if (again != epoch && op.kind == Op::Kind::update) {
    life.rig.books.wrong.push_back("a resend was answered with another epoch");
  }
  co_return Result<void>{};
}

Task<Result<void>> check_epochs(Life& life) {
  auto& books = life.rig.books;
  for (size_t i = 0; i < books.objects.size(); ++i) {
    CO_TRY(epoch, co_await life.rig.shard->max_epoch(life.path(i)));
    if (!books.objects[i].empty() && epoch < books.epochs[i]) {
      books.wrong.push_back("max_epoch of object " + std::to_string(i) + " went back");
    }
    books.epochs[i] = std::max(books.epochs[i], epoch);
  }
  co_return Result<void>{};
}

/// Greatest and smallest keys of the objects whose keys are integers, by the model's own search.
struct Best {
  bool found = false;
  uint64_t dkey = 0, akey = 0, record = 0;
};

uint64_t number_of(const std::string& key) { return load_le64(as_bytes(key).data()); }

Best best_of(const Object& object, bool max, bool want_akey, bool want_recx,
             const std::string& akey_given) {
  Best best;
  const auto better = [max](uint64_t a, uint64_t b) { return max ? a > b : a < b; };
  for (const auto& [dkey, akeys] : object) {
    const uint64_t d = number_of(dkey);
    if (best.found && d != best.dkey && !better(d, best.dkey)) continue;
    for (const auto& [name, akey] : akeys) {
      if (!want_akey && want_recx && name != akey_given) continue;
      if (want_recx && akey.records.empty()) continue;
      const uint64_t a = want_akey ? number_of(name) : 0;
      if (best.found && d == best.dkey && a != best.akey && !better(a, best.akey)) continue;
      best = {true, d, a, 0};
      if (want_recx) {
        best.record = max ? akey.records.rbegin()->first : akey.records.begin()->first;
      }
    }
  }
  return best;
}

Task<Result<void>> check_query(Life& life) {
  const size_t object = life.random().below(life.rig.generator.paths().size());
  const ObjectPath& path = life.path(object);
  if (model::dkey_kind(path.oid.type()) != model::KeyKind::integer) co_return Result<void>{};
  const bool integer_akeys = model::akey_kind(path.oid.type()) == model::KeyKind::integer;
  const std::string akey = life.rig.generator.akey(object);
  model::QueryKeyRequest q{.max = life.random().below(2) == 0, .want_dkey = true};
  q.want_recx = life.random().below(2) == 0;
  q.want_akey = integer_akeys && life.random().below(2) == 0;
  q.akey_bytes = as_bytes(akey);
  if (integer_akeys) q.akey = number_of(akey);
  const Best want = best_of(life.rig.books.objects[object], q.max, q.want_akey, q.want_recx, akey);
  CO_TRY(got, co_await life.rig.shard->query_key(path, q));
  const uint64_t border = q.max ? got.recx.index + got.recx.count - 1 : got.recx.index;
  const bool same =
      got.found == want.found &&
      (!want.found || (got.dkey == want.dkey && (!q.want_akey || got.akey == want.akey) &&
                       (!q.want_recx || border == want.record)));
  if (!same) life.rig.books.wrong.push_back("query_key of object " + std::to_string(object));
  co_return Result<void>{};
}

/// position_of(): a listing from a key starts at it or the next one.
Task<Result<void>> check_position(Life& life) {
  const size_t object = life.random().below(life.rig.generator.paths().size());
  const ObjectPath& path = life.path(object);
  const Object& content = life.rig.books.objects[object];
  const std::string key = life.rig.generator.dkey(object);
  model::ListRequest r{
      .what = model::ListRequest::What::dkeys, .count_max = 1, .bytes_max = 20'000};
  CO_TRY(position, life.rig.shard->position_of(path, r.what, as_bytes(key)));
  r.position = position;
  CO_TRY(listed, co_await life.rig.shard->list(path, r));
  const bool there = content.count(key) != 0;
  if (there && (listed.lengths.size() != 1 || as_chars(listed.keys) != key)) {
    life.rig.books.wrong.push_back("a listing does not start at the key given");
  }
  co_return Result<void>{};
}

Task<Result<void>> destroy_one(Life& life) {
  const ContNumber container = 1 + static_cast<ContNumber>(life.random().below(3));
  CO_TRY(done, co_await life.rig.shard->destroy_container(container));
  for (size_t i = 0; i < life.rig.books.objects.size(); ++i) {
    if (life.path(i).container != container) continue;
    life.rig.books.objects[i].clear();
    life.rig.books.epochs[i] = 0;
  }
  life.answered.reset();
  co_return Result<void>{};
}

/// Some objects, of which others say with reason why they stay; nothing that anybody reads changes.
Task<Result<void>> flatten_some(Life& life) {
  std::vector<ObjectPath> paths;
  std::vector<size_t> objects;
  for (size_t i = 0; i < life.rig.books.objects.size(); ++i) {
    if (life.random().below(3) != 0) continue;
    paths.push_back(life.path(i));
    objects.push_back(i);
  }
  FlattenOptions options;
  if (life.random().below(3) == 0) options.inline_bytes_max = life.random().below(20'000);
  if (life.random().below(4) == 0) options.keys_max = 1;  // values are packed instead
  options.compress = life.random().below(2) == 0;
  CO_TRY(done, co_await life.rig.shard->flatten(paths, options));
  if (life.random().below(4) == 0) {
    CO_TRY(cleaned, co_await life.rig.shard->clean_flat(
                        1 + static_cast<ContNumber>(life.random().below(3))));
  }
  for (size_t i = 0; i < objects.size(); ++i) {
    const FlattenOutcome outcome = done[i].outcome;
    CO_TRY(is_flat, co_await life.rig.shard->is_flat(paths[i]));
    const bool said = outcome == FlattenOutcome::flattened || outcome == FlattenOutcome::already;
    const bool empty = life.rig.books.objects[objects[i]].empty();
    if (said && (!is_flat || empty)) {
      life.rig.books.wrong.push_back("flattening: " + std::string(flatten_outcome_text(outcome)));
    }
    if (said) {
      ++life.flattened;
    } else {
      ++life.stayed[flatten_outcome_text(outcome)];
    }
  }
  co_return Result<void>{};
}

Task<Result<void>> some_step(Life& life) {
  switch (life.random().below(40)) {
    case 0:
    case 1:
    case 2:
      co_return co_await session_op(life);
    case 3:
    case 4:
      co_return co_await resend(life);
    case 5:
      co_return co_await check_epochs(life);
    case 6:
    case 7:
    case 8:
      co_return co_await check_query(life);
    case 9:
    case 10:
      co_return co_await check_position(life);
    case 11:
      if (life.random().below(25) == 0) co_return co_await destroy_one(life);
      co_return Result<void>{};
    case 12:
    case 13:
    case 14:
      co_return co_await flatten_some(life);
    default:
      co_return co_await mixed_window(life);
  }
}

/// Half a listing before the restart, the other half behind it.
struct HalfListing {
  size_t object = 0;
  std::vector<std::string> keys;
  Bytes position;
  bool eof = false;
};

Task<Result<void>> list_some(Life& life, HalfListing& half, size_t calls) {
  for (size_t i = 0; i < calls && !half.eof; ++i) {
    model::ListRequest r{.what = model::ListRequest::What::dkeys,
                         .count_max = 1,
                         .bytes_max = 20'000,
                         .position = half.position};
    CO_TRY(listed, co_await life.rig.shard->list(life.path(half.object), r));
    if (!listed.lengths.empty()) half.keys.emplace_back(as_chars(listed.keys));
    half.position = listed.position;
    half.eof = listed.eof;
  }
  co_return Result<void>{};
}

void restart(Life& life, bool cleanly) {
  HalfListing half;
  half.object = life.random().below(life.rig.generator.paths().size());
  const auto begun = life.rig.world.run(list_some(life, half, 2));
  ASSERT_TRUE(begun && begun->has_value()) << begun->error().what();
  if (cleanly) {
    ASSERT_NO_FATAL_FAILURE(life.rig.close_cleanly());
  } else {
    life.rig.next_era();
  }
  const auto opened = life.rig.start(false);
  ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
  const auto ended = life.rig.world.run(list_some(life, half, 1000));
  ASSERT_TRUE(ended && ended->has_value() && half.eof) << ended->error().what();
  EXPECT_EQ(compare_keys(half.keys, life.rig.books.objects[half.object], false), "");
  ASSERT_NO_FATAL_FAILURE(life.rig.expect_same(1 + static_cast<uint32_t>(life.random().below(9))));
  ASSERT_NO_FATAL_FAILURE(life.rig.expect_clean());
  const auto epochs = life.rig.world.run(check_epochs(life));
  ASSERT_TRUE(epochs && epochs->has_value());
}

/// One shard's life: some hundred steps between restarts.
void live(Life& life, int restarts) {
  ASSERT_TRUE(*life.rig.start(true));
  life.rig.shard->open_session(kSession);
  for (int i = 0; i < restarts; ++i) {
    for (uint64_t steps = 20 + life.random().below(120); steps > 0; --steps) {
      const auto done = life.rig.world.run(some_step(life));
      ASSERT_TRUE(done && done->has_value())
          << done->error().what() << "; " << life.rig.shown_usage();
      for (const std::string& wrong : life.rig.books.wrong) ADD_FAILURE() << wrong;
      ASSERT_TRUE(life.rig.books.wrong.empty());
    }
    SCOPED_TRACE("restart " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(restart(life, i % 3 != 2));
  }
}

/// Ends with nothing left: every byte must have come back.
void expect_all_space_returns(Life& life) {
  for (ContNumber container = 1; container <= 3; ++container) {
    const auto gone = life.rig.world.run(life.rig.shard->destroy_container(container));
    ASSERT_TRUE(gone && gone->has_value()) << gone->error().what();
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
  uint64_t done = 0, refused = 0, flattened = 0;
  std::map<std::string, uint64_t> stayed;
  do {
    SCOPED_TRACE("CAIRN_TEST_SEED " + std::to_string(seed - seed_offset));
    const bool evict = seed % 3 == 0;
    const uint64_t memory = seed % 4 == 1 ? index::kMemoryBytesMin : 128u << 20;
    Life life(seed, breadth, evict, memory);
    ASSERT_NO_FATAL_FAILURE(live(life, 6));
    ASSERT_NO_FATAL_FAILURE(expect_all_space_returns(life));
    done += life.rig.books.done;
    refused += life.rig.books.refused;
    flattened += life.flattened;
    for (const auto& [why, count] : life.stayed) stayed[why] += count;
    ++seed;
  } while (system_clock().now() < end);
  std::printf("CAIRN_TEST_SEED %llu to %llu: %llu operations, %llu refused\n",
              static_cast<unsigned long long>(test_seed()),
              static_cast<unsigned long long>(seed - seed_offset - 1),
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(refused));
  std::printf("flattened %llu objects;", static_cast<unsigned long long>(flattened));
  for (const auto& [why, count] : stayed) {
    std::printf(" %llu: %s;", static_cast<unsigned long long>(count), why.c_str());
  }
  std::printf("\n");
  EXPECT_GT(done, refused);
  EXPECT_GT(flattened, 0u);
}

TEST(ShardModel, Random_operations_on_all_key_kinds_answer_like_the_model) {
  // Goal: every answer and the whole content equal the model's. Method: objects of every key kind
  // in several containers, few keys, long ones among them; several operations at once; restarts.
  live_for_a_while({.types = {0, 2, 3, 4, 5, 6, 7},
                    .containers = 3,
                    .dkeys = 7,
                    .akeys = 7,
                    .value_bytes_max = 65'536,
                    .long_keys = true},
                   0);
}

TEST(ShardModel, Random_operations_that_collide_on_few_keys_answer_like_the_model) {
  // Goal: overlaps, trims, punches and markers on the same few records, more often than above.
  live_for_a_while({.types = {0, 4},
                    .dkeys = 3,
                    .akeys = 4,
                    .value_bytes_max = 30'000,
                    .punch_percent = 20,
                    .scatter_percent = 15},
                   1'000'000);
}

}  // namespace
}  // namespace cairn::vos::testing
