#include "model/label.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::model {
namespace {

TEST(Label, Well_formed_ones_are_taken) {
  // Goal: the whole alphabet and the greatest length are legal. Method: one of each.
  EXPECT_TRUE(check_label("a"));
  EXPECT_TRUE(check_label("AZaz09._:-x"));
  EXPECT_TRUE(check_label(".leading-dot"));
  EXPECT_TRUE(check_label(std::string(127, 'L')));
}

TEST(Label, Malformed_ones_are_refused) {
  // Goal: every rule refuses. Method: one label that breaks only that rule.
  const std::string bad[] = {"", std::string(128, 'L'), "with space", "pr\xc3\xb6" "be", "a/b",
                             std::string("a\0b", 3), "01234567-89ab-cdef-0123-456789abcdef",
                             "01234567-89AB-CDEF-0123-456789ABCDEF", "container_label_not_set",
                             "pool_label_not_set"};
  for (const auto& label : bad) {
    const auto result = check_label(label);
    ASSERT_FALSE(result) << label;
    EXPECT_EQ(result.error().code(), Errc::invalid) << label;
  }
}

TEST(Label, A_name_is_a_uuid_whenever_it_parses_as_one) {
  // Goal: look-ups agree with the reference about UUIDs in either case. Method: parse both kinds.
  const auto upper = parse_name("01234567-89AB-CDEF-0123-456789ABCDEF");
  ASSERT_TRUE(upper);
  ASSERT_TRUE(upper->uuid);
  EXPECT_EQ(to_string(*upper->uuid), "01234567-89ab-cdef-0123-456789abcdef");
  const auto label = parse_name("tank");
  ASSERT_TRUE(label);
  EXPECT_FALSE(label->uuid);
  EXPECT_EQ(label->label, "tank");
  EXPECT_FALSE(parse_name(""));
  EXPECT_FALSE(parse_name("a b"));
  EXPECT_FALSE(parse_name(std::string(128, 'x')));
}

}  // namespace
}  // namespace cairn::model
