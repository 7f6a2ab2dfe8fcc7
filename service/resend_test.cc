// Requests that are sent again to a service that was killed and started anew.
#include <gtest/gtest.h>

#include <algorithm>

#include "service/props.h"
#include "service/service_testing.h"

namespace cairn::service {
namespace {

constexpr uint64_t kSession = 5;

/// What a kill leaves.
struct Point {
  std::string name;
  std::map<std::string, ConfigEntry> entries;
  FakeHost host;
};

class ResendTest : public ServiceTest {
 protected:
  void SetUp() override {
    options_.keep_handles = true;
    ServiceTest::SetUp();
  }
  Result<wire::ControlReply> send(wire::ControlRequest request) {
    origin_.sequence += 1;
    return call_as(origin_, std::move(request));
  }
  Result<wire::ControlReply> resend(wire::ControlRequest request) {
    Origin origin = origin_;
    origin.resend = true;
    return call_as(origin, std::move(request));
  }
  /// A home with a pool, a container opened, and a snapshot; all of it by kSession.
  void make_home() {
    stop();
    config_.on_commit = nullptr;
    config_.entries.clear();
    host_ = FakeHost();
    origin_ = {.session = kSession};
    start();
    ASSERT_TRUE(send({.op = wire::Op::pool_create, .label = "tank", .bytes = kPoolBytes}));
    pool_ = send({.op = wire::Op::pool_connect, .name = "tank", .access = 2})->handle;
    ASSERT_TRUE(send({.op = wire::Op::cont_create, .label = "docs", .pool_handle = pool_}));
    cont_ = send({.op = wire::Op::cont_open, .name = "docs", .access = 2, .pool_handle = pool_})
                ->handle;
    epoch_ = send({.op = wire::Op::snap_create, .cont_handle = cont_})->first;
    ASSERT_TRUE(
        send({.op = wire::Op::snap_set_table, .cont_handle = cont_, .count = 1, .epoch = epoch_}));
  }
  std::vector<std::pair<std::string, wire::ControlRequest>> changes() const {
    using wire::Op;
    return {
        {"pool create", {.op = Op::pool_create, .label = "well", .bytes = kPoolBytes}},
        {"pool destroy", {.op = Op::pool_destroy, .name = "tank", .force = true}},
        {"pool connect", {.op = Op::pool_connect, .name = "tank", .access = 1}},
        {"pool attach", {.op = Op::pool_attach, .pool_handle = pool_}},
        {"pool attributes",
         {.op = Op::pool_set_attrs, .pool_handle = pool_, .attrs = {{"a", Bytes(1)}}}},
        {"no pool attributes", {.op = Op::pool_delete_attrs, .pool_handle = pool_, .names = {"a"}}},
        {"create", {.op = Op::cont_create, .label = "more", .pool_handle = pool_}},
        {"destroy", {.op = Op::cont_destroy, .name = "docs", .force = true, .pool_handle = pool_}},
        {"open", {.op = Op::cont_open, .name = "docs", .access = 2, .pool_handle = pool_}},
        {"attach", {.op = Op::cont_attach, .pool_handle = pool_, .cont_handle = cont_}},
        {"close", {.op = Op::cont_close, .cont_handle = cont_}},
        {"properties",
         {.op = Op::cont_set_props,
          .cont_handle = cont_,
          .props = {{.number = prop::kContLabel, .text = "other"}}}},
        {"attributes",
         {.op = Op::cont_set_attrs, .cont_handle = cont_, .attrs = {{"a", Bytes(1)}}}},
        {"no attributes", {.op = Op::cont_delete_attrs, .cont_handle = cont_, .names = {"a"}}},
        {"snapshot", {.op = Op::snap_create, .cont_handle = cont_}},
        {"no snapshot", {.op = Op::snap_destroy, .cont_handle = cont_, .epoch = epoch_}},
        {"no table", {.op = Op::snap_set_table, .cont_handle = cont_, .epoch = epoch_}},
        {"rollback", {.op = Op::snap_rollback, .cont_handle = cont_, .epoch = epoch_}},
        {"worm properties",
         {.op = Op::cont_set_props,
          .cont_handle = cont_,
          .props = {{.number = prop::kContWormCompress, .integer = 1}}}},
        {"seal", {.op = Op::cont_seal, .name = "me@here", .cont_handle = cont_}},
        {"unseal", {.op = Op::cont_unseal, .cont_handle = cont_}},
    };
  }
  /// Sends a request and notes every moment at which a kill leaves something new.
  Result<wire::ControlReply> send_noting(wire::ControlRequest request, std::vector<Point>& points) {
    const auto note = [&](const char* name) { points.push_back({name, config_.entries, host_}); };
    note("before");
    config_.on_commit = [&] { note("commit"); };
    noted_ = note;
    auto reply = send(std::move(request));
    config_.on_commit = nullptr;
    noted_ = nullptr;
    return reply;
  }
  void start_at(const Point& point) {
    stop();
    config_.entries = point.entries;
    host_ = point.host;
    start();
  }

