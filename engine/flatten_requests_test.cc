// What requests have to do with flattening: the last update of an object, hints, objects at once.
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/testing.h"
#include "wire/codec.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 0xABCDEF;

class FlattenRequests : public testing::Test {
 protected:
  void SetUp() override {
    setenv("CAIRN_LOG", "off", 1);
    handle_ = open(true);
  }

  wire::HandleRef open(bool writable) {
    const auto added = world_.engine.add_handle(
        {.pool = world_.pool, .container = 1, .writable = writable, .session = kSession});
    CHECK(added.has_value());
    return *added;
  }
  wire::Request request(uint64_t sequence = 0) const {
    wire::Request r;
    r.header.handle = handle_;
    r.header.session = kSession;
    r.header.sequence = sequence;
    r.header.acknowledged_below = 1;
    return r;
  }
  wire::Request update(uint64_t n, uint64_t flags = 0) {
    wire::Request r = request(++sequence_);
    r.body = wire::ObjectUpdate{.object = {.oid = oid(n), .shard = 0},
                                .flags = flags,
                                .dkey = as_bytes("dkey"),
                                .iods = single_value(value_)};
    return r;
  }
  wire::Request flatten(uint64_t n, uint32_t flags) const {
    wire::Request r = request();
    r.header.flags = flags;
    r.body = wire::FlattenObjects{.limits = {}, .objects = {{oid(n), 0}, {oid(n + 1), 0}}};
    return r;
  }
  Errc serve(wire::Request r) {
    reply_ = {};
    const auto served = world_.run(world_.engine.serve(&r, &reply_));
    EXPECT_TRUE(served.has_value());
    return reply_.error.code();
  }
  Errc serve_by_bytes(const wire::Request& r) {
    Bytes message;
    EXPECT_TRUE(wire::encode_request(r, message).has_value());
    const Bytes answer = world_.run(world_.engine.serve_bytes(std::move(message)));
    reply_ = {};
    EXPECT_TRUE(wire::decode_reply(answer, r, reply_).has_value());
    return reply_.error.code();
  }
  model::FlattenOutcome outcome(size_t index) const {
    return std::get<wire::FlattenedObjects>(reply_.body).objects.at(index).outcome;
  }
  static model::ObjectId oid(uint64_t n) { return {n, 0x0001'0001'0000'0000}; }
  bool is_flat(uint64_t n) { return *world_.run(world_.shard->is_flat({1, oid(n), 0})); }
  Flattener::Facts facts() const { return *world_.engine.flatten_facts(world_.pool, 0); }
  static Task<void> pause(Reactor& reactor, Duration duration) { co_await reactor.sleep(duration); }
  void run_for(Duration duration) { world_.run_void(pause(world_.reactor, duration)); }

  EngineWorld world_;
  std::string value_ = "some value";
  uint64_t sequence_ = 0;
  wire::HandleRef handle_;
  wire::Reply reply_;
};

TEST_F(FlattenRequests, After_its_last_update_an_object_gets_flat_and_only_then) {
  // Goal: way in 1, by reference and by bytes. Method: updates with the flag, without it, and with
  // a condition beside it that fails.
  ASSERT_EQ(serve(update(1, model::cond::kFinal)), Errc::ok);
  ASSERT_EQ(serve_by_bytes(update(2, model::cond::kFinal | model::cond::kDkeyInsert)), Errc::ok);
  ASSERT_EQ(serve(update(3)), Errc::ok);
  EXPECT_EQ(serve(update(3, model::cond::kFinal | model::cond::kDkeyInsert)), Errc::exists);
  EXPECT_EQ(facts().hints, 2u);
  EXPECT_FALSE(is_flat(1));
  run_for(kSecond);
  EXPECT_TRUE(is_flat(1));
  EXPECT_TRUE(is_flat(2));
  EXPECT_FALSE(is_flat(3));
  // It may be written again all the same, and be final again.
  ASSERT_EQ(serve(update(1)), Errc::ok);
  EXPECT_FALSE(is_flat(1));
  ASSERT_EQ(serve(update(1, model::cond::kFinal)), Errc::ok);
  run_for(kSecond);
  EXPECT_TRUE(is_flat(1));
}

TEST_F(FlattenRequests, A_copy_of_the_last_update_is_one_hint_more_and_no_update) {
  wire::Request first = update(1, model::cond::kFinal);
  wire::Request copy = update(1, model::cond::kFinal);
  copy.header.sequence = first.header.sequence;
  ASSERT_EQ(serve(std::move(first)), Errc::ok);
  const model::Epoch epoch = reply_.header.epoch;
  run_for(kSecond);
  ASSERT_TRUE(is_flat(1));
  copy.header.flags |= wire::kFlagResend;
  ASSERT_EQ(serve(std::move(copy)), Errc::ok);
  EXPECT_EQ(reply_.header.epoch, epoch);
  run_for(kSecond);
  EXPECT_TRUE(is_flat(1));
}

TEST_F(FlattenRequests, Objects_are_flattened_at_once_or_noted_for_later) {
  for (uint64_t n = 1; n <= 8; ++n) ASSERT_EQ(serve(update(n)), Errc::ok);
  ASSERT_EQ(serve(flatten(1, 0)), Errc::ok);
  EXPECT_EQ(outcome(0), model::FlattenOutcome::flattened);
  EXPECT_TRUE(is_flat(1) && is_flat(2));
  ASSERT_EQ(serve(flatten(3, wire::kFlagLater)), Errc::ok);
  EXPECT_EQ(outcome(1), model::FlattenOutcome::pending);
  ASSERT_EQ(serve_by_bytes(flatten(5, wire::kFlagLater)), Errc::ok);
  EXPECT_EQ(outcome(1), model::FlattenOutcome::pending);
  EXPECT_EQ(facts().hints, 4u);
  EXPECT_FALSE(is_flat(3) || is_flat(4) || is_flat(5) || is_flat(6));
  run_for(kSecond);
  EXPECT_TRUE(is_flat(3) && is_flat(4) && is_flat(5) && is_flat(6));
  EXPECT_FALSE(is_flat(7));
}

TEST_F(FlattenRequests, Who_may_not_write_may_not_say_that_it_was_the_last_time) {
  ASSERT_EQ(serve(update(1)), Errc::ok);
  handle_ = open(false);
  EXPECT_EQ(serve(flatten(1, wire::kFlagLater)), Errc::no_perm);
  EXPECT_EQ(serve(flatten(1, 0)), Errc::no_perm);
  EXPECT_EQ(serve(update(1, model::cond::kFinal)), Errc::no_perm);
  EXPECT_EQ(facts().hints, 0u);
}

TEST_F(FlattenRequests, A_shard_that_leaves_takes_its_hints_along) {
  ASSERT_EQ(serve(update(1, model::cond::kFinal)), Errc::ok);
  world_.run_void(world_.engine.remove_shards(world_.pool));
  run_for(kSecond);
  EXPECT_FALSE(is_flat(1));
  EXPECT_FALSE(world_.engine.flatten_facts(world_.pool, 0));
  world_.engine.add_shard(world_.pool, 0, *world_.shard);
  EXPECT_EQ(facts().hints, 0u);
}

TEST_F(FlattenRequests, A_sealed_container_gets_flat_and_so_does_one_whose_shard_is_opened) {
  // Goal: the shard's policies reach the flattener, also those that it had before, as whoever opens
  // shards tells it. Method: sealed while it is served; then the shard leaves the engine inside the
  // pass and comes back.
  for (uint64_t n = 1; n <= 900; ++n) ASSERT_EQ(serve(update(n)), Errc::ok);
  model::WormPolicy policy;
  policy.seal = {.epoch = world_.shard->draw_epoch(), .by = "somebody@here"};
  ASSERT_TRUE(world_.run(world_.shard->set_worm_policy(1, policy)));
  EXPECT_FALSE(world_.engine.flatten_progress(world_.pool, 1).running);
  world_.engine.policy_changed(world_.pool, 1);
  EXPECT_TRUE(world_.engine.flatten_progress(world_.pool, 1).running);
  for (int i = 0; i < 20'000 && world_.engine.flatten_progress(world_.pool, 1).flat < 300; ++i) {
    world_.step();
  }
  world_.run_void(world_.engine.remove_shards(world_.pool));
  EXPECT_FALSE(is_flat(900) && is_flat(450));
  world_.engine.add_shard(world_.pool, 0, *world_.shard);
  EXPECT_FALSE(world_.engine.flatten_progress(world_.pool, 1).running)
      << "it may only be looked at";
  for (const vos::ContNumber container : world_.shard->worm_containers()) {
    world_.engine.policy_changed(world_.pool, container);
  }
  EXPECT_TRUE(world_.engine.flatten_progress(world_.pool, 1).running);
  run_for(10 * kSecond);
  const model::FlattenProgress progress = world_.engine.flatten_progress(world_.pool, 1);
  EXPECT_FALSE(progress.running);
  EXPECT_EQ(progress.flat, 900u);
  EXPECT_EQ(progress.left, 0u);
  EXPECT_FALSE(world_.engine.flatten_progress(world_.pool, 2).running);
}

TEST_F(FlattenRequests, Reads_by_any_way_keep_an_object_from_being_cold) {
  // Goal: all reads count. Method: an object each for fetches that wait, fetches at once, listings
  // and queries, read again and again from when they are young; one that nobody reads.
  for (uint64_t n = 1; n <= 5; ++n) ASSERT_EQ(serve(update(n)), Errc::ok);
  ASSERT_TRUE(world_.run(world_.shard->set_worm_policy(1, {.cold_after_s = 50})));
  world_.engine.policy_changed(world_.pool, 1);
  std::string room(100, ' ');
  const auto read_all = [&] {
    wire::Request fetch = request();
    fetch.body = wire::ObjectFetch{
        .object = {.oid = oid(1)}, .dkey = as_bytes("dkey"), .iods = single_value(room)};
    ASSERT_EQ(serve_by_bytes(fetch), Errc::ok);
    std::get<wire::ObjectFetch>(fetch.body).object.oid = oid(2);
    ASSERT_TRUE(world_.engine.serve_at_once(&fetch, &reply_));
    wire::Request list = request();
    list.body = wire::ObjectList{.object = {.oid = oid(3)},
                                 .request = {.count_max = 5, .bytes_max = 500, .position = {}}};
    ASSERT_EQ(serve(std::move(list)), Errc::ok);
    wire::Request query = request();
    query.body = wire::ObjectQueryKey{.object = {.oid = oid(4)}, .request = {.want_dkey = true}};
    (void)serve(std::move(query));
  };
  for (int i = 0; i < 20; ++i) {
    for (int reads = 0; reads < 20; ++reads) read_all();
    run_for(10 * kSecond);
  }
  EXPECT_FALSE(is_flat(1) || is_flat(2) || is_flat(3) || is_flat(4));
  EXPECT_TRUE(is_flat(5));
  run_for(600 * kSecond);
  EXPECT_TRUE(is_flat(1) && is_flat(2) && is_flat(3) && is_flat(4));
}

TEST_F(FlattenRequests, What_a_container_says_of_compression_and_limits_counts_for_all_ways_in) {
  // Method: bytes of the same content, flattened by a request and by a hint, before and after the
  // container is to be compressed; then by a request whose container keeps larger objects out.
  value_.assign(3'000, 'x');
  const auto size = [&](uint64_t n) {
    return std::get<wire::FlattenedObjects>(reply_.body).objects.at(n).buffer_bytes;
  };
  const auto used = [&] { return world_.run(world_.shard->flat_usage(1))->buffer_bytes; };
  for (uint64_t n = 1; n <= 8; ++n) ASSERT_EQ(serve(update(n)), Errc::ok);
  ASSERT_EQ(serve(flatten(1, 0)), Errc::ok);
  EXPECT_GT(size(0), 3'000u);
  ASSERT_TRUE(world_.run(world_.shard->set_worm_policy(1, {.compress = true})));
  world_.engine.policy_changed(world_.pool, 1);
  ASSERT_EQ(serve(flatten(3, 0)), Errc::ok);
  EXPECT_EQ(outcome(0), model::FlattenOutcome::flattened);
  EXPECT_LT(size(0), 1'000u);
  EXPECT_LT(size(1), 1'000u);
  const uint64_t before = used();
  ASSERT_EQ(serve(update(9, model::cond::kFinal)), Errc::ok);
  ASSERT_EQ(serve(update(10, model::cond::kFinal)), Errc::ok);
  run_for(kSecond);
  ASSERT_TRUE(is_flat(9) && is_flat(10));
  EXPECT_LT(used() - before, 2'000u);
  ASSERT_TRUE(world_.run(
      world_.shard->set_worm_policy(1, {.object_bytes_max = model::kWormObjectBytesMin})));
  wire::Request more = update(11);
  std::get<wire::ObjectUpdate>(more.body).dkey = as_bytes("other");
  ASSERT_EQ(serve(update(11)), Errc::ok);
  ASSERT_EQ(serve(std::move(more)), Errc::ok);
  wire::Request asked = flatten(11, 0);
  ASSERT_EQ(serve(asked), Errc::ok);
  EXPECT_EQ(outcome(0), model::FlattenOutcome::too_large);
  std::get<wire::FlattenObjects>(asked.body).limits.object_bytes_max = 64u << 10;
  ASSERT_EQ(serve(asked), Errc::ok);
  EXPECT_EQ(outcome(0), model::FlattenOutcome::flattened);
}

}  // namespace
}  // namespace cairn::engine
