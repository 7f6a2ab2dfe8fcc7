// What the services' process knows of engines on other machines, and the files that machines keep.
#include "cmd/embed/machines.h"

#include <gtest/gtest.h>

#include "cmd/embed/machine_file.h"
#include "sim/world.h"

namespace cairn::embed {
namespace {

class MachinesTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("CAIRN_LOG", "off", 1);
    machines_.set_hooks(
        {.admitted = [this](uint32_t rank) { events_ += " +" + std::to_string(rank); },
         .restarted = [this](uint32_t rank) { events_ += " !" + std::to_string(rank); }});
    machines_.admit(report());
  }
  wire::Machine report(uint64_t incarnation = 1) {
    return {.uuid = {{1}},
            .name = "b",
            .first_rank = 3,
            .engine_count = 2,
            .incarnation = incarnation,
            .engines = {three_, four_}};
  }
  std::vector<wire::MachineOrder> hear(uint64_t incarnation = 1) {
    const auto orders = machines_.report(report(incarnation));
    EXPECT_TRUE(orders);
    return orders ? *orders : std::vector<wire::MachineOrder>{};
  }
  /// As the machine does.
  void carry_out(const std::vector<wire::MachineOrder>& orders) {
    for (const auto& order : orders) (order.rank == 3 ? three_ : four_).done = order.id;
  }
  void pass(Duration time) {
    world_.run([](Reactor& reactor, Duration length) -> Task<bool> {
      co_await reactor.sleep(length);
      co_return true;
    }(world_.reactor(), time));
  }

  sim::World world_{1};
  Machines machines_{
      world_.reactor(),
      {.home = "/nowhere", .file = {.uuid = {{9}}, .engine_count = 3}, .secret = {1}}};
  wire::MachineEngine three_{.rank = 3, .addresses = {"tcp:10.0.0.2:1"}};
  wire::MachineEngine four_{.rank = 4, .addresses = {"tcp:10.0.0.2:2", "unix:/x", "nonsense"}};
  std::string events_;
};

TEST_F(MachinesTest, A_machine_that_comes_starts_its_engines) {
  EXPECT_EQ(events_, " +3 +4");
  EXPECT_FALSE(machines_.launcher(3).is_starting()) << "it has said nothing yet";
  const auto orders = hear();
  EXPECT_EQ(events_, " +3 +4 !3 !4");
  ASSERT_EQ(orders.size(), 2u);
  EXPECT_EQ(orders[0].action, wire::MachineAction::launch);
  EXPECT_NE(orders[0].id, orders[1].id);
  EXPECT_TRUE(machines_.launcher(3).is_starting());
  // Until they have been carried out they are told again; not after that.
  EXPECT_EQ(hear(), orders);
  carry_out(orders);
  EXPECT_TRUE(hear().empty());
  EXPECT_FALSE(machines_.launcher(3).is_starting());
  EXPECT_FALSE(machines_.launcher(3).is_running());
  three_.starting = true;
  hear();
  EXPECT_TRUE(machines_.launcher(3).is_starting());
  three_.running = true;
  hear();
  EXPECT_TRUE(machines_.launcher(3).is_running());
  EXPECT_FALSE(machines_.launcher(4).is_running());
  EXPECT_EQ(events_, " +3 +4 !3 !4");
}

TEST_F(MachinesTest, The_last_order_counts) {
  carry_out(hear());
  machines_.launcher(4).terminate();
  machines_.launcher(4).kill();
  const auto orders = hear();
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].rank, 4u);
  EXPECT_EQ(orders[0].action, wire::MachineAction::kill);
  EXPECT_FALSE(machines_.launcher(4).is_starting());
  machines_.launcher(4).launch();
  EXPECT_TRUE(machines_.launcher(4).is_starting());
  // An engine that is stopped before it was started is not started.
  machines_.launcher(4).cancel();
  EXPECT_FALSE(machines_.launcher(4).is_starting());
  EXPECT_TRUE(hear().empty());
}

TEST_F(MachinesTest, One_that_is_silent_is_away) {
  three_.running = true;
  carry_out(hear());
  hear();
  pass(4 * kSecond);
  EXPECT_TRUE(machines_.launcher(3).is_running());
  pass(2 * kSecond);
  EXPECT_FALSE(machines_.launcher(3).is_running());
  machines_.launcher(3).launch();
  EXPECT_FALSE(machines_.launcher(3).is_starting()) << "nobody hears it";
  EXPECT_EQ(hear().size(), 1u) << "now somebody does";
  EXPECT_TRUE(machines_.launcher(3).is_running());
}

