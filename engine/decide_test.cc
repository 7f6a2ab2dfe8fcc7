#include "engine/decide.h"

#include <gtest/gtest.h>

#include "engine/testing.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 0xABCDEF;
const wire::ObjectAddress kNear{.oid = {1, uint64_t{1} << 32}, .shard = 0, .target = 0};
const wire::ObjectAddress kFar{.oid = {2, uint64_t{1} << 32}, .shard = 0, .target = 1};

/// An engine of two targets.
class DecideTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made =
        near_.run(vos::Shard::create(near_.reactor, {&wal_, &meta_, &data_}, near_.pool, {}));
    ASSERT_TRUE(made);
    far_ = std::move(*made);
    engine_.add_shard(near_.pool, 0, *near_.shard);
    engine_.add_shard(near_.pool, 1, *far_);
    handle_ = *engine_.add_handle(
        {.pool = near_.pool, .container = 1, .writable = true, .session = kSession});
  }
  void TearDown() override {
    near_.run_void(engine_.remove_shards(near_.pool));
    ASSERT_TRUE(near_.run(far_->close()));
  }
  wire::Request request(uint32_t target, uint64_t sequence = 0) const {
    wire::Request r;
    r.header.handle = handle_;
    r.header.session = kSession;
    r.header.sequence = sequence;
    r.header.acknowledged_below = 1;
    r.header.target = target;
    return r;
  }
  wire::Reply serve(wire::Request& r) {
    wire::Reply reply;
    const auto served = near_.run(engine_.serve(&r, &reply));
    EXPECT_TRUE(served);
    return reply;
  }
  static wire::ObjectUpdate update(const wire::ObjectAddress& at, std::string& value) {
    return {.object = at, .dkey = as_bytes("d"), .iods = single_value(value)};
  }
  std::string get(const wire::ObjectAddress& at) {
    std::string room(8, '#');
    wire::Request r = request(at.target);
    r.body = wire::ObjectFetch{.object = at, .dkey = as_bytes("d"), .iods = single_value(room)};
    const wire::Reply reply = serve(r);
    if (reply.error.code() != Errc::ok) return "error";
    room.resize(std::get<model::Fetched>(reply.body).iods.front().record_bytes);
    return room;
  }
  wire::Reply put_both(std::string near, std::string far, uint64_t sequence,
                       std::vector<wire::TransactRead> reads = {}, model::Epoch read_epoch = 0) {
    wire::Request r = request(0, sequence);
    r.body = wire::ObjectTransact{.read_epoch = read_epoch,
                                  .ops = {update(kNear, near), update(kFar, far)},
                                  .reads = std::move(reads)};
    return serve(r);
  }
  /// What decide() does before the outcome is kept.
  void prepare(uint64_t sequence, std::string near, std::string far) {
    const vos::TxId id{.high = kSession, .low = sequence << 18};
    const model::Epoch epoch = std::max(near_.shard->draw_epoch(), far_->draw_epoch()) + 2;
    for (const bool is_far : {false, true}) {
      const wire::ObjectAddress& at = is_far ? kFar : kNear;
      std::string& value = is_far ? far : near;
      vos::TransactRequest one;
      one.epoch = epoch;
      one.ops.push_back(vos::UpdateRequest{.object = {.container = 1, .oid = at.oid},
                                           .dkey = as_bytes("d"),
                                           .iods = single_value(value)});
      vos::Shard& shard = is_far ? *far_ : *near_.shard;
      ASSERT_TRUE(near_.run(shard.prepare(id, one)));
    }
  }

  EngineWorld near_;
  MemoryDevice wal_{16u << 20}, meta_{32u << 20}, data_{32u << 20};
  std::unique_ptr<vos::Shard> far_;
  Engine engine_{near_.reactor, {.target_count = 2}};
  wire::HandleRef handle_;
};

TEST_F(DecideTest, A_handle_reaches_every_target_and_no_other) {
  // Goal: the header's target selects. Method: one object on each, then a target that is not there.
  std::string near = "near", far = "far", none = "none";
  for (const auto& [at, value] : {std::pair(kNear, &near), std::pair(kFar, &far)}) {
    wire::Request r = request(at.target, at.target + 1);
    wire::ObjectAddress address = at;
    address.target = 0;
    r.body = update(address, *value);
    EXPECT_EQ(serve(r).error.code(), Errc::ok);
  }
  EXPECT_EQ(get(kNear), "near");
  EXPECT_EQ(get(kFar), "far");
  EXPECT_EQ(get({.oid = kFar.oid, .shard = 0, .target = 0}), "");
  wire::Request r = request(2, 9);
  r.body = update(kNear, none);
  EXPECT_EQ(serve(r).error.code(), Errc::nonexistent);
  EXPECT_EQ(engine_.shard(near_.pool, 2), nullptr);
}