  std::function<void(const char*)> noted_;
  Origin origin_;
  uint64_t pool_ = 0, cont_ = 0, epoch_ = 0;
};

TEST_F(ResendTest, Every_change_is_made_once_whenever_the_service_is_killed) {
  // Goal: a client never learns of a restart. Method: each request; kills at all its commits and
  // steps; the resend is answered as the first one was if that was decided, and makes it otherwise.
  options_.at_step = [this](const char* name) {
    if (noted_) noted_(name);
  };
  make_home();
  for (size_t i = 0; i < changes().size(); ++i) {
    make_home();
    const auto [name, request] = changes()[i];
    if (request.op == wire::Op::cont_unseal) {
      ASSERT_TRUE(send({.op = wire::Op::cont_seal, .name = "me@here", .cont_handle = cont_}));
    }
    std::vector<Point> points;
    const auto first = send_noting(request, points);
    ASSERT_TRUE(first) << name;
    EXPECT_GE(points.size(), 2u) << name;
    const std::string key = done_key(kSession, origin_.sequence);
    EXPECT_TRUE(points.back().entries.contains(key)) << name;
    for (const Point& point : points) {
      start_at(point);
      const auto again = resend(request);
      ASSERT_TRUE(again) << name << " at " << point.name;
      if (point.entries.contains(key)) {
        EXPECT_EQ(wire::proto_encode(*again), wire::proto_encode(*first)) << name;
      }
      const auto third = resend(request);
      ASSERT_TRUE(third) << name;
      EXPECT_EQ(wire::proto_encode(*again), wire::proto_encode(*third)) << name;
      if (request.op == wire::Op::snap_rollback) {
        EXPECT_EQ(host_.rolled_back.size(), 1u) << point.name;
      }
      if (request.op == wire::Op::cont_seal || request.op == wire::Op::cont_unseal) {
        EXPECT_EQ(host_.worms[1].seal.is_set(), request.op == wire::Op::cont_seal) << point.name;
      }
      if (request.op == wire::Op::pool_create) {
        EXPECT_EQ(host_.pools.size(), 2u) << point.name;
      }
    }
  }
}

TEST_F(ResendTest, A_disconnect_is_made_once) {
  // Goal: as above, where the container must be closed first. Method: kill after its commit.
  make_home();
  ASSERT_TRUE(send({.op = wire::Op::cont_close, .cont_handle = cont_}));
  ASSERT_TRUE(send({.op = wire::Op::pool_disconnect, .pool_handle = pool_}));
  restart();
  EXPECT_TRUE(resend({.op = wire::Op::pool_disconnect, .pool_handle = pool_}));
  EXPECT_EQ(code(send({.op = wire::Op::pool_disconnect, .pool_handle = pool_})), Errc::no_handle);
}

TEST_F(ResendTest, Object_numbers_of_a_lost_answer_are_skipped) {
  // Goal: alloc_oids has no record; no number comes twice all the same. Method: kill, resend.
  make_home();
  const wire::ControlRequest request{
      .op = wire::Op::cont_alloc_oids, .cont_handle = cont_, .count = 10};
  const auto first = send(request);
  ASSERT_TRUE(first);
  restart();
  const auto again = resend(request);
  ASSERT_TRUE(again);
  EXPECT_GE(again->first, first->first + 10);
}

TEST_F(ResendTest, Answers_are_forgotten_when_they_are_acknowledged) {
  // Goal: records do not pile up. Method: acknowledge, change something, count; a failure leaves no
  // record and is decided anew; so does a request without a sequence.
  make_home();
  const auto count = [this] {
    return std::ranges::count_if(
        config_.entries, [](const auto& entry) { return entry.first.starts_with(kDonePrefix); });
  };
  EXPECT_EQ(count(), 6);
  origin_.acknowledged_below = 5;
  ASSERT_TRUE(send({.op = wire::Op::pool_list}));
  EXPECT_EQ(count(), 6) << "nothing was committed";
  ASSERT_TRUE(send({.op = wire::Op::cont_create, .label = "a", .pool_handle = pool_}));
  EXPECT_EQ(count(), 3);
  EXPECT_EQ(code(send({.op = wire::Op::cont_create, .label = "a", .pool_handle = pool_})),
            Errc::exists);
  EXPECT_EQ(count(), 3);
  ASSERT_TRUE(call_as({.session = kSession},
                      {.op = wire::Op::cont_create, .label = "b", .pool_handle = pool_}));
  EXPECT_EQ(count(), 3);
  restart();
  origin_.acknowledged_below = origin_.sequence + 1;
  ASSERT_TRUE(send({.op = wire::Op::cont_create, .label = "c", .pool_handle = pool_}));
  EXPECT_EQ(count(), 1);
}

TEST_F(ResendTest, A_session_that_acknowledges_nothing_is_held_up) {
  // Goal: a bound on what one client makes the home hold. Method: the limit, then acknowledge.
  make_home();
  const wire::ControlRequest request{
      .op = wire::Op::pool_delete_attrs, .pool_handle = pool_, .names = {"x"}};
  while (origin_.sequence < kDoneMax) ASSERT_TRUE(send(request));
  EXPECT_EQ(code(send(request)), Errc::overload);
  EXPECT_EQ(code(send(request)), Errc::overload);
  origin_.acknowledged_below = 100;
  EXPECT_TRUE(send(request));
}

}  // namespace
}  // namespace cairn::service
