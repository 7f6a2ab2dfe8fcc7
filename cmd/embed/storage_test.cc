// Homes whose blobs are on devices: directories, large files, roles apart, damage and strangers.
#include "cmd/embed/storage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cmd/embed/home_graph.h"

namespace cairn::embed {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPoolBytes = 128u << 20;
constexpr const char* kUuid1 = "11111111-1111-4111-8111-111111111111";
constexpr const char* kUuid2 = "22222222-2222-4222-8222-222222222222";

Errc parse_code(const std::string& text, size_t want_line) {
  size_t line = 99;
  const auto parsed = parse_storage(text, &line);
  if (!parsed) {
    EXPECT_EQ(line, want_line) << text;
  }
  return parsed ? Errc::ok : parsed.error().code();
}

TEST(StorageFile, What_is_written_is_read_back_with_paths_of_any_kind) {
  std::vector<StorageDevice> devices(2);
  devices[0] = {*parse_uuid(kUuid1), {true, true, false}, "/dev/nvme0n1"};
  devices[1] = {*parse_uuid(kUuid2), {false, false, true}, "/mnt/a b/#1"};
  const std::string text = format_storage(devices);
  EXPECT_EQ(text, std::string("cairn storage 1\ndevice ") + kUuid1 +
                      " wal,meta /dev/nvme0n1\ndevice " + kUuid2 + " data /mnt/a b/#1\n");
  size_t line = 0;
  const auto parsed = parse_storage("" + text + "\n# a remark\n", &line);
  ASSERT_TRUE(parsed);
  ASSERT_EQ(parsed->size(), 2u);
  EXPECT_EQ((*parsed)[1].path, "/mnt/a b/#1");
  EXPECT_EQ(roles_text((*parsed)[0].roles), "wal,meta");
}

TEST(StorageFile, Malformed_text_is_refused_with_its_line) {
  const std::string first = "cairn storage 1\n";
  const std::string all = std::string("device ") + kUuid1 + " wal,meta,data /a\n";
  EXPECT_EQ(parse_code(first + all, 0), Errc::ok);
  EXPECT_EQ(parse_code("", 1), Errc::format_invalid);
  EXPECT_EQ(parse_code("cairn storage x\n" + all, 1), Errc::format_invalid);
  EXPECT_EQ(parse_code("cairn storage 2\n" + all, 1), Errc::format_newer);
  EXPECT_EQ(parse_code(first, 0), Errc::format_invalid);                        // no device
  EXPECT_EQ(parse_code(first + all + all, 0), Errc::format_invalid);            // one twice
  EXPECT_EQ(parse_code(first + "device x wal /a\n", 2), Errc::format_invalid);
  EXPECT_EQ(parse_code(first + "\ndevice " + kUuid1 + " wal,log /a\n", 3), Errc::format_invalid);
  EXPECT_EQ(parse_code(first + "device " + kUuid1 + " wal,meta,data a\n", 2),
            Errc::format_invalid);
  EXPECT_EQ(parse_code(first + "device " + kUuid1 + " wal,meta /a\n", 0), Errc::format_invalid);
  EXPECT_EQ(parse_code(first + "disk " + kUuid1 + " wal,meta,data /a\n", 2),
            Errc::format_invalid);
  std::string many = first;
  for (size_t i = 0; i <= kStorageDevicesMax; ++i) {
    Uuid uuid = *parse_uuid(kUuid1);
    uuid.bytes[0] = static_cast<uint8_t>(i);
    many += "device " + to_string(uuid) + " wal,meta,data /" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(parse_code(many, 0), Errc::format_invalid);
}

class StorageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_storage_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    home_ = root_ + "/home";
    setenv("CAIRN_LOG", "off", 1);
  }
  void TearDown() override { fs::remove_all(root_); }

  /// A large file that stands for a block device.
  std::string device(const std::string& name, uint64_t bytes) {
    const std::string path = root_ + "/" + name;
    std::ofstream(path).close();
    fs::resize_file(path, bytes);
    return path;
  }
  Errc make(std::vector<client::HomeDevice> devices) {
    const auto made = client::make_home(home_, {.devices = std::move(devices)});
    return made ? Errc::ok : made.error().code();
  }
  Errc open_code() {
    auto system = client::open_home({.path = home_, .create = false});
    return system ? Errc::ok : system.error().code();
  }
  /// Makes a pool with a value in it, reopens the home and finds it whole.
  void use_a_pool() {
    for (const bool first : {true, false}) {
      auto system = client::open_home({.path = home_, .create = false});
      ASSERT_TRUE(system);
      client::System& s = **system;
      if (first) {
        const auto made = s.context().run(s.pool_create({.label = "tank", .bytes = kPoolBytes}));
        ASSERT_TRUE(made) << made.error().what();
      }
      const auto pool = s.context().run(s.pool_connect("tank", client::Access::read_write));
      ASSERT_TRUE(pool) << pool.error().what();
      if (first) ASSERT_TRUE(s.context().run((*pool)->cont_create("docs", {})));
      const auto cont =
          s.context().run((*pool)->cont_open("docs", client::Access::read_write));
      ASSERT_TRUE(cont);
      // Large enough for several stripes.
      std::string value(6u << 20, first ? 'x' : '#');
      const std::string key = "k";
      const model::ObjectId oid{.lo = 1, .hi = uint64_t{1} << 48 | uint64_t{1} << 32};
      model::Iod iod{.akey = as_bytes(key), .type = model::ValueType::single,
                     .record_bytes = value.size(), .flags = 0, .recxs = {},
                     .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
      if (first) {
        ASSERT_TRUE(s.context().run((*cont)->update({.oid = oid, .dkey = as_bytes(key)}, {iod})));
      } else {
        const auto got =
            s.context().run((*cont)->fetch({.oid = oid, .dkey = as_bytes(key)}, {iod}));
        ASSERT_TRUE(got);
        EXPECT_EQ(value, std::string(6u << 20, 'x'));
      }
      ASSERT_TRUE(s.context().run((*cont)->close()));
      ASSERT_TRUE(s.context().run((*pool)->disconnect()));
      ASSERT_TRUE(s.shutdown());
    }
    const auto report = client::check_home(home_, true);
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->clean());
  }

