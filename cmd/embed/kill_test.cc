// SIGKILL of a real process in the middle of its work, again and again over one home.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "client/home.h"
#include "runtime/random.h"

namespace cairn::client {
namespace {

namespace fs = std::filesystem;

template <class T>
auto run(System& system, Task<T> task) {
  return system.context().run(std::move(task));
}

model::ObjectId object(uint64_t number) {
  return {.lo = number, .hi = uint64_t{1} << 48 | uint64_t{1} << 32};
}

/// Round `round` of object n: long and short values in turn, so that some have data beside the log.
std::string value_of(uint64_t n, uint64_t round) {
  const std::string unit = std::to_string(n) + "." + std::to_string(round) + "/";
  std::string out;
  while (out.size() < (n % 3 == 0 ? 20'000u : 50u)) out += unit;
  return out;
}

Result<model::Epoch> put(System& system, Container& cont, uint64_t n, std::string value) {
  const std::string key = "k";
  model::Iod iod{.akey = as_bytes(key), .type = model::ValueType::single,
                 .record_bytes = value.size(), .flags = 0, .recxs = {},
                 .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
  return run(system, cont.update({.oid = object(n), .dkey = as_bytes(key)}, {iod}));
}

std::string get(System& system, Container& cont, uint64_t n) {
  const std::string key = "k";
  std::string value(30'000, '#');
  model::Iod iod{.akey = as_bytes(key), .type = model::ValueType::single, .record_bytes = 0,
                 .flags = 0, .recxs = {},
                 .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
  const auto got = run(system, cont.fetch({.oid = object(n), .dkey = as_bytes(key)}, {iod}));
  if (!got || got->status != Errc::ok) return "error";
  value.resize(got->iods.front().record_bytes);
  return value;
}

/// Writes objects 0, 1, ... of this round and says so on `acknowledge` after each answer. Never
/// returns.
[[noreturn]] void write_for_ever(const std::string& home, uint64_t round, int acknowledge) {
  auto system = open_home({.path = home});
  if (!system) _exit(1);
  const auto pool = run(**system, (*system)->pool_connect("p", Access::read_write));
  if (!pool) _exit(2);
  const auto cont = run(**system, (*pool)->cont_open("c", Access::read_write));
  if (!cont) _exit(3);
  for (uint64_t n = 0;; ++n) {
    if (!put(**system, **cont, n, value_of(n, round))) _exit(4);
    if (write(acknowledge, &n, sizeof(n)) != sizeof(n)) _exit(5);
  }
}

/// Number of objects that the child was told are written, when it died.
uint64_t kill_after(const std::string& home, uint64_t round, uint64_t acknowledged_max) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    write_for_ever(home, round, ends[1]);
  }
  close(ends[1]);
  uint64_t count = 0, n = 0;
  while (count < acknowledged_max && read(ends[0], &n, sizeof(n)) == sizeof(n)) count = n + 1;
  kill(child, SIGKILL);
  while (read(ends[0], &n, sizeof(n)) == sizeof(n)) count = n + 1;
  close(ends[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
  return count;
}

TEST(Kill, What_was_acknowledged_is_there_and_the_rest_is_whole_or_absent) {
  // Goal: durability of a real process. Method: a child writes and reports, dies at a random
  // moment; each object then holds this round's value if it was reported, else this round's or the
  // round's before.
  std::string root = (fs::temp_directory_path() / "cairn_kill_XXXXXX").string();
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const std::string home = root + "/home";
  const uint64_t seed = system_random().next();
  RecordProperty("seed", std::to_string(seed));
  SeededRandom random(seed);
  {
    auto system = open_home({.path = home});
    ASSERT_TRUE(system);
    ASSERT_TRUE(run(**system, (*system)->pool_create({.label = "p", .bytes = 256u << 20})));
    const auto pool = run(**system, (*system)->pool_connect("p", Access::read_write));
    ASSERT_TRUE(pool);
    ASSERT_TRUE(run(**system, (*pool)->cont_create("c", {})));
    ASSERT_TRUE((*system)->shutdown());
  }
  std::vector<std::string> known;   // what each object held after the last round
  for (uint64_t round = 0; round < 8; ++round) {
    const uint64_t count = kill_after(home, round, 1 + random.below(150));
    auto system = open_home({.path = home});
    ASSERT_TRUE(system);
    const auto pool = run(**system, (*system)->pool_connect("p", Access::read_only));
    ASSERT_TRUE(pool);
    const auto cont = run(**system, (*pool)->cont_open("c", Access::read_only));
    ASSERT_TRUE(cont);
    known.resize(std::max<size_t>(known.size(), count + 2));
    for (uint64_t n = 0; n < known.size(); ++n) {
      const std::string found = get(**system, **cont, n), fresh = value_of(n, round);
      const bool may_be_old = n >= count && found == known[n];
      EXPECT_TRUE(found == fresh || may_be_old)
          << "seed " << seed << " round " << round << " n " << n;
      known[n] = found;
    }
    ASSERT_TRUE((*system)->shutdown());
    system->reset();
    const auto report = check_home(home, true);
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->clean()) << "seed " << seed << " round " << round;
  }
  fs::remove_all(root);
}

}  // namespace
}  // namespace cairn::client
