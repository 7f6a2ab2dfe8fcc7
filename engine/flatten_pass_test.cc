// When a pass (engine/flatten_pass.h) comes back to what waits, and what it says of what is lost.
#include "engine/flatten_pass.h"

#include <gtest/gtest.h>

namespace cairn::engine {
namespace {

using model::FlattenOutcome;

TEST(FlattenPassTest, Rounds_for_what_waits_become_seldom) {
  FlattenPass pass({.seal = {1, "somebody@here"}}, 1);
  const vos::ObjectShards page{.objects = {{1, {1, 1}, 0}}, .position = Bytes(17), .eof = true};
  pass.counted(page);
  Instant now = 0;
  for (int round = 0; round < 20; ++round) {
    pass.flattened({FlattenOutcome::pending}, 0, page, now);
    EXPECT_TRUE(pass.progress().running);
    EXPECT_EQ(pass.progress().left, 1u);
    now = pass.due();
  }
  EXPECT_GT(now, 8 * 3600 * kSecond);
  pass.flattened({FlattenOutcome::flattened}, 0, page, now);
  EXPECT_FALSE(pass.progress().running);
}

TEST(FlattenPassTest, A_listing_that_cannot_be_read_ends_a_round) {
  // Goal: a leaf that is lost neither stops a pass for ever nor goes unsaid. Method: five objects
  // are counted, three of them found again; then with a listing that fails while it counts.
  FlattenPass pass({.seal = {1, "somebody@here"}}, 1);
  vos::ObjectShards page{
      .objects = std::vector<vos::ObjectPath>(5), .position = Bytes(17), .eof = true};
  pass.counted(page);
  page.eof = false;
  page.objects.resize(3);
  pass.flattened(SliceOutcomes(3, FlattenOutcome::flattened), 0, page, 0);
  for (int i = 0; pass.shorten(); ++i) ASSERT_LT(i, 10);
  EXPECT_EQ(pass.page_max(), 1u);
  pass.unreadable(0);
  EXPECT_FALSE(pass.progress().running);
  EXPECT_EQ(pass.progress().flat, 3u);
  EXPECT_EQ(pass.progress().damaged, 2u);
  EXPECT_EQ(pass.due(), 3'600 * kSecond) << "it may be readable again";
  EXPECT_TRUE(pass.position().empty());
  EXPECT_GT(pass.page_max(), 1u);

  FlattenPass uncounted({.seal = {1, "somebody@here"}}, 2);
  uncounted.unreadable(0);
  EXPECT_FALSE(uncounted.is_counting());
  EXPECT_TRUE(uncounted.progress().running);
  uncounted.unreadable(0);
  EXPECT_FALSE(uncounted.progress().running);
  EXPECT_EQ(uncounted.progress().damaged, 1u);
}

}  // namespace
}  // namespace cairn::engine