  std::string root_, home_;
};

/// As the services tell them.
Result<std::vector<client::DeviceSpace>> devices_of(const std::string& home) {
  TRY(system, client::open_home({.path = home, .create = false}));
  auto devices = system->context().run(system->devices());
  TRY(closed, system->shutdown());
  return devices;
}

TEST_F(StorageTest, Roles_on_files_and_directories_serve_a_pool_and_give_the_space_back) {
  const std::string log = device("log", 200u << 20);
  const std::string one = device("one", 120u << 20), two = device("two", 120u << 20);
  fs::create_directory(root_ + "/dir");
  ASSERT_EQ(make({{.path = log, .roles = "wal"},
                  {.path = root_ + "/dir", .roles = "meta"},
                  {.path = one, .roles = "data"},
                  {.path = two, .roles = "data"}}),
            Errc::ok);
  const auto before = devices_of(home_);
  ASSERT_TRUE(before);
  ASSERT_EQ(before->size(), 4u);
  EXPECT_EQ((*before)[2].roles, "data");
  use_a_pool();
  const auto during = devices_of(home_);
  ASSERT_TRUE(during);
  EXPECT_LT((*during)[0].free_bytes, (*before)[0].free_bytes);
  EXPECT_LT((*during)[2].free_bytes, (*before)[2].free_bytes);
  EXPECT_EQ((*during)[2].free_bytes, (*during)[3].free_bytes);   // in equal shares
  EXPECT_FALSE(fs::exists(home_ + "/pools"));
  {
    auto system = client::open_home({.path = home_, .create = false});
    ASSERT_TRUE(system);
    ASSERT_TRUE((*system)->context().run((*system)->pool_destroy("tank", true)));
    ASSERT_TRUE((*system)->shutdown());
  }
  const auto after = devices_of(home_);
  ASSERT_TRUE(after);
  for (const size_t i : {0u, 2u, 3u}) {
    EXPECT_EQ((*after)[i].free_bytes, (*before)[i].free_bytes);
  }
}

TEST_F(StorageTest, A_pool_that_does_not_fit_is_refused_and_another_fits_afterwards) {
  ASSERT_EQ(make({{.path = device("all", 180u << 20), .roles = "wal,meta,data"}}), Errc::ok);
  {
    auto system = client::open_home({.path = home_, .create = false});
    ASSERT_TRUE(system);
    client::System& s = **system;
    const auto made = s.context().run(s.pool_create({.label = "big", .bytes = 4 * kPoolBytes}));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code(), Errc::no_space);
    ASSERT_TRUE(s.shutdown());
  }
  use_a_pool();
}

TEST_F(StorageTest, Devices_in_use_or_of_others_are_refused_unless_wiped) {
  const std::string full = device("full", 200u << 20);
  {
    std::fstream file(full, std::ios::in | std::ios::out);
    file.seekp(1080);   // where ext4 has its mark
    file << "\x53\xEF";
  }
  EXPECT_EQ(make({{.path = full, .roles = "wal,meta,data"}}), Errc::exists);
  EXPECT_FALSE(fs::exists(home_ + "/home"));
  EXPECT_EQ(make({{.path = full, .roles = "wal,meta,data", .wipe = true}}), Errc::ok);
  EXPECT_EQ(make({}), Errc::already);
  use_a_pool();
  // The same device for another home.
  home_ = root_ + "/second";
  EXPECT_EQ(make({{.path = full, .roles = "wal,meta,data"}}), Errc::exists);
}

TEST_F(StorageTest, Wishes_that_do_not_fit_touch_no_device) {
  const std::string path = device("d", 50u << 20);
  EXPECT_EQ(make({{.path = path, .roles = "wal,meta"}}), Errc::invalid);       // no data
  EXPECT_EQ(make({{.path = path, .roles = "wal,meta,data,index"}}), Errc::invalid);
  EXPECT_EQ(make({{.path = path, .roles = "wal,meta,data"}, {.path = path, .roles = "data"}}),
            Errc::invalid);
  EXPECT_EQ(make({{.path = root_ + "/absent", .roles = "wal,meta,data"}}), Errc::nonexistent);
  EXPECT_EQ(make({{.path = "/dev/null", .roles = "wal,meta,data"}}), Errc::format_invalid);
  EXPECT_EQ(make({{.path = device("small", 9u << 20), .roles = "wal,meta,data"}}),
            Errc::no_space);
  EXPECT_EQ(make({{.path = path, .roles = "wal,meta,data"}}), Errc::ok);
}

