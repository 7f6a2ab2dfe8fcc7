// Processes at the other end of libfabric that are killed in the middle of calls: real ones, by
// SIGKILL, at any moment. Each child is this program again, with a role in its environment.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "fabric/ofi_test_world.h"

namespace cairn::fabric {
namespace {

constexpr char kRole[] = "CAIRN_OFI_TEST_ROLE";
constexpr char kAddress[] = "CAIRN_OFI_TEST_ADDRESS";
constexpr char kTellFd[] = "CAIRN_OFI_TEST_FD";
/// Of each kind of call that a child has under way, for ever.
constexpr int kCallsOfEach = 6;

/// Asks until it is killed, or the engine has gone.
Task<void> keep_asking(Client& client, std::string question, uint64_t room, int& gone) {
  for (;;) {
    Outcome out;
    co_await client.ask(question, room, kNever, out);
    if (out.code != Errc::ok) break;
  }
  ++gone;
}

void be_client(const Address& at) {
  World world;
  Client client(world, at, {.session = static_cast<uint64_t>(getpid()), .token = kSecret});
  int gone = 0;
  for (int i = 0; i < kCallsOfEach; ++i) {
    world.reactor.spawn(keep_asking(client, "small", 0, gone));
    world.reactor.spawn(keep_asking(client, std::string(3'000'000, 'r'), 0, gone));
    world.reactor.spawn(keep_asking(client, "big 3000000", 3'000'001, gone));
    world.reactor.spawn(keep_asking(client, "big 1000000", 0, gone));
  }
  world.run_until([&] { return gone == 4 * kCallsOfEach; });
  world.run(client.transport.close());
}

void be_server(const Address& at, int tell) {
  World world;
  Server server(world, {}, at);
  const std::string address = to_string(server.address) + "\n";
  CHECK(::write(tell, address.data(), address.size()) > 0);
  ::close(tell);
  world.run_until([] { return getppid() == 1; });
  world.run(server.stop(0));
}

/// Not a test: what a child does.
TEST(OfiChild, DISABLED_Plays_its_role) {
  const char* const role = getenv(kRole);
  if (role == nullptr) return;
  const auto at = parse_address(getenv(kAddress));
  ASSERT_TRUE(at);
  if (std::string(role) == "client") be_client(*at);
  if (std::string(role) == "server") be_server(*at, atoi(getenv(kTellFd)));
}

/// This program once more.
class Child {
 public:
  Child(const char* role, const Address& at) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      ::close(ends[0]);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      setenv(kRole, role, 1);
      setenv(kAddress, to_string(at).c_str(), 1);
      setenv(kTellFd, std::to_string(ends[1]).c_str(), 1);
      for (const char* each : {"GTEST_TOTAL_SHARDS", "GTEST_SHARD_INDEX"}) unsetenv(each);
      execl("/proc/self/exe", "fabric_test", "--gtest_filter=OfiChild.DISABLED_Plays_its_role",
            "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
      _exit(127);
    }
    ::close(ends[1]);
    tell_ = ends[0];
  }
  ~Child() { kill(); }
  /// What it says first.
  std::string listen() {
    std::string text;
    char c;
    while (::read(tell_, &c, 1) == 1 && c != '\n') text += c;
    return text;
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    ::close(tell_);
    pid_ = 0;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  int tell_ = -1;
};

/// Regions in shared memory that a process has or left.
std::vector<std::string> region_names(pid_t pid) {
  std::vector<std::string> names;
  DIR* const directory = opendir("/dev/shm");
  CHECK(directory != nullptr);
  const std::string part = "." + std::to_string(pid) + ".";
  while (const dirent* entry = readdir(directory)) {
    const std::string name(entry->d_name);
    if (name.starts_with("cairn.ofi.") && name.find(part) != std::string::npos) {
      names.push_back(name);
    }
  }
  closedir(directory);
  return names;
}
size_t regions_of(pid_t pid) { return region_names(pid).size(); }

/// Takes the locks of all regions of a process, as one does that is killed inside of them.
size_t lock_regions_of(pid_t pid) {
  size_t count = 0;
  for (const std::string& name : region_names(pid)) {
    const int fd = shm_open(("/" + name).c_str(), O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) continue;
    void* const at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) continue;
    // Where libfabric 1.17 has it.
    auto* const lock = reinterpret_cast<pthread_spinlock_t*>(static_cast<std::byte*>(at) + 24);
    pthread_spin_trylock(lock);  // it may have stopped inside, and does so often
    munmap(at, 4096);
    ++count;
  }
  return count;
}

class OfiKillTest : public ::testing::TestWithParam<const char*> {
 protected:
  static bool shm() { return std::string(GetParam()) == kShmProvider; }
  World world_;
  Address address_ = anywhere(GetParam(), "kill");
};

INSTANTIATE_TEST_SUITE_P(Providers, OfiKillTest, ::testing::Values("tcp;ofi_rxm", "shm"),
                         [](const auto& info) {
                           return std::string(info.param) == "shm" ? "shm" : "tcp";
                         });

TEST_P(OfiKillTest, Clients_that_are_killed_take_nobody_with_them) {
  // Goal: the engine serves on, and has nothing of the dead. Method: 25 clients, each killed in the
  // middle of large transfers both ways; another client is served meanwhile.
  Server server(world_, {}, address_);
  address_ = server.address;
  Client alive(world_, address_, {.session = 1, .token = kSecret});
  SeededRandom random(7);
  for (int round = 0; round < 25; ++round) {
    Child child("client", address_);
    const int before = server.echo.served;
    EXPECT_TRUE(world_.run_until([&] { return server.echo.served > before + 20; })) << round;
    world_.run_for(random.below(30'000) * kMicrosecond);
    const pid_t pid = child.pid();
    child.kill();
    EXPECT_EQ(alive.ask_now("alive").answer, "alive!") << alive.what;
    EXPECT_TRUE(alive.ask_now("big 1000000", 1'000'001).answer.size() == 1'000'001) << alive.what;
    EXPECT_TRUE(world_.run_until([&] { return server.server->connections() == 1; })) << round;
    EXPECT_TRUE(world_.run_until([&] { return regions_of(pid) == 0; }, 10 * kSecond));
  }
  EXPECT_EQ(server.server->clients(), 1u);
  world_.run(alive.transport.close());
  world_.run(server.stop(kSecond));
  EXPECT_EQ(regions_of(getpid()), 0u);
}

TEST_P(OfiKillTest, A_server_that_is_killed_and_comes_again_is_met_again) {
  // Goal: calls under way end as unknown, at once, and the same client works with the next server
  // at the same address. Method: ten servers, each killed with calls of all kinds under way.
  Address at = address_;
  std::unique_ptr<Client> client;
  SeededRandom random(8);
  for (int round = 0; round < 10; ++round) {
    Child child("server", at);
    at = *parse_address(child.listen());
    if (!client) client = std::make_unique<Client>(world_, at, OfiClientOptions{.token = kSecret});
    EXPECT_EQ(client->ask_now("hello").answer, "hello!") << client->what;
    int gone = 0;
    for (int i = 0; i < kCallsOfEach; ++i) {
      world_.reactor.spawn(keep_asking(*client, "small", 0, gone));
      world_.reactor.spawn(keep_asking(*client, std::string(3'000'000, 'r'), 0, gone));
      world_.reactor.spawn(keep_asking(*client, "big 3000000", 3'000'001, gone));
    }
    world_.run_for(5 * kMillisecond + random.below(30'000) * kMicrosecond);
    const pid_t pid = child.pid();
    child.kill();
    EXPECT_TRUE(world_.run_until([&] { return gone == 3 * kCallsOfEach; }, 20 * kSecond)) << round;
    EXPECT_EQ(client->ask_now("nobody").code, Errc::unreachable) << client->what;
    EXPECT_TRUE(world_.run_until([&] { return regions_of(pid) == 0; }, 10 * kSecond));
  }
  world_.run(client->transport.close());
  EXPECT_EQ(regions_of(getpid()), 0u);
  remove_dead_door(at);
}

TEST(OfiShmLocks, A_client_that_is_killed_inside_of_the_locks_wedges_no_engine) {
  // Goal: the engine neither spins for ever nor leaves anything behind. Method: the locks of both
  // regions of a client's connection are taken in the middle of its calls, then it is killed.
  World world;
  Server server(world, {}, anywhere("shm", "locks"));
  for (int round = 0; round < 3; ++round) {
    Child child("client", server.address);
    const int before = server.echo.served;
    EXPECT_TRUE(world.run_until([&] { return server.echo.served > before + 20; }));
    ::kill(child.pid(), SIGSTOP);
    EXPECT_EQ(lock_regions_of(child.pid()), 1u);
    EXPECT_EQ(lock_regions_of(getpid()), 1u);
    world.run_for(20 * kMillisecond);  // it has calls to answer, and must not go in
    child.kill();
    EXPECT_TRUE(world.run_until([&] { return server.server->connections() == 0; }, 10 * kSecond));
    EXPECT_EQ(regions_of(getpid()), 0u);
  }
  Client next(world, server.address, {.token = kSecret});
  EXPECT_EQ(next.ask_now("next").answer, "next!") << next.what;
  world.run(next.transport.close());
  world.run(server.stop(kSecond));
}

TEST(OfiShmLocks, A_server_that_is_killed_inside_of_the_locks_wedges_no_client) {
  // Goal and method: the same, the other way round.
  World world;
  const Address at = anywhere("shm", "locks");
  Client client(world, at, {.token = kSecret});
  for (int round = 0; round < 3; ++round) {
    Child child("server", at);
    EXPECT_EQ(child.listen(), to_string(at));
    EXPECT_EQ(client.ask_now("hello").answer, "hello!") << client.what;
    int gone = 0;
    for (int i = 0; i < kCallsOfEach; ++i) {
      world.reactor.spawn(keep_asking(client, "small", 0, gone));
      world.reactor.spawn(keep_asking(client, "big 3000000", 3'000'001, gone));
    }
    world.run_for(5 * kMillisecond);
    ::kill(child.pid(), SIGSTOP);
    EXPECT_EQ(lock_regions_of(child.pid()), 1u);
    EXPECT_GE(lock_regions_of(getpid()), 1u);
    world.run_for(20 * kMillisecond);
    child.kill();
    EXPECT_TRUE(world.run_until([&] { return gone == 2 * kCallsOfEach; }, 10 * kSecond));
  }
  world.run(client.transport.close());
  EXPECT_EQ(regions_of(getpid()), 0u);
  remove_dead_door(at);
}

}  // namespace
}  // namespace cairn::fabric
