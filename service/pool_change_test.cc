// Pools that change while they are used, and engines that are stopped.
#include <gtest/gtest.h>

#include "service/props.h"
#include "service/service_testing.h"

namespace cairn::service {
namespace {

class PoolChangeTest : public ServiceTest {
 protected:
  void SetUp() override {
    options_.targets = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1}};
    ServiceTest::SetUp();
  }
  /// A pool on the ranks given.
  Result<wire::ControlReply> create_on(std::string label, std::vector<uint32_t> ranks) {
    wire::ControlRequest request{
        .op = wire::Op::pool_create, .label = std::move(label), .bytes = 4 * kPoolBytes};
    for (const uint32_t rank : ranks) request.targets.push_back({.rank = rank});
    return call(std::move(request));
  }
  Result<wire::ControlReply> extend(std::string name, std::vector<uint32_t> ranks) {
    wire::ControlRequest request{.op = wire::Op::pool_extend, .name = std::move(name)};
    for (const uint32_t rank : ranks) request.targets.push_back({.rank = rank});
    return call(std::move(request));
  }
  Result<wire::ControlReply> set_props(std::string name, std::vector<wire::Prop> props) {
    return call({.op = wire::Op::pool_set_props, .name = std::move(name),
                 .props = std::move(props)});
  }
  /// Where the container's objects may be: targets of its generation.
  static std::set<uint32_t> ranks_of(const wire::ControlReply& opened) {
    std::set<uint32_t> out;
    for (const wire::Target& target : opened.map.targets) {
      if (target.generation <= opened.conts.at(0).generation) out.insert(target.rank);
    }
    return out;
  }
};

TEST_F(PoolChangeTest, A_pool_is_on_the_ranks_that_were_named) {
  ASSERT_TRUE(create_on("some", {2, 0}));
  EXPECT_EQ(host_.made_on.begin()->second, (Targets{{0, 0}, {0, 1}, {2, 0}, {2, 1}}));
  EXPECT_EQ(code(create_on("none", {3})), Errc::nonexistent);
  EXPECT_EQ(call({.op = wire::Op::pool_list})->pools.size(), 1u);
}

TEST_F(PoolChangeTest, Engines_are_told_how_to_scrub_a_pool_whenever_they_open_it_or_it_changes) {
  // Goal: set-prop is in effect without a restart, and stays so after one. Method: what the engines
  // heard last, after each event.
  const auto mode = [](model::ScrubMode m, uint64_t frequency_s = 604'800, uint64_t threshold = 0) {
    return model::ScrubPolicy{m, frequency_s, threshold};
  };
  using enum model::ScrubMode;
  ASSERT_TRUE(create_on("tank", {0}));
  EXPECT_EQ(host_.scrubs.back(), mode(off));
  ASSERT_TRUE(set_props("tank", {{.number = prop::kPoolScrubMode, .integer = 1}}));
  EXPECT_EQ(host_.scrubs.back(), mode(lazy));
  ASSERT_TRUE(set_props("tank", {{.number = prop::kPoolScrubFrequency, .integer = 60},
                                 {.number = prop::kPoolScrubMode, .integer = 2},
                                 {.number = prop::kPoolScrubThreshold, .integer = 9}}));
  EXPECT_EQ(host_.scrubs.back(), mode(timed, 60, 9));
  const size_t count = host_.scrubs.size();
  EXPECT_EQ(code(set_props("tank", {{.number = prop::kPoolScrubMode, .integer = 3}})),
            Errc::invalid);
  EXPECT_EQ(host_.scrubs.size(), count);
  ASSERT_TRUE(extend("tank", {1}));
  EXPECT_EQ(host_.scrubs.size(), count + 1);
  restart();
  EXPECT_EQ(host_.scrubs.size(), count + 2);
  EXPECT_EQ(host_.scrubs.back(), mode(timed, 60, 9));
  host_.away = true;
  ASSERT_TRUE(set_props("tank", {{.number = prop::kPoolScrubMode, .integer = 0}}))
      << "an engine that is away hears of it when it comes";
  host_.away = false;
  const auto caught_up = world_.run(service_->catch_up(host_));
  ASSERT_TRUE(caught_up && *caught_up);
  EXPECT_EQ(host_.scrubs.back(), mode(off, 60, 9));
}

