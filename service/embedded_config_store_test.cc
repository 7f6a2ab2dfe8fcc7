#include "service/embedded_config_store.h"

#include <gtest/gtest.h>

#include <cstring>

#include "service/config_format.h"
#include "sim/world.h"

namespace cairn::service {
namespace {

constexpr uint64_t kMiB = 1u << 20;
const Uuid kHome = uuid_from_random({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});

Bytes text(std::string_view s) {
  const auto view = as_bytes(s);
  return Bytes(view.begin(), view.end());
}

/// A store on simulated disks.
struct Rig {
  explicit Rig(uint64_t seed)
      : world(seed),
        devices{&world.add_disk("wal", 4 * kMiB), &world.add_disk("meta", 8 * kMiB),
                &world.add_disk("data", 4 * kMiB)} {}

  template <class T>
  T run(Task<T> task) {
    auto result = world.run(std::move(task));
    CHECK(result.has_value());
    return std::move(*result);
  }
  void create() {
    auto made = run(EmbeddedConfigStore::create(world.reactor(), devices, kHome));
    ASSERT_TRUE(made) << made.error().what();
    store = std::move(*made);
  }
  void open() {
    auto opened = run(EmbeddedConfigStore::open(world.reactor(), devices, kHome));
    ASSERT_TRUE(opened) << opened.error().what();
    store = std::move(*opened);
  }
  void reopen() {
    ASSERT_TRUE(run(store->close()));
    store.reset();
    open();
  }
  Result<Revision> put(std::string key, Bytes value, Revision expected) {
    ConfigTxn txn;
    txn.expect(key, expected).put(key, std::move(value));
    return run(store->commit(std::move(txn)));
  }
  /// The value as text; "" if absent.
  std::string get(std::string key) {
    const auto entry = run(store->get(std::move(key)));
    EXPECT_TRUE(entry);
    return entry && *entry ? std::string(as_chars((*entry)->value)) : "";
  }

