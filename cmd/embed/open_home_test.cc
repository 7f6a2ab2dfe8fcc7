#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/crc32c.h"
#include "client/home.h"
#include "client/view.h"
#include "cmd/embed/home_graph.h"

namespace cairn::client {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kPoolBytes = 128u << 20;

class HomeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_home_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    home_ = root_ + "/home";
    setenv("CAIRN_LOG", "off", 1);
  }
  void TearDown() override { fs::remove_all(root_); }

  Result<std::unique_ptr<System>> open() { return open_home({.path = home_}); }
  /// The code with which opening fails; ok if it does not.
  Errc open_code() {
    auto system = open();
    return system ? Errc::ok : system.error().code();
  }
  std::unique_ptr<System> must_open() {
    auto system = open();
    EXPECT_TRUE(system) << (system ? "" : system.error().what());
    return system ? std::move(*system) : nullptr;
  }
  /// Makes a home and closes it.
  void make_home() {
    auto system = must_open();
    ASSERT_TRUE(system);
    ASSERT_TRUE(system->shutdown());
  }
  Bytes read_file(const std::string& name) {
    std::ifstream in(home_ + "/" + name, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto view = as_bytes(text);
    return Bytes(view.begin(), view.end());
  }
  void write_file(const std::string& name, ByteView bytes) {
    std::ofstream out(home_ + "/" + name, std::ios::binary | std::ios::trunc);
    out << as_chars(bytes);
  }

  /// Opens the home in a process that may read it but not write to it.
  Errc in_child_without_rights() {
    constexpr uid_t kNobody = 65534;
    fs::permissions(root_, fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    fs::permissions(home_, fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read |
                               fs::perms::others_exec);
    const pid_t child = fork();
    if (child == 0) {
      if (geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(99);
      _exit(static_cast<int>(open_code()) % 100);   // no_perm is 1001
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    fs::permissions(home_, fs::perms::owner_all);
    return WEXITSTATUS(status) == 1 ? Errc::no_perm : Errc::misc;
  }

  std::string root_, home_;
};

template <class T>
auto run(System& system, Task<T> task) {
  return system.context().run(std::move(task));
}

model::ObjectId plain_object(uint64_t number) {
  return {.lo = number, .hi = uint64_t{1} << 48 | uint64_t{1} << 32};
}

Result<model::Epoch> put(System& system, Container& cont, uint64_t object, std::string value) {
  const std::string dkey = "d", akey = "a";
  model::Iod iod{.akey = as_bytes(akey), .type = model::ValueType::single,
                 .record_bytes = value.size(), .flags = 0, .recxs = {},
                 .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
  return run(system, cont.update({.oid = plain_object(object), .dkey = as_bytes(dkey)}, {iod}));
}

std::string get(System& system, Container& cont, uint64_t object) {
  const std::string dkey = "d", akey = "a";
  std::string value(100, '#');
  model::Iod iod{.akey = as_bytes(akey), .type = model::ValueType::single, .record_bytes = 0,
                 .flags = 0, .recxs = {},
                 .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
  const auto got =
      run(system, cont.fetch({.oid = plain_object(object), .dkey = as_bytes(dkey)}, {iod}));
  if (!got || got->status != Errc::ok) return "error";
  value.resize(got->iods.front().record_bytes);
  return value;
}

TEST_F(HomeTest, What_was_written_is_there_after_the_next_open) {
  // Goal: the whole path stands. Method: pool, container, value, attribute; reopen; look at all of
  // it.
  Uuid pool_uuid;
  {
    auto system = must_open();
    ASSERT_TRUE(system);
    const auto uuid = run(*system, system->pool_create({.label = "tank", .bytes = kPoolBytes}));
    ASSERT_TRUE(uuid) << uuid.error().what();
    pool_uuid = *uuid;
    const auto pool = run(*system, system->pool_connect("tank", Access::read_write));
    ASSERT_TRUE(pool);
    ASSERT_TRUE(run(*system, (*pool)->cont_create("docs", {})));
    const auto cont = run(*system, (*pool)->cont_open("docs", Access::read_write));
    ASSERT_TRUE(cont);
    ASSERT_TRUE(put(*system, **cont, 1, "hello"));
    EXPECT_EQ(get(*system, **cont, 1), "hello");
    const auto big = as_bytes("0123456789");
    Bytes value;
    for (int i = 0; i < 20'000; ++i) value.insert(value.end(), big.begin(), big.end());
    ASSERT_TRUE(run(*system, (*cont)->set_attrs({{"big", value}, {"small", Bytes(1)}})));
    ASSERT_TRUE(run(*system, (*cont)->close()));
    ASSERT_TRUE(run(*system, (*pool)->disconnect()));
    ASSERT_TRUE(system->shutdown());
  }
  auto system = must_open();
  ASSERT_TRUE(system);
  const auto pools = run(*system, system->pool_list());
  ASSERT_TRUE(pools);
  ASSERT_EQ(pools->size(), 1u);
  EXPECT_EQ(pools->front().uuid, pool_uuid);
  EXPECT_EQ(pools->front().label, "tank");
  EXPECT_GT(pools->front().data_free, 0u);
  const auto pool = run(*system, system->pool_connect(to_string(pool_uuid), Access::read_only));
  ASSERT_TRUE(pool);
  const auto cont = run(*system, (*pool)->cont_open("docs", Access::read_only));
  ASSERT_TRUE(cont);
  EXPECT_EQ(get(*system, **cont, 1), "hello");
  EXPECT_EQ(put(*system, **cont, 1, "no").error().code(), Errc::no_perm);
  const auto attrs = run(*system, (*cont)->attrs());
  ASSERT_TRUE(attrs);
  EXPECT_EQ(attrs->at("big").size(), 200'000u);
  ASSERT_TRUE(run(*system, (*cont)->close()));
  EXPECT_EQ(put(*system, **cont, 1, "no").error().code(), Errc::no_handle);
  ASSERT_TRUE(system->shutdown());

  const auto report = check_home(home_, true);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->parts.size(), 2u);
  for (const auto& part : report->parts) {
    EXPECT_TRUE(part.problems.empty()) << part.name << ": " << part.problems.front();
  }
}

TEST_F(HomeTest, The_test_mode_gives_the_same_answers) {
  // Goal: nothing depends on messages going by reference. Method: lost and late messages, a hundred
  // updates.
  auto system = open_home({.path = home_, .encode_messages = true, .drop_chance = 0.05,
                           .delay_us_max = 50, .seed = 7});
  ASSERT_TRUE(system);
  ASSERT_TRUE(run(**system, (*system)->pool_create({.label = "p", .bytes = kPoolBytes})));
  const auto pool = run(**system, (*system)->pool_connect("p", Access::read_write));
  ASSERT_TRUE(pool);
  ASSERT_TRUE(run(**system, (*pool)->cont_create("c", {})));
  const auto cont = run(**system, (*pool)->cont_open("c", Access::read_write));
  ASSERT_TRUE(cont);
  for (uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(put(**system, **cont, i, std::to_string(i)));
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(get(**system, **cont, i), std::to_string(i));
  ASSERT_TRUE((*system)->shutdown());
}

TEST_F(HomeTest, Another_process_is_told_who_holds_it) {
  // Goal: one process at a time, and the lock goes with its holder. Method: a child opens the same
  // home while the parent has it, and after.
  auto system = must_open();
  ASSERT_TRUE(system);
  for (const Errc expected : {Errc::busy, Errc::ok}) {
    int report_pipe[2];
    ASSERT_EQ(pipe(report_pipe), 0);
    const pid_t child = fork();
    if (child == 0) {
      setenv("CAIRN_LOG", "error", 1);
      dup2(report_pipe[1], STDERR_FILENO);
      forget_after_fork(std::move(system));
      _exit(open_code() == expected ? 0 : 1);
    }
    close(report_pipe[1]);
    std::string said;
    char buffer[512];
    for (ssize_t got; (got = read(report_pipe[0], buffer, sizeof(buffer))) > 0;) {
      said.append(buffer, static_cast<size_t>(got));
    }
    close(report_pipe[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << errc_name(expected);
    if (expected == Errc::busy) {
      EXPECT_NE(said.find("process " + std::to_string(getpid())), said.npos) << said;
      ASSERT_TRUE(system->shutdown());
      system.reset();
    } else {
      EXPECT_EQ(said, "");
    }
  }
}

TEST_F(HomeTest, The_lock_ends_with_the_parent_even_if_a_child_lives) {
  // Goal: a forked child holds no lock. Method: fork while open, close in the parent, open again
  // while the child still lives.
  auto system = must_open();
  ASSERT_TRUE(system);
  int wait_pipe[2];
  ASSERT_EQ(pipe(wait_pipe), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(wait_pipe[1]);
    char byte;
    [[maybe_unused]] const auto got = read(wait_pipe[0], &byte, 1);
    _exit(0);
  }
  close(wait_pipe[0]);
  ASSERT_TRUE(system->shutdown());
  system.reset();
  EXPECT_EQ(open_code(), Errc::ok);
  close(wait_pipe[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(HomeTest, A_damaged_or_foreign_home_file_is_named) {
  // Goal: each kind of bad file has its error. Method: the file with every bit flipped, every
  // truncation, another version, other contents.
  make_home();
  const Bytes good = read_file("home");
  ASSERT_EQ(good.size(), 64u);
  for (size_t bit = 0; bit < good.size() * 8; bit += 5) {
    Bytes flipped = good;
    flipped[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    write_file("home", flipped);
    EXPECT_EQ(open_code(), Errc::checksum) << bit;
  }
  for (size_t cut = 0; cut < good.size(); cut += 7) {
    write_file("home", ByteView(good).first(cut));
    EXPECT_EQ(open_code(), Errc::checksum) << cut;
  }
  write_file("home",
             as_bytes("#!/bin/sh\necho this is somebody else's file, and a long one, too\n"));
  EXPECT_EQ(open_code(), Errc::format_invalid);
  write_file("home", good);
  EXPECT_EQ(open_code(), Errc::ok);
}

TEST_F(HomeTest, A_newer_home_is_refused_as_newer) {
  // Goal: an older program does not touch a newer home. Method: format 4, its checksum right.
  make_home();
  const Bytes good = read_file("home");
  embed::HomeHeader header;
  std::memcpy(&header, good.data(), sizeof(header));
  header.format = embed::kHomeFormat + 1;
  header.checksum = crc32c(view_of(&header, 60));
  write_file("home", view_of(&header, sizeof(header)));
  EXPECT_EQ(open_code(), Errc::format_newer);
  EXPECT_EQ(read_file("home").at(8), std::byte{embed::kHomeFormat + 1});
}

TEST_F(HomeTest, A_directory_with_other_files_is_left_alone) {
  // Goal: CAIRN_HOME pointing at somebody's directory does no harm. Method: one foreign file, no
  // home.
  fs::create_directory(home_);
  write_file("thesis.tex", as_bytes("text"));
  EXPECT_EQ(open_code(), Errc::format_invalid);
  EXPECT_EQ(std::distance(fs::directory_iterator(home_), {}), 1);
  fs::remove(home_ + "/thesis.tex");
  EXPECT_EQ(open_code(), Errc::ok);
}

TEST_F(HomeTest, A_read_only_or_missing_directory_is_named) {
  // Goal: no_perm, not_dir and nonexistent. Method: each kind of directory; for modes a child that
  // is not root.
  EXPECT_EQ(open_home({.path = home_, .create = false}).error().code(), Errc::nonexistent);
  EXPECT_EQ(check_home(home_, false).error().code(), Errc::nonexistent);
  std::ofstream(root_ + "/file") << "x";
  EXPECT_EQ(open_home({.path = root_ + "/file"}).error().code(), Errc::not_dir);
  EXPECT_EQ(open_home({.path = root_ + "/file/home"}).error().code(), Errc::not_dir);
  make_home();
  struct stat status;
  ASSERT_EQ(stat(home_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_EQ(in_child_without_rights(), Errc::no_perm);
}

TEST_F(HomeTest, A_truncated_or_foreign_store_file_is_refused) {
  // Goal: damage below the config store is an error at open, never a crash. Method: cut and
  // overwrite blobs.
  make_home();
  const Bytes wal = read_file("system/wal");
  fs::resize_file(home_ + "/system/wal", 8192);
  EXPECT_NE(open_code(), Errc::ok);
  fs::resize_file(home_ + "/system/wal", 1000);
  EXPECT_EQ(open_code(), Errc::format_invalid);
  write_file("system/wal", wal);
  EXPECT_EQ(open_code(), Errc::ok);
  const Bytes meta = read_file("system/meta");
  write_file("system/meta", Bytes(meta.size(), std::byte{0x5a}));
  EXPECT_NE(open_code(), Errc::ok);
  write_file("system/meta", meta);
  fs::rename(home_ + "/system/data", home_ + "/system/data.away");
  EXPECT_EQ(open_code(), Errc::nonexistent);
  fs::rename(home_ + "/system/data.away", home_ + "/system/data");
  EXPECT_EQ(open_code(), Errc::ok);
}

TEST_F(HomeTest, A_damaged_pool_does_not_take_the_others_along) {
  // Goal: the home opens, the sound pool works, the damaged one says why. Method: cut one pool's
  // log file.
  Uuid bad;
  {
    auto system = must_open();
    ASSERT_TRUE(system);
    ASSERT_TRUE(run(*system, system->pool_create({.label = "good", .bytes = kPoolBytes})));
    const auto uuid = run(*system, system->pool_create({.label = "bad", .bytes = kPoolBytes}));
    ASSERT_TRUE(uuid);
    bad = *uuid;
    ASSERT_TRUE(system->shutdown());
  }
  fs::resize_file(home_ + "/pools/" + to_string(bad) + "/0/wal", 1000);
  auto system = must_open();
  ASSERT_TRUE(system);
  EXPECT_TRUE(run(*system, system->pool_connect("good", Access::read_write)));
  const auto refused = run(*system, system->pool_connect("bad", Access::read_write));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::format_invalid);
  EXPECT_TRUE(run(*system, system->pool_destroy("bad", true)));
  EXPECT_FALSE(fs::exists(home_ + "/pools/" + to_string(bad)));
  ASSERT_TRUE(system->shutdown());
}

TEST_F(HomeTest, A_full_file_system_is_no_space_and_leaves_nothing) {
  // Goal: an impossible size fails cleanly. Method: 90 TB.
  auto system = must_open();
  ASSERT_TRUE(system);
  const auto refused =
      run(*system, system->pool_create({.label = "big", .bytes = uint64_t{90} << 40}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::no_space);
  EXPECT_TRUE(run(*system, system->pool_list())->empty());
  EXPECT_TRUE(fs::is_empty(home_ + "/pools"));
  EXPECT_TRUE(run(*system, system->pool_create({.label = "big", .bytes = kPoolBytes})));
  ASSERT_TRUE(system->shutdown());
}

/// Dies at the `step` of `work` in a child, as SIGKILL would.
void die_at(const std::string& home, const std::string& step, void (*work)(System&)) {
  const pid_t child = fork();
  if (child == 0) {
    auto graph = embed::HomeGraph::open(
        {.home = {.path = home}, .at_step = [step](const char* at) {
           if (step == at) _exit(42);
         }});
    if (!graph) _exit(1);
    auto system = embed::make_system(*graph);
    work(*system);
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42) << step;
}

TEST_F(HomeTest, A_crash_inside_pool_create_or_destroy_is_finished_at_the_next_open) {
  // Goal: a pool is there whole or not at all, its name and space are free again. Method: die
  // between the steps.
  make_home();
  for (const char* step : {"pool.create.record", "pool.create.files", "pool.destroy.tombstone",
                           "pool.destroy.files"}) {
    die_at(home_, step, [](System& system) {
      const auto made = run(system, system.pool_create({.label = "p", .bytes = kPoolBytes}));
      if (made) (void)run(system, system.pool_destroy("p", true));
    });
    auto system = must_open();
    ASSERT_TRUE(system);
    EXPECT_TRUE(run(*system, system->pool_list())->empty()) << step;
    EXPECT_TRUE(!fs::exists(home_ + "/pools") || fs::is_empty(home_ + "/pools")) << step;
    EXPECT_TRUE(run(*system, system->pool_create({.label = "p", .bytes = kPoolBytes}))) << step;
    EXPECT_TRUE(run(*system, system->pool_destroy("p", false))) << step;
    ASSERT_TRUE(system->shutdown());
  }
}

TEST_F(HomeTest, A_crash_inside_container_destroy_is_finished_at_the_next_open) {
  // Goal: a destroyed container stays gone and its successor is empty. Method: die between the
  // steps.
  {
    auto system = must_open();
    ASSERT_TRUE(system);
    ASSERT_TRUE(run(*system, system->pool_create({.label = "p", .bytes = kPoolBytes})));
    ASSERT_TRUE(system->shutdown());
  }
  for (const char* step : {"cont.destroy.tombstone", "cont.destroy.objects"}) {
    die_at(home_, step, [](System& system) {
      const auto pool = run(system, system.pool_connect("p", Access::read_write));
      if (!pool || !run(system, (*pool)->cont_create("c", {}))) _exit(3);
      const auto cont = run(system, (*pool)->cont_open("c", Access::read_write));
      if (!cont || !put(system, **cont, 1, "old")) _exit(4);
      (void)run(system, (*pool)->cont_destroy("c", true));
    });
    auto system = must_open();
    ASSERT_TRUE(system);
    const auto pool = run(*system, system->pool_connect("p", Access::read_write));
    ASSERT_TRUE(pool);
    EXPECT_TRUE(run(*system, (*pool)->cont_list())->empty()) << step;
    ASSERT_TRUE(run(*system, (*pool)->cont_create("c", {})));
    const auto cont = run(*system, (*pool)->cont_open("c", Access::read_write));
    ASSERT_TRUE(cont);
    EXPECT_EQ(get(*system, **cont, 1), "") << step;
    ASSERT_TRUE(run(*system, (*cont)->close()));
    EXPECT_TRUE(run(*system, (*pool)->cont_destroy("c", false))) << step;
    ASSERT_TRUE(system->shutdown());
  }
  const auto report = check_home(home_, true);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->clean());
}

TEST_F(HomeTest, A_crash_inside_a_snapshots_life_leaves_it_whole_or_gone) {
  // Goal: services and shards agree at the next open, old values are kept exactly as long as they
  // are needed. Method: die between the steps; what is listed must be readable.
  model::Epoch kept = 0;
  {
    auto system = must_open();
    ASSERT_TRUE(system);
    ASSERT_TRUE(run(*system, system->pool_create({.label = "p", .bytes = kPoolBytes})));
    const auto pool = run(*system, system->pool_connect("p", Access::read_write));
    ASSERT_TRUE(pool && run(*system, (*pool)->cont_create("c", {})));
    const auto cont = run(*system, (*pool)->cont_open("c", Access::read_write));
    ASSERT_TRUE(cont && put(*system, **cont, 1, "first"));
    kept = run(*system, (*cont)->snap_create()).value_or(0);
    ASSERT_TRUE(put(*system, **cont, 1, "second"));
    ASSERT_TRUE(system->shutdown());
  }
  for (const char* step : {"snap.create.frozen", "snap.create.added", "snap.destroy.record"}) {
    die_at(home_, step, [](System& system) {
      const auto pool = run(system, system.pool_connect("p", Access::read_write));
      if (!pool) _exit(3);
      const auto cont = run(system, (*pool)->cont_open("c", Access::read_write));
      if (!cont) _exit(4);
      const auto made = run(system, (*cont)->snap_create());
      if (!made || !put(system, **cont, 1, "third")) _exit(5);
      (void)run(system, (*cont)->snap_destroy(*made));
    });
    auto graph = embed::HomeGraph::open({.home = {.path = home_}, .at_step = {}});
    ASSERT_TRUE(graph);
    vos::Shard* shard = nullptr;
    auto system = embed::make_system(*graph);
    const auto pool = run(*system, system->pool_connect("p", Access::read_write));
    ASSERT_TRUE(pool);
    const auto cont = run(*system, (*pool)->cont_open("c", Access::read_write));
    ASSERT_TRUE(cont);
    const auto listed = run(*system, (*cont)->snap_list());
    ASSERT_TRUE(listed && listed->size() == 1) << step;
    EXPECT_EQ(listed->front().epoch, kept);
    shard = (*graph)->shards().shard((*pool)->uuid(), 0);
    ASSERT_NE(shard, nullptr);
    EXPECT_EQ(shard->snapshots(1), std::vector<model::Epoch>{kept}) << step;
    EXPECT_EQ(get(*system, *at_epoch(*cont, kept), 1), "first") << step;
    EXPECT_TRUE(put(*system, **cont, 1, "second")) << step;
    EXPECT_TRUE(run(*system, (*cont)->close()));
    graph->reset();
    ASSERT_TRUE(system->shutdown());
  }
  const auto report = check_home(home_, true);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->clean());
}

TEST_F(HomeTest, Object_numbers_are_never_given_out_twice) {
  // Goal: ranges are disjoint over restarts and crashes, from 0. Method: allocate, leave without
  // closing, again.
  die_at(home_, "oids", [](System& system) {
    if (!run(system, system.pool_create({.label = "p", .bytes = kPoolBytes}))) _exit(3);
    const auto pool = run(system, system.pool_connect("p", Access::read_write));
    if (!pool || !run(system, (*pool)->cont_create("c", {}))) _exit(4);
    const auto cont = run(system, (*pool)->cont_open("c", Access::read_write));
    if (!cont) _exit(5);
    if (run(system, (*cont)->alloc_oids(1)) != 0u) _exit(6);
    if (run(system, (*cont)->alloc_oids(10)) != 1u) _exit(7);
    if (run(system, (*cont)->alloc_oids(1)) != 11u) _exit(8);
    _exit(42);
  });
  auto system = must_open();
  ASSERT_TRUE(system);
  const auto pool = run(*system, system->pool_connect("p", Access::read_write));
  ASSERT_TRUE(pool);
  const auto cont = run(*system, (*pool)->cont_open("c", Access::read_only));
  ASSERT_TRUE(cont);
  const auto next = run(*system, (*cont)->alloc_oids(5));
  ASSERT_TRUE(next);
  EXPECT_GE(*next, 12u);
  EXPECT_EQ(run(*system, (*cont)->alloc_oids(0)).error().code(), Errc::invalid);
  EXPECT_EQ(run(*system, (*cont)->alloc_oids(~uint64_t{0})).error().code(), Errc::no_space);
  ASSERT_TRUE(system->shutdown());
}

}  // namespace
}  // namespace cairn::client
