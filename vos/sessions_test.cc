#include "vos/sessions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <random>

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

TEST(Sessions, Who_is_forgotten_was_silent_longest) {
  // Goal: a full table forgets the same sessions however it finds them, and a storm of newcomers
  // costs little each. Method: sessions come and some of them write; a list in order of use says
  // who must be known.
  Sessions sessions;
  std::list<uint64_t> used;  // the one that was silent longest first
  std::map<uint64_t, std::list<uint64_t>::iterator> known;
  std::mt19937_64 random(3);
  for (uint64_t session = 1; session <= 100'000; ++session) {
    sessions.open(session);
    known[session] = used.insert(used.end(), session);
    if (used.size() > kSessionsMax) {
      EXPECT_EQ(sessions.begin(used.front(), 1, 0).verdict, Verdict::unknown);
      known.erase(used.front());
      used.pop_front();
    }
    const uint64_t writer = session - random() % std::min<uint64_t>(session, 2 * kSessionsMax);
    const bool expected = known.contains(writer);
    ASSERT_EQ(sessions.begin(writer, session, session).verdict,
              expected ? Verdict::fresh : Verdict::unknown);
    if (expected) used.splice(used.end(), used, known[writer]);
  }
  EXPECT_EQ(sessions.count(), kSessionsMax);
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
  EXPECT_EQ(sessions.begin(1, 101, 0).verdict, Verdict::full);
  EXPECT_EQ(sessions.begin(1, 101, 0).verdict, Verdict::full);  // it is not noted as running
  EXPECT_EQ(sessions.begin(1, 100, 0).verdict, Verdict::done);
  EXPECT_EQ(sessions.begin(1, 101, 90).verdict, Verdict::fresh);
  EXPECT_EQ(sessions.entry_count(), 12u);
  sessions.failed(1, 101);
  EXPECT_EQ(sessions.entry_count(), 11u);
}

/// The records of all sessions, as a checkpoint writes them.
std::vector<std::pair<Bytes, Bytes>> records_of(Sessions& sessions) {
  index::Batch batch;
  sessions.saved(sessions.save(batch, 5, sessions.count()));
  std::vector<std::pair<Bytes, Bytes>> out;
  for (const index::Batch::Op& op : batch.ops()) {
    const ByteView key = batch.key(op);
    const ByteView value = batch.value(op);
    out.emplace_back(Bytes(key.begin(), key.end()), Bytes(value.begin(), value.end()));
  }
  std::ranges::sort(out);
  return out;
}

TEST(Sessions, Those_of_the_log_are_known_whole_when_a_full_table_is_loaded) {
  // Goal: exactly once when log and table hold more sessions than are kept. Method: a full table
  // was saved, then its last ones and some new ones wrote; log and table are taken again.
  Sessions before;
  for (uint64_t session = 1; session <= kSessionsMax; ++session) {
    before.open(session);
    ASSERT_EQ(before.begin(session, 1, 0).verdict, Verdict::fresh);
    before.committed(session, 1, 100);
  }
  const auto records = records_of(before);
  Sessions after;
  const uint64_t first = kSessionsMax - 9;
  const uint64_t last = kSessionsMax + 10;
  for (uint64_t session = first; session <= last; ++session) after.replayed(session, 2, 200);
  for (const auto& [key, value] : records) ASSERT_TRUE(after.load(key, value));
  after.trim();
  EXPECT_EQ(after.count(), kSessionsMax);
  for (uint64_t session = first; session <= last; ++session) {
    const auto again = after.begin(session, 2, 0);
    EXPECT_EQ(again.verdict, Verdict::done) << session;
    EXPECT_EQ(again.epoch, 200u);
    if (session <= kSessionsMax) {
      EXPECT_EQ(after.begin(session, 1, 0).epoch, 100u);
    }
  }
  EXPECT_EQ(after.begin(1, 1, 0).verdict, Verdict::unknown);
  // The records of those that were forgotten go with the next checkpoint.
  index::Batch batch;
  EXPECT_EQ(after.save(batch, 6, kSessionsMax).forgotten, 10u);
}

TEST(Sessions, One_that_replay_cannot_keep_is_forgotten_whole) {
  // Goal: exactly once when the log holds more updates than are kept. Method: a session with
  // updates at both ends of the log; those in between exceed the limit by far.
  Sessions sessions;
  sessions.limit_entries(100);
  sessions.replayed(1, 1, 1);
  for (uint64_t sequence = 1; sequence <= 200; ++sequence) sessions.replayed(2, sequence, 2);
  sessions.replayed(1, 2, 3);
  sessions.trim();
  EXPECT_LE(sessions.entry_count(), 100u);
  EXPECT_EQ(sessions.begin(1, 1, 0).verdict, Verdict::done);
  EXPECT_EQ(sessions.begin(1, 2, 0).verdict, Verdict::done);
  EXPECT_EQ(sessions.begin(2, 1, 0).verdict, Verdict::unknown);
}

}  // namespace
}  // namespace cairn::vos
