// Objects that are flattened some hundred at a time (cmd/daos/flat_report.h), when some of them, or
// all calls, fail. The C interface below it is a fake.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cmd/daos/flat_report.h"

namespace {

struct Fake {
  std::set<uint64_t> damaged;          // objects that fail a call
  std::map<uint64_t, unsigned> later;  // how often each is in a state that passes
  int refusal = 0;                     // of every call
  unsigned calls = 0;
  std::set<uint64_t> flat;
} fake;

}  // namespace

extern "C" int cairn_cont_flatten_some(daos_handle_t, uint32_t nr, const daos_obj_id_t* oids,
                                       cairn_flat_t* flats) {
  ++fake.calls;
  if (fake.refusal != 0) return fake.refusal;
  for (uint32_t i = 0; i < nr; ++i) {
    if (fake.damaged.contains(oids[i].lo)) return -DER_CSUM;
  }
  for (uint32_t i = 0; i < nr; ++i) {
    flats[i] = {.cf_outcome = CAIRN_FLAT_DONE, .cf_reserved = 0, .cf_buffer_bytes = 10};
    const auto later = fake.later.find(oids[i].lo);
    if (later != fake.later.end() && later->second != 0) {
      --later->second;
      flats[i] = {.cf_outcome = CAIRN_FLAT_PENDING, .cf_reserved = 0, .cf_buffer_bytes = 0};
    } else {
      fake.flat.insert(oids[i].lo);
    }
  }
  return 0;
}

namespace cairn::tool {
namespace {

class FlatBatchTest : public testing::Test {
 protected:
  FlatBatchTest() { fake = {}; }
  void add(uint64_t first, uint64_t count) {
    for (uint64_t i = first; i < first + count; ++i) batch_.add({.lo = i, .hi = 1});
  }
  uint64_t done() const { return batch_.stats().cs_outcomes[CAIRN_FLAT_DONE]; }

  FlatBatch batch_{daos_handle_t{}};
};

TEST_F(FlatBatchTest, One_that_cannot_be_read_keeps_no_other_from_being_flattened) {
  // Goal: an error is one object's. Method: the first, one in the middle and the last of three
  // batches, of which finish() does the last.
  fake.damaged = {0, 700, 1299};
  add(0, 1300);
  batch_.finish();
  EXPECT_EQ(batch_.failed(), 3u);
  EXPECT_EQ(batch_.error(), -DER_CSUM);
  EXPECT_EQ(batch_.stats().cs_objects, 1300u);
  EXPECT_EQ(done(), 1297u);
  EXPECT_EQ(fake.flat.size(), 1297u);
  EXPECT_LE(fake.calls, 3u + 3 * 20) << "halves, not one by one";
}

TEST_F(FlatBatchTest, What_passes_is_tried_again_after_an_error_too) {
  // Goal: neither outcomes nor retries are lost. Method: beside a damaged object one that is
  // flattened at the third try, and one that never is.
  fake.damaged = {5};
  fake.later = {{6, 2}, {7, 1000}};
  add(0, 10);
  batch_.finish();
  EXPECT_EQ(batch_.failed(), 1u);
  EXPECT_EQ(done(), 8u);
  EXPECT_EQ(batch_.stats().cs_outcomes[CAIRN_FLAT_PENDING], 1u);
  EXPECT_TRUE(fake.flat.contains(6));
}

TEST_F(FlatBatchTest, Calls_that_fail_whatever_the_objects_end_soon) {
  // Goal: no command asks an engine that is away a thousand times. Method: every call fails; an
  // error that none of the objects is to blame for.
  fake.refusal = -DER_TIMEDOUT;
  add(0, 5000);
  batch_.finish();
  EXPECT_EQ(fake.calls, 3u);
  EXPECT_EQ(batch_.failed(), 5000u);
  EXPECT_EQ(batch_.error(), -DER_TIMEDOUT);
}

TEST_F(FlatBatchTest, One_call_that_fails_loses_its_own_objects_only) {
  // Goal: it goes on after an engine's restart. Method: the first call fails, the others do not.
  fake.refusal = -DER_UNREACH;
  add(0, 512);
  fake.refusal = 0;
  add(512, 600);
  batch_.finish();
  EXPECT_EQ(batch_.failed(), 512u);
  EXPECT_EQ(done(), 600u);
}

TEST_F(FlatBatchTest, One_that_is_met_twice_is_counted_once) {
  // Goal: no call names an object twice. Method: as a walk does beside a rename.
  add(0, 10);
  add(5, 10);
  batch_.finish();
  EXPECT_EQ(batch_.stats().cs_objects, 15u);
  EXPECT_EQ(done(), 15u);
}

}  // namespace
}  // namespace cairn::tool