TEST_F(MachinesTest, Another_process_of_the_machine_waits_for_the_first_one_s_silence) {
  carry_out(hear(1));
  const auto twin = machines_.report(report(2));
  ASSERT_FALSE(twin);
  EXPECT_EQ(twin.error().code(), Errc::busy);
  pass(4 * kSecond);
  hear(1);
  pass(4 * kSecond);
  EXPECT_FALSE(machines_.report(report(2))) << "the first one goes on";
  pass(2 * kSecond);
  // The machine has restarted: old orders are forgotten, engines are started.
  events_.clear();
  three_.done = four_.done = 0;
  machines_.launcher(3).kill();
  const auto orders = hear(2);
  EXPECT_EQ(events_, " !3 !4");
  ASSERT_EQ(orders.size(), 2u);
  EXPECT_EQ(orders[0].action, wire::MachineAction::launch);
}

TEST_F(MachinesTest, Who_is_no_machine_of_the_system_is_not_heard) {
  wire::Machine stranger = report();
  stranger.uuid = {{2}};
  EXPECT_EQ(machines_.report(stranger).error().code(), Errc::nonexistent);
  EXPECT_EQ(machines_.report(report(0)).error().code(), Errc::nonexistent);
}

TEST_F(MachinesTest, Addresses_are_those_that_the_machine_told_last) {
  const auto where = [this](uint32_t rank) {
    const auto found = world_.run(machines_.where(rank));
    std::string out;
    if (found && *found) {
      for (const Address& address : **found) out += to_string(address) + " ";
    }
    return out;
  };
  EXPECT_EQ(where(3), "");
  EXPECT_EQ(where(9), "") << "no such rank";
  hear();
  EXPECT_EQ(where(3), "tcp:10.0.0.2:1 ");
  EXPECT_EQ(where(4), "tcp:10.0.0.2:2 unix:/x ");
  EXPECT_EQ(machines_.host(4), "b");
  three_.addresses = {"tcp:10.0.0.9:7"};
  hear();
  EXPECT_EQ(where(3), "tcp:10.0.0.9:7 ");
}

TEST(MachineFile, Comes_back_as_it_was_and_nothing_else_does) {
  const MachineFile file{.uuid = {{1, 2, 3}}, .service = "host:10001"};
  const std::string text = format_machine(file);
  EXPECT_EQ(*parse_machine(text), file);
  EXPECT_EQ(*parse_machine(text + "\n# a word\n"), file);
  for (const std::string& wrong :
       {std::string(), std::string("cairn launch 1\n"), text + text.substr(text.find("uuid")),
        text + "nosuch 1\n", text.substr(0, text.find("service")),
        std::string("cairn machine 1\nuuid x\nservice a:1\n")}) {
    const auto parsed = parse_machine(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().code(), Errc::format_invalid) << wrong;
  }
  EXPECT_EQ(parse_machine("cairn machine 2\n").error().code(), Errc::format_newer);
}

TEST(HomeFormat, Of_a_machine_whose_services_are_elsewhere) {
  for (const uint32_t engines : {1u, 2u, 64u}) {
    const HomeFile file{.uuid = {{4}}, .created_ns = 5, .engine_count = engines, .first_rank = 7};
    const auto bytes = encode_home(file);
    EXPECT_EQ(bytes[8], std::byte{4});
    const auto back = parse_home(bytes);
    ASSERT_TRUE(back);
    EXPECT_FALSE(back->has_services());
    EXPECT_EQ(back->engine_count, engines);
    EXPECT_EQ(back->end_rank(), 7 + engines);
    EXPECT_TRUE(back->has_rank(7));
    EXPECT_FALSE(back->has_rank(7 + engines));
  }
  // Ranks that no system has.
  for (const uint32_t first : {1023u, 1024u, 0xffffffffu}) {
    const auto bytes = encode_home({.uuid = {{4}}, .engine_count = 2, .first_rank = first});
    EXPECT_EQ(parse_home(bytes).error().code(), Errc::format_invalid) << first;
  }
}

}  // namespace
}  // namespace cairn::embed
