// The checker of histories: what it accepts, and above all what it does not.
#include "sim/cluster/history.h"

#include <gtest/gtest.h>

#include "runtime/random.h"

namespace cairn::sim {
namespace {

using Sees = RegisterOp::Sees;

RegisterOp wrote(Instant begin, Instant end, Value value) {
  return {.begin = begin, .end = end, .happened = true, .writes = true, .written = value};
}
RegisterOp maybe_wrote(Instant begin, Value value) {
  return {.begin = begin, .writes = true, .written = value};
}
RegisterOp read(Instant begin, Instant end, Value value) {
  return {.begin = begin, .end = end, .happened = true, .sees = Sees::value, .seen = value};
}

TEST(HistoryTest, An_overlapping_read_may_see_old_or_new_but_not_new_then_old) {
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), read(12, 14, 1)}), Verdict::explained);
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), read(12, 14, 2)}), Verdict::explained);
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), read(12, 14, 1), read(15, 16, 2)}), Verdict::explained);
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), read(12, 14, 2), read(15, 16, 1)}), Verdict::impossible);
}

TEST(HistoryTest, What_was_acknowledged_is_seen_from_then_on) {
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), read(21, 22, 1)}), Verdict::impossible);
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), read(21, 22, kNothing)}), Verdict::impossible);
  EXPECT_EQ(explain(1, {wrote(10, 20, 2), wrote(30, 40, 3), read(50, 51, 2)}), Verdict::impossible);
  EXPECT_EQ(explain(1, {read(50, 51, 7)}), Verdict::impossible);
}

TEST(HistoryTest, What_nobody_knows_happens_once_or_never_at_any_time) {
  EXPECT_EQ(explain(1, {maybe_wrote(10, 2), read(20, 21, 1), read(90, 91, 2)}), Verdict::explained);
  EXPECT_EQ(explain(1, {maybe_wrote(10, 2), read(90, 91, 1)}), Verdict::explained);
  EXPECT_EQ(explain(1, {maybe_wrote(10, 2), read(5, 6, 2)}), Verdict::impossible);
  EXPECT_EQ(explain(1, {maybe_wrote(10, 2), read(20, 21, 2), wrote(30, 31, 3), read(40, 41, 2)}),
            Verdict::impossible);
}

TEST(HistoryTest, A_condition_saw_what_it_says) {
  const RegisterOp made{.begin = 10,
                        .end = 20,
                        .happened = true,
                        .sees = Sees::nothing,
                        .writes = true,
                        .written = 2};
  const RegisterOp exists{.begin = 10, .end = 20, .happened = true, .sees = Sees::something};
  EXPECT_EQ(explain(kNothing, {made}), Verdict::explained);
  EXPECT_EQ(explain(1, {made}), Verdict::impossible);
  EXPECT_EQ(explain(1, {exists}), Verdict::explained);
  EXPECT_EQ(explain(kNothing, {exists}), Verdict::impossible);
  EXPECT_EQ(explain(kNothing, {maybe_wrote(5, 9), exists}), Verdict::explained);
}

TEST(HistoryTest, Histories_of_a_real_register_are_explained_and_broken_ones_are_not) {
  // Goal: neither false alarms nor blindness. Method: operations on a register at a moment inside
  // their times, some of whose outcomes are forgotten; then one read is changed to a value that was
  // overwritten long before.
  SeededRandom random(2027);
  for (int round = 0; round < 200; ++round) {
    std::vector<RegisterOp> ops;
    std::vector<Value> values{0};
    Value now = 1, next = 2;
    for (Instant moment = 500; moment < 6'500; moment += 100) {
      RegisterOp op{
          .begin = moment - random.below(250), .end = moment + random.below(250), .happened = true};
      if (random.below(2) == 0) {
        op.writes = true;
        op.written = now = next++;
        if (random.below(8) == 0) op.happened = false, op.end = kNever;
      } else {
        op.sees = Sees::value;
        op.seen = now;
      }
      ops.push_back(op);
    }
    EXPECT_EQ(explain(1, ops), Verdict::explained) << describe(1, ops);
    ops.push_back(read(6'990, 6'991, now));
    ops.push_back(wrote(7'000, 7'001, 1'000));
    ops.push_back(read(7'002, 7'003, now));
    EXPECT_EQ(explain(1, ops), Verdict::impossible) << describe(1, ops);
  }
}

}  // namespace
}  // namespace cairn::sim