TEST_F(DecideTest, Changes_on_two_targets_come_together_and_once) {
  // Goal: one epoch for all; a copy of the request is answered, not executed. Method: resend it
  // after something newer was written.
  const wire::Reply first = put_both("one", "two", 5);
  ASSERT_EQ(first.error.code(), Errc::ok);
  EXPECT_EQ(get(kNear), "one");
  EXPECT_EQ(get(kFar), "two");
  ASSERT_EQ(put_both("three", "four", 6).error.code(), Errc::ok);
  const wire::Reply again = put_both("one", "two", 5);
  EXPECT_EQ(again.error.code(), Errc::ok);
  EXPECT_EQ(get(kNear), "three");
  EXPECT_EQ(get(kFar), "four");
  EXPECT_TRUE(near_.shard->unresolved().empty());
  EXPECT_TRUE(far_->unresolved().empty());
}

TEST_F(DecideTest, What_was_read_on_one_target_protects_all_of_it) {
  // Goal: a change of what was read, on whichever target, stops the whole transaction. Method: read
  // at an epoch, change it, commit.
  const model::Epoch before = put_both("one", "two", 5).header.epoch;
  ASSERT_NE(before, 0u);
  for (const wire::ObjectAddress& read : {kNear, kFar}) {
    const model::Epoch seen = put_both("one", "two", 10 + 2 * read.target).header.epoch;
    const std::vector<wire::TransactRead> reads{
        {.object = read, .level = wire::ReadLevel::dkey, .dkey = as_bytes("d")}};
    EXPECT_EQ(put_both("no", "no", 11 + 2 * read.target, reads, before).error.code(),
              Errc::tx_restart);
    EXPECT_EQ(get(kNear), "one");
    EXPECT_EQ(get(kFar), "two");
    EXPECT_EQ(put_both("one", "two", 20 + read.target, reads, seen).error.code(), Errc::ok);
  }
}

TEST_F(DecideTest, A_failing_change_on_one_target_undoes_the_other) {
  // Goal: all or nothing. Method: a condition that does not hold, on the second target.
  ASSERT_EQ(put_both("one", "two", 5).error.code(), Errc::ok);
  std::string near = "no", far = "no";
  wire::Request r = request(0, 6);
  wire::ObjectUpdate failing = update(kFar, far);
  failing.flags = model::cond::kDkeyInsert;
  r.body = wire::ObjectTransact{.ops = {update(kNear, near), std::move(failing)}};
  EXPECT_EQ(serve(r).error.code(), Errc::exists);
  EXPECT_EQ(get(kNear), "one");
  EXPECT_EQ(get(kFar), "two");
  EXPECT_EQ(put_both("three", "four", 7).error.code(), Errc::ok);
}

TEST_F(DecideTest, What_a_crash_cut_is_ended_by_the_first_target) {
  // Goal: prepared everywhere: dropped; committed on the first: committed on all. Method: stop
  // between the phases, resolve.
  ASSERT_EQ(put_both("one", "two", 5).error.code(), Errc::ok);
  prepare(6, "no", "no");
  EXPECT_TRUE(near_.run(engine_.resolve_transactions(near_.pool)));
  EXPECT_EQ(get(kNear), "one");
  EXPECT_EQ(get(kFar), "two");
  prepare(7, "three", "four");
  ASSERT_TRUE(near_.run(near_.shard->commit({.high = kSession, .low = 7u << 18})));
  EXPECT_EQ(get(kFar), "two");
  EXPECT_TRUE(near_.run(engine_.resolve_transactions(near_.pool)));
  EXPECT_EQ(get(kNear), "three");
  EXPECT_EQ(get(kFar), "four");
  EXPECT_TRUE(far_->unresolved().empty());
}

Task<void> resolve_later(Reactor& reactor, Engine& engine, Uuid pool) {
  co_await reactor.sleep(kSecond);
  const auto resolved = co_await engine.resolve_transactions(pool);
  CHECK(resolved.has_value());
}

TEST_F(DecideTest, A_write_waits_for_a_transaction_that_is_being_decided) {
  // Goal: what an engine decides ends by itself, so nobody is told that it stands in the way.
  // Method: a transaction that is ended after a second; meanwhile an update of the same dkey.
  prepare(6, "no", "no");
  near_.reactor.spawn(resolve_later(near_.reactor, engine_, near_.pool));
  std::string value = "yes";
  wire::Request r = request(1, 7);
  wire::ObjectAddress address = kFar;
  address.target = 0;
  r.body = update(address, value);
  EXPECT_EQ(serve(r).error.code(), Errc::ok);
  EXPECT_EQ(get(kFar), "yes");
}

}  // namespace
}  // namespace cairn::engine
