// Machines that join a system, and what their servers report.
#include "service/service_testing.h"

namespace cairn::service {
namespace {

/// Two own engines of two targets each.
class FakeMachines final : public MachineHost {
 public:
  bool joinable() const override { return open; }
  Bytes secret() const override { return Bytes(32, std::byte{7}); }
  const Uuid& system() const override { return system_; }
  uint32_t own_engines() const override { return own; }
  uint32_t target_count() const override { return 2; }
  Result<void> prepare() override {
    if (fail_prepare) return fail(Errc::no_space, "full");
    ++prepared;
    return {};
  }
  void admit(const wire::Machine& machine) override { admitted.push_back(machine); }
  Result<std::vector<wire::MachineOrder>> report(const wire::Machine& machine) override {
    reported.push_back(machine);
    return std::vector<wire::MachineOrder>{{2, 99, wire::MachineAction::launch}};
  }

  uint32_t own = 2;
  bool open = true, fail_prepare = false;
  int prepared = 0;
  std::vector<wire::Machine> admitted, reported;

 private:
  const Uuid system_{{5}};
};

class MachineTest : public ServiceTest {
 protected:
  void SetUp() override {
    options_.targets = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
    options_.machines = &machines_;
    ServiceTest::SetUp();
  }
  static wire::ControlRequest join_request(uint8_t id, uint32_t engines, uint32_t targets = 2) {
    wire::ControlRequest request;
    request.op = wire::Op::machine_join;
    request.machine = {.uuid = {{id}},
                       .name = "host" + std::to_string(id),
                       .engine_count = engines,
                       .target_count = targets};
    return request;
  }
  static Task<void> join_into(Service& service, uint8_t id, std::vector<Bytes>& replies) {
    const Bytes request = wire::proto_encode(join_request(id, 2));
    auto reply = co_await service.handle({.session = id}, request);
    if (reply) replies.push_back(std::move(*reply));
  }
  /// The first rank; 0: refused.
  uint32_t join(uint8_t id, uint32_t engines) {
    const auto reply = call(join_request(id, engines));
    return reply ? reply->machine.first_rank : 0;
  }
  Errc refused(wire::ControlRequest request) {
    const auto reply = call(std::move(request));
    return reply ? Errc::ok : reply.error().code();
  }
  wire::ControlRequest report_request(uint8_t id, uint32_t rank) {
    wire::ControlRequest request;
    request.op = wire::Op::machine_report;
    request.machine = {.uuid = {{id}}, .incarnation = 3, .engines = {{.rank = rank}}};
    return request;
  }

  FakeMachines machines_;
};

TEST_F(MachineTest, Ranks_follow_each_other_and_stay) {
  const auto first = call(join_request(1, 3));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->uuid, machines_.system());
  EXPECT_EQ(first->secret, machines_.secret());
  EXPECT_EQ(first->machine.first_rank, 2u);
  EXPECT_EQ(machines_.prepared, 1);
  EXPECT_EQ(join(2, 1), 5u);
  // The same again: an answer was lost, or the machine died on the way.
  EXPECT_EQ(join(1, 3), 2u);
  EXPECT_EQ(machines_.admitted.size(), 2u);
  restart();
  ASSERT_EQ(machines_.admitted.size(), 4u);
  EXPECT_EQ(machines_.admitted[2].first_rank, 2u);
  EXPECT_EQ(machines_.admitted[2].name, "host1");
  EXPECT_EQ(machines_.admitted[3].first_rank, 5u);
  EXPECT_EQ(join(2, 1), 5u);
  EXPECT_EQ(join(3, 1), 6u);
}

TEST_F(MachineTest, Those_that_join_at_once_get_ranks_of_their_own) {
  config_.slow = &world_.reactor();
  std::vector<Bytes> replies;
  for (uint8_t id = 1; id <= 4; ++id) {
    world_.reactor().spawn(join_into(*service_, id, replies));
  }
  world_.run([](Reactor& reactor) -> Task<bool> {
    co_await reactor.sleep(kSecond);
    co_return true;
  }(world_.reactor()));
  ASSERT_EQ(replies.size(), 4u);
  std::set<uint32_t> ranks;
  for (const Bytes& reply : replies) {
    const auto parsed = wire::proto_decode<wire::ControlReply>(reply);
    ASSERT_TRUE(parsed);
    ranks.insert(parsed->machine.first_rank);
  }
  EXPECT_EQ(ranks, (std::set<uint32_t>{2, 4, 6, 8}));
}

TEST_F(MachineTest, Pools_lie_on_their_engines) {
  ASSERT_EQ(join(1, 1), 2u);
  wire::ControlRequest request;
  request.op = wire::Op::pool_create;
  request.label = "tank";
  request.bytes = 6 * kPoolBytes;
  const auto made = call(request);
  ASSERT_TRUE(made);
  EXPECT_EQ(host_.made_on[made->uuid], (Targets{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1}}));
}