TEST_F(PoolChangeTest, Extended_containers_stay_where_they_are_and_new_ones_spread) {
  ASSERT_TRUE(create_on("tank", {0}));
  const auto connected = connect("tank");
  ASSERT_TRUE(connected && create_cont(connected->handle, "old"));
  ASSERT_TRUE(extend("tank", {2, 1}));
  EXPECT_EQ(host_.extended_to[connected->uuid].size(), 6u);
  ASSERT_TRUE(create_cont(connected->handle, "new"));
  for (int i = 0; i < 2; ++i) {
    const auto again = connect("tank");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->map.version, 2u);
    EXPECT_EQ(again->map.generation, 2u);
    EXPECT_EQ(ranks_of(*open_cont(again->handle, "old")), (std::set<uint32_t>{0}));
    EXPECT_EQ(ranks_of(*open_cont(again->handle, "new")), (std::set<uint32_t>{0, 1, 2}));
    restart();
    EXPECT_EQ(host_.opened_on[connected->uuid], host_.extended_to[connected->uuid]);
  }
}

TEST_F(PoolChangeTest, What_cannot_be_extended_stays_as_it_was) {
  // Goal: an extension is whole or not there. Method: wrong ranks, a full engine, one that is away,
  // a commit that fails; each time the map is the old one, and the next attempt is free to succeed.
  ASSERT_TRUE(create_on("tank", {0}));
  EXPECT_EQ(code(extend("tank", {})), Errc::invalid);
  EXPECT_EQ(code(extend("nopool", {1})), Errc::nonexistent);
  EXPECT_EQ(code(extend("tank", {9})), Errc::nonexistent);
  EXPECT_EQ(code(extend("tank", {0, 1})), Errc::busy);
  host_.fail_create = true;
  EXPECT_EQ(code(extend("tank", {1})), Errc::no_space);
  host_.fail_create = false;
  host_.away = true;
  EXPECT_EQ(code(extend("tank", {1})), Errc::unreachable);
  host_.away = false;
  config_.fail_commits = true;
  EXPECT_EQ(code(extend("tank", {1})), Errc::no_space);
  config_.fail_commits = false;
  EXPECT_EQ(host_.extended_to.begin()->second.size(), 2u) << "the engines drop what they have made";
  EXPECT_EQ(connect("tank")->map.targets.size(), 2u);
  EXPECT_TRUE(extend("tank", {1}));
  EXPECT_EQ(connect("tank")->map.targets.size(), 4u);
  EXPECT_TRUE(extend("tank", {2}));
  EXPECT_EQ(connect("tank")->map.generation, 3u);
}

Task<void> ask(Service& service, wire::ControlRequest request, Errc& into) {
  const auto done = co_await service.handle({}, wire::proto_encode(request));
  into = done ? Errc::ok : done.error().code();
}

TEST_F(PoolChangeTest, Nobody_destroys_what_is_being_extended) {
  ASSERT_TRUE(create_on("tank", {0}));
  Errc destroyed = Errc::ok, extended = Errc::ok;
  options_.at_step = [&](const char* step) {
    if (std::string_view(step) != "pool.extend.shards") return;
    // Others ask, while this one has made the shards.
    world_.reactor().spawn(
        ask(*service_, {.op = wire::Op::pool_destroy, .name = "tank", .force = true}, destroyed));
    wire::ControlRequest again{.op = wire::Op::pool_extend, .name = "tank"};
    again.targets.push_back({.rank = 2});
    world_.reactor().spawn(ask(*service_, again, extended));
  };
  config_.slow = &world_.reactor();
  restart();
  EXPECT_TRUE(extend("tank", {1}));
  world_.run_for(kSecond);
  EXPECT_EQ(destroyed, Errc::busy);
  EXPECT_EQ(extended, Errc::busy);
}

