#include "model/oclass.h"

#include <gtest/gtest.h>

namespace cairn::model {
namespace {

ObjectId generated(uint8_t type, ClassId id, uint16_t hints = 0, PoolShape shape = {}) {
  return generate_oid({.user = {}, .type = type, .class_id = id, .hints = hints}, shape)
      .value_or(ObjectId{});
}
Errc refused(uint8_t type, ClassId id, uint16_t hints = 0, PoolShape shape = {}) {
  const auto r = generate_oid({.user = {}, .type = type, .class_id = id, .hints = hints}, shape);
  return r ? Errc::ok : r.error().code();
}

TEST(ObjectClasses, Names_and_ids_are_those_of_the_interface) {
  // Goal: programs that store names or ids find the same class. Method: samples of each family.
  EXPECT_EQ(class_by_name("S1"), 0x01000001u);
  EXPECT_EQ(class_by_name("SX"), 0x0100ffffu);
  EXPECT_EQ(class_by_name("RP_2G1"), 0x08000001u);
  EXPECT_EQ(class_by_name("EC_4P2G1"), 0x23000001u);
  EXPECT_EQ(class_by_name("EC_16P2GX"), 0x2700ffffu);
  EXPECT_EQ(class_by_name("RP_XSF"), 80u);
  for (const char* unknown : {"", "S", "S3", "S64", "s1", "S1 ", "EC_2P1G6", "RP_12G1", "TINY"}) {
    EXPECT_EQ(class_by_name(unknown), kClassUnknown) << unknown;
  }
  EXPECT_EQ(class_name(0x01000003), "S3");
  EXPECT_EQ(class_name(0x08000007), "RP_2G7");
  EXPECT_EQ(class_name(0x0900ffff), "RP_3GX");
  for (const ClassId unknown :
       {0u, 1u, 50u, 51u, 100u, 0x01000000u, 0x10000001u, 0x30000001u, ~0u}) {
    EXPECT_EQ(class_name(unknown), std::nullopt) << unknown;
  }
}

TEST(ObjectClasses, Every_listed_name_comes_back_from_its_id) {
  // Goal: list, name look-up and id look-up agree. Method: walk the list.
  const std::string& all = class_names();
  EXPECT_TRUE(all.starts_with("S1, S2, S4, S6, S8, S12, S16, S32, SX, RP_2G1, "));
  size_t names = 0;
  for (size_t at = 0; at < all.size(); ++names) {
    const size_t end = std::min(all.find(", ", at), all.size());
    const std::string name = all.substr(at, end - at);
    EXPECT_EQ(class_name(class_by_name(name)), name);
    at = end + 2;
  }
  EXPECT_EQ(names, class_count());
}

TEST(ObjectClasses, On_one_target_every_choice_is_one_shard) {
  // Goal: the recorded answers of a pool with one target. Method: every type, every single hint.
  for (uint8_t type = 0; type <= kObjectTypeMax; ++type) {
    EXPECT_EQ(generated(type, kClassUnknown).hi >> 32, uint64_t{type} << 24 | 0x010001)
        << int{type};
    EXPECT_EQ(generated(type, class_by_name("SX")).hi >> 32, uint64_t{type} << 24 | 0x010001);
  }
  for (uint16_t hint = 1; hint <= 0x200; hint = static_cast<uint16_t>(hint << 1)) {
    EXPECT_EQ(refused(13, kClassUnknown, hint), hint == 8 ? Errc::invalid : Errc::ok) << hint;
  }
  EXPECT_EQ(refused(0, kClassUnknown, 0x8000), Errc::ok);
  EXPECT_EQ(refused(0, kClassUnknown, 0xffff), Errc::invalid);
  EXPECT_EQ(refused(0, class_by_name("S1"), class_hint::kRedundancyCopies), Errc::ok);
  EXPECT_EQ(generated(0, kClassRpXsf).hi >> 32, 80u);
}

TEST(ObjectClasses, What_the_pool_cannot_hold_is_refused) {
  // Goal: each wrong class has its error. Method: one target, then many engines.
  EXPECT_EQ(refused(15, 0x01000001), Errc::invalid);
  EXPECT_EQ(refused(0, 51), Errc::invalid);
  EXPECT_EQ(refused(0, 200u << 24 | 1), Errc::invalid);
  EXPECT_EQ(refused(0, 0x01000002), Errc::invalid);
  EXPECT_EQ(refused(0, class_by_name("RP_2G1")), Errc::invalid);
  EXPECT_EQ(refused(0, class_by_name("EC_4P2GX")), Errc::invalid);
  const PoolShape many{.domains = 8, .targets = 32};
  EXPECT_EQ(refused(0, class_by_name("RP_2G1"), 0, many), Errc::not_supported);
  EXPECT_EQ(refused(0, kClassRpXsf, 0, many), Errc::not_supported);
  EXPECT_EQ(refused(0, 0x01000000 | 33, 0, many), Errc::invalid);
  EXPECT_EQ(generated(0, class_by_name("SX"), 0, many).hi >> 32 & 0xffff, 32u);
  EXPECT_EQ(generated(11, kClassUnknown, 0, many).hi >> 32 & 0xffff, 32u);
  EXPECT_EQ(generated(0, kClassUnknown, 0, many).hi >> 32 & 0xffff, 1u);
  const PoolShape huge{.domains = 1, .targets = 2000};
  const auto groups = [&huge](uint8_t type, uint16_t hint) {
    return generated(type, kClassUnknown, hint, huge).hi >> 32 & 0xffff;
  };
  EXPECT_EQ(groups(0, class_hint::kShardsTiny), 4u);
  EXPECT_EQ(groups(11, class_hint::kShardsTiny), 4u);
  EXPECT_EQ(groups(0, class_hint::kShardsRegular), 500u);
  EXPECT_EQ(groups(0, class_hint::kShardsHigh), 1000u);
  EXPECT_EQ(groups(0, class_hint::kShardsExtreme), 1600u);
  EXPECT_EQ(groups(0, class_hint::kShardsMax), 2000u);
  EXPECT_EQ(groups(8, 0), 2000u);
  EXPECT_EQ(refused(0, 0x01000001, 0, {.domains = 8, .targets = 8, .redundancy_factor = 1}),
            Errc::invalid);
}

TEST(ObjectClasses, An_object_id_is_judged_when_it_is_opened) {
  // Goal: foreign or hand-made ids are refused before any I/O. Method: bits of each kind.
  const auto judge = [](uint64_t high) {
    const auto r = class_of_object({.lo = 1, .hi = high << 32}, {});
    return r ? Errc::ok : r.error().code();
  };
  EXPECT_EQ(judge(0x010001), Errc::ok);
  EXPECT_EQ(judge(0x01ffff), Errc::ok);
  EXPECT_EQ(judge(80), Errc::ok);
  EXPECT_EQ(judge(0), Errc::invalid);
  EXPECT_EQ(judge(0x010000), Errc::invalid);
  EXPECT_EQ(judge(0x010002), Errc::invalid);
  EXPECT_EQ(judge(0xff0001), Errc::invalid);
  EXPECT_EQ(judge(0x080001), Errc::invalid);
  EXPECT_EQ(class_of_object({.lo = 0, .hi = uint64_t{0x080001} << 32}, {.domains = 2, .targets = 2})
                .error()
                .code(),
            Errc::not_supported);
}

}  // namespace
}  // namespace cairn::model
