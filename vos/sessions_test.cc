#include "vos/sessions.h"

#include <gtest/gtest.h>

namespace cairn::vos {
namespace {

using Verdict = Sessions::Verdict;

TEST(Sessions, All_windows_together_stay_within_the_limit) {
  // Goal: bounded memory whatever clients do. Method: many sessions that never acknowledge; the
  // count of entries is looked at after each.
  Sessions sessions;
  sessions.limit_entries(1000);
  for (uint64_t session = 1; session <= 200; ++session) {
    sessions.open(session);
    for (uint64_t sequence = 1; sequence <= 50; ++sequence) {
      ASSERT_EQ(sessions.begin(session, sequence, 0).verdict, Verdict::fresh);
      sessions.committed(session, sequence, 7);
      ASSERT_LE(sessions.entry_count(), 1000u);
    }
  }
  EXPECT_EQ(sessions.begin(200, 50, 0).verdict, Verdict::done);
  EXPECT_EQ(sessions.begin(1, 50, 0).verdict, Verdict::unknown);
}

TEST(Sessions, As_many_are_known_as_memory_allows) {
  // Goal: twenty thousand clients of a shard of 256 MiB are all known, and no table outgrows what
  // it was given. Method: as many as the limit says, and one more, which costs the oldest its
  // place.
  Sessions sessions;
  EXPECT_EQ(sessions.sessions_max(), kSessionsMax);
  sessions.limit_bytes(1u << 10);
  EXPECT_EQ(sessions.sessions_max(), kSessionsMax);
  sessions.limit_bytes(4u << 20);
  ASSERT_GE(sessions.sessions_max(), 20'000u);
  for (uint64_t session = 1; session <= sessions.sessions_max(); ++session) sessions.open(session);
  EXPECT_EQ(sessions.begin(1, 1, 0).verdict, Verdict::fresh);
  sessions.open(sessions.sessions_max() + 1);
  EXPECT_EQ(sessions.count(), sessions.sessions_max());
  EXPECT_EQ(sessions.begin(2, 1, 0).verdict, Verdict::unknown);
  EXPECT_EQ(sessions.begin(1, 2, 0).verdict, Verdict::fresh);
}

TEST(Sessions, One_that_has_more_than_its_share_is_told_to_acknowledge) {
  // Goal: a session that hoards does not push others out, nor itself. Method: one session fills
  // all; its next update is refused until it acknowledges, and it is still known.
  Sessions sessions;
  sessions.limit_entries(100);
  sessions.open(1);
  for (uint64_t sequence = 1; sequence <= 100; ++sequence) {
    ASSERT_EQ(sessions.begin(1, sequence, 0).verdict, Verdict::fresh);
    sessions.committed(1, sequence, 7);
  }
  EXPECT_EQ(sessions.begin(1, 101, 0).verdict, Verdict::unknown);
  EXPECT_EQ(sessions.begin(1, 100, 0).verdict, Verdict::done);
  EXPECT_EQ(sessions.begin(1, 101, 90).verdict, Verdict::fresh);
  EXPECT_EQ(sessions.entry_count(), 12u);
  sessions.failed(1, 101);
  EXPECT_EQ(sessions.entry_count(), 11u);
}

}  // namespace
}  // namespace cairn::vos