TEST_F(StorageTest, A_device_that_is_gone_replaced_or_damaged_keeps_the_home_from_opening) {
  const std::string path = device("d", 200u << 20);
  fs::create_directory(root_ + "/dir");
  ASSERT_EQ(make({{.path = path, .roles = "wal,meta"}, {.path = root_ + "/dir", .roles = "data"}}),
            Errc::ok);
  use_a_pool();
  fs::rename(path, path + ".away");
  EXPECT_EQ(open_code(), Errc::nonexistent);
  fs::copy_file(path + ".away", path);
  {
    std::fstream file(path, std::ios::in | std::ios::out);
    file.seekp(24);   // the uuid in the older table
    file << "????";
    file.seekp((1u << 20) + 24);
    file << "????";
  }
  EXPECT_EQ(open_code(), Errc::ok);   // the copies at the end are whole
  fs::resize_file(path, 100u << 20);
  EXPECT_EQ(open_code(), Errc::checksum);
  fs::rename(path + ".away", path);
  EXPECT_EQ(open_code(), Errc::ok);
  // An unmounted directory.
  fs::rename(root_ + "/dir", root_ + "/elsewhere");
  fs::create_directory(root_ + "/dir");
  EXPECT_EQ(open_code(), Errc::nonexistent);
  // The way out that the message names: another path in the file.
  size_t line = 0;
  std::ifstream in(home_ + "/storage");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  auto list = parse_storage(text, &line);
  ASSERT_TRUE(list);
  (*list)[1].path = root_ + "/elsewhere";
  std::ofstream(home_ + "/storage") << format_storage(*list);
  EXPECT_EQ(open_code(), Errc::ok);
  std::ofstream(home_ + "/storage") << text << "nonsense\n";
  EXPECT_EQ(open_code(), Errc::format_invalid);
}

/// Puts a value into an object, or looks for it.
bool has_value(client::System& s, client::Container& cont, uint64_t number, bool puts) {
  std::string value = puts ? std::to_string(number) : "########";
  const std::string key = "k";
  const model::ObjectId oid{.lo = number, .hi = uint64_t{1} << 48 | uint64_t{1} << 32};
  model::Iods iods(1);
  iods[0].akey = as_bytes(key);
  iods[0].type = model::ValueType::single;
  iods[0].record_bytes = value.size();
  iods[0].buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}};
  const client::ObjectArgs at{.oid = oid, .dkey = as_bytes(key)};
  if (puts) return s.context().run(cont.update(at, std::move(iods))).has_value();
  const auto got = s.context().run(cont.fetch(at, std::move(iods)));
  if (!got || got->status != Errc::ok) return false;
  return value.substr(0, got->iods.front().record_bytes) == std::to_string(number);
}

TEST_F(StorageTest, Shards_of_several_cores_share_a_device) {
  // Goal: a blob is the same for whatever core its shard is on, and its space comes back. Method:
  // write on three cores, read on one, destroy on two.
  const std::string path = device("disk", 1u << 30);
  ASSERT_TRUE(client::make_home(
      home_, {.devices = {{.path = path, .roles = "wal,meta,data"}}, .targets = 3}));
  const auto free_bytes = [](client::System& s) {
    return s.context().run(s.devices())->front().free_bytes;
  };
  uint64_t free_before = 0;
  for (const uint32_t cores : {3u, 1u, 2u}) {
    auto graph = HomeGraph::open({.home = {.path = home_}, .cores = cores});
    ASSERT_TRUE(graph);
    const auto system = make_system(std::move(*graph));
    client::System& s = *system;
    if (cores == 3) {
      free_before = free_bytes(s);
      ASSERT_TRUE(s.context().run(s.pool_create({.label = "tank", .bytes = 3 * kPoolBytes})));
    }
    {
      const auto pool = s.context().run(s.pool_connect("tank", client::Access::read_write));
      ASSERT_TRUE(pool);
      if (cores == 3) ASSERT_TRUE(s.context().run((*pool)->cont_create("docs", {})));
      const auto cont = s.context().run((*pool)->cont_open("docs", client::Access::read_write));
      ASSERT_TRUE(cont);
      for (uint64_t i = 1; i < 20; ++i) EXPECT_TRUE(has_value(s, **cont, i, cores == 3)) << i;
    }
    if (cores == 2) {
      EXPECT_LT(free_bytes(s), free_before);
      ASSERT_TRUE(s.context().run(s.pool_destroy("tank", true)));
      EXPECT_EQ(free_bytes(s), free_before);
    }
    ASSERT_TRUE(s.shutdown());
  }
}

}  // namespace
}  // namespace cairn::embed
