#include "capi/daos/handles.h"

#include <gtest/gtest.h>

#include "capi/daos/array_attr_format.h"

namespace cairn::capi {
namespace {

struct Thing {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_OBJ;
  int value = 0;
};
struct Other {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_KV;
};

TEST(Handles, A_closed_handle_stays_invalid_when_its_slot_is_used_again) {
  // Goal: a stale handle never names a newer object. Method: close and open one slot many times.
  HandleTable table;
  std::vector<daos_handle_t> stale;
  for (int i = 0; i < 1000; ++i) {
    const daos_handle_t handle = table.insert(std::make_shared<Thing>(Thing{i}));
    ASSERT_TRUE(daos_handle_is_valid(handle));
    ASSERT_EQ(table.find<Thing>(handle)->value, i);
    ASSERT_EQ(table.remove<Thing>(handle)->value, i);
    stale.push_back(handle);
  }
  for (const daos_handle_t handle : stale) {
    EXPECT_EQ(table.find<Thing>(handle), nullptr);
    EXPECT_EQ(table.remove<Thing>(handle), nullptr);
  }
}

TEST(Handles, Nil_garbage_and_other_kinds_are_refused) {
  // Goal: no cookie that was not given out for that kind works. Method: each single bit changed.
  HandleTable table;
  const daos_handle_t handle = table.insert(std::make_shared<Thing>());
  EXPECT_EQ(table.find<Thing>(DAOS_HDL_INVAL), nullptr);
  EXPECT_EQ(table.find<Other>(handle), nullptr);
  EXPECT_EQ(table.find<Thing>(daos_handle_t{~uint64_t{0}}), nullptr);
  for (int bit = 0; bit < 64; ++bit) {
    const daos_handle_t wrong{handle.cookie ^ uint64_t{1} << bit};
    EXPECT_EQ(table.find<Thing>(wrong), nullptr) << bit;
    EXPECT_EQ(table.find<Other>(wrong), nullptr) << bit;
  }
  EXPECT_NE(table.find<Thing>(handle), nullptr);
}

TEST(Handles, All_of_a_kind_are_closed_together) {
  // Goal: the end of the library leaves nothing open. Method: two kinds, one removed.
  HandleTable table;
  const daos_handle_t thing = table.insert(std::make_shared<Thing>());
  const daos_handle_t other = table.insert(std::make_shared<Other>());
  EXPECT_EQ(table.all<Thing>().size(), 1u);
  EXPECT_EQ(table.remove_all<Thing>().size(), 1u);
  EXPECT_EQ(table.find<Thing>(thing), nullptr);
  EXPECT_NE(table.find<Other>(other), nullptr);
}

TEST(ArrayAttr, Golden_bytes_and_hostile_bytes) {
  // Goal: the published record, and nothing else is taken for one. Method: bytes, cuts, zero sizes.
  const ArrayAttrBytes bytes = encode({.cell_bytes = 2, .chunk_cells = 0x0102});
  const uint8_t golden[24] = {0xa9, 0x55, 0xca, 0xda, 0xa9, 0x55, 0xca, 0xda, 2, 0, 0, 0,
                              0,    0,    0,    0,    0x02, 0x01, 0,    0,    0, 0, 0, 0};
  EXPECT_EQ(std::memcmp(bytes.data(), golden, sizeof golden), 0);
  const auto parsed = parse_array_attr(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->chunk_cells, 0x0102u);
  EXPECT_EQ(parse_array_attr(ByteView(bytes).first(23)).error().code(), Errc::no_perm);
  ArrayAttrBytes broken = bytes;
  broken[3] ^= std::byte{1};
  EXPECT_EQ(parse_array_attr(broken).error().code(), Errc::no_perm);
  EXPECT_EQ(parse_array_attr(encode({0, 1})).error().code(), Errc::invalid);
  EXPECT_EQ(parse_array_attr(encode({1, 0})).error().code(), Errc::invalid);
  EXPECT_EQ(parse_array_attr(encode({UINT64_MAX, UINT64_MAX})).error().code(), Errc::invalid);
}

}  // namespace
}  // namespace cairn::capi