TEST_F(PoolChangeTest, A_label_is_changed_and_stays_unique) {
  ASSERT_TRUE(create_on("one", {0}));
  ASSERT_TRUE(create_on("two", {0}));
  const wire::Prop renamed{.number = prop::kPoolLabel, .text = "three"};
  const wire::Prop taken{.number = prop::kPoolLabel, .text = "two"};
  EXPECT_EQ(code(set_props("one", {taken})), Errc::exists);
  ASSERT_TRUE(set_props("one", {renamed}));
  EXPECT_EQ(code(connect("one")), Errc::nonexistent);
  EXPECT_TRUE(connect("three"));
  ASSERT_TRUE(create_on("one", {0})) << "the old label is free";
  ASSERT_TRUE(set_props("three", {renamed})) << "the same again";
  restart();
  EXPECT_TRUE(connect("three"));
  EXPECT_EQ(code(set_props("nopool", {renamed})), Errc::nonexistent);
}

TEST_F(PoolChangeTest, Properties_are_checked_and_kept) {
  ASSERT_TRUE(create_on("tank", {0}));
  constexpr uint32_t kReclaim = 5, kSpaceRb = 3;
  EXPECT_EQ(code(set_props("tank", {})), Errc::invalid);
  EXPECT_EQ(code(set_props("tank", {{.number = kSpaceRb, .integer = 101}})), Errc::invalid);
  EXPECT_EQ(code(set_props("tank", {{.number = 999, .integer = 1}})), Errc::invalid);
  EXPECT_EQ(code(set_props("tank", {{.number = prop::kPoolLabel, .text = "a b"}})), Errc::invalid);
  ASSERT_TRUE(set_props("tank", {{.number = kReclaim, .integer = 0}}));
  restart();
  const auto pools = call({.op = wire::Op::pool_list})->pools;
  const wire::Prop* const kept = find_prop(pools.at(0).props, kReclaim);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->integer, 0u);
}

using Asked = std::vector<std::pair<uint32_t, bool>>;
/// Rank 1 does not end in time.
Task<std::vector<wire::RankResult>> turn(Asked& asked, std::vector<uint32_t> ranks, bool run) {
  std::vector<wire::RankResult> out;
  for (const uint32_t rank : ranks) {
    asked.emplace_back(rank, run);
    out.push_back({.rank = rank, .status = rank == 1 ? 1011u : 0u, .text = rank == 1 ? "x" : ""});
  }
  co_return out;
}

TEST_F(PoolChangeTest, Engines_are_stopped_by_whoever_keeps_them) {
  wire::ControlRequest stop{.op = wire::Op::system_stop};
  EXPECT_EQ(code(call(stop)), Errc::not_supported) << "nobody keeps them";
  Asked asked;
  options_.set_running = [&asked](std::vector<uint32_t> ranks, bool run) {
    return turn(asked, std::move(ranks), run);
  };
  restart();
  const auto all = call(stop);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->results.size(), 3u);
  EXPECT_EQ(all->results[1].status, 1011u);
  stop.targets = {{.rank = 2}};
  EXPECT_EQ(call(stop)->results.size(), 1u);
  stop.targets = {{.rank = 3}};
  EXPECT_EQ(code(call(stop)), Errc::nonexistent);
  wire::ControlRequest start{.op = wire::Op::system_start, .targets = {{.rank = 0}}};
  EXPECT_TRUE(call(start));
  EXPECT_EQ(asked, (Asked{{0, false}, {1, false}, {2, false}, {2, false}, {0, true}}));
  EXPECT_EQ(code(call({.op = wire::Op::storage_format})), Errc::already);
}

}  // namespace
}  // namespace cairn::service