TEST_F(MachineTest, What_makes_no_sense_is_refused) {
  EXPECT_EQ(refused(join_request(0, 1)), Errc::invalid) << "no id";
  EXPECT_EQ(refused(join_request(1, 0)), Errc::invalid);
  EXPECT_EQ(refused(join_request(1, 1, 3)), Errc::invalid) << "other targets";
  EXPECT_EQ(refused(join_request(1, 1023)), Errc::no_space);
  EXPECT_EQ(refused(join_request(1, 0xffffffff)), Errc::invalid);
  wire::ControlRequest long_name = join_request(1, 1);
  long_name.machine.name = std::string(256, 'x');
  EXPECT_EQ(refused(long_name), Errc::invalid);
  machines_.fail_prepare = true;
  EXPECT_EQ(refused(join_request(1, 1)), Errc::no_space);
  machines_.fail_prepare = false;
  EXPECT_TRUE(machines_.admitted.empty());
  EXPECT_EQ(join(1, 1022), 2u) << "1,024 are allowed";
  EXPECT_EQ(refused(join_request(1, 5)), Errc::invalid) << "another number than before";
  EXPECT_EQ(refused(join_request(2, 1)), Errc::no_space);
}

TEST_F(MachineTest, Reports_are_about_the_machine_s_own_engines) {
  EXPECT_EQ(refused(report_request(1, 2)), Errc::nonexistent) << "has not joined";
  ASSERT_EQ(join(1, 2), 2u);
  ASSERT_EQ(join(2, 1), 4u);
  for (const uint32_t rank : {0u, 1u, 4u, 0xffffffffu}) {
    EXPECT_EQ(refused(report_request(1, rank)), Errc::invalid) << rank;
  }
  EXPECT_TRUE(machines_.reported.empty());
  const auto reply = call(report_request(1, 3));
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->orders.size(), 1u);
  EXPECT_EQ(reply->orders[0].id, 99u);
  ASSERT_EQ(machines_.reported.size(), 1u);
  EXPECT_EQ(machines_.reported[0].first_rank, 2u);
  EXPECT_EQ(machines_.reported[0].engine_count, 2u);
  EXPECT_EQ(machines_.reported[0].incarnation, 3u);
}

TEST_F(MachineTest, Without_a_server_there_are_no_machines) {
  ASSERT_EQ(join(1, 1), 2u);
  stop();
  options_.machines = nullptr;
  Service alone(world_.reactor(), config_, host_, options_);
  const auto started = world_.run(alone.start());
  ASSERT_TRUE(started);
  EXPECT_EQ(started->error().code(), Errc::not_supported) << "its engines are elsewhere";
  config_.entries.clear();
  start();
  EXPECT_EQ(refused(join_request(1, 1)), Errc::not_supported);
  EXPECT_EQ(refused(report_request(1, 2)), Errc::not_supported);
}

TEST_F(MachineTest, A_system_that_asks_for_tokens_is_not_joined) {
  // Goal: a client's token is no way to the secret. Method: also for a machine that is known.
  ASSERT_EQ(join(1, 1), 2u);
  machines_.open = false;
  EXPECT_EQ(refused(join_request(1, 1)), Errc::not_supported);
  EXPECT_EQ(refused(join_request(2, 1)), Errc::not_supported);
  EXPECT_TRUE(call(report_request(1, 2))) << "it reports all the same";
}

TEST_F(MachineTest, A_damaged_record_is_not_believed) {
  ASSERT_EQ(join(1, 1), 2u);
  ASSERT_EQ(join(2, 1), 3u);
  stop();
  const auto broken = [this] {
    Service service(world_.reactor(), config_, host_, options_);
    const auto started = world_.run(service.start());
    return started && !*started ? started->error().code() : Errc::ok;
  };
  const auto saved = config_.entries;
  config_.entries.erase(machine_key({{1}}));
  EXPECT_EQ(broken(), Errc::checksum) << "a gap";
  config_.entries = saved;
  config_.entries[machine_key({{1}})].value.push_back(std::byte{0xff});
  EXPECT_EQ(broken(), Errc::checksum);
  config_.entries = saved;
  MachineRecord record{.first_rank = 0xfffffff0, .engine_count = 0x20};
  config_.entries[machine_key({{1}})].value = wire::proto_encode(record);
  EXPECT_EQ(broken(), Errc::checksum);
}

}  // namespace
}  // namespace cairn::service
