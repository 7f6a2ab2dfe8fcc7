#include "model/worm_policy.h"

#include <gtest/gtest.h>

#include "model/hlc.h"

namespace cairn::model {
namespace {

TEST(WormPolicy, The_default_is_sound_and_what_is_out_of_bounds_is_refused) {
  EXPECT_TRUE(check_worm_policy({}));
  EXPECT_TRUE(check_worm_policy({.inline_bytes_max = 0, .object_bytes_max = 4096}));
  EXPECT_FALSE(check_worm_policy({.inline_bytes_max = kWormInlineBytesMax + 1}));
  EXPECT_FALSE(check_worm_policy({.object_bytes_max = kWormObjectBytesMin - 1}));
  EXPECT_FALSE(check_worm_policy({.object_bytes_max = kWormObjectBytesMax + 1}));
  EXPECT_FALSE(check_worm_policy({.cold_after_s = kWormColdSecondsMax + 1}));
  EXPECT_TRUE(check_worm_policy({.seal = {7, "me@here"}}));
  EXPECT_FALSE(check_worm_policy({.seal = {7, ""}}));
  EXPECT_FALSE(check_worm_policy({.seal = {0, "me@here"}}));
  EXPECT_FALSE(check_worm_policy({.seal = {kEpochMax, "me@here"}}));
  EXPECT_FALSE(check_worm_policy({.seal = {7, "me\nhere"}}));
  EXPECT_FALSE(check_worm_policy({.seal = {7, std::string(kSealedByBytesMax + 1, 'a')}}));
}

TEST(WormPolicy, Any_name_becomes_one_that_can_be_printed) {
  EXPECT_EQ(printable_name("a\x1b[2Jb\x7f"), "a?[2Jb?");
  EXPECT_EQ(printable_name(std::string(1000, 'x')).size(), kSealedByBytesMax);
  EXPECT_TRUE(check_worm_policy({.seal = {1, printable_name(std::string(300, '\n'))}}));
}

TEST(WormPolicy, A_seal_says_when_and_by_whom) {
  const Epoch epoch = epoch_of_wall_ns(1'796'108'378ull * 1'000'000'000 + 999'999'999);
  EXPECT_EQ(seal_text({epoch, "root@node7"}), "sealed at 2026-12-01T06:59:38Z by root@node7");
  EXPECT_EQ(time_text(1), "2021-01-01T00:00:00Z");
}

}  // namespace
}  // namespace cairn::model
