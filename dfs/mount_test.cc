// The file system layer over a store in memory: what one mount does, and what it must refuse.
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <random>

#include "dfs/testing/world.h"

namespace cairn::dfs {
namespace {

using testing::number_of;
using testing::World;
using Names = std::vector<std::string>;

TEST(DfsEntry, Inode_bytes_are_those_of_the_layout) {
  // Goal: the 88 bytes never change. Method: one entry with a different value in each field.
  Entry e;
  e.mode = 0x41ed;
  e.oid = {0x1122334455667788, 0x99aabbccddeeff00};
  e.mtime = {0x0102030405060708, 0x11121314};
  e.ctime = {0x2122232425262728, 0x31323334};
  e.chunk_bytes = 1 << 20;
  e.class_id = 0x01000001;
  e.uid = 1000;
  e.gid = 2000;
  e.value_bytes = 11;
  e.object_epoch = 0x4142434445464748;
  const InodeRecord record = encode_inode(e);
  static constexpr uint8_t kGolden[] = {
      0xed, 0x41, 0,    0,    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0xff, 0xee,
      0xdd, 0xcc, 0xbb, 0xaa, 0x99, 8,    7,    6,    5,    4,    3,    2,    1,    0x28, 0x27,
      0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 0,    0,    0x10, 0,    0,    0,    0,    0,    1,
      0,    0,    1,    0x14, 0x13, 0x12, 0x11, 0,    0,    0,    0,    0x34, 0x33, 0x32, 0x31,
      0,    0,    0,    0,    0xe8, 3,    0,    0,    0xd0, 7,    0,    0,    11,   0,    0,
      0,    0,    0,    0,    0,    0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41};
  static_assert(sizeof(kGolden) == kInodeBytes);
  EXPECT_EQ(std::memcmp(&record, kGolden, sizeof(kGolden)), 0);
  const auto back = decode_inode(view_of(kGolden, sizeof(kGolden)));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->oid, e.oid);
  EXPECT_EQ(back->mtime, e.mtime);
  EXPECT_EQ(back->object_epoch, e.object_epoch);
}

TEST(DfsEntry, Damaged_inodes_are_errors) {
  // Goal: bytes from the medium never crash. Method: wrong lengths, a file without chunk size,
  // random bytes.
  EXPECT_FALSE(decode_inode(view_of("abc", 3)));
  Entry file;
  file.mode = S_IFREG | 0644;
  InodeRecord record = encode_inode(file);
  EXPECT_FALSE(decode_inode(view_of(&record, sizeof(record))));
  std::mt19937_64 random{7};
  for (int i = 0; i < 1000; ++i) {
    uint8_t bytes[kInodeBytes];
    for (auto& b : bytes) b = static_cast<uint8_t>(random());
    (void)decode_inode(view_of(bytes, sizeof(bytes)));
  }
}

TEST(DfsMount, A_small_file_costs_two_updates) {
  // Goal: creating a file with data is the minimum of writes. Method: count them.
  World world;
  ASSERT_TRUE(world.open_file("warm", O_CREAT | O_RDWR));  // the mount's first object id range
  const uint64_t writes = world.system.writes();
  const uint64_t reads = world.system.reads();
  const auto file = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(file);
  EXPECT_EQ(world.write(*file, 0, std::string(4096, 'x')), 0);
  EXPECT_EQ(world.system.writes() - writes, 2u);
  EXPECT_EQ(world.system.reads() - reads, 0u);
}

TEST(DfsMount, What_was_written_is_read_by_every_other_mount) {
  World world;
  const auto file = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(file);
  EXPECT_EQ(world.write(*file, 0, "hello"), 0);
  EXPECT_EQ(world.write(*file, 5, " world"), 0);
  world.mount = world.mount_again({.writable = false});
  EXPECT_EQ(world.cat("/f"), "hello world");
  EXPECT_EQ(number_of(world.open_file("g", O_CREAT | O_RDWR)), EPERM);
  EXPECT_EQ(world.write(*file, 0, "x"), EPERM);
  EXPECT_EQ(number_of(world.run(world.mount->remove(world.mount->root(), "f", false))), EPERM);
}

TEST(DfsMount, Foreign_containers_are_refused) {
  // Goal: each thing that mount checks. Method: damage one at a time.
  const auto number = [](World& world) {
    return number_of(world.run(Mount::open(world.container, {.writable = true})));
  };
  const auto set = [](World& world, std::string_view akey, Bytes value) {
    model::Iods iods(1);
    iods[0] = {.akey = as_bytes(akey), .type = model::ValueType::single,
               .record_bytes = value.size(), .buffer = {{value.data(), value.size()}}};
    const client::ObjectArgs args{.oid = world.mount->roots().super, .dkey = as_bytes(kSuperDkey)};
    ASSERT_TRUE(world.run(world.container->update(args, std::move(iods))));
  };
  {
    World world;
    set(world, kMagicAkey, Bytes(8, std::byte{1}));
    EXPECT_EQ(number(world), EINVAL);
  }
  {
    World world;
    set(world, kLayoutVersionAkey, Bytes(2, std::byte{9}));
    EXPECT_EQ(number(world), EINVAL);
  }
  {
    World world;
    set(world, kChunkAkey, Bytes(3, std::byte{9}));
    EXPECT_EQ(number(world), EINVAL);
  }
  {
    World world;
    ASSERT_TRUE(world.run(world.container->punch_object(world.mount->roots().super, 0)));
    EXPECT_EQ(number(world), ENOENT);
  }
  {
    World world;
    ASSERT_TRUE(world.run(world.container->set_props({{kRootsProp, Bytes(64)}})));
    EXPECT_EQ(number(world), EIO);
  }
  {
    World world;
    ASSERT_TRUE(world.run(world.container->set_props({{kLayoutTypeProp, uint64_t{2}}})));
    EXPECT_EQ(number(world), EINVAL);
  }
}

TEST(DfsEntry, Damaged_entries_on_the_medium_are_errors_and_nothing_worse) {
  // Goal: what a foreign or damaged store holds never crashes or misleads. Method: write it below
  // the mount.
  World world;
  const Node& root = world.mount->root();
  const auto put = [&](const std::string& name, std::string_view akey, model::ValueType type,
                       model::Recxs recxs, std::string value) {
    model::Iods iods(1);
    iods[0] = {.akey = as_bytes(akey), .type = type,
               .record_bytes = type == model::ValueType::array ? 1 : value.size(),
               .recxs = std::move(recxs),
               .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
    const client::ObjectArgs args{.oid = root.oid, .dkey = as_bytes(name)};
    EXPECT_TRUE(world.run(world.container->update(args, std::move(iods))));
  };
  const auto number = [&](const std::string& name) {
    return number_of(world.run(world.mount->stat_in(root, name)));
  };
  const auto array = model::ValueType::array;
  put("half", kInodeAkey, array, {{0, 40}}, std::string(40, 'x'));
  EXPECT_EQ(number("half"), EIO);
  put("hole", kInodeAkey, array, {{0, 40}, {48, 40}}, std::string(80, 'x'));
  EXPECT_EQ(number("hole"), EIO);
  put("single", kInodeAkey, model::ValueType::single, {}, std::string(88, 'x'));
  EXPECT_EQ(number("single"), ENOENT);
  put("foreign", "something", array, {{0, 88}}, std::string(88, 'x'));
  EXPECT_EQ(number("foreign"), ENOENT);
  put("type", kInodeAkey, array, {{0, 88}}, std::string(88, '\0'));
  EXPECT_EQ(number("type"), EINVAL);
  ASSERT_TRUE(world.make_link(root, "link", "target"));
  put("link", kTargetAkey, model::ValueType::single, {}, "a target of another length");
  EXPECT_EQ(number("link"), EIO);
  for (const std::string& name : Names{"half", "single", "foreign", "type", "link"}) {
    EXPECT_NE(number_of(world.run(world.mount->lookup("/" + name + "/x", O_RDONLY))), 0) << name;
  }
  EXPECT_EQ(world.names(root).size(), 6u);
  put("a/b", "something", array, {{0, 1}}, "x");
  EXPECT_EQ(number_of(world.run(world.mount->list(root, {}))), EIO);
}

TEST(DfsMount, A_relaxed_container_takes_balanced_mounts) {
  World world;
  const MountOptions both{.writable = true, .balanced = true};
  EXPECT_TRUE(world.run(Mount::open(world.container, both)));
  EXPECT_TRUE(world.run(Mount::open(world.container, {.balanced = true})));
  EXPECT_TRUE(Mount::check_format({.consistency = kConsistencyBalanced}));
}

TEST(DfsNames, Bad_names_and_paths_are_refused) {
  World world;
  for (const std::string& name : Names{"", "a/b", "/", std::string(256, 'x')}) {
    EXPECT_EQ(number_of(world.open_file(name, O_CREAT | O_RDWR)), EINVAL) << name;
  }
  EXPECT_TRUE(world.open_file(std::string(255, 'x'), O_CREAT | O_RDWR));
  const auto look = [&](const std::string& path) {
    return number_of(world.run(world.mount->lookup(path, O_RDONLY)));
  };
  ASSERT_TRUE(world.open_dir(world.mount->root(), "d"));
  ASSERT_TRUE(world.open_file("f", O_CREAT | O_RDWR));
  EXPECT_EQ(look("relative"), EINVAL);
  EXPECT_EQ(look(""), EINVAL);
  EXPECT_EQ(look("/.."), ENOENT);
  EXPECT_EQ(look("/d/../f"), 0);
  EXPECT_EQ(look("/d/../../f"), ENOENT);
  EXPECT_EQ(look("/./f"), EOPNOTSUPP);
  EXPECT_EQ(look("/f/x"), ENOENT);
  EXPECT_EQ(look("/" + std::string(256, 'y')), ENOENT);
  EXPECT_EQ(look(std::string(4096, '/')), EINVAL);
  EXPECT_EQ(look(std::string(4095, '/')), 0);
}

TEST(DfsNames, Links_lead_where_they_say) {
  World world;
  const Node& root = world.mount->root();
  const auto dir = world.open_dir(root, "d");
  ASSERT_TRUE(dir);
  const auto file = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(file);
  EXPECT_EQ(world.write(*file, 0, "hello"), 0);
  ASSERT_TRUE(world.make_link(*dir, "up", "../f"));
  ASSERT_TRUE(world.make_link(root, "absolute", "/f"));
  ASSERT_TRUE(world.make_link(root, "round", "round"));
  ASSERT_TRUE(world.make_link(root, "file", "f"));
  EXPECT_EQ(world.cat("/d/up"), "hello");
  EXPECT_EQ(world.cat("/absolute"), "!" + std::to_string(EINVAL));
  EXPECT_EQ(world.cat("/round"), "!" + std::to_string(ELOOP));
  EXPECT_EQ(world.cat("/file/x"), "!" + std::to_string(ENOENT));
  const auto link = world.run(world.mount->lookup("/d/up", O_RDONLY | O_NOFOLLOW));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->target, "../f");
}

TEST(DfsNames, Of_many_racing_creators_one_makes_the_file) {
  // Goal: O_EXCL is exact. Method: 16 tasks of two mounts create one name.
  World world;
  const auto second = world.mount_again({.writable = true});
  struct Race {
    int made = 0, exist = 0, ended = 0;
  } race;
  struct Runner {
    static Task<void> create(Mount& mount, const std::string& name, Race& race) {
      const auto node = co_await mount.open_in(
          mount.root(), name, {.mode = S_IFREG | 0600, .flags = O_CREAT | O_EXCL | O_RDWR});
      ++(node ? race.made : race.exist);
      ++race.ended;
    }
  };
  const std::string name = "one";
  for (int i = 0; i < 16; ++i) {
    world.system.context().start(Runner::create(i % 2 == 0 ? *world.mount : *second, name, race));
  }
  world.system.context().drive_until([&] { return race.ended == 16; }, kNever);
  EXPECT_EQ(race.made, 1);
  EXPECT_EQ(race.exist, 15);
  EXPECT_EQ(world.names(world.mount->root()), Names{"one"});
}

TEST(DfsNames, Remove_takes_whole_trees_only_when_forced) {
  World world;
  const Node& root = world.mount->root();
  auto dir = world.open_dir(root, "top");
  ASSERT_TRUE(dir);
  for (int depth = 0; depth < 12; ++depth) {
    for (int i = 0; i < 10; ++i) {
      const auto file = world.run(world.mount->open_in(
          *dir, "f" + std::to_string(i), {.mode = S_IFREG | 0644, .flags = O_CREAT | O_RDWR}));
      ASSERT_TRUE(file);
    }
    dir = world.open_dir(*dir, "sub");
    ASSERT_TRUE(dir);
  }
  EXPECT_EQ(number_of(world.run(world.mount->remove(root, "top", false))), ENOTEMPTY);
  EXPECT_EQ(number_of(world.run(world.mount->remove(root, "top", true))), 0);
  EXPECT_EQ(world.names(root), Names{});
}

TEST(DfsMove, Directories_stay_out_of_themselves) {
  // Goal: no move or exchange makes a directory unreachable, however deep. Method: handles that
  // were opened before their parents moved.
  World world;
  const Node& root = world.mount->root();
  const auto a = world.open_dir(root, "a");
  const auto b = world.open_dir(*a, "b");
  const auto c = world.open_dir(*b, "c");
  const auto other = world.open_dir(root, "other");
  ASSERT_TRUE(a && b && c && other);
  EXPECT_EQ(number_of(world.run(world.mount->move(root, "a", *a, "x"))), EINVAL);
  EXPECT_EQ(number_of(world.run(world.mount->move(root, "a", *c, "x"))), EINVAL);
  EXPECT_EQ(number_of(world.run(world.mount->exchange(root, "a", *b, "c"))), EINVAL);
  // c goes away from below a, so a may go below c; then other may not follow into itself.
  EXPECT_EQ(number_of(world.run(world.mount->move(*b, "c", *other, "c"))), 0);
  EXPECT_EQ(number_of(world.run(world.mount->move(root, "a", *c, "a"))), 0);
  EXPECT_EQ(number_of(world.run(world.mount->move(root, "other", *b, "x"))), EINVAL);
  EXPECT_TRUE(world.run(world.mount->lookup("/other/c/a/b", O_RDONLY)));
  EXPECT_EQ(number_of(world.run(world.mount->move(root, "other", root, "other"))), 0);
  EXPECT_EQ(world.names(root), Names{"other"});
}

TEST(DfsMove, Attributes_go_along_and_those_of_the_replaced_do_not_stay) {
  World world;
  const Node& root = world.mount->root();
  const auto from = world.open_file("from", O_CREAT | O_RDWR);
  const auto to = world.open_file("to", O_CREAT | O_RDWR);
  ASSERT_TRUE(from && to);
  EXPECT_EQ(world.write(*from, 0, "content"), 0);
  const Bytes big(60'000, std::byte{'v'});
  ASSERT_TRUE(world.run(world.mount->set_xattr(*from, "user.mine", big, 0)));
  ASSERT_TRUE(world.run(world.mount->set_xattr(*from, "user.empty", {}, 0)));
  ASSERT_TRUE(world.run(world.mount->set_xattr(*to, "user.theirs", as_bytes("x"), 0)));
  const auto replaced = world.run(world.mount->move(root, "from", root, "to"));
  ASSERT_TRUE(replaced);
  EXPECT_EQ(*replaced, to->oid);
  EXPECT_EQ(world.cat("/to"), "content");
  const auto moved = world.run(world.mount->lookup("/to", O_RDONLY));
  ASSERT_TRUE(moved);
  auto names = world.run(world.mount->list_xattrs(*moved));
  ASSERT_TRUE(names);
  std::sort(names->begin(), names->end());
  EXPECT_EQ(*names, (Names{"user.empty", "user.mine"}));
  const auto length = world.run(world.mount->get_xattr(*moved, "user.mine", {}));
  ASSERT_TRUE(length);
  EXPECT_EQ(*length, big.size());
}

/// Counts the ends of racing tasks.
struct Ends {
  int good = 0, bad = 0;
  int all() const { return good + bad; }
};

Task<void> race_move(Mount& mount, std::string from, std::string to, Ends& ends) {
  const auto moved = co_await mount.move(mount.root(), from, mount.root(), to);
  ++(moved ? ends.good : ends.bad);
}
Task<void> race_remove(Mount& mount, std::string name, Ends& ends) {
  const auto gone = co_await mount.remove(mount.root(), name, true);
  ++(gone ? ends.good : ends.bad);
}

TEST(DfsMove, Racing_moves_and_removes_leave_one_name_or_none) {
  // Goal: an object never has two names or a name without contents. Method: tasks that move one
  // file to many names, tasks that move many files to one name, and a remove among them.
  World world;
  Context& context = world.system.context();
  for (const bool with_remove : {false, true}) {
    const auto file = world.open_file("source", O_CREAT | O_RDWR);
    ASSERT_TRUE(file);
    ASSERT_EQ(world.write(*file, 0, "content"), 0);
    Ends moves, removes;
    for (int i = 0; i < 8; ++i) {
      context.start(race_move(*world.mount, "source", "target" + std::to_string(i), moves));
      if (with_remove && i == 3) context.start(race_remove(*world.mount, "source", removes));
    }
    context.drive_until([&] { return moves.all() + removes.all() == 8 + with_remove; }, kNever);
    EXPECT_EQ(moves.good + removes.good, 1);
    const Names names = world.names(world.mount->root());
    ASSERT_EQ(names.size(), static_cast<size_t>(moves.good));
    for (const std::string& name : names) {
      EXPECT_EQ(world.cat("/" + name), "content");
      ASSERT_TRUE(world.run(world.mount->remove(world.mount->root(), name, false)));
    }
  }
  Ends moves;
  for (int i = 0; i < 8; ++i) {
    const auto file = world.open_file("s" + std::to_string(i), O_CREAT | O_RDWR);
    ASSERT_TRUE(file);
    ASSERT_EQ(world.write(*file, 0, "content"), 0);
    context.start(race_move(*world.mount, "s" + std::to_string(i), "one", moves));
  }
  context.drive_until([&] { return moves.all() == 8; }, kNever);
  EXPECT_EQ(moves.good, 8);
  EXPECT_EQ(world.names(world.mount->root()), Names{"one"});
  EXPECT_EQ(world.cat("/one"), "content");
}

TEST(DfsMove, Racing_directories_never_form_a_circle) {
  // Goal: the check for circles holds until the move's end. Method: a into b and b into a at once.
  World world;
  const auto a = world.open_dir(world.mount->root(), "a");
  const auto b = world.open_dir(world.mount->root(), "b");
  ASSERT_TRUE(a && b);
  struct Runner {
    static Task<void> move(Mount& mount, std::string name, const Node& into, Ends& ends) {
      const std::string inside = "inside";
      const auto moved = co_await mount.move(mount.root(), name, into, inside);
      ++(moved ? ends.good : ends.bad);
    }
  };
  Ends ends;
  world.system.context().start(Runner::move(*world.mount, "a", *b, ends));
  world.system.context().start(Runner::move(*world.mount, "b", *a, ends));
  world.system.context().drive_until([&] { return ends.all() == 2; }, kNever);
  EXPECT_EQ(ends.good, 1);
  EXPECT_EQ(world.names(world.mount->root()).size(), 1u);
}

TEST(DfsMove, A_power_cut_leaves_a_move_done_or_not_begun) {
  // Goal: moves and exchanges are one write. Method: cut the power after each number of writes,
  // look again.
  for (const bool exchange : {false, true}) {
    for (uint64_t cut = 0;; ++cut) {
      World world;
      const Node& root = world.mount->root();
      for (const std::string& name : Names{"a", "b"}) {
        const auto file = world.open_file(name, O_CREAT | O_RDWR);
        ASSERT_TRUE(file);
        ASSERT_EQ(world.write(*file, 0, "content of " + name), 0);
        ASSERT_TRUE(world.run(world.mount->set_xattr(*file, "user." + name, as_bytes("v"), 0)));
      }
      world.system.cut_after(cut);
      bool whole = false;
      if (exchange) {
        whole = world.run(world.mount->exchange(root, "a", root, "b")).has_value();
      } else {
        whole = world.run(world.mount->move(root, "a", root, "b")).has_value();
      }
      world.system.cut_after({});
      const auto again = world.mount_again({.writable = true});
      std::vector<std::string> found;
      for (const std::string& name : world.names(again->root())) {
        found.push_back(world.cat("/" + name));
      }
      const auto has = [&](const std::string& text) {
        return std::find(found.begin(), found.end(), text) != found.end();
      };
      EXPECT_TRUE(has("content of a")) << cut;
      EXPECT_EQ(has("content of b"), exchange || !whole) << cut;
      EXPECT_EQ(found.size(), exchange || !whole ? 2u : 1u) << cut;
      if (whole) break;
      ASSERT_EQ(cut, 0u) << "one write";
    }
  }
}

TEST(DfsMove, Directories_that_fill_up_meanwhile_are_neither_removed_nor_replaced) {
  // Goal: emptiness holds at the commit, also against another mount. Method: a file is made by one
  // mount at every moment of a remove and of a move by another.
  for (const bool moves : {false, true}) {
    World world;
    Context& context = world.system.context();
    const auto other = world.mount_again({.writable = true});
    for (int i = 0; i < 20; ++i) {
      const std::string name = "d" + std::to_string(i), source = "s" + std::to_string(i);
      const auto dir = world.open_dir(world.mount->root(), name);
      ASSERT_TRUE(dir && world.open_dir(world.mount->root(), source));
      struct Runner {
        static Task<void> fill(Mount& mount, Node dir, int turns, Reactor& reactor, Ends& ends) {
          for (int t = 0; t < turns; ++t) co_await reactor.yield();
          const OpenOptions options{.mode = S_IFREG | 0600, .flags = O_CREAT | O_RDWR};
          const auto made = co_await mount.open_in(dir, "f", options);
          ++(made ? ends.good : ends.bad);
        }
        static Task<void> replace(Mount& mount, std::string from, std::string to, bool moves,
                                  bool& gone, Ends& ends) {
          if (moves) {
            gone = (co_await mount.move(mount.root(), from, mount.root(), to)).has_value();
          } else {
            gone = (co_await mount.remove(mount.root(), to, false)).has_value();
          }
          ++ends.bad;
        }
      };
      Ends ends;
      bool gone = false;
      context.start(Runner::replace(*world.mount, source, name, moves, gone, ends));
      context.start(Runner::fill(*other, *dir, i, world.system.reactor(), ends));
      context.drive_until([&] { return ends.all() == 2; }, kNever);
      const auto left = world.run(world.mount->lookup("/" + name + "/f", O_RDONLY));
      EXPECT_EQ(left.has_value(), !gone) << name;
    }
  }
}

TEST(DfsAttributes, Explicit_times_hold_until_the_next_change) {
  World world;
  const auto file = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(file);
  EXPECT_EQ(world.write(*file, 0, "x"), 0);
  Attributes wanted;
  wanted.mtime = {1'000'000'000, 123'456'789};
  const auto set = world.run(world.mount->set_attributes(*file, wanted, set_attr::kMtime));
  ASSERT_TRUE(set);
  EXPECT_EQ(set->mtime, wanted.mtime);
  wanted.mode = S_IFREG | 0600;
  ASSERT_TRUE(world.run(world.mount->set_attributes(*file, wanted, set_attr::kMode)));
  auto now = world.run(world.mount->stat(*file));
  ASSERT_TRUE(now);
  EXPECT_EQ(now->mtime, wanted.mtime);
  EXPECT_EQ(now->mode, static_cast<uint32_t>(S_IFREG | 0600));
  EXPECT_GT(now->ctime, now->mtime);
  EXPECT_EQ(world.write(*file, 0, "y"), 0);
  now = world.run(world.mount->stat(*file));
  ASSERT_TRUE(now);
  EXPECT_GT(now->mtime.seconds, 1'700'000'000);
}

TEST(DfsAttributes, A_handle_never_shows_or_changes_what_took_its_name) {
  World world;
  const auto old = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(old);
  ASSERT_TRUE(world.run(world.mount->remove(world.mount->root(), "f", false)));
  const auto fresh = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(fresh);
  ASSERT_TRUE(world.run(world.mount->set_xattr(*fresh, "user.a", as_bytes("new"), 0)));
  EXPECT_EQ(number_of(world.run(world.mount->stat(*old))), ENOENT);
  EXPECT_EQ(number_of(world.run(world.mount->set_xattr(*old, "user.a", as_bytes("o"), 0))), ENOENT);
  EXPECT_EQ(number_of(world.run(world.mount->get_xattr(*old, "user.a", {}))), ENOENT);
  EXPECT_EQ(number_of(world.run(world.mount->remove_xattr(*old, "user.a"))), ENOENT);
  EXPECT_EQ(number_of(world.run(world.mount->set_attributes(
                *old, {.mode = S_IFREG | 0600}, set_attr::kMode))), ENOENT);
  EXPECT_EQ(world.write(*old, 0, "old"), 0);
  EXPECT_EQ(world.cat("/f"), "");
}

TEST(DfsAttributes, Extended_attributes_obey_create_and_replace) {
  World world;
  const auto file = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(file);
  Mount& mount = *world.mount;
  const auto set = [&](const std::string& name, const std::string& value, int flags) {
    return number_of(world.run(mount.set_xattr(*file, name, as_bytes(value), flags)));
  };
  EXPECT_EQ(set("a", "v", XATTR_REPLACE), ENOENT);
  EXPECT_EQ(set("a", "", XATTR_CREATE), 0);
  EXPECT_EQ(set("a", "v", XATTR_CREATE), EEXIST);
  EXPECT_EQ(set(std::string(256, 'n'), "v", 0), EINVAL);
  EXPECT_EQ(set("big", std::string(65'537, 'v'), 0), EINVAL);
  EXPECT_EQ(set("big", std::string(65'536, 'v'), 0), 0);
  std::byte room[3];
  EXPECT_EQ(number_of(world.run(mount.get_xattr(*file, "big", room))), E2BIG);
  EXPECT_EQ(number_of(world.run(mount.get_xattr(*file, "none", room))), ENODATA);
  EXPECT_EQ(number_of(world.run(mount.remove_xattr(*file, "a"))), 0);
  EXPECT_EQ(number_of(world.run(mount.remove_xattr(*file, "a"))), ENOENT);
}

TEST(DfsData, Sizes_and_holes_follow_writes_and_punches) {
  // Goal: the arithmetic of chunks. Method: random writes, punches and truncations against a
  // string.
  World world({.chunk_bytes = 512});
  const auto file = world.open_file("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(file);
  const uint64_t seed = 42;
  SCOPED_TRACE(seed);
  std::mt19937_64 random{seed};
  std::string model;
  for (int i = 0; i < 400; ++i) {
    const uint64_t offset = random() % 5000;
    const uint64_t bytes = 1 + random() % 2000;
    switch (random() % 3) {
      case 0: {
        const std::string text(bytes, static_cast<char>('a' + i % 26));
        ASSERT_EQ(world.write(*file, offset, text), 0);
        model.resize(std::max<size_t>(model.size(), offset + bytes));
        model.replace(offset, bytes, text);
        break;
      }
      case 1:
        ASSERT_TRUE(world.run(world.mount->punch(*file, offset, bytes)));
        if (offset + bytes >= model.size()) model.resize(std::min<size_t>(model.size(), offset));
        if (offset < model.size()) model.replace(offset, bytes, std::string(bytes, '\0'));
        break;
      default:
        ASSERT_TRUE(world.run(world.mount->punch(*file, offset, ~uint64_t{0})));
        model.resize(offset);
    }
    ASSERT_EQ(world.read(*file), model) << i;
    const auto size = world.run(world.mount->size(*file));
    ASSERT_TRUE(size);
    ASSERT_EQ(*size, model.size()) << i;
  }
}

TEST(DfsData, Wrong_ranges_and_handles_are_refused) {
  World world;
  const auto file = world.open_file("f", O_CREAT | O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_EQ(world.write(*file, 0, "x"), EPERM);
  EXPECT_EQ(number_of(world.run(world.mount->punch(*file, 0, 1))), EPERM);
  const auto writer = world.open_file("f", O_WRONLY);
  ASSERT_TRUE(writer);
  EXPECT_EQ(world.read(*writer), "!" + std::to_string(EPERM));
  EXPECT_EQ(world.read(world.mount->root()), "!" + std::to_string(EINVAL));
  std::byte bytes[8];
  const auto read = [&](client::CellRanges ranges) {
    return number_of(world.run(world.mount->read(*file, std::move(ranges), {{bytes, 8}})));
  };
  EXPECT_EQ(read({{0, 4}}), EINVAL);
  EXPECT_EQ(read({{0, 4}, {2, 4}}), EINVAL);
  EXPECT_EQ(read({{~uint64_t{0}, 8}}), EINVAL);
  EXPECT_EQ(read({{8, 4}, {0, 4}, {3, 0}}), 0);
}

TEST(DfsNames, A_listing_in_small_pages_misses_and_repeats_nothing) {
  World world;
  Names made;
  for (int i = 0; i < 100; ++i) {
    made.push_back("n" + std::to_string(i));
    ASSERT_TRUE(world.open_file(made.back(), O_CREAT | O_RDWR));
  }
  std::sort(made.begin(), made.end());
  EXPECT_EQ(world.names(world.mount->root()), made);
  const auto page = world.run(world.mount->list(world.mount->root(), {.bytes_max = 1}));
  EXPECT_EQ(number_of(page), E2BIG);
  const auto file = world.open_file("n1", O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_EQ(number_of(world.run(world.mount->list(*file, {}))), ENOTDIR);
}

}  // namespace
}  // namespace cairn::dfs