  sim::World world;
  index::StoreDevices devices;
  std::unique_ptr<EmbeddedConfigStore> store;
};

TEST(ConfigFormat, A_header_has_these_bytes) {
  // Goal: the byte map does not move. Method: golden bytes of one header.
  const ConfigHeader header{uint64_t{0x0102030405060708}, kConfigFormat, uint32_t{5},
                            uint32_t{0xa1b2c3d4}, uint32_t{0}};
  const uint8_t golden[] = {8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 0, 0, 5, 0, 0, 0,
                            0xd4, 0xc3, 0xb2, 0xa1, 0, 0, 0, 0};
  static_assert(sizeof(golden) == sizeof(header));
  EXPECT_EQ(std::memcmp(&header, golden, sizeof(header)), 0);
}

TEST(EmbeddedConfigStore, A_requirement_that_does_not_hold_changes_nothing) {
  // Goal: compare-and-change. Method: right, stale and absent expectations.
  Rig rig(1);
  rig.create();
  const auto first = rig.put("a", text("1"), 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(rig.put("a", text("2"), 0).error().code(), Errc::again);
  EXPECT_EQ(rig.get("a"), "1");
  const auto second = rig.put("a", text("2"), *first);
  ASSERT_TRUE(second);
  EXPECT_GT(*second, *first);
  EXPECT_EQ(rig.put("a", text("3"), *first).error().code(), Errc::again);
  EXPECT_EQ(rig.put("b", text("3"), *first).error().code(), Errc::again);
  EXPECT_EQ(rig.get("a"), "2");
  EXPECT_EQ(rig.get("b"), "");
  ASSERT_TRUE(rig.run(rig.store->close()));
}

TEST(EmbeddedConfigStore, A_range_is_what_begins_with_the_prefix) {
  // Goal: order and borders. Method: neighbours of the prefix on both sides, before and after a
  // restart.
  Rig rig(2);
  rig.create();
  for (const char* key : {"pool/", "pool/a", "pool/a/b", "pool/b", "pool0", "poo", "q"}) {
    ASSERT_TRUE(rig.put(key, text(key), 0));
  }
  for (int round = 0; round < 2; ++round) {
    const auto range = rig.run(rig.store->range("pool/"));
    ASSERT_TRUE(range);
    ASSERT_EQ(range->size(), 4u);
    EXPECT_EQ((*range)[0].key, "pool/");
    EXPECT_EQ((*range)[2].key, "pool/a/b");
    EXPECT_EQ((*range)[3].value, text("pool/b"));
    EXPECT_EQ(rig.run(rig.store->range(""))->size(), 8u);   // and the revision's record
    rig.reopen();
  }
  ASSERT_TRUE(rig.run(rig.store->close()));
}

TEST(EmbeddedConfigStore, Values_of_every_size_come_back_and_give_their_space_back) {
  // Goal: inline and extent values, their borders, replaced and deleted. Method: sizes around each
  // border, then the megabyte written over and over on a data blob of four.
  Rig rig(3);
  rig.create();
  Revision at = 0;
  for (const size_t bytes : {size_t{0}, size_t{1}, kConfigInlineBytesMax, kConfigInlineBytesMax + 1,
                             size_t{4096}, size_t{4097}, size_t{kMiB}}) {
    Bytes value(bytes);
    for (size_t i = 0; i < bytes; ++i) value[i] = static_cast<std::byte>(i * 7);
    const auto done = rig.put("k", value, at);
    ASSERT_TRUE(done) << bytes;
    at = *done;
    rig.reopen();
    const auto entry = rig.run(rig.store->get("k"));
    ASSERT_TRUE(entry && *entry) << bytes;
    EXPECT_EQ((*entry)->value, value) << bytes;
    EXPECT_EQ((*entry)->modified, at);
  }
  for (int i = 0; i < 20; ++i) {
    const auto done = rig.put("k", Bytes(kMiB, static_cast<std::byte>(i)), at);
    ASSERT_TRUE(done) << i << ": " << done.error().what();
    at = *done;
  }
  EXPECT_EQ(rig.put("k", Bytes(kConfigValueBytesMax + 1), at).error().code(), Errc::invalid);
  EXPECT_EQ(rig.put("", {}, 0).error().code(), Errc::invalid);
  EXPECT_EQ(rig.put(std::string("a\0b", 3), {}, 0).error().code(), Errc::invalid);
  ConfigTxn txn;
  txn.erase("k").erase("absent");
  ASSERT_TRUE(rig.run(rig.store->commit(std::move(txn))));
  EXPECT_EQ(rig.get("k"), "");
  const auto report = rig.run(rig.store->check());
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  ASSERT_TRUE(rig.run(rig.store->close()));
}

TEST(EmbeddedConfigStore, A_full_store_refuses_and_keeps_what_it_has) {
  // Goal: no_space changes nothing. Method: fill the data blob with large values, then free one.
  Rig rig(4);
  rig.create();
  int kept = 0;
  Result<Revision> last = Revision{0};
  while (kept < 100 && (last = rig.put("big" + std::to_string(kept), Bytes(kMiB), 0))) ++kept;
  ASSERT_LT(kept, 100);
  EXPECT_EQ(last.error().code(), Errc::no_space);
  EXPECT_EQ(rig.run(rig.store->range("big"))->size(), static_cast<size_t>(kept));
  EXPECT_TRUE(rig.put("small", text("fits"), 0));
  ConfigTxn txn;
  txn.erase("big0");
  ASSERT_TRUE(rig.run(rig.store->commit(std::move(txn))));
  EXPECT_TRUE(rig.put("again", Bytes(kMiB), 0));
  ASSERT_TRUE(rig.run(rig.store->close()));
}

TEST(EmbeddedConfigStore, A_watch_hears_of_its_prefix_only) {
  // Goal: watchers learn of each commit once. Method: commits inside and outside the prefix.
  Rig rig(5);
  rig.create();
  std::vector<Revision> heard;
  rig.store->watch("pool/", [&heard](Revision revision) { heard.push_back(revision); });
  ASSERT_TRUE(rig.put("other", text("x"), 0));
  const auto inside = rig.put("pool/x", text("x"), 0);
  ASSERT_TRUE(inside);
  EXPECT_EQ(heard, std::vector<Revision>{*inside});
  ASSERT_TRUE(rig.run(rig.store->close()));
}

/// Counts, in one record and a large one, so that both kinds are there at every cut.
Task<Result<void>> count_up(EmbeddedConfigStore& store, uint64_t& acknowledged) {
  Revision small = 0, large = 0;
  for (uint64_t n = 1; n <= 6; ++n) {
    ConfigTxn txn;
    txn.expect("small", small).expect("large", large);
    txn.put("small", text(std::to_string(n)));
    txn.put("large", Bytes(10'000, static_cast<std::byte>(n)));
    CO_TRY(done, co_await store.commit(std::move(txn)));
    small = large = done;
    acknowledged = n;
  }
  co_return Result<void>{};
}

void cut_at(uint64_t cut, bool& reached_the_end) {
  Rig rig(1000 + cut);
  rig.create();
  uint64_t acknowledged = 0;
  rig.world.cut_power_at(cut);
  auto work = rig.world.run(count_up(*rig.store, acknowledged));
  reached_the_end = work.has_value();
  if (work) {
    ASSERT_TRUE(*work);
    rig.world.cut_power_at(0);
    ASSERT_TRUE(rig.run(rig.store->close()));
    return;
  }
  rig.world.end_era();
  rig.store.reset();
  rig.world.begin_era();
  rig.open();
  const auto small = rig.run(rig.store->get("small"));
  const auto large = rig.run(rig.store->get("large"));
  ASSERT_TRUE(small && large) << "seed " << 1000 + cut;
  const uint64_t found = *small ? std::stoull(std::string(as_chars((*small)->value))) : 0;
  EXPECT_GE(found, acknowledged) << "seed " << 1000 + cut;
  EXPECT_LE(found, acknowledged + 1) << "seed " << 1000 + cut;
  ASSERT_EQ(large->has_value(), found != 0);
  if (found != 0) {
    EXPECT_EQ((*large)->value, Bytes(10'000, static_cast<std::byte>(found))) << 1000 + cut;
  }
  const auto report = rig.run(rig.store->check());
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  ASSERT_TRUE(rig.run(rig.store->close()));
}

TEST(EmbeddedConfigStore, After_a_power_cut_acknowledged_commits_are_there_and_none_is_half_there) {
  // Goal: commits are atomic and durable. Method: a counter in two records; the power goes at every
  // request of the work in turn.
  bool reached_the_end = false;
  for (uint64_t cut = 1; !reached_the_end && cut < 500; ++cut) {
    ASSERT_NO_FATAL_FAILURE(cut_at(cut, reached_the_end)) << cut;
  }
  EXPECT_TRUE(reached_the_end);
}

}  // namespace
}  // namespace cairn::service
