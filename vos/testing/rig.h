// Rig: a shard on simulated disks, the model beside it, random operations for both, and the verdict
// after a restart or a power cut.
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include "runtime/parallel.h"
#include "sim/world.h"
#include "vos/testing/verify.h"

namespace cairn::vos::testing {

inline uint64_t env_number(const char* name, uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 0) : otherwise;
}
/// Beside a sanitizer, which makes each ten times as long, a part of the lives must do.
inline uint64_t lives(uint64_t wanted) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return (wanted + 4) / 5;
#endif
#endif
  return wanted;
}
inline uint64_t test_seed() { return env_number("CAIRN_TEST_SEED", 20'261); }

/// The meta blob is far larger than what is in it: a step asks for many pages beforehand.
struct Sizes {
  uint64_t wal = 512u << 10;
  uint64_t meta = 64u << 20;
  uint64_t data = 8u << 20;
};

/// How wide the random operations are.
struct Breadth {
  std::vector<uint8_t> types{0};  // one object of each
  uint32_t containers = 1;
  uint64_t dkeys = 3;
  uint64_t akeys = 3;
  uint64_t value_bytes_max = 20'000;
  bool long_keys = false;
  bool conditions = true;
  uint64_t punch_percent = 12;
  uint64_t scatter_percent = 4;  // updates with more records than a punch removes at once
};

/// Random operations that collide often.
class Generator {
 public:
  Generator(Breadth breadth, uint64_t seed) : breadth_(std::move(breadth)), random_(seed) {
    uint64_t lo = 1;
    for (uint32_t c = 1; c <= breadth_.containers; ++c) {
      for (const uint8_t type : breadth_.types) {
        paths_.push_back({c, {++lo, uint64_t{type} << 56 | 0x0001'0001'0000'0000}, 0});
      }
    }
  }
  const std::vector<ObjectPath>& paths() const { return paths_; }
  SeededRandom& random() { return random_; }
  const Breadth& breadth() const { return breadth_; }

  std::string dkey(size_t object) {
    return name(model::dkey_kind(paths_[object].oid.type()), random_.below(breadth_.dkeys));
  }
  std::string akey(size_t object) {
    return name(model::akey_kind(paths_[object].oid.type()), random_.below(breadth_.akeys));
  }
  std::string name(model::KeyKind kind, uint64_t n) const {
    if (kind == model::KeyKind::integer) {
      std::byte le[8];
      store_le64(le, n < 3 ? n : n * 0x0101'0101'0101ull);
      return std::string(as_chars(ByteView(le)));
    }
    std::string key = "k" + std::to_string(n);
    if (n == 2) key += std::string("\0\xFF\0", 3);
    if (!breadth_.long_keys) return key;
    const bool hashed = kind == model::KeyKind::hashed;
    // Two long ones share their first 64 bytes.
    if (n == 3) return std::string(64, 'p');
    if (n == 4) return std::string(65, 'p');
    if (n == 5) return hashed ? std::string(3'000, 'p') : std::string(96, 'p');
    if (n == 6) return hashed ? std::string(9'000, 'q') : std::string(64, '\0');
    return key;
  }

  Op next() {
    Op op;
    op.object = random_.below(paths_.size());
    op.stamp = ++stamp_;
    if (random_.below(100) < breadth_.punch_percent) return punch(std::move(op));
    op.dkey = dkey(op.object);
    for (uint64_t n = 1 + (random_.below(4) == 0 ? random_.below(3) : 0); n > 0; --n) {
      OpIod iod = random_iod(op.object);
      const bool twice = std::any_of(op.iods.begin(), op.iods.end(),
                                     [&](const OpIod& i) { return i.akey == iod.akey; });
      if (!twice || random_.below(20) == 0) op.iods.push_back(std::move(iod));
    }
    if (breadth_.conditions && random_.below(5) == 0) add_condition(op);
    return op;
  }

 private:
  Op punch(Op op) {
    op.kind = Op::Kind::punch;
    const uint64_t dice = random_.below(10);
    if (breadth_.conditions && random_.below(3) == 0) op.flags = model::cond::kPunch;
    op.level = dice == 0 ? Level::object : dice < 4 ? Level::dkey : Level::akeys;
    if (op.level == Level::object) return op;
    op.dkey = dkey(op.object);
    if (op.level == Level::dkey) return op;
    for (uint64_t n = 1 + random_.below(2); n > 0; --n) op.iods.push_back({akey(op.object)});
    return op;
  }

  uint64_t random_bytes() {
    switch (random_.below(10)) {
      case 0:
        return 0;
      case 1:
        return 4000 + random_.below(200);
      case 2:
      case 3:
        return 1 + random_.below(breadth_.value_bytes_max);
      case 4:
        return 88;
      default:
        return 1 + random_.below(200);
    }
  }

  OpIod random_iod(size_t object) {
    OpIod iod;
    iod.akey = akey(object);
    // The type follows from the key most of the time, so that few updates are refused.
    const uint64_t number =
        static_cast<uint8_t>(iod.akey[1]) + iod.akey.size() + static_cast<uint8_t>(iod.akey[0]);
    const bool array = (number % 3 != 0) != (random_.below(30) == 0);
    if (!array) {
      iod.record_bytes = random_bytes();
      return iod;
    }
    iod.type = ValueType::array;
    static constexpr uint64_t kRecordBytes[] = {1, 8, 3, 1000, 5000};
    const uint64_t record = kRecordBytes[random_.below(40) == 0 ? random_.below(5) : number % 5];
    static constexpr uint64_t kBases[] = {0, (1ull << 32) - 50, 1ull << 62};
    const uint64_t base = kBases[number / 3 % 3];
    if (random_.below(100) < breadth_.scatter_percent) return scatter(std::move(iod), record, base);
    const uint64_t range = breadth_.value_bytes_max / record + 8;
    uint64_t at = random_.below(range);
    for (uint64_t n = 1 + (random_.below(3) == 0 ? random_.below(4) : 0); n > 0; --n) {
      const uint64_t count = 1 + random_bytes() / record;
      iod.recxs.push_back({base + at, count});
      at += count + random_.below(10);
    }
    if (random_.below(4) == 0) std::reverse(iod.recxs.begin(), iod.recxs.end());
    iod.record_bytes = random_.below(6) == 0 ? 0 : record;
    return iod;
  }

  OpIod scatter(OpIod iod, uint64_t record, uint64_t base) {
    const uint64_t each = record > 100 ? 20 : 140;
    const uint64_t at = base + random_.below(50);
    for (uint64_t i = 0; i < each; ++i) iod.recxs.push_back({at + 3 * i, 1});
    iod.record_bytes = record;
    return iod;
  }

  void add_condition(Op& op) {
    static constexpr uint64_t kAll[] = {model::cond::kDkeyInsert, model::cond::kDkeyUpdate,
                                        model::cond::kAkeyInsert, model::cond::kAkeyUpdate};
    if (random_.below(3) != 0) {
      op.flags = kAll[random_.below(4)];
      return;
    }
    op.flags = model::cond::kPerAkey | (random_.below(2) == 0 ? model::cond::kDkeyUpdate : 0);
    for (OpIod& iod : op.iods) {
      const uint64_t dice = random_.below(3);
      iod.flags = dice == 0 ? 0 : dice == 1 ? model::cond::kAkeyInsert : model::cond::kAkeyUpdate;
    }
  }

  Breadth breadth_;
  SeededRandom random_;
  std::vector<ObjectPath> paths_;
  uint32_t stamp_ = 0;
};

/// What the outside knows: the content that was acknowledged, and what is under way.
struct Books {
  explicit Books(size_t count) : objects(count), epochs(count) {}
  bool created = false;
  bool small_memory = false;  // a large step may be refused: documented, nothing changes
  std::vector<Object> objects;
  std::vector<model::Epoch> epochs;  // newest acknowledged one of each object
  model::Epoch newest = 0;
  model::Epoch newest_before = 0;  // in the eras before this one
  std::map<uint32_t, Op> flights;  // by stamp
  std::vector<std::string> wrong;  // answers that contradict the model
  uint64_t done = 0, refused = 0;
};

/// Runs one operation and compares its answer with the model's.
inline Task<Result<void>> run_one(Shard& shard, const std::vector<ObjectPath>& paths, Books& books,
                                  Op given) {
  const uint32_t stamp = given.stamp;
  const Op& op = books.flights.emplace(stamp, std::move(given)).first->second;
  const auto epoch = co_await execute(shard, paths[op.object], op);
  if (!epoch && (epoch.error().code() == Errc::io || epoch.error().code() == Errc::checksum)) {
    co_return fail(epoch.error());  // the outcome is open: stays a flight
  }
  if (!epoch &&
      (epoch.error().code() == Errc::no_space || epoch.error().code() == Errc::no_memory)) {
    books.flights.erase(stamp);
    ++books.refused;
    if (books.small_memory && epoch.error().code() == Errc::no_memory) co_return Result<void>{};
    co_return fail(epoch.error());
  }
  const bool was_empty = books.objects[op.object].count(op.dkey) == 0;
  const Errors errors = apply_op(books.objects[op.object], op);
  if (epoch) {
    if (!errors.empty()) books.wrong.push_back("an operation that had to be refused was done");
    if (*epoch <= books.newest_before) books.wrong.push_back("an epoch went back");
    books.newest = std::max(books.newest, *epoch);
    // A punch that finds nothing changes nothing.
    const bool changed = op.kind == Op::Kind::update || (op.level == Level::dkey && !was_empty);
    if (changed) books.epochs[op.object] = std::max(books.epochs[op.object], *epoch);
    ++books.done;
  } else {
    if (errors.count(epoch.error().code()) == 0) {
      books.wrong.push_back("stamp " + std::to_string(stamp) + ": " +
                            std::string(epoch.error().what()));
    }
    ++books.refused;
  }
  books.flights.erase(stamp);
  co_return Result<void>{};
}

/// The next operations that may be under way together: their dkeys differ.
inline std::vector<Op> next_window(Generator& generator, size_t count) {
  std::vector<Op> window;
  while (window.size() < count) {
    Op op = generator.next();
    const bool collides = std::any_of(window.begin(), window.end(), [&](const Op& o) {
      return o.object == op.object && (o.whole_object() || op.whole_object() || o.dkey == op.dkey);
    });
    if (collides) break;
    window.push_back(std::move(op));
  }
  return window;
}

inline Task<Result<void>> run_many(Reactor& reactor, Shard& shard, Generator& generator,
                                   Books& books, uint64_t count, size_t width,
                                   uint64_t checkpoint_at) {
  for (uint64_t done = 0, windows = 1; done < count; ++windows) {
    std::vector<Op> ops = next_window(generator, std::min<uint64_t>(width, count - done));
    std::vector<Task<Result<void>>> tasks;
    done += ops.size();
    for (Op& op : ops) tasks.push_back(run_one(shard, generator.paths(), books, std::move(op)));
    if (checkpoint_at != 0 && windows % checkpoint_at == 0) tasks.push_back(shard.checkpoint());
    CO_TRY(ran, co_await run_all(reactor, std::move(tasks), width + 1));
  }
  co_return Result<void>{};
}

class Rig {
 public:
  Rig(uint64_t seed, Breadth breadth, Sizes sizes = {})
      : world(seed),
        wal(world.add_disk("wal", sizes.wal)),
        meta(world.add_disk("meta", sizes.meta)),
        data(world.add_disk("data", sizes.data)),
        generator(std::move(breadth), seed * 7 + 1),
        books(generator.paths().size()) {
    options.store.memory_bytes = 64u << 20;
    if (seed % 2 != 0) return;
    // One flush for log and data, where data overwrites something; elsewhere records carry it.
    world.share_cache();
    if (seed % 4 == 0) data.fill(1u << 20);
  }
  ~Rig() { end_era(); }

  /// Makes or opens the shard. Nullopt: the power went.
  std::optional<Result<void>> start(bool create) { return world.run(start_task(*this, create)); }
  std::optional<Result<void>> run(uint64_t count, size_t width, uint64_t checkpoint_at) {
    return world.run(
        run_many(world.reactor(), *shard, generator, books, count, width, checkpoint_at));
  }
  /// The frames go first: they refer to the shard.
  void end_era() {
    world.end_era();
    shard.reset();
  }
  void next_era() {
    end_era();
    world.begin_era();
    books.newest_before = books.newest;
  }
  void close_cleanly() {
    const auto closed = world.run(shard->close());
    ASSERT_TRUE(closed && closed->has_value()) << closed->error().what();
    next_era();
  }

  /// Each operation whose answer never came was done whole or not at all; the books go on from
  /// what is there.
  void settle_flights() {
    for (const auto& [stamp, op] : books.flights) {
      Object after = books.objects[op.object];
      const Errors errors = apply_op(after, op);
      const std::string before_differs = verdict_on(op, books.objects[op.object]);
      if (before_differs.empty()) continue;
      const std::string after_differs = verdict_on(op, after);
      ASSERT_TRUE(errors.empty() && after_differs.empty())
          << "stamp " << stamp << " (" << shown(op) << ") is neither absent (" << before_differs
          << ") nor whole (" << after_differs << ")";
      books.objects[op.object] = std::move(after);
    }
    books.flights.clear();
  }
  void expect_same(uint32_t count_max = 7) {
    for (const std::string& wrong : books.wrong) ADD_FAILURE() << wrong;
    books.wrong.clear();
    for (size_t i = 0; i < books.objects.size(); ++i) {
      const auto same =
          world.run(verify_object(*shard, generator.paths()[i], books.objects[i], count_max));
      ASSERT_TRUE(same && same->has_value()) << same->error().what();
      ASSERT_EQ(**same, "") << "object " << i;
    }
  }
  void expect_clean() {
    const auto report = world.run(shard->check(true));
    ASSERT_TRUE(report && report->has_value()) << report->error().what();
    for (const std::string& problem : (*report)->problems) ADD_FAILURE() << problem;
    ASSERT_TRUE((*report)->problems.empty());
  }
  std::string shown_usage() const {
    const index::StoreStats s = shard->store().stats();
    return std::to_string(s.record_count) + " records, pages total " +
           std::to_string(s.pages.total) + " used " + std::to_string(s.pages.used) + " reserved " +
           std::to_string(s.pages.reserved) + " deferred " + std::to_string(s.pages.deferred) +
           "; blocks total " + std::to_string(s.data.total) + " used " +
           std::to_string(s.data.used) + " reserved " + std::to_string(s.data.reserved) +
           " deferred " + std::to_string(s.data.deferred);
  }
  void expect_recovered() {
    ASSERT_NO_FATAL_FAILURE(settle_flights());
    ASSERT_NO_FATAL_FAILURE(expect_same());
    ASSERT_NO_FATAL_FAILURE(expect_clean());
  }

  std::unique_ptr<Shard> shard;
  sim::World world;
  sim::SimDisk& wal;
  sim::SimDisk& meta;
  sim::SimDisk& data;
  Generator generator;
  Books books;
  ShardOptions options;

 private:
  static Task<Result<void>> start_task(Rig& rig, bool create) {
    const index::StoreDevices devices{&rig.wal, &rig.meta, &rig.data};
    Reactor& reactor = rig.world.reactor();
    CO_TRY(shard, create ? co_await Shard::create(reactor, devices, {}, rig.options)
                         : co_await Shard::open(reactor, devices, {}, rig.options));
    rig.shard = std::move(shard);
    rig.books.created = true;
    co_return Result<void>{};
  }
  std::string verdict_on(const Op& op, const Object& want) {
    const ObjectPath& path = generator.paths()[op.object];
    const auto verdict =
        world.run(op.whole_object() ? verify_object(*shard, path, want, 7)
                                    : verify_dkey_of(*shard, path, op.dkey, want, 7));
    CHECK(verdict.has_value());
    return verdict->has_value() ? **verdict : "error: " + std::string(verdict->error().what());
  }
};

}  // namespace cairn::vos::testing
