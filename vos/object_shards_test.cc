// A container's object shards, listed for passes over it, on simulated disks.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "vos/testing/rig.h"

namespace cairn::vos::testing {
namespace {

using Name = std::tuple<ContNumber, uint64_t, uint64_t, uint32_t>;
Name name_of(const ObjectPath& object) {
  return {object.container, object.oid.hi, object.oid.lo, object.shard};
}

class ObjectShardsTest : public ::testing::Test {
 protected:
  void SetUp() override { start(true); }

  void start(bool create) {
    const auto started = rig_.start(create);
    ASSERT_TRUE(started && started->has_value()) << started->error().what();
  }
  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }
  void put(const ObjectPath& object, const std::string& dkey) {
    Bytes value(40, std::byte{7});
    UpdateRequest r{.object = object, .dkey = as_bytes(dkey)};
    r.iods.push_back(
        {as_bytes("a"), ValueType::single, value.size(), 0, {}, scattered(value), false});
    ASSERT_TRUE(run(shard().update(r)));
  }
  /// All of them, in pages; in order and each once.
  std::set<Name> listed(ContNumber container, uint32_t count_max) {
    std::set<Name> all;
    Bytes position;
    for (bool eof = false; !eof;) {
      const auto page = run(shard().object_shards(container, position, count_max));
      CHECK(page.has_value());
      EXPECT_LE(page->objects.size(), count_max);
      EXPECT_TRUE(page->eof || !page->objects.empty());
      for (const ObjectPath& object : page->objects) {
        EXPECT_TRUE(all.insert(name_of(object)).second);
      }
      position = page->position;
      eof = page->eof;
    }
    return all;
  }

  Rig rig_{test_seed(), {}, {.wal = 8u << 20, .data = 32u << 20}};
};

TEST_F(ObjectShardsTest, Every_object_shard_is_listed_once_flat_or_not_over_restarts) {
  // Goal: a pass meets all objects. Method: objects of several dkeys, of several shards, in two
  // containers; half of them flattened; pages of all sizes.
  std::set<Name> names[3];
  std::vector<ObjectPath> some;
  for (uint64_t n = 0; n < 300; ++n) {
    const ObjectPath object{n % 3 == 0 ? 2u : 1u,
                            {n * 0x1'0000'0001, 0x0001'0001'0000'0000 | n % 7},
                            static_cast<uint32_t>(n % 5 == 0 ? 300 : n % 2)};
    for (uint64_t d = 0; d <= n % 4; ++d) put(object, "dkey" + std::to_string(d));
    names[object.container].insert(name_of(object));
    if (n % 2 == 0) some.push_back(object);
  }
  const auto done = run(shard().flatten(some, {}));
  ASSERT_TRUE(done);
  for (int round = 0; round < 2; ++round) {
    for (const uint32_t count_max : {1u, 7u, 100u, 100'000u}) {
      EXPECT_EQ(listed(1, count_max), names[1]);
      EXPECT_EQ(listed(2, count_max), names[2]);
      EXPECT_TRUE(listed(3, count_max).empty());
    }
    ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    start(false);
  }
}

TEST_F(ObjectShardsTest, A_position_goes_on_where_it_was_whatever_has_changed) {
  for (uint64_t n = 1; n <= 20; ++n) put({1, {n, 0x0001'0001'0000'0000}, 0}, "d");
  const auto first = run(shard().object_shards(1, {}, 10));
  ASSERT_TRUE(first && first->objects.size() == 10);
  // The last one of the page goes, and one in front of it comes.
  ASSERT_TRUE(run(shard().punch({.object = first->objects.back()})));
  put({1, {0, 0x0001'0001'0000'0000}, 0}, "d");
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  start(false);
  const auto second = run(shard().object_shards(1, first->position, 100));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->objects.size(), 10u);
  EXPECT_TRUE(second->eof);
}

TEST_F(ObjectShardsTest, What_is_no_position_is_refused) {
  put({1, {1, 0x0001'0001'0000'0000}, 0}, "d");
  EXPECT_EQ(run(shard().object_shards(1, {}, 0)).error().code(), Errc::invalid);
  for (const size_t size : {1u, 16u, 26u, 5'000u}) {
    const auto page = run(shard().object_shards(1, Bytes(size, std::byte{1}), 5));
    ASSERT_FALSE(page) << size;
    EXPECT_EQ(page.error().code(), Errc::invalid);
  }
  for (const int byte : {0, 1, 0x7f, 0xff}) {
    const auto page = run(shard().object_shards(1, Bytes(20, std::byte(byte)), 5));
    EXPECT_TRUE(page) << byte;
  }
}

}  // namespace
}  // namespace cairn::vos::testing
